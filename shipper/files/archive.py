"""What is in a gzip, inflated as a stream from its beginning.

It may be of any number of members, may still grow, and may break off or be damaged anywhere: what
comes before is given all the same, and how it ended is said. Memory is bounded, whatever it holds,
and so is the work of one call.
"""

import os
import zlib
from enum import Enum

from msgspec import Struct

_MAGIC = b"\x1f\x8b"
#: Tells zlib to expect a gzip with its header and trailer, and to verify both.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
#: How much is read, and how much is inflated at once, at the most, in bytes.
_READ_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024
#: How much of a gzip one call reads at the most, in bytes, although nothing came of it: a gzip may
#: consist of empty members.
_WORK_BYTES = 256 * 1024
#: Zeros after a member fill up a block of a tape, or of a disk after a crash. More of them than
#: this (bytes) end the gzip, whatever follows.
_PADDING_BYTES = 1024 * 1024
#: How much before the place that was read to shows whether the gzip is still the same, in bytes.
_SAME_BYTES = 64


class Ending(Enum):
    """How a gzip ended."""

    #: With its trailer, and length and checksum are right.
    COMPLETE = "complete"
    #: Before its trailer: it is still being written, or whoever wrote it was interrupted.
    CUT = "cut"
    #: Something is not what was written. Where that begins cannot be told: the lines before the
    #: place where it showed may be wrong, too.
    DAMAGED = "damaged"
    #: It holds more than is allowed.
    TOO_LARGE = "too_large"
    #: It does not even begin like one.
    NOT_GZIP = "not_gzip"
    #: There is not a byte in it (yet).
    EMPTY = "empty"

    @property
    def is_last(self) -> bool:
        """Whether nothing follows, although the gzip may grow."""
        return self in (Ending.DAMAGED, Ending.TOO_LARGE, Ending.NOT_GZIP)


class Proof(Struct, frozen=True):
    """A few bytes of a gzip itself, and where they were."""

    offset: int
    data: bytes


class GzipStream:
    """The content of the gzip that is open as `source`, piece by piece.

    After a piece without a byte `at_end` says whether that was all for now, and then `ending` and
    `problem` how it ended. All calls block on the disk.
    """

    def __init__(self, source: int) -> None:
        self._source = source
        self._read_to = 0
        # Read, and not taken by a member.
        self._data = b""
        self._before = b""
        self._padding = 0
        self._member: _Member | None = None
        self.ending = Ending.EMPTY
        #: In words; empty if it is complete.
        self.problem = "it is empty"
        self.at_end = False

    @property
    def read_to(self) -> int:
        """How much of the gzip itself is read, in bytes."""
        return self._read_to

    @property
    def proof(self) -> Proof:
        """What shows that the gzip still is the one of which so much was read."""
        return Proof(self._read_to - len(self._before), self._before)

    def is_the_same(self, proof: Proof | None = None) -> bool:
        """Whether what was read is still there: somebody may have written the gzip anew. `proof`:
        of an earlier stream."""
        found = proof or self.proof
        return os.pread(self._source, len(found.data), found.offset) == found.data

    def take(self, count: int) -> bytes:
        """The next `count` bytes at the most. Raises OSError if the gzip cannot be read."""
        self.at_end = self.ending.is_last
        work = 0
        while not self.at_end and work < _WORK_BYTES:
            work += self._read()
            at_end = not self._data
            if self._member is None and not self._begin_member():
                self.at_end = self.at_end or at_end
                continue
            piece = self._inflate(count)
            if piece:
                return piece
            if at_end and self._member is not None:
                self.at_end, self.problem = True, f"it breaks off after {self._read_to} bytes"
        return b""

    def _read(self) -> int:
        if self._data:
            return 0
        self._data = os.pread(self._source, _READ_BYTES, self._read_to)
        self._read_to += len(self._data)
        self._before = (self._before + self._data)[-_SAME_BYTES:]
        return len(self._data)

    def _begin_member(self) -> bool:
        """Whether another member begins with what was read."""
        if self.ending is Ending.COMPLETE:
            rest = self._data.lstrip(b"\0")
            self._padding += len(self._data) - len(rest)
            self._data = rest
            self.at_end = self._padding > _PADDING_BYTES
        if not self._data or self.at_end:
            return False
        if not _MAGIC.startswith(self._data[:2]):
            self._set_foreign(self._data[:2], self._read_to - len(self._data))
            self.at_end = True
            return False
        self._member, self.ending, self._padding = _Member(), Ending.CUT, 0
        return True

    def _inflate(self, count: int) -> bytes:
        member = self._member
        assert member is not None
        piece = member.take(self._data, count)
        self._data = member.rest
        if member.problem:
            where = self._read_to - len(member.rest)
            self.ending = Ending.DAMAGED
            self.problem = f"it is damaged, as shows at byte {where}: {member.problem}"
            self._member, self.at_end = None, not piece
        elif member.ended:
            self._member, self.ending, self.problem = None, Ending.COMPLETE, ""
        return piece

    def _set_foreign(self, found: bytes, where: int) -> None:
        if self.ending is Ending.COMPLETE:
            self.ending = Ending.DAMAGED
            self.problem = f"what follows its end, at byte {where}, is no gzip"
        else:
            self.ending = Ending.NOT_GZIP
            self.problem = f"it is no gzip: it begins with the bytes {found.hex(' ')}"


def window(source: int, begin: int, count: int) -> bytes:
    """`count` bytes from `begin` on of what is in a gzip, fewer at its end or before damage.

    Blocks for as long as inflating all that is before takes; raises OSError if a read fails.
    """
    stream, found, offset = GzipStream(source), bytearray(), 0
    while offset < begin + count:
        piece = stream.take(_PIECE_BYTES)
        if stream.at_end and not piece:
            break
        found += piece[max(0, begin - offset) : max(0, begin + count - offset)]
        offset += len(piece)
    return bytes(found)


class _Member:
    """One member of a gzip (RFC 1952, section 2.2).

    zlib, not isal, although that is twice as fast: a call that meets damage gives nothing of what
    it had unpacked before, and only zlib's state can be copied, to go there again byte by byte.
    """

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=_GZIP_WINDOW)
        #: What was not taken of the data: to be given again, or what follows the member.
        self.rest = b""
        self.ended = False
        #: What is damaged, in words.
        self.problem = ""

    def take(self, data: bytes, count: int) -> bytes:
        """Unpacks `count` bytes at the most."""
        before = self._inflater.copy()
        try:
            piece = self._inflater.decompress(data, count)
        except zlib.error as error:
            # "Error -3 while decompressing data: incorrect data check"
            self.problem = str(error).rpartition(": ")[2]
            self._inflater, self.rest = before, data
            return self._take_until_damaged()
        self.ended = self._inflater.eof
        self.rest = self._inflater.unused_data if self.ended else self._inflater.unconsumed_tail
        return piece

    def _take_until_damaged(self) -> bytes:
        pieces, taken = bytearray(), 0
        try:
            # What earlier data gave may not all have been asked for yet.
            pieces += self._inflater.decompress(b"")
            for taken in range(len(self.rest)):
                pieces += self._inflater.decompress(self.rest[taken : taken + 1])
        except zlib.error:
            self.rest = self.rest[taken:]
        return bytes(pieces)
