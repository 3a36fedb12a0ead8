"""How many dead letters there are for each reason, and since when; and letters in words.

A reason as Elasticsearch gives it names the document and its value, so every one is different: here
what is quoted, and numbers, are left out of it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from shipper.output.dead_letter import DeadLetter

#: More reasons than that are not told apart: memory stays bounded whatever the file holds.
_MOST_REASONS = 200

_POSITION = re.compile(r"\[\d+:\d+\] ", re.ASCII)
# The apostrophe of "field's" begins no quotation.
_PARTICULARS = re.compile(r"(?<!\w)'.*?(?:'(?!\w)|$)|\b\d+\b", re.ASCII | re.DOTALL)

_REASON_WIDTH = 160
_LINE_WIDTH = 200


@dataclass(slots=True)
class _Group:
    count: int
    #: Unix seconds.
    first: float
    last: float


class Summary:
    """Counts letters by status and reason."""

    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[tuple[int, str], _Group] = {}

    def add(self, dead_letter: DeadLetter) -> None:
        """Counts one dead_letter."""
        self.count += 1
        key = (dead_letter.status, reason_in_general(dead_letter.reason))
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
        """The same for programs; times as RFC 3339."""
        return [
            {
                "count": group.count,
                "status": status,
                "first": time_in_words(group.first),
                "last": time_in_words(group.last),
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
                f"{group.count:>8}  {status_in_words(status):<6}  {time_in_words(group.first)}  "
                f"{time_in_words(group.last)}  {printable(reason, _REASON_WIDTH)}"
            )


def reason_in_general(reason: str) -> str:
    """The reason without what is particular to one event."""
    return _PARTICULARS.sub("…", _POSITION.sub("", reason))


def dead_letter_in_words(dead_letter: DeadLetter) -> str:
    """One letter for people, as lines with a newline at their end."""
    status = status_in_words(dead_letter.status)
    return (
        f"{time_in_words(dead_letter.time)}  {status}  "
        f"{printable(dead_letter.path, 4096)}:{dead_letter.offset}\n"
        f"    {printable(dead_letter.reason, 1000)}\n"
        f"    {printable(dead_letter.line, _LINE_WIDTH)}\n"
    )


def status_in_words(status: int) -> str:
    """The status of the answer, or that there was none."""
    return str(status) if status else "unsent"


def time_in_words(seconds: float) -> str:
    """Unix seconds as RFC 3339, in UTC."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f}"


def printable(text: str, width: int) -> str:
    """What a line holds may be an attacker's: nothing of it steers the terminal."""
    cut = f"{text[:width]}…" if len(text) > width else text
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in cut)
