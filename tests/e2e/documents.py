"""What the documents of a log have to be, written from the promises to users and not from the code.

``SAMPLES`` are lines with what is to become of each; ``expected_documents`` says what a search has
to find, from the bytes of the file alone.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from shipper import __version__
from shipper.demo.events import KINDS, EventSource

MAX_LINE_BYTES = 16 * 1024
"""The ``max_line_bytes`` that SAMPLES are made for."""

ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{10}-[0-9a-f]{16}")
"""A document's ``_id``: which file, at which offset, the checksum of the line."""

READ_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
"""An @timestamp that is the time of reading."""


_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A line, without its newline, and its outcome."""

    name: str
    line: bytes
    timestamp: str | None
    """The @timestamp; None where it is the time of reading."""

    flaw: str = ""
    """What ``error.message`` has to say; empty where there is to be none."""


def _event(time: str) -> bytes:
    return b'{"process_exit":{"signal":"SIGKILL"},"node_name":"worker-1","time":%b}' % time.encode()


_TIME = "2026-11-24T04:32:37.123456789Z"
_NO_TIME = "no `time`"
_NOT_JSON = "not JSON"

_KINDS = tuple(
    Sample(kind, line, json.loads(line)["time"])
    for number, kind in enumerate(KINDS)
    for line in [EventSource(random.Random(7)).line_of(kind, number, 1_795_494_757_123_456_789)]
)

_REAL_TIMES = tuple(
    Sample(f"time {written}", _event(f'"{written}"'), stamped)
    for written, stamped in {
        "2026-11-24T04:32:37Z": "2026-11-24T04:32:37Z",
        "2026-11-24T04:32:37.1Z": "2026-11-24T04:32:37.1Z",
        "2024-02-29T23:59:59.999999999Z": "2024-02-29T23:59:59.999999999Z",
        "2026-11-24T04:32:37.123456+05:30": "2026-11-24T04:32:37.123456+05:30",
        "2026-11-24T04:32:37.25-11:00": "2026-11-24T04:32:37.25-11:00",
        # Elasticsearch takes nine digits and no more.
        "2026-11-24T04:32:37.12345678987Z": "2026-11-24T04:32:37.123456789Z",
        # RFC 3339 allows small letters.
        "2026-11-24t04:32:37.5z": "2026-11-24T04:32:37.5Z",
    }.items()
)

# Elasticsearch refuses a document that has one of these as its @timestamp, or takes it for another
# time than the one that was meant (a number is milliseconds to it).
_UNREAL_TIMES = tuple(
    Sample(f"time {written}", _event(written), None, _NO_TIME)
    for written in (
        '"12:00:00000Z"',
        '"2026-11-24T12:00:00000Z"',
        '"2026-02-29T00:00:00Z"',
        '"2026-13-01T00:00:00Z"',
        '"2026-06-30T23:59:60Z"',
        '"2026-11-24T24:00:00Z"',
        '"2026-11-24T04:32:37"',
        '"2026-11-24 04:32:37Z"',
        '"2026-11-24T04:32:37.Z"',
        '"2026-11-24T04:32:37+0100"',
        '"2026-11-24T04:32:37Z "',
        '"2026-11-24"',
        '"٢٠٢٦-11-24T04:32:37Z"',
        '""',
        "1795494757123",
        "null",
        '{"seconds":1795494757}',
    )
)

_AWKWARD = (
    Sample("spaces around", b'  {"test" : {} , "time" : "%b"}\t' % _TIME.encode(), _TIME),
    Sample("CRLF", _event(f'"{_TIME}"') + b"\r", _TIME),
    Sample(
        "unicode",
        '{"test":{"arg0":"naïve 日本語 \U0001f600 \u2028 \ufeff \\u00e9 \\ud83d\\ude00"},'.encode()
        + b'"time":"%b"}' % _TIME.encode(),
        _TIME,
    ),
    Sample(
        "escapes",
        rb'{"test":{"arg0":"\"\\ \/\b\f\n\r\t\u0000"},"time":"2026-01-01T00:00:00Z"}',
        "2026-01-01T00:00:00Z",
    ),
    Sample(
        "time is not the last", b'{"time":"%b","test":{"time":"never"}}' % _TIME.encode(), _TIME
    ),
    Sample("no time", b'{"test":{"time":"2026-01-01T00:00:00Z"}}', None, _NO_TIME),
    Sample("empty object", b"{}", None, _NO_TIME),
    Sample("text", b"level=info msg=started", None, _NOT_JSON),
    Sample("cut", b'{"test":{"arg0":"the disk was fu', None, _NOT_JSON),
    Sample("two objects", b"{}{}", None, _NOT_JSON),
    Sample("array", b'["2026-01-01T00:00:00Z"]', None, "not an object"),
    Sample("string", b'"2026-01-01T00:00:00Z"', None, "not an object"),
    Sample("number", b"1795494757", None, "not an object"),
    Sample("null", b"null", None, "not an object"),
    Sample(
        "not UTF-8",
        b'{"test":{"arg0":"\xff\xfe \xc3"},"time":"%b"}' % _TIME.encode(),
        _TIME,
        "not UTF-8",
    ),
    Sample("a time that is not UTF-8", b'{"test":{},"time":"2026\xff"}', None, "not UTF-8"),
    Sample(
        "a surrogate",
        b'{"test":{"arg0":"\xed\xa0\x80"},"time":"%b"}' % _TIME.encode(),
        _TIME,
        "not UTF-8",
    ),
    Sample("neither UTF-8 nor JSON", b"\x80\x81 garbage", None, _NOT_JSON),
    Sample(
        "too long and nested deeply",
        b'{"a":' * MAX_LINE_BYTES,
        None,
        f"{5 * MAX_LINE_BYTES} bytes",
    ),
    Sample("nested deeply", b'{"a":' * 2000 + b"1" + b"}" * 2000, None, "nested too deeply"),
    Sample(
        "too long",
        b'{"test":{"arg0":"' + b"x" * MAX_LINE_BYTES + b'"}}',
        None,
        f"{MAX_LINE_BYTES + 20} bytes",
    ),
)

SAMPLES = (*_KINDS, *_REAL_TIMES, *_UNREAL_TIMES, *_AWKWARD)
"""Every kind of event, and lines of which each is awkward in its own way."""

BLANK = (b"", b"\r", b"  \t ")
"""Lines of which no document is made."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Equals every text that the pattern matches as a whole."""

    pattern: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.pattern, other, re.DOTALL) is not None


