"""The two scenarios in which lines were lost without a record, as often as they need to be run:
rotated files that are compressed in an outage with a kill, and a quota that is exceeded by files of
which lines are in flight."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipper.files.registry import read_losses
from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.e2e.test_compressed import compress
from tests.support.bulk_server import BulkServer
from tests.support.faults import Document
from tests.support.logdir import LogDirectory

pytestmark = pytest.mark.long

RATE = 3000.0
LINES = 60_000
TIMES = 10
LOSS = "log-lines-lost"


class Compressing:
    """Tetragon with `-compress`: of so many rotated files all but the newest are gzips."""

    def __init__(self, directory: LogDirectory, backups: int) -> None:
        self._directory = directory
        self._backups = backups

    def look(self) -> None:
        """Compress what was rotated, and delete what is too old."""
        for path in self._directory.writer.backups():
            compress(path)
        gzips = sorted(self._directory.path.glob("*.gz"))
        for path in gzips[: -self._backups or None]:
            path.unlink()


@contextmanager
def writing(directory: LogDirectory, backups: int) -> Iterator[threading.Event]:
    """Write all lines at the rate while the block lasts, and compress; the event: it is over."""
    over, stop = threading.Event(), threading.Event()
    compressing = Compressing(directory, backups)

    def work() -> None:
        began = time.monotonic()
        while directory.written < LINES and not stop.is_set():
            due = int((time.monotonic() - began) * RATE) - directory.written
            directory.write(max(0, min(due, 300, LINES - directory.written)))
            compressing.look()
            time.sleep(0.01)
        over.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield over
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("pattern", ["*.log", "*.log*"])
@pytest.mark.parametrize("time_of_it", range(TIMES))
def test_compressed_files_of_an_outage_survive_a_kill(
    pattern: str, time_of_it: int, shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path
) -> None:
    directory = LogDirectory(tmp_path / "compressing", seed=time_of_it, max_bytes=1_000_000)
    config = {
        "inputs": [{"id": "tetragon", "paths": [f"{directory.path}/{pattern}"]}],
        "shutdown_timeout": "2s",
    }
    home = tmp_path / "daemon"
    process = shipper(config, directory=home)
    process.start()
    began = time.monotonic()

    def wait_until_second(second: float) -> None:
        time.sleep(max(0.0, began + second - time.monotonic()))

    with writing(directory, backups=60) as over:
        wait_until_second(3)
        bulk_server.down()
        wait_until_second(5)
        process.kill9()
        process = shipper(config, directory=home)
        process.start()
        wait_until_second(9)
        bulk_server.up()
        assert over.wait(120)
    directory.close()
    assert_delivered_once(process, bulk_server, LINES)
    assert read_losses(home / "data") == []
    assert process.sigterm() == 0


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("time_of_it", range(TIMES))
def test_what_a_quota_costs_in_an_outage_is_recorded_to_the_line(
    kind: signal.Signals,
    time_of_it: int,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    tmp_path: Path,
) -> None:
    lines = 15_000
    directory = LogDirectory(tmp_path / "rotating", seed=time_of_it, max_bytes=2_000_000, backups=2)
    config = {
        "inputs": [{"id": "tetragon", "paths": [directory.glob]}],
        "retention": {"max_bytes": "8MB"},
        "shutdown_timeout": "2s",
    }
    home = tmp_path / "daemon"
    bulk_server.down()
    process = shipper(config, directory=home)
    process.start()
    directory.writer.run(1500.0, threading.Event(), lines)
    directory.close()

    def recorded() -> int:
        return sum(row.loss.lines or 0 for row in read_losses(home / "data"))

    process.wait_until(lambda: recorded() > 0, "the quota is exceeded, and files are given up", 30)
    process.send(kind)
    process.wait(30)
    bulk_server.up()
    process = shipper(config, directory=home)
    process.start()
    process.wait_until_ready()
    process.wait_until_idle()

    def is_recorded() -> bool:
        return bulk_server.audit(lines).lost == recorded()

    process.wait_until(is_recorded, "what is missing is recorded", 30)
    assert all(row.loss.lines is not None for row in read_losses(home / "data"))
    assert bulk_server.audit(lines).doubled == 0
    bulk_server.wait_for(lambda: len(losses_at(bulk_server)) == len(read_losses(home / "data")))
    assert process.sigterm() == 0


def losses_at(server: BulkServer) -> list[Document]:
    """The documents of losses that the cluster has."""
    return [
        document
        for document in list(server.documents.values())
        if document.get("event", {}).get("action") == LOSS
    ]
