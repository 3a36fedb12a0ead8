"""An exception in every awaited call of the outputs, of dead letters and of the admin server, and
in those at the end of the daemon. As in `test_internal_errors`."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.e2e.injecting import (
    AFTER_THE_LAST_COMMIT,
    PAGES,
    Inject,
    assert_counted_once,
    injected,
    raised,
)
from tests.e2e.test_local_outputs import Printing
from tests.servers.launcher import free_port
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE, Items, Status
from tests.support.injection import all_places
from tests.support.logdir import LogDirectory

__all__ = ["injected"]


def test_the_places_of_the_console_raise_and_all_lines_are_printed_once(
    shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path, injected: Inject
) -> None:
    process = shipper({"shutdown_timeout": "500ms"})
    report = injected(process)
    daemon = Printing(process)
    try:
        log_directory.write(300)
        daemon.wait_until_the_pipe_is_full()
        # Nobody reads: what is printed waits.
        deadline = time.monotonic() + PATIENCE
        while not any("room.wait()" in place for place in raised(report)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lines = daemon.lines(300)
        log_directory.write(50)
        lines += daemon.lines(50)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait() == 0
        assert daemon.lines(1) == [b""]
    finally:
        daemon.end()
    messages = [json.loads(line)["message"] for line in lines]
    assert len(messages) == len(set(messages)) == 350
    assert any(place.startswith("shipper.output.console") for place in raised(report))


def test_the_places_of_dead_letters_that_are_deleted_raise_and_each_is_recorded_once(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path, injected: Inject
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    config = {
        "inputs": [{"id": "a", "paths": [f"{logs}/*.log"]}],
        "dead_letter": {"max_bytes": "1MiB"},
    }
    process = shipper(config)
    report = injected(process, skip=PAGES + AFTER_THE_LAST_COMMIT)
    data = Path(process.config["data_dir"])
    data.mkdir(parents=True)
    # Neither can be written nor read: it is waited for.
    file = data / "dead-letter.ndjson"
    file.mkdir()
    unreadable = data / "dead-letter.ndjson.deleted-1"
    unreadable.mkdir()
    bulk_server.refuse_items = Items(400, lambda document: "refused" in document["message"])
    process.start()

    def write(first: int, count: int) -> None:
        with (logs / "a.log").open("a") as log:
            for number in range(first, first + count):
                log.write(f'{{"refused":{number},"x":"{"x" * 10_000}"}}\n{{"good":{number}}}\n')

    def letters() -> float:
        return process.metrics().value("shipper_events_total", outcome="dead_letter")

    write(0, 20)
    waiting = "shipper.output.outcomes:_write_until_written:self._clock.sleep"
    [_, place] = [each for each in all_places() if each.startswith(waiting)]
    process.wait_until(lambda: place in raised(report), "dead letters wait for the disk")
    file.rmdir()
    unreadable.rmdir()
    for first in range(20, 100, 20):
        process.wait_until(lambda: letters() == first, "they are dead letters")  # noqa: B023
        write(first, 20)
    process.wait_until(lambda: bool(process.logged("dead-letter-file-full")), "some wait")
    os.utime(data / "dead-letter.ndjson.1", (1.7e9, 1.7e9))
    process.wait_until(lambda: letters() == 100, "they do not any more")
    process.wait_until_idle()
    there = [
        json.loads(line)["id"]
        for path in data.glob("dead-letter.ndjson*")
        for line in path.read_bytes().splitlines()
    ]
    page = process.metrics()
    lost = page.value("shipper_lost_lines_total", reason="dead_letter_full")
    assert lost > 0
    assert len(set(there)) + lost == 100
    process.wait_until(lambda: bool(bulk_server.losses), "the loss is shipped")
    assert len(bulk_server.documents) - len(bulk_server.losses) == 100
    assert_counted_once(process, 200)
    assert process.sigterm() == 0
    assert any(place.startswith("shipper.output.dead_letter_losses") for place in raised(report))


def test_the_places_of_tls_secrets_names_and_pages_raise_and_all_lines_are_there_once(
    shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path, injected: Inject
) -> None:
    password, token = tmp_path / "password", tmp_path / "token"
    password.write_text("first\n")
    token.write_text("a-token-of-the-test\n")
    with BulkServer(tls=True, tls_names=("localhost",)) as server:
        config: dict[str, Any] = {
            "output": {
                "hosts": [f"https://localhost:{server.port}"],
                "tls": {"ca": str(server.write_ca(tmp_path / "ca.pem"))},
                "bulk": {"max_bytes": "10KiB"},
                "username": "u",
                "password_file": str(password),
            },
            "admin": {"listen": f"localhost:{free_port()}", "token_file": str(token)},
        }
        process = shipper(config)
        report = injected(process, armed_by="shipper.admin.", skip=AFTER_THE_LAST_COMMIT)
        log_directory.write(100)
        process.start(wait=False)
        server.wait_for_lines(100)
        # One host that asks for a pause.
        server.next(Status(429, retry_after="1"))
        log_directory.write(10)
        server.wait_for_lines(110)
        password.write_text("second\n")
        log_directory.write(10)
        server.wait_for_lines(120)
        audit = server.audit(120)
        assert (audit.lost, audit.doubled, audit.strange) == (0, 0, 0)
        assert process.sigterm() == 0
    assert any(place.startswith("shipper.admin.server:run") for place in raised(report))


def test_the_wait_for_what_is_in_flight_at_the_end_raises_and_the_rest_is_sent_by_the_next_start(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    injected: Inject,
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    [place] = [each for each in all_places() if each.startswith("shipper.output.deliveries:drain")]
    report = injected(process, only=place)
    log_directory.write(100)
    process.start()
    bulk_server.wait_for_lines(100)
    process.wait_until_idle()
    bulk_server.down()
    log_directory.write(10)
    process.wait_until(lambda: process.status()["in_flight_events"] == 10, "they are in flight")
    assert process.sigterm() == 0
    assert raised(report) == {place}
    bulk_server.up()
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    bulk_server.wait_for_lines(110)
    again.wait_until_idle()
    assert again.metrics().value("shipper_lines_read_total") == 10
    assert bulk_server.audit(110).passed


@pytest.mark.parametrize(
    "place",
    [place for place in all_places() if place.startswith(tuple(AFTER_THE_LAST_COMMIT))],
)
def test_the_places_at_the_end_raise_and_nothing_is_sent_again(
    place: str,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    injected: Inject,
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    report = injected(process, only=place)
    log_directory.write(100)
    process.start()
    bulk_server.wait_for_lines(100)
    process.wait_until_idle()
    process.sigterm()
    assert raised(report) == {place}
    again = shipper(directory=tmp_path / "daemon")
    again.start()
    log_directory.write(1)
    bulk_server.wait_for_lines(101)
    again.wait_until_idle()
    assert again.metrics().value("shipper_lines_read_total") == 1
