"""kill -9 at random moments, while files grow and rotate and answers are lost: each line once."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.support.bulk_server import BulkServer
from tests.support.faults import CutAnswer, CutBefore, Garbage, LostAnswer, Status
from tests.support.logdir import LogDirectory

RATE = 1500.0
"""Lines a second."""


def kill_again_and_again(
    kills: int,
    shipper: MakeShipper,
    server: BulkServer,
    directory: LogDirectory,
    home: Path,
) -> None:
    """Ship with a daemon that is killed so many times; the audit has to be clean."""
    config = {"inputs": [{"id": "tetragon", "paths": [directory.glob]}]}
    rng = random.Random(kills)
    for fault in (LostAnswer(), CutAnswer(), Garbage(), CutBefore(), Status(503)):
        server.rates[fault] = 0.1
    server.item_rates[429] = 0.05
    with directory.writing(RATE):
        for _ in range(kills):
            process = shipper(config, directory=home)
            process.start(wait=False)
            # Anywhere between its first instruction and well under way.
            time.sleep(rng.uniform(0.0, 1.0))
            process.kill9()
    last = shipper(config, directory=home)
    last.start()
    assert_delivered_once(last, server, directory.written)
    assert directory.written >= kills * 100
    assert not last.logged("registry-replaced")
    assert last.sigterm() == 0


@pytest.fixture
def rotating(tmp_path: Path) -> LogDirectory:
    """A log that rotates every 150 lines or so; nothing is deleted."""
    return LogDirectory(tmp_path / "rotating", seed=3, max_bytes=300_000, split_share=0.01)


def test_every_line_arrives_once_although_the_daemon_is_killed_30_times(
    shipper: MakeShipper, bulk_server: BulkServer, rotating: LogDirectory, tmp_path: Path
) -> None:
    kill_again_and_again(30, shipper, bulk_server, rotating, tmp_path / "daemon")


@pytest.mark.long
def test_every_line_arrives_once_although_the_daemon_is_killed_500_times(
    shipper: MakeShipper, bulk_server: BulkServer, rotating: LogDirectory, tmp_path: Path
) -> None:
    kill_again_and_again(500, shipper, bulk_server, rotating, tmp_path / "daemon")


def test_a_daemon_that_is_stopped_and_continued_is_left_alone_by_its_watchdog(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    """Takes twice the watchdog's limit: that is the point."""
    log_directory.write(5)
    process = shipper({"watchdog": "1s"})
    process.start()
    bulk_server.wait_for_lines(5)
    process.send(signal.SIGSTOP)
    time.sleep(2.0)
    process.send(signal.SIGCONT)
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    assert process.logged("event-loop-stalled") == []
    assert process.sigterm() == 0
    assert process.logged("stop-timed-out") == []
