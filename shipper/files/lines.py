"""Cuts a log into blocks of whole lines, a block a call, with bounded memory.

A line ends with its newline, or before a NUL. NULs before a line are skipped with it, so that the
offset passes them only when a line follows: a log that is allocated in advance is filled there
later. NULs after half a line end it as soon as anything else follows them. A line that is longer
than allowed is skipped to its end in steps, and only its head is given.

Every read begins a little before the offset and compares these bytes with what they were, so a
file that was truncated and written again is noticed before a byte of it is taken for the old one,
even if it is longer by now.
"""

from enum import Enum

from msgspec import Struct

from shipper.files.content import Content, bytes_at, fill
from shipper.files.identity import MARK_BYTES, Mark, mark_of
from shipper.files.incomplete import IncompleteLine
from shipper.files.nuls import NulRun, first_data

#: How much is read at once, in bytes. Measured: 256 KiB takes a fifteenth less CPU than 128 KiB,
#: and more gains nothing.
BLOCK_BYTES = 256 * 1024

#: How much is read at first where NULs are near: each of them may end the block.
_FEW_BYTES = 4096


class Block(Struct, frozen=True, gc=False):
    """Whole lines, the last newline included."""

    data: bytes
    end: int
    mark: Mark
    #: Where they begin: after the NULs between the tail's offset and them.
    start: int


class HalfLine(Struct, frozen=True):
    """A line that was never finished: NULs follow it. Without a newline."""

    data: bytes
    end: int
    mark: Mark
    start: int


class CutLine(Struct, frozen=True):
    """A line that is longer than allowed: its head, and how long it is without its newline."""

    head: bytes
    length: int
    end: int
    mark: Mark
    start: int


class NoLine(Enum):
    """There is no whole line to give."""

    #: Nothing more before the file grows.
    AT_END = "at_end"
    #: Inside a long line; call again.
    LONG_LINE = "long_line"
    #: Many NULs, or much of a gzip, are to be passed; call again.
    MORE = "more"


class Rewritten(Struct, frozen=True):
    """The content before the offset is not what it was; in words."""

    why: str


Reading = Block | HalfLine | CutLine | NoLine | Rewritten


class ReadBuffer:
    """What every tail reads into, one at a time, so that a block costs no fresh pages. While one
    waits for its disk, others get another one."""

    def __init__(self, max_line_bytes: int) -> None:
        self.max_line_bytes = max_line_bytes
        #: A block can hold no line that is too long.
        self.block_bytes = min(BLOCK_BYTES, max_line_bytes + 1)
        self._free: bytearray | None = None

    def take(self) -> bytearray:
        """Room for a block and a mark, of which the content is not defined."""
        taken, self._free = self._free, None
        return bytearray(MARK_BYTES + self.block_bytes) if taken is None else taken

    def give_back(self, taken: bytearray) -> None:
        """It is not used any more."""
        self._free = taken


