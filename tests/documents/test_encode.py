"""The hot path against a slow obvious twin, written from the documentation with `json` alone."""

from __future__ import annotations

import itertools
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import xxhash
from msgspec.structs import replace

from shipper.config.index_name import IndexName, IndexPattern
from shipper.config.inputs import OnInvalid
from shipper.demo.events import KINDS, EventSource
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded, FileTemplate
from shipper.files.facts import Inode
from shipper.files.identity import Identity

pytestmark = pytest.mark.usefixtures("way")

CONSTANTS: dict[str, object] = {"host": {"name": "näme 100%"}, "tags": ["a", 'quote " in it']}
FILE = {
    "path": "/logs/tetragon %d.log",
    "inode": "4711",
    "device_id": "64769",
    "fingerprint": "0123456789abcdef",
}
NOW = 1_764_000_000.25
READ_AT = "2025-11-24T16:00:00.250Z"
EVENT_TIME = 1_795_000_000_123_456_789

GOOD_TIME = "2026-11-24T04:32:37.123456789Z"
GOOD = b'{"process_exec":{"pid":1},"time":"2026-11-24T04:32:37.123456789Z"}'


def index_name(pattern: str) -> IndexName:
    return IndexPattern.parse(pattern).fill({})


def encoder(
    on_invalid: OnInvalid = OnInvalid.SHIP, *, content_ids: bool = True, index: str = ""
) -> DocumentEncoder:
    return DocumentEncoder(
        CONSTANTS,
        content_ids=content_ids,
        on_invalid=on_invalid,
        index=index_name(index) if index else None,
    )


def template(made_by: DocumentEncoder) -> FileTemplate:
    inode = Inode(int(FILE["device_id"]), int(FILE["inode"]))
    return made_by.template(Identity(FILE["fingerprint"]), FILE["path"], inode)


def encode(
    block: bytes,
    start: int = 0,
    on_invalid: OnInvalid = OnInvalid.SHIP,
    *,
    content_ids: bool = True,
    index: str = "",
) -> Encoded:
    made = encoder(on_invalid, content_ids=content_ids, index=index)
    return made.encode(template(made), start, block, NOW)


