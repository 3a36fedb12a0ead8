"""Judges whether an entry of Filebeat's registry belongs to a file, and where the file continues.
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

from dataclasses import dataclass
from enum import Enum

from shipper.filebeat_registry.entries import Entry, Kind
from shipper.files.identity import NO_MARK, Mark

#: A line's time may be this much later than Filebeat's reading, in nanoseconds: the clocks of
#: events and of the file system differ.
CLOCK_TOLERANCE = 1_000_000_000


class Verdict(Enum):
    """The relation of an entry to a file."""

    #: It belongs to the file, which continues at the offset.
    CONTINUES = "continues"
    #: It belongs to the file; nothing is acknowledged.
    BEGINNING = "from its beginning"
    #: It belongs to another file, or to earlier content of this one.
    ANOTHER = "another"
    #: There is no proof.
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence in a file for one entry."""

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


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result for a file, and the reason."""

    verdict: Verdict
    start: int
    mark: Mark
    why: str


def judge(entry: Entry, evidence: Evidence, last_write: int) -> Judgement:
    """Judges an entry whose key matches a file.

    `last_write`: last write to Filebeat's registry (nanoseconds since the Unix epoch).
    """
    if not entry.offset:
        return _at_beginning(Verdict.BEGINNING, "Filebeat has acknowledged nothing of it")
    if not evidence.reaches:
        return _another("it is shorter than what Filebeat had read: it was truncated or replaced")
    # Filebeat cannot have read any of it later.
    read_until = last_write if entry.updated is None else entry.updated
    fits = evidence.line_time is not None and evidence.line_time <= read_until + CLOCK_TOLERANCE
    if evidence.line_time is not None and not fits:
        return _another("the line before the offset is later than Filebeat's reading")
    if entry.kind is Kind.FINGERPRINT:
        return _continue(entry, evidence, "its content has the fingerprint")
    if evidence.born is not None and evidence.born > read_until:
        return _another("it came into being after Filebeat's reading, and has the key of another")
    if entry.updated is None and not evidence.same_path:
        return _unsure("Filebeat wrote no time down, and saw it under another name")
    at_line_end = evidence.line_end == entry.offset
    # A copy that reuses an inode has old lines too, but none that ends at the offset.
    if fits and (at_line_end or evidence.born is not None):
        return _continue(
            entry, evidence, "the line before the offset is older than Filebeat's reading"
        )
    if not at_line_end:
        return _unsure("no line ends at the offset, and its lines have no time, or it no known age")
    if evidence.born is None:
        return _unsure("neither its age is known, nor do its lines have a time")
    return _continue(entry, evidence, "it is older than Filebeat's reading, and a line ends there")


def may_belong_to(entry: Entry, evidence: Evidence) -> bool:
    """Whether an entry may belong to a file with another key: a copy, a compressed file, or one
    with a new inode or device. A line must end exactly at the offset, and be older than Filebeat's
    reading."""
    return (
        bool(entry.offset)
        and entry.updated is not None
        and evidence.reaches
        and evidence.line_end == entry.offset
        and evidence.line_time is not None
        and evidence.line_time <= entry.updated + CLOCK_TOLERANCE
    )


def by_content(entry: Entry, evidence: Evidence) -> Judgement:
    """The judgement of the only file for which `may_belong_to` is true."""
    return _continue(entry, evidence, "by its content: a line of the right age ends at the offset")


def already_read(size: int, evidence: Evidence) -> Judgement:
    """The judgement of a gzip that was created while Filebeat ran: nothing of it is read."""
    why = "it was compressed while Filebeat ran, and Filebeat had done with it"
    return Judgement(Verdict.CONTINUES, size, evidence.mark, why)


def _continue(entry: Entry, evidence: Evidence, why: str) -> Judgement:
    if evidence.line_end != entry.offset:
        why = f"{why}; the offset is inside a line, which is read as a whole"
    return Judgement(Verdict.CONTINUES, evidence.line_end, evidence.mark, why)


def _another(why: str) -> Judgement:
    return _at_beginning(Verdict.ANOTHER, why)


def _unsure(why: str) -> Judgement:
    return _at_beginning(Verdict.UNSURE, f"not sure: {why}")


def _at_beginning(verdict: Verdict, why: str) -> Judgement:
    return Judgement(verdict, 0, NO_MARK, why)