class LineReader:
    """Reads the lines of one log, one after the other."""

    __slots__ = (
        "_buffer",
        "_content",
        "_line_head",
        "_line_start",
        "_run_after",
        "blank_to",
        "guard",
        "incomplete",
        "near_nuls",
        "run",
        "skipped_to",
    )

    def __init__(self, content: Content, buffer: ReadBuffer) -> None:
        self._content = content
        self._buffer = buffer
        self.restart()

    def restart(self, guard: bytes = b"") -> None:
        """What it knows of the log is forgotten; `guard`: the bytes just before the next offset, if
        they are known."""
        #: The NULs before the next line.
        self.run = NulRun(self._buffer.block_bytes)
        # Those after half a line.
        self._run_after = NulRun(self._buffer.block_bytes)
        #: Whether there were any near what was read last.
        self.near_nuls = False
        #: The bytes just before the offset: if they are others now, it is another content.
        self.guard = guard
        # A line that is longer than allowed: where it begins, and its head if that cannot be read
        # again.
        self._line_start = 0
        self._line_head = b""
        #: Up to where it is skipped; 0 if there is none.
        self.skipped_to = 0
        #: Up to where nothing but NULs followed the offset, and then nothing.
        self.blank_to = 0
        #: The line that waits for its newline, if the last reading met the end in one.
        self.incomplete: IncompleteLine | None = None

    async def read(self, offset: int, *, final: bool) -> Reading:
        """What is at `offset`, where the last reading ended. `final`: the log will not grow.

        Raises OSError if the content cannot be read now; the next call does the same again.
        """
        self.incomplete = None
        if self.skipped_to:
            return await self._skip(offset, final)
        return await self._read_lines(offset, final)

    async def _read_lines(self, offset: int, final: bool) -> Reading:
        buffer = self._buffer.take()
        try:
            return await self._read_into(buffer, offset, final)
        finally:
            self._buffer.give_back(buffer)

    async def _read_into(self, small: bytearray, offset: int, final: bool) -> Reading:
        start, guard, limit = offset, self.guard, self._buffer.max_line_bytes
        wanted = min(_FEW_BYTES, limit + 1) if self.near_nuls else self._buffer.block_bytes
        if self._content.compressed and self.run.begin == start < self.run.end:
            # Nobody fills them in, and going back to them would mean to begin again.
            start, guard = self.run.end, b""
        self._content.release(start - len(guard))
        self.blank_to = 0
        while True:
            begin = len(guard)
            buffer = small if begin + wanted <= len(small) else bytearray(begin + wanted)
            with memoryview(buffer)[: begin + wanted] as view:
                count = await fill(self._content, view, start - begin)
                if count < begin or not buffer.startswith(guard):
                    where = f"before offset {offset}"
                    return Rewritten(f"the bytes {where} are not what they were")
                nul = buffer.find(0, begin, count)
                stop = count if nul < 0 else nul
                cut = buffer.rfind(b"\n", begin, stop) + 1
                if cut:
                    data = bytes(view[begin:cut])
                    # Nothing but the last bytes, also where a block is shorter than a mark.
                    self.guard = bytes(view[max(0, cut - MARK_BYTES) : cut]).rpartition(b"\0")[2]
                    self.near_nuls = nul >= 0
                    return Block(data, start + len(data), mark_of(self.guard), start)
            # Where something follows the NULs, if that was read already.
            after = first_data(buffer, nul, count) if nul >= 0 else count
            self.near_nuls = nul >= 0
            if nul == begin:
                if after < count:
                    self.run.passed(offset, start + after - begin)
                found = await self._pass_nuls(offset)
                if isinstance(found, NoLine):
                    return found
                start, guard, wanted = found, b"", min(_FEW_BYTES, limit + 1)
                continue
            length = stop - begin
            if length > limit:
                if self._content.compressed:
                    self._line_head = bytes(buffer[begin : begin + limit])
                self._line_start, self.skipped_to = start, start + limit + 1
                return NoLine.LONG_LINE
            if nul >= 0:
                ended = final or self._content.compressed or after < count
                return await self._read_half(start, length, ended)
            if count < begin + wanted:
                if start > offset and not length:
                    self.blank_to = start
                if length and final:
                    return await self._read_rest(start, length)
                if length:
                    self.incomplete = IncompleteLine(length, start + length)
                return NoLine.AT_END
            wanted = min(4 * wanted, limit + 1)

    async def _pass_nuls(self, offset: int) -> int | NoLine:
        """Where the line begins before which there are NULs from `offset` on."""
        found = await self.run.follow(self._content, offset)
        if found is not None:
            return found
        if not self.run.at_end:
            return NoLine.MORE
        self.blank_to = self.run.end
        return NoLine.AT_END

    async def _read_half(self, start: int, length: int, ended: bool) -> Reading:
        """A line that NULs follow. `ended`: it will not be finished."""
        if not ended and (unfinished := await self._is_unfinished(start, start + length)):
            return unfinished
        line = await bytes_at(self._content, start, length)
        if len(line) < length or b"\0" in line or b"\n" in line:
            return Rewritten("it was cut while its last line was read")
        self.guard = line[-MARK_BYTES:]
        return HalfLine(line, start + length, mark_of(line), start)

    async def _is_unfinished(self, start: int, end: int) -> NoLine | None:
        """Whether a line from `start` on may still go on at `end`, where NULs are; None: it is
        ended by them."""
        if await self._run_after.follow(self._content, end) is not None:
            return None
        if not self._run_after.at_end:
            return NoLine.MORE
        self.incomplete = IncompleteLine(end - start, self._run_after.end)
        return NoLine.AT_END

    async def _skip(self, offset: int, final: bool) -> Reading:
        """Looks for the end of a long line, from a little before where it was skipped to."""
        begin = self.skipped_to - MARK_BYTES
        self._content.release(begin)
        block = await bytes_at(self._content, begin, MARK_BYTES + self._buffer.block_bytes)
        if len(block) < MARK_BYTES:
            return Rewritten("it was cut while a long line was read")
        nul = block.find(0, MARK_BYTES)
        newline = block.find(b"\n", MARK_BYTES, nul if nul >= 0 else len(block))
        line_end = begin + (newline if newline >= 0 else nul)
        if newline < 0 and nul < 0:
            self.skipped_to = line_end = begin + len(block)
            if len(block) > MARK_BYTES:
                return NoLine.LONG_LINE
            if not final:
                self.incomplete = IncompleteLine(line_end - self._line_start, line_end)
                return NoLine.AT_END
        elif newline < 0:
            ended = final or self._content.compressed
            if not ended and (unfinished := await self._is_unfinished(self._line_start, line_end)):
                return unfinished
        end = line_end + (newline >= 0)
        before, limit = len(self.guard), self._buffer.max_line_bytes
        head = self._line_head
        if not self._content.compressed:
            guard = await bytes_at(self._content, offset - before, before)
            head = await bytes_at(self._content, self._line_start, limit)
            if guard != self.guard or len(head) < limit:
                return Rewritten("it was cut while a long line was read")
        length, start = line_end - self._line_start, self._line_start
        self.guard = block[: end - begin][-MARK_BYTES:]
        self._line_start, self.skipped_to, self._line_head = 0, 0, b""
        return CutLine(head, length, end, mark_of(self.guard), start)

    async def _read_rest(self, start: int, count: int) -> Reading:
        """The last line, which has no newline and will get none."""
        rest = await bytes_at(self._content, start, count)
        if len(rest) < count:
            return Rewritten("it was cut while its last line was read")
        self.guard = rest[-MARK_BYTES:]
        return Block(rest + b"\n", start + count, mark_of(rest), start)