def events_of(body: bytes | memoryview) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The actions and documents of a body; strict about its form."""
    if not body:
        return []
    text = bytes(body)
    assert text.endswith(b"\n")
    lines = [json.loads(line.decode()) for line in text.split(b"\n")[:-1]]
    assert len(lines) % 2 == 0
    return list(zip(lines[::2], lines[1::2], strict=True))


# The twin -----------------------------------------------------------------------------------------

_REAL_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?"
    # The offsets that Elasticsearch knows.
    r"([Zz]|[+-](?:0[0-9]|1[0-7]):[0-5][0-9])"
)


@dataclass
class Expected:
    """What is to become of some lines."""

    documents: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    refused: list[tuple[int, str, bytes]] = field(default_factory=list)
    blank: int = 0
    dropped: int = 0
    flagged: int = 0


def twin(block: bytes, start: int, on_invalid: OnInvalid) -> Expected:
    """The documents of a block, one line after the other."""
    expected = Expected()
    offset = start
    for raw in block.split(b"\n")[:-1]:
        line = raw[:-1] if raw.endswith(b"\r") else raw
        if line.strip() == b"":
            expected.blank += 1
        else:
            _document_of(line, offset, on_invalid, expected)
        offset += len(raw) + 1
    return expected


def _document_of(line: bytes, offset: int, on_invalid: OnInvalid, expected: Expected) -> None:
    document_id = f"{FILE['fingerprint']}-{offset:010x}-{xxhash.xxh3_64_hexdigest(line)}"
    is_object, value = _parse(line)
    if not is_object and on_invalid is OnInvalid.DROP:
        expected.dropped += 1
        return
    if not is_object and on_invalid is OnInvalid.DEAD_LETTER:
        expected.refused.append((offset, document_id, line))
        return
    timestamp = _real_time(value)
    text = line.decode("utf-8", errors="replace")
    document: dict[str, Any] = {
        "@timestamp": timestamp or READ_AT,
        "log": {"offset": offset, "file": FILE},
        **CONSTANTS,
        "message": text,
    }
    if not is_object or timestamp is None or text.encode() != line:
        document["error"] = {"message": "in words"}
        expected.flagged += 1
    expected.documents.append(({"create": {"_id": document_id}}, document))


def _parse(line: bytes) -> tuple[bool, object]:
    """Whether it is a JSON object, and its `time`. What is not UTF-8 inside a string does not make
    it anything else; half a surrogate pair does, since it is no text in any encoding."""

    def strict_constant(name: str) -> object:
        raise ValueError(name)

    def without_half_pairs(text: object) -> None:
        if isinstance(text, dict):
            for key, value in text.items():
                without_half_pairs(key)
                without_half_pairs(value)
        elif isinstance(text, list):
            for value in text:
                without_half_pairs(value)
        elif isinstance(text, str):
            text.encode()

    def checked(pairs: list[tuple[str, object]]) -> dict[str, object]:
        # All of them, also if a later one has the same key.
        without_half_pairs([[key, value] for key, value in pairs])
        return dict(pairs)

    try:
        found = json.loads(
            line.decode("utf-8", errors="replace"),
            object_pairs_hook=checked,
            parse_int=str,
            parse_float=str,
            parse_constant=strict_constant,
        )
        without_half_pairs(found)
    except RecursionError:
        return True, None
    except ValueError:
        return False, None
    return (True, found.get("time")) if isinstance(found, dict) else (False, None)


def _real_time(value: object) -> str | None:
    found = _REAL_TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    year, month, day_of_month, hour, minute, second = (int(part) for part in found.groups()[:6])
    try:
        moment = datetime(year, month, day_of_month, hour, minute, second, tzinfo=UTC)
        # To microseconds; what is then past the calendar is no time.
        moment + timedelta(microseconds=round(float(f"0{found[7] or '.0'}") * 1e6))
    except (ValueError, OverflowError):
        return None
    day, clock = "-".join(found.groups()[:3]), ":".join(found.groups()[3:6])
    fraction, zone = found[7] or "", found[8]
    # Elasticsearch knows nanoseconds and nothing finer.
    return f"{day}T{clock}{fraction[:10]}{zone.upper()}"


#: Patterns of an index's name, with what they give for a time in UTC.
INDEXES: dict[str, Callable[[datetime], str]] = {
    "Ein-Index": lambda time: "ein-index",
    "t-%{+yyyy.MM.dd}": lambda time: f"t-{time.year:04}.{time.month:02}.{time.day:02}",
    "t-%{+HH}%d": lambda time: f"t-{time.isoformat()[11:13]}%d",
}


def in_utc(timestamp: str) -> datetime:
    zone = timestamp[-1] if timestamp.endswith("Z") else timestamp[-6:]
    try:
        return datetime.fromisoformat(timestamp[:19] + zone).astimezone(UTC)
    except OverflowError:
        # The first and last hours of the calendar.
        return datetime.fromisoformat(timestamp[:19] + "Z")


def agree_on_indexes(block: bytes, start: int, on_invalid: OnInvalid, expected: Expected) -> None:
    """An index is named in each action, by the document's own time, and changes nothing else."""
    plain = encode(block, start, on_invalid)
    documents = [document for _, document in events_of(plain.body)]
    for pattern, name_at in INDEXES.items():
        names = [name_at(in_utc(document["@timestamp"])) for document in documents]
        for content_ids in (True, False):
            encoded = encode(block, start, on_invalid, content_ids=content_ids, index=pattern)
            actions = [
                {"_index": name, **(action["create"] if content_ids else {})}
                for name, (action, _) in zip(names, expected.documents, strict=True)
            ]
            found = events_of(encoded.body)
            assert [action for action, _ in found] == [{"create": action} for action in actions]
            assert [document for _, document in found] == documents
            assert encoded.lines == plain.lines
            for refused, without in zip(encoded.refused, plain.refused, strict=True):
                assert replace(refused, unsent=b"") == replace(without, unsent=b"")
                [(action, document)] = events_of(refused.unsent)
                assert action["create"]["_index"] == name_at(in_utc(document["@timestamp"]))


def agree(
    block: bytes, start: int = 0, on_invalid: OnInvalid = OnInvalid.SHIP
) -> tuple[Encoded, Expected]:
    """Both do the same with a block, and whatever the index is called."""
    encoded, expected = agree_on_documents(block, start, on_invalid)
    agree_on_indexes(block, start, on_invalid, expected)
    return encoded, expected


