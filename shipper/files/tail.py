"""One file, followed: blocks of whole lines at their offsets.

    WAITING    no complete first line yet, so it is not known which file this is
    READING    blocks are cut at their last newline; the rest waits for its own
    SKIPPING   inside a line that is longer than allowed, looking for its end with bounded memory
    DONE       the content was rewritten under us: what is under way still counts, nothing more is
               read here (the new content is another file to us)

Every read begins a little before the offset and compares these bytes with what they were, so a
file that was truncated and written again is noticed before a byte of it is taken for the old one,
even if it is longer by now.

NULs are no part of a line. Those before a line are skipped with it: the offset passes them only
when a line follows, as a file that is allocated in advance is filled there later. Those after half
a line end it as soon as anything else follows them.
"""

from dataclasses import dataclass
from enum import Enum

from shipper.files.ack import AckTracker
from shipper.files.archive import Ending
from shipper.files.content import Content, bytes_at
from shipper.files.filesystem import Inode
from shipper.files.gzip_memory import UNREADABLE, GzipMemory, raw_identity
from shipper.files.identity import NO_MARK, Identity, Mark, mark_of
from shipper.files.lines import LineReader, NoLine, ReadBuffer, Reading, Rewritten
from shipper.files.measure import LastLine, Unread, measure_unread
from shipper.files.nuls import Head, IncompleteLine
from shipper.files.rows import RowId
from shipper.files.seen import Seen, SeenEnd

_NO_LINE = IncompleteLine(0, 0)


class State(Enum):
    WAITING = "waiting"
    READING = "reading"
    SKIPPING = "skipping"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Version:
    """What changes when a file is written to."""

    size: int
    modified: int


def _ignored() -> None:
    """Nothing is acknowledged before the file begins to be read."""


