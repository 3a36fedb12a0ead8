"""How far a log was seen: up to its last byte that is not NUL, since what is allocated in advance
is no line; and the bytes before that, by which it is known whether they are still there, and if a
copy holds them as well.
"""

from msgspec import Struct

from shipper.files.content import Content, bytes_at
from shipper.files.identity import MARK_BYTES, NO_MARK, Mark, mark_of


class Seen(Struct, frozen=True, gc=False):
    """The end of what was seen of a log."""

    #: In bytes.
    end: int = 0
    #: That of the bytes before it; NO_MARK if they are not known.
    mark: Mark = NO_MARK

    @classmethod
    def at(cls, end: int, last: bytes) -> "Seen":
        """The same without the NULs at its end. `last`: the bytes before `end`."""
        data = last.rstrip(b"\0")
        return cls(end - len(last) + len(data), mark_of(data))

    @property
    def start(self) -> int:
        """Where the bytes of the mark begin."""
        return self.end - self.mark.length


class SeenEnd:
    """That of one log, as it grows and is cut."""

    __slots__ = ("_content", "seen")

    def __init__(self, content: Content) -> None:
        self._content = content
        self.seen = Seen()

    def holds(self, seen: Seen) -> bool:
        """Whether the log has these bytes; not if it cannot be read now."""
        try:
            return mark_of(self._content.peek(seen.mark.length, seen.start)) == seen.mark
        except OSError:
            return False

    def look(self, size: int) -> bool:
        """The same content has that size now: it was seen so far, unless it ends with NULs, which
        is left to `examine`; returns whether it was. Raises OSError if it cannot be read."""
        count = min(size, MARK_BYTES)
        seen = Seen.at(size, self._content.peek(count, size - count))
        if seen.end == size:
            self.seen = seen
        return seen.end == size

    async def examine(self, offset: int, size: int) -> str:
        """Finds out how far content goes that is the same up to `offset`. Returns why it is not the
        same after that, in words; empty if it is.

        Where it ends earlier than it did, it may have been written on since: nobody knows from
        where on it is another one. Raises OSError if it cannot be read.
        """
        before = self.seen
        if before.end > offset:
            if size < before.end:
                return f"it has {size} bytes, and {before.end} were seen"
            last = await bytes_at(self._content, before.start, before.mark.length)
            if mark_of(last) != before.mark:
                return f"the bytes before offset {before.end}, which were seen, are others now"
        seen = await look_at_end(self._content, offset, size)
        if self.seen is before:
            self.seen = seen
        return ""


async def look_at_end(content: Content, begin: int, end: int) -> Seen:
    """How far what is between two offsets was written. Reads a few bytes of it, whatever there is:
    what is filled in place is filled from its beginning.

    Raises OSError if it cannot be read.
    """
    seen = await _before(content, end)
    if seen.mark.length or end <= begin:
        return seen
    low, high = begin, end
    while high - low > MARK_BYTES:
        middle = (low + high) // 2
        if (await bytes_at(content, middle, MARK_BYTES)).strip(b"\0"):
            low = middle
        else:
            high = middle
    few = await bytes_at(content, low, high - low)
    return await _before(content, low + len(few.rstrip(b"\0")))


async def _before(content: Content, end: int) -> Seen:
    count = min(end, MARK_BYTES)
    return Seen.at(end, await bytes_at(content, end - count, count))
