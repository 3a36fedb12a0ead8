"""Parses a line: whether it is an event, its problem, and its time.

Only `time` is decoded; msgspec validates and skips the rest.
"""

import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec


class Event(msgspec.Struct, gc=False):
    """The part of an event that is decoded; the rest is validated and skipped."""

    time: msgspec.Raw = msgspec.Raw(b"")


#: Validates an event, also in the fast loop of `encode`. Raises msgspec.MsgspecError,
#: UnicodeDecodeError or RecursionError.
decode_event = msgspec.json.Decoder(Event).decode
#: Raises the same if one of them is not a valid time.
decode_times = msgspec.json.Decoder(list[Annotated[datetime, msgspec.Meta(tz=True)]]).decode
_decode_time = msgspec.json.Decoder(str).decode

#: The beginning of the problem of a line that is not an event; the ingest pipeline of `setup` does
#: not change such lines.
NOT_JSON = "the line is not JSON"
NOT_AN_OBJECT = "the line is JSON, but not an object"
TOO_DEEP = "the line is nested too deeply"
HALF_LINE = "the line was not finished: NUL bytes follow it"

#: Times of RFC 3339 that Elasticsearch's strict_date_optional_time accepts; msgspec checks the
#: digits and the lengths of months.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-](?:0\d|1[0-7]):[0-5]\d)",
    re.IGNORECASE | re.ASCII,
)


class ParsedLine(msgspec.Struct, frozen=True):
    """A line, parsed by the careful loop."""

    text: str
    #: The line's time as JSON; None if it has no valid time.
    timestamp: bytes | None
    #: The problem as text; empty if there is none.
    problem: str
    #: The problem as a metric label.
    kind: str
    #: Whether the line is not a JSON object.
    invalid: bool


def parse_line(line: bytes) -> ParsedLine:
    """Parses any line that is not blank."""
    try:
        text, broken = line.decode(), None
    except UnicodeDecodeError as error:
        text, broken = line.decode("utf-8", "replace"), error.start
    try:
        event = decode_event(line)
    except RecursionError:
        return ParsedLine(text, None, TOO_DEEP, "too_deep", invalid=False)
    except msgspec.ValidationError:
        return ParsedLine(text, None, NOT_AN_OBJECT, "not_an_object", invalid=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return ParsedLine(text, None, f"{NOT_JSON}: {error}", "not_json", invalid=True)
    timestamp = timestamp_of(event.time)
    if broken is not None:
        problem = f"the line is not UTF-8 from its byte {broken} on; such bytes are replaced"
        return ParsedLine(text, timestamp, problem, "not_utf8", invalid=False)
    if timestamp is None:
        problem = "the line has no `time` that is an RFC 3339 time; @timestamp is when it was read"
        return ParsedLine(text, None, problem, "no_time", invalid=False)
    return ParsedLine(text, timestamp, "", "", invalid=False)


def timestamp_of(value: msgspec.Raw) -> bytes | None:
    """A `time` as JSON that Elasticsearch accepts; None if it is not a valid time."""
    try:
        text = _decode_time(value)
        decode_times(b"[%b]" % value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    found = _TIME.fullmatch(text)
    if not found:
        return None
    day, time, fraction, zone = found.groups()
    fraction = f".{fraction}" if fraction else ""
    return f'"{day}T{time}{fraction}{zone.upper()}"'.encode()


def stamp(now: float) -> bytes:
    """Unix seconds as a JSON time with milliseconds, as Filebeat writes them."""
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return f'"{text.removesuffix("+00:00")}Z"'.encode()
