"""Whoever reads standard error stops reading: shipping, the pages and the end go on as before, and
what was not logged is counted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE
from tests.support.full_pipe import Stderr
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

RATE = 2000
"""Events a second."""

SHUTDOWN_SECONDS = 5.0
"""What the configuration allows; the log may take FLUSH_SECONDS besides."""

QUICK_SECONDS = 3.0
"""For an answer of /healthz, on a machine with other things to do."""


@pytest.fixture
def stderr() -> Iterator[Stderr]:
    """The first fixture of a test: it is closed when the daemon has ended."""
    made = Stderr()
    yield made
    made.close()


@pytest.fixture
def rotating(tmp_path: Path) -> Iterator[LogDirectory]:
    """A log that rotates every fifty lines or so. A backup is deleted after some seconds: long
    enough to be found on a machine with other things to do."""
    directory = LogDirectory(tmp_path / "rotating", seed=9, max_bytes=100_000, backups=200)
    yield directory
    directory.close()


def start(process: ShipperProcess, stderr: Stderr) -> None:
    process.start(stderr=stderr.descriptor)
    stderr.give_away()


def dropped(process: ShipperProcess, *reasons: str) -> float:
    found = process.metrics().by("shipper_log_messages_dropped_total", "reason")
    return sum(found[reason] for reason in reasons or found)


def configuration(rotating: LogDirectory, level: str) -> dict[str, Any]:
    processor = {"rename": {"fields": [{"from": "missing", "to": "x"}]}}
    return {
        "inputs": [{"id": "tetragon", "paths": [rotating.glob], "processors": [processor]}],
        "logging": {"level": level, "metrics_interval": "1s"},
        "shutdown_timeout": f"{SHUTDOWN_SECONDS}s",
    }


@pytest.mark.parametrize(
    ("seconds", "level"),
    [
        (5, "info"),
        (5, "debug"),
        pytest.param(60, "info", marks=pytest.mark.long),
        pytest.param(60, "debug", marks=pytest.mark.long),
    ],
)
def test_a_reader_that_stalls_stops_neither_shipping_nor_the_end(
    stderr: Stderr,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    rotating: LogDirectory,
    seconds: float,
    level: str,
) -> None:
    process = shipper(configuration(rotating, level))
    start(process, stderr)
    slowest = 0.0
    with rotating.writing(RATE):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            asked = time.monotonic()
            assert process.alive()
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.1)
    assert slowest < QUICK_SECONDS
    assert rotating.written > RATE * seconds / 4
    bulk_server.wait_for_lines(rotating.written)
    process.wait_until_idle()
    assert bulk_server.audit(rotating.written).passed
    assert dropped(process) > 0
    if level == "debug":
        assert dropped(process, "queue_full") > 0
    asked = time.monotonic()
    process.send(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - asked < SHUTDOWN_SECONDS + 2.0


def test_a_reader_that_comes_back_is_told_how_many_messages_were_dropped(
    stderr: Stderr, shipper: MakeShipper, bulk_server: BulkServer, rotating: LogDirectory
) -> None:
    process = shipper(configuration(rotating, "debug"))
    start(process, stderr)
    with rotating.writing(RATE):
        process.wait_until(lambda: dropped(process, "queue_full") > 100, "messages are dropped")
        stderr.read()
        process.wait_until(
            lambda: any(e["event.action"] == "log-messages-dropped" for e in stderr.entries()),
            "it is told",
        )
    (told, *_) = (e for e in stderr.entries() if e["event.action"] == "log-messages-dropped")
    assert told["log.level"] == "warning"
    assert told["shipper.queue_full"] > 100
    assert told["shipper.dropped"] >= told["shipper.queue_full"]
    bulk_server.wait_for_lines(rotating.written)
    process.wait_until_idle()
    assert bulk_server.audit(rotating.written).passed
    # The metrics are in the log, and what is logged last is how it ended.
    process.wait_until(
        lambda: any(e["event.action"] == "metrics" for e in stderr.entries()), "metrics"
    )
    assert process.sigterm() == 0
    stderr.read_to_the_end()
    assert stderr.entries()[-1]["event.action"] in ("shipper-stopped", "log-messages-dropped")
    assert "shipper-stopped" in [entry["event.action"] for entry in stderr.entries()[-3:]]


def test_a_reader_that_has_gone_stops_nothing(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    process = shipper()
    process.start(stderr=descriptor)
    os.close(descriptor)
    log_directory.write(100)
    bulk_server.wait_for_lines(100)
    process.wait_until_idle()
    assert bulk_server.audit(100).passed
    assert dropped(process, "write_error") > 0
    assert process.sigterm() == 0
