"""One file, followed: blocks of whole lines at their offsets.

    WAITING    no complete first line yet, so it is not known which file this is
    READING    blocks are cut at their last newline; the rest waits for its own
    SKIPPING   inside a line that is longer than allowed, looking for its end with bounded memory
    DONE       the content was rewritten under us: what is under way still counts, nothing more is
               read here (the new content is another file to us)

Before more is read, what stands in the file is compared with what was read of it (`comparison`).
"""

from dataclasses import dataclass, field
from enum import Enum

from shipper.files.ack import AckTracker
from shipper.files.appended import AppendedLines
from shipper.files.archive import Ending
from shipper.files.comparison import Comparison
from shipper.files.content import Content, Version, bytes_at
from shipper.files.facts import Inode
from shipper.files.identification import Identification
from shipper.files.identity import NO_IDENTITY, NO_MARK, Identity, Mark, mark_of
from shipper.files.incomplete import NO_LINE, IncompleteLine, LastIncomplete
from shipper.files.lines import Block, LineReader, NoLine, ReadBuffer, Reading, Rewritten
from shipper.files.measure import LastLine, Unread, measure_unread
from shipper.files.rows import RowId
from shipper.files.seen import Seen, SeenEnd


class State(Enum):
    WAITING = "waiting"
    READING = "reading"
    SKIPPING = "skipping"
    DONE = "done"


