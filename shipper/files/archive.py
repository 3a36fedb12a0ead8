"""Rotated logs that were compressed: what is in a gzip, as a file that is read like any other.

A gzip cannot be read at an offset, so it is unpacked once, into an unnamed file that is gone with
its descriptor. It may break off or be damaged anywhere: what comes before is given all the same,
and how it ended is said. Memory is bounded, whatever the gzip holds.
"""

import asyncio
import os
import tempfile
import zlib
from asyncio import Future
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

#: How long a gzip has to be the same to count as one that nobody writes any more, in seconds.
SETTLED_AFTER = 5.0

_MAGIC = b"\x1f\x8b"
#: Tells zlib to expect a gzip with its header and trailer, and to verify both.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
#: How much is read, and how much is unpacked at once, at the most, in bytes.
_READ_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024


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


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was in a gzip. The descriptor belongs to whoever asked for it."""

    #: Of an unnamed file, open for reading at any offset.
    descriptor: int
    #: In bytes.
    size: int
    ending: Ending
    #: In words; empty if it is complete.
    problem: str

    @property
    def complete(self) -> bool:
        """Whether this is all that was ever written to it, verified."""
        return self.ending is Ending.COMPLETE


async def unpack(source: int, directory: Path, limit: int) -> Unpacked:
    """Unpacks the gzip that is open as `source`, up to `limit` bytes, in a worker thread.

    The unnamed file is on the disk of `directory`. Raises OSError if the one cannot be read or the
    other not be written (ENOSPC), and then leaves nothing behind. So does a cancelled call, though
    the thread works on to its end.
    """
    # The thread reads through a descriptor of its own: after a cancellation the caller's is closed,
    # and its number may be another file's.
    own = os.dup(source)
    loop = asyncio.get_running_loop()
    try:
        work = loop.run_in_executor(None, _unpack_and_close, own, directory, limit)
    except BaseException:
        os.close(own)
        raise
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(_discard)
        raise


def head(source: int, count: int) -> bytes:
    """The first `count` bytes of what is in a gzip, fewer if there are fewer (yet).

    Empty if it is no gzip, or damaged among these bytes: such a head would be another file's.
    Blocks for a read of 64 KiB, usually; raises OSError if it fails.
    """
    pieces, found = _Pieces(source, count), bytearray()
    for piece in pieces:
        found += piece
        if len(found) >= count:
            return bytes(found[:count])
    return bytes(found) if pieces.ending in (Ending.COMPLETE, Ending.CUT) else b""


def window(source: int, begin: int, count: int) -> bytes:
    """`count` bytes from `begin` on of what is in a gzip, fewer at its end or before damage.

    Blocks for as long as unpacking all that is before takes; raises OSError if a read fails.
    """
    found, offset = bytearray(), 0
    for piece in _Pieces(source, _PIECE_BYTES):
        found += piece[max(0, begin - offset) : max(0, begin + count - offset)]
        offset += len(piece)
        if offset >= begin + count:
            break
    return bytes(found)


def is_settled(*, plain_exists: bool, complete: bool, unchanged_for: float) -> bool:
    """Whether a gzip is what it is going to be.

    `plain_exists`: the file that it is made from is still there. lumberjack, logrotate and gzip
    remove that when the gzip is whole; what was left of an interrupted attempt is written anew from
    it.
    `complete`: it ends with a trailer that is right. `unchanged_for`: for how many seconds we saw
    the same size and time of modification; the time alone says nothing, since gzip sets it to the
    log's.
    """
    return not plain_exists and (complete or unchanged_for >= SETTLED_AFTER)


def _unpack_and_close(source: int, directory: Path, limit: int) -> Unpacked:
    try:
        return _unpack(source, directory, limit)
    finally:
        os.close(source)


def _unpack(source: int, directory: Path, limit: int) -> Unpacked:
    # O_TMPFILE where the file system knows it, else a name that is removed at once.
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        pieces, size = _Pieces(source, _PIECE_BYTES), 0
        ending, problem = Ending.TOO_LARGE, f"it holds more than {limit} bytes"
        for piece in pieces:
            fitting = piece[: limit - size]
            _write(file.fileno(), fitting)
            size += len(fitting)
            if len(fitting) < len(piece):
                break
        else:
            ending, problem = pieces.ending, pieces.problem
        return Unpacked(os.dup(file.fileno()), size, ending, problem)


def _write(descriptor: int, data: bytes) -> None:
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.write(descriptor, view[done:])


def _discard(work: Future[Unpacked]) -> None:
    """Closes what nobody waits for any more. An error has no reader, either."""
    if not work.cancelled() and work.exception() is None:
        os.close(work.result().descriptor)


class _Pieces:
    """What is in a gzip of any number of members; after the last piece, how it ended."""

    def __init__(self, source: int, piece_bytes: int) -> None:
        self._source = source
        self._piece_bytes = piece_bytes
        self.ending = Ending.CUT
        self.problem = "it is empty"

    def __iter__(self) -> Iterator[bytes]:
        data, read_to = b"", 0
        member: _Member | None = None
        while True:
            if not data:
                data = os.pread(self._source, _READ_BYTES, read_to)
                read_to += len(data)
            at_end = not data
            if member is None:
                if at_end:
                    return
                if self.ending is Ending.COMPLETE:
                    # Zeros fill up a block of a tape, or of a disk after a crash.
                    data = data.lstrip(b"\0")
                    if not data:
                        continue
                if not _MAGIC.startswith(data[:2]):
                    self._set_foreign(data[:2], read_to - len(data))
                    return
                member = _Member()
                self.ending = Ending.CUT
            piece = member.take(data, self._piece_bytes)
            if piece:
                yield piece
            if member.problem:
                where = read_to - len(member.rest)
                self.ending = Ending.DAMAGED
                self.problem = f"it is damaged, as shows at byte {where}: {member.problem}"
                return
            if at_end and not piece:
                self.problem = f"it breaks off after {read_to} bytes"
                return
            data = member.rest
            if member.ended:
                member = None
                self.ending, self.problem = Ending.COMPLETE, ""

    def _set_foreign(self, found: bytes, where: int) -> None:
        if self.ending is Ending.COMPLETE:
            self.ending = Ending.DAMAGED
            self.problem = f"what follows its end, at byte {where}, is no gzip"
        else:
            self.ending = Ending.NOT_GZIP
            self.problem = f"it is no gzip: it begins with the bytes {found.hex(' ')}"


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
