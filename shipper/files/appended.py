"""The fast way to lines that were appended to a log as they mostly are: whole ones, without NULs,
no more than a block, and in the cache. One call reads them, the bytes before them and the beginning
of the log; with these it is known that the content is still the same.
"""

from shipper.files.content import Content
from shipper.files.facts import Appended
from shipper.files.identity import MARK_BYTES, mark_of
from shipper.files.lines import Block, LineReader, ReadBuffer
from shipper.files.nuls import Head

_NEWLINE = 10


class AppendedLines:
    """Those of one log."""

    __slots__ = ("_buffer", "_content", "_head", "_lines")

    def __init__(self, content: Content, head: Head, lines: LineReader, buffer: ReadBuffer) -> None:
        """`head`: what the log was identified by; `lines`: reads it otherwise."""
        self._content = content
        self._head = head
        self._lines = lines
        self._buffer = buffer

    def take(self, offset: int) -> tuple[Block, Appended] | None:
        """What was appended since all up to `offset` was read, as `LineReader.read` would give it.
        None: nothing was, or something else happened. Raises OSError as that."""
        lines = self._lines
        if not lines.guard or lines.skipped_to or lines.blank_to or lines.near_nuls:
            return None  # The next line may begin elsewhere.
        buffer = self._buffer.take()
        try:
            return self._take(offset, buffer)
        finally:
            self._buffer.give_back(buffer)

    def _take(self, offset: int, buffer: bytearray) -> tuple[Block, Appended] | None:
        head, guard = self._head, self._lines.guard
        begin = len(guard)
        found = self._content.appended(buffer, offset - begin, head.start, len(head.data))
        if found is None or found.size <= offset or found.head != head.data:
            return None
        end = begin + found.size - offset
        if end - begin > self._buffer.block_bytes or buffer[end - 1] != _NEWLINE:
            return None
        if not buffer.startswith(guard) or buffer.find(0, begin, end) >= 0:
            return None
        with memoryview(buffer) as view:
            data = bytes(view[begin:end])
        self._lines.guard = guard = bytes(buffer[max(0, end - MARK_BYTES) : end])
        return Block(data, found.size, mark_of(guard), offset), found
