"""Patterns, layouts and times of Go: those of a configuration, over texts of strangers."""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache, partial

from shipper.golang.pattern import Pattern, PatternError
from shipper.golang.time import Layout, in_range, parse_zone
from tests.fuzz.target import Target, refusal_of

_NOW = 1_764_000_000.0
_BERLIN = parse_zone("Europe/Berlin")


def check_patterns(data: bytes) -> None:
    """A pattern, and a text that it looks at, with \\x01 between them."""
    written, _, text = data.partition(b"\x01")
    for each in (written.decode("utf-8", "replace"), written.decode("utf-8", "surrogateescape")):
        refused = refusal_of(partial(Pattern, each), PatternError)
        if refused is not None:
            assert refused.what_to_do
            continue
        found = Pattern(each).is_in(text)
        assert found == Pattern(each).is_in(text.decode("utf-8", "surrogateescape"))


@lru_cache(1000)
def _layout(text: str) -> Layout:
    return Layout(text)


def check_times(data: bytes) -> None:
    """A layout, and a value, with \\x01 between them."""
    written, _, value = data.partition(b"\x01")
    text = value.decode("utf-8", "surrogateescape")
    for layout in (written.decode("utf-8", "replace"), "2006-01-02T15:04:05.999Z07:00"):
        for zone in (UTC, _BERLIN):
            read = partial(_layout(layout).parse, text, zone, now=_NOW)
            refused = refusal_of(read, ValueError)
            if refused is None:
                assert in_range(read()) == read()
            else:
                assert str(refused)


def check_zones(data: bytes) -> None:
    refused = refusal_of(lambda: parse_zone(data.decode("utf-8", "surrogateescape")), ValueError)
    assert refused is None or str(refused)


_LAYOUTS = (
    b"2006-01-02T15:04:05Z07:00",
    b"Mon, 02 Jan 2006 15:04:05.000 MST",
    b"Jan _2 3:04:05.999999999PM -0700",
    b"06 002 __2 15h",
    b"2006-01-02 15:04:05,000 -07:00:00",
    b"2006-01-02 15:04:05",
)
_VALUES = (
    b"2026-11-24T04:32:37+01:00",
    b"Tue, 24 Nov 2026 04:32:37.123 CET",
    b"Nov 24 3:04:05.9PM -0700",
    b"26 328 328 7h",
    b"9999-12-31 23:59:59,000 -24:60:60",
    b"0000-02-29 00:00:00,000 +24:00:00",
    b"9999-12-31 23:59:59",
    b"0001-01-01 00:00:00",
)

TARGETS = (
    Target(
        "patterns",
        "a pattern is refused with advice, or matches a text or not, in bounded time",
        check_patterns,
        tuple(
            each + b"\x01" + text
            for each in (
                b"seq=0+[0-9]*7",
                b"(a*)*b",
                b"^\\pL{1,20}(?i)x|[^[:alpha:]]$",
                b"\\Q[.\\E\\x{10FFFF}",
                b"(?s:.{100}){3}",
            )
            for text in (b"a" * 200, b"seq=07\xff\xed\xa0\x80")
        ),
        (b"\\C", b"{1000}", b"(?=", b"*", b"(", b")", b"\\pL", b"\x01", b"\\Z", b"(?P<a>", b"[^"),
    ),
    Target(
        "layouts",
        "a value is a time by a layout, in the range of RFC 3339, or is refused in words",
        check_times,
        tuple(layout + b"\x01" + value for layout in _LAYOUTS for value in _VALUES),
        (b"MST", b"GMT+24", b"UTC", b"Z", b"PM", b".000", b"\x01", b" ", b"2006", b"99"),
    ),
    Target(
        "zones",
        "a time zone is known, or refused in words",
        check_zones,
        (b"Europe/Berlin", b"+02:00", b"-2359", b"UTC", b"Local", b"../etc/passwd", b"/etc", b"."),
        (b"/", b"..", b"\0", b"America/", b"a" * 300),
    ),
)
