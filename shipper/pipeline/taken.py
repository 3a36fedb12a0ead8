"""Lines that were taken out of their files, and wait to be encoded: for enough of them, or until
the oldest of them has waited for `linger`.

Taking and encoding are two things. What is truncated in place (`> tetragon.log`) is lost if nobody
has read it before, so lines are taken as soon as they are noticed, which is one read. Encoding and
sending them costs more, and the less the more of them there are.

    taken (the span is open, the bytes count in the budget) -> encoded (in a batch)
      | the encoder failed: set aside, and tried again after a pause
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

from msgspec import Struct, field

from shipper.clock import Clock
from shipper.documents.encoded import Encoded, FileTemplate
from shipper.files.ack import Span
from shipper.files.lines import BLOCK_BYTES, Block, CutLine
from shipper.files.tail import Tail
from shipper.internal_errors import InternalErrors, Where
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.pipeline.batch import Batcher
from shipper.pipeline.budget import ByteBudget, SetAside
from shipper.pipeline.encoding import (
    Input,
    ReadLines,
    count,
    count_cut,
    encode,
    encode_line_by_line,
)
from shipper.pipeline.retries import Retries

#: So many bytes do not wait for more: encoding them begins with the caches full of something else,
#: so the more at a time the better, and these take a few milliseconds.
ENOUGH = 4 * BLOCK_BYTES

#: Where files are read in turns, there is more to come: each block is encoded while it is in the
#: CPU's caches. One that was read whole is as large: it is cut at its last newline.
_A_BLOCK = BLOCK_BYTES * 3 // 4

#: What is read of a file within so many seconds is encoded together.
_TOGETHER = 1.0

#: After so many internal errors in a row with a file, its lines are encoded one by one.
_TRIES_AS_A_BLOCK = 3

#: How long lines are encoded before other tasks have their turn, in seconds.
_TURN_SECONDS = 0.004


class _Lines(Struct, eq=False):
    """What was read of one file in a row."""

    source: Input
    tail: Tail
    #: Where the file was then.
    path: str
    #: Monotonic seconds: nothing of it is older.
    since: float
    #: Unix seconds: when the last of it was read.
    read_at: float
    #: The path, if these are the first lines of a new file.
    new_file: str
    #: One; more of them are blocks, each of which begins where the one before ends.
    readings: list[ReadLines]
    span: Span
    #: Bytes in the budget.
    held: int = 0
    aside: SetAside | None = None

    def takes(self, reading: Block, path: str, since: float) -> bool:
        """Whether what was read next goes on where this ends, and can be encoded with it. An event
        that has no time of its own gets that of the last reading."""
        last = self.readings[-1]
        is_next = last.end == reading.start and self.path == path
        fits = self.held + len(reading.data) <= BLOCK_BYTES and since - self.since < _TOGETHER
        return isinstance(last, Block) and is_next and fits

    def reading(self) -> ReadLines:
        """All of it, as if it had been read at once."""
        first = self.readings[0]
        if len(self.readings) == 1 or not isinstance(first, Block):
            return first
        data = b"".join(each.data for each in self.readings if isinstance(each, Block))
        last = self.readings[-1]
        return Block(data, last.end, last.mark, first.start)


class _Waiting(Struct):
    """Lines in the order in which they were taken."""

    lines: deque[_Lines] = field(default_factory=deque)
    #: The newest of each file.
    last: dict[Tail, _Lines] = field(default_factory=dict)
    held: int = 0

    def add(self, lines: _Lines) -> None:
        self.lines.append(lines)
        self.last[lines.tail] = lines
        self.held += lines.held

    def remove(self, lines: _Lines) -> None:
        """Which mostly is the first."""
        self.lines.remove(lines)
        self.held -= lines.held
        if self.last.get(lines.tail) is lines:
            del self.last[lines.tail]

    def of(self, tail: Tail) -> list[_Lines]:
        return [lines for lines in self.lines if lines.tail is tail]


class TakenLines:
    """Those of all inputs."""

    def __init__(
        self,
        *,
        batcher: Batcher,
        budget: ByteBudget,
        retries: Retries[Input],
        clock: Clock,
        metrics: Metrics,
        log: Log,
        errors: InternalErrors,
        on_enough: Callable[[], None],
    ) -> None:
        """`retries`: calls `try_again` after the pause for a file whose lines could not be
        encoded. `on_enough` is called when they need not wait for more."""
        self._batcher = batcher
        self._budget = budget
        self._retries = retries
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._errors = errors
        self._on_enough = on_enough
        self._waiting = _Waiting()
        self._failed: dict[Tail, list[_Lines]] = {}
        # Some of them were set aside, and are to be tried again now.
        self._have_waited = False
        self._templates: WeakKeyDictionary[Tail, FileTemplate] = WeakKeyDictionary()
        #: Lines that were taken and have no outcome yet.
        self.in_flight_events = 0
        # By input, since the metrics were read.
        self._lines_read: Counter[str] = Counter()
        self._bytes_read: Counter[str] = Counter()
        metrics.before_reading(self._sum_up)
        batcher.fill_from(self)

    @property
    def oldest(self) -> float | None:
        """Since when the oldest lines wait (monotonic seconds); None: there are none."""
        return self._waiting.lines[0].since if self._waiting.lines else None

    @property
    def is_enough(self) -> bool:
        """Whether they need not wait for more, for who reads files in turns."""
        return self._waiting.held >= _A_BLOCK or self._have_waited

    def may_take(self, tail: Tail) -> bool:
        """Whether lines of a file may be added now, before those of others and without waiting."""
        may_wait = self._waiting.held < ENOUGH and not self._have_waited
        return may_wait and self._budget.has_room and tail not in self._failed

    def has_failed(self, tail: Tail) -> bool:
        """Whether lines of a file are set aside: no more are to be read of it."""
        return tail in self._failed

    def has_lines_of(self, tail: Tail) -> bool:
        """Whether lines of a file are not encoded yet."""
        return tail in self._waiting.last or tail in self._failed

    def add(
        self, source: Input, tail: Tail, reading: ReadLines, since: float, *, new_file: str = ""
    ) -> None:
        """Takes what was read: between the tail's offset and its start are NULs. From now on it is
        in flight. `since`: nothing of it is older (monotonic seconds). `new_file`: the path, if it
        is the first block of a new file."""
        if isinstance(reading, Block) and self.extend(tail, reading, since):
            return
        nuls, input_id = reading.start - tail.offset, source.files.input_id
        size = len(reading.head if isinstance(reading, CutLine) else reading.data)
        self._budget.hold(size)
        now, read_at = self._clock.monotonic(), self._clock.now()
        span = tail.acks.open(reading.end, reading.mark, tail.unread_since or now)
        new = _Lines(source, tail, tail.path, since, read_at, new_file, [reading], span, size)
        self._waiting.add(new)
        self._batcher.waits()
        self._took(input_id, tail, reading)
        if nuls:
            self._metrics.count("shipper_nul_bytes_skipped_total", nuls, input_id)
        if isinstance(reading, CutLine):
            count_cut(reading, tail.path, self._metrics, self._log)

    def extend(self, tail: Tail, block: Block, since: float) -> bool:
        """Takes a block if it can be encoded together with what waits of the file already, as most
        can; returns whether it did. `since`: as in `add`."""
        lines = self._waiting.last.get(tail)
        if lines is None or not lines.takes(block, tail.path, since):
            return False
        size = len(block.data)
        self._budget.hold(size)
        tail.acks.extend(block.end, block.mark)
        lines.read_at = self._clock.now()
        lines.readings.append(block)
        lines.held += size
        self._waiting.held += size
        self._took(lines.source.files.input_id, tail, block)
        return True

    def _took(self, input_id: str, tail: Tail, reading: ReadLines) -> None:
        lines = reading.data.count(b"\n") if isinstance(reading, Block) else 1
        self.in_flight_events += lines
        self._lines_read[input_id] += lines
        self._bytes_read[input_id] += reading.end - reading.start
        if tail.unread_since is not None:
            tail.unread_since = self._clock.monotonic() if tail.unread else None
        if self._waiting.held >= ENOUGH:
            self._on_enough()

    def _sum_up(self) -> None:
        for name, counted in (
            ("shipper_lines_read_total", self._lines_read),
            ("shipper_bytes_read_total", self._bytes_read),
        ):
            for input_id, amount in counted.items():
                self._metrics.count(name, amount, input_id)
            counted.clear()

    async def encode(self) -> None:
        """Encodes all that waits, and puts it into batches; waits for room for these."""
        self._have_waited = False
        turn_ends = self._clock.monotonic() + _TURN_SECONDS
        for _ in range(len(self._waiting.lines)):
            if not self._waiting.lines:
                break
            lines = self._waiting.lines[0]
            try:
                encoded = self._encoded(lines)
                self._batcher.put(encoded, [lines.span], since=lines.since, new_file=lines.new_file)
            except Exception as error:
                self._set_aside(lines.tail)
                self._retries.failed(lines.source, lines.tail, error)
                continue
            self._waiting.remove(lines)
            self._budget.release(lines.held)
            self._retries.succeeded(lines.tail)
            count(encoded, lines.source.files.input_id, lines.path, self._metrics, self._log)
            # Nothing is lost here, wherever it is cancelled.
            await self._batcher.hand_on_if_full()
            if self._clock.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = self._clock.monotonic() + _TURN_SECONDS

    def try_again(self, tail: Tail) -> None:
        """Has lines of a file that were set aside wait again."""
        for lines in self._failed.pop(tail, ()):
            if lines.aside is not None:
                lines.aside.take_back()
            self._waiting.add(lines)
            self._batcher.waits()
            self._have_waited = True
            self._on_enough()

    def _set_aside(self, tail: Tail) -> None:
        for lines in self._waiting.of(tail):
            self._waiting.remove(lines)
            lines.aside = self._budget.set_aside(lines.held)
            self._failed.setdefault(tail, []).append(lines)

    def _encoded(self, lines: _Lines) -> Encoded:
        template, now = self._template(lines), lines.read_at
        encoder, reading = lines.source.encoder, lines.reading()
        if self._retries.failures(lines.tail) < _TRIES_AS_A_BLOCK:
            return encode(encoder, template, reading, now)
        report = partial(self._errors.report, Where.FILE, path=lines.path)
        return encode_line_by_line(encoder, template, reading, now, report)

    def _template(self, lines: _Lines) -> FileTemplate:
        encoder, tail = lines.source.encoder, lines.tail
        encoder.refresh(self._clock.now())
        template = self._templates.get(tail)
        if (
            template is None
            or template.path != lines.path
            or template.generation != encoder.generation
        ):
            template = encoder.template(tail.identity, lines.path, tail.inode)
            self._templates[tail] = template
        return template
