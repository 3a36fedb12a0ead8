"""Rotated logs that were compressed while nobody looked: carried on at the right line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from shipper.files.registry import read_records
from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once, lines_read, ship_and_stop
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess


def compress(path: Path) -> Path:
    """Do as lumberjack does: make NAME.gz, then delete NAME."""
    packed = path.with_name(f"{path.name}.gz")
    with gzip.GzipFile(packed, "wb", mtime=0) as file:
        file.write(path.read_bytes())
    path.unlink()
    return packed


def offsets(process: ShipperProcess) -> dict[str, int]:
    """Return how far each file is acknowledged in the registry, by path."""
    return {found.path: found.offset for found in read_records(Path(process.config["data_dir"]))}


def test_what_was_compressed_while_the_daemon_was_down_is_carried_on(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    ship_and_stop(process, bulk_server, log_directory, 100)

    log_directory.write(50)
    first = log_directory.rotate()
    log_directory.write(30)
    second = log_directory.rotate()
    compress(first)
    compress(second)
    log_directory.write(20)
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    assert_delivered_once(again, bulk_server, 200)
    # Of the first file only what was not acknowledged.
    assert lines_read(again) == 100
    assert again.metrics().uncounted_lines == 0


def test_what_was_done_is_not_read_again_when_it_is_compressed(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    log_directory.write(100)
    bulk_server.wait_for_lines(100)
    rotated = log_directory.rotate()
    log_directory.write(10)
    bulk_server.wait_for_lines(110)
    process.wait_until_idle()
    compress(rotated)
    process.wait_until(lambda: bool(process.logged("file-finished")), "the plain one is let go")
    # What is acknowledged is saved a moment later.
    process.wait_until(
        lambda: offsets(process).get(str(log_directory.log)) == log_directory.log.stat().st_size,
        "its successor's offset is saved",
    )
    process.kill9()
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    log_directory.write(1)
    bulk_server.wait_for_lines(111)
    again.wait_until_idle()
    assert lines_read(again) == 1


def test_of_a_gzip_that_is_cut_what_is_sound_is_shipped(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(400)
    rotated = log_directory.rotate()
    content = rotated.read_bytes()
    packed = compress(rotated)
    packed.write_bytes(packed.read_bytes()[:-2000])
    process = shipper()
    process.start()
    process.wait_until(lambda: bool(process.logged("compressed-file-damaged")), "it is said")
    process.wait_until_idle()
    bulk_server.wait_for(lambda: len(bulk_server.documents) > 10)
    process.wait_until_idle()
    # The loss of the rest is a document of its own, with the same index: it is no line.
    bulk_server.wait_for(lambda: len(bulk_server.losses) == 1)
    [lost] = bulk_server.losses.values()
    messages = [each for each in bulk_server.messages() if each != lost["message"]]
    assert json.loads(lost["message"])["shipper_loss"]["reason"] == "damaged"
    lines = content.decode().splitlines()
    assert messages[:-1] == lines[: len(messages) - 1]
    assert lines[len(messages) - 1].startswith(messages[-1])


def test_a_gzip_beside_its_log_is_left_alone(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(50)
    rotated = log_directory.rotate()
    content = rotated.read_bytes()
    compress(rotated)
    rotated.write_bytes(content)
    process = shipper()
    process.start()
    bulk_server.wait_for_lines(50)
    log_directory.write(10)
    bulk_server.wait_for_lines(60)
    process.wait_until_idle()
    assert lines_read(process) == 60


def test_gzips_can_be_left_out(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(50)
    compress(log_directory.rotate())
    log_directory.write(10)
    inputs = [{"id": "tetragon", "paths": [f"{log_directory.path}/*"], "compressed": False}]
    process = shipper({"inputs": inputs})
    process.start()
    bulk_server.wait_for_lines(10)
    process.wait_until_idle()
    assert lines_read(process) == 10
