"""Another file system is mounted over `.shipper` in an outage, where it can have no link to a log,
or over the logs themselves, while they are written and rotated."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import shipper as package
from shipper.files.registry import read_losses
from shipper.files.retention import DIRECTORY
from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")
LINES = 200


@pytest.fixture(autouse=True)
def mounts_are_allowed(tmp_path: Path) -> None:
    """In a namespace of the daemon's own, that is, which is gone with it."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("unshare and nsenter (util-linux) are not installed")
    mount = [*UNSHARE, "mount", "-t", "tmpfs", "none", str(tmp_path)]
    found = subprocess.run(mount, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"no mount in a namespace of our own is allowed: {found.stderr.strip()}")


def inside(process: ShipperProcess, *command: str | Path) -> None:
    """Run a command where the daemon's mounts are."""
    enter = ["nsenter", "--target", str(process.pid), "--user", "--mount", "--preserve-credentials"]
    subprocess.run([*enter, *command], check=True)


@pytest.fixture
def mounted(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> Callable[[], ShipperProcess]:
    """Start a daemon in an outage, write, and mount a file system over `.shipper`."""

    def start() -> ShipperProcess:
        bulk_server.down()
        process = shipper(directory=tmp_path / "daemon")
        process.executed_by = UNSHARE
        log_directory.write(LINES // 2)
        process.start()
        place = log_directory.path / DIRECTORY
        process.wait_until(lambda: place.exists() and len(os.listdir(place)) == 1, "a link")
        log_directory.write(LINES // 2)
        inside(process, "mount", "-t", "tmpfs", "-o", "mode=0700", "none", place)
        process.wait_until(
            lambda: bool(process.logged("link-directory-replaced")), "the mount is noticed"
        )
        process.wait_until(lambda: bool(process.logged("file-link-failed")), "it is said")
        return process

    return start


def test_a_removed_log_is_shipped_through_its_descriptor(
    mounted: Callable[[], ShipperProcess], bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = mounted()
    log_directory.delete()
    bulk_server.up()
    assert_delivered_once(process, bulk_server, LINES)
    assert process.sigterm() == 0


def test_after_a_kill_the_links_below_the_mount_are_adopted(
    mounted: Callable[[], ShipperProcess],
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    process = mounted()
    log_directory.delete()
    process.kill9()
    bulk_server.up()
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    assert_delivered_once(process, bulk_server, LINES)
    new = [log_directory.log.stat().st_ino]

    def linked() -> list[int]:
        return [path.stat().st_ino for path in (log_directory.path / DIRECTORY).iterdir()]

    process.wait_until(lambda: linked() == new, "only the new log has a link")
    assert read_losses(tmp_path / "daemon" / "data") == []
    assert process.sigterm() == 0


def test_when_it_is_unmounted_links_are_made_in_the_old_one_and_nothing_is_left_over(
    mounted: Callable[[], ShipperProcess], bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = mounted()
    place = log_directory.path / DIRECTORY
    rotated = log_directory.rotate()
    log_directory.write(LINES)
    inside(process, "umount", "--lazy", place)
    process.wait_until(lambda: len(os.listdir(place)) == 2, "both files have links")
    for path in (rotated, log_directory.log):
        path.unlink()
    log_directory.close()
    bulk_server.up()
    assert_delivered_once(process, bulk_server, 2 * LINES)
    process.wait_until(lambda: not place.exists(), "nothing is left over")
    assert process.sigterm() == 0


WRITER = """
import os, pathlib, random, sys, threading
from shipper.demo.generator import LogWriter

class Writer(LogWriter):
    def _append(self, data):
        ours = os.fstat(self._descriptor)
        if not self.path.exists() or not os.path.samestat(ours, self.path.stat()):
            self._open()  # Closing the other one would be told.
        super()._append(data)

directory, count = sys.argv[1:]
writer = Writer(pathlib.Path(directory), random.Random(1), max_bytes=750_000, backups=3)
writer.run(1000, threading.Event(), int(count))
"""
"""Rotates about twice a second: a file lives two seconds. It writes to what stands at its path, so
that nothing happens in a directory that is mounted over."""

WRITTEN = 8000


@pytest.fixture
def write_inside() -> Iterator[Callable[[ShipperProcess, Path], subprocess.Popen[bytes]]]:
    """Start the writer where the daemon's mounts are."""
    writers: list[subprocess.Popen[bytes]] = []

    def start(process: ShipperProcess, directory: Path) -> subprocess.Popen[bytes]:
        enter = ["nsenter", "--target", str(process.pid), "--user", "--mount"]
        write: list[str] = [sys.executable, "-c", WRITER, str(directory), str(WRITTEN)]
        environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
        writers.append(
            subprocess.Popen([*enter, "--preserve-credentials", *write], env=environment)
        )
        return writers[-1]

    yield start
    for writer in writers:
        writer.kill()
        writer.wait()


def test_a_log_that_rotates_is_followed_when_its_directory_is_mounted_over_and_unmounted(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    tmp_path: Path,
    write_inside: Callable[[ShipperProcess, Path], subprocess.Popen[bytes]],
) -> None:
    """Eight seconds of writing: a mount that is found by the next walk only loses whole files."""
    logs = tmp_path / "logs"
    logs.mkdir()
    # Walks come too late for every file that lives two seconds.
    source = {"id": "tetragon", "paths": [f"{logs}/*.log"], "scan_interval": "30s"}
    process = shipper({"inputs": [source]}, directory=tmp_path / "daemon")
    process.executed_by = UNSHARE
    process.start()
    process.wait_until_idle()
    # Nothing is there that anybody writes to: nothing tells but the mount.
    inside(process, "mount", "-t", "tmpfs", "-o", "mode=0755", "none", logs)
    writer = write_inside(process, logs)
    bulk_server.wait_for_lines(WRITTEN // 2)
    # What is there is known: only what comes after that is asked for.
    writer.send_signal(signal.SIGSTOP)
    process.wait_until_idle()
    inside(process, "umount", "--lazy", logs)
    writer.send_signal(signal.SIGCONT)
    assert writer.wait() == 0
    assert_delivered_once(process, bulk_server, WRITTEN)
    assert read_losses(tmp_path / "daemon" / "data") == []
    assert process.sigterm() == 0
