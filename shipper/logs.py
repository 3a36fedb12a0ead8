"""What the daemon says: one JSON object a line, or readable lines for a person at a terminal.

A fault that repeats is said once, and then at most every REPEAT_AFTER seconds with how often it was
left out meanwhile: an Elasticsearch that is away for a night does not fill the node's disk.
"""

import contextlib
import logging
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TextIO

import orjson

from shipper.clock import Clock

#: Seconds between two messages of the same fault.
REPEAT_AFTER = 30.0

#: Of how many faults it is known when they were last said. Past it all are forgotten: saying one
#: too often is better than growing.
_KNOWN_FAULTS = 1000


class Level(Enum):
    """How much is said."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    """In what form. AUTO: TEXT on a terminal, else JSON."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


_SEVERITY = {Level.INFO: 0, Level.WARNING: 1, Level.ERROR: 2}
_COLOURS = {Level.INFO: "32", Level.WARNING: "33", Level.ERROR: "31"}


@dataclass(slots=True)
class _Fault:
    said_at: float
    left_out: int = 0


class Log:
    """Writes messages to one stream."""

    def __init__(self, stream: TextIO, clock: Clock, level: Level, form: LogFormat) -> None:
        self._stream = stream
        self._clock = clock
        self._severity = _SEVERITY[level]
        self._text = form is LogFormat.TEXT or (form is LogFormat.AUTO and stream.isatty())
        self._colours = stream.isatty() and "NO_COLOR" not in os.environ
        self._faults: dict[str, _Fault] = {}

    def info(self, message: str, key: str | None = None, **fields: object) -> None:
        """Says what happens in the normal course of things. `key` as in `warning`."""
        self._say(Level.INFO, message, key, fields)

    def warning(self, message: str, key: str | None = None, **fields: object) -> None:
        """Says what an operator may want to look at; messages with the same `key` are one fault."""
        self._say(Level.WARNING, message, key, fields)

    def error(self, message: str, key: str | None = None, **fields: object) -> None:
        """Says what an operator must look at. `key` as in `warning`."""
        self._say(Level.ERROR, message, key, fields)

    def _say(
        self, level: Level, message: str, key: str | None, fields: Mapping[str, object]
    ) -> None:
        if _SEVERITY[level] < self._severity:
            return
        left_out = 0
        if key is not None:
            now = self._clock.monotonic()
            fault = self._faults.get(key)
            if fault is not None and now - fault.said_at < REPEAT_AFTER:
                fault.left_out += 1
                return
            left_out = fault.left_out if fault else 0
            if len(self._faults) >= _KNOWN_FAULTS:
                self._faults.clear()
            self._faults[key] = _Fault(now)
        if left_out:
            fields = {**fields, "repeated": left_out}
        time = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
        render = self._as_text if self._text else _as_json
        # Whoever reads the log may have gone, or its disk may be full: that stops no shipping.
        with contextlib.suppress(OSError):
            self._stream.write(render(time.replace("+00:00", "Z"), level, message, fields))
            self._stream.flush()

    def _as_text(self, time: str, level: Level, message: str, fields: Mapping[str, object]) -> str:
        name = f"{level.value:<7}"
        if self._colours:
            name = f"\x1b[{_COLOURS[level]}m{name}\x1b[0m"
        rest = "".join(f"  {key}={_word(value)}" for key, value in fields.items())
        return f"{time[11:-1]} {name} {message}{rest}\n"


class StandardLogging(logging.Handler):
    """Puts what libraries say through Python's own logging into our log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One message, with the traceback if there is one."""
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info:
            fields["trace"] = "".join(traceback.format_exception(*record.exc_info))
        say = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        say(record.getMessage(), f"{record.name}:{record.msg}", **fields)


def _as_json(time: str, level: Level, message: str, fields: Mapping[str, object]) -> str:
    entry = {"time": time, "level": level.value, "message": message, **fields}
    try:
        return orjson.dumps(entry, default=str).decode() + "\n"
    except TypeError:
        # A file's name need not be UTF-8: Python has surrogates where it is not.
        printable = {key: _printable(value) for key, value in entry.items()}
        return orjson.dumps(printable, default=str).decode() + "\n"


def _printable(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _word(value: object) -> str:
    text = str(_printable(value))
    return orjson.dumps(text).decode() if not text.isprintable() or " " in text else text
