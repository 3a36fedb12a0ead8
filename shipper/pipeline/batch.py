"""Spans of many files into one request: gathered by bytes, by count, or by age.

Blocks are compressed into the request as they come, so a batch is never held uncompressed: four
megabytes of documents are about four hundred kilobytes here.
"""

import asyncio
import io
import zlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from isal import isal_zlib
from msgspec import Struct, field

from shipper.clock import Clock
from shipper.documents.encoded import Encoded, RefusedLine
from shipper.files.ack import Span
from shipper.internal_errors import cancelled_only_by_us
from shipper.logs import Log
from shipper.logs.events import BATCH_CLOSED
from shipper.pipeline.budget import ByteBudget

# Level 1 of ISA-L: measured at the tenth part of the size for a sixth of zlib's time.
_GZIP_LEVEL = 1
_GZIP_WINDOW = 31

#: What a batch takes besides its body and lines, in bytes: many small ones have a bound, too.
BATCH_OVERHEAD = 4096


class Body(Struct, frozen=True):
    """The NDJSON of a request: an action line and a document line for each event."""

    #: The payload, in pieces: joined they would be there twice for a moment.
    chunks: tuple[bytes | memoryview, ...]
    gzip: bool
    events: int
    #: Events that are the first of a file that is new: the index of each, and the file's path. Part
    #: of a body that is sent again has none.
    beginnings: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(cls, lines: list[bytes], *, gzip: bool) -> "Body":
        """From action and document lines in turn, each with its newline."""
        packer = _packer(gzip)
        payload = b"".join((packer.compress(b"".join(lines)), packer.flush()))
        return cls((payload,), gzip, len(lines) // 2)

    @classmethod
    def empty(cls, *, gzip: bool) -> "Body":
        """Without events."""
        return cls((), gzip, 0)

    @property
    def size(self) -> int:
        """In bytes, as it is sent."""
        return sum(map(len, self.chunks))

    @property
    def payload(self) -> bytes:
        """All of it, joined."""
        return b"".join(self.chunks)

    def lines(self) -> list[bytes]:
        """The action and document lines in turn, each with its newline."""
        plain = isal_zlib.decompress(self.payload, _GZIP_WINDOW) if self.gzip else self.payload
        # Not `splitlines`: a carriage return may stand between two tokens of JSON.
        return io.BytesIO(plain).readlines()

    def only(self, indexes: list[int]) -> "Body":
        """The body of just these events."""
        lines = self.lines()
        chosen = [line for index in indexes for line in lines[2 * index : 2 * index + 2]]
        return Body.of(chosen, gzip=self.gzip)


class Batch(Struct):
    """A request's body, and what is done when the last of its events is."""

    body: Body
    spans: list[Span]
    #: Lines that go to the dead letter file unsent.
    refused: list[RefusedLine]
    #: Lines that ended when they were encoded.
    blank: int
    dropped: int
    filtered: int
    #: What it takes of the byte budget: the body, refused lines, and BATCH_OVERHEAD.
    held: int

    def take_body(self) -> Body:
        """The body, which is the caller's alone from now on."""
        body, self.body = self.body, Body.empty(gzip=self.body.gzip)
        return body


class Packer(Protocol):
    """What makes a payload of pieces: as zlib's compressobj."""

    def compress(self, data: bytes | memoryview, /) -> bytes | memoryview: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes | memoryview, /) -> bytes | memoryview:
        return data

    def flush(self) -> bytes:
        return b""


def _packer(gzip: bool) -> Packer:
    if not gzip:
        return _Plain()
    return isal_zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)


class _Open(Struct):
    """The batch that is being filled."""

    packer: Packer
    opened_at: float
    chunks: list[bytes | memoryview] = field(default_factory=list)
    raw_bytes: int = 0
    events: int = 0
    held: int = BATCH_OVERHEAD
    blank: int = 0
    dropped: int = 0
    filtered: int = 0
    spans: list[Span] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)
    beginnings: list[tuple[int, str]] = field(default_factory=list)


class Waiting(Protocol):
    """What is not encoded yet."""

    @property
    def oldest(self) -> float | None:
        """Since when the oldest waits (monotonic seconds); None: nothing does."""

    def encode(self) -> Awaitable[None]:
        """Puts all of it into batches."""


