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
CLOCKS = 1_000_000_000


class Verdict(Enum):
    """What an entry is to a file."""

    #: It is of this file: nothing before the offset is read.
    GOES_ON = "goes on"
    #: It is of this file, of which nothing is acknowledged.
    BEGINNING = "from its beginning"
    #: It is of another file, or of what was in this one before.
    ANOTHER = "another"
    #: That cannot be told.
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a file shows, for one entry."""

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
class Judgement:
    """What becomes of it, and why."""

    verdict: Verdict
    start: int
    mark: Mark
    why: str


def judge(entry: Entry, evidence: Evidence, last_write: int) -> Judgement:
    """What an entry whose key fits a file is to it.

    `last_write`: when Filebeat wrote to its registry last (nanoseconds since the Unix epoch).
    """
    if not entry.offset:
        return _at_beginning(Verdict.BEGINNING, "Filebeat has acknowledged nothing of it")
    if not evidence.reaches:
        return _another("it is shorter than what Filebeat had read: it was truncated or replaced")
    # Nothing of it can have been read later than that.
    read_until = last_write if entry.updated is None else entry.updated
    fits = evidence.line_time is not None and evidence.line_time <= read_until + CLOCKS
    if evidence.line_time is not None and not fits:
        return _another("the line before the offset is later than Filebeat's reading")
    if entry.kind is Kind.FINGERPRINT:
        return _on(entry, evidence, "its content has the fingerprint")
    if evidence.born is not None and evidence.born > read_until:
        return _another("it came into being after Filebeat's reading, and has the key of another")
    if entry.updated is None and not evidence.same_path:
        return _unsure("Filebeat wrote no time down, and saw it under another name")
    at_line_end = evidence.line_end == entry.offset
    # A copy of a log that took the inode of another has old lines, too, but not that end there.
    if fits and (at_line_end or evidence.born is not None):
        return _on(entry, evidence, "the line before the offset is older than Filebeat's reading")
    if not at_line_end:
        return _unsure("no line ends at the offset, and its lines have no time, or it no known age")
    if evidence.born is None:
        return _unsure("neither its age is known, nor do its lines have a time")
    return _on(entry, evidence, "it is older than Filebeat's reading, and a line ends there")


def is_of(entry: Entry, evidence: Evidence) -> bool:
    """Whether a file whose key does not fit may be the one: a copy, one that was compressed, or one
    whose inode or device is another now. A line has to end exactly at the offset, and to be older
    than Filebeat's reading."""
    return (
        bool(entry.offset)
        and entry.updated is not None
        and evidence.reaches
        and evidence.line_end == entry.offset
        and evidence.line_time is not None
        and evidence.line_time <= entry.updated + CLOCKS
    )


def by_content(entry: Entry, evidence: Evidence) -> Judgement:
    """The judgement of a file that is the only one which `is_of` is true of."""
    return _on(entry, evidence, "by its content: a line of the right age ends at the offset")


def done(size: int, evidence: Evidence) -> Judgement:
    """The judgement of a gzip that was made while Filebeat ran: nothing of it is read."""
    why = "it was compressed while Filebeat ran, and Filebeat had done with it"
    return Judgement(Verdict.GOES_ON, size, evidence.mark, why)


def _on(entry: Entry, evidence: Evidence, why: str) -> Judgement:
    if evidence.line_end != entry.offset:
        why = f"{why}; the offset is inside a line, which is read as a whole"
    return Judgement(Verdict.GOES_ON, evidence.line_end, evidence.mark, why)


def _another(why: str) -> Judgement:
    return _at_beginning(Verdict.ANOTHER, why)


def _unsure(why: str) -> Judgement:
    return _at_beginning(Verdict.UNSURE, f"not sure: {why}")


def _at_beginning(verdict: Verdict, why: str) -> Judgement:
    return Judgement(verdict, 0, NO_MARK, why)
