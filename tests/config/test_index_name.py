"""Patterns of index names: what they give, and in which words they are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shipper.config.index_name import DATE_FIELDS, REFERENCES, IndexName, IndexPattern

CONSTANTS: dict[str, Any] = {
    "agent": {"id": "7", "name": "Node-1", "version": "1.2.3"},
    "host": {"name": "Node-1"},
    "event": {"dataset": "cilium_tetragon.log"},
    "fields": {
        "team": "Platform",
        "empty": "",
        "none": None,
        "yes": True,
        "number": 42,
        "whole": 2.0,
        "half": 0.5,
        "deep": {"er": "down", "a.b": "dotted"},
        "a.b": "flat",
        "bad": "a/b",
        "dash": "-x",
        "long": "ä" * 128,
        "list": ["a"],
    },
}
TIME = "2026-11-24T04"


def name(pattern: str, time: str = TIME) -> str:
    return fill(pattern).at(time)


def fill(pattern: str) -> IndexName:
    return IndexPattern.parse(pattern).fill(CONSTANTS)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("tetragon", "tetragon"),
        ("Tetragon", "tetragon"),
        ("tetragon-%{+yyyy.MM.dd}", "tetragon-2026.11.24"),
        ("%{[fields.team]}-tetragon-%{+xxxx.ww}", "platform-tetragon-2026.48"),
        ("%{[fields][team]}", "platform"),
        ("%{ [fields.team] }", "platform"),
        ("%{[host.name]}-%{[agent.version]}", "node-1-1.2.3"),
        ("%{[event.dataset]}", "cilium_tetragon.log"),
        ("%{[fields.team]:other}", "platform"),
        ("%{[fields.no]:Other}", "other"),
        ("%{[fields.empty]:other}", "other"),
        ("%{[fields.none]:other}", "other"),
        ("%{[fields.team.no]:other}", "other"),
        ("a%{[fields.no]:}", "a"),
        ("%{[fields.yes]}-%{[fields.number]}-%{[fields.whole]}", "true-42-2"),
        ("%{[fields.half]}", "0.5"),
        ("%{[fields.deep.er]}-%{[fields.deep.a.b]}-%{[fields.a.b]}", "down-dotted-flat"),
        ("a%b-100%", "a%b-100%"),
        ("日本-%{+yyyy}", "日本-2026"),
        (".tetragon", ".tetragon"),
        ("%{+yy-D-DDD-HH}", "26-328-328-04"),
        ("%{+'Week'.ww}", "week.48"),
        ("%{+yyyy''MM}", "2026'11"),
        ("%{+'o''clock'HH}", "o'clock04"),
    ],
)
def test_a_pattern_gives_the_name_that_filebeat_would_give(pattern: str, expected: str) -> None:
    assert name(pattern) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-01-01", "2026 01 01 1 001 2026 01"),
        # The week belongs to the year that has most of its days.
        ("2027-01-01", "2027 01 01 1 001 2026 53"),
        ("2024-12-30", "2024 12 30 365 365 2025 01"),
        ("2028-12-31", "2028 12 31 366 366 2028 52"),
        ("0001-01-01", "0001 01 01 1 001 0001 01"),
    ],
)
def test_dates_at_the_edges_of_years(time: str, expected: str) -> None:
    pattern = "%{+yyyy_MM_dd_D_DDD_xxxx_ww}"
    assert name(pattern, time) == expected.replace(" ", "_")


def test_a_name_has_a_date_of_every_day_of_years() -> None:
    day = datetime(2020, 1, 1, tzinfo=UTC)
    for _ in range(3000):
        time = day.isoformat()
        assert name("%{+yyyy-MM-dd}", time) == time[:10]
        assert name("%{+xxxx-ww}", time) == day.strftime("%G-%V")
        assert name("%{+DDD}", time) == day.strftime("%j")
        day += timedelta(days=1)


@pytest.mark.parametrize(
    ("pattern", "span"),
    [("a", 0), ("%{[fields.team]}", 0), ("a-%{+yyyy}", 10), ("a-%{+yyyy.MM}-%{+HH}", 13)],
)
def test_the_span_is_how_much_of_a_time_decides(pattern: str, span: int) -> None:
    assert fill(pattern).span == span


def test_a_name_without_fields_and_dates_is_known_from_the_pattern_alone() -> None:
    assert IndexPattern.parse("Tetragon").constant == "tetragon"
    assert IndexPattern.parse("a-%{+yyyy}").constant == ""
    assert IndexPattern.parse("a-%{[fields.team]}").constant == ""


@pytest.mark.parametrize("text", ["", "2026", "2026-11-2\\", "2026-13-01", "2026-02-30T00"])
def test_what_is_no_time_gives_no_name(text: str) -> None:
    with pytest.raises(ValueError):
        name("a-%{+yyyy.MM.dd}", text)


LETTERS = ", ".join(f"{field.letters} ({field.meaning})" for field in DATE_FIELDS)
KNOWN = f"use one of {', '.join(REFERENCES)}"
NO_SUCH_CHARACTER = (
    'the name of an index cannot contain white space or any of \\ / * ? " < > | , # :'
)

REFUSED_PATTERNS = {
    "a-%{+yyyy": "`%{+yyyy` is not closed by a }",
    "%{[fields.%{[fields.team]}]}": "`%{[fields.` is not closed by a }",
    "%{}": "`%{}` is neither a field, such as %{[fields.team]}, nor a date, such as %{+yyyy.MM.dd}",
    "%{fields.team}": "`%{fields.team}` is neither a field, such as %{[fields.team]}, nor a "
    "date, such as %{+yyyy.MM.dd}",
    "%{[]}": "`%{[]}` does not name a field such as %{[fields.team]}",
    "%{[fields.team}": "`%{[fields.team}` does not name a field such as %{[fields.team]}",
    "%{[a] b}": "`%{[a] b}` does not name a field such as %{[fields.team]}",
    "%{[message]}": "`message` is not the same in all documents of an input; " + KNOWN,
    "%{[log.offset]}": "`log.offset` is not the same in all documents of an input; " + KNOWN,
    "%{[process_exec.process.pod.namespace]:none}": "`process_exec.process.pod.namespace` is not "
    "the same in all documents of an input; " + KNOWN,
    "%{[fields]}": "`fields` is not the same in all documents of an input; " + KNOWN,
    "%{[data_stream.type]}": "`data_stream.type` is not the same in all documents of an "
    "input; " + KNOWN,
    "%{[agent.ephemeral_id]}": "`agent.ephemeral_id` changes with each start, so that events "
    "sent again would be stored twice; " + KNOWN,
    "%{+}": f"`%{{+}}` has no part of a date in it; use {LETTERS}",
    "%{+-}": f"`%{{+-}}` has no part of a date in it; use {LETTERS}",
    "%{+YYYY.MM.dd}": "`YYYY` in `%{+YYYY.MM.dd}` is not a supported part of a date; use "
    f"{LETTERS}",
    "%{+yyyy.MMM}": f"`MMM` in `%{{+yyyy.MMM}}` is not a supported part of a date; use {LETTERS}",
    "%{+yyyy.mm}": f"`mm` in `%{{+yyyy.mm}}` is not a supported part of a date; use {LETTERS}",
    "%{+yyyyMMdd'T}": "`%{+yyyyMMdd'T}` has a ' that is not closed by another one",
    "a b": f"`a b` contains ' '; {NO_SUCH_CHARACTER}",
    "a\tb": f"`a\tb` contains '\\t'; {NO_SUCH_CHARACTER}",
    "a/b": f"`a/b` contains '/'; {NO_SUCH_CHARACTER}",
    "<a-{now/d}>": f"`<a-{{now/d}}>` contains '<'; {NO_SUCH_CHARACTER}",
    "a-%{+yyyy/MM}": f"`a-%{{+yyyy/MM}}` contains '/'; {NO_SUCH_CHARACTER}",
    "%{[fields.no]:a:b}": f"`a:b` contains ':'; {NO_SUCH_CHARACTER}",
    "-a": "`-a` is not the name of an index, which cannot begin with - _ + or be . or ..",
    "_all": "`_all` is not the name of an index, which cannot begin with - _ + or be . or ..",
    "..": "`..` is not the name of an index, which cannot begin with - _ + or be . or ..",
    "x" * 256: f"`{'x' * 60}…` has 256 bytes; the name of an index has at most 255",
}


@pytest.mark.parametrize("character", '\\/*?"<>| ,#:')
def test_no_name_has_a_character_that_elasticsearch_forbids(character: str) -> None:
    with pytest.raises(ValueError, match="; the name of an index cannot contain white space"):
        IndexPattern.parse(f"a{character}b-%{{+yyyy}}")


@pytest.mark.parametrize("pattern", REFUSED_PATTERNS)
def test_a_pattern_that_can_give_no_name_is_refused_in_words(pattern: str) -> None:
    with pytest.raises(ValueError) as caught:
        IndexPattern.parse(pattern)
    assert str(caught.value) == REFUSED_PATTERNS[pattern]


REFUSED_NAMES = {
    "%{[fields.no]}": "`fields.no` has no value; set it, or write %{[fields.no]:default}",
    "%{[fields.empty]}": "`fields.empty` has no value; set it, or write %{[fields.empty]:default}",
    "%{[agent.type]}": "`agent.type` has no value; set it, or write %{[agent.type]:default}",
    "%{[fields.deep]}": "`fields.deep` is neither text nor a number",
    "%{[fields.list]:a}": "`fields.list` is neither text nor a number",
    "%{[fields.bad]}": f"`a/b` contains '/'; {NO_SUCH_CHARACTER}",
    "%{[fields.dash]}-%{+yyyy}": "`-x-9999` is not the name of an index, which cannot begin with "
    "- _ + or be . or ..",
    "%{[fields.no]:}": "the name is empty",
    "%{[fields.long]}": f"`{'ä' * 60}…` has 256 bytes; the name of an index has at most 255",
}


@pytest.mark.parametrize("pattern", REFUSED_NAMES)
def test_a_name_that_the_fields_make_impossible_is_refused_in_words(pattern: str) -> None:
    parsed = IndexPattern.parse(pattern)
    with pytest.raises(ValueError) as caught:
        parsed.fill(CONSTANTS)
    assert str(caught.value) == REFUSED_NAMES[pattern]


def test_the_longest_date_counts_for_the_length() -> None:
    fits = "x" * (255 - len("-9999.12.31"))
    assert name(f"{fits}-%{{+yyyy.MM.dd}}").endswith("-2026.11.24")
    with pytest.raises(ValueError, match="256 bytes"):
        fill(f"{fits}x-%{{+yyyy.MM.dd}}")