def agree_on_documents(block: bytes, start: int, on_invalid: OnInvalid) -> tuple[Encoded, Expected]:
    """Both do the same with a block; in words of their own, where there are words."""
    encoded, expected = encode(block, start, on_invalid), twin(block, start, on_invalid)
    found = events_of(encoded.body)
    for _, document in found:
        if "error" in document:
            assert document["error"].keys() == {"message"}
            assert document["error"]["message"]
            document["error"]["message"] = "in words"
    assert found == expected.documents
    assert encoded.events == len(expected.documents)
    assert (encoded.blank, encoded.dropped) == (expected.blank, expected.dropped)
    assert [(line.offset, line.id, line.line) for line in encoded.refused] == expected.refused
    assert all(line.path == FILE["path"] and line.reason for line in encoded.refused)
    assert sum(encoded.flagged.values()) == expected.flagged
    assert encoded.lines == block.count(b"\n")
    ids = [action["create"]["_id"] for action, _ in found]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert {len(document_id) for document_id in ids} <= {44}
    return encoded, expected


# Ordinary lines -----------------------------------------------------------------------------------


def ordinary(rng: random.Random, count: int) -> list[bytes]:
    source = EventSource(rng)
    return [source.line(number, EVENT_TIME + number * 1_000_003) for number in range(count)]


