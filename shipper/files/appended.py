"""The fast way to lines that were appended to a log as they mostly are: whole ones, without NULs,
no more than a block, and in the cache. One call reads them, the bytes before them and the beginning
of the log; with these it is known that the content is still the same.
"""

from shipper.files.content import Content
from shipper.files.filesystem import Appended
from shipper.files.identity import MARK_BYTES, mark_of
from shipper.files.lines import Block, LineReader, ReadBuffer
from shipper.files.nuls import Head

_NEWLINE = 10


class AppendedLines:
    """Those of one log."""

    __slots__ = ("_content", "_head", "_lines", "_most")

    def __init__(self, content: Content, head: Head, lines: LineReader, buffer: ReadBuffer) -> None:
        """`head`: what the log was identified by; `lines`: reads it otherwise."""
        self._content = content
        self._head = head
        self._lines = lines
        self._most = buffer.block_bytes

    def take(self, offset: int) -> tuple[Block, Appended] | None:
        """What was appended since all up to `offset` was read, as `LineReader.read` would give it.
        None: nothing was, or something else happened. Raises OSError as that."""
        lines, head = self._lines, self._head
        guard = lines.guard
        if not guard or lines.skipped_to or lines.blank_to or lines.near_nuls:
            return None  # The next line may begin elsewhere.
        begin = len(guard)
        found = self._content.appended(
            offset - begin, begin + self._most, head.start, len(head.data)
        )
        if found is None or found.size <= offset or found.head != head.data:
            return None
        data = found.data
        if not data.startswith(guard) or data[-1] != _NEWLINE or data.find(0, begin) >= 0:
            return None
        lines.guard = guard = bytes(data[-MARK_BYTES:])
        return Block(bytes(data[begin:]), found.size, mark_of(guard), offset), found
