"""The log of a process: standard error, with all that would else be written there by others, who
would wait for its reader: Python's own `logging`, warnings, and exceptions that nobody handled.
"""

import contextlib
import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial

from shipper.clock import Clock
from shipper.logs.events import UNHANDLED_EXCEPTION, Level
from shipper.logs.formats import TextFormatter
from shipper.logs.log import NUMBERS, Formatter, Log, LogFormat, LogHandler, dropped_notice
from shipper.logs.queue import LogQueue
from shipper.logs.writer import LogWriter

#: At the end, the last messages are waited for so long, in seconds.
FLUSH_SECONDS = 2.0


@contextlib.contextmanager
def process_log(clock: Clock, level: Level, form: LogFormat) -> Iterator[Log]:
    """The log to standard error. At the end of the context its last messages are written, within
    FLUSH_SECONDS."""
    descriptor, opened = _standard_error()
    formatter = _formatter(form, descriptor)
    notice = partial(dropped_notice, clock=clock, level=level, formatter=formatter)
    writer = LogWriter(descriptor, LogQueue(clock, notice=notice))
    handler = LogHandler(clock, level, formatter, writer)
    log = Log(handler)
    log.finish = writer.close
    writer.start()
    try:
        with _libraries(handler), _unhandled_exceptions(log):
            try:
                yield log
            finally:
                # What finalizers complain of is logged now; later Python itself would write it to
                # standard error, and wait for its reader.
                gc.collect()
    finally:
        writer.close(FLUSH_SECONDS)
        if opened:
            os.close(descriptor)


def is_for_people(form: LogFormat = LogFormat.AUTO) -> bool:
    """Whether a log of that form to standard error is text."""
    if form is LogFormat.AUTO:
        return sys.stderr is not None and sys.stderr.isatty()
    return form is LogFormat.TEXT


def _standard_error() -> tuple[int, bool]:
    """Its descriptor, and whether it was opened here. Where a process is started without one,
    descriptor 2 is some other file by now, which no message must get into."""
    if sys.__stderr__ is None:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), True
    return sys.__stderr__.fileno(), False


def _formatter(form: LogFormat, descriptor: int) -> Formatter:
    if is_for_people(form):
        return TextFormatter(colours=os.isatty(descriptor) and "NO_COLOR" not in os.environ)
    # Its library takes a while to import, which a terminal has no use for.
    from shipper.logs.ecs import EcsFormatter

    return EcsFormatter()


@contextlib.contextmanager
def _libraries(handler: LogHandler) -> Iterator[None]:
    """Has warnings and errors of libraries logged."""
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(max(handler.level, NUMBERS[Level.WARNING]))
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(before)
        root.removeHandler(handler)


@contextlib.contextmanager
def _unhandled_exceptions(log: Log) -> Iterator[None]:
    """Has exceptions logged that end a thread, or come where nobody can handle them."""

    def in_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            log.emit(UNHANDLED_EXCEPTION, key="thread", error=found.exc_value)

    def unraisable(found: "sys.UnraisableHookArgs") -> None:
        if found.exc_value is not None:
            log.emit(UNHANDLED_EXCEPTION, key="unraisable", error=found.exc_value)

    before = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = in_thread, unraisable
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before