def block_of(lines: Sequence[bytes], newline: bytes = b"\n") -> bytes:
    return b"".join(line + newline for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_its_line_at_its_own_time(kind: str) -> None:
    line = EventSource(random.Random(1)).line_of(kind, 7, EVENT_TIME)
    encoded, _ = agree(block_of([line]), start=12345)
    ((action, document),) = events_of(encoded.body)
    assert document["message"].encode() == line
    assert document["@timestamp"] == json.loads(line)["time"]
    assert document["log"]["offset"] == 12345
    assert "error" not in document
    assert action["create"]["_id"].startswith("0123456789abcdef-0000003039-")


def test_a_block_of_ordinary_lines_has_the_offset_of_each() -> None:
    lines = ordinary(random.Random(2), 500)
    encoded, _ = agree(block_of(lines), start=2**33)
    offsets = [document["log"]["offset"] for _, document in events_of(encoded.body)]
    assert offsets[0] == 2**33
    lengths = [end - start for start, end in itertools.pairwise(offsets)]
    assert lengths == [len(line) + 1 for line in lines[:-1]]


def test_the_fast_and_the_careful_loop_make_the_same_bytes_of_ordinary_lines() -> None:
    # A blank line at the end makes the block one for the careful loop and adds no document.
    lines = ordinary(random.Random(3), 300)
    fast, careful = encode(block_of(lines)), encode(block_of([*lines, b""]))
    assert careful.blank == 1
    assert fast.body == careful.body


def test_a_process_exit_has_the_time_of_the_event_and_not_that_within() -> None:
    line = b'{"process_exit":{"time":"2020-01-01T00:00:00Z"},"time":"2026-01-01T00:00:00Z"}'
    encoded, _ = agree(block_of([line]))
    assert events_of(encoded.body)[0][1]["@timestamp"] == "2026-01-01T00:00:00Z"
    without = b'{"process_exit":{"time":"2020-01-01T00:00:00Z"}}'
    encoded, _ = agree(block_of([without]))
    assert events_of(encoded.body)[0][1]["@timestamp"] == READ_AT


# Awkward lines ------------------------------------------------------------------------------------


def timed(value: str) -> bytes:
    return b'{"time":' + value.encode() + b"}"


DEEP = b"[" * 100_000

#: Real times, and how Elasticsearch gets them.
REAL_TIMES = {
    "no fraction": ('"2026-11-24T04:32:37Z"', "2026-11-24T04:32:37Z"),
    "nanoseconds": (f'"{GOOD_TIME}"', GOOD_TIME),
    "one digit": ('"2026-11-24T04:32:37.1Z"', "2026-11-24T04:32:37.1Z"),
    "12 digits": ('"2026-11-24T04:32:37.123456789012Z"', GOOD_TIME),
    "lower case": ('"2026-11-24t04:32:37z"', "2026-11-24T04:32:37Z"),
    "offset": ('"2026-11-24T04:32:37+05:30"', "2026-11-24T04:32:37+05:30"),
    "offset and fraction": ('"2026-11-24T04:32:37.5-08:00"', "2026-11-24T04:32:37.5-08:00"),
    "leap day": ('"2028-02-29T00:00:00Z"', "2028-02-29T00:00:00Z"),
    "the last nanosecond of a day": (
        '"2026-11-24T23:59:59.999999999Z"',
        "2026-11-24T23:59:59.999999999Z",
    ),
    "another day in UTC": ('"2026-11-24T23:32:37-08:00"', "2026-11-24T23:32:37-08:00"),
    "an escaped digit of the day": ('"2026-11-2\\u0034T04:32:37Z"', "2026-11-24T04:32:37Z"),
    "an escaped hyphen": ('"2026\\u002d11-24T04:32:37Z"', "2026-11-24T04:32:37Z"),
    "an escaped digit": ('"2026-11-24T04:32:37.\\u0031Z"', "2026-11-24T04:32:37.1Z"),
    "an escaped T": ('"2026-11-24\\u005404:32:37Z"', "2026-11-24T04:32:37Z"),
    "an escaped Z": ('"2026-11-24T04:32:37\\u005a"', "2026-11-24T04:32:37Z"),
}

UNREAL_TIMES = {
    "no colon": '"2026-11-24T12:00:00000Z"',
    "no date": '"12:00:00000Z"',
    "month 13": '"2026-13-01T00:00:00Z"',
    "month 0": '"2026-00-01T00:00:00Z"',
    "30 February": '"2026-02-30T00:00:00Z"',
    "no leap year": '"2026-02-29T00:00:00Z"',
    "hour 24": '"2026-11-24T24:00:00Z"',
    "leap second": '"2026-06-30T23:59:60Z"',
    "year 0": '"0000-01-01T00:00:00Z"',
    "no zone": '"2026-11-24T04:32:37"',
    "no colon in the zone": '"2026-11-24T04:32:37+0530"',
    "a space": '"2026-11-24 04:32:37Z"',
    "white space around": '" 2026-11-24T04:32:37Z"',
    "a point without digits": '"2026-11-24T04:32:37.Z"',
    "a comma": '"2026-11-24T04:32:37,5Z"',
    "a day alone": '"2026-11-24"',
    "arabic digits": '"٢٠٢٦-11-24T04:32:37Z"',
    "a number": "1795000000",
    "null": "null",
    "an object": '{"seconds":1}',
    "a list of one": f'["{GOOD_TIME}"]',
    "empty": '""',
    "words": '"yesterday"',
    "an escaped quote": f'"{GOOD_TIME}\\""',
}

NOT_OBJECTS = {
    "words": b"Tetragon says hello",
    "half an event": GOOD[:30],
    "two objects": GOOD + GOOD,
    "an object and more": GOOD + b" x",
    "a list": b"[" + GOOD + b"]",
    "a string": b'"' + GOOD_TIME.encode() + b'"',
    "a number": b"42",
    "null": b"null",
    "NaN": b'{"a":NaN,"time":"2026-11-24T04:32:37Z"}',
    "a trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "a leading zero": b'{"a":01}',
    "BOM": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16-le").replace(b"\n", b"\x0a"),
    "only NUL bytes": b"\0" * 50,
    "NUL bytes before": b"\0" * 50 + GOOD,
    "NUL in a string": b'{"a":"\0","time":"2026-11-24T04:32:37Z"}',
    "a tab in a string": b'{"a":"\t","time":"2026-11-24T04:32:37Z"}',
    "CR in a string": b'{"a":"\r","time":"2026-11-24T04:32:37Z"}',
    "an unknown escape": b'{"a":"\\x41","time":"2026-11-24T04:32:37Z"}',
    "half a surrogate pair": b'{"a":"\\ud800","time":"2026-11-24T04:32:37Z"}',
    "the other half": b'{"a":"\\udc00","time":"2026-11-24T04:32:37Z"}',
    "a pair the wrong way round": b'{"a":"\\udc00\\ud800 x","time":"2026-11-24T04:32:37Z"}',
    "invalid UTF-8 outside a string": GOOD + b"\xff",
    "a form feed before": b"\x0c" + GOOD,
}

OBJECTS = {
    "empty": b"{}",
    "no time": b'{"a":1}',
    "duplicate times": b'{"time":"2020-01-01T00:00:00Z","time":"2026-11-24T04:32:37Z"}',
    "duplicate times, the last unreal": b'{"time":"2020-01-01T00:00:00Z","time":"x"}',
    "time by an escaped name": b'{"t\\u0069me":"2026-11-24T04:32:37Z"}',
    "Time": b'{"Time":"2026-11-24T04:32:37Z"}',
    "unicode": '{"a":"日本語 🦀 naïve \u2028 \u2029 \x7f","time":"2026-11-24T04:32:37Z"}'.encode(),
    "escapes": b'{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\ud83e\\udd80",'
    b'"time":"2026-11-24T04:32:37Z"}',
    "huge numbers": b'{"a":' + b"9" * 10_000 + b',"b":1e999999,"time":"2026-11-24T04:32:37Z"}',
    "tiny numbers": b'{"a":-0,"b":-0.0e-999999,"time":"2026-11-24T04:32:37Z"}',
    "white space": b' \t{ "a" : [ 1 , { } ] , "time" : "2026-11-24T04:32:37Z" } \t',
    "very deep": b'{"a":' + DEEP + b"]" * len(DEEP) + b',"time":"2026-11-24T04:32:37Z"}',
    "deep": b'{"a":' + b"[" * 100 + b"]" * 100 + b',"time":"2026-11-24T04:32:37Z"}',
    "very deep without end": b'{"a":' + DEEP,
    "invalid UTF-8": b'{"a":"\xff\xfe","time":"2026-11-24T04:32:37Z"}',
    "half a character": b'{"a":"\xe6\x97","time":"2026-11-24T04:32:37Z"}',
    "an encoded surrogate": b'{"a":"\xed\xa0\x80","time":"2026-11-24T04:32:37Z"}',
    "an overlong NUL": b'{"a":"\xc0\x80","time":"2026-11-24T04:32:37Z"}',
    "invalid UTF-8 in a name": b'{"\xff":1,"time":"2026-11-24T04:32:37Z"}',
    "invalid UTF-8 in the time": b'{"time":"\xff"}',
    "the replacement character itself": '{"a":"\ufffd","time":"2026-11-24T04:32:37Z"}'.encode(),
    "percent signs": b'{"a":"%d %s %b %%","time":"2026-11-24T04:32:37Z"}',
}

AWKWARD = (
    {f"time: {name}": timed(value) for name, (value, _) in REAL_TIMES.items()}
    | {f"no time: {name}": timed(value) for name, value in UNREAL_TIMES.items()}
    | {f"no object: {name}": line for name, line in NOT_OBJECTS.items()}
    | {f"object: {name}": line for name, line in OBJECTS.items()}
)

POLICIES = list(OnInvalid)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", AWKWARD)
def test_an_awkward_line_has_the_outcome_that_is_documented(name: str, policy: OnInvalid) -> None:
    agree(block_of([AWKWARD[name]]), 99, policy)
    # Among others, and with the other newline, as well.
    agree(block_of([GOOD, AWKWARD[name], GOOD]), 99, policy)
    agree(block_of([GOOD, AWKWARD[name]], b"\r\n"), 99, policy)


@pytest.mark.parametrize("name", REAL_TIMES)
def test_a_real_time_is_the_timestamp(name: str) -> None:
    written, expected = REAL_TIMES[name]
    encoded = encode(block_of([timed(written)]))
    ((_, document),) = events_of(encoded.body)
    assert document["@timestamp"] == expected
    assert encoded.flagged == {}


@pytest.mark.parametrize("name", UNREAL_TIMES)
def test_what_only_looks_like_a_time_is_flagged_and_the_time_of_reading_is_taken(name: str) -> None:
    encoded = encode(block_of([timed(UNREAL_TIMES[name])]))
    ((_, document),) = events_of(encoded.body)
    assert document["@timestamp"] == READ_AT
    assert "time" in document["error"]["message"]
    assert encoded.flagged == {"no_time": 1}


@pytest.mark.parametrize("name", NOT_OBJECTS)
def test_a_line_that_is_no_object_is_shipped_refused_or_dropped_as_the_user_says(name: str) -> None:
    block = block_of([NOT_OBJECTS[name]])
    outcomes = {policy: encode(block, 0, policy) for policy in POLICIES}
    assert [outcomes[policy].events for policy in POLICIES] == [1, 0, 0]
    assert [len(outcomes[policy].refused) for policy in POLICIES] == [0, 1, 0]
    assert [outcomes[policy].dropped for policy in POLICIES] == [0, 0, 1]
    ((action, document),) = events_of(outcomes[OnInvalid.SHIP].body)
    (refused,) = outcomes[OnInvalid.DEAD_LETTER].refused
    # The same reason and the same id, wherever the line ends.
    assert document["error"]["message"] == refused.reason
    assert action["create"]["_id"] == refused.id
    assert refused.line == NOT_OBJECTS[name]
    # What would have been sent is kept with it, but for the message, which is the line.
    assert events_of(refused.unsent) == [(action, {**document, "message": ""})]


@pytest.mark.parametrize("blank", [b"", b"\r", b" ", b"\t \r", b"\x0b\x0c"])
def test_blank_lines_are_counted_and_are_no_documents(blank: bytes) -> None:
    encoded, _ = agree(block_of([blank, GOOD, blank, blank]))
    assert (encoded.events, encoded.blank, encoded.lines) == (1, 3, 4)
    encoded, _ = agree(block_of([blank]))
    assert (encoded.body, encoded.blank) == (b"", 1)


def test_a_carriage_return_at_the_end_belongs_to_the_newline() -> None:
    encoded, _ = agree(block_of([GOOD, GOOD], b"\r\n"))
    documents = [document for _, document in events_of(encoded.body)]
    assert [document["message"].encode() for document in documents] == [GOOD, GOOD]
    assert [document["log"]["offset"] for document in documents] == [0, len(GOOD) + 2]


def test_the_same_line_at_two_offsets_is_two_documents() -> None:
    encoded, _ = agree(block_of([GOOD] * 3))
    assert len({action["create"]["_id"] for action, _ in events_of(encoded.body)}) == 3


def test_a_block_without_its_last_newline_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="newline"):
        encode(GOOD + b"\n" + GOOD)


