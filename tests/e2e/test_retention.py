"""Elasticsearch is away, files rotate away meanwhile, and the daemon is killed: nothing is lost, or
what is lost is counted to the line."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from shipper.files.link_names import LinkOwner, link_name
from shipper.files.retention import DIRECTORY
from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.e2e.test_compressed import compress
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

KEEP = 3
"""Backups: the fourth rotation deletes the first."""


@pytest.fixture
def rotating(tmp_path: Path) -> Iterator[LogDirectory]:
    """A log of which each file holds a hundred lines or so, and of which few backups are left."""
    directory = LogDirectory(tmp_path / "rotating", seed=5, max_bytes=200_000, backups=KEEP)
    yield directory
    directory.close()


def tracker(directory: LogDirectory, **options: object) -> dict[str, object]:
    return {"inputs": [{"id": "tetragon", "paths": [directory.glob]}], **options}


def links(directory: LogDirectory) -> list[str]:
    place = directory.path / DIRECTORY
    return os.listdir(place) if place.exists() else []


def kept(directory: LogDirectory) -> list[str]:
    """The links to files that have no other name."""
    place = directory.path / DIRECTORY
    named = {inode_of(path) for path in directory.path.iterdir()}
    found = {name: inode_of(place / name) for name in links(directory)}
    return [name for name, inode in found.items() if inode and inode not in named]


def inode_of(path: Path) -> int:
    """0: it is gone; links are released meanwhile."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def all_are_linked(directory: LogDirectory) -> bool:
    place = directory.path / DIRECTORY
    try:
        linked = {(place / name).stat().st_ino for name in links(directory)}
        return all(path.stat().st_ino in linked for path in directory.files if path != place)
    except FileNotFoundError:
        return False  # A link was released meanwhile.


def held_below(process: ShipperProcess, directory: LogDirectory) -> list[str]:
    """What the daemon has open there; the watch of the directory is no descriptor of it."""
    open_files = []
    for each in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            open_files.append(os.readlink(each))
    return [path for path in open_files if path.startswith(str(directory.path))]


def assert_nothing_is_left(process: ShipperProcess, directory: LogDirectory) -> None:
    """Files that have a name have a link, and nothing else has one; without files nothing stays."""
    process.wait_until(lambda: not kept(directory), "what is done needs no link")
    logs = [path for path in directory.path.iterdir() if path.suffix == ".log"]
    # The link of a gzip goes after the commit that says so of the file which it was made from.
    process.wait_until(lambda: len(links(directory)) == len(logs), "only they have links")
    for path in directory.path.iterdir():
        if path.name != DIRECTORY:
            path.unlink()
    process.wait_until(lambda: not os.listdir(directory.path), "no link is left")
    process.wait_until(lambda: not held_below(process, directory), "no descriptor is left")


def lost(process: ShipperProcess) -> tuple[float, float]:
    """Bytes and lines."""
    page = process.metrics()
    return (
        page.value("shipper_lost_bytes_total", reason="retention"),
        page.value("shipper_lost_lines_total", reason="retention"),
    )


def has_deleted(directory: LogDirectory, count: int) -> bool:
    return directory.writer.backups_deleted >= count


def follows(process: ShipperProcess, path: Path) -> bool:
    return any(file["path"] == str(path) for file in process.status()["files"])


def test_files_that_are_deleted_in_an_outage_are_kept_across_two_kills(
    shipper: MakeShipper, bulk_server: BulkServer, rotating: LogDirectory, tmp_path: Path
) -> None:
    bulk_server.down()
    config = tracker(rotating)
    process = shipper(config, directory=tmp_path / "daemon")
    process.start()
    for deleted in (4, 10, 14):
        while not has_deleted(rotating, deleted):
            # A file at a time: however slow the daemon is, none is gone before it is linked.
            rotating.write(100)
            process.wait_until(partial(all_are_linked, rotating), "all files are linked")
        if deleted < 14:
            process.kill9()
            # A file that is new lives longer than it takes to write as many lines.
            rotating.write(150)
            process = shipper(config, directory=tmp_path / "daemon")
            process.start()
            process.wait_until(partial(all_are_linked, rotating), "all files are linked")
    assert process.metrics().value("shipper_kept_files") > 5
    bulk_server.up()
    assert_delivered_once(process, bulk_server, rotating.written)
    assert lost(process) == (0, 0)
    rotating.close()
    assert_nothing_is_left(process, rotating)
    assert process.metrics().value("shipper_kept_bytes") == 0


