"""What a tail reads: the bytes of a log, whether they are in a file as they are or in a gzip.

A `Content` owns its descriptor. Offsets are those of the log. `PlainContent` reads at any of them;
for what is in a gzip see `gzip_content`.
"""

from collections.abc import Awaitable
from typing import Protocol

from msgspec import Struct

from shipper.files.archive import Ending
from shipper.files.facts import Appended, FileFacts
from shipper.files.filesystem import FileSystem


class Version(Struct, frozen=True, gc=False):
    """What changes when a file is written to."""

    size: int
    modified: int


class Content(Protocol):
    """The bytes of one log. Every method raises OSError as the system call below it does."""

    @property
    def descriptor(self) -> int:
        """Of the file itself; -1 once it is closed."""

    @property
    def compressed(self) -> bool:
        """Whether it is read from its beginning to its end only, and nobody fills gaps in it."""

    #: How large the file itself is, in bytes, as of the last `facts`.
    stored: int

    @property
    def length_hint(self) -> int:
        """How long what is compressed says that it is, modulo 2**32."""

    @property
    def inflated(self) -> int:
        """How much of what is compressed was ever inflated, in bytes of the content."""

    @property
    def raw_head(self) -> bytes:
        """The beginning of the file itself, as it is stored, where that is compressed."""

    @property
    def is_replaced(self) -> bool:
        """Whether what was read is known not to be there any more."""

    @property
    def at_end(self) -> bool:
        """Whether all that is there now was read; what is not compressed cannot tell."""

    @property
    def ending(self) -> Ending | None:
        """How it ended, where that is known of what is compressed."""

    @property
    def problem(self) -> str:
        """What is wrong with how it ended, in words; empty if nothing is."""

    def facts(self) -> FileFacts:
        """What stat(2) says of the file, with the size of the content as far as it is known."""

    def read(self, view: memoryview, offset: int) -> Awaitable[int]:
        """Reads from `offset` on; returns how many bytes, 0 at the end. Fewer than fit into the
        view do not mean the end."""

    def appended(
        self, buffer: bytearray, offset: int, head_start: int, head_bytes: int
    ) -> Appended | None:
        """As `FileSystem.appended`; None of what is compressed."""

    def peek(self, count: int, offset: int) -> bytes:
        """A few bytes that were read a while ago, and so do not block."""

    def next_data(self, offset: int) -> Awaitable[int]:
        """Where, from `offset` on, something else than a hole may be; the size if nothing is."""

    def reach(self, offset: int) -> Awaitable[bool]:
        """Goes a bounded piece of the way to `offset`; returns whether it is there, or at the
        end."""

    def release(self, before: int) -> None:
        """What is before that offset will not be read again."""

    def rest(self) -> None:
        """Gives back what costs memory: nothing is read for a while."""

    def begin_anew(self) -> None:
        """What is there now is taken for what it is, also if it was replaced."""

    def close(self) -> None:
        """Gives the descriptor back; once is enough."""


class PlainContent:
    """A file as it is."""

    __slots__ = ("_device", "_filesystem", "descriptor", "stored")

    compressed = False
    is_replaced = False
    at_end = False
    ending: Ending | None = None
    problem = ""
    length_hint = 0
    inflated = 0
    raw_head = b""

    def __init__(self, filesystem: FileSystem, descriptor: int, device: int) -> None:
        """`device`: which one the file is on."""
        self._filesystem = filesystem
        self._device = device
        self.descriptor = descriptor
        self.stored = 0

    def facts(self) -> FileFacts:
        facts = self._filesystem.facts(self.descriptor)
        self.stored = facts.size
        return facts

    def read(self, view: memoryview, offset: int) -> Awaitable[int]:
        return self._filesystem.read(self.descriptor, self._device, view, offset)

    def appended(
        self, buffer: bytearray, offset: int, head_start: int, head_bytes: int
    ) -> Appended | None:
        return self._filesystem.appended(
            self.descriptor, self._device, buffer, offset, head_start, head_bytes
        )

    def peek(self, count: int, offset: int) -> bytes:
        return self._filesystem.peek(self.descriptor, count, offset)

    async def next_data(self, offset: int) -> int:
        return self._filesystem.next_data(self.descriptor, offset)

    async def reach(self, offset: int) -> bool:
        return True

    def release(self, before: int) -> None:
        pass

    def rest(self) -> None:
        pass

    def begin_anew(self) -> None:
        pass

    def close(self) -> None:
        if self.descriptor >= 0:
            self._filesystem.close(self.descriptor)
        self.descriptor = -1


async def fill(content: Content, view: memoryview, offset: int) -> int:
    """Reads until the view is full or the content ends: a read may give less than there is."""
    done = 0
    while done < len(view):
        with view[done:] as rest:
            count = await content.read(rest, offset + done)
        if not count:
            break
        done += count
    return done


async def bytes_at(content: Content, offset: int, count: int) -> bytes:
    """`count` bytes from `offset` on, fewer at the end of the content."""
    buffer = bytearray(count)
    with memoryview(buffer) as view:
        return bytes(view[: await fill(content, view, offset)])
