"""What we write with words of others in it: messages and metrics."""

from __future__ import annotations

import json
import re
from functools import cache

import msgspec

from shipper.logs.ecs import EcsFormatter
from shipper.logs.events import FILE_OPENED, Level
from shipper.logs.formats import MAX_LINE, TextFormatter
from shipper.logs.log import Entry
from shipper.metric_table import METRICS
from shipper.metrics import Metrics
from shipper.output.elasticsearch.answers import RequestFailed
from tests.fuzz.target import Choices, Target
from tests.fuzz.targets.answers import verdict_of_input

_NAMES = ("path", "error", "reason", "size", "duration", "url", "status", "logger", "x", "trace")


def _entry(data: bytes) -> Entry:
    choices = Choices(data)
    level = choices.one_of(tuple(Level))
    with_error = choices.flag()
    with_event = choices.flag()
    parts = choices.rest.split(b"\x01")
    message = parts[0].decode("utf-8", "surrogateescape")
    fields: dict[str, object] = {}
    for name, part in zip(_NAMES, parts[1:], strict=False):
        try:
            fields[name] = msgspec.json.decode(part)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            fields[name] = part.decode("utf-8", "surrogateescape")
    error = ValueError(message) if with_error else None
    return Entry(
        1_764_590_400.25, level, message, fields, FILE_OPENED if with_event else None, error
    )


def check_text(data: bytes) -> None:
    entry = _entry(data)
    for colours in (False, True):
        line = TextFormatter(colours=colours).line(entry)
        assert line.endswith(b"\n")
        assert len(line) <= MAX_LINE
        text = line.decode()
        if entry.error is None and "trace" not in entry.fields:
            assert text.count("\n") == 1
        text = re.sub(r"^[0-9:.]{12} \x1b\[\d+m\w+ *\x1b\[0m", "", text)
        assert all(each.isprintable() or each == "\n" for each in text)


@cache
def _ecs() -> EcsFormatter:
    return EcsFormatter()


def check_ecs(data: bytes) -> None:
    line = _ecs().line(_entry(data))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= MAX_LINE
    found = json.loads(line)
    assert {"@timestamp", "log.level", "message"} <= found.keys()


_FAILURES = next(each for each in METRICS if each.name == "shipper_retries_total")
_SAMPLE = re.compile(
    rb'[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? \S+'
)


@cache
def _metrics() -> Metrics:
    return Metrics()


def check_labels(data: bytes) -> None:
    """Labels from answers, over the life of one process: bounded, and each on a line of its own."""
    metrics = _metrics()
    verdict, _ = verdict_of_input(data)
    label = verdict.reason if isinstance(verdict, RequestFailed) else data[:60].decode("latin-1")
    metrics.count(_FAILURES.name, 1, *[label] * len(_FAILURES.labels))
    if data[-1:] > b"\x08":
        return  # All of it is long.
    series = [name for name, labels, _ in metrics.samples() if name == _FAILURES.name]
    assert len(series) <= _FAILURES.most_series + 1
    for line in metrics.exposition().split(b"\n"):
        assert not line or line.startswith(b"#") or _SAMPLE.fullmatch(line)


_PARTS = (
    b"\0\0\1started reading file\x01/logs/a b.log\x01no such file\x01it is new\x0112\x010.25",
    b'\1\1\0a\nb\x1b[31m\x01\xff\x01{"a":[1,{"b":null}]}\x01[1,2]\x01\x01\x01\x01\x01\x01x',
    b"\2\1\1" + b"x" * 3000 + b"\x01" + b"y" * 3000,
    b"\3\0\0m\x01" + b'{"a":' * 300 + b"1" + b"}" * 300,
    b"\3\0\0m" + b"\x01[" + b"1," * 400 + b"1]",
)

TARGETS = (
    Target(
        "log_text",
        "a message is one bounded line that a terminal shows as it is, whatever is in its fields",
        check_text,
        _PARTS,
        (b"\x01", b"\x01{}", b"\x01[[]]", b"\x9b", b"\xc2\x9b", b"\xe2\x80\xae", b"\x85"),
    ),
    Target(
        "log_ecs",
        "a message is one bounded line of JSON, whatever is in its fields",
        check_ecs,
        _PARTS,
        (b"\x01", b"\x01{}", b'\x01{"a.b":1,"a":2}', b"\x011e400", b"\x01-0.0"),
    ),
    Target(
        "metric_labels",
        "labels of answers are a bounded number of series, each sample a line",
        check_labels,
        (b"\x04\1{}", b"\x0b\1x", b'\x10\0a"\\\n', b"\0\1x\xff\0"),
        (b'"', b"\\", b"\n", b"\x01", b"\x02"),
    ),
)
