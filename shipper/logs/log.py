"""`Log`, through which all modules log; and the handler between Python's `logging` and the queue.

Emitting never blocks on the reader of the log and never raises.
"""

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from msgspec import Struct

from shipper.clock import Clock
from shipper.logs.events import LOG_MESSAGES_DROPPED, Level, LogEvent
from shipper.logs.limits import RateLimit, Repeats
from shipper.logs.queue import DropReason, LogLine

#: Our logger: `log.logger` of our own messages.
NAME = "shipper"

#: Messages per second, and how many at once. With `logging.level: debug` somebody is looking.
PER_SECOND, BURST = 5.0, 200.0
DEBUG_PER_SECOND, DEBUG_BURST = 200.0, 4000.0

NUMBERS: Mapping[Level, int] = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}


class LogFormat(Enum):
    """In what form. AUTO: TEXT on a terminal, else JSON."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class Entry(Struct, frozen=True):
    """A message before it is formatted."""

    #: Unix seconds.
    time: float
    level: Level
    message: str
    fields: Mapping[str, object]
    #: None of a library's message.
    event: LogEvent | None = None
    #: Its stack trace is logged.
    error: BaseException | None = None


class Formatter(Protocol):
    """Makes one line of an entry, with its newline; raises nothing."""

    def line(self, entry: Entry) -> bytes: ...


class Sink(Protocol):
    """Where lines go: the writer; in a test, a list."""

    def offer(self, line: LogLine) -> None: ...

    def drop(self, reason: DropReason) -> None: ...

    def dropped(self) -> dict[DropReason, int]: ...


class _Record(logging.LogRecord):
    """One of ours."""

    def __init__(
        self,
        event: LogEvent,
        key: str | None,
        error: BaseException | None,
        fields: Mapping[str, object],
    ) -> None:
        super().__init__(NAME, NUMBERS[event.level], "", 0, event.message, (), None)
        self.event, self.key, self.error, self.fields = event, key, error, fields


class LogHandler(logging.Handler):
    """Takes records of ours and of libraries: folds repeats, keeps the rate, and hands lines on."""

    def __init__(self, clock: Clock, level: Level, formatter: Formatter, sink: Sink) -> None:
        super().__init__(NUMBERS[level])
        self._clock = clock
        self._formatter = formatter
        self._sink = sink
        self._repeats = Repeats(clock)
        debug = level is Level.DEBUG
        self._rate = RateLimit(
            clock,
            per_second=DEBUG_PER_SECOND if debug else PER_SECOND,
            burst=DEBUG_BURST if debug else BURST,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """One record; called with the handler's lock held, and never blocks with it."""
        if isinstance(record, _Record):
            event, key, error, fields = record.event, record.key, record.error, record.fields
            level, message = event.level, event.message
        else:
            event, level, message = None, _level(record.levelno), _message(record)
            # By its text without arguments, which differ each time.
            text = record.msg if isinstance(record.msg, str) else message
            key, fields = f"{record.name}:{text}", {"logger": record.name}
            error = record.exc_info[1] if record.exc_info else None
        if key is not None and self._repeats.is_repeat(key):
            return
        essential = event is not None and event.essential
        if not essential and not self._rate.allows(level):
            self._sink.drop(DropReason.RATE_LIMIT)
            return
        if key is not None and (repeated := self._repeats.logged(key)):
            fields = {**fields, "repeated": repeated}
        line = self._formatter.line(Entry(self._clock.now(), level, message, fields, event, error))
        self._rate.charge(len(line))
        self._sink.offer(LogLine(line, level, essential))

    def dropped(self) -> dict[str, int]:
        """How many messages were not written since the beginning, by reason."""
        return {reason.value: count for reason, count in self._sink.dropped().items()}


class Log:
    """What the daemon's modules log through."""

    def __init__(self, handler: LogHandler) -> None:
        self._logger = logging.Logger(NAME, handler.level)
        self._logger.addHandler(handler)
        #: As `LogHandler.dropped`.
        self.dropped = handler.dropped
        #: Writes the last messages within so many seconds, when the process ends at once.
        self.finish: Callable[[float], None] = lambda seconds: None
        #: Whether debug messages are logged: asked once where making them costs something.
        self.debug_enabled = handler.level <= logging.DEBUG

    def emit(
        self,
        event: LogEvent,
        *,
        key: str | None = None,
        error: BaseException | str | None = None,
        **fields: object,
    ) -> None:
        """Logs one message of the table, with these fields; `formats.ECS_NAMES` has what they are
        called in ECS. Messages with the same `key` are one fault, which is logged at most every 30
        seconds, with how often it was `repeated`. Of an `error` that is an exception the stack
        trace is logged, too."""
        if not self._logger.isEnabledFor(NUMBERS[event.level]):
            return
        if isinstance(error, str):
            fields["error"] = error
            error = None
        self._logger.handle(_Record(event, key, error, fields))


def dropped_notice(
    dropped: Mapping[DropReason, int], *, clock: Clock, level: Level, formatter: Formatter
) -> bytes | None:
    """The line about dropped messages; None if a log of that level has none."""
    event = LOG_MESSAGES_DROPPED
    if NUMBERS[event.level] < NUMBERS[level]:
        return None
    fields = {
        "dropped": sum(dropped.values()),
        **{reason.value: count for reason, count in dropped.items()},
    }
    return formatter.line(Entry(clock.now(), event.level, event.message, fields, event))


def _level(number: int) -> Level:
    """Of a library's record."""
    known = [level for level, least in NUMBERS.items() if least <= number]
    return known[-1] if known else Level.DEBUG


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # Arguments that do not fit the text: any library's mistake, and any error.
        return f"{record.msg} (without its arguments)" if isinstance(record.msg, str) else "?"
