"""One file, followed: blocks of whole lines at their offsets.

    WAITING    no complete first line yet, so it is not known which file this is
    READING    blocks are cut at their last newline; the rest waits for its own
    SKIPPING   inside a line that is longer than allowed, looking for its end with bounded memory
    DONE       the content was rewritten under us: what is under way still counts, nothing more is
               read here (the new content is another file to us)

Every read begins a little before the offset and compares these bytes with what they were, so a
file that was truncated and written again is noticed before a byte of it is taken for the old one,
even if it is longer by now.
"""

from dataclasses import dataclass
from enum import Enum

from shipper.files.ack import AckTracker
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.identity import (
    HEAD_BYTES,
    MARK_BYTES,
    NO_MARK,
    Identity,
    Mark,
    identity_of,
    mark_of,
)

#: How much is read at once, in bytes. Measured: 256 KiB takes a fifteenth less CPU than 128 KiB,
#: and more gains nothing.
BLOCK_BYTES = 256 * 1024


class State(Enum):
    WAITING = "waiting"
    READING = "reading"
    SKIPPING = "skipping"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, the last newline included."""

    data: bytes
    end: int
    mark: Mark


@dataclass(frozen=True, slots=True)
class CutLine:
    """A line that is longer than allowed: its head, and how long it is without its newline."""

    head: bytes
    length: int
    end: int
    mark: Mark


class NoLine(Enum):
    """There is no whole line to give."""

    #: Nothing more before the file grows.
    AT_END = "at_end"
    #: Inside a long line; call again.
    LONG_LINE = "long_line"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The content before the offset is not what it was; in words."""

    why: str


Reading = Block | CutLine | NoLine | Rewritten


class ReadBuffer:
    """What every tail reads into, one at a time, so that a block costs no fresh pages."""

    def __init__(self, max_line_bytes: int) -> None:
        self.max_line_bytes = max_line_bytes
        #: A block can hold no line that is too long.
        self.block_bytes = min(BLOCK_BYTES, max_line_bytes + 1)
        self._small = bytearray(MARK_BYTES + self.block_bytes)

    def of(self, count: int) -> bytearray:
        """At least `count` bytes, of which the content is not defined."""
        return self._small if count <= len(self._small) else bytearray(count)


@dataclass(frozen=True, slots=True)
class Version:
    """What changes when a file is written to."""

    size: int
    modified: int