def mixtures(seed: int) -> Iterator[tuple[list[bytes], OnInvalid]]:
    rng = random.Random(seed)
    usual = ordinary(rng, 100)
    # 100 kB of brackets a line would be all that is tested.
    awkward = [line for line in AWKWARD.values() if len(line) < 50_000] + [b"", b"\r", b" "]
    for _ in range(20):
        share = rng.choice((0.0, 0.02, 0.5))
        lines = [
            rng.choice(awkward if rng.random() < share else usual)
            + rng.choice((b"", b"", b"", b"\r" if share else b""))
            for _ in range(rng.randrange(1, 40))
        ]
        yield lines, rng.choice(POLICIES)


@pytest.mark.parametrize("seed", range(15))
def test_random_mixtures_of_lines_have_the_documents_of_the_twin(seed: int) -> None:
    for lines, policy in mixtures(seed):
        agree(block_of(lines), seed * 1000, policy)


@pytest.mark.parametrize("seed", range(15))
def test_a_line_has_the_same_document_whatever_stands_around_it(seed: int) -> None:
    # A line is read in other company after a restart: its id and document may not depend on it.
    for lines, policy in mixtures(seed):
        together = events_of(encode(block_of(lines), 0, policy).body)
        alone, offset = [], 0
        for line in lines:
            alone += events_of(encode(block_of([line]), offset, policy).body)
            offset += len(line) + 1
        assert together == alone


