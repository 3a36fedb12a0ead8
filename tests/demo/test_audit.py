"""The audit finds what is lost and doubled; the stand-in for Elasticsearch answers as it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from shipper.demo.audit import Audit, Lag, LineCounts, sequence_of
from shipper.demo.bulk_api import BANNER
from shipper.demo.display import (
    DaemonReport,
    Progress,
    Report,
    meaning,
    progress_text,
    report_rows,
)
from tests.servers.client import request
from tests.servers.launcher import SearchServer
from tests.support.bulk_server import BulkServer

TIME = "2026-01-01T00:00:00Z"


def document(number: int) -> bytes:
    return b'{"message":"{\\"arguments\\":\\"-l --seq=%09d\\"}"}' % number


def counts(*numbers: int) -> LineCounts:
    """Return what has taken these lines, each as a document of its own."""
    lines = LineCounts()
    for place, number in enumerate(numbers):
        assert lines.take(f"id-{place}", document(number))
    return lines


def test_a_sequence_number_is_found_inside_a_document() -> None:
    assert sequence_of(document(17)) == 17
    assert sequence_of(b'{"message":"--seq=12"}') is None


def test_every_line_once_passes() -> None:
    audit = counts(2, 0, 1).audit(3)
    assert audit == Audit(3, 3, 0, 0, 0, (), ())
    assert audit.passed


def test_what_is_missing_is_lost_and_named() -> None:
    audit = counts(0, 3).audit(5)
    assert (audit.delivered, audit.lost, audit.lost_numbers) == (2, 3, (1, 2, 4))
    assert not audit.passed


def test_nothing_delivered_is_all_lost() -> None:
    audit = counts().audit(200_000)
    assert (audit.lost, audit.lost_numbers) == (200_000, (0, 1, 2, 3, 4))


def test_another_document_of_a_line_doubles_it() -> None:
    audit = counts(0, 1, 1, 1, 2).audit(3)
    assert (audit.delivered, audit.doubled, audit.doubled_numbers) == (3, 1, (1,))
    assert not audit.passed


def test_a_known_id_is_refused_and_doubles_nothing() -> None:
    lines = counts(0, 0)
    assert not lines.take("id-0", document(0))
    assert not lines.take("id-1", document(0))
    assert lines.audit(1).doubled == 1
    assert lines.received == 1


def test_documents_that_nobody_wrote_are_strange() -> None:
    lines = counts(0, 7)
    assert lines.take("stranger", b"{}")
    assert not lines.take("stranger", b"{}")
    audit = lines.audit(1)
    assert (audit.lost, audit.doubled, audit.strange) == (0, 0, 2)
    assert not audit.passed


def test_the_numbers_may_come_in_any_order_and_be_large() -> None:
    lines = counts(1_500_000, 0)
    audit = lines.audit(1_500_001)
    assert (audit.delivered, audit.lost) == (2, 1_499_999)


def test_the_lag_is_from_write_to_first_receipt() -> None:
    now = time.monotonic()
    lines = counts(0, 2, 2)
    lag = lines.lag([now - 3, now - 100, now - 1])
    assert lag is not None
    assert lag.median == pytest.approx(2, abs=0.5)
    assert lag.maximum == pytest.approx(3, abs=0.5)
    assert LineCounts().lag([now]) is None


def report(**changes: Any) -> Report:
    """Return a report of 1,000 lines, all well, but for the changes."""
    daemon = DaemonReport(0, 600, {"delivered": 500, "already_delivered": 100, "blank": 0}, 0)
    values: dict[str, Any] = {
        "audit": Audit(1_000, 1_000, 0, 0, 0, (), ()),
        "lag": Lag(0.25, 1.5),
        "seconds": 2.0,
        "bytes_written": 2_000_000,
        "rotations": 4,
        "backups_deleted": 1,
        "kills": 1,
        "daemon": daemon,
        "notices": ["a notice"],
    }
    return Report(**(values | changes))


def test_the_report_says_all_that_was_counted() -> None:
    rows = [f"{name}: {' '.join(text.split())}" for name, text in report_rows(report())]
    assert rows == [
        "written: 1,000 lines (2.0 MB), 4 rotations, 1 old file deleted",
        "delivered: 1,000 lines, 500 events/s",
        "lost: 0",
        "doubled: 0",
        "lag: median 0.25 s, at most 1.50 s from write to receipt",
        "killed: 1 time with SIGKILL, and started again at once",
        ": a notice",
        "daemon: exit code 0 on SIGTERM; 600 lines read since its last start = 500 delivered"
        " + 100 already delivered",
    ]
    assert report().passed
    assert meaning(report()).startswith("0 lost, 0 doubled")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"audit": Audit(9, 8, 1, 0, 0, (3,), ())}, "1 lost, 0 doubled, 0 strange"),
        ({"audit": Audit(9, 9, 0, 2, 0, (), (1, 2))}, "0 lost, 2 doubled, 0 strange"),
        ({"audit": Audit(9, 9, 0, 0, 4, (), ())}, "0 lost, 0 doubled, 4 strange"),
        ({"daemon": DaemonReport(1, 9, {"delivered": 9}, 0)}, "exit code is 1"),
        ({"daemon": DaemonReport(0, 9, {"delivered": 8}, 1)}, "do not add up"),
    ],
)
def test_the_verdict_is_failed_for_whatever_is_wrong(
    changes: dict[str, Any], expected: str
) -> None:
    assert not report(**changes).passed
    assert expected in meaning(report(**changes))


def test_the_report_names_the_numbers_that_are_wrong() -> None:
    rows = dict(report_rows(report(audit=Audit(9, 7, 2, 1, 1, (3, 5), (1,)))))
    assert rows["lost"].split() == ["2", "(numbers", "3,", "5,", "...)"]
    assert "(numbers 1, ...)" in rows["doubled"]
    assert "1 documents that nobody wrote" in rows["strange"]


def test_progress_is_one_line() -> None:
    text = " ".join(progress_text(Progress(0.5, 4.0, 20_000, 19_000, 3, 1)).split())
    assert text == "4.0 s 20,000 written 19,000 delivered 1,000 to go 3 rotations, 1 kill"


def create(document_id: str, **fields: object) -> str:
    return f"{json.dumps({'create': {'_id': document_id}})}\n{json.dumps(fields)}\n"


@pytest.mark.real_server
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(create("a", **{"@timestamp": TIME}), id="one"),
        pytest.param(create("a", **{"@timestamp": TIME}) * 2, id="a known id"),
        pytest.param(create("a", message="x") + create("b", **{"@timestamp": TIME}), id="no time"),
        pytest.param(create("a", **{"@timestamp": TIME})[:-1], id="no newline"),
        pytest.param("{}\n{}\n", id="no action"),
        pytest.param("nonsense\n{}\n", id="no JSON"),
    ],
)
@pytest.mark.parametrize(
    "query",
    ["", "?filter_path=errors,items.*.status,items.*.error", "?filter_path=errors"],
)
def test_the_stand_in_answers_as_the_real_servers_do(
    search_server: SearchServer, data_stream: str, body: str, query: str
) -> None:
    answers = []
    with BulkServer() as stand_in:
        for url in (search_server.url, stand_in.url):
            answer = request(url, "POST", f"/{data_stream}/_bulk{query}", body)
            answers.append((answer.status, shape(answer.json())))
    assert answers[0] == answers[1]


def shape(value: Any) -> Any:
    """Return an answer without what differs from server to server and time to time."""
    if isinstance(value, list):
        return [shape(element) for element in value]
    if not isinstance(value, dict):
        return value
    # The reasons of errors are in the server's own words, and their types differ by server.
    differing = {"took", "_index", "_id", "_seq_no", "_primary_term", "_shards"}
    return {
        key: sorted({"type", "reason"} & set(inner)) if key == "error" else shape(inner)
        for key, inner in value.items()
        if key not in differing
    }


def test_the_banner_says_which_version_it_stands_in_for() -> None:
    with BulkServer() as server:
        assert request(server.url, "GET", "/").json() == BANNER
