"""Fields by their paths, as Filebeat finds them; and how changes are taken back."""

from __future__ import annotations

from typing import Any

import pytest

from shipper.documents.processors.event import (
    MISSING,
    Event,
    ProcessorError,
    Time,
    Undo,
    delete,
    flat_keys,
    get,
    merge,
    put,
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", 1),
        ("b", {"c": 2, "d.e": 3}),
        ("b.c", 2),
        ("b.d.e", 3),
        ("f.g", 4),
        ("n", None),
        ("x", MISSING),
        ("b.x", MISSING),
        ("b.x.y", MISSING),
    ],
)
def test_a_path_is_a_key_or_leads_into_objects(path: str, value: object) -> None:
    assert get({"a": 1, "b": {"c": 2, "d.e": 3}, "f.g": 4, "n": None}, path) == value


def test_a_path_through_what_is_no_object_is_an_error() -> None:
    for use in (get, delete):
        with pytest.raises(ProcessorError, match=r"`a` of `a[.]b` is not an object"):
            use({"a": 1}, "a.b")
    with pytest.raises(ProcessorError, match=r"`a` of `a[.]b` is not an object"):
        put({"a": 1}, "a.b", 2)
    assert Event(Time(""), {"a": 1}, b"", 0.0).peek("a.b") is MISSING


def test_objects_on_the_way_are_made() -> None:
    fields: dict[str, Any] = {"a.b": 1}
    put(fields, "a.b", 2)
    put(fields, "c.d.e", 3)
    assert fields == {"a.b": 2, "c": {"d": {"e": 3}}}


def test_changes_are_taken_back_the_last_first() -> None:
    fields: dict[str, Any] = {"a": 1, "b": {"c": 2}}
    undo = Undo()
    delete(fields, "a", undo)
    put(fields, "a.x", 1, undo)
    put(fields, "b.c", 3, undo)
    put(fields, "b.d.e", 4, undo)
    delete(fields, "b.c", undo)
    undo.undo()
    assert fields == {"a": 1, "b": {"c": 2}}


def test_objects_are_merged_key_by_key() -> None:
    into: dict[str, Any] = {"a": {"b": 1}, "c": 2, "d": 3}
    merge(into, {"a": {"b": 9, "x": 1}, "c": {"y": 1}, "d": 4}, overwrite=False)
    # An object comes in the place of what is none, as in Filebeat.
    assert into == {"a": {"b": 1, "x": 1}, "c": {"y": 1}, "d": 3}
    merge(into, {"a": {"b": 9}, "d": 4}, overwrite=True)
    assert into == {"a": {"b": 9, "x": 1}, "c": {"y": 1}, "d": 4}


def test_keys_are_listed_with_those_below_them_first() -> None:
    assert flat_keys({"a": {"b": {"c": 1}}, "d": 1}) == ["a.b.c", "a.b", "a", "d"]


@pytest.mark.parametrize(
    ("nanoseconds", "written", "text"),
    [
        (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        (0, "1970-01-01T00:00:00.0Z", "1970-01-01T00:00:00.0Z"),
        (120_000_000, "1970-01-01T00:00:00.12Z", "1970-01-01T00:00:00.12Z"),
        (1, "1970-01-01T00:00:00.0000000019Z", "1970-01-01T00:00:00.000000001Z"),
        (0, "1970-01-01T02:00:00+02:00", "1970-01-01T00:00:00.000Z"),
        (0, "1970-02-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        (0, 0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_keeps_the_words_that_say_it_in_utc(
    nanoseconds: int, written: object, text: str
) -> None:
    assert Time.of(nanoseconds, written).text == text


def test_only_a_time_can_be_the_time_of_an_event() -> None:
    event = Event(Time("t"), {}, b'{"a":1}', 0.0)
    with pytest.raises(ProcessorError, match="not a time"):
        event.put("@timestamp", "2026")
    event.put("@timestamp", Time("u"))
    assert event.get("@timestamp") == Time("u")
    assert event.decoded == {"a": 1}
    assert Event(Time("t"), {}, b"[1]", 0.0).decoded == {}
