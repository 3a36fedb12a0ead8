"""What servers and proxies say."""

from __future__ import annotations

import json
import re
from functools import cache
from types import SimpleNamespace
from typing import cast

import aiohttp

from shipper.check import answers as checked
from shipper.output.elasticsearch.answers import (
    ItemResults,
    RequestFailed,
    TooLarge,
    Verdict,
    status_label,
    verdict_of,
)
from shipper.output.elasticsearch.decisions import (
    Kind,
    Situation,
    decide,
    kind_of_failure,
    kind_of_items,
)
from shipper.output.elasticsearch.exchange import Answer
from shipper.output.elasticsearch.failures import explain
from shipper.output.elasticsearch.product import is_known
from shipper.output.elasticsearch.redaction import nothing_to_cut
from shipper.output.elasticsearch.said import page_text, said
from shipper.output.elasticsearch.transport import seconds_of_retry_after
from tests.fuzz.target import Choices, Target, is_text

_LABEL = re.compile(r"item_(\d{3}|[1-5]xx)")
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_REASON = re.compile(r"\d{3}|[1-5]xx|garbage|invalid_answer")
_STATUSES = (200, 200, 200, 200, 400, 401, 403, 404, 413, 429, 500, 502, 503, 301, 307, 204)
_MOST = 500


def verdict_of_input(data: bytes) -> tuple[Verdict, int]:
    """The verdict on an input, and for how many events."""
    choices = Choices(data)
    status = choices.one_of((*_STATUSES, 418, 451, 529, 599, 100, 299, -1, 0, 99, 600, 10**20))
    events = choices.number(8)
    body = choices.rest
    return verdict_of(status, body, events, location=body[:50].decode("latin-1")), events


def check_answers(data: bytes) -> None:
    verdict, events = verdict_of_input(data)
    match verdict:
        case ItemResults():
            check_items(verdict, events)
        case RequestFailed():
            assert is_text(verdict.message, _MOST)
            assert _REASON.fullmatch(verdict.reason)
            check_decisions(kind_of_failure(verdict))
        case TooLarge():
            check_decisions(kind_of_failure(verdict))


def check_items(results: ItemResults, events: int) -> None:
    """Each event has one outcome, and all that is shown or a label is bounded."""
    rejected = [each.index for each in results.rejected]
    ended = results.delivered + results.already_delivered
    assert ended + len(results.retry) + len(rejected) == events
    listed = [*results.retry, *rejected, *results.conflicts, *results.not_created]
    assert len(set(listed)) == len(listed)
    assert set(listed) <= set(range(events))
    assert len(results.conflicts) == results.already_delivered
    assert sum(results.retry_counts.values()) == len(results.retry)
    assert all(_LABEL.fullmatch(label) for label in results.retry_counts)
    assert {each.index for each in results.server_errors} <= set(results.retry)
    created = results.created(events)
    assert len(created) == results.delivered - len(results.not_created)
    assert is_text(results.retry_reason, _MOST)
    for each in (*results.rejected, *results.server_errors):
        assert is_text(each.reason, _MOST)
        assert _TYPE.fullmatch(each.type)
        assert status_label(each.status) != "invalid"
    for final in {0, len(rejected)}:
        for remainder in (False, True):
            check_decisions(
                kind_of_items(
                    results,
                    events=events,
                    final=final,
                    waiting=len(rejected) - final,
                    systemic=remainder,
                    is_remainder=remainder,
                )
            )


@cache
def check_decisions(kind: Kind) -> None:
    """Whatever is known beside an answer, something follows."""
    for bits in range(32):
        known = [bool(bits >> n & 1) for n in range(5)]
        decide(Situation(kind, *known))


def check_said(data: bytes) -> None:
    choices = Choices(data)
    status = choices.one_of(_STATUSES)
    body = choices.rest
    location = body.decode("utf-8", "surrogateescape") if choices.number() & 1 else ""
    assert is_text(said(status, body, nothing_to_cut, location), _MOST + 200)
    assert is_text(page_text(body, nothing_to_cut), 200)
    text = body.decode("utf-8", "surrogateescape")
    for error in (of_proxy(text), ValueError(text), aiohttp.InvalidURL(text)):
        assert is_text(str(explain(error)), 5000)
        assert is_text(explain(error).without_secrets(nothing_to_cut).what, 1000)


def of_proxy(reason: str) -> aiohttp.ClientHttpProxyError:
    """What aiohttp makes of a proxy's answer with this reason phrase."""
    request = cast(aiohttp.RequestInfo, SimpleNamespace(real_url="http://a"))
    return aiohttp.ClientHttpProxyError(request, (), status=502, message=reason)


def check_retry_after(data: bytes) -> None:
    for text in (data.decode("latin-1"), data.decode("utf-8", "surrogateescape")):
        assert seconds_of_retry_after(text, 1_764_000_000.0) >= 0


