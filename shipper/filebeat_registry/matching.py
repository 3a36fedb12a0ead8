"""Decides whether an entry of Filebeat's registry belongs to a file, and where the file continues.
Pure functions.

A matching key, and an offset within the file, prove nothing: inodes and names are reused, and
copytruncate empties and refills a file. The following is evidence:

- Filebeat records when it read the last acknowledged line, and had the file open at that time. A
  file that was created later is another one; an older file has kept its inode since.
- Tetragon's lines have a time. If the line that ends at the offset is later than Filebeat's
  reading, the content is another one.
- A fingerprint is a digest of the content.

A file without proof is read from its beginning: a duplicate is better than a loss.
"""

from enum import Enum

from msgspec import Struct

from shipper.filebeat_registry.entries import Entry, Kind
from shipper.files.identity import NO_MARK, Mark

#: A line's time may be this much later than Filebeat's reading, in nanoseconds: the clocks of
#: events and of the file system differ.
CLOCK_TOLERANCE = 1_000_000_000


class Match(Enum):
    """The relation of an entry of Filebeat to a file."""

    #: It belongs to the file, which continues at the offset.
    CONTINUE = "continue"
    #: It belongs to the file; nothing is acknowledged.
    BEGINNING = "beginning"
    #: It belongs to another file, or to earlier content of this one.
    OTHER_FILE = "other file"
    #: There is no proof.
    UNSURE = "unsure"


class FileFacts(Struct, frozen=True):
    """Facts of a file for one entry."""

    #: Creation time (nanoseconds since the Unix epoch); None if unknown.
    born: int | None
    #: Whether it has the last path that Filebeat saw.
    same_path: bool
    #: Whether it has at least the acknowledged bytes.
    reaches: bool
    #: The offset, if a line ends there; otherwise the beginning of the line around it.
    line_end: int
    #: The mark at `line_end`.
    mark: Mark
    #: The event time of the line that ends there; None if it has none.
    line_time: int | None


class MatchResult(Struct, frozen=True):
    """The result for a file, and the reason."""

    match: Match
    start: int
    mark: Mark
    why: str


def match_entry(entry: Entry, facts: FileFacts, last_write: int) -> MatchResult:
    """Matches an entry with a file that has its key.

    `last_write`: last write to Filebeat's registry (nanoseconds since the Unix epoch).
    """
    if not entry.offset:
        return _at_beginning(Match.BEGINNING, "Filebeat has no acknowledged offset for it")
    if not facts.reaches:
        return _other_file("shorter than Filebeat's offset: truncated or replaced")
    # Filebeat cannot have read any of it later.
    read_until = last_write if entry.updated is None else entry.updated
    fits = facts.line_time is not None and facts.line_time <= read_until + CLOCK_TOLERANCE
    if facts.line_time is not None and not fits:
        return _other_file("the line before the offset is newer than Filebeat's last read")
    if entry.kind is Kind.FINGERPRINT:
        return _continue(entry, facts, "the fingerprint matches")
    if facts.born is not None and facts.born > read_until:
        return _other_file("created after Filebeat's last read: the inode or the path was reused")
    if entry.updated is None and not facts.same_path:
        return _unsure("Filebeat stored no time, and the path has changed")
    at_line_end = facts.line_end == entry.offset
    # A copy that reuses an inode has old lines too, but none that ends at the offset.
    if fits and (at_line_end or facts.born is not None):
        return _continue(
            entry, facts, "the line before the offset is older than Filebeat's last read"
        )
    if not at_line_end:
        return _unsure("no line ends at the offset, and a time to compare is missing")
    if facts.born is None:
        return _unsure("neither its creation time nor the time of its lines is known")
    return _continue(
        entry, facts, "created before Filebeat's last read, and a line ends at the offset"
    )


def may_belong_to(entry: Entry, facts: FileFacts) -> bool:
    """Whether an entry may belong to a file with another key: a copy, a compressed file, or one
    with a new inode or device. A line must end exactly at the offset, and be older than Filebeat's
    reading."""
    return (
        bool(entry.offset)
        and entry.updated is not None
        and facts.reaches
        and facts.line_end == entry.offset
        and facts.line_time is not None
        and facts.line_time <= entry.updated + CLOCK_TOLERANCE
    )


def by_content(entry: Entry, facts: FileFacts) -> MatchResult:
    """The result for the only file for which `may_belong_to` is true."""
    return _continue(
        entry, facts, "found by content: a line with a matching time ends at the offset"
    )


def already_read(size: int, facts: FileFacts) -> MatchResult:
    """The result for a gzip that was created while Filebeat ran: nothing of it is read."""
    why = "compressed while Filebeat was running, which had shipped it"
    return MatchResult(Match.CONTINUE, size, facts.mark, why)


def _continue(entry: Entry, facts: FileFacts, why: str) -> MatchResult:
    if facts.line_end != entry.offset:
        why = f"{why}; the offset is inside a line, which is read as a whole"
    return MatchResult(Match.CONTINUE, facts.line_end, facts.mark, why)


def _other_file(why: str) -> MatchResult:
    return _at_beginning(Match.OTHER_FILE, why)


def _unsure(why: str) -> MatchResult:
    return _at_beginning(Match.UNSURE, f"not sure: {why}")


def _at_beginning(match: Match, why: str) -> MatchResult:
    return MatchResult(match, 0, NO_MARK, why)
