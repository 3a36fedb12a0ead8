"""Counts dead letters by reason, and formats them as text.

The reasons of Elasticsearch contain ids and values, so each is different. To group them, quoted
text and numbers are removed.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec import Struct

from shipper.output.dead_letter import NO_STATUS, DeadLetter

#: Further reasons are counted together, so that memory is limited.
_MOST_REASONS = 200

_POSITION = re.compile(r"\[\d+:\d+\] ", re.ASCII)
# The apostrophe of "field's" does not begin a quotation.
_PARTICULARS = re.compile(r"(?<!\w)'.*?(?:'(?!\w)|$)|\b\d+\b", re.ASCII | re.DOTALL)

_REASON_WIDTH = 160
_LINE_WIDTH = 200


class _Group(Struct):
    count: int
    #: Unix seconds.
    first: float
    last: float


class Summary:
    """Counts dead letters by status and reason."""

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[tuple[int, str], _Group] = {}

    def add(self, dead_letter: DeadLetter) -> None:
        """Counts a dead letter."""
        self.count += 1
        key = (dead_letter.status, generalize_reason(dead_letter.reason))
        if key not in self._groups and len(self._groups) >= _MOST_REASONS:
            key = (dead_letter.status, "other reasons")
        group = self._groups.get(key)
        if group is None:
            self._groups[key] = _Group(1, dead_letter.time, dead_letter.time)
            return
        group.count += 1
        group.first = min(group.first, dead_letter.time)
        group.last = max(group.last, dead_letter.time)

    def as_json(self) -> list[dict[str, object]]:
        """The table for JSON; times as RFC 3339."""
        return [
            {
                "count": group.count,
                "status": status,
                "first": format_time(group.first),
                "last": format_time(group.last),
                "reason": reason,
            }
            for (status, reason), group in self._sorted()
        ]

    def _sorted(self) -> list[tuple[tuple[int, str], _Group]]:
        return sorted(self._groups.items(), key=lambda item: (-item[1].count, item[0]))

    def lines(self) -> Iterator[str]:
        """The table, the most frequent reason first."""
        yield f"{'COUNT':>8}  {'STATUS':<6}  {'FIRST':<20}  {'LAST':<20}  REASON"
        for (status, reason), group in self._sorted():
            yield (
                f"{group.count:>8}  {format_status(status):<6}  {format_time(group.first)}  "
                f"{format_time(group.last)}  {printable(reason, _REASON_WIDTH)}"
            )


def generalize_reason(reason: str) -> str:
    """The reason without the parts that are specific to one event."""
    return _PARTICULARS.sub("…", _POSITION.sub("", reason))


def format_dead_letter(dead_letter: DeadLetter) -> str:
    """A dead letter as lines of text."""
    status = format_status(dead_letter.status)
    # Processors may have taken the line out of the document.
    line = dead_letter.line or bytes(dead_letter.document).decode("utf-8", "replace")
    return (
        f"{format_time(dead_letter.time)}  {status}  "
        f"{printable(dead_letter.path, 4096)}:{dead_letter.offset}\n"
        f"    {printable(dead_letter.reason, 1000)}\n"
        f"    {printable(line, _LINE_WIDTH)}\n"
    )


def format_status(status: int) -> str:
    """The HTTP status, `unsent`, or `none`: no answer had one."""
    if status == NO_STATUS:
        return "none"
    return str(status) if status else "unsent"


def format_time(seconds: float) -> str:
    """Unix seconds as RFC 3339, in UTC."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f}"


def printable(text: str, width: int) -> str:
    """The text without control characters, which an attacker may have put into a log line."""
    cut = f"{text[:width]}…" if len(text) > width else text
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in cut)