@dataclass(slots=True, eq=False, repr=False, weakref_slot=True)
class Tail:
    """A file that is followed through one descriptor, from its discovery until it is finished."""

    #: What it is read from; how a gzip ended is asked there.
    content: Content
    _buffer: ReadBuffer
    path: str
    inode: Inode
    #: When it came into being (nanoseconds since the Unix epoch); None if unknown.
    born: int | None = None
    state: State = State.WAITING
    #: In bytes, as of the last look; of a gzip, more than is known until its end is met.
    size: int = 0
    #: What it takes of the disk, in bytes: less than its size, if it is a gzip or has holes.
    allocated: int = 0
    #: Monotonic seconds since which unread bytes are known of; kept by who reads the file.
    unread_since: float | None = None
    #: Whether somebody is in the middle of reading it.
    busy: bool = False
    #: Whether it is not to be read for now.
    held: bool = False
    #: Why the last read failed, in words; empty if it did not. Kept by who reads the file.
    read_error: str = ""
    #: Whether it was tried to identify it.
    tried: bool = False
    #: Its size when the first scan of its input found it; None if that did not.
    found_first: int | None = None
    #: Whether all of it that is to be read is read and acknowledged.
    is_finished: bool = False
    #: The rows of contents that took its place in its file.
    successors: set[RowId] = field(default_factory=set)
    #: Of a gzip that need not be read, the row that says so.
    done_as: RowId | None = None
    #: Of a gzip, whether the file that it is made from is still there, and whether that or another
    #: one that is followed has the same content: what is unread is counted there.
    original_exists: bool = False
    is_covered: bool = False
    #: Unix seconds since which no path leads to it (it is read to its end all the same).
    gone: float | None = None
    #: Which file it is, and how far it is acknowledged; both are set by `begin`.
    identity: Identity = NO_IDENTITY
    acks: AckTracker = field(default_factory=lambda: AckTracker(0, NO_MARK))
    # When the file was modified, and of which of its versions the guard was compared.
    _modified: int = 0
    _compared: int = 0
    # Whether the last look failed.
    _stat_failed: bool = False
    _incomplete: LastIncomplete = field(default_factory=LastIncomplete)
    _end: SeenEnd = field(init=False)
    _lines: LineReader = field(init=False)
    #: What is known of which file it is.
    identification: Identification = field(init=False)
    _known: Comparison = field(init=False)
    _appended: AppendedLines = field(init=False)
    _last_line: LastLine = field(init=False)

    def __post_init__(self) -> None:
        self._end = SeenEnd(self.content)
        self._know_nothing()

    def _know_nothing(self) -> None:
        """Nothing is known of what is in the file."""
        self._lines = LineReader(self.content, self._buffer)
        self.identification = Identification(self.content, self._lines.run)
        head = self.identification.head
        self._known = Comparison(self.content, head, self._lines, self._end)
        self._appended = AppendedLines(self.content, head, self._lines, self._buffer)
        self._last_line = LastLine(self._buffer.block_bytes)

    @property
    def offset(self) -> int:
        """Up to where it is read."""
        return self.acks.opened

    @property
    def version(self) -> Version:
        """Which of its versions was looked at last."""
        return Version(self.content.stored, self._modified)

    @property
    def modified(self) -> float:
        """When it was last written to (Unix seconds), as of the last look."""
        return self._modified / 1e9

    @property
    def is_acknowledged(self) -> bool:
        """Whether all of it that is known is read and acknowledged."""
        is_read = self.state is State.DONE or self.size <= self._read_to
        return is_read and self.acks.all_acknowledged

    @property
    def descriptor(self) -> int:
        """What it is read through; -1 once it is closed."""
        return self.content.descriptor

    @property
    def compressed(self) -> bool:
        """Whether it is a gzip: offsets are those of what is in it."""
        return self.content.compressed

    def has_seen(self, seen: Seen) -> bool:
        """Whether it has these bytes, too, as far as that can be said without inflating it."""
        return self.compressed or self._end.holds(seen)

    @property
    def unread(self) -> int:
        """Bytes that are not read, as far as known, an incomplete last line among them."""
        if self.state is State.DONE or self.is_covered:
            return 0
        return max(0, self.size - self._read_to)

    @property
    def is_untried(self) -> bool:
        """Whether there is something to identify it by, and nobody tried to."""
        is_open = self.state is State.WAITING and self.descriptor >= 0
        return is_open and not self.tried and bool(self.unread)

    @property
    def behind_since(self) -> float | None:
        """Since when the oldest byte that is not acknowledged is known (monotonic seconds)."""
        return self.acks.oldest_read_at or (self.unread_since if self.readable else None)

    @property
    def incomplete_line(self) -> int:
        """Bytes of a last line that waits for its newline; 0 of a gzip, which is read to its end
        whatever that is."""
        return self._waiting_line.length

    @property
    def readable(self) -> int:
        """Bytes that are not read, as far as known, without an incomplete last line."""
        return max(0, self.unread - max(0, self._waiting_line.end - self._read_to))

    @property
    def unread_lost(self) -> int:
        """Bytes that were seen of this content and not read: lost, if it is another one now."""
        return max(0, self.seen.end - self.offset)

    @property
    def seen(self) -> Seen:
        """How far this content was seen."""
        return self._end.seen

    @property
    def is_settled(self) -> bool:
        """Of a gzip, whether it is read to an end at which nothing is missing, or what is missing
        is recorded; as far as is known."""
        return self.identification.gzip.is_settled(self.offset, self.content.inflated)

    def settle(self) -> None:
        """Of a gzip: nothing of it as it is now is left to be recorded."""
        self.identification.gzip.settle(self.offset, self.content.inflated)

    @property
    def backlog(self) -> int:
        """Bytes that are not acknowledged and can be shipped, as far as known."""
        return self.readable + self.offset - self.acks.offset

    def look(self) -> bool:
        """Takes notice of the size; returns whether a read may find something new."""
        if self.state is State.DONE:
            return False
        try:
            facts = self.content.facts()
        except OSError:
            # Whoever reads it next meets the same trouble, and reports it.
            self._stat_failed = True
            return True
        self._stat_failed = False
        self.size, self.allocated = facts.size, facts.allocated
        self._modified = facts.modified
        seen = max(self.seen.end, self._lines.blank_to, self.offset)
        if facts.size > seen and not self.compressed:
            self._known.grew(self.offset, facts.size, self.version)
        self._note_end()
        return self.may_have_data

    @property
    def may_have_data(self) -> bool:
        """Whether a read may find something new, as of the last look."""
        changed = self.size != self._read_to or self._modified != self._compared
        return (changed or self._stat_failed) and self.state is not State.DONE

    @property
    def needs_examination(self) -> bool:
        """Whether it changed since it was compared with what is known of it, as of the last look;
        of a gzip that is known only when it is read."""
        return self.may_have_data and not self.compressed and self.version != self._known.examined

    async def examine(self) -> Rewritten | None:
        """Compares what is there now with what is known of it, and takes notice of how far it goes:
        what is lost of it from now on is known. Of a placed file only. Raises OSError."""
        if not self.look() or self.compressed or self.state is State.WAITING:
            return None
        version = self.version
        if why := await self._known.examine(self.offset, self.size):
            return self._rewritten(why)
        if self.version == version:
            self._known.examined = version
        return None

    async def identify(self, *, final: bool) -> Identity | None:
        """Which file this is; None while its first line is not complete, unless that is `final`."""
        self.look()
        self.tried = True
        if self.content.is_replaced:
            # Another gzip took the place of one that is not placed yet.
            self.content.begin_anew()
            self._know_nothing()
            self._compared = 0
        version, modified = self._seen, self._modified
        identity = await self.identification.identify(self.inode.number, final=final)
        if identity is None:
            self._note_head(version, modified)
        return identity

    def _note_head(self, version: tuple[Version, bool], modified: int) -> None:
        """Nobody knows yet which file it is: what it begins with may be lost."""
        head = self.identification.head
        if not self.compressed:
            self._end.seen = Seen(head.end, mark_of(head.data))
        if head.only_nuls_before:
            self._lines.blank_to, self._compared = head.only_nuls_before, modified
        if not head.searching:
            self._incomplete.note(head.incomplete, version)

    async def has_mark(self, offset: int, mark: Mark) -> bool | None:
        """Whether the bytes before `offset` are those that `mark` was made of; None if a gzip has
        to be read on for that: call again."""
        return await self.identification.has_mark(offset, mark, self._look_again)

    def _look_again(self) -> tuple[int, Version]:
        self.look()
        return self.size, self.version

    async def begin(self, identity: Identity, acks: AckTracker, seen: Seen | None = None) -> None:
        """Goes on at the ledger's offset, where the mark was found to be right. `seen`: how far it
        was seen by whoever knew it before."""
        before = acks.offset - acks.mark.length
        self._lines.guard = await bytes_at(self.content, before, acks.mark.length)
        self.identity, self.acks = identity, acks
        self.state = State.READING
        self.identification.gzip.forget_marks()
        self._known.examined = None
        if not self.compressed:
            # Half a line that was there before is no line, if it is gone.
            self._end.seen = seen or Seen(acks.offset)

    async def read(self, *, final: bool) -> Reading:
        """The next lines. `final`: the file will not grow, so a last line needs no newline. Raises
        OSError if the file cannot be read now."""
        if not self.look() or self.state is State.WAITING:
            return NoLine.AT_END
        is_new = self.needs_examination
        why = await self._known.why_rewritten(self.offset, self.size, is_new=is_new)
        if not why and is_new and self.unread_lost:
            # Reading on would pass what was seen and may be gone.
            why = await self._end.examine(self.offset, self.size)
        if why:
            return self._rewritten(why)
        version, modified = self._seen, self._modified
        reading = await self._lines.read(self.offset, final=final)
        if isinstance(reading, Rewritten):
            return self._rewritten(reading.why)
        self._compared = modified
        if self._lines.incomplete is not None:
            self._incomplete.note(self._lines.incomplete, version)
        if reading is NoLine.AT_END and self._lines.blank_to > self.offset:
            self._end.seen = Seen(self.offset)
        self.state = State.SKIPPING if self._lines.skipped_to else State.READING
        self._note_end()
        return reading

    def take(self) -> Block | None:
        """What was appended since all was read, if it can be had in the fast way (`appended`):
        without waiting. None: `look` and `read` have to."""
        offset = self.acks.opened
        is_read = self.size == offset and self._modified == self._compared
        if self.state is not State.READING or not is_read or self._end.seen.end > offset:
            return None
        try:
            found = self._appended.take(offset)
        except OSError:
            return None
        if found is None:
            return None
        block, facts = found
        self.size = self.content.stored = facts.size
        self.allocated = facts.allocated
        self._modified = self._compared = facts.modified
        self._known.examined = Version(facts.size, facts.modified)
        self._end.seen = Seen(block.end, block.mark)
        return block

    async def last_line_end(self) -> tuple[int, Mark] | None:
        """The offset after the last newline, and its mark; None: call again. What was written since
        the first scan found the file does not count."""
        self.look()
        return await self._last_line.find(self.content, self.found_first)

    async def measure_unread(self, *, final: bool) -> Unread:
        """What is not read of it, to the end that it has now. `final`: it will not grow; otherwise
        a plain file is measured to the end of its last line: what follows may be half of one, or
        NULs that are filled in later."""
        self.look()
        block, guard, limit = self._buffer.block_bytes, self._lines.guard, None
        if not final and not self.compressed:
            while (last := await self.last_line_end()) is None:
                pass
            limit = max(last[0], self.offset)
        return await measure_unread(self.content, self.offset, block, guard, limit=limit)

    async def skip(self, unread: Unread) -> None:
        """Goes on after what is unread, as if that were read and acknowledged."""
        self.look()
        self._lines.restart(unread.last)
        self.acks.skip(unread.end, unread.mark)
        self._end.seen = Seen(unread.end, unread.mark)
        self.settle()
        if self.size <= unread.end:
            self._compared = self._modified
        self.state = State.READING

    def stop(self) -> None:
        """Nothing is read any more, and what was not read is no loss that nobody counted."""
        self.state = State.DONE
        self._end.seen = Seen(self.offset)
        self.settle()

    def close(self) -> None:
        """Gives the descriptor back; nothing is read any more."""
        self.content.close()
        self.state = State.DONE

    @property
    def _read_to(self) -> int:
        """The offset, or the end of the NULs behind it if nothing was written since."""
        blank = self._lines.blank_to if self._modified == self._compared else 0
        return max(self.offset, blank)

    @property
    def _seen(self) -> tuple[Version, bool]:
        """As what it was looked at last. When its last name goes, its last line may be final."""
        return self.version, self.gone is not None

    @property
    def _waiting_line(self) -> IncompleteLine:
        """The incomplete line that it ends with, as of the last look."""
        if self.state is State.DONE or self.compressed:
            return NO_LINE
        return self._incomplete.after(self.offset, self._seen)

    def _note_end(self) -> None:
        """A gzip that is whole and read to its end misses nothing, whatever becomes of it."""
        whole = self.content.at_end and self.content.ending is Ending.COMPLETE
        if whole and self.state is State.READING and self.size <= self._read_to:
            self.settle()

    def _rewritten(self, why: str) -> Rewritten:
        self.close()
        return Rewritten(why)
