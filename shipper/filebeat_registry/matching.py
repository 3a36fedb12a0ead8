"""Whether a file is the one that Filebeat's registry speaks of, and where it goes on: plain
functions over what is known of both.

The kernel gives the inode of a deleted file to the next one, a copied log is cut to nothing and
filled again, a name is used again: a key that fits and an offset that is not past the end prove
nothing. What does:

- Filebeat writes down when it read the last acknowledged line, and had the file open then. A file
  that came into being after that is another one; one that did before has kept its inode since.
- Tetragon's lines have their own time. If the line that ends at the offset is later than that, the
  content is another one.
- A fingerprint is of the content itself.

What is neither proved nor disproved is read from its beginning: a line twice is better than none.
"""

from dataclasses import dataclass
from enum import Enum

from shipper.filebeat_registry.entries import Entry, Kind
from shipper.files.identity import NO_MARK, Mark

#: How much later than Filebeat's reading a line may say it is, in nanoseconds: an event's time is
#: computed from the kernel's clock, and the file's from one that ticks every few milliseconds.
CLOCK_TOLERANCE = 1_000_000_000


class Match(Enum):
    """How an entry of Filebeat's and a file belong together."""

    #: It is of this file: nothing before the offset is read.
    CONTINUE = "continue"
    #: It is of this file, of which nothing is acknowledged.
    BEGINNING = "beginning"
    #: It is of another file, or of what was in this one before.
    OTHER_FILE = "other file"
    #: That cannot be told.
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file, for one entry."""

    #: When it came into being (nanoseconds since the Unix epoch); None if that is not known.
    born: int | None
    #: Whether it stands where Filebeat saw it last.
    same_path: bool
    #: Whether it has as many bytes as are acknowledged.
    reaches: bool
    #: The offset, if a line ends there, else where the line begins that it is in the middle of.
    line_end: int
    #: Of that place.
    mark: Mark
    #: The time of the line that ends there, in itself; None if it has none.
    line_time: int | None


@dataclass(frozen=True, slots=True)
class MatchResult:
    """What becomes of it, and why."""

    match: Match
    start: int
    mark: Mark
    why: str


def match_entry(entry: Entry, facts: FileFacts, last_write: int) -> MatchResult:
    """What an entry whose key fits a file is to it.

    `last_write`: when Filebeat wrote to its registry last (nanoseconds since the Unix epoch).
    """
    if not entry.offset:
        return _at_beginning(Match.BEGINNING, "Filebeat has no acknowledged offset for it")
    if not facts.reaches:
        return _other_file("shorter than Filebeat's offset: truncated or replaced")
    # Nothing of it can have been read later than that.
    read_until = last_write if entry.updated is None else entry.updated
    fits = facts.line_time is not None and facts.line_time <= read_until + CLOCK_TOLERANCE
    if facts.line_time is not None and not fits:
        return _other_file("the line before the offset is newer than Filebeat's last read")
    if entry.kind is Kind.FINGERPRINT:
        return _on(entry, facts, "the fingerprint matches")
    if facts.born is not None and facts.born > read_until:
        return _other_file("created after Filebeat's last read: the inode or the path was reused")
    if entry.updated is None and not facts.same_path:
        return _unsure("Filebeat stored no time, and the path has changed")
    at_line_end = facts.line_end == entry.offset
    # A copy of a log that took the inode of another has old lines, too, but not that end there.
    if fits and (at_line_end or facts.born is not None):
        return _on(entry, facts, "the line before the offset is older than Filebeat's last read")
    if not at_line_end:
        return _unsure("no line ends at the offset, and a time to compare is missing")
    if facts.born is None:
        return _unsure("neither its creation time nor the time of its lines is known")
    return _on(entry, facts, "created before Filebeat's last read, and a line ends at the offset")


def is_of(entry: Entry, facts: FileFacts) -> bool:
    """Whether a file whose key does not fit may be the one: a copy, one that was compressed, or one
    whose inode or device is another now. A line has to end exactly at the offset, and to be older
    than Filebeat's reading."""
    return (
        bool(entry.offset)
        and entry.updated is not None
        and facts.reaches
        and facts.line_end == entry.offset
        and facts.line_time is not None
        and facts.line_time <= entry.updated + CLOCK_TOLERANCE
    )


def by_content(entry: Entry, facts: FileFacts) -> MatchResult:
    """The result of a file that is the only one which `is_of` is true of."""
    return _on(entry, facts, "found by content: a line with a matching time ends at the offset")


def done(size: int, facts: FileFacts) -> MatchResult:
    """The result of a gzip that was made while Filebeat ran: nothing of it is read."""
    why = "compressed while Filebeat was running, which had shipped it"
    return MatchResult(Match.CONTINUE, size, facts.mark, why)


def _on(entry: Entry, facts: FileFacts, why: str) -> MatchResult:
    if facts.line_end != entry.offset:
        why = f"{why}; the offset is inside a line, which is read as a whole"
    return MatchResult(Match.CONTINUE, facts.line_end, facts.mark, why)


def _other_file(why: str) -> MatchResult:
    return _at_beginning(Match.OTHER_FILE, why)


def _unsure(why: str) -> MatchResult:
    return _at_beginning(Match.UNSURE, f"not sure: {why}")


def _at_beginning(match: Match, why: str) -> MatchResult:
    return MatchResult(match, 0, NO_MARK, why)
