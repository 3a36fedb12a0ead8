"""What servers, proxies and lines say neither ends the daemon, nor stops the lines of others, nor
shows our secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import Garbage, Items, Status
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

PRESSURE = json.dumps(
    {
        "error": {
            "type": "es_rejected_execution_exception",
            "reason": f"coordinating_operation_bytes={'9' * 5000}, "
            "max_coordinating_and_primary_bytes=1",
        }
    }
).encode()


def dead_letters(daemon: ShipperProcess) -> list[dict[str, Any]]:
    path = Path(daemon.config["data_dir"], "dead-letter.ndjson")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def outcomes(daemon: ShipperProcess) -> dict[str, float]:
    counted = daemon.metrics().by("shipper_events_total", "outcome")
    return {outcome: lines for outcome, lines in counted.items() if lines}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Status(429, body=PRESSURE), id="a number of 5,000 digits"),
        pytest.param(Garbage(b'{"errors":false}'), id="no items"),
        pytest.param(
            Garbage(b'{"errors":true,"items":[{"create":{"status":' + b"9" * 5000 + b"}}]}"),
            id="a status of 5,000 digits",
        ),
        pytest.param(Status(403, body=b"\xff\xfe<html>\0"), id="a page that is no text"),
        pytest.param(Status(302, body=b"<p>Moved"), id="a redirect"),
        pytest.param(Status(204, body=b""), id="no content"),
        pytest.param(Status(503, retry_after="9" * 5000 + "x"), id="a pause that is no number"),
        pytest.param(
            Garbage(b'{"errors":false,"items":' + b"[" * 100_000), id="nested without end"
        ),
        pytest.param(Garbage(b'{"errors":true,"items":[null]}'), id="items that are none"),
        pytest.param(Status(502, body=b"\x1b[2J\x1b]0;x\x07" * 1000), id="a terminal's codes"),
    ],
)
def test_an_answer_that_nobody_expects_is_waited_out(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    fault: Status | Garbage,
) -> None:
    bulk_server.next(fault, fault)
    log_directory.write(10)
    daemon = shipper()
    daemon.start()
    bulk_server.wait_for_lines(10)
    daemon.wait_until_idle()
    assert bulk_server.audit(10).passed
    assert dead_letters(daemon) == []


def test_refused_events_of_any_shape_are_dead_letters_also_after_a_restart(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    """`decode_json_fields` to the root lets a line write any field."""
    decode = {"decode_json_fields": {"fields": ["message"], "target": "", "overwrite_keys": True}}
    refused = (
        {"time": "2026-01-01T00:00:00Z", "bad": 1, "event": "text"},
        {"time": "2026-01-01T00:00:00Z", "bad": 2, "log": "text", "event": ["a"]},
        {"time": "2026-01-01T00:00:00Z", "bad": 3, "message": {"a": 1}, "log": {"offset": "x"}},
    )
    bulk_server.refuse_items = Items(400, lambda document: "bad" in document, "it is bad")
    for line in (*refused, {"time": "2026-01-01T00:00:00Z", "good": 1}):
        log_directory.append(json.dumps(line).encode() + b"\n")
    for _ in range(2):
        daemon = shipper(
            {"inputs": [{"id": "t", "paths": [log_directory.glob], "processors": [decode]}]},
            directory=tmp_path / "one",
        )
        daemon.start()
        daemon.wait_until_idle()
        assert daemon.alive()
        letters = dead_letters(daemon)
        # Killed before its offsets were saved, it has some of them twice.
        assert {each["document"]["bad"] for each in letters} == {1, 2, 3}
        assert all(each["id"] and each["reason"].endswith("it is bad") for each in letters)
        daemon.kill9()


def test_good_lines_go_on_whatever_share_is_refused(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bad = LogDirectory(tmp_path / "bad")
    bulk_server.refuse_items = Items(400, lambda document: "fields" in document, "no such field")
    daemon = shipper(
        {
            "inputs": [
                {"id": "good", "paths": [log_directory.glob]},
                {"id": "bad", "paths": [bad.glob], "fields": {"bad": True}},
            ]
        }
    )
    daemon.start()
    for number in range(1, 6):
        bad.write(190)
        log_directory.write(10)
        bulk_server.wait_for_lines(10 * number)
    # The last bad ones may have been alone in their request: then another shows that they are bad.
    written = 50
    while outcomes(daemon).get("dead_letter", 0) < 950:
        log_directory.write(1)
        written += 1
        bulk_server.wait_for_lines(written)
    daemon.wait_until_idle()
    assert outcomes(daemon) == {"delivered": written, "dead_letter": 950}
    assert daemon.ready()
    bad.close()


def test_a_413_for_everything_is_waited_for_and_said(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.max_body_bytes = 10
    log_directory.write(300)
    daemon = shipper()
    daemon.start()
    daemon.wait_until(
        lambda: "HTTP 413: the request is too large" in daemon.why_not_ready(), "it is said"
    )
    daemon.wait_until(
        lambda: daemon.metrics().value("shipper_retries_total", reason="413") > 20, "it is tried"
    )
    assert dead_letters(daemon) == []
    bulk_server.heal()
    bulk_server.wait_for_lines(300)
    daemon.wait_until_idle()
    daemon.wait_until_ready()
    assert outcomes(daemon) == {"delivered": 300}
    assert bulk_server.audit(300).passed


def test_a_pause_that_one_host_asks_for_is_its_own(
    shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    with BulkServer() as asking, BulkServer() as other:
        asking.rates[Status(429, retry_after="300")] = 1.0
        daemon = shipper({"output": {"hosts": [asking.url, other.url]}})
        daemon.start()
        for number in range(1, 11):
            log_directory.write(10)
            other.wait_for_lines(10 * number)
        # Those that were sent before its first answer.
        assert len(asking.requests) <= 2
        daemon.wait_until_idle()
        assert other.audit(100).passed


def test_a_body_that_no_host_answers_well_stops_no_other(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bad = LogDirectory(tmp_path / "bad")
    bulk_server.refuse_bodies = (b"POISON", 502)
    inputs = [
        {"id": "good", "paths": [log_directory.glob]},
        {"id": "bad", "paths": [bad.glob]},
    ]
    daemon = shipper({"inputs": inputs, "output": {"max_in_flight": 1, "bulk": {"linger": "10ms"}}})
    daemon.start()
    for number in range(1, 6):
        bad.append(b'{"time":"2026-01-01T00:00:00Z","x":"POISON %d"}\n' % number)
        log_directory.write(10)
    # Each body may have had one at first.
    bulk_server.wait_for_lines(50)
    bulk_server.wait_for(lambda: any(each.status == 502 for each in bulk_server.requests))
    assert {each["line"].find("POISON") > 0 for each in dead_letters(daemon)} <= {True}
    bulk_server.heal()
    daemon.wait_until(lambda: sum(outcomes(daemon).values()) == 55, "all have an outcome")
    bad.close()


@pytest.mark.parametrize(
    ("output", "sent", "secrets"),
    [
        (
            {"api_key": "an-id:hunter2hunter2"},
            "ApiKey YW4taWQ6aHVudGVyMmh1bnRlcjI=",
            ("hunter2hunter2", "YW4taWQ6aHVudGVyMmh1bnRlcjI"),
        ),
        (
            {"username": "elastic", "password": "hunter2hunter2"},
            "Basic ZWxhc3RpYzpodW50ZXIyaHVudGVyMg==",
            ("hunter2hunter2", "ZWxhc3RpYzpodW50ZXIyaHVudGVyMg"),
        ),
    ],
    ids=["API key", "password"],
)
def test_a_secret_that_a_server_repeats_is_shown_nowhere(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    output: dict[str, str],
    sent: str,
    secrets: tuple[str, ...],
) -> None:
    said = f"who is {sent} {' '.join(secrets)}?"
    error = {"error": {"type": secrets[0], "reason": said}}
    bulk_server.rates[Status(401, body=json.dumps(error).encode())] = 0.5
    bulk_server.rates[Status(502, body=f"<p>{said}</p>".encode())] = 1.0
    log_directory.write(5)
    daemon = shipper({"output": output})
    daemon.start()
    daemon.wait_until(lambda: "[secret]" in daemon.why_not_ready(), "it is said")
    bulk_server.rates.clear()
    refused = json.dumps(said)
    bulk_server.refuse_items = Items(
        400, lambda document: document["log"]["offset"] == 0, json.loads(refused)
    )
    daemon.wait_until_idle()
    assert len(dead_letters(daemon)) == 1
    shown = {
        "letters": json.dumps(dead_letters(daemon)),
        "logs": json.dumps(daemon.logs()),
        "status": json.dumps(daemon.status()),
        "metrics": daemon.get("/metrics")[1],
    }
    assert "[secret]" in shown["letters"]
    assert "[secret]" in shown["logs"]
    for where, text in shown.items():
        assert not any(secret in text for secret in secrets), where
