"""What each answer of `_bulk` means: a table of answers, from the ordinary to the absurd."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from shipper.output.elasticsearch.answers import (
    ItemResults,
    Outcome,
    Rejection,
    RequestFailed,
    TooLarge,
    outcome_of_status,
    status_label,
    verdict_of,
)
from shipper.output.elasticsearch.redaction import Redactor

CONFLICT = {"type": "version_conflict_engine_exception", "reason": "document already exists"}
REJECTED = {"type": "es_rejected_execution_exception", "reason": "queue is full"}
PARSING = {"type": "document_parsing_exception", "reason": "failed to parse field [pid]"}
MAPPER = {"type": "mapper_parsing_exception", "reason": "failed to parse field [pid]"}


def item(status: int, error: Any = None) -> dict[str, Any]:
    return {"create": {"status": status, **({} if error is None else {"error": error})}}


def answer(*items: Any, errors: Any = True) -> bytes:
    return json.dumps({"errors": errors, "items": items}).encode()


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((200, 201), Outcome.DELIVERED),
        ((409,), Outcome.ALREADY_DELIVERED),
        ((401, 403, 404, 429, 500, 502, 503, 504, 599), Outcome.RETRY),
        ((400, 402, 405, 406, 410, 413, 415, 422), Outcome.REJECTED),
        ((99_999, 10**20), Outcome.RETRY),
        ((-1, 0, 100, 301), Outcome.REJECTED),
    ],
)
def test_an_items_status_decides_what_becomes_of_it(
    statuses: tuple[int, ...], outcome: Outcome
) -> None:
    assert {outcome_of_status(status) for status in statuses} == {outcome}


@pytest.mark.parametrize(
    ("status", "label"),
    [(200, "200"), (429, "429"), (299, "2xx"), (499, "4xx"), (520, "5xx"), (99, "invalid")],
)
def test_the_labels_of_statuses_are_a_closed_set(status: int, label: str) -> None:
    assert status_label(status) == label


def test_all_items_created() -> None:
    results = verdict_of(200, answer(item(201), item(201), errors=False), 2)
    assert results == ItemResults(2, 0, [], {}, "", [])


def test_white_space_and_other_fields_change_nothing() -> None:
    pretty = json.dumps(
        {"took": 3, "errors": False, "items": [item(201), item(200)], "ingest_took": 1}, indent=2
    )
    # A 200 is of an event that the pipeline dropped.
    expected = ItemResults(2, 0, [], {}, "", [], not_created=[1])
    assert verdict_of(200, pretty.encode(), 2) == expected


def test_what_is_in_a_failure_store_is_delivered_and_not_created() -> None:
    stored = {"create": {"status": 201, "failure_store": "used"}}
    for items in ([item(201), stored], [stored, stored]):
        results = verdict_of(200, answer(*items, errors=False), 2)
        assert isinstance(results, ItemResults)
        assert (results.delivered, results.failure_store) == (2, items.count(stored))
        assert results.not_created == [n for n, each in enumerate(items) if each is stored]
        assert results.created(2) == [n for n, each in enumerate(items) if each is not stored]


def test_only_a_created_event_counts_as_created() -> None:
    body = answer(item(201), item(200), item(409, CONFLICT), item(429, REJECTED), item(400, MAPPER))
    results = verdict_of(200, body, 5)
    assert isinstance(results, ItemResults)
    assert results.created(5) == [0]


def test_each_item_has_an_outcome_of_its_own() -> None:
    body = answer(
        item(201),
        item(409, CONFLICT),
        item(429, REJECTED),
        item(400, PARSING),
        item(503, {"type": "unavailable_shards_exception", "reason": None}),
        item(429, REJECTED),
        item(400, MAPPER),
    )
    assert verdict_of(200, body, 7) == ItemResults(
        delivered=1,
        already_delivered=1,
        retry=[2, 4, 5],
        retry_counts={"item_429": 2, "item_503": 1},
        retry_reason="item status 429: es_rejected_execution_exception: queue is full",
        rejected=[
            Rejection(3, 400, f"{PARSING['type']}: {PARSING['reason']}", PARSING["type"]),
            Rejection(6, 400, f"{MAPPER['type']}: {MAPPER['reason']}", MAPPER["type"]),
        ],
        conflicts=[1],
    )


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_item_that_the_cluster_and_not_the_event_is_at_fault_for_is_sent_again(
    status: int,
) -> None:
    verdict = verdict_of(200, answer(item(status), item(201)), 2)
    assert isinstance(verdict, ItemResults)
    assert verdict.retry == [0]
    assert verdict.rejected == []


def test_errors_that_are_none_of_ours_are_still_deliveries() -> None:
    """`errors: true` is said for a 409 too."""
    assert verdict_of(200, answer(item(409, CONFLICT), errors=True), 1) == ItemResults(
        0, 1, [], {}, "", [], conflicts=[0]
    )


def test_a_reason_of_megabytes_is_cut() -> None:
    body = answer(item(400, {"type": "a", "reason": "x" * 10**6}))
    verdict = verdict_of(200, body, 1)
    assert isinstance(verdict, ItemResults)
    assert len(verdict.rejected[0].reason) < 400


GOOD = answer(item(201), item(400, PARSING))

GARBAGE = {
    "nothing": b"",
    "a proxy's page": b"<html><body>It works</body></html>",
    "JSON that is no answer": b'{"acknowledged":true}',
    "an empty object": b"{}",
    "a list": b"[]",
    "an error in a 200": b'{"error":{"type":"x","reason":"y"},"status":500}',
    "errors that are text": answer(item(201), item(201), errors="no"),
    "too few items": answer(item(201)),
    "too many items": answer(item(201), item(201), item(201)),
    "too few items and no errors": answer(item(201), errors=False),
    "too many items and no errors": answer(item(201), item(201), item(201), errors=False),
    "errors without items": b'{"errors":true}',
    "no errors and no items": b'{"errors":false}',
    "a status of an item that HTTP has not": answer(item(1_000_003), item(201)),
    "another": answer(item(99), item(201)),
    "a status of an item with 5,000 digits": GOOD.replace(b"400", b"4" * 5000),
    "items that are none": answer(1, 2),
    "items that are null": answer(None, None),
    "items of another action": answer({"index": {"status": 201}}, {"index": {"status": 201}}),
    "items of another action, errors": answer({"index": {"status": 400}}, item(201)),
    "statuses that are text": answer({"create": {"status": "201"}}, item(201)),
    "items without a status": answer({"create": {}}, item(201)),
    "nested without end": b'{"errors":true,"items":' + b"[" * 100_000,
    "followed by something else": GOOD + b"{}",
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_whole_answer_for_these_events_has_the_request_sent_again(body: bytes) -> None:
    verdict = verdict_of(200, body, 2)
    assert isinstance(verdict, RequestFailed)
    assert verdict.reason == "garbage"
    if body.startswith(b"<"):
        assert verdict.message == "HTML, not a bulk answer: It works"
    else:
        assert verdict.message.startswith("the answer is not that of _bulk: ")
    assert not verdict.unauthorised


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(b'"failed"', "failed", id="text"),
        pytest.param(b'["a",1]', '["a",1]', id="a list"),
        pytest.param(b"5", "5", id="a number"),
        pytest.param(b"null", "", id="null"),
        pytest.param(b"{}", "", id="an empty object"),
        pytest.param(b'{"cause":"x"}', "", id="neither type nor reason"),
        pytest.param(b'{"type":null,"reason":"b"}', "b", id="no type"),
        pytest.param(b'{"type":["a"],"reason":"b"}', '["a"]: b', id="a type that is none"),
        pytest.param(b'{"type":"a","reason":{"x":1}}', 'a: {"x":1}', id="an object as reason"),
        pytest.param(b'{"type":"a","reason":7}', "a: 7", id="a number as reason"),
        pytest.param(b'{"type":"a","reason":null}', "a", id="no reason"),
        pytest.param(b'{"type":"a","reason":"\\ud800"}', "a: ?", id="half a surrogate pair"),
        pytest.param(
            b'{"type":"\\udfff","reason":"\\ud83d\\ude00\\udc00\\ud800x"}',
            "?: \U0001f600??x",
            id="a pair, and halves",
        ),
        pytest.param(
            b'{"type":"a","reason":"\\\\ud800\\ud800"}', "a: \\ud800?", id="its text, and one"
        ),
        pytest.param(b'{"type":"a","reason":"\xff\xfe"}', "a: \ufffd\ufffd", id="not UTF-8"),
        pytest.param(
            b'{"type":"a","reason":"\\ud800\xff"}', "a: ?\ufffd", id="neither, and half a pair"
        ),
        pytest.param(b'{"type":"a","reason":1e999}', "a: 1e999", id="a number without end"),
        pytest.param(
            b'{"type":"a","reason":' + b"9" * 5000 + b"}", "a: " + "9" * 297, id="many digits"
        ),
        pytest.param(
            b'{"type":"a","reason":"b","caused_by":' + b"[" * 500 + b"]" * 500 + b"}",
            "a: b",
            id="many causes",
        ),
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_what_a_server_says_of_one_event_decides_nothing_for_the_others(
    status: int, error: bytes, reason: str
) -> None:
    odd = b'{"create":{"status":%d,"error":%b}}' % (status, error)
    good = json.dumps(item(201)).encode()
    verdict = verdict_of(200, b'{"errors":true,"items":[%b,%b,%b]}' % (good, odd, good), 3)
    assert isinstance(verdict, ItemResults)
    assert verdict.created(3) == [0, 2]
    (found,) = verdict.rejected or verdict.server_errors
    assert (found.index, found.status, found.reason) == (1, status, reason)
    assert found.reason.isprintable()


@pytest.mark.parametrize("said", [b'"used"', b"1", b"null", b"[]", b'"\xff"', b'"not_applicable"'])
def test_only_one_word_says_that_an_event_is_in_a_failure_store(said: bytes) -> None:
    stored = b'{"errors":false,"items":[{"create":{"status":201,"failure_store":%b}}]}' % said
    verdict = verdict_of(200, stored, 1)
    assert isinstance(verdict, ItemResults)
    assert verdict.failure_store == (said == b'"used"')


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"status":"ok"}', 'required field `errors`: {"status":"ok"}'),
        (b'{"errors":false}', 'it has no items: {"errors":false}'),
        (b'{"errors":true,"items":' + b"[" * 100_000, "of _bulk: nested too deep: {"),
        (b"upstream says no", ": upstream says no"),
        (b'{"acknowledged":true,"x":"' + b"y" * 1000, "y" * 70),
        (b"\0" * 100, "(byte 0)"),
        (b"", "truncated"),
    ],
)
def test_what_is_no_bulk_answer_is_shown_at_its_beginning(body: bytes, shown: str) -> None:
    verdict = verdict_of(200, body, 1)
    assert isinstance(verdict, RequestFailed)
    assert verdict.message.endswith(shown) or shown in verdict.message
    assert len(verdict.message) < 300


def test_an_answer_that_is_cut_anywhere_is_no_answer() -> None:
    for end in range(len(GOOD)):
        assert isinstance(verdict_of(200, GOOD[:end], 2), RequestFailed), GOOD[:end]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (429, b'{"error":{"type":"x","reason":"full"},"status":429}', "HTTP 429: x: full"),
        (503, b'{"error":"no master","status":503}', "HTTP 503: no master"),
        (502, b"<html>Bad Gateway</html>", "HTTP 502: Bad Gateway"),
        (500, b"", "HTTP 500"),
        (400, b'{"error":{"type":"x"}}', "HTTP 400: x"),
        (404, b"null", "HTTP 404: null"),
        (301, b"", "HTTP 301"),
        (307, b"\xff", "HTTP 307"),
        (204, b"", "HTTP 204"),
        (511, b"[" * 100_000, "HTTP 511"),
        (401, b'{"error":{"type":"denied","reason":"no"}}', "HTTP 401: denied: no"),
        (403, b"", "HTTP 403"),
    ],
)
def test_a_request_that_was_not_taken_is_sent_again_and_says_why(
    status: int, body: bytes, why: str
) -> None:
    verdict = verdict_of(status, body, 3)
    assert isinstance(verdict, RequestFailed)
    assert verdict.reason == str(status)
    assert verdict.message == why
    assert verdict.unauthorised is (status in (401, 403))


@pytest.mark.parametrize("status", [-1, 0, 99, 600, 999, 10**20])
def test_a_number_that_is_no_status_is_no_answer(status: int) -> None:
    verdict = verdict_of(status, GOOD, 2)
    assert isinstance(verdict, RequestFailed)
    assert verdict.reason == "invalid_answer"


def test_a_reason_is_one_line_without_control_characters() -> None:
    verdict = verdict_of(500, json.dumps({"error": "a\n at \x1b[31m\0b"}).encode(), 1)
    assert isinstance(verdict, RequestFailed)
    assert verdict.message == "HTTP 500: a at \ufffd[31m\ufffdb"


def test_no_text_of_a_verdict_has_a_secret() -> None:
    redact = Redactor()
    redact.add_header("Basic " + base64.b64encode(b"elastic:hunter2").decode())
    error = {"type": "hunter2", "reason": "who is elastic:hunter2?"}
    said = json.dumps({"error": error}).encode()
    verdicts = [verdict_of(status, said, 1, redact=redact) for status in (400, 401, 503)]
    verdicts.append(verdict_of(302, b"", 1, redact=redact, location="http://a/?p=hunter2"))
    verdicts.append(verdict_of(200, b"<html>hunter2</html>", 1, redact=redact))
    verdicts.append(verdict_of(200, b'{"errors":"hunter2"}', 1, redact=redact))
    items = answer(item(400, error), item(429, error), item(500, error))
    verdicts.append(verdict_of(200, items, 3, redact=redact))
    assert "hunter2" not in str(verdicts)
    assert str(verdicts).count("[secret]") >= 7


def test_a_429_with_a_number_of_any_length_has_a_verdict() -> None:
    for digits in (1, 18, 19, 20, 4300, 5000, 100_000):
        words = f"coordinating_operation_bytes={'9' * digits}, "
        words += "max_coordinating_and_primary_bytes=1"
        for text in (words, f"{words}{'9' * digits}"):
            verdict_of(429, json.dumps({"error": {"type": "x", "reason": text}}).encode(), 3)


def test_a_request_that_is_too_large_is_to_be_cut() -> None:
    assert verdict_of(413, b"whatever", 3) == TooLarge(413)


def test_a_429_for_a_body_that_never_fits_is_one_that_is_too_large() -> None:
    """The words are those of Elasticsearch 8.15.3 and OpenSearch 2.19.1."""

    def rejection(operation: int, most: int) -> bytes:
        reason = (
            "rejected execution of coordinating operation [coordinating_and_primary_bytes=0, "
            f"replica_bytes=0, all_bytes=0, coordinating_operation_bytes={operation}, "
            f"max_coordinating_and_primary_bytes={most}]"
        )
        error = {"type": "es_rejected_execution_exception", "reason": reason}
        return json.dumps({"error": error, "status": 429}).encode()

    assert verdict_of(429, rejection(541, 540), 3) == TooLarge(429)
    assert isinstance(verdict_of(429, rejection(540, 540), 3), RequestFailed)
    assert isinstance(verdict_of(503, rejection(541, 540), 3), RequestFailed)


def test_a_500_is_sent_again_and_noted_as_it_may_be_the_events_own_fault() -> None:
    failing = {"type": "fail_processor_exception", "reason": "no pod"}
    results = verdict_of(200, answer(item(201), item(500, failing), item(503, REJECTED)), 3)
    assert isinstance(results, ItemResults)
    assert (results.retry, results.rejected) == ([1, 2], [])
    assert results.server_errors == [
        Rejection(1, 500, "fail_processor_exception: no pod", "fail_processor_exception")
    ]


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("pipeline with id [logs] does not exist", {"item_400": 1}),
        ("a message that says: pipeline with id [logs] does not exist!", {}),
        ("mapper [x] cannot be changed", {}),
    ],
)
def test_a_pipeline_that_does_not_exist_is_no_fault_of_the_event(
    reason: str, outcome: dict[str, int]
) -> None:
    error = {"type": "illegal_argument_exception", "reason": reason}
    results = verdict_of(200, answer(item(400, error)), 1)
    assert isinstance(results, ItemResults)
    assert results.retry_counts == outcome


SHARDS = "this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum"


@pytest.mark.parametrize(
    ("kind", "reason", "outcome"),
    [
        ("illegal_argument_exception", "no write index is defined for alias [a]. It", "retry"),
        (
            "illegal_argument_exception",
            "it has no write index is defined for alias [a]",
            "rejected",
        ),
        ("document_parsing_exception", "no write index is defined for alias [a]. It", "rejected"),
        ("validation_exception", f"Validation Failed: 1: {SHARDS} normal shards open;", "retry"),
        ("validation_exception", "Validation Failed: 1: an id must be provided;", "rejected"),
        ("index_closed_exception", "closed", "retry"),
        ("index_closed_exception", None, "retry"),
    ],
)
def test_an_index_that_cannot_take_anything_is_no_fault_of_the_event(
    kind: str, reason: str | None, outcome: str
) -> None:
    results = verdict_of(200, answer(item(400, {"type": kind, "reason": reason})), 1)
    assert isinstance(results, ItemResults)
    assert (results.retry_counts, len(results.rejected)) == {
        "retry": ({"item_400": 1}, 0),
        "rejected": ({}, 1),
    }[outcome]
