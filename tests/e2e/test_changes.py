"""Every way in which a log can change under us; docs/files.md names these tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import pytest

from shipper.errors import RegistryError
from shipper.files.registry import read_records
from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once, lines_read, ship, ship_and_stop
from tests.support.bulk_server import BulkServer
from tests.support.faults import Gate, Held
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess


def assert_all_there_once(
    process: ShipperProcess, server: BulkServer, directory: LogDirectory
) -> None:
    assert_delivered_once(process, server, directory.written)
    for reason in ("rewritten", "retention"):
        assert process.metrics().value("shipper_lost_bytes_total", reason=reason) == 0


def test_several_rotations_between_two_looks(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    process.start()
    log_directory.write(10)
    bulk_server.wait_for_lines(10)
    for _ in range(5):
        log_directory.write(10)
        log_directory.rotate()
    log_directory.write(10)
    assert_all_there_once(process, bulk_server, log_directory)
    assert lines_read(process) == 70


def test_several_rotations_while_the_daemon_is_down(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    ship_and_stop(process, bulk_server, log_directory, 10)
    for _ in range(4):
        log_directory.write(10)
        log_directory.rotate()
    log_directory.write(10)
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    assert_all_there_once(again, bulk_server, log_directory)
    assert lines_read(again) == 50


def test_copy_and_truncate_of_lines_that_are_read_and_not_acknowledged(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    gate = Gate()
    process = shipper({"output": {"max_in_flight": 1}})
    process.start()
    log_directory.write(100)
    bulk_server.wait_for_lines(100)
    bulk_server.next(Held(gate))
    log_directory.write(50)
    gate.wait_until_reached()
    log_directory.write(50)
    log_directory.copy_and_truncate()
    log_directory.write(20)
    gate.open()
    assert_all_there_once(process, bulk_server, log_directory)


def test_copy_and_truncate_while_the_daemon_is_down(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    ship_and_stop(process, bulk_server, log_directory, 100)
    log_directory.write(30)
    log_directory.copy_and_truncate()
    log_directory.write(20)
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    assert_all_there_once(again, bulk_server, log_directory)
    assert lines_read(again) == 50


@pytest.mark.parametrize("lines", [3, 400], ids=["shorter", "longer"])
def test_truncated_and_rewritten_with_other_content(
    lines: int, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    ship(process, bulk_server, log_directory, 100)
    log_directory.truncate()
    log_directory.write(lines)
    assert_all_there_once(process, bulk_server, log_directory)
    assert process.metrics().value("shipper_files_rewritten_total", input="tetragon") == 1


def test_rewritten_with_the_same_first_line_and_others_after_it(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    first = b'{"first":"line","time":"2026-01-01T00:00:00Z"}\n'
    log_directory.append(first + b'{"a":1}\n{"a":2}\n')
    process = shipper()
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 3)
    process.wait_until_idle()
    with log_directory.log.open("r+b") as file:
        file.truncate()
        file.write(first + b'{"b":1}\n{"b":2}\n{"b":3}\n')
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 6)
    # The first line is the same line of the same file: there once.
    assert sorted(bulk_server.messages()) == sorted(
        [first.decode().strip(), '{"a":1}', '{"a":2}', '{"b":1}', '{"b":2}', '{"b":3}']
    )


def test_a_log_that_is_trimmed_in_place_is_another_file(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    """Its lines stand at other offsets now, as if they had been written again: none is missed, and
    those that stayed are stored twice."""
    process = shipper()
    ship(process, bulk_server, log_directory, 60)
    stayed = log_directory.log.read_bytes().splitlines(keepends=True)[-20:]
    log_directory.truncate()
    log_directory.append(b"".join(stayed))
    log_directory.write(1)
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 81)
    process.wait_until_idle()
    assert len(bulk_server.documents) == 81
    assert len(set(bulk_server.messages())) == 61
    twice = [m for m in set(bulk_server.messages()) if bulk_server.messages().count(m) == 2]
    assert sorted(twice) == sorted(line.decode().rstrip("\n") for line in stayed)
    assert process.metrics().value("shipper_files_rewritten_total", input="tetragon") == 1
    assert process.metrics().value("shipper_lost_bytes_total") == 0


def test_two_files_that_begin_with_the_same_line(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    first = b'{"first":"line","time":"2026-01-01T00:00:00Z"}\n'
    (log_directory.path / "a.log").write_bytes(first + b'{"a":1}\n{"a":2}\n')
    (log_directory.path / "b.log").write_bytes(first + b'{"b":1}\n')
    process = shipper()
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 4)
    process.wait_until_idle()
    assert process.metrics().uncounted_lines == 0
    assert {'{"a":1}', '{"a":2}', '{"b":1}'} < set(bulk_server.messages())


def test_replaced_by_another_file(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    process.start()
    log_directory.write(20)
    bulk_server.wait_for_lines(20)
    log_directory.replace()
    log_directory.write(20)
    assert_all_there_once(process, bulk_server, log_directory)


def test_deleted_and_made_again_with_the_same_inode(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    ship_and_stop(process, bulk_server, log_directory, 20)
    # Nobody holds the inode now, so most file systems give it to the next file at once.
    log_directory.delete()
    log_directory.write(30)
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    assert_all_there_once(again, bulk_server, log_directory)


def test_hard_links_and_symbolic_links_to_one_file_are_one_file(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(20)
    os.link(log_directory.log, log_directory.path / "hard.log")
    (log_directory.path / "soft.log").symlink_to(log_directory.log)
    inputs = [{"id": "tetragon", "paths": [log_directory.glob], "symlinks": True}]
    process = shipper({"inputs": inputs})
    process.start()
    assert_all_there_once(process, bulk_server, log_directory)
    assert lines_read(process) == 20
    assert len(process.status()["files"]) == 1


def test_without_symlinks_a_file_behind_a_symbolic_link_is_left_out(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    other = tmp_path / "other.log"
    other.write_bytes(b'{"not": "to be shipped"}\n')
    (log_directory.path / "link.log").symlink_to(other)
    log_directory.write(20)
    paths = [f"{log_directory.path}/*.log"]
    # The log is renamed out of the globs below, where it still has a name.
    process = shipper({"inputs": [{"id": "tetragon", "paths": paths, "close_removed_after": "1s"}]})
    process.start()
    assert_all_there_once(process, bulk_server, log_directory)
    assert lines_read(process) == 20
    (said,) = process.logged("symlink-skipped")
    assert said["file.path"] == str(log_directory.path / "link.log")
    # A gzip behind a link, and a link in the place of a log that is written to under another name.
    (log_directory.path / "link2.log.gz").symlink_to(other)
    log_directory.log.rename(log_directory.path / "moved")
    log_directory.log.symlink_to(other)
    (log_directory.path / "moved").write_bytes(b"")
    process.wait_until(lambda: process.status()["files"] == [], "nothing is followed")
    (log_directory.path / "last.log").write_bytes(b'{"last":1}\n')
    bulk_server.wait_for(lambda: '{"last":1}' in bulk_server.messages())
    assert len(bulk_server.documents) == 21


def test_a_symbolic_link_that_moves_to_another_file(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    link = tmp_path / "current.log"
    link.symlink_to(log_directory.log)
    inputs = [{"id": "tetragon", "paths": [str(link)], "symlinks": True}]
    process = shipper({"inputs": inputs})
    process.start()
    log_directory.write(20)
    bulk_server.wait_for_lines(20)
    log_directory.rotate()
    log_directory.write(20)
    other = log_directory.path / "other.log"
    log_directory.log.rename(other)
    new = tmp_path / "new"
    new.symlink_to(other)
    new.rename(link)
    assert_all_there_once(process, bulk_server, log_directory)


def test_a_directory_that_is_moved_away_and_back(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper()
    process.start()
    log_directory.write(20)
    bulk_server.wait_for_lines(20)
    away = tmp_path / "away"
    log_directory.path.rename(away)
    process.wait_until(lambda: bool(process.logged("directory-missing")), "it is missed")
    away.rename(log_directory.path)
    log_directory.write(20)
    assert_all_there_once(process, bulk_server, log_directory)
    assert lines_read(process) == 40


@pytest.mark.parametrize("length", [10, 100_000], ids=["incomplete", "long"])
def test_a_file_is_known_as_soon_as_its_first_line_can_be(
    length: int, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    line = b'{"first":"%b"}' % (b"x" * length)
    log_directory.append(line[: length // 2])
    process = shipper()
    process.start()
    process.wait_until(lambda: len(process.status()["files"]) == 1, "it is found")
    log_directory.append(line[length // 2 :] + b"\n")
    bulk_server.wait_for(lambda: bulk_server.messages() == [line.decode()])


def test_an_empty_file_that_gets_its_lines_later(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    assert log_directory.log.stat().st_size == 0
    process = shipper()
    process.start()
    process.wait_until(lambda: len(process.status()["files"]) == 1, "it is found")
    log_directory.write(10)
    assert_all_there_once(process, bulk_server, log_directory)


def test_a_last_line_without_a_newline_is_shipped_once_its_file_is_gone_and_has_no_writer(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.append(b'{"a":1}\n{"last":"line"}')
    process = shipper()
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 1)
    log_directory.log.unlink()
    process.wait_until(lambda: bool(process.logged("log-removed-under-writer")), "it is noticed")
    assert bulk_server.messages() == ['{"a":1}']
    log_directory.close()
    bulk_server.wait_for(lambda: bulk_server.messages() == ['{"a":1}', '{"last":"line"}'])


def test_the_registry_is_deleted_while_the_daemon_runs(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    log_directory.write(20)
    bulk_server.wait_for_lines(20)
    data = tmp_path / "daemon/data"
    for file in data.glob("registry.db*"):
        file.unlink()
    log_directory.write(20)
    bulk_server.wait_for_lines(40)
    size = log_directory.log.stat().st_size

    def is_saved() -> bool:
        with contextlib.suppress(RegistryError):
            return [found.offset for found in read_records(data)] == [size]
        return False

    process.wait_until(is_saved, "the registry is there again")
    process.kill9()
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    log_directory.write(5)
    assert_all_there_once(again, bulk_server, log_directory)
    assert again.metrics().by("shipper_events_total", "outcome")["already_delivered"] == 0


def test_only_what_is_added_is_shipped_with_start_at_end(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.append(b'{"old":1}\n{"old":2}\n{"half":')
    inputs = [{"id": "tetragon", "paths": [log_directory.glob], "start_at": "end"}]
    process = shipper({"inputs": inputs}, directory=tmp_path / "daemon")
    process.start()
    process.wait_until(lambda: bool(process.logged("file-opened")), "it is found")
    log_directory.append(b'"line"}\n')
    bulk_server.wait_for(lambda: bulk_server.messages() == ['{"half":"line"}'])
    process.wait_until_idle()
    process.kill9()
    # What comes while it is down is no longer "there when it is used for the first time".
    new = log_directory.path / "new.log"
    new.write_bytes(b'{"new":1}\n')
    again = shipper({"inputs": inputs}, directory=tmp_path / "daemon")
    again.start()
    bulk_server.wait_for(lambda: bulk_server.messages() == ['{"half":"line"}', '{"new":1}'])


def test_old_files_are_ignored_until_something_is_added(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    old = log_directory.path / "old.log"
    old.write_bytes(b'{"old":1}\n')
    a_day_ago = time.time() - 86400
    os.utime(old, (a_day_ago, a_day_ago))
    log_directory.write(3)
    inputs = [{"id": "tetragon", "paths": [log_directory.glob], "ignore_older": "1h"}]
    process = shipper({"inputs": inputs})
    process.start()
    bulk_server.wait_for_lines(3)
    process.wait_until(lambda: len(process.logged("file-opened")) == 2, "found")
    with old.open("ab") as file:
        file.write(b'{"added":1}\n')
    bulk_server.wait_for(lambda: '{"added":1}' in bulk_server.messages())
    assert len(bulk_server.documents) == 4


def test_files_that_are_excluded_are_left_out(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    (log_directory.path / "debug-1.log").write_bytes(b'{"debug":1}\n')
    log_directory.write(3)
    exclude = [f"{log_directory.path}/debug-*.log"]
    process = shipper(
        {"inputs": [{"id": "tetragon", "paths": [log_directory.glob], "exclude": exclude}]}
    )
    process.start()
    assert_all_there_once(process, bulk_server, log_directory)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no file system of memory here")
def test_logs_on_a_file_system_of_memory(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path
) -> None:
    place = Path("/dev/shm") / f"shipper-{os.getpid()}-{tmp_path.name}"
    directory = LogDirectory(place)
    try:
        process = shipper({"inputs": [{"id": "tetragon", "paths": [directory.glob]}]})
        process.start()
        directory.write(50)
        directory.rotate()
        directory.write(50)
        assert_all_there_once(process, bulk_server, directory)
    finally:
        directory.close()
        shutil.rmtree(place)
