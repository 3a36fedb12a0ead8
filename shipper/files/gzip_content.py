"""What is in a gzip, as a `Content`: it goes forward only; reading before its window begins at the
beginning again.

What was read is compared with what is there whenever the gzip is read on or was written to: one
that was written anew is noticed, also where nothing was read of it for a while.
"""

import errno
import os
import threading
from collections.abc import Callable

from msgspec import Struct

from shipper.files.archive import Ending, GzipStream, Proof
from shipper.files.facts import FileFacts
from shipper.files.filesystem import FileSystem

#: More than this is not read of one gzip, in bytes of its content (16 GiB): a gzip of 16 MiB can
#: hold as much.
LARGEST_GZIP_CONTENT = 16 * 1024**3

#: How much is inflated in one piece of work of a thread, in bytes, and how many of these on the
#: way to an offset before others have their turn.
_PIECE_BYTES = 256 * 1024
_PIECES_A_STEP = 4

# How much of the file itself tells it from others, where nothing in it can be read.
_HEAD_BYTES = 192

# The length of what is in the last member of a gzip, modulo 2**32, is at its very end (RFC 1952),
# and deflate makes one byte of 1032 at the most.
_LENGTH_BYTES = 4
_MOST_RATIO = 1032


class _Work(Struct):
    """What a thread and who waits for it decide between them."""

    has_begun: bool = False
    is_given_up: bool = False


