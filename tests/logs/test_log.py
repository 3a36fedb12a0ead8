"""What is logged at which level, and what becomes of messages of libraries."""

from __future__ import annotations

import logging

import pytest

from shipper.logs import Level
from shipper.logs.events import (
    FILE_OPENED,
    REGISTRY_COMMIT_FAILED,
    REQUEST_FAILED,
    REQUEST_FINISHED,
)
from shipper.logs.formats import TextFormatter
from shipper.logs.log import dropped_notice
from shipper.logs.queue import DropReason
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        (Level.DEBUG, ["debug", "info", "warning", "error"]),
        (Level.INFO, ["info", "warning", "error"]),
        (Level.WARNING, ["warning", "error"]),
        (Level.ERROR, ["error"]),
    ],
)
def test_what_is_below_the_level_is_not_logged(level: Level, logged: list[str]) -> None:
    recorded = RecordedLog(ManualClock(), level)
    for event in (REQUEST_FINISHED, FILE_OPENED, REQUEST_FAILED, REGISTRY_COMMIT_FAILED):
        recorded.log.emit(event)
    assert [entry["log.level"] for entry in recorded.entries()] == logged
    assert recorded.log.debug_enabled is (level is Level.DEBUG)


@pytest.fixture
def recorded() -> RecordedLog:
    return RecordedLog(ManualClock())


@pytest.fixture
def library(recorded: RecordedLog) -> logging.Logger:
    """A logger of somebody else, whose messages come to our handler."""
    logger = logging.Logger("some.library")
    logger.addHandler(recorded.handler)
    return logger


def test_messages_of_libraries_are_in_the_log_with_their_trace(
    recorded: RecordedLog, library: logging.Logger
) -> None:
    library.debug("not logged")
    library.warning("careful with %s", "this", extra={"ours": object(), "event.action": "x"})
    try:
        raise ValueError("inside")
    except ValueError:
        library.exception("it failed")
    careful, failed = recorded.entries()
    assert careful["log.level"] == "warning"
    assert careful["message"] == "careful with this"
    assert careful["log.logger"] == "some.library"
    assert "event.action" not in careful
    assert failed["log.level"] == "error"
    assert failed["error.stack_trace"].endswith("ValueError: inside\n")


def test_repeats_of_a_library_are_folded_by_the_text_without_its_arguments(
    recorded: RecordedLog, library: logging.Logger
) -> None:
    for number in range(10):
        library.warning("number %d", number)
    library.warning("another")
    assert [entry["message"] for entry in recorded.entries()] == ["number 0", "another"]


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("message", "arguments"),
    [("%d", ("no number",)), ("%s", (Odd(),)), (Odd(), ()), ("%s %s", ("one",))],
)
def test_a_library_that_logs_nonsense_raises_nothing(
    recorded: RecordedLog, library: logging.Logger, message: object, arguments: tuple[object, ...]
) -> None:
    library.warning(message, *arguments)
    assert len(recorded.entries()) == 1


@pytest.mark.parametrize(
    ("number", "level"),
    [(60, "error"), (50, "error"), (45, "error"), (35, "warning"), (25, "info")],
)
def test_levels_between_ours_are_the_next_lower(
    recorded: RecordedLog, library: logging.Logger, number: int, level: str
) -> None:
    library.log(number, "m")
    assert recorded.entries()[0]["log.level"] == level


def test_the_log_has_no_logger_that_others_could_find(recorded: RecordedLog) -> None:
    assert "shipper" not in logging.Logger.manager.loggerDict


@pytest.mark.parametrize(("level", "is_told"), [(Level.WARNING, True), (Level.ERROR, False)])
def test_the_notice_about_dropped_messages_is_a_warning(level: Level, is_told: bool) -> None:
    line = dropped_notice(
        {DropReason.QUEUE_FULL: 3, DropReason.RATE_LIMIT: 4},
        clock=ManualClock(),
        level=level,
        formatter=TextFormatter(colours=False),
    )
    words = b"warning log messages were dropped  dropped=7  queue_full=3  rate_limit=4\n"
    assert (line is not None and line.endswith(words)) is is_told
