"""An input is renamed, or removed from the configuration, while its files are not shipped yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shipper.files.registry import read_losses, read_records
from shipper.files.retention import DIRECTORY
from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.e2e.test_adoption import adopt, foreign
from tests.e2e.test_retention import assert_nothing_is_left, links
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

LOOKED_FOR = 90.0
"""Longer than anything is looked for after a start."""


@pytest.fixture
def behind(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> Path:
    """A data directory after an outage and a kill: the input `tetragon` has read 10 lines, and
    none is acknowledged."""
    bulk_server.down()
    process = shipper(directory=tmp_path / "daemon")
    process.start()
    log_directory.write(10)
    process.wait_until(lambda: process.status()["in_flight_events"] == 10, "it is read")
    size = log_directory.log.stat().st_size
    process.wait_until(lambda: unfinished(process) == [size], "its row is saved")
    process.kill9()
    bulk_server.up()
    return tmp_path / "daemon"


def unfinished(process: ShipperProcess) -> list[int]:
    """Of the files that the input `tetragon` has not shipped: how many bytes are left."""
    return [
        record.seen - record.offset
        for record in read_records(Path(process.config["data_dir"]))
        if record.input_id == "tetragon" and record.seen > record.offset
    ]


def with_input(input_id: str, glob: str) -> dict[str, Any]:
    return {"inputs": [{"id": input_id, "paths": [glob]}]}


def warnings(process: ShipperProcess) -> list[tuple[object, ...]]:
    return [
        tuple(entry[f"shipper.{name}"] for name in ("input", "files", "bytes", "missing"))
        for entry in process.logged("input-not-configured")
    ]


@pytest.mark.parametrize("removed", [True, False])
def test_a_renamed_input_goes_on_with_what_the_former_one_left(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    behind: Path,
    removed: bool,
) -> None:
    if removed:
        log_directory.delete()
    process = shipper(with_input("renamed", log_directory.glob), directory=behind)
    process.start()
    assert_delivered_once(process, bulk_server, 10)
    process.wait_until(lambda: unfinished(process) == [], "the input that has it answers for it")
    assert foreign(process) == 0
    assert warnings(process) == []
    assert read_losses(Path(process.config["data_dir"])) == []
    log_directory.close()
    assert_nothing_is_left(process, log_directory)


def test_a_removed_input_whose_log_is_there_is_warned_of_and_its_link_can_be_adopted(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    behind: Path,
) -> None:
    process = shipper(with_input("second", f"{tmp_path}/second/*.log"), directory=behind)
    size = log_directory.log.stat().st_size
    process.start()
    process.wait_until(lambda: bool(warnings(process)), "it is said")
    assert warnings(process) == [("tetragon", 1, size, 0)]
    assert foreign(process) == 1
    [found] = adopt(process)[1]["links"]
    assert (found["made_for"], found["reason"]) == ("tetragon", "no_input")
    assert adopt(process, "--all", "--input", "second")[0] == 0
    assert_delivered_once(process, bulk_server, 10)
    process.wait_until(lambda: foreign(process) == 0, "it is adopted")
    log_directory.delete()
    log_directory.close()
    process.wait_until(
        lambda: not (log_directory.path / DIRECTORY).exists(), "nothing is kept there any more"
    )
    assert unfinished(process) == [size]
    assert process.sigterm() == 0
    process.start()
    process.wait_until(lambda: unfinished(process) == [], "the other input answers for it")
    assert len(warnings(process)) == 1
    assert read_losses(Path(process.config["data_dir"])) == []


@pytest.mark.long
def test_what_is_gone_of_a_removed_input_is_recorded_as_lost_and_shipped(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    behind: Path,
) -> None:
    size = log_directory.log.stat().st_size
    log_directory.delete()
    for name in links(log_directory):
        (log_directory.path / DIRECTORY / name).unlink()
    process = shipper(with_input("second", f"{tmp_path}/second/*.log"), directory=behind)
    process.start()
    process.wait_until(lambda: len(warnings(process)) == 1, "it is said")
    assert warnings(process) == [("tetragon", 1, size, 1)]
    process.wait_until(lambda: bool(bulk_server.losses), "it is shipped", timeout=LOOKED_FOR)
    [stored] = read_losses(Path(process.config["data_dir"]))
    assert (stored.loss.input_id, stored.loss.bytes) == ("tetragon", size)
    assert process.sigterm() == 0
    process.start()
    process.wait_until_idle()
    assert len(read_losses(Path(process.config["data_dir"]))) == 1
    assert len(warnings(process)) == 1