@pytest.mark.parametrize("seed", range(10))
def test_lines_that_were_damaged_at_random_have_the_documents_of_the_twin(seed: int) -> None:
    rng = random.Random(seed)
    lines = []
    for line in ordinary(rng, 60):
        damaged = bytearray(line)
        for _ in range(rng.randrange(1, 3)):
            place = rng.randrange(len(damaged))
            match rng.randrange(3):
                case 0:
                    damaged[place] = rng.randrange(256)
                case 1:
                    del damaged[place : place + rng.randrange(1, 20)]
                case _:
                    damaged[place:place] = rng.randbytes(rng.randrange(1, 4))
        lines.append(bytes(damaged).replace(b"\n", b"?"))
    for policy in POLICIES:
        agree(block_of(lines), 0, policy)


# What is cut, and ids -----------------------------------------------------------------------------


def cut(head: bytes, length: int) -> tuple[dict[str, Any], dict[str, Any], Encoded]:
    made = encoder()
    encoded = made.encode_cut(template(made), 4096, head, length, NOW)
    ((action, document),) = events_of(encoded.body)
    return action, document, encoded


def test_a_line_that_is_cut_says_so() -> None:
    head = GOOD[:40]
    action, document, encoded = cut(head, 5000)
    assert document.pop("error") == {
        "message": "the line has 5000 bytes; the first 40 are in message"
    }
    assert document == {
        "@timestamp": READ_AT,
        "log": {"flags": ["truncated"], "offset": 4096, "file": FILE},
        **CONSTANTS,
        "message": head.decode(),
    }
    checksum = xxhash.xxh3_64_hexdigest(head)
    assert action == {"create": {"_id": f"0123456789abcdef-0000001000-{checksum}"}}
    assert (encoded.events, encoded.lines, encoded.flagged) == (1, 1, {"too_long": 1})


