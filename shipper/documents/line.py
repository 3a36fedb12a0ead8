"""One line, looked at: whether it is an event, what is wrong with it, and when it happened.

Of an event only `time` is built; msgspec validates the rest and skips it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec


class Event(msgspec.Struct, gc=False):
    """The part of an event that is looked at; the rest is validated and skipped."""

    time: msgspec.Raw = msgspec.Raw(b"")


#: Validates an event, also in the fast loop of `encode`. Raises msgspec.MsgspecError,
#: UnicodeDecodeError or RecursionError.
decode_event = msgspec.json.Decoder(Event).decode
#: Raises the same if one of them is no real time.
decode_times = msgspec.json.Decoder(list[Annotated[datetime, msgspec.Meta(tz=True)]]).decode
_decode_time = msgspec.json.Decoder(str).decode

#: What the problem of a line begins with that is no event; the ingest pipeline of `setup` leaves
#: such lines as they are.
NOT_JSON = "the line is not JSON"
NOT_AN_OBJECT = "the line is JSON, but not an object"
TOO_DEEP = "the line is nested too deeply"
HALF_LINE = "the line was not finished: NUL bytes follow it"

#: What Elasticsearch's strict_date_optional_time takes of RFC 3339; the digits are checked by
#: msgspec, which knows the lengths of months.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-](?:0\d|1[0-7]):[0-5]\d)",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """What the careful loop finds out about a line."""

    text: str
    #: The line's own time as JSON, if it is a real one.
    timestamp: bytes | None
    #: In words; empty if there is none.
    problem: str
    #: The same as a metric's label.
    kind: str
    #: Whether the line is not a JSON object (an object without a time is one).
    invalid: bool


def parse_line(line: bytes) -> ParsedLine:
    """What there is to say of a line that is not blank, whatever it is."""
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
    """A `time` as Elasticsearch takes it, as JSON; None if it is not a real time."""
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
    """Unix seconds as JSON, with milliseconds, as Filebeat stamps what it reads."""
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return f'"{text.removesuffix("+00:00")}Z"'.encode()
