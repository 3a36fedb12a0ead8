"""From Filebeat to shipper: the real daemon begins with Filebeat's registry, and ships the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once, lines_read
from tests.e2e.test_compressed import compress
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE
from tests.support.filebeat import FilebeatRegistry, by_path, fingerprint, native, snapshot
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

DONE = "filebeat-registry-imported"


@pytest.fixture
def filebeat(tmp_path: Path) -> FilebeatRegistry:
    return FilebeatRegistry(tmp_path / "filebeat")


def deliver(filebeat: FilebeatRegistry, server: BulkServer, path: Path, identity: str) -> int:
    """Do as Filebeat: have all lines of a file stored, and write down how far that is."""
    content = path.read_bytes()
    for number, line in enumerate(content.splitlines()):
        server.add_document(f"filebeat-{path.name}-{number}", line.decode())
    filebeat.read(path, len(content), identity=identity)
    return len(content)


def deliver_all(
    filebeat: FilebeatRegistry,
    server: BulkServer,
    directory: LogDirectory,
    lines: int,
    identity: Callable[[Path], str],
) -> None:
    """Write so many lines, and have Filebeat deliver what is in the log."""
    directory.write(lines)
    deliver(filebeat, server, directory.log, identity(directory.log))


def taking_over(filebeat: FilebeatRegistry) -> dict[str, Any]:
    return {"registry": {"import_from": str(filebeat.data)}}


def took_over(shipper: MakeShipper, filebeat: FilebeatRegistry) -> ShipperProcess:
    """Start a daemon that goes on where Filebeat was."""
    process = shipper(taking_over(filebeat))
    process.start()
    return process


def assert_only_the_rest(
    process: ShipperProcess, server: BulkServer, total: int, rest: int
) -> None:
    """Nothing is missing, nothing is there twice, and no more than the rest was read."""
    assert_delivered_once(process, server, total)
    assert lines_read(process) == rest
    assert len(process.logged(DONE)) == 1


@pytest.mark.parametrize("identity", [native, fingerprint, by_path])
@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_filebeats_files_are_carried_on_where_it_was(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
    identity: Any,
    with_checkpoint: bool,
) -> None:
    log_directory.write(60)
    path = log_directory.log
    if identity is not by_path:
        path = log_directory.rotate()
        log_directory.write(40)
        deliver(filebeat, bulk_server, log_directory.log, identity(log_directory.log))
    deliver(filebeat, bulk_server, path, identity(path))
    if with_checkpoint:
        filebeat.checkpoint()
    before = snapshot(filebeat.data)
    written = log_directory.written
    log_directory.write(25)
    process = shipper(taking_over(filebeat))
    process.start()
    assert_only_the_rest(process, bulk_server, written + 25, 25)
    log_directory.write(5)
    assert_only_the_rest(process, bulk_server, written + 30, 30)
    assert snapshot(filebeat.data) == before


def test_a_second_start_goes_on_at_its_own_offsets(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
    tmp_path: Path,
) -> None:
    deliver_all(filebeat, bulk_server, log_directory, 50, native)
    log_directory.write(10)
    process = shipper(taking_over(filebeat), directory=tmp_path / "daemon")
    process.start()
    assert_only_the_rest(process, bulk_server, 60, 10)
    process.kill9()
    log_directory.write(10)
    again = shipper(taking_over(filebeat), directory=tmp_path / "daemon")
    again.start()
    assert_delivered_once(again, bulk_server, 70)
    # What the log has is of both starts.
    assert len(again.logged(DONE)) == 1
    assert lines_read(again) <= 20


def test_rotated_by_rename_since_filebeat_was_stopped(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
) -> None:
    deliver_all(filebeat, bulk_server, log_directory, 50, native)
    for _ in range(3):
        log_directory.write(10)
        log_directory.rotate()
    log_directory.write(10)
    assert_only_the_rest(took_over(shipper, filebeat), bulk_server, 90, 40)


@pytest.mark.parametrize("identity", [native, fingerprint])
def test_copied_and_truncated_since_filebeat_was_stopped(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
    identity: Any,
) -> None:
    deliver_all(filebeat, bulk_server, log_directory, 50, identity)
    log_directory.write(10)
    log_directory.copy_and_truncate()
    log_directory.write(20)
    assert_only_the_rest(took_over(shipper, filebeat), bulk_server, 80, 30)


@pytest.mark.parametrize("identity", [native, fingerprint])
def test_rotated_and_compressed_since_filebeat_was_stopped(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
    identity: Any,
) -> None:
    deliver_all(filebeat, bulk_server, log_directory, 50, identity)
    log_directory.write(10)
    compress(log_directory.rotate())
    log_directory.write(20)
    compress(log_directory.rotate())
    log_directory.write(20)
    assert_only_the_rest(took_over(shipper, filebeat), bulk_server, 100, 50)


def test_what_was_compressed_while_filebeat_ran_is_not_sent_again(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
) -> None:
    deliver_all(filebeat, bulk_server, log_directory, 50, native)
    (key,) = filebeat.state
    compress(log_directory.rotate())
    filebeat.remove(key)
    log_directory.write(20)
    assert_only_the_rest(took_over(shipper, filebeat), bulk_server, 70, 20)


def test_an_inode_that_is_used_again_costs_the_new_file_nothing(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
) -> None:
    log_directory.write(50)
    lines = log_directory.log.read_bytes().splitlines(keepends=True)
    # A key of a file that is gone: an hour ago another one had this inode, and a line of that
    # ended where one of this does.
    hour_ago = log_directory.log.stat().st_mtime_ns - 3600 * 10**9
    filebeat.read(
        log_directory.log,
        sum(map(len, lines[:30])),
        source=log_directory.path / "tetragon-2026-11-01T00-00-00.000.log",
        updated=hour_ago,
    )
    process = shipper({"inputs": [input_at_end(log_directory)]} | taking_over(filebeat))
    process.start()
    assert_only_the_rest(process, bulk_server, 50, 50)


def input_at_end(log_directory: LogDirectory) -> dict[str, Any]:
    """An input that would skip what is there, were it not known to Filebeat."""
    return {"id": "tetragon", "paths": [log_directory.glob], "start_at": "end"}


def test_a_registry_in_the_data_directory_is_found_by_itself(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
    tmp_path: Path,
) -> None:
    # `path.data` and `data_dir` are the same directory of the node.
    deliver_all(filebeat, bulk_server, log_directory, 50, native)
    log_directory.write(10)
    shutil.copytree(filebeat.data, tmp_path / "daemon" / "data")
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    assert_only_the_rest(process, bulk_server, 60, 10)


def test_a_registry_of_ours_that_is_damaged_begins_with_filebeats_again(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
    tmp_path: Path,
) -> None:
    # Ours are known by their ids, Filebeat's are not.
    deliver_all(filebeat, bulk_server, log_directory, 50, native)
    log_directory.write(10)
    process = shipper(taking_over(filebeat), directory=tmp_path / "daemon")
    process.start()
    assert_only_the_rest(process, bulk_server, 60, 10)
    process.kill9()
    (tmp_path / "daemon" / "data" / "registry.db").write_bytes(b"nonsense" * 1000)
    again = shipper(taking_over(filebeat), directory=tmp_path / "daemon")
    again.start()
    log_directory.write(10)
    assert_delivered_once(again, bulk_server, 70)


def test_a_half_written_registry_is_read_as_far_as_it_is_sound(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    filebeat: FilebeatRegistry,
) -> None:
    deliver_all(filebeat, bulk_server, log_directory, 50, native)
    with filebeat.log.open("ab") as file:
        file.write(b'{"op":"set","id":2}\n{"k":"filestream::tetragon::nat' + b"\0" * 100)
    log_directory.write(10)
    process = shipper(taking_over(filebeat))
    process.start()
    assert_only_the_rest(process, bulk_server, 60, 10)
    (said,) = process.logged("filebeat-registry-damaged")
    assert said["event.reason"] == "log.json: line 4 is damaged; nothing after it is read"


def test_a_registry_that_cannot_be_read_ends_the_daemon_in_words(
    shipper: MakeShipper, log_directory: LogDirectory, filebeat: FilebeatRegistry
) -> None:
    log_directory.write(1)
    filebeat.log.unlink()
    filebeat.log.symlink_to(filebeat.log)
    process = shipper(taking_over(filebeat))
    process.start(wait=False)
    assert process.wait(PATIENCE) == 1
    said = process.logs()[-1]
    assert said["event.action"] == "fatal"
    assert said["error.message"].startswith("Filebeat's registry cannot be read: ")
    assert said["shipper.where"] == str(filebeat.log)
    assert "registry.import_from" in said["shipper.hint"]
    assert "Traceback" not in json.dumps(process.logs())