class Tail:
    """A file that is followed through one descriptor, from its discovery until it is done."""

    def __init__(
        self, filesystem: FileSystem, buffer: ReadBuffer, path: str, inode: Inode, descriptor: int
    ) -> None:
        self._filesystem = filesystem
        self._buffer = buffer
        self._descriptor = descriptor
        # What it was identified by, as long as nothing is read; then the bytes before the offset.
        self._head = b""
        self._guard = b""
        self._skipped_to = 0
        # When the file was modified, and of which of its versions the guard was compared.
        self._modified = self._compared = 0
        self.path = path
        self.inode = inode
        #: When it came into being (nanoseconds since the Unix epoch); None if unknown.
        self.born: int | None = None
        self.state = State.WAITING
        #: In bytes, when it was last looked at.
        self.size = 0
        self._seen_to = 0
        # Whether the last look failed.
        self._stat_failed = False
        #: Monotonic seconds since which unread bytes are known of; kept by who reads the file.
        self.unread_since: float | None = None
        #: Whether it was unpacked from a gzip: nobody can delete or write to it.
        self.unpacked = False
        #: Whether somebody is in the middle of reading it.
        self.busy = False
        #: Unix seconds since which no path leads to it (it is read to its end all the same).
        self.gone: float | None = None
        #: Which file it is, and how far it is acknowledged; both are set by `begin`.
        self.identity = Identity("")
        self.acks = AckTracker(0, NO_MARK, on_advance=lambda: None)

    @property
    def offset(self) -> int:
        """Up to where it is read."""
        return self.acks.opened

    @property
    def version(self) -> Version:
        """Which of its versions was looked at last."""
        return Version(self.size, self._modified)

    @property
    def modified(self) -> float:
        """When it was last written to (Unix seconds), as of the last look."""
        return self._modified / 1e9

    @property
    def is_acknowledged(self) -> bool:
        """Whether all of it that is known is read and acknowledged."""
        return not self.unread and self.acks.all_acknowledged

    @property
    def descriptor(self) -> int:
        """What it is read through; -1 once it is closed."""
        return self._descriptor

    @property
    def unread(self) -> int:
        """Bytes that are not read, as far as known."""
        return 0 if self.state is State.DONE else max(0, self.size - self.offset)

    @property
    def behind_since(self) -> float | None:
        """Since when the oldest byte that is not acknowledged is known (monotonic seconds)."""
        return self.acks.oldest_read_at or (self.unread_since if self.unread else None)

    @property
    def unread_lost(self) -> int:
        """Bytes that were seen of this content and not read: lost, if it is another one now."""
        return max(0, self._seen_to - self.offset)

    @property
    def backlog(self) -> int:
        """Bytes that are not acknowledged, as far as known."""
        return self.unread + self.offset - self.acks.offset

    def look(self) -> bool:
        """Takes notice of the size; returns whether a read may find something new."""
        if self.state is State.DONE:
            return False
        try:
            facts = self._filesystem.facts(self._descriptor)
        except OSError:
            # Whoever reads it next meets the same trouble, and reports it.
            self._stat_failed = True
            return True
        self._stat_failed = False
        self.size = facts.size
        if facts.size > max(self._seen_to, self.offset) and self._is_the_same():
            self._seen_to = facts.size
        self._modified = facts.modified
        return self.may_have_data

    @property
    def may_have_data(self) -> bool:
        """Whether a read may find something new, as of the last look."""
        changed = self.size != self.offset or self._modified != self._compared
        return (changed or self._stat_failed) and self.state is not State.DONE

    async def identify(self, *, final: bool) -> Identity | None:
        """Which file this is; None while its first line is not complete, unless that is `final`."""
        self.look()
        self._head = await self._bytes(0, HEAD_BYTES)
        return identity_of(self._head, final=final)

    async def has_mark(self, offset: int, mark: Mark) -> bool:
        """Whether the bytes before `offset` are those that `mark` was made of."""
        self.look()
        if not mark.length <= offset <= self.size:
            return False
        return mark_of(await self._bytes(offset - mark.length, mark.length)) == mark

    async def begin(self, identity: Identity, acks: AckTracker) -> None:
        """Goes on at the ledger's offset, where the mark was found to be right."""
        self._guard = await self._bytes(acks.offset - acks.mark.length, acks.mark.length)
        self.identity, self.acks = identity, acks
        self.state = State.READING

    async def read(self, *, final: bool) -> Reading:
        """The next lines. `final`: the file will not grow, so a last line needs no newline.

        Raises OSError if the file cannot be read now.
        """
        if not self.look() or self.state is State.WAITING:
            return NoLine.AT_END
        if self.size < max(self.offset, self._skipped_to):
            return self._rewritten(f"it has {self.size} bytes, and more were read")
        if self.offset:
            self._head = b""
        elif await self._bytes(0, len(self._head)) != self._head:
            return self._rewritten("it begins with another line than it did")
        if self.state is State.SKIPPING:
            return await self._skip(final)
        return await self._read_lines(final)

    async def last_line_end(self) -> tuple[int, Mark]:
        """The offset after the last newline there is now, and its mark."""
        self.look()
        end, count = self.size, 0
        while end:
            count = min(end, self._buffer.block_bytes)
            cut = (await self._bytes(end - count, count)).rfind(b"\n") + 1
            if cut:
                end += cut - count
                break
            end -= count
        covered = min(end, MARK_BYTES)
        return end, mark_of(await self._bytes(end - covered, covered))

    async def count_unread(self) -> tuple[int, int]:
        """How many bytes and lines are not read, the last one counted without its newline, too."""
        self.look()
        offset, lines, last = self.offset, 0, b"\n"
        while block := await self._bytes(offset, self._buffer.block_bytes):
            offset, lines, last = offset + len(block), lines + block.count(b"\n"), block[-1:]
        return offset - self.offset, lines + (last != b"\n")

    def stop(self) -> None:
        """Nothing is read any more, and what was not read is no loss that nobody counted."""
        self.state = State.DONE
        self._seen_to = self.offset

    def close(self) -> None:
        """Gives the descriptor back; nothing is read any more."""
        if self._descriptor >= 0:
            self._filesystem.close(self._descriptor)
        self._descriptor = -1
        self.state = State.DONE

    async def _read_lines(self, final: bool) -> Reading:
        wanted, limit, guard = self._buffer.block_bytes, self._buffer.max_line_bytes, self._guard
        while True:
            buffer = self._buffer.of(len(guard) + wanted)
            with memoryview(buffer)[: len(guard) + wanted] as view:
                count = await self._fill(view, self.offset - len(guard))
                if count < len(guard) or view[: len(guard)] != guard:
                    where = f"before offset {self.offset}"
                    return self._rewritten(f"the bytes {where} are not what they were")
                cut = buffer.rfind(b"\n", len(guard), count) + 1
                self._compared = self._modified
                if cut:
                    data = bytes(view[len(guard) : cut])
                    end = self.offset + len(data)
                    # Nothing but the last bytes, also where a block is shorter than a mark.
                    self._guard = bytes(view[max(0, cut - MARK_BYTES) : cut])
                    return Block(data, end, mark_of(self._guard))
            if count - len(guard) > limit:
                self._skipped_to = self.offset + limit + 1
                self.state = State.SKIPPING
                return NoLine.LONG_LINE
            if count < len(guard) + wanted:
                rest = count - len(guard)
                return await self._read_rest(rest) if final and rest else NoLine.AT_END
            wanted = min(4 * wanted, limit + 1)

    async def _skip(self, final: bool) -> Reading:
        block = await self._bytes(self._skipped_to, self._buffer.block_bytes)
        newline = block.find(b"\n")
        if newline < 0:
            self._skipped_to += len(block)
            if block:
                return NoLine.LONG_LINE
            if not final:
                return NoLine.AT_END
        line_end = self._skipped_to + max(newline, 0)
        end = line_end + (newline >= 0)
        before, limit = len(self._guard), self._buffer.max_line_bytes
        head = await self._bytes(self.offset - before, before + limit)
        guard = await self._bytes(end - MARK_BYTES, MARK_BYTES)
        if head[:before] != self._guard or len(head) < before + limit or len(guard) < MARK_BYTES:
            return self._rewritten("it was cut while a long line was read")
        length = line_end - self.offset
        self._guard, self._skipped_to, self.state = guard, 0, State.READING
        return CutLine(head[before:], length, end, mark_of(guard))

    async def _read_rest(self, count: int) -> Reading:
        """The last line, which has no newline and will get none."""
        rest = await self._bytes(self.offset, count)
        if len(rest) < count:
            return self._rewritten("it was cut while its last line was read")
        self._guard = rest[-MARK_BYTES:]
        return Block(rest + b"\n", self.offset + count, mark_of(rest))

    def _is_the_same(self) -> bool:
        """Whether what grew is the content that is followed, and not another one in its place."""
        known, start = (
            (self._guard, self.offset - len(self._guard)) if self._guard else (self._head, 0)
        )
        try:
            return (
                bool(known) and self._filesystem.peek(self._descriptor, len(known), start) == known
            )
        except OSError:
            return False  # It is known when it can be read again.

    def _rewritten(self, why: str) -> Rewritten:
        self.close()
        return Rewritten(why)

    async def _bytes(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on, fewer at the end of the file."""
        buffer = bytearray(count)
        with memoryview(buffer) as view:
            return bytes(view[: await self._fill(view, offset)])

    async def _fill(self, view: memoryview, offset: int) -> int:
        """Reads until the view is full or the file ends: a read may give less than there is."""
        done = 0
        while done < len(view):
            with view[done:] as rest:
                count = await self._filesystem.read(
                    self._descriptor, self.inode.device, rest, offset + done
                )
            if not count:
                break
            done += count
        return done