def test_copies_of_a_log_that_is_truncated_in_an_outage_are_kept(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.write(100)
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    bulk_server.wait_for_lines(100)
    bulk_server.down()
    for number in range(6):
        log_directory.write(100)
        copy = log_directory.copy_and_truncate()
        process.wait_until(partial(follows, process, copy), "the copy is followed")
        log_directory.delete(copy)
        if number == 3:
            process.kill9()
            process = shipper(directory=tmp_path / "daemon")
            process.start()
    log_directory.write(10)
    bulk_server.up()
    assert_delivered_once(process, bulk_server, 710)
    log_directory.close()
    assert_nothing_is_left(process, log_directory)


def test_what_does_not_fit_the_quota_is_lost_and_counted_to_the_line(
    shipper: MakeShipper, bulk_server: BulkServer, rotating: LogDirectory
) -> None:
    bulk_server.down()
    process = shipper(
        tracker(
            rotating,
            retention={"max_bytes": "500KB"},
            output={"bulk": {"max_events": 20}, "max_in_flight": 1},
        )
    )
    process.start()
    with rotating.writing(400):
        process.wait_until(lambda: lost(process)[1] > 300, "files are given up")
    bulk_server.up()
    process.wait_until_idle()
    audit = bulk_server.audit(rotating.written)
    assert (audit.doubled, audit.strange) == (0, 0)
    assert audit.lost == lost(process)[1] > 0
    assert process.metrics().uncounted_lines == 0

    def said() -> int:
        errors = [entry for entry in process.logs() if entry["log.level"] == "error"]
        return sum(int(entry["shipper.lost_lines"]) for entry in errors)

    # A file is let go, and that is said, once the registry has all of it: with the next scan, if
    # something was committed in between.
    process.wait_until(lambda: said() >= audit.lost, "all losses are logged")
    assert said() == audit.lost


def test_without_links_a_deleted_file_is_read_on_as_long_as_the_daemon_runs(
    shipper: MakeShipper, bulk_server: BulkServer, rotating: LogDirectory
) -> None:
    bulk_server.down()
    process = shipper(tracker(rotating, retention={"enabled": False}))
    process.start()
    with rotating.writing(400):
        process.wait_until(partial(has_deleted, rotating, 5), "files are deleted")
    assert links(rotating) == []
    bulk_server.up()
    bulk_server.wait_for_lines(rotating.written)
    assert bulk_server.audit(rotating.written).passed


def test_a_stop_leaves_links_to_what_has_a_name_or_is_not_done(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.write(50)
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    bulk_server.wait_for_lines(50)
    process.wait_until_idle()
    done = log_directory.rotate()
    bulk_server.down()
    log_directory.write(50)
    process.wait_until(lambda: process.status()["in_flight_events"] == 50, "it is read")
    assert len(links(log_directory)) == 2
    log_directory.delete(done)
    process.wait_until(lambda: len(links(log_directory)) == 1, "what is done is released")
    assert process.sigterm() == 0
    assert len(links(log_directory)) == 1
    log_directory.delete()

    bulk_server.up()
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    assert_delivered_once(again, bulk_server, 100)
    log_directory.close()
    assert_nothing_is_left(again, log_directory)


def test_the_documents_of_a_kept_file_have_the_path_that_it_had(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bulk_server.down()
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    log_directory.write(5)
    process.wait_until(lambda: process.status()["in_flight_events"] == 5, "it is read")
    process.kill9()
    log_directory.delete()
    bulk_server.up()
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    bulk_server.wait_for_lines(5)
    paths = {each["log"]["file"]["path"] for each in bulk_server.documents.values()}
    assert paths == {str(log_directory.log)}


def test_rotated_files_that_are_compressed_in_an_outage_are_kept(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bulk_server.down()
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    for number in range(6):
        log_directory.write(100)
        rotated = log_directory.rotate()
        # Killed in the middle: what is rotated and compressed before the next start is found there.
        if number == 3:
            process.kill9()
        else:
            process.wait_until(partial(follows, process, rotated), "the rotated file is followed")
        compress(rotated)
        if number == 3:
            process = shipper(directory=tmp_path / "daemon")
            process.start()
    log_directory.write(10)
    bulk_server.up()
    assert_delivered_once(process, bulk_server, 610)
    log_directory.close()
    assert_nothing_is_left(process, log_directory)


def test_a_log_that_is_removed_under_its_writer_is_followed_across_a_restart(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.write(5)
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    bulk_server.wait_for_lines(5)
    # The writer does not notice.
    log_directory.log.unlink()
    process.wait_until(lambda: bool(process.logged("log-removed-under-writer")), "it is said")
    for kills in (True, False):
        log_directory.write(5)
        bulk_server.wait_for_lines(log_directory.written)
        if kills:
            process.kill9()
        else:
            assert process.sigterm() == 0
        log_directory.write(5)
        process = shipper(directory=tmp_path / "daemon")
        process.start()
        bulk_server.wait_for_lines(log_directory.written)
    assert len(links(log_directory)) == 1
    log_directory.close()
    assert_delivered_once(process, bulk_server, log_directory.written)
    assert_nothing_is_left(process, log_directory)


def test_a_log_that_is_renamed_out_of_the_globs_is_followed(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    config = {
        "inputs": [
            {"id": "tetragon", "paths": [log_directory.glob], "close_removed_after": "3s"},
        ]
    }
    log_directory.write(5)
    process = shipper(config, directory=tmp_path / "daemon")
    process.start()
    bulk_server.wait_for_lines(5)
    log_directory.log.rename(log_directory.path / "tetragon.log.1")
    process.wait_until(lambda: process.status()["files"] != [], "it is followed")
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    process.kill9()
    log_directory.write(5)
    process = shipper(config, directory=tmp_path / "daemon")
    process.start()
    bulk_server.wait_for_lines(15)
    log_directory.write(5)
    log_directory.close()
    assert_delivered_once(process, bulk_server, 20)
    process.wait_until(lambda: not links(log_directory), "it is quiet, and has a name still")
    assert not process.logged("log-removed-under-writer")


@pytest.mark.parametrize("how", ["cleaned", "removed", "replaced"])
def test_links_that_are_taken_away_in_an_outage_are_made_again_before_a_kill(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    how: str,
) -> None:
    bulk_server.down()
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    log_directory.write(50)
    rotated = log_directory.rotate()
    log_directory.write(50)
    process.wait_until(lambda: len(links(log_directory)) == 2, "both are linked")
    place = log_directory.path / DIRECTORY
    if how == "cleaned":
        for name in links(log_directory):
            (place / name).unlink()
    elif how == "removed":
        shutil.rmtree(place)
    else:
        place.rename(tmp_path / "elsewhere")
        place.mkdir(mode=0o777)
    process.wait_until(lambda: len(links(log_directory)) == 2, "they are linked again")
    process.kill9()
    log_directory.delete(rotated)
    log_directory.delete()
    shutil.rmtree(tmp_path / "elsewhere", ignore_errors=True)
    bulk_server.up()
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    log_directory.close()
    assert_delivered_once(again, bulk_server, 100)
    assert_nothing_is_left(again, log_directory)


@pytest.mark.parametrize("lost", ["agent.id", "*"])
def test_links_are_adopted_after_the_agent_id_or_the_whole_data_directory_was_lost(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    lost: str,
) -> None:
    bulk_server.down()
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    log_directory.write(20)
    process.wait_until(lambda: process.status()["in_flight_events"] == 20, "it is read")
    process.kill9()
    log_directory.delete()
    for path in (tmp_path / "daemon" / "data").glob(lost):
        path.unlink()
    bulk_server.up()
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    log_directory.close()
    assert_delivered_once(again, bulk_server, 20)
    assert_nothing_is_left(again, log_directory)


def test_links_with_the_names_of_version_0_1_are_adopted(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.write(20)
    process = shipper(directory=tmp_path / "daemon")
    owner = LinkOwner("", "tetragon", str(tmp_path / "daemon" / "data"))
    place = log_directory.path / DIRECTORY
    place.mkdir(mode=0o700)
    inode = log_directory.log.stat().st_ino
    name = link_name(owner.former_token, inode, str(log_directory.log))
    (place / name).hardlink_to(log_directory.log)
    log_directory.delete()
    log_directory.close()
    process.start()
    assert_delivered_once(process, bulk_server, 20)
    assert_nothing_is_left(process, log_directory)
