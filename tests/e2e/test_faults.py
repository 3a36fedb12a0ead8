"""Elasticsearch misbehaves in every way that is known: nothing is lost, nothing doubled, and the
counters say what happened."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.support.bulk_server import BulkServer
from tests.support.faults import (
    CutAnswer,
    CutBefore,
    Document,
    Fault,
    Garbage,
    Gate,
    Held,
    Items,
    LostAnswer,
    Status,
)
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

LINES = 200


def assert_all_there_once(process: ShipperProcess, server: BulkServer, lines: int) -> None:
    """All lines are there once, and each is counted in one outcome."""
    assert_delivered_once(process, server, lines)
    events = process.metrics().by("shipper_events_total", "outcome")
    assert events["delivered"] + events["already_delivered"] == lines, events


def retries(process: ShipperProcess) -> dict[str, float]:
    return process.metrics().by("shipper_retries_total", "reason")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(Status(503), "503", id="503"),
        pytest.param(Status(429), "429", id="429"),
        pytest.param(Status(500), "500", id="500"),
        pytest.param(Status(502, body=b"<html>Bad Gateway</html>"), "502", id="502 of a proxy"),
        pytest.param(Status(403), "403", id="403"),
        pytest.param(Status(404), "404", id="404"),
        pytest.param(Status(400), "400", id="400 for the request"),
        pytest.param(CutBefore(), "disconnected", id="cut before anything was applied"),
        pytest.param(LostAnswer(), "disconnected", id="answer lost after all was applied"),
        pytest.param(Garbage(), "garbage", id="a page in place of the answer"),
        pytest.param(Garbage(b""), "garbage", id="an empty answer"),
        pytest.param(Garbage(b'{"errors":true,"items":[]}'), "garbage", id="no items"),
        pytest.param(Garbage(b"[" * 100_000), "garbage", id="nested without end"),
        pytest.param(CutAnswer(), "cut_answer", id="half an answer"),
        pytest.param(CutAnswer(framed=False), "garbage", id="half of the JSON"),
    ],
)
def test_a_request_that_failed_is_made_again(
    fault: Fault,
    reason: str,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
) -> None:
    bulk_server.next(fault, fault)
    log_directory.write(LINES)
    process = shipper()
    process.start()
    bulk_server.wait_for_lines(LINES)
    assert_all_there_once(process, bulk_server, LINES)
    assert retries(process) == {reason: 2}
    requests = process.metrics().by("shipper_bulk_requests_total", "status")
    assert sum(requests.values()) == len(bulk_server.requests)


@pytest.mark.parametrize("status", [429, 500, 503, 403])
def test_only_the_items_that_were_put_off_are_sent_again(
    status: int, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    def third(document: Document) -> bool:
        return int(document["log"]["offset"]) % 3 == 0

    bulk_server.next(Items(status, third))
    log_directory.write(LINES)
    process = shipper()
    process.start()
    bulk_server.wait_for_lines(LINES)
    assert_all_there_once(process, bulk_server, LINES)
    first, second = bulk_server.requests[:2]
    refused = {
        each for each in first.ids if int(bulk_server.documents[each]["log"]["offset"]) % 3 == 0
    }
    assert refused
    assert set(second.ids) & set(first.ids) == refused
    assert retries(process) == {f"item_{status}": len(refused)}


def test_refused_events_go_to_the_dead_letter_file_with_the_reason(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bulk_server.refuse_items = Items(
        400, lambda document: "poison" in document["message"], "failed to parse field [x]"
    )
    log_directory.write(50)
    log_directory.append(b'{"poison":"\xc3\xa9","time":"2026-01-01T00:00:00Z"}\n')
    log_directory.writer.reopen()
    log_directory.write(50)
    process = shipper(directory=tmp_path / "one")
    process.start()
    bulk_server.wait_for_lines(100)
    process.wait_until_idle()
    [dead_letter] = [
        json.loads(line)
        for line in (tmp_path / "one/data/dead-letter.ndjson").read_text().splitlines()
    ]
    assert dead_letter["status"] == 400
    assert "failed to parse field [x]" in dead_letter["reason"]
    assert dead_letter["line"] == '{"poison":"é","time":"2026-01-01T00:00:00Z"}'
    assert dead_letter["path"] == str(log_directory.log)
    content = log_directory.log.read_bytes()
    assert content[dead_letter["offset"] :].startswith(b'{"poison"')
    assert dead_letter["id"].split("-")[1] == f"{dead_letter['offset']:010x}"
    page = process.metrics()
    assert page.by("shipper_events_total", "outcome")["dead_letter"] == 1
    assert page.uncounted_lines == 0
    assert process.ready()


def test_an_outage_is_waited_for_without_end(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.down()
    process = shipper()
    process.start()
    log_directory.write(LINES)
    process.wait_until(lambda: retries(process).get("connect", 0) >= 5, "it was tried")
    assert not process.ready()
    assert "no connection" in process.why_not_ready()
    bulk_server.up()
    bulk_server.wait_for_lines(LINES)
    assert_all_there_once(process, bulk_server, LINES)
    assert process.ready()
    # Said once, and not again with every try.
    assert len(process.logged("request-failed")) == 1


def test_a_host_that_fails_rests_and_the_others_serve(
    shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    # A pause takes a second at the least: how long the test takes says how many there may be.
    pause, rounds = 1.0, 12
    with BulkServer() as good, BulkServer() as bad:
        bad.down()
        backoff = {"initial": f"{pause}s", "max": "60s"}
        output = {"hosts": [bad.url, good.url], "backoff": backoff, "max_in_flight": 1}
        process = shipper({"output": output})
        began = time.monotonic()
        process.start()
        for number in range(1, rounds + 1):
            log_directory.write(20)
            good.wait_for_lines(20 * number)
        assert_all_there_once(process, good, 20 * rounds)
        assert process.ready()
        failed = retries(process).get("connect", 0)
        # One that did not rest would fail with each round, after a delay of half a second.
        assert failed <= 1 + (time.monotonic() - began) / pause


def test_a_request_without_an_answer_is_made_again_after_the_timeout(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.next(Held(Gate()))
    log_directory.write(LINES)
    process = shipper({"output": {"timeout": "1s"}})
    process.start()
    bulk_server.wait_for_lines(LINES)
    assert_all_there_once(process, bulk_server, LINES)
    assert retries(process)["timeout"] == 1


def test_offsets_wait_for_an_answer_that_is_late(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    gate = Gate()
    bulk_server.next(Held(gate))
    log_directory.write(50)
    process = shipper(directory=tmp_path / "one")
    process.start()
    gate.wait_until_reached()
    log_directory.write(50)
    # All are stored, and the answer to the first request, with the bytes before the others, is not
    # there yet.
    bulk_server.wait_for_lines(100)
    [file] = process.status()["files"]
    assert file["acknowledged"] == 0
    process.kill9()
    gate.open()

    again = shipper(directory=tmp_path / "one")
    again.start()
    again.wait_until_idle()
    assert again.metrics().by("shipper_events_total", "outcome")["already_delivered"] == 100
    assert bulk_server.audit(100).passed


def test_retry_after_is_obeyed(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.next(Status(429, retry_after="1"))
    log_directory.write(10)
    process = shipper()
    process.start()
    assert_all_there_once(process, bulk_server, 10)
    refused, obeyed = bulk_server.requests
    # The backoff alone is at most 200 ms here.
    assert obeyed.ended - refused.ended >= 0.99


def test_a_body_that_is_too_large_is_split(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.max_body_bytes = 6_000
    log_directory.write(LINES)
    process = shipper({"output": {"compression": "none"}})
    process.start()
    log_directory.append(b'{"large":"%b"}\n' % (b"x" * 10_000))
    bulk_server.wait_for_lines(LINES)
    process.wait_until_idle()
    assert bulk_server.audit(LINES).lost == 0
    page = process.metrics()
    events = page.by("shipper_events_total", "outcome")
    assert (events["delivered"], events["dead_letter"]) == (LINES, 1)
    assert page.by("shipper_retries_total", "reason")["413"] >= 2
    assert page.uncounted_lines == 0


def test_everything_at_once(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    for fault in (Status(503), Status(429), CutBefore(), LostAnswer(), Garbage(), CutAnswer()):
        bulk_server.rates[fault] = 0.08
    bulk_server.item_rates[429] = 0.1
    bulk_server.item_rates[503] = 0.1
    process = shipper({"output": {"bulk": {"max_events": 100}}})
    process.start()
    for _ in range(10):
        log_directory.write(300)
        log_directory.rotate()
    assert_all_there_once(process, bulk_server, 3000)
