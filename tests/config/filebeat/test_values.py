"""Durations as Go has them, sizes, switches, lists in one text."""

from __future__ import annotations

import pytest

from shipper.config.filebeat import values
from shipper.config.filebeat.tree import Node, Scalar
from shipper.config.units import Seconds
from shipper.errors import Location


def scalar(text: str, value: object = None) -> Node:
    return Node(Location("a.yml", 1), Scalar(text, text if value is None else value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h2m3.5s", 3723.5),
        ("90", 90),
        ("0", 0),
        ("1.5h", 5400),
        ("100ms", 0.1),
        ("250us", 0.00025),
        ("1µs", 1e-6),
        ("10ns", 1e-8),
        ("-1", -1),
        ("-5s", -5),
        (".5s", 0.5),
        ("24h", 86400),
        (" 5m ", 300),
    ],
)
def test_a_duration_is_what_go_says(text: str, expected: float) -> None:
    assert values.seconds(scalar(text)) == pytest.approx(expected)
    if expected >= 1e-3 or not expected:
        ours = values.duration(scalar(text))
        assert Seconds.parse(ours) == pytest.approx(expected), ours


@pytest.mark.parametrize("text", ["", "5 m", "1d", "h", "5x", "1h-2m", "ten"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        values.seconds(scalar(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10485760", 10485760), ("10MiB", 10485760), ("10MB", 10_000_000), ("1.5 KiB", 1536)],
)
def test_a_size_has_a_unit_or_is_bytes(text: str, expected: int) -> None:
    assert values.size(scalar(text)) == expected


@pytest.mark.parametrize("text", ["ten", "-1", "1XB", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        values.size(scalar(text))


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("YES", True), ("on", True), ("0", False), ("f", False)]
)
def test_a_switch_may_be_text(text: str, expected: bool) -> None:
    assert values.boolean(scalar(text)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ["a"]),
        ("a, b", ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        ("['a,b', \"c\"]", ["a,b", "c"]),
        ("'a,b',c", ["a,b", "c"]),
        ("", [""]),
    ],
)
def test_a_list_may_be_one_text(text: str, expected: list[str]) -> None:
    assert values.split(text) == expected


def test_values_of_the_wrong_kind_are_refused_without_being_repeated() -> None:
    for read in (values.number, values.boolean, values.seconds, values.size):
        with pytest.raises(ValueError, match="expected") as raised:
            read(scalar("MARKER7"))
        assert "MARKER7" not in str(raised.value)