@dataclass(frozen=True, slots=True)
class ReadBetween:
    """Equals every @timestamp that is a time of reading between two times."""

    earliest: datetime
    latest: datetime

    def __eq__(self, other: object) -> bool:
        if not (isinstance(other, str) and READ_AT.fullmatch(other)):
            return False
        return self.earliest <= datetime.fromisoformat(other) <= self.latest


@dataclass(frozen=True, slots=True)
class Shipped:
    """What is the same in all documents of one run."""

    data_stream: str
    name: str
    fields: Mapping[str, object]
    tags: Sequence[str]
    read: ReadBetween


def expected_documents(path: Path, shipped: Shipped) -> dict[int, dict[str, Any]]:
    """The documents of a file that holds SAMPLES and BLANK, by the offsets of their lines."""
    samples = {sample.line: sample for sample in SAMPLES}
    documents = {}
    offset = 0
    for line in path.read_bytes().split(b"\n")[:-1]:
        if line not in BLANK:
            documents[offset] = _document(samples[line], offset, path, shipped)
        offset += len(line) + 1
    return documents


def _document(sample: Sample, offset: int, path: Path, shipped: Shipped) -> dict[str, Any]:
    kind, dataset, namespace = shipped.data_stream.split("-")
    facts = path.stat()
    log: dict[str, Any] = {
        "offset": offset,
        "file": {
            "path": str(path),
            "inode": str(facts.st_ino),
            "device_id": str(facts.st_dev),
            "fingerprint": Matches(r"[0-9a-f]{16}"),
        },
    }
    document = {
        "@timestamp": shipped.read if sample.timestamp is None else sample.timestamp,
        "message": sample.line.removesuffix(b"\r")[:MAX_LINE_BYTES].decode("utf-8", "replace"),
        "log": log,
        "input": {"type": "filestream"},
        "agent": {
            "id": Matches(_UUID),
            "ephemeral_id": Matches(_UUID),
            "name": shipped.name,
            "type": "shipper",
            "version": __version__,
        },
        "ecs": {"version": "8.11.0"},
        "host": {"name": shipped.name},
        "event": {"dataset": dataset, "module": dataset.split(".")[0]},
        "data_stream": {"type": kind, "dataset": dataset, "namespace": namespace},
        "fields": shipped.fields,
        "tags": shipped.tags,
    }
    if sample.flaw:
        document["error"] = {"message": Matches(f".*{re.escape(sample.flaw)}.*")}
    if len(sample.line) > MAX_LINE_BYTES:
        log["flags"] = ["truncated"]
    return document