class Batcher:
    """Fills one batch at a time and hands full or old ones on."""

    def __init__(
        self,
        clock: Clock,
        budget: ByteBudget,
        on_batch: Callable[[Batch], Awaitable[None]],
        *,
        max_bytes: int,
        max_events: int,
        linger: float,
        gzip: bool,
        log: Log,
    ) -> None:
        """`max_bytes` (uncompressed) and `max_events` close a batch once it has reached them, and
        `linger` seconds after its first event do. `on_batch` waits while too much is in flight."""
        self._clock = clock
        self._budget = budget
        self._on_batch = on_batch
        self._max_bytes = max_bytes
        self._max_events = max_events
        self._linger = linger
        self._gzip = gzip
        self._log = log
        self._open: _Open | None = None
        # Closed, and not handed on yet: who did that was cancelled, or waits for a slot.
        self._closed: Batch | None = None
        self._waiting: Waiting | None = None
        # Handing it on raised an exception.
        self._has_failed = False
        self._turn = asyncio.Lock()
        self._begun = asyncio.Event()

    def fill_from(self, waiting: Waiting) -> None:
        """From now on, what waits there is put into a batch before that is handed on for its age,
        and counts for this age."""
        self._waiting = waiting

    def waits(self) -> None:
        """Something waits there."""
        self._begun.set()

    def put(
        self,
        encoded: Encoded,
        spans: Iterable[Span],
        *,
        since: float | None = None,
        new_file: str = "",
    ) -> None:
        """Takes what was encoded of a file, with its spans; or raises, and then it has taken
        nothing. `hand_on_if_full` comes next. `since`: when it began to wait; None: now.
        `new_file`: the path, if it is the first of a new file."""
        batch = self._open
        if batch is None:
            opened_at = self._clock.monotonic() if since is None else since
            batch = self._open = _Open(_packer(self._gzip), opened_at)
            self._budget.hold(batch.held)
            self._begun.set()
        chunk = batch.packer.compress(encoded.body) if encoded.body else b""
        batch.spans += spans
        if chunk:
            batch.chunks.append(chunk)
        held = len(chunk) + sum(
            len(refused.line) + len(refused.unsent) for refused in encoded.refused
        )
        batch.held += held
        self._budget.hold(held)
        batch.raw_bytes += len(encoded.body)
        if new_file and encoded.events:
            batch.beginnings.append((batch.events, new_file))
        batch.events += encoded.events
        batch.blank += encoded.blank
        batch.dropped += encoded.dropped
        batch.filtered += sum(encoded.filtered.values())
        batch.refused += encoded.refused

    async def hand_on_if_full(self) -> None:
        """Returns when there is room for more."""
        batch = self._open
        if batch is not None and batch.raw_bytes >= self._max_bytes:
            await self._hand_on("max_bytes")
        elif batch is not None and batch.events >= self._max_events:
            await self._hand_on("max_events")

    async def flush(self, reason: str = "flush") -> bool:
        """Hands on what there is; returns whether there was anything. `reason`: for the log.

        Cancelled, it leaves the batch to the next call.
        """
        if self._waiting is not None:
            await self._waiting.encode()
        return await self._hand_on(reason)

    async def _hand_on(self, reason: str) -> bool:
        async with self._turn:
            try:
                with cancelled_only_by_us():
                    return await self._flush(reason)
            except Exception:
                self._has_failed = True
                self._begun.set()  # `run` tries again.
                raise

    async def _flush(self, reason: str) -> bool:
        handed_on = await self._submit()
        if self._open is not None:
            if self._log.debug_enabled:
                self._log_closed(self._open, reason)
            self._closed, self._open = self._close(self._open), None
            handed_on = await self._submit()
        return handed_on

    async def _submit(self) -> bool:
        if self._closed is None:
            return False
        await self._on_batch(self._closed)
        self._closed = None
        return True

    def _log_closed(self, batch: _Open, reason: str) -> None:
        self._log.emit(
            BATCH_CLOSED,
            reason=reason,
            events=batch.events,
            bytes=batch.raw_bytes,
            age_seconds=round(self._clock.monotonic() - batch.opened_at, 3),
        )

    def _close(self, batch: _Open) -> Batch:
        rest = batch.packer.flush()
        self._budget.hold(len(rest))
        batch.chunks.append(rest)
        # Compressed, it is small, and in many pieces.
        chunks = (b"".join(batch.chunks),) if self._gzip else tuple(batch.chunks)
        return Batch(
            Body(chunks, self._gzip, batch.events, tuple(batch.beginnings)),
            batch.spans,
            batch.refused,
            batch.blank,
            batch.dropped,
            batch.filtered,
            batch.held + len(rest),
        )

    async def run(self) -> None:
        """Hands on what has become old; until it is cancelled."""
        while True:
            await self._begun.wait()
            if self._has_failed:
                self._has_failed = False
                await self.flush("retry")
            oldest = self._oldest
            if oldest is None:
                self._begun.clear()
            else:
                age = self._clock.monotonic() - oldest
                await self._clock.sleep(max(0.0, self._linger - age))
                if (still := self._oldest) is not None and still <= oldest:
                    await self.flush("linger")

    @property
    def _oldest(self) -> float | None:
        """Since when something waits, encoded or not."""
        opened_at = None if self._open is None else self._open.opened_at
        oldest = None if self._waiting is None else self._waiting.oldest
        if opened_at is None or oldest is None:
            return oldest if opened_at is None else opened_at
        return min(opened_at, oldest)
