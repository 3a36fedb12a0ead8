"""Another file system is mounted over `.shipper` in an outage: it can have no link to a log."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

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
