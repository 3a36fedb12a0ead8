"""From files to batches: reads whoever has something, a block at a time and in turns, and hands it
on to be encoded (`taken`). It waits for lines, for room in the byte budget, and for a slot to send;
while it waits nothing is read, and that is the backpressure. What changed is examined all the same
(`examine`), before it is read.

A file that a notification names, and that has nothing new but whole lines, is read at once
(`Tail.take`): that is how most lines come, and costs a tenth of the way through the queues.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any
from weakref import WeakSet

from shipper.clock import Clock
from shipper.files.faults import FileErrors
from shipper.files.lines import Block, CutLine, HalfLine, NoLine, Reading, Rewritten
from shipper.files.placement import Start
from shipper.files.tail import State, Tail
from shipper.files.tracked_input import TrackedInput
from shipper.files.tracker import FileTracker
from shipper.internal_errors import InternalErrors, Where, cancelled_only_by_us
from shipper.logs import Log
from shipper.logs.events import FILE_OPENED, FILE_READ_FAILED
from shipper.metrics import Metrics
from shipper.pipeline.batch import Batcher
from shipper.pipeline.budget import ByteBudget
from shipper.pipeline.encoding import Input, ReadLines
from shipper.pipeline.examine import Examined, Examiner
from shipper.pipeline.retries import Retries
from shipper.pipeline.slow_files import SlowFiles
from shipper.pipeline.taken import TakenLines

#: How long files are read before other tasks have their turn, in seconds: long enough that turns
#: cost nothing, short enough that answers and notifications do not wait.
_TURN_SECONDS = 0.004

#: So many files are looked through for something to read before others have their turn.
_ENQUEUED_AT_ONCE = 1000

#: So many files that a notification names are opened, linked or looked at before others have their
#: turn: each takes up to a millisecond.
_NOTICED_AT_ONCE = 50


class Harvester:
    """Reads the files of all inputs."""

    def __init__(
        self,
        inputs: Sequence[Input],
        *,
        tracker: FileTracker,
        faults: FileErrors,
        batcher: Batcher,
        budget: ByteBudget,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        errors: InternalErrors,
        first_start: bool = False,
    ) -> None:
        """`first_start`: whether no earlier process can have sent what the files hold."""
        self._inputs = inputs
        self._tracker = tracker
        self._faults = faults
        self._batcher = batcher
        self._budget = budget
        self._clock = clock
        self._log = log
        self._queue: deque[tuple[Input, Tail]] = deque()
        self._queued: set[Tail] = set()
        self._something = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._reads_no_more = False
        self._walk_due = {source.files.input_id: asyncio.Event() for source in inputs}
        self._sent_first = False
        self._first_start = first_start
        self._errors = errors
        self._retries: Retries[Input] = Retries(errors, clock, self._try_again)
        self._taken = TakenLines(
            batcher=batcher,
            budget=budget,
            retries=self._retries,
            clock=clock,
            metrics=metrics,
            log=log,
            errors=errors,
            on_enough=self._something.set,
        )
        # New files of which no block is read yet.
        self._new_files: WeakSet[Tail] = WeakSet()
        for source in inputs:
            source.files.wake_up.read_with(partial(self._take, source))
        self._by_id = {source.files.input_id: source for source in inputs}
        self._examiner = Examiner(
            Examined(self._placed, self._ready, self._examined_all, self._examination_failed),
            tracker=tracker,
            faults=faults,
            clock=clock,
            log=log,
        )
        self._slow: SlowFiles[Input] = SlowFiles(
            clock, log, over=self._read_late, room=self._requeue
        )
        # Files that waited for their disk and were read, until it is their turn: how that ended.
        self._late: dict[Tail, asyncio.Task[Any]] = {}

    @property
    def in_flight_events(self) -> int:
        """Lines that were read and have no outcome yet."""
        return self._taken.in_flight_events

    def ended(self, count: int) -> None:
        """So many of the lines that were read have their outcome."""
        self._taken.in_flight_events -= count

    async def run(self) -> None:
        """Reads until it is cancelled. Wherever that happens, nothing is lost: what was read and
        not handed on is read again by the next start."""
        kept = self._errors.kept_running
        async with asyncio.TaskGroup() as tasks:
            for source in self._inputs:
                # What a notification said, a scan finds; and a scan that failed is due again.
                due = self._walk_due[source.files.input_id].set
                discover, walk = partial(self._discover, source), partial(self._walk, source)
                tasks.create_task(kept(Where.SCAN, discover, on_error=due))
                tasks.create_task(kept(Where.SCAN, walk, on_error=due))
            tasks.create_task(kept(Where.FILE, self._examiner.run))
            if not self._reads_no_more:
                self._reading = tasks.create_task(kept(Where.FILE, self._read_round_robin))
            due = self._tracker.scanned.set
            tasks.create_task(kept(Where.QUOTA, self._tracker.keep_to_quota, on_error=due))
            tasks.create_task(kept(Where.FILE, self._retries.run))

    async def stop_reading(self) -> None:
        """Reads nothing more, but goes on finding files and linking them: what is rotated away
        until it is cancelled is kept for the next start."""
        self._reads_no_more = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _discover(self, source: Input) -> None:
        """Takes notice of what the watch tells, whatever a walk is waiting for."""
        due = self._walk_due[source.files.input_id]
        while True:
            wake = await source.files.wake_up.wait()
            if wake.scan:
                due.set()
            # Opened and linked at once: a file may live for half a second only.
            for paths in _slices(wake.added):
                self._enqueue(source, self._tracker.appear(source.files, paths))
                await asyncio.sleep(0)
            # Looked at in any case: the backlog is to be right while reading stops, too.
            for paths in _slices(wake.modified):
                since = self._clock.monotonic() if wake.since is None else wake.since
                others = self._take(source, paths, since)
                self._enqueue(source, self._tracker.written(source.files, others))
                await asyncio.sleep(0)

    def _take(self, source: Input, paths: Sequence[str], since: float) -> Sequence[str]:
        """Takes what was appended to these files, if they are few; returns the others. `since`:
        nothing of it is older (monotonic seconds).

        This is done twenty times a second where a log grows all the time, and each call in it costs
        about two microseconds, since nothing of it is in the CPU's caches by then."""
        if self._reads_no_more or len(paths) > _NOTICED_AT_ONCE:
            return paths
        others, grown, taken = [], [], self._taken
        for path in paths:
            tail = source.files.catalog.at(path)
            is_free = tail is not None and not (tail.busy or tail.held or tail in self._queued)
            if tail is None or not is_free or not taken.may_take(tail):
                others.append(path)
                continue
            try:
                block = tail.take()
                if block is None:
                    others.append(path)
                elif not taken.extend(tail, block, since):
                    self._hand_on(source, tail, block, since)
                    grown.append(tail)
            except Exception as error:
                self._retries.failed(source, tail, error)
        if grown:
            self._tracker.grew(source.files, grown)
        return others

    def _hand_on(self, source: Input, tail: Tail, reading: ReadLines, since: float) -> None:
        new_file = tail.path if tail in self._new_files else ""
        self._taken.add(source, tail, reading, since, new_file=new_file)
        self._new_files.discard(tail)

    async def _walk(self, source: Input) -> None:
        """Looks at the directories when it is due, and not more often than the schedule has it."""
        due = self._walk_due[source.files.input_id]
        while True:
            await due.wait()
            if pause := source.files.schedule.pause:
                await self._clock.sleep(pause)
            due.clear()
            await self._tracker.scan(source.files)
            tails = source.files.catalog.tails  # The scan has looked at them.
            for first in range(0, len(tails), _ENQUEUED_AT_ONCE):
                self._enqueue(source, tails[first : first + _ENQUEUED_AT_ONCE])
                await asyncio.sleep(0)

    def _enqueue(self, source: Input, tails: Iterable[Tail]) -> None:
        for tail in tails:
            if not tail.may_have_data:
                continue
            tail.unread_since = tail.unread_since or self._clock.monotonic()
            if tail.seen.end > tail.acks.offset:
                self._tracker.grew(source.files, [tail])
            if self._examiner.must_examine(tail):
                self._examiner.add(source.files, tail)
            else:
                self._requeue(source, tail)

    def _ready(self, files: TrackedInput, tail: Tail) -> None:
        self._enqueue(self._by_id[files.input_id], [tail])

    def _examined_all(self) -> None:
        self._something.set()

    def _examination_failed(self, files: TrackedInput, tail: Tail, error: Exception) -> None:
        self._retries.failed(self._by_id[files.input_id], tail, error)

    def _try_again(self, source: Input, tail: Tail) -> None:
        """After an internal error. Whatever it left undone: the file is looked at anew."""
        self._taken.try_again(tail)
        if tail.state is not State.DONE:
            self._examiner.add(source.files, tail)
            self._enqueue(source, [tail])

    async def _read_round_robin(self) -> None:
        try:
            await self._read_in_turns()
        finally:
            for tail, task in self._late.items():
                tail.busy = False
                if not task.cancelled():
                    task.exception()  # The next reading meets it again.
            self._late.clear()
            await self._slow.close()

    async def _read_in_turns(self) -> None:
        turn_ends = self._clock.monotonic() + _TURN_SECONDS
        while True:
            while not self._queue:
                await self._at_end()
                turn_ends = self._clock.monotonic() + _TURN_SECONDS
            source, tail = self._queue.popleft()
            self._queued.discard(tail)
            if tail not in self._late and (
                self._taken.has_failed(tail)  # It is read when that is tried again.
                or self._slow.must_wait(source, tail)
            ):
                continue
            try:
                with cancelled_only_by_us():
                    if not self._budget.has_room:
                        await self._taken.encode()
                        await self._budget.room()
                    more = await self._read(source, tail)
                if not tail.busy:
                    tail.read_error = ""
                if not self._taken.has_lines_of(tail):
                    self._retries.succeeded(tail)
            except OSError as error:
                # The next scan or notification finds it behind and has it tried again.
                self._faults.report(FILE_READ_FAILED, error, tail.path)
                tail.read_error = error.strerror or str(error)
                more = None
            except Exception as error:
                self._retries.failed(source, tail, error)
                more = None
            if more is not None and more not in self._queued:
                self._queued.add(more)
                self._queue.append((source, more))
            if self._clock.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = self._clock.monotonic() + _TURN_SECONDS

    async def _at_end(self) -> None:
        """Nothing is left to read for now."""
        if not self._sent_first and self._examiner.is_idle:
            # The first request shows whether anything gets through: it does not wait for others.
            self._sent_first = await self._batcher.flush()
        if self._taken.is_enough:
            await self._taken.encode()
        self._something.clear()
        if not self._queue:
            await self._something.wait()

    async def _read(self, source: Input, tail: Tail) -> Tail | None:
        """One step; returns whom to read again soon."""
        late = self._late.pop(tail, None)
        if late is not None:
            tail.busy = False
            self._examiner.add(source.files, tail)
            reading = late.result()
        else:
            reading = await self._slow.run(source, tail, partial(self._next, source, tail))
            if reading is None:
                return None  # It takes longer.
        return await self._use(source, tail, reading)

    def _read_late(self, source: Input, tail: Tail, task: asyncio.Task[Any]) -> None:
        """A file that waited for its disk was read: it is its turn, and nobody else's."""
        tail.busy = True
        self._late[tail] = task
        self._requeue(source, tail)

    def _requeue(self, source: Input, tail: Tail) -> None:
        if tail not in self._queued:
            self._queued.add(tail)
            self._queue.append((source, tail))
        self._something.set()

    async def _use(self, source: Input, tail: Tail, reading: Reading) -> Tail | None:
        """What follows from what was read; returns whom to read again soon."""
        match reading:
            case Block() | HalfLine() | CutLine():
                if self._taken.is_enough:
                    await self._taken.encode()
                return tail if tail.may_have_data else None
            case Rewritten() as found:
                self._examiner.rewritten(source.files, tail, found)
                return None
            case NoLine.LONG_LINE | NoLine.MORE:
                return tail
            case NoLine.AT_END:
                if not tail.readable:
                    # What comes after is new then, however long half a line waited before.
                    tail.unread_since = None
                return None

    async def _next(self, source: Input, tail: Tail) -> Reading:
        """What is read next; lines are handed on."""
        if tail.busy or tail.held:
            return NoLine.AT_END  # It is read when it is examined, or the next scan has it read.
        tail.busy = True
        try:
            if tail.held or tail.state is State.DONE:
                return NoLine.AT_END  # The next scan has it read when it may be.
            if tail.state is State.WAITING and (waiting := await self._begin(source, tail)):
                return waiting
            reading = await tail.read(final=source.files.catalog.is_final(tail))
            if isinstance(reading, Block | HalfLine | CutLine):
                # At once: it is in flight from now on, and is not read again.
                self._hand_on(source, tail, reading, self._clock.monotonic())
            return reading
        finally:
            tail.busy = False
            self._examiner.add(source.files, tail)

    async def _begin(self, source: Input, tail: Tail) -> NoLine | None:
        """Why a gzip cannot be read yet; None: it can."""
        start = await source.files.place(tail)
        if start is None:
            return NoLine.AT_END
        if isinstance(start, NoLine):
            return start
        self._placed(source.files, tail, start)
        return None

    def _placed(self, files: TrackedInput, tail: Tail, start: Start) -> None:
        """It is known where a file begins to be read."""
        # An earlier process may have sent what was there, without having saved it.
        was_there = not self._first_start and tail.found_first is not None
        # What was deleted was kept by an earlier process, or is read from a gzip.
        if start.is_new and not was_there and tail.gone is None and not tail.compressed:
            self._new_files.add(tail)
        self._log.emit(
            FILE_OPENED, path=tail.path, offset=start.offset, size=tail.size, reason=start.why
        )


def _slices(paths: Iterable[str]) -> Iterator[Sequence[str]]:
    """The paths in order, a bounded number at a time."""
    ordered = sorted(paths)
    for first in range(0, len(ordered), _NOTICED_AT_ONCE):
        yield ordered[first : first + _NOTICED_AT_ONCE]