class GzipContent:
    """What is in a gzip, inflated by a worker thread as far as somebody reads."""

    compressed = True

    def __init__(
        self,
        filesystem: FileSystem,
        descriptor: int,
        device: int = 0,
        *,
        largest: int = LARGEST_GZIP_CONTENT,
    ) -> None:
        """`device`: which one the file is on. `largest`: more than this is not read, in bytes of
        the content."""
        self._filesystem = filesystem
        self._descriptor = descriptor
        self._device = device
        self._largest = largest
        # Guards what a thread and `close` decide between them.
        self._lock = threading.Lock()
        self._working = False
        self._closed = False
        self._stream: GzipStream | None = None
        self._is_too_large = False
        # What was inflated last, where that begins, and from where on it is to be kept.
        self._window = bytearray()
        self._start = self._floor = 0
        # How far it was ever inflated; and how long it is, as of which version of the file.
        self._known = 0
        self._version = (0, 0)
        # Of the gzip that is read, as far as it was read at the most.
        self._proof: Proof | None = None
        self._end: tuple[int, tuple[int, int]] | None = None
        self.stored = 0
        self.is_replaced = False
        self.ending: Ending | None = None
        self.problem = ""

    @property
    def descriptor(self) -> int:
        return -1 if self._closed else self._descriptor

    @property
    def at_end(self) -> bool:
        return self._end is not None and self._end[1] == self._version

    def facts(self) -> FileFacts:
        facts = self._filesystem.facts(self.descriptor)
        self.stored = facts.size
        version = facts.size, facts.modified
        if version != self._version:
            self._version = version
            self._compare()
        return FileFacts(facts.inode, self._size(), facts.modified, facts.allocated)

    async def read(self, view: memoryview, offset: int) -> int:
        if self.is_replaced:
            return 0
        if offset < self._start:
            self._begin_again()
        while offset >= self._position:
            if not await self._more():
                return 0
        begin = offset - self._start
        count = min(len(view), len(self._window) - begin)
        view[:count] = self._window[begin : begin + count]
        return count

    def appended(self, buffer: bytearray, offset: int, head_start: int, head_bytes: int) -> None:
        return None

    def peek(self, count: int, offset: int) -> bytes:
        begin = offset - self._start
        return bytes(self._window[begin : begin + count]) if begin >= 0 else b""

    async def next_data(self, offset: int) -> int:
        return offset

    async def reach(self, offset: int) -> bool:
        if offset < self._start:
            self._begin_again()
        self._floor = offset
        for _ in range(_PIECES_A_STEP):
            if offset < self._position or not await self._more():
                return True
        return offset <= self._position

    def release(self, before: int) -> None:
        self._floor = max(self._floor, before)

    def rest(self) -> None:
        self._begin_again()

    def begin_anew(self) -> None:
        self._begin_again()
        self._proof, self._end, self._known = None, None, 0
        self.is_replaced, self.ending, self.problem = False, None, ""

    def close(self) -> None:
        with self._lock:
            if not self._closed and not self._working:
                self._filesystem.close(self._descriptor)
            self._closed = True
        self._begin_again()

    @property
    def inflated(self) -> int:
        return self._known

    @property
    def raw_head(self) -> bytes:
        return self._filesystem.peek(self.descriptor, _HEAD_BYTES, 0)

    @property
    def length_hint(self) -> int:
        begin = max(0, self.stored - _LENGTH_BYTES)
        found = self._filesystem.peek(self.descriptor, _LENGTH_BYTES, begin)
        return int.from_bytes(found, "little")

    @property
    def _position(self) -> int:
        return self._start + len(self._window)

    def _size(self) -> int:
        """How long the content is, or, as long as its end was not met, more than is known of it."""
        if self._end is not None and self._end[1] == self._version:
            return self._end[0]
        hint = self.length_hint
        return max(self._known + 1, hint if hint <= _MOST_RATIO * self.stored else 0)

    def _begin_again(self) -> None:
        self._stream = None
        self._is_too_large = False
        self._window = bytearray()
        self._start = self._floor = 0

    def _compare(self) -> None:
        """Whether the gzip, which was written to, is still the one that was read."""
        proof = self._proof
        if proof is None or self.is_replaced:
            return
        if self._filesystem.peek(self.descriptor, len(proof.data), proof.offset) != proof.data:
            self._replaced()

    def _replaced(self) -> None:
        self.is_replaced = True
        self._end = None
        self._known = 0

    async def _more(self) -> bool:
        """Inflates another piece; False at the end, as it is now."""
        if self._stream is None:
            self._stream = GzipStream(self._descriptor)
        elif self.at_end and self._end == (self._position, self._version):
            return False
        stream, version, proof = self._stream, self._version, self._proof
        try:
            piece, same = await self._in_thread(lambda: _next_piece(stream, proof))
        except BaseException:
            # Mostly CancelledError. What the thread takes from the stream now reaches nobody.
            self._begin_again()
            raise
        if not same:
            self._replaced()
            return False
        if proof is None or stream.read_to >= proof.offset + len(proof.data):
            self._proof = stream.proof
        ending, problem, at_end = stream.ending, stream.problem, stream.at_end
        self._is_too_large |= self._position + len(piece) > self._largest
        if self._is_too_large:
            piece = piece[: self._largest - self._position]
            at_end = not piece
            ending, problem = Ending.TOO_LARGE, f"it holds more than {self._largest} bytes"
        self._window += piece
        self._known = max(self._known, self._position)
        cut = min(self._floor - self._start, len(self._window))
        if cut > 0:
            del self._window[:cut]
            self._start += cut
        if at_end and not piece:
            self.ending, self.problem = ending, problem
            self._end = self._position, version
        return bool(piece) or not at_end

    async def _in_thread(self, work: Callable[[], tuple[bytes, bool]]) -> tuple[bytes, bool]:
        """Does it while the descriptor stays open, also if nobody waits for it any more."""

        state = _Work()

        def guarded() -> tuple[bytes, bool]:
            with self._lock:
                if state.is_given_up:
                    return b"", True
                state.has_begun = True
            try:
                return work()
            finally:
                with self._lock:
                    self._end_work()

        with self._lock:
            if self._closed or self._working:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            self._working = True
        try:
            return await self._filesystem.inflating(guarded, self._device)
        except BaseException:
            with self._lock:
                if not state.has_begun:  # There is no thread for it, or nobody waits any more.
                    state.is_given_up = True
                    self._end_work()
            raise

    def _end_work(self) -> None:
        self._working = False
        if self._closed:
            self._filesystem.close(self._descriptor)


def _next_piece(stream: GzipStream, proof: Proof | None) -> tuple[bytes, bool]:
    """Also whether the gzip still is the one whose beginning was read, by an earlier stream as
    well, of which there is `proof`."""
    if not stream.is_the_same() or (not stream.read_to and not stream.is_the_same(proof)):
        return b"", False
    return stream.take(_PIECE_BYTES), True