def test_half_a_line_says_so_whatever_it_is() -> None:
    for line, problem in (
        (GOOD, ""),
        (b'{"time":', "the line is not JSON"),
        (b"{}", "the line has no `time`"),
    ):
        made = encoder()
        encoded = made.encode_half(template(made), 7, line, NOW)
        ((_, document),) = events_of(encoded.body)
        assert document["message"] == line.decode()
        assert document["log"]["offset"] == 7
        said = document["error"]["message"]
        # What the ingest pipeline looks at comes first.
        assert said.startswith(problem)
        assert said.endswith("the line was not finished: NUL bytes follow it")
        assert encoded.flagged == {"half_line": 1}
    made = encoder(OnInvalid.DEAD_LETTER)
    (refused,) = made.encode_half(template(made), 7, b'{"time":', NOW).refused
    assert refused.line == b'{"time":'
    made = encoder(OnInvalid.DROP)
    assert made.encode_half(template(made), 7, b'{"time":', NOW).dropped == 1


def test_half_a_character_at_the_cut_is_left_out() -> None:
    assert cut("日本".encode()[:5], 100)[1]["message"] == "日"


def test_a_head_that_is_an_event_by_itself_has_its_time() -> None:
    assert cut(GOOD + b" " * 10, 5000)[1]["@timestamp"] == GOOD_TIME


@pytest.mark.parametrize("name", AWKWARD)
def test_whatever_the_head_is_there_is_a_document(name: str) -> None:
    head = AWKWARD[name]
    _, document, _ = cut(head, len(head) + 1)
    text = head.decode("utf-8", errors="replace")
    assert document["message"] == text


def test_automatic_ids_are_left_to_elasticsearch() -> None:
    lines = [GOOD, b"not JSON", GOOD]
    with_ids = events_of(encode(block_of(lines)).body)
    without = events_of(encode(block_of(lines), content_ids=False).body)
    assert [action for action, _ in without] == [{"create": {}}] * 3
    assert [document for _, document in without] == [document for _, document in with_ids]
    made = encoder(content_ids=False)
    cut_line = made.encode_cut(template(made), 0, GOOD, 5000, NOW)
    assert events_of(cut_line.body)[0][0] == {"create": {}}


