"""Whether the content of a file is still the one that was read and seen of it: truncated and
written again, it may be longer by now than it was.

What is compared: the line that the log began with, the bytes just before the offset, and those
before the end up to which it was seen.
"""

from shipper.files.content import Content, Version, bytes_at
from shipper.files.lines import LineReader
from shipper.files.nuls import Head
from shipper.files.seen import SeenEnd


class Comparison:
    """That of one log."""

    __slots__ = ("_content", "_end", "_head", "_lines", "examined")

    def __init__(self, content: Content, head: Head, lines: LineReader, end: SeenEnd) -> None:
        """`head`: what it was identified by; `lines`: reads it; `end`: how far it was seen."""
        self._content = content
        self._head = head
        self._lines = lines
        self._end = end
        #: The version of the file that was compared with all that is known of it; None: no one was.
        self.examined: Version | None = None

    async def why_rewritten(
        self, offset: int, size: int, guard: bytes = b"", *, is_new: bool = True
    ) -> str:
        """Why it is another content than that which was read up to `offset`, in words; empty if it
        is the same. `guard`: the bytes before the offset; a read compares these by itself.
        `is_new`: whether this version was not compared yet. Raises OSError if it cannot be read."""
        if self._content.is_replaced:
            return "the gzip was written again"
        if size < max(offset, self._lines.skipped_to):
            return f"it has {size} bytes, and more were read"
        head = self._head
        # Events may end alike (a map of node labels is longer than a mark), so bytes before the
        # offset that are what they were do not tell that the file begins as it did.
        compare_head = not self._content.compressed and (is_new or not offset)
        if compare_head and await bytes_at(self._content, head.start, len(head.data)) != head.data:
            return "it begins with another line than it did"
        if guard and await bytes_at(self._content, offset - len(guard), len(guard)) != guard:
            return f"the bytes before offset {offset} are not what they were"
        return ""

    async def examine(self, offset: int, size: int) -> str:
        """The same of all that is known of it, without a read; takes notice of how far it goes."""
        why = await self.why_rewritten(offset, size, self._lines.guard)
        return why or await self._end.examine(offset, size)

    def grew(self, offset: int, size: int, version: Version) -> None:
        """It is larger than it was: takes notice of its end, unless another content is in its
        place. Blocks for no read."""
        head, guard = self._head, self._lines.guard
        known = [(head.start, head.data), (offset - len(guard), guard)]
        try:
            same = any(data for _, data in known) and all(
                self._content.peek(len(data), start) == data for start, data in known if data
            )
            if same and self._end.holds(self._end.seen) and self._end.look(size):
                self.examined = version
        except OSError:
            pass  # It is known when it can be read again.
