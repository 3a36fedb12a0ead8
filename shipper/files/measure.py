"""What can be said of a log without shipping it: where its last line ends, and how much of it is
not read. Both take bounded steps and let others have their turn, whatever the log holds: 24 GiB of
a hole take milliseconds.
"""

import asyncio
import re

from msgspec import Struct

from shipper.files.content import Content, bytes_at
from shipper.files.identity import MARK_BYTES, NO_MARK, Mark, mark_of

#: How many blocks one step reads.
_BLOCKS_A_STEP = 16

_ENDED_BY_NUL = re.compile(rb"[^\0\n]\0")


class LastLine:
    """The search for the end of the last line that is complete."""

    __slots__ = (
        "_before",
        "_block_bytes",
        "_end",
        "_found",
    )

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        # Of a file: where to look before. Of a gzip: how far it was looked at, and what was found.
        self._end: int | None = None
        self._found = 0, NO_MARK
        self._before = b""

    async def find(self, content: Content, most: int | None = None) -> tuple[int, Mark] | None:
        """The offset after the last newline there is, and its mark; None: call again. `most`: what
        is behind that offset does not count, unless it is a gzip."""
        if content.compressed:
            return await self._find_forward(content)
        end = self._end
        if end is None:
            size = content.facts().size
            end = size if most is None else min(most, size)
        for _ in range(_BLOCKS_A_STEP):
            if not end:
                return 0, NO_MARK
            count = min(end, self._block_bytes)
            block = await bytes_at(content, end - count, count)
            cut = block.rfind(b"\n") + 1
            if cut:
                self._end = None
                return await _marked(content, end - count + cut)
            end -= count
            if not block.strip(b"\0"):
                end = await _before_hole(content, end, self._block_bytes)
            self._end = end
            await asyncio.sleep(0)
        return None

    async def _find_forward(self, content: Content) -> tuple[int, Mark] | None:
        position = self._end or 0
        for _ in range(_BLOCKS_A_STEP):
            block = await bytes_at(content, position, self._block_bytes)
            if not block:
                # What follows has to be read from the beginning again.
                self._end = None
                return self._found
            cut = block.rfind(b"\n") + 1
            if cut:
                self._found = position + cut, _mark_of_line(self._before + block[:cut])
            self._before = (self._before + block)[-MARK_BYTES:]
            position += len(block)
            content.release(position)
            self._end = position
        return None


class Unread(Struct, frozen=True):
    """What is not read of a log."""

    #: The range in it, `end` excluded.
    start: int
    end: int
    #: In bytes, without NULs.
    size: int
    #: A line that NULs end, and a last one without its newline, are lines.
    lines: int
    #: The bytes before `end`, as many as a mark covers, from `start` on.
    last: bytes

    @property
    def mark(self) -> Mark:
        """That of the end."""
        return mark_of(self.last)


async def measure_unread(
    content: Content, start: int, block_bytes: int, before: bytes, *, limit: int | None = None
) -> Unread:
    """What there is from `start` on, up to `limit` if that is given, where a line ends. `before`:
    the bytes before `start`, if they are known."""
    size = lines = 0
    last, offset = b"\n", start
    while True:
        content.release(offset)
        most = block_bytes if limit is None else min(block_bytes, limit - offset)
        block = await bytes_at(content, offset, max(0, most))
        if not block:
            return Unread(start, offset, size, lines + (last not in b"\n\0"), before)
        offset += len(block)
        before = (before + block)[-MARK_BYTES:]
        nuls = block.count(0)
        if nuls == len(block):
            lines += last not in b"\n\0"
            last = b"\0"
            data = await content.next_data(offset)
            if data > offset:
                # Of a hole, nothing is read.
                before = (before + bytes(min(data - offset, MARK_BYTES)))[-MARK_BYTES:]
                offset = data
        else:
            size += len(block) - nuls
            lines += block.count(b"\n")
            if nuls:
                lines += len(_ENDED_BY_NUL.findall(block))
                lines += block[:1] == b"\0" and last not in b"\n\0"
            last = block[-1:]
        await asyncio.sleep(0)


async def _marked(content: Content, end: int) -> tuple[int, Mark]:
    covered = min(end, MARK_BYTES)
    return end, _mark_of_line(await bytes_at(content, end - covered, covered))


def _mark_of_line(before: bytes) -> Mark:
    """Of the bytes after the last NUL."""
    return mark_of(before[-MARK_BYTES:].rpartition(b"\0")[2])


async def _before_hole(content: Content, end: int, least: int) -> int:
    """An offset not after `end`, between which and `end` there is nothing but a hole."""
    step = least
    while end:
        begin = max(0, end - step)
        if await content.next_data(begin) >= end:
            end, step = begin, 2 * step
        elif step > least:
            step = max(least, step // 4)
        else:
            break
    return end
