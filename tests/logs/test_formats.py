"""Messages as ECS JSON and as text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shipper.logs import Level
from shipper.logs.ecs import EcsFormatter
from shipper.logs.events import FILE_OPENED, METRICS, REQUEST_FAILED, REQUEST_FINISHED
from shipper.logs.formats import ECS_NAMES, MAX_LINE, MAX_TRACE, MAX_VALUE, TextFormatter
from shipper.logs.log import Entry, Formatter
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog, flat

NOON = 1_764_590_400.25
"""2025-12-01T12:00:00.250Z"""

PLAIN = TextFormatter(colours=False)


@pytest.fixture
def recorded() -> RecordedLog:
    return RecordedLog(ManualClock(NOON))


@pytest.fixture
def text() -> RecordedLog:
    return RecordedLog(ManualClock(NOON), formatter=PLAIN)


def failure() -> ValueError:
    try:
        raise ValueError("inside")
    except ValueError as error:
        return error


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class TestEcs:
    def test_a_message_is_an_object_on_a_line(self, recorded: RecordedLog) -> None:
        recorded.log.emit(FILE_OPENED, path="/logs/a b.log", offset=3, size=9, reason="it is new")
        (line,) = recorded.text.splitlines()
        assert json.loads(line) == {
            "@timestamp": "2025-12-01T12:00:00.250Z",
            "log.level": "info",
            "message": "started reading file",
            "ecs.version": "1.6.0",
            "log": {"logger": "shipper"},
            "event": {"action": "file-opened", "reason": "it is new"},
            "file": {"path": "/logs/a b.log", "size": 9},
            "shipper": {"offset": 3},
        }

    def test_fields_have_the_names_and_units_of_ecs(self, recorded: RecordedLog) -> None:
        recorded.log.emit(
            REQUEST_FINISHED.__class__("a-b", Level.INFO, "m", "."),
            url="http://es:9200",
            status=200,
            duration=0.25,
            code="EIO",
            version="1",
        )
        (entry,) = recorded.entries()
        assert entry["url.full"] == "http://es:9200"
        assert entry["http.response.status_code"] == 200
        assert entry["event.duration"] == 250_000_000
        assert (entry["error.code"], entry["service.version"]) == ("EIO", "1")

    def test_what_is_none_is_left_out(self, recorded: RecordedLog) -> None:
        recorded.log.emit(FILE_OPENED, path=None)
        assert not any(name.startswith("file.") for name in recorded.entries()[0])

    def test_an_exception_has_its_type_message_and_trace(self, recorded: RecordedLog) -> None:
        recorded.log.emit(REQUEST_FAILED, error=failure())
        (entry,) = recorded.entries()
        assert (entry["error.type"], entry["error.message"]) == ("ValueError", "inside")
        assert entry["error.stack_trace"].endswith("ValueError: inside\n")

    def test_the_traces_of_a_group_and_of_causes_are_there(self, recorded: RecordedLog) -> None:
        error = ExceptionGroup("several", [failure(), KeyError("other")])
        error.__cause__ = RuntimeError("the cause")
        recorded.log.emit(REQUEST_FAILED, error=error)
        trace = recorded.entries()[0]["error.stack_trace"]
        for words in ("ValueError: inside", "KeyError: 'other'", "RuntimeError: the cause"):
            assert words in trace

    def test_line_breaks_do_not_break_the_line(self, recorded: RecordedLog) -> None:
        recorded.log.emit(REQUEST_FAILED, error="first\nsecond\n\u2028")
        assert recorded.text.count("\n") == 1
        assert recorded.entries()[0]["error.message"] == "first\nsecond\n\u2028"

    def test_a_name_that_is_not_utf_8_is_escaped(self, recorded: RecordedLog) -> None:
        recorded.log.emit(
            FILE_OPENED, path=b"/logs/\xff\xc3\xa9.log".decode("utf-8", "surrogateescape")
        )
        assert recorded.entries()[0]["file.path"] == "/logs/\\udcffé.log"

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (float("nan"), "nan"),
            (ValueError("no"), "no"),
            (b"x", "b'x'"),
            ((1, "\udcff"), [1, "\\udcff"]),
            (True, True),
        ],
    )
    def test_values_are_written_as_json_has_them(
        self, recorded: RecordedLog, value: object, written: object
    ) -> None:
        recorded.log.emit(FILE_OPENED, value=value)
        assert recorded.entries()[0]["shipper.value"] == written

    def test_mappings_are_objects(self, recorded: RecordedLog) -> None:
        recorded.log.emit(METRICS, metrics={"a": 1, "events": {"delivered": 2}})
        assert json.loads(recorded.text)["shipper"]["metrics"] == {
            "a": 1,
            "events": {"delivered": 2},
        }

    def test_names_of_ecs_are_those_of_a_field_each(self) -> None:
        assert len(set(ECS_NAMES.values())) == len(ECS_NAMES)
        # What a collector sets of the machine and of the file that our log is read from.
        assert not any(name.startswith(("host.", "log.file.")) for name in ECS_NAMES.values())


class TestText:
    def test_a_person_reads_the_time_the_level_and_words(self, text: RecordedLog) -> None:
        text.log.emit(REQUEST_FAILED, url="http://es", reason="no connection", note="two\nlines")
        assert text.text == (
            "12:00:00.250 warning bulk request failed; retrying  url=http://es"
            '  reason="no connection"  note="two\\nlines"\n'
        )

    def test_nothing_that_a_terminal_would_act_on_gets_there(self, text: RecordedLog) -> None:
        text.log.emit(FILE_OPENED, path="/a\x1b[2J\x9b\u202e", reason="")
        assert '  path="/a\\u001b[2J\\x9b\\u202e"  reason=""\n' in text.text

    def test_a_trace_is_below_its_message(self, text: RecordedLog) -> None:
        text.log.emit(REQUEST_FAILED, error=failure())
        first, *rest = text.text.splitlines()
        assert first.endswith("  error=inside  error_type=ValueError")
        assert rest[0] == "    Traceback (most recent call last):"
        assert rest[-1] == "    ValueError: inside"

    def test_colours_are_there_if_they_are_wanted(self) -> None:
        entry = Entry(NOON, Level.ERROR, "x", {})
        coloured = TextFormatter(colours=True).line(entry).decode()
        assert "\x1b[31m" in coloured
        without = coloured.replace("\x1b[31m", "").replace("\x1b[0m", "")
        assert without == PLAIN.line(entry).decode()

    def test_mappings_are_flat(self, text: RecordedLog) -> None:
        text.log.emit(METRICS, metrics={"a": 1, "events": {"delivered": 2}})
        assert text.text.endswith("interval  metrics.a=1  metrics.events.delivered=2\n")


@pytest.mark.parametrize("formatter", [EcsFormatter(), PLAIN], ids=["ecs", "text"])
class TestBounds:
    def line(self, formatter: Formatter, **fields: object) -> bytes:
        return formatter.line(Entry(NOON, Level.ERROR, "it failed", fields, REQUEST_FAILED))

    def test_a_long_value_is_cut_with_how_much(self, formatter: Formatter) -> None:
        line = self.line(formatter, path="x" * 100_000).decode()
        assert f"… ({100_000 - MAX_VALUE} more characters)" in line
        assert len(line) < MAX_VALUE + 500

    def test_a_line_is_never_longer_than_it_may_be(self, formatter: Formatter) -> None:
        fields: dict[str, Any] = {f"f{number}": "é" * 5000 for number in range(50)}
        line = self.line(formatter, **fields, more=list(range(100_000)), all=fields)
        assert len(line) <= MAX_LINE
        assert line.endswith(b"\n")
        assert b"it failed" in line

    def test_the_end_of_a_long_trace_is_kept(self, formatter: Formatter) -> None:
        error = ValueError("x" * 3 * MAX_TRACE + "the end")
        line = formatter.line(Entry(NOON, Level.ERROR, "m", {}, None, error))
        assert len(line) <= MAX_LINE
        assert b"the end" in line

    def test_a_value_without_text_does_not_lose_the_message(self, formatter: Formatter) -> None:
        line = self.line(formatter, value=Unprintable())
        assert b"it failed" in line
        assert b"RuntimeError" in line

    def test_nor_does_an_exception_without_text(self, formatter: Formatter) -> None:
        class OddError(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        line = formatter.line(Entry(NOON, Level.ERROR, "it failed", {}, REQUEST_FAILED, OddError()))
        assert b"it failed" in line

    def test_a_message_of_a_library_may_be_anything(self, formatter: Formatter) -> None:
        line = formatter.line(Entry(NOON, Level.ERROR, "x\udcff\n" * 10_000, {"logger": "a.b"}))
        assert len(line) <= MAX_LINE
        assert line.count(b"\n") == 1


def test_a_librarys_message_has_its_logger(recorded: RecordedLog) -> None:
    line = EcsFormatter().line(Entry(NOON, Level.WARNING, "careful", {"logger": "aiohttp.client"}))
    entry = flat(json.loads(line))
    assert (entry["log.logger"], entry["message"]) == ("aiohttp.client", "careful")
    assert "event.action" not in entry
