"""Lines of logs: whatever a container writes becomes documents."""

from __future__ import annotations

import json
import random
from functools import cache

import msgspec
import orjson
import yaml

from shipper.config.inputs import OnInvalid
from shipper.demo.events import EventSource
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded
from shipper.documents.line import parse_line, stamp, timestamp_of
from shipper.documents.origin import fields_of, origin_of
from tests.documents import test_ecs, test_encode, test_encode_processors, test_filters
from tests.fuzz.target import Choices, Target
from tests.support import odd_events

_POLICIES = tuple(OnInvalid)
_NOW = 1_764_000_000.25


def check_raw(data: bytes) -> None:
    choices = Choices(data)
    policy = choices.one_of(_POLICIES)
    block = choices.rest.rstrip(b"\n") + b"\n"
    if _is_deep(block):
        _check_form(test_encode.encode(block, 0, policy), block)
        return
    agree = test_encode.agree if choices.number(16) == 0 else test_encode.agree_on_documents
    agree(block, 0, policy)


def check_ecs(data: bytes) -> None:
    choices = Choices(data)
    policy = choices.one_of(_POLICIES)
    block = choices.rest.rstrip(b"\n") + b"\n"
    if _is_deep(block):
        _check_form(test_ecs.encode(block, policy, ecs=True), block)
    else:
        test_ecs.agree(block, policy)


def _is_deep(block: bytes) -> bool:
    """Whether the simple implementation, which is recursive, may not get to the bottom of it: how
    deep that is depends on who calls."""
    return max(block.count(b"["), block.count(b"{")) >= 200


def _check_form(encoded: Encoded, block: bytes) -> None:
    """Each line has an outcome, and each document is valid."""
    assert encoded.lines == block.count(b"\n")
    _pairs(encoded)


@cache
def _chains() -> tuple[DocumentEncoder, ...]:
    """Encoders with processors: each of the pool alone, and a few together."""
    pool = yaml.safe_load(test_encode_processors.POOL)
    deep = yaml.safe_load(
        "- decode_json_fields: {fields: [message], target: '', max_depth: 9, process_array: true,"
        " overwrite_keys: true, expand_keys: true, add_error_key: true}\n"
        "- decode_json_fields: {fields: [message], target: t, max_depth: 3}\n"
        "- rename: {fields: [{from: t, to: u.v}], fail_on_error: false, ignore_missing: true}\n"
        "- truncate_fields: {fields: [message], max_bytes: 7}\n"
        "- timestamp: {field: process_exec.process.start_time, layouts: [UNIX, UNIX_MS, "
        "'2006-01-02T15:04:05.999Z07:00']}\n"
    )
    lists = [[each] for each in (*pool, *deep)]
    lists += [pool[:6], pool[10:18], pool[18:], deep, [*deep, *pool[10:14]]]
    return tuple(
        test_encode_processors.encoder(each, once=once, index=index)
        for each in lists
        for once, index in ((True, ""), (False, "logs-%{+yyyy.MM.dd}"))
    )


@cache
def _plain() -> DocumentEncoder:
    return test_encode_processors.encoder([])


def check_processors(data: bytes) -> None:
    """Each line keeps its id, and its document does not depend on its neighbours."""
    choices = Choices(data)
    made = choices.one_of(_chains())
    block = choices.rest.rstrip(b"\n") + b"\n"
    whole = _encoded(made, block, 0)
    plain = _encoded(_plain(), block, 0)
    assert whole.lines == plain.lines == block.count(b"\n")
    ids = {action["create"]["_id"] for action, _ in _pairs(plain)}
    alone, offset = [], 0
    for line in block.split(b"\n")[:-1]:
        alone += _pairs(_encoded(made, line + b"\n", offset))
        offset += len(line) + 1
    pairs = _pairs(whole)
    assert pairs == alone
    assert {action["create"]["_id"] for action, _ in pairs} <= ids
    for failed in whole.failures.values():
        failed.problem.encode("utf-8", "surrogatepass")
        assert len(failed.problem) <= 300


def _encoded(made: DocumentEncoder, block: bytes, start: int) -> Encoded:
    return made.encode(test_encode_processors.template(made), start, block, _NOW)


def _pairs(encoded: Encoded) -> list[tuple[dict[str, dict[str, str]], bytes]]:
    """Actions, and documents as they are written: each is JSON in UTF-8."""
    lines = encoded.body.split(b"\n")[:-1]
    assert len(lines) == 2 * encoded.events
    for document in lines[1::2]:
        document.decode()
        assert fields_of(document) is not None
        origin_of(document)
    return [
        (orjson.loads(action), document)
        for action, document in zip(lines[::2], lines[1::2], strict=True)
    ]


