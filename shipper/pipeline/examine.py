"""Finds out which content each file has as soon as it is seen, whether or not there is room to read
it: where it begins to be read, how far it goes, and whether it is another one than it was.

So of everything that was seen it is known which file it is. What is cut, written over or vanishes
while nothing is read (an outage, all permits taken) is recorded as lost, instead of never having
been there.

    seen -> examined (placed, how far it goes) -> read when there is room
              | another content: that is a file of its own, and is examined in its turn
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from shipper.clock import Clock
from shipper.files.faults import FileErrors
from shipper.files.lines import NoLine, Rewritten
from shipper.files.placement import Start
from shipper.files.tail import State, Tail
from shipper.files.tracked_input import TrackedInput
from shipper.files.tracker import FileTracker
from shipper.internal_errors import cancelled_only_by_us
from shipper.logs import Log
from shipper.logs.events import FILE_READ_FAILED
from shipper.pipeline.slow_files import SlowFiles

#: How long files are examined before other tasks have their turn, in seconds.
_TURN_SECONDS = 0.004


@dataclass(frozen=True, slots=True)
class Examined:
    """Who is told of it."""

    #: A waiting file is placed.
    placed: Callable[[TrackedInput, Tail, Start], None]
    #: A file may be read.
    ready: Callable[[TrackedInput, Tail], None]
    #: None is left to examine.
    idle: Callable[[], None]
    #: A file could not be examined, for a reason that nobody foresaw.
    failed: Callable[[TrackedInput, Tail, Exception], None]


class Examiner:
    """Examines the files of all inputs. A gzip is not examined but when it is read."""

    def __init__(
        self,
        tell: Examined,
        *,
        tracker: FileTracker,
        faults: FileErrors,
        clock: Clock,
        log: Log,
    ) -> None:
        self._tell = tell
        self._tracker = tracker
        self._faults = faults
        self._clock = clock
        self._queue: deque[tuple[TrackedInput, Tail]] = deque()
        self._queued: set[Tail] = set()
        self._added = asyncio.Event()
        self._slow: SlowFiles[TrackedInput] = SlowFiles(
            clock, log, over=lambda source, tail, task: None, room=self.add
        )
        #: Whether none is left to examine.
        self.is_idle = True

    @staticmethod
    def must_examine(tail: Tail) -> bool:
        """Whether a file has to be examined before it is read on, as of its last look."""
        if tail.state is State.WAITING:
            return not tail.compressed
        return tail.needs_examination

    def add(self, source: TrackedInput, tail: Tail) -> None:
        """Has a file examined soon, if it must be; once is enough."""
        if tail not in self._queued and self.must_examine(tail):
            self._queued.add(tail)
            self._queue.append((source, tail))
            self.is_idle = False
            self._added.set()

    async def run(self) -> None:
        """Examines until it is cancelled."""
        try:
            await self._examine_in_turns()
        finally:
            await self._slow.close()

    async def _examine_in_turns(self) -> None:
        turn_ends = self._clock.monotonic() + _TURN_SECONDS
        while True:
            if not self._queue:
                self.is_idle = True
                self._tell.idle()
                self._added.clear()
                await self._added.wait()
                turn_ends = self._clock.monotonic() + _TURN_SECONDS
            source, tail = self._queue.popleft()
            self._queued.discard(tail)
            if not self._slow.must_wait(source, tail):
                await self._slow.run(source, tail, partial(self._examine_one, source, tail))
            if self._clock.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = self._clock.monotonic() + _TURN_SECONDS

    async def _examine_one(self, source: TrackedInput, tail: Tail) -> None:
        if tail.busy or tail.held or tail.descriptor < 0:
            return  # Who reads it has it examined afterwards, and who holds it, by the next scan.
        try:
            with cancelled_only_by_us():
                await self._examine(source, tail)
            tail.read_error = ""
        except OSError as error:
            # The next scan or notification finds it behind and has it tried again.
            self._faults.report(FILE_READ_FAILED, error, tail.path)
            tail.read_error = error.strerror or str(error)
        except Exception as error:
            self._tell.failed(source, tail, error)

    async def _examine(self, source: TrackedInput, tail: Tail) -> None:
        tail.busy = True
        try:
            if tail.state is State.WAITING:
                start = await source.place(tail)
                if start is NoLine.MORE:
                    self._queued.add(tail)
                    self._queue.append((source, tail))
                    await asyncio.sleep(0)
                if not isinstance(start, Start):
                    return
                self._tell.placed(source, tail, start)
            found = await self.compare(source, tail)
        finally:
            tail.busy = False
        if found is not None:
            self.rewritten(source, tail, found)
        elif tail.state is not State.DONE:
            self._tell.ready(source, tail)

    async def compare(self, source: TrackedInput, tail: Tail) -> Rewritten | None:
        """Compares a placed file, which is busy, with what is known of it. Raises OSError if it
        cannot be read."""
        found = await tail.examine()
        if tail.seen.end > tail.acks.offset:
            self._tracker.grew(source, [tail])
        return found

    def rewritten(self, source: TrackedInput, tail: Tail, found: Rewritten) -> None:
        """As `FileTracker.rewritten`; the new content is examined."""
        new = self._tracker.rewritten(source, tail, found)
        if new is not None:
            new.look()
            self._tell.ready(source, new)
