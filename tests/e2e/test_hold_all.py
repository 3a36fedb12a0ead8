"""A stranger holds all of one shared thing that is finite: good lines go on at four fifths of their
speed or more, compared in the same run with phases without the stranger.

The table of these things is in docs/limits.md.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.support import hanging_mount
from tests.support.bulk_server import BulkServer
from tests.support.faults import (
    CutAnswer,
    CutBefore,
    Fault,
    Garbage,
    Slow,
    Status,
)
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess
from tests.support.speed import Speed

POISON = b"POISON"
BODIES = 20
"""More than there are permits."""

PACED: dict[str, Any] = {
    "concurrency": "fixed",
    "max_in_flight": 4,
    "compression": "none",
    "timeout": "1s",
    "bulk": {"max_bytes": "64KiB"},
}
"""An output of which the permits are the narrowest place, if the server takes ANSWER seconds. A
poisonous line is a body of its own."""

ANSWER = 0.1


def poison(number: int) -> bytes:
    """A line that fills a body."""
    line = {"time": "2026-01-01T00:00:00Z", "x": f"{POISON.decode()} {number}", "pad": "x" * 50_000}
    return json.dumps(line).encode() + b"\n"


@pytest.fixture
def bad(tmp_path: Path) -> LogDirectory:
    """The logs of a stranger."""
    return LogDirectory(tmp_path / "bad")


def inputs(good: LogDirectory, bad: LogDirectory) -> list[dict[str, Any]]:
    return [{"id": "good", "paths": [good.glob]}, {"id": "bad", "paths": [bad.glob]}]


def without_outcome(daemon: ShipperProcess) -> float:
    return daemon.metrics().value("shipper_in_flight_events")


FAULTS: dict[str, Fault] = {
    "cut": CutBefore(),
    "half an answer": CutAnswer(),
    "502": Status(502),
    "403": Status(403, body=b"<p>blocked"),
    "HTML": Garbage(),
    "no items": Garbage(b'{"errors":false}'),
    "too long": Garbage(b"x" * 2**20),
    "hangs": Slow(30.0),
}


def test_permits_that_bodies_hold_which_are_never_answered_well(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, bad: LogDirectory
) -> None:
    bulk_server.rates[Slow(ANSWER)] = 1.0
    daemon = shipper({"inputs": inputs(log_directory, bad), "output": PACED})
    daemon.start()
    log_directory.write(1)
    bulk_server.wait_for_lines(1)
    speed = Speed(bulk_server, log_directory, 6000)
    sent = 0
    for name, fault in FAULTS.items():
        speed.measure("without")
        bulk_server.poison, bulk_server.poisoned = (POISON, fault), 0

        def more() -> None:
            nonlocal sent
            sent += 1
            bad.append(poison(sent))

        for _ in range(BODIES):
            more()
        bulk_server.wait_for(lambda: bulk_server.poisoned >= BODIES)
        speed.measure(name, more)
        bulk_server.poison = None
        bulk_server.wait_for_lines(log_directory.written)
        daemon.wait_until_idle()
    print(speed)
    for name in FAULTS:
        speed.assert_good(name)


HUNG_FILES = 24
"""More than any pool has threads."""


@pytest.mark.parametrize("what", [hanging_mount.READS, hanging_mount.ALL], ids=["reads", "all"])
def test_threads_that_a_hanging_mount_holds(
    what: str,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    if reason := hanging_mount.why_not():
        pytest.skip(f"no FUSE file system can be mounted: {reason}")
    behind, mountpoint = tmp_path / "behind", tmp_path / "mount"
    for each in (behind, mountpoint):
        each.mkdir()
    logs = [behind / f"{number}.log" for number in range(HUNG_FILES)]
    line = b'{"time":"2026-01-01T00:00:00Z","x":"hung %d"}\n'

    def write() -> None:
        for number, log in enumerate(logs):
            with log.open("ab") as file:
                file.write(line % number)

    write()
    inputs = [
        {"id": "tetragon", "paths": [log_directory.glob], "on_invalid": "dead_letter"},
        {"id": "hung", "paths": [f"{mountpoint}/*.log"]},
    ]
    daemon = shipper({"inputs": inputs})
    daemon.executed_by = hanging_mount.command(behind, mountpoint)
    daemon.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == HUNG_FILES)
    speed = Speed(bulk_server, log_directory, 6000)
    for number in range(3):
        speed.measure("without")
        daemon.wait_until_idle()
        (behind / what).touch()
        write()
        with gzip.open(behind / f"{number}.log.gz", "wb") as file:
            file.write(line % 1000 * 100)
        daemon.wait_until(lambda: hangs(daemon) > 0, "calls hang")
        speed.measure("with")
        assert "hung: " in daemon.why_not_ready()
        log_directory.append(b"no JSON\n")
        wait_until_counted(daemon, "shipper_events_total", number + 1, outcome="dead_letter")
        commits = daemon.metrics().value("shipper_registry_commits_total")
        log_directory.write(1)
        wait_until_counted(daemon, "shipper_registry_commits_total", commits + 1)
        if number < 2:
            (behind / what).unlink()
            daemon.wait_until_idle()
            daemon.wait_until_ready()
    print(speed)
    speed.assert_good("with")
    assert daemon.sigterm() == 0
    assert daemon.logged("shipper-stopped")


def hangs(daemon: ShipperProcess) -> float:
    return daemon.metrics().value("shipper_hanging_calls")


def wait_until_counted(daemon: ShipperProcess, metric: str, count: float, **labels: str) -> None:
    """Return when a counter is that high."""
    daemon.wait_until(
        lambda: daemon.metrics().value(metric, **labels) >= count, f"{metric}: {count}"
    )