# Ids of a node ------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["", "tetragon-%{+yyyy.MM.dd}"])
def test_with_the_name_of_a_node_only_the_first_part_of_the_ids_differs(index: str) -> None:
    block = block_of([GOOD, b"not JSON", GOOD])

    def made(node: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        encoder = DocumentEncoder(
            CONSTANTS,
            content_ids=True,
            node=node,
            on_invalid=OnInvalid.SHIP,
            index=index_name(index) if index else None,
        )
        found = encoder.encode(template(encoder), 0, block, NOW)
        cut = encoder.encode_cut(template(encoder), 7, GOOD, 5000, NOW)
        return events_of(found.body) + events_of(cut.body)

    content, one, other = made(""), made("node-1"), made("node-2")
    assert made("node-1") == one
    prefixes = set()
    for events in (content, one, other):
        # The fingerprint stays that of the content.
        assert [document for _, document in events] == [document for _, document in content]
        ids = [action["create"].pop("_id").split("-", 1) for action, _ in events]
        assert [rest for _, rest in ids] == [
            f"{document['log']['offset']:010x}-{xxhash.xxh3_64_hexdigest(line)}"
            for (_, document), line in zip(events, [GOOD, b"not JSON", GOOD, GOOD], strict=True)
        ]
        (prefix,) = {prefix for prefix, _ in ids}
        assert re.fullmatch("[0-9a-f]{16}", prefix)
        prefixes.add(prefix)
    assert len(prefixes) == 3
    assert FILE["fingerprint"] in prefixes
    assert [action for action, _ in one] == [action for action, _ in content]


def test_a_line_that_is_not_sent_has_the_id_that_it_would_have_had() -> None:
    made = [
        DocumentEncoder(CONSTANTS, content_ids=True, node="node-1", on_invalid=on_invalid)
        for on_invalid in (OnInvalid.SHIP, OnInvalid.DEAD_LETTER)
    ]
    shipped, refused = (each.encode(template(each), 0, b"not JSON\n", NOW) for each in made)
    ((action, _),) = events_of(shipped.body)
    assert [each.id for each in refused.refused] == [action["create"]["_id"]]


# Indices by date ----------------------------------------------------------------------------------

DAILY = "tetragon-%{+yyyy.MM.dd}"


def indexes_of(encoded: Encoded) -> list[str]:
    return [action["create"]["_index"] for action, _ in events_of(encoded.body)]


def test_a_block_that_reaches_over_midnight_goes_to_the_indices_of_both_days() -> None:
    lines = [timed(f'"2026-11-{day}T{hour}:00:00Z"') for day in (24, 25) for hour in (22, 23)]
    encoded = encode(block_of(lines), index=DAILY)
    assert indexes_of(encoded) == ["tetragon-2026.11.24"] * 2 + ["tetragon-2026.11.25"] * 2


def test_days_that_come_in_any_order_are_told_apart() -> None:
    days = ("2026-11-24", "2025-11-24", "2026-11-24")
    encoded = encode(block_of([timed(f'"{day}T00:00:00Z"') for day in days]), index=DAILY)
    assert indexes_of(encoded) == [f"tetragon-{day.replace('-', '.')}" for day in days]


def test_one_encoder_goes_from_day_to_day_and_from_file_to_file() -> None:
    made = encoder(index=DAILY)
    one = template(made)
    other = made.template(Identity("fedcba9876543210"), "/logs/other.log", Inode(1, 2))
    found = []
    for day in range(1, 29):
        for file in (one, other):
            line = timed(f'"2026-02-{day:02}T12:00:00Z"') + b"\n"
            ((action, _),) = events_of(made.encode(file, 0, line, NOW).body)
            found.append((action["create"]["_index"], action["create"]["_id"][:16]))
    assert found == [
        (f"tetragon-2026.02.{day:02}", identity)
        for day in range(1, 29)
        for identity in (FILE["fingerprint"], "fedcba9876543210")
    ]


class OnlyFast(DocumentEncoder):
    """Has no careful loop to fall back on, which would hide that every block is done twice."""

    def _encode_carefully(self, *_: object, **__: object) -> Encoded:
        raise AssertionError("done again by the careful loop")


@pytest.mark.parametrize("pattern", ["", "constant", DAILY, "tetragon-%{+yyyy.MM.dd.HH}"])
def test_ordinary_blocks_are_done_by_the_fast_loop_whatever_the_index(pattern: str) -> None:
    made = OnlyFast(
        CONSTANTS,
        content_ids=True,
        on_invalid=OnInvalid.SHIP,
        index=index_name(pattern) if pattern else None,
    )
    one_day = ordinary(random.Random(4), 50)
    two_days = [timed(f'"2026-11-{day}T12:00:00Z"') for day in (24, 25)]
    for lines in (one_day, two_days):
        assert made.encode(template(made), 0, block_of(lines), NOW).events == len(lines)


def test_a_line_without_a_time_of_its_own_goes_by_that_of_reading() -> None:
    assert indexes_of(encode(b"no JSON\n", index=DAILY)) == ["tetragon-2025.11.24"]
    made = encoder(index=DAILY)
    cut_line = made.encode_cut(template(made), 0, GOOD[:20], 5000, NOW)
    assert indexes_of(cut_line) == ["tetragon-2025.11.24"]
    whole = made.encode_cut(template(made), 0, GOOD, 5000, NOW)
    assert indexes_of(whole) == ["tetragon-2026.11.24"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("0001-01-01T00:00:00+05:30", "tetragon-0001.01.01"),
        ("9999-12-31T23:00:00-05:30", "tetragon-9999.12.31"),
    ],
)
def test_a_time_that_the_calendar_does_not_have_in_utc_goes_by_its_own_day(
    time: str, expected: str
) -> None:
    assert indexes_of(encode(block_of([timed(f'"{time}"')]), index=DAILY)) == [expected]


def test_an_index_is_named_as_json_wherever_a_percent_sign_or_a_letter_may_stand() -> None:
    encoded = encode(block_of([GOOD]), index="näme-%d-100%")
    assert indexes_of(encoded) == ["näme-%d-100%"]
    assert indexes_of(encode(block_of([GOOD]), index="näme-%d-%{+yyyy}")) == ["näme-%d-2026"]


def test_a_path_that_is_not_utf8_is_shown_with_replacement_characters() -> None:
    made = encoder()
    odd = made.template(Identity("0123456789abcdef"), "/logs/\udcff.log", Inode(1, 2))
    ((_, document),) = events_of(made.encode(odd, 0, GOOD + b"\n", NOW).body)
    assert document["log"]["file"]["path"] == "/logs/\ufffd.log"


def test_documents_without_constants_are_json_too() -> None:
    made = DocumentEncoder({}, content_ids=True, on_invalid=OnInvalid.SHIP)
    ((_, document),) = events_of(made.encode(template(made), 0, GOOD + b"\n", NOW).body)
    assert document.keys() == {"@timestamp", "log", "message"}


def test_the_time_of_reading_has_milliseconds_in_utc() -> None:
    made = encoder()
    encoded = made.encode(template(made), 0, b"{}\n", NOW + 0.0009)
    assert events_of(encoded.body)[0][1]["@timestamp"] == READ_AT
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW)) == READ_AT[:19]