def check_checked(data: bytes) -> None:
    """What `shipper check` reads of a cluster."""
    choices = Choices(data)
    answer = Answer(choices.one_of((200, 200, 404, 403)), choices.rest)
    kinds = (
        checked.Resolved,
        checked.Simulated,
        checked.Template,
        checked.Templates,
        checked.Privileges,
        checked.Items,
    )
    for kind in kinds:
        assert isinstance(checked.parse(answer, kind), kind)
    status, reason = checked.parse(answer, checked.Items).only
    assert is_text(reason, _MOST)
    assert isinstance(status, int)
    assert checked.parse(answer, checked.Privileges).lacking is not None
    checked.has_write_index(answer, "a")
    assert is_text(checked.reason(answer), _MOST + 200)
    is_known("", answer.body)


def _items(*items: object, errors: object = True) -> bytes:
    return json.dumps({"took": 3, "errors": errors, "items": items}).encode()


def _item(status: int, **more: object) -> dict[str, object]:
    return {"create": {"_index": "a", "status": status, **more}}


_ERROR = {"type": "document_parsing_exception", "reason": "[1:9] failed to parse field [a]"}
_NO_PIPELINE = {
    "type": "illegal_argument_exception",
    "reason": "pipeline with id [p] does not exist",
}
_PRESSURE = (
    b'{"error":{"type":"es_rejected_execution_exception","reason":"rejected execution '
    b'[coordinating_operation_bytes=541, max_coordinating_and_primary_bytes=540]"},"status":429}'
)
_PAGE = (
    b"<!DOCTYPE html><html><head><title>x</title></head><body><script>a < b</script><!-- c -->"
    b"<h1>502&nbsp;Bad &lt;Gateway&gt;</h1></body></html>"
)
_BODIES = (
    _items(_item(201), errors=False),
    _items(_item(201), _item(409), _item(429, error=_ERROR), _item(400, error=_ERROR)),
    _items(_item(500, error=_ERROR), _item(200), _item(201, failure_store="used")),
    _items(_item(400, error=_NO_PIPELINE)),
    b'{"errors":false,"items":[{"create":{"status":201}}]}',
    b'{"error":{"type":"x","reason":"y","root_cause":[]},"status":400}',
    b'{"error":"no master","status":503}',
    b'{"Message":"User is not authorized"}',
    b'{"message":"forbidden"}',
    b'{"error":{"reason":"Illegal character ((CTRL-CHAR, code 31)): x"}}',
    _PRESSURE,
    _PRESSURE.replace(b"541", b"9" * 5000),
    _PAGE,
    b"default backend - 404",
    b"",
)


def _seeds(*heads: bytes) -> tuple[bytes, ...]:
    return tuple(head + body for body in _BODIES for head in heads)


_TAGS = (b"<script>", b"</script", b"<!--", b"-->", b"<p>", b"&lt;", b"&#x110000;", b"\xc4\xb0")

TARGETS = (
    Target(
        "answers",
        "an answer of _bulk has a verdict; each event one outcome; all texts and labels are "
        "bounded; something follows from it whatever else is known",
        check_answers,
        (
            *(b"\0" + bytes([count]) + body for body in _BODIES[:5] for count in (1, 3, 4)),
            *_seeds(b"\x04\1", b"\x09\1", b"\x0c\2"),
        ),
        (b'"status":400', b'"errors":true', b'{"create":{"status":201}},', b'"error":{"type":"a"}'),
    ),
    Target(
        "said",
        "what a server or a proxy says of a refusal is a short printable line",
        check_said,
        _seeds(b"\x04\0", b"\x0d\1"),
        _TAGS,
    ),
    Target(
        "retry_after",
        "a Retry-After is a number of seconds, not negative",
        check_retry_after,
        (
            b"120",
            b"0",
            b"Wed, 21 Oct 2026 07:28:00 GMT",
            b"Wed, 21 Oct 2026 07:28:00 -0000",
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
        ),
        (b"Mon, ", b"-2359", b"+9999", b" 99999 ", b"Jan", b"GMT", b"60:60:61"),
    ),
    Target(
        "cluster_answers",
        "what a command reads of a cluster's answers is of its type, or says nothing",
        check_checked,
        tuple(
            b"\0" + body
            for body in (
                *_BODIES,
                b'{"indices":[{"name":"a","attributes":["open"]}],"aliases":[],"data_streams":[]}',
                b'{"i":{"aliases":{"a":{"is_write_index":true}}}}',
                b'{"index_templates":[{"index_template":{"index_patterns":["a*"],"priority":1}}]}',
                b'{"has_all_requested":false,"index":{"a":{"create":false}}}',
                b'{"template":{"mappings":{}}}',
                b'{"version":{"distribution":"opensearch","number":"2.19.1"}}',
            )
        ),
    ),
)