@cache
def _rules() -> tuple[object, ...]:
    made = test_filters.made
    return (
        made(include=[{"type": ["process_exec"], "namespace": ["kube-*"]}]),
        made(exclude=[{"binary": ["/bin/*"], "name": "bin"}, {"pod": ["*a*a*a*b"]}]),
    )


def check_filters(data: bytes) -> None:
    """A rule takes a line or leaves it; what is left has the same documents as without rules."""
    choices = Choices(data)
    events = choices.one_of(_rules())
    lines = choices.rest.split(b"\n")
    left = test_filters.encode(lines, events)  # type: ignore[arg-type]
    whole = test_filters.encode(lines, None)
    kept = set(left.body.split(b"\n"))
    assert kept <= set(whole.body.split(b"\n"))
    assert left.lines == whole.lines == len(lines)
    assert sum(left.filtered.values()) <= len(lines)


def check_times(data: bytes) -> None:
    """A time of a line is one that Elasticsearch takes, or there is none."""
    value = orjson.dumps(data.decode("utf-8", "replace"))
    for text in (value, data):
        found = timestamp_of(msgspec.Raw(text))
        if found is not None:
            assert 22 <= len(found) <= 40
            assert json.loads(found).isascii()
    if data.strip():
        parsed = parse_line(data)
        parsed.text.encode()
        assert parsed.problem or parsed.timestamp
    made = test_encode.encoder(index="a-%{+yyyy.MM.dd.HH}")
    line = b'{"time":%b}\n' % value
    made.encode(test_encode.template(made), 0, line, _NOW)
    stamp(_NOW)


_TIMES = (
    b"2026-11-24T04:32:37Z",
    b"2026-11-24T04:32:37.123456789Z",
    b"2026-11-24t04:32:37.5+17:59",
    b"0001-01-01T00:00:00+14:00",
    b"9999-12-31T23:59:59.999999999-14:00",
    b"2026-02-30T24:00:60Z",
    b"2026-11-24T04:32:37+18:00",
    b"2026-11-24T04:32:37-17:60",
    b"2026-11-24T23:59:60Z",
)


def _lines() -> tuple[bytes, ...]:
    source = EventSource(random.Random(1))
    real = tuple(source.line(n, test_encode.EVENT_TIME + n * 10**7) for n in range(4))
    awkward = [line for line in test_encode.AWKWARD.values() if len(line) < 3000]
    odd = [line for line in odd_events.NAMED.values() if len(line) < 1500]
    times = [b'{"process_exec":{},"time":"%b"}' % time for time in _TIMES]
    return (*real, *awkward, *odd, *times, b"\n".join(real[:2]), b"\n".join(awkward[:6]))


_LINES = _lines()
_FIELDS = (
    b'"time":"2026-11-24T04:32:37Z"',
    b'"process_exec":{',
    b'"process":{',
    b'"pod":{',
    b'"message":"m",',
    b'"log":1,',
    b'"a.b":1,"a":{"b":2},',
    b'"@timestamp":"x",',
    b'"type":"_x",',
    b'"error":"e",',
)
TARGETS = (
    Target(
        "encode_raw",
        "any lines become the documents of the simple implementation, each line one outcome",
        check_raw,
        tuple(b"\0" + line for line in _LINES),
        (b"\n", b"\r", *_FIELDS),
    ),
    Target(
        "encode_ecs",
        "the same with format: ecs",
        check_ecs,
        tuple(b"\0" + line for line in _LINES),
        (b"\n", b"\r", *_FIELDS),
    ),
    Target(
        "encode_processors",
        "with processors each document is valid, keeps its id, and depends on no other line",
        check_processors,
        tuple(bytes([n * 7 % 251]) + line for n, line in enumerate(_LINES)),
        (b"\n", *_FIELDS, *_TIMES),
    ),
    Target(
        "event_filters",
        "rules take a line or leave it, and change no document",
        check_filters,
        tuple(b"\0" + line for line in _LINES),
        (b"\n", b'"namespace":"kube-system"', b'"binary":"/bin/sh"', *_FIELDS),
    ),
    Target(
        "timestamps",
        "the time of a line is one that Elasticsearch takes, or there is none",
        check_times,
        _TIMES,
        (b"+24:00", b"T", b"Z", b".", b"9999", b"-00:00", b"0000"),
    ),
)
