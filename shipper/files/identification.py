"""Which file a log is: recognised by its first line, and by the marks of files that began alike.
What is found out of a gzip is remembered, as it has to be inflated for that.
"""

from collections.abc import Callable

from shipper.files.archive import Ending
from shipper.files.content import Content, Version, bytes_at
from shipper.files.gzip_memory import GzipMemory
from shipper.files.identity import Identity, Mark, mark_of
from shipper.files.nuls import Head, NulRun
from shipper.files.seen import Seen

#: How a gzip ends of which nothing may be readable although something was in it.
UNREADABLE = (Ending.CUT, Ending.DAMAGED, Ending.NOT_GZIP)


class Identification:
    """That of one log."""

    __slots__ = ("_content", "gzip", "head")

    def __init__(self, content: Content, run: NulRun) -> None:
        """`run`: where what is found out of NULs at the beginning is kept."""
        self._content = content
        #: How it begins.
        self.head = Head(run)
        #: Of a gzip, which is read for it only once.
        self.gzip = GzipMemory()

    async def identify(self, number: int, *, final: bool) -> Identity | None:
        """The identity; None as long as there is no complete first line, unless that is `final`.
        `number`: the inode's; it tells files of zeros apart that are named like gzips."""
        if self.gzip.identity is not None:
            return self.gzip.identity
        identity = await self.head.identify(self._content, final=final)
        if final and self.is_empty and self._content.ending in UNREADABLE:
            identity = _raw_identity(self._content.raw_head, number)
        if self._content.compressed:
            self.gzip.identity = identity
        return identity

    @property
    def known(self) -> Identity | None:
        """Which file a gzip is, where that was found out; it may not be placed yet."""
        return self.gzip.identity

    @property
    def is_empty(self) -> bool:
        """Whether a gzip is inflated to its end, and nothing but NULs was in it."""
        return self._content.at_end and self.head.is_empty and not self.head.searching

    def is_like(self, other: "Identification") -> bool:
        """Whether both may begin with the same bytes, as far as these are known."""
        mine, theirs = self.head.data, other.head.data
        return mine.startswith(theirs) or theirs.startswith(mine)

    def begins_with(self, seen: Seen) -> bool:
        """Whether it begins with what was seen of a file that had no complete first line."""
        return not self.head.start and mark_of(self.head.data[: seen.end]) == seen.mark

    async def has_mark(
        self, offset: int, mark: Mark, look: Callable[[], tuple[int, Version]]
    ) -> bool | None:
        """Whether the bytes before `offset` are those that `mark` was made of. `look`: the size of
        the log, and the version of the file, as they are now.

        None if a gzip has to be read on for that: call again.
        """
        content = self._content
        _, version = look()
        if not mark.length <= offset or content.is_replaced:
            return False
        known = self.gzip.has_mark(offset, mark, version)
        if known is not None:
            return known
        if not await content.reach(max(0, offset - mark.length)):
            return None
        before = await bytes_at(content, offset - mark.length, mark.length)
        size, version = look()
        found = offset <= size and mark_of(before) == mark
        if content.compressed:
            self.gzip.note_mark(offset, mark, version, found=found, inflated=content.inflated)
        return found


def _raw_identity(head: bytes, inode: int) -> Identity:
    """Which file a gzip is in which nothing can be read. `head`: how the file itself begins."""
    # Of zeros alone there may be many files.
    unlike = b"" if head.strip(b"\0") else b"%d" % inode
    return Identity(mark_of(b"raw" + unlike + head).digest)
