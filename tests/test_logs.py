"""The log: JSON for machines, words for people; a fault that repeats is not said all the time."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from typing import Any

import pytest

from shipper.logs import REPEAT_AFTER, Level, Log, LogFormat, StandardLogging
from tests.support.clock import ManualClock

NOON = 1_764_590_400.25
"""2025-12-01T12:00:00.250Z"""


class Stream(io.StringIO):
    """A stream that is a terminal, or is not."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().split("\n")[:-1]]


class FullDisk(Stream):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def log(stream: Stream, clock: ManualClock) -> Log:
    return Log(stream, clock, Level.INFO, LogFormat.JSON)


def pass_seconds(clock: ManualClock, seconds: float) -> None:
    asyncio.run(clock.advance(seconds))


class TestJson:
    def test_a_message_is_an_object_on_a_line(self, stream: Stream, log: Log) -> None:
        log.info("files are followed", count=3, path="/logs/a b.log")
        log.warning("later")
        log.error("worse")
        assert stream.entries()[0] == {
            "time": "2025-12-01T12:00:00.250Z",
            "level": "info",
            "message": "files are followed",
            "count": 3,
            "path": "/logs/a b.log",
        }
        assert [entry["level"] for entry in stream.entries()] == ["info", "warning", "error"]

    def test_line_breaks_do_not_break_the_line(self, stream: Stream, log: Log) -> None:
        log.error("fault", trace="first\nsecond\n\u2028")
        assert stream.getvalue().count("\n") == 1
        assert stream.entries()[0]["trace"] == "first\nsecond\n\u2028"

    def test_a_name_that_is_not_utf_8_is_escaped(self, stream: Stream, log: Log) -> None:
        log.warning("odd", path=b"/logs/\xff.log".decode("utf-8", "surrogateescape"))
        assert stream.entries()[0]["path"] == "/logs/\\udcff.log"

    def test_values_that_json_does_not_know_are_written_as_text(
        self, stream: Stream, log: Log
    ) -> None:
        log.info("x", error=ValueError("no"))
        assert stream.entries()[0]["error"] == "no"


class TestText:
    def test_a_person_reads_the_time_the_level_and_words(self, clock: ManualClock) -> None:
        stream = Stream()
        log = Log(stream, clock, Level.INFO, LogFormat.TEXT)
        log.warning("a request failed", host="http://es", why="no connection", note="two\nlines")
        assert stream.getvalue() == (
            "12:00:00.250 warning a request failed  host=http://es"
            '  why="no connection"  note="two\\nlines"\n'
        )

    @pytest.mark.parametrize(
        ("form", "terminal", "is_json"),
        [
            (LogFormat.AUTO, True, False),
            (LogFormat.AUTO, False, True),
            (LogFormat.JSON, True, True),
            (LogFormat.TEXT, False, False),
        ],
    )
    def test_a_terminal_gets_text_and_all_else_json_unless_told_otherwise(
        self, clock: ManualClock, form: LogFormat, terminal: bool, is_json: bool
    ) -> None:
        stream = Stream(terminal)
        Log(stream, clock, Level.INFO, form).info("x")
        assert stream.getvalue().startswith("{") is is_json

    def test_colours_are_for_terminals_that_want_them(
        self, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        shown = {}
        for name, terminal in (("terminal", True), ("file", False)):
            stream = Stream(terminal)
            Log(stream, clock, Level.INFO, LogFormat.TEXT).error("x")
            shown[name] = stream.getvalue()
        monkeypatch.setenv("NO_COLOR", "1")
        plain = Stream(terminal=True)
        Log(plain, clock, Level.INFO, LogFormat.TEXT).error("x")
        assert "\x1b[31m" in shown["terminal"]
        assert re.sub(r"\x1b\[\d+m", "", shown["terminal"]) == shown["file"] == plain.getvalue()


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (Level.INFO, ["info", "warning", "error"]),
        (Level.WARNING, ["warning", "error"]),
        (Level.ERROR, ["error"]),
    ],
)
def test_what_is_below_the_level_is_not_said(
    stream: Stream, clock: ManualClock, level: Level, said: list[str]
) -> None:
    log = Log(stream, clock, level, LogFormat.JSON)
    log.info("a")
    log.warning("b")
    log.error("c")
    assert [entry["level"] for entry in stream.entries()] == said


class TestRepetition:
    def test_a_fault_is_said_at_once_and_then_now_and_then_with_how_often(
        self, stream: Stream, clock: ManualClock, log: Log
    ) -> None:
        for _ in range(100):
            log.warning("it failed", key="failed", why="x")
            pass_seconds(clock, 1)
        assert [entry.get("repeated") for entry in stream.entries()] == [None, 29, 29, 29]
        assert stream.entries()[1]["why"] == "x"

    def test_faults_are_told_apart_by_their_key(
        self, stream: Stream, clock: ManualClock, log: Log
    ) -> None:
        for _ in range(3):
            log.warning("it failed", key="a")
            log.warning("it failed", key="b")
            log.warning("it failed")
        assert len(stream.entries()) == 5

    def test_after_a_quiet_time_a_fault_is_a_new_one(
        self, stream: Stream, clock: ManualClock, log: Log
    ) -> None:
        log.error("it failed", key="a")
        pass_seconds(clock, REPEAT_AFTER)
        log.error("it failed", key="a")
        assert [entry.get("repeated") for entry in stream.entries()] == [None, None]

    def test_past_a_thousand_different_faults_one_is_rather_said_too_often(
        self, stream: Stream, log: Log
    ) -> None:
        for number in range(1000):
            log.error("it failed", key=f"file {number}")
        log.error("it failed", key="file 0")
        assert len(stream.entries()) == 1000
        log.error("it failed", key="file 1000")
        log.error("it failed", key="file 0")
        assert len(stream.entries()) == 1002


def test_a_log_that_cannot_be_written_stops_nothing(clock: ManualClock) -> None:
    Log(FullDisk(), clock, Level.INFO, LogFormat.JSON).error("nobody reads this")


def test_what_libraries_say_is_in_our_log_with_its_traceback(stream: Stream, log: Log) -> None:
    logger = logging.getLogger("some.library")
    handler = StandardLogging(log)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.info("not said")
        logger.warning("careful with %s", "this")
        try:
            raise ValueError("inside")
        except ValueError:
            logger.exception("it failed")
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    careful, failed = stream.entries()
    assert (careful["level"], careful["message"], careful["logger"]) == (
        "warning",
        "careful with this",
        "some.library",
    )
    assert failed["level"] == "error"
    assert failed["trace"].endswith("ValueError: inside\n")
