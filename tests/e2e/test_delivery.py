"""Every line becomes one document: while files grow, rotate, are cut, and the daemon comes and
goes."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once, lines_read, ship
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE, Gate, Held
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess


def assert_counters_add_up(process: ShipperProcess) -> None:
    page = process.metrics()
    assert page.uncounted_lines == 0


def test_lines_that_were_there_and_lines_that_come_are_shipped(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(300)
    process = shipper()
    process.start()
    bulk_server.wait_for_lines(300)
    log_directory.write(300)
    assert_delivered_once(process, bulk_server, 600)
    assert process.metrics().by("shipper_events_total", "outcome")["delivered"] == 600
    assert process.sigterm() == 0


def test_rotation_by_rename_loses_and_doubles_nothing(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    process.start()
    for _ in range(10):
        log_directory.write(50)
        log_directory.rotate()
    log_directory.write(50)
    assert_delivered_once(process, bulk_server, 550)
    assert len(process.status()["files"]) == 11
    assert_counters_add_up(process)


def test_a_rotated_file_is_read_to_its_end_although_it_is_deleted(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    gate = Gate()
    bulk_server.next(Held(gate))
    process = shipper({"output": {"max_in_flight": 1}})
    process.start()
    log_directory.write(10)
    gate.wait_until_reached()
    log_directory.write(200)
    rotated = log_directory.rotate()
    process.wait_until(lambda: len(process.status()["files"]) == 2, "the new file is followed")
    log_directory.delete(rotated)
    log_directory.write(10)
    gate.open()
    bulk_server.wait_for_lines(220)
    process.wait_until(lambda: bool(process.logged("file-finished")), "the old file is let go")
    assert bulk_server.audit(220).passed
    assert_counters_add_up(process)


def test_a_partial_last_line_waits_for_its_newline(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.append(b'{"a":1}\n{"half":')
    process = shipper()
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 1)
    log_directory.append(b'"and the other half"}')
    log_directory.append(b"\n")
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 2)
    assert bulk_server.messages() == ['{"a":1}', '{"half":"and the other half"}']


def test_a_file_that_is_cut_is_read_from_its_beginning(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    ship(process, bulk_server, log_directory, 100)
    log_directory.truncate()
    log_directory.write(40)
    bulk_server.wait_for_lines(140)
    assert bulk_server.audit(140).passed
    assert len(process.logged("file-rewritten")) == 1
    assert_counters_add_up(process)


def test_a_copy_that_is_made_before_the_cut_is_not_sent_again(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    process.start()
    log_directory.write(100)
    bulk_server.wait_for_lines(100)
    log_directory.copy_and_truncate()
    log_directory.write(40)
    assert_delivered_once(process, bulk_server, 140)


def test_a_restart_goes_on_where_it_was(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.write(100)
    first = shipper(directory=tmp_path / "one")
    first.start()
    bulk_server.wait_for_lines(100)
    assert first.sigterm() == 0

    log_directory.write(10)
    log_directory.rotate()
    log_directory.write(10)
    second = shipper(directory=tmp_path / "one")
    second.start()
    assert_delivered_once(second, bulk_server, 120)
    assert lines_read(second) == 20


def test_a_lost_registry_doubles_nothing(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(100)
    log_directory.rotate()
    log_directory.write(100)
    first = shipper()
    first.start()
    bulk_server.wait_for_lines(200)
    first.kill9()

    second = shipper()
    second.start()
    second.wait_until(
        lambda: second.metrics().by("shipper_events_total", "outcome")["already_delivered"] == 200,
        "all lines were found there",
    )
    assert bulk_server.audit(200).passed
    assert len(bulk_server.documents) == 200


def test_a_damaged_registry_is_put_aside_and_shipping_goes_on(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    data = tmp_path / "one" / "data"
    data.mkdir(parents=True)
    (data / "registry.db").write_bytes(b"not a database" * 1000)
    log_directory.write(50)
    process = shipper(directory=tmp_path / "one")
    process.start()
    bulk_server.wait_for_lines(50)
    assert (data / "registry.db.damaged-1").exists()
    [said] = process.logged("registry-replaced")
    assert said["shipper.put_aside"].endswith("registry.db.damaged-1")


def test_a_row_of_the_registry_that_cannot_be_ours_stops_nothing(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.write(50)
    process = shipper(directory=tmp_path / "one")
    process.start()
    bulk_server.wait_for_lines(50)
    process.wait_until_idle()
    process.kill9()
    database = tmp_path / "one" / "data" / "registry.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE files SET offset = -1")
    again = shipper(directory=tmp_path / "one")
    again.start()
    log_directory.write(10)
    bulk_server.wait_for_lines(60)
    assert bulk_server.audit(60).passed
    [said] = again.logged("registry-problem")
    assert "is ignored" in said["event.reason"]
    assert str(log_directory.log) in said["event.reason"]


def test_ids_sort_as_the_lines_of_a_file_do(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(500)
    process = shipper()
    process.start()
    bulk_server.wait_for_lines(500)
    ids = sorted(bulk_server.documents)
    offsets = [bulk_server.documents[each]["log"]["offset"] for each in ids]
    assert offsets == sorted(offsets)
    assert all(re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{10}-[0-9a-f]{16}", each) for each in ids)


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_requests_are_what_elasticsearch_expects(
    compression: str, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(10)
    process = shipper({"output": {"compression": compression, "pipeline": "ours"}})
    process.start()
    bulk_server.wait_for_lines(10)
    bulk_server.wait_for(lambda: bool(bulk_server.requests))
    request = bulk_server.requests[0]
    assert request.path == "/logs-cilium_tetragon.log-default/_bulk"
    assert request.query["pipeline"] == "ours"
    assert request.headers["content-type"] == "application/x-ndjson"
    assert request.headers.get("content-encoding") == ("gzip" if compression == "gzip" else None)
    assert request.headers["user-agent"].startswith("shipper/")


def test_a_sigterm_finishes_what_is_under_way(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    gate = Gate()
    bulk_server.next(Held(gate))
    log_directory.write(20)
    process = shipper(directory=tmp_path / "one")
    process.start()
    gate.wait_until_reached()
    process.send(signal.SIGTERM)
    process.wait_until(lambda: bool(process.logged("shipper-stopping")), "it stops")
    gate.open()
    assert process.wait(PATIENCE) == 0
    assert process.logs()[-1]["shipper.in_flight_events"] == 0

    again = shipper(directory=tmp_path / "one")
    again.start()
    log_directory.write(1)
    bulk_server.wait_for_lines(21)
    assert lines_read(again) == 1


def test_a_sigterm_does_not_wait_longer_than_it_may(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.next(Held(Gate()))
    log_directory.write(20)
    process = shipper({"shutdown_timeout": "100ms"})
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 20)
    assert process.sigterm() == 0
    assert process.logs()[-1]["shipper.in_flight_events"] == 20


def test_what_is_rotated_away_while_requests_finish_is_kept_for_the_next_start(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    gate = Gate()
    bulk_server.next(Held(gate))
    log_directory.write(20)
    process = shipper({"shutdown_timeout": "1h"}, directory=tmp_path / "one")
    process.start()
    gate.wait_until_reached()
    process.send(signal.SIGTERM)
    process.wait_until(lambda: bool(process.logged("shipper-stopping")), "it stops")
    links = log_directory.path / ".shipper"

    def is_linked() -> bool:
        inode = log_directory.log.stat().st_ino
        return any(link.stat().st_ino == inode for link in links.iterdir())

    for _ in range(2):
        log_directory.rotate()
        log_directory.write(10)
        process.wait_until(is_linked, "the new log is linked")
    for path in log_directory.writer.backups():
        path.unlink()
    gate.open()
    assert process.wait(PATIENCE) == 0

    shipper(directory=tmp_path / "one").start()
    bulk_server.wait_for_lines(40)


def test_a_second_signal_ends_it_at_once(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.next(Held(Gate()))
    log_directory.write(20)
    process = shipper({"shutdown_timeout": "1h"})
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 20)
    process.send(signal.SIGTERM)
    process.wait_until(lambda: bool(process.logged("shipper-stopping")), "it stops")
    process.send(signal.SIGTERM)
    assert process.wait(PATIENCE) < 0