class Tail:
    """A file that is followed through one descriptor, from its discovery until it is finished."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_compared",
        "_content",
        "_end",
        "_examined",
        "_gzip",
        "_head",
        "_incomplete",
        "_incomplete_in",
        "_last_line",
        "_lines",
        "_modified",
        "_stat_failed",
        "acks",
        "allocated",
        "born",
        "busy",
        "done_as",
        "found_first",
        "gone",
        "held",
        "identity",
        "inode",
        "is_covered",
        "is_finished",
        "original_exists",
        "path",
        "read_error",
        "size",
        "state",
        "successors",
        "tried",
        "unread_since",
    )

    def __init__(self, content: Content, buffer: ReadBuffer, path: str, inode: Inode) -> None:
        self._content = content
        self._buffer = buffer
        self._lines = LineReader(content, buffer)
        # What it was identified by.
        self._head = Head(self._lines.run)
        self._last_line = LastLine(buffer.block_bytes)
        # When the file was modified, and of which of its versions the guard was compared.
        self._modified = self._compared = 0
        # Of a gzip, which is read for it only once.
        self._gzip = GzipMemory()
        self.path = path
        self.inode = inode
        #: When it came into being (nanoseconds since the Unix epoch); None if unknown.
        self.born: int | None = None
        self.state = State.WAITING
        #: In bytes, when it was last looked at; of a gzip, more than is known as long as its end
        #: was not met.
        self.size = 0
        #: What it takes of the disk, in bytes: less than its size, if it is a gzip or has holes.
        self.allocated = 0
        self._end = SeenEnd(content)
        # Which of its versions was compared with what is known of it.
        self._examined: Version | None = None
        # Whether the last look failed.
        self._stat_failed = False
        # A last line that waits for its newline, and when that was seen: of which version of the
        # file, and whether a path led to it.
        self._incomplete = _NO_LINE
        self._incomplete_in: tuple[Version, bool] | None = None
        #: Monotonic seconds since which unread bytes are known of; kept by who reads the file.
        self.unread_since: float | None = None
        #: Whether somebody is in the middle of reading it.
        self.busy = False
        #: Whether it is not to be read for now.
        self.held = False
        #: Why it could not be read when that was tried last, in words; empty if it could. Kept by
        #: who reads the file.
        self.read_error = ""
        #: Whether it was tried to identify it.
        self.tried = False
        #: Its size when the first scan of its input found it; None if that did not.
        self.found_first: int | None = None
        #: Whether all of it that is to be read is read and acknowledged.
        self.is_finished = False
        #: The rows of contents that took its place in its file.
        self.successors: set[RowId] = set()
        #: Of a gzip that need not be read, the row that says so.
        self.done_as: RowId | None = None
        #: Of a gzip, whether the file that it is made from is still there, and whether that or
        #: another one that is followed has the same content: what is unread is counted there.
        self.original_exists = False
        self.is_covered = False
        #: Unix seconds since which no path leads to it (it is read to its end all the same).
        self.gone: float | None = None
        #: Which file it is, and how far it is acknowledged; both are set by `begin`.
        self.identity = Identity("")
        self.acks = AckTracker(0, NO_MARK, on_advance=_ignored)

    @property
    def offset(self) -> int:
        """Up to where it is read."""
        return self.acks.opened

    @property
    def version(self) -> Version:
        """Which of its versions was looked at last."""
        return Version(self._content.stored, self._modified)

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
        return self._content.descriptor

    @property
    def compressed(self) -> bool:
        """Whether it is a gzip: offsets are those of what is in it."""
        return self._content.compressed

    @property
    def is_replaced(self) -> bool:
        """Whether a gzip is known to be another one than that which was read."""
        return self._content.is_replaced

    @property
    def length_hint(self) -> int:
        """How long a gzip says that its content is (modulo 2**32): right for one of one member."""
        return self._content.length_hint

    def begins_like(self, other: "Tail") -> bool:
        """Whether it may be the same as another one, as far as both are known for."""
        mine, theirs = self._head.data, other._head.data
        return mine.startswith(theirs) or theirs.startswith(mine)

    def begins_with(self, seen: Seen) -> bool:
        """Whether it begins with what was seen of a file that had no complete first line."""
        return not self._head.start and mark_of(self._head.data[: seen.end]) == seen.mark

    def has_seen(self, seen: Seen) -> bool:
        """Whether it has these bytes, too, as far as that can be said without inflating it."""
        return self.compressed or self._end.holds(seen)

    @property
    def at_end(self) -> bool:
        """Whether a gzip is inflated to its end, as it was when it was looked at last."""
        return self._content.at_end

    @property
    def ending(self) -> Ending | None:
        """How a gzip ended, where that is known."""
        return self._content.ending

    @property
    def problem(self) -> str:
        """What is wrong with how a gzip ended, in words; empty if nothing is."""
        return self._content.problem

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
        """Bytes of a last line that waits for its newline: nobody can ship it, so it is no backlog.

        0 if the file changed since it was read, as the line may be complete now; and of a gzip,
        which is read to its end whatever that is.
        """
        return self._incomplete.length if self._has_incomplete_line else 0

    @property
    def readable(self) -> int:
        """Bytes that are not read, as far as known, without an incomplete last line."""
        waiting = self._incomplete.end - self._read_to if self._has_incomplete_line else 0
        return max(0, self.unread - max(0, waiting))

    @property
    def unread_lost(self) -> int:
        """Bytes that were seen of this content and not read: lost, if it is another one now."""
        return max(0, self.seen.end - self.offset)

    @property
    def seen(self) -> Seen:
        """How far this content was seen."""
        return self._end.seen

    @property
    def seen_to(self) -> int:
        """Up to where it was seen. Of a gzip, past its offset as long as it is not settled."""
        if self.compressed:
            return self.offset + (not self.is_settled)
        return self.offset + self.unread_lost

    @property
    def seen_mark(self) -> Mark:
        """The mark of the bytes before that; NO_MARK if all of it is acknowledged, or it is a
        gzip."""
        if self.compressed or self.seen_to <= self.acks.offset:
            return NO_MARK
        return self.seen.mark if self.unread_lost else self.acks.opened_mark

    @property
    def is_settled(self) -> bool:
        """Of a gzip, whether it is read to an end at which nothing is missing, or what is missing
        is recorded; as far as is known."""
        return self._gzip.is_settled(self.offset, self.inflated)

    def settle(self) -> None:
        """Of a gzip: nothing of it as it is now is left to be recorded."""
        self._gzip.settle(self.offset, self.inflated)

    @property
    def known_identity(self) -> Identity | None:
        """Which file a gzip is, where that was found out; it may not be placed yet."""
        return self._gzip.identity

    @property
    def inflated(self) -> int:
        """How much of a gzip was inflated so far, in bytes of its content."""
        return self._content.inflated

    @property
    def backlog(self) -> int:
        """Bytes that are not acknowledged and can be shipped, as far as known."""
        return self.readable + self.offset - self.acks.offset

    def look(self) -> bool:
        """Takes notice of the size; returns whether a read may find something new."""
        if self.state is State.DONE:
            return False
        try:
            facts = self._content.facts()
        except OSError:
            # Whoever reads it next meets the same trouble, and reports it.
            self._stat_failed = True
            return True
        self._stat_failed = False
        self.size, self.allocated = facts.size, facts.allocated
        self._modified = facts.modified
        seen = max(self.seen.end, self._lines.blank_to, self.offset)
        if facts.size > seen and not self.compressed:
            self._grew()
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
        return self.may_have_data and not self.compressed and self.version != self._examined

    async def examine(self) -> Rewritten | None:
        """Compares what is there now with what is known of it, and takes notice of how far it goes,
        without reading on: what is lost of it from now on is known. Of a placed file only. Raises
        OSError if it cannot be read now."""
        if not self.look() or self.compressed or self.state is State.WAITING:
            return None
        version = self.version
        why = await self._why_rewritten(compare=True)
        if why := why or await self._end.examine(self.offset, self.size):
            return self._rewritten(why)
        if self.version == version:
            self._examined = version
        return None

    async def identify(self, *, final: bool) -> Identity | None:
        """Which file this is; None while its first line is not complete, unless that is `final`."""
        self.look()
        self.tried = True
        if self._content.is_replaced:
            self._begin_anew()
        if self._gzip.identity is not None:
            return self._gzip.identity
        version = self._seen
        modified = self._modified
        identity = await self._head.identify(self._content, final=final)
        if final and self.is_empty and self.ending in UNREADABLE:
            identity = raw_identity(self._content.raw_head, self.inode.number)
        if identity is None and not self.compressed:
            self._end.seen = Seen(self._head.end, mark_of(self._head.data))
        if identity is None and self._head.only_nuls_before:
            self._lines.blank_to, self._compared = self._head.only_nuls_before, modified
        if identity is None and not self._head.searching:
            self._incomplete, self._incomplete_in = self._head.incomplete, version
        if self.compressed:
            self._gzip.identity = identity
        return identity

    @property
    def legacy_identity(self) -> Identity | None:
        """Which file it was to versions that took NULs for a part of its first line."""
        return self._head.legacy

    @property
    def is_empty(self) -> bool:
        """Whether a gzip is inflated to its end, and nothing but NULs was in it."""
        return self.at_end and self._head.is_empty and not self._head.searching

    @property
    def is_searching(self) -> bool:
        """Whether `identify` has more to look at; call it again."""
        return self._head.searching

    async def has_mark(self, offset: int, mark: Mark) -> bool | None:
        """Whether the bytes before `offset` are those that `mark` was made of.

        None if a gzip has to be read on for that: call again.
        """
        self.look()
        if not mark.length <= offset or self._content.is_replaced:
            return False
        known = self._gzip.has_mark(offset, mark, self.version)
        if known is not None:
            return known
        if not await self.reach(offset - mark.length):
            return None
        before = await bytes_at(self._content, offset - mark.length, mark.length)
        self.look()
        found = offset <= self.size and mark_of(before) == mark
        if self.compressed:
            self._gzip.note_mark(offset, mark, self.version, found=found, inflated=self.inflated)
        return found

    async def reach(self, offset: int) -> bool:
        """Goes a bounded piece of the way to an offset; returns whether it is there."""
        return await self._content.reach(max(0, offset))

    async def begin(self, identity: Identity, acks: AckTracker, seen: Seen | None = None) -> None:
        """Goes on at the ledger's offset, where the mark was found to be right. `seen`: how far it
        was seen by whoever knew it before."""
        before = acks.offset - acks.mark.length
        self._lines.guard = await bytes_at(self._content, before, acks.mark.length)
        self.identity, self.acks = identity, acks
        self.state = State.READING
        self._gzip.forget_marks()
        self._examined = None
        if not self.compressed:
            # Half a line that was there before is no line, if it is gone.
            self._end.seen = seen or Seen(acks.offset)

    def rest(self) -> None:
        """Gives back what costs memory: it is not read for a while."""
        self._content.rest()

    async def read(self, *, final: bool) -> Reading:
        """The next lines. `final`: the file will not grow, so a last line needs no newline.

        Raises OSError if the file cannot be read now.
        """
        if not self.look() or self.state is State.WAITING:
            return NoLine.AT_END
        why = await self._why_rewritten()
        if not why and self.needs_examination and self.unread_lost:
            # Reading on would pass what was seen and may be gone.
            why = await self._end.examine(self.offset, self.size)
        if why:
            return self._rewritten(why)
        version = self._seen
        modified = self._modified
        reading = await self._lines.read(self.offset, final=final)
        if isinstance(reading, Rewritten):
            return self._rewritten(reading.why)
        self._compared = modified
        if self._lines.incomplete is not None:
            self._incomplete, self._incomplete_in = self._lines.incomplete, version
        if reading is NoLine.AT_END and self._lines.blank_to > self.offset:
            self._end.seen = Seen(self.offset)
        self.state = State.SKIPPING if self._lines.skipped_to else State.READING
        self._note_end()
        return reading

    def undo_read(self) -> None:
        """What the last reading gave is not used: the next one gives it again."""
        self._lines.undo()
        self.state = State.SKIPPING if self._lines.skipped_to else State.READING
        self._note_end()

    async def last_line_end(self) -> tuple[int, Mark] | None:
        """The offset after the last newline, and its mark; None: call again. What was written since
        the first scan found the file does not count."""
        self.look()
        return await self._last_line.find(self._content, self.found_first)

    async def measure_unread(self, *, final: bool) -> Unread:
        """What is not read of it, to the end that it has now. `final`: it will not grow; otherwise
        a plain file is measured to the end of its last line: what follows may be half of one, or
        NULs that are filled in later."""
        self.look()
        block, guard = self._buffer.block_bytes, self._lines.guard
        limit = None
        if not final and not self.compressed:
            while (last := await self.last_line_end()) is None:
                pass
            limit = max(last[0], self.offset)
        return await measure_unread(self._content, self.offset, block, guard, limit=limit)

    async def skip(self, unread: Unread) -> None:
        """Goes on after what is unread, as if that were read and acknowledged."""
        self.look()
        self._lines = LineReader(self._content, self._buffer)
        self._lines.guard = unread.last
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
        self._content.close()
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
    def _has_incomplete_line(self) -> bool:
        """Whether it ends with one, as of the last look."""
        return (
            self._incomplete_in == self._seen
            and self.state is not State.DONE
            and not self.compressed
            and self._incomplete.end > self.offset
        )

    def _note_end(self) -> None:
        """A gzip that is whole and read to its end misses nothing, whatever becomes of it."""
        whole = self.at_end and self.ending is Ending.COMPLETE
        if whole and self.state is State.READING and self.size <= self._read_to:
            self.settle()

    def _begin_anew(self) -> None:
        """Another gzip took the place of one that is not placed yet."""
        self._content.begin_anew()
        self._lines = LineReader(self._content, self._buffer)
        self._head = Head(self._lines.run)
        self._last_line = LastLine(self._buffer.block_bytes)
        self._gzip, self._compared = GzipMemory(), 0

    def _grew(self) -> None:
        """It is larger than it was: takes notice, unless another content is in its place."""
        known, start = self._lines.guard, self.offset - len(self._lines.guard)
        if not known:
            known, start = self._head.data, self._head.start
        try:
            same = bool(known) and self._content.peek(len(known), start) == known
            if same and self._end.holds(self.seen) and self._end.look(self.size):
                self._examined = self.version
        except OSError:
            pass  # It is known when it can be read again.

    async def _why_rewritten(self, *, compare: bool = False) -> str:
        """Why the content is another one than it was, in words; empty if it is the same.
        `compare`: also with the bytes before the offset, which a read compares by itself."""
        if self._content.is_replaced:
            return "the gzip was written again"
        if self.size < max(self.offset, self._lines.skipped_to):
            return f"it has {self.size} bytes, and more were read"
        head, guard = self._head, self._lines.guard if compare else b""
        if not self.offset and not self.compressed:
            if await bytes_at(self._content, head.start, len(head.data)) != head.data:
                return "it begins with another line than it did"
        elif await bytes_at(self._content, self.offset - len(guard), len(guard)) != guard:
            return f"the bytes before offset {self.offset} are not what they were"
        return ""

    def _rewritten(self, why: str) -> Rewritten:
        self.close()
        return Rewritten(why)
