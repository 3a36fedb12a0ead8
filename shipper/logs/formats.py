"""How a message is written: what its fields are called in ECS, text for people, and what bounds its
length. JSON is in `ecs`, whose library is imported for it alone.
"""

import json
import math
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

from shipper.logs.events import Level
from shipper.logs.log import Entry

#: A value is cut to so many characters, and of a stack trace the last ones are kept.
MAX_VALUE = 2000
MAX_TRACE = 8000

#: A line with more bytes than this is written without its fields.
MAX_LINE = 16 * 1024

#: Entries of a value that is a list or a mapping.
_MAX_ENTRIES = 100

#: Fields that ECS has a name for. All others are below `shipper.`. Not `host.*` nor `log.file.*`:
#: those are about the machine that logs, and the file that the message is read from.
ECS_NAMES: Mapping[str, str] = {
    "path": "file.path",
    "size": "file.size",
    "error": "error.message",
    "error_type": "error.type",
    "trace": "error.stack_trace",
    "code": "error.code",
    "reason": "event.reason",
    "duration": "event.duration",
    "url": "url.full",
    "status": "http.response.status_code",
    "version": "service.version",
    "logger": "log.logger",
}

_COLOURS = {Level.DEBUG: "2", Level.INFO: "32", Level.WARNING: "33", Level.ERROR: "31"}


def values(entry: Entry) -> dict[str, object]:
    """The fields of a message by our short names, without those that are None, each of a bounded
    length and as something that JSON and UTF-8 have."""
    found = {name: _plain(value) for name, value in entry.fields.items() if value is not None}
    if entry.error is not None:
        found["error"] = bounded(str(entry.error) or type(entry.error).__name__)
        found["error_type"] = type(entry.error).__name__
        trace = printable("".join(traceback.format_exception(entry.error)))
        found["trace"] = trace if len(trace) <= MAX_TRACE else f"…{trace[-MAX_TRACE:]}"
    return found


def printable(text: str) -> str:
    """Text without surrogates: the name of a file need not be UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def bounded(text: str) -> str:
    """Printable text of at most MAX_VALUE characters, and how many more there were."""
    rest = len(text) - MAX_VALUE
    return printable(text if rest <= 0 else f"{text[:MAX_VALUE]}… ({rest} more characters)")


def timestamp(seconds: float) -> str:
    """Unix seconds as ISO 8601 in UTC, with milliseconds."""
    time = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return time.replace("+00:00", "Z")


class TextFormatter:
    """A line for a person: time (UTC), level, message, fields; a stack trace on lines below."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def line(self, entry: Entry) -> bytes:
        """One message. Raises nothing."""
        try:
            return self._line(entry, values(entry))
        except Exception as error:
            # A value whose text cannot be made: the message is logged all the same.
            return self._line(entry, {"unformatted": type(error).__name__})

    def _line(self, entry: Entry, fields: dict[str, object]) -> bytes:
        trace = str(fields.pop("trace", ""))
        level = f"{entry.level.value:<7}"
        if self._colours:
            level = f"\x1b[{_COLOURS[entry.level]}m{level}\x1b[0m"
        words = [f"{_one_line(name)}={_word(value)}" for name, value in _flat(fields, "")]
        time = timestamp(entry.time)[11:-1]
        line = "  ".join([f"{time} {level} {_one_line(bounded(entry.message))}", *words])
        below = "".join(f"\n    {_one_line(each)}" for each in trace.splitlines())
        data = f"{line}{below}".encode("utf-8", "backslashreplace")
        # Half a character is left out.
        return data[: MAX_LINE - 1].decode("utf-8", "ignore").encode() + b"\n"


def _flat(fields: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _word(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and " " not in text and '"' not in text:
        return text
    return _one_line(json.dumps(text, ensure_ascii=False))


def _one_line(text: str) -> str:
    """Without anything that a terminal would act on."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _plain(value: object) -> object:
    match value:
        case None | bool() | int():
            return value
        case float():
            return round(value, 6) if math.isfinite(value) else str(value)
        case Mapping():
            entries = islice(value.items(), _MAX_ENTRIES)
            return {bounded(str(key)): _plain(each) for key, each in entries}
        case list() | tuple():
            return [_plain(each) for each in value[:_MAX_ENTRIES]]
        case _:
            return bounded(str(value))
