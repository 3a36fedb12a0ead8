"""Events into a file, in place of a cluster: NDJSON that is synced before it counts.

    permit -> what is there already is left out -> write and sync -> every event done
                                                     ^    |
                                                     +----+ a full disk is waited for

One body at a time, in a thread of its own: a disk that hangs stops the reading, and nothing else.
"""

import asyncio
import contextlib
import errno
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from shipper.clock import Clock
from shipper.config.file_output import FileConfig, FileFormat
from shipper.logs import Log
from shipper.logs.events import (
    OUTPUT_FILES_DELETED,
    OUTPUT_LINES_UNKNOWN,
    OUTPUT_WRITE_FAILED,
    OUTPUT_WRITE_RECOVERED,
)
from shipper.metrics import Metrics
from shipper.output.backoff import Backoff
from shipper.output.destination import Condition
from shipper.output.file.append import AppendedFile
from shipper.output.limiter import Feedback, Limiter, Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _New:
    """What of a body is not in the file yet."""

    data: bytes
    events: int


class FileSender:
    """Appends bodies to a file; a `Destination`."""

    gzip = False

    def __init__(
        self,
        config: FileConfig,
        *,
        backoff: Backoff,
        budget: ByteBudget,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._config = config
        self._file = AppendedFile(config, clock.now)
        self._backoff = backoff
        self._budget = budget
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._log = log
        self._limiter = Limiter(clock, most=1, adaptive=False)
        # What was begun is over before the next call begins, cancelled or not.
        self._disk = ThreadPoolExecutor(1, "output")
        self._trouble: str | None = f"{config.path} is not open yet"

    @property
    def condition(self) -> Condition:
        """How it is now."""
        return Condition(self._trouble, self._limiter.in_flight, self._limiter.limit)

    async def admit(self) -> Permit:
        """Waits until the body before is written."""
        return await self._limiter.acquire()

    def apart(self) -> "FileSender":
        """The same: what is written here is judged by nobody."""
        return self

    async def run(self) -> None:
        """Opens the file: that it cannot be written to is known before there is a line."""
        await self._until_done(self._file.open)
        recall = self._file.recall
        if recall is not None and recall.strange:
            self._log.emit(
                OUTPUT_LINES_UNKNOWN,
                path=self._config.path,
                lines=recall.strange,
            )

    async def deliver(self, body: Body, permit: Permit, outcomes: OutcomeSink) -> None:
        """Returns when every event of the body is in the file, on the disk."""
        feedback, events, size = Feedback.FAILED, body.events, len(body.payload)
        # The lines are taken apart and put together again.
        self._budget.hold(size)
        try:
            await self._until_done(self._file.open)
            new = await self._on_disk(partial(self._choose, body))
            del body
            if new.events:
                deleted = await self._until_done(partial(self._file.append, new.data))
                self._count_deleted(deleted)
            outcomes.end("delivered", new.events)
            outcomes.end("already_delivered", events - new.events)
            self._budget.release(size)
            feedback = Feedback.TAKEN
        finally:
            self._budget.release(size)
            permit.release(feedback, events)

    def close(self) -> None:
        """Ends the thread and closes the file; waits for what is under way."""
        self._disk.submit(self._file.close)
        self._disk.shutdown()

    def _choose(self, body: Body) -> _New:
        recall, is_bulk = self._file.recall, self._config.format is FileFormat.BULK
        if not recall and is_bulk:
            return _New(body.payload, body.events)
        lines = body.lines()
        documents = lines[1::2]
        if recall:
            new = [index for index, line in enumerate(documents) if not recall.has(line)]
            if is_bulk:
                chosen = [line for index in new for line in lines[2 * index : 2 * index + 2]]
            else:
                chosen = [documents[index] for index in new]
            return _New(b"".join(chosen), len(new))
        return _New(b"".join(documents), len(documents))

    async def _until_done(self, call: Callable[[], _T]) -> _T:
        """Calls it in the thread until it raises no OSError any more."""
        failures = 0
        while True:
            try:
                result = await self._on_disk(call)
            except OSError as error:
                failures += 1
                self._trouble = f"{self._config.path} cannot be written: {error}"
                name = errno.errorcode.get(error.errno or 0, "other")
                self._metrics.count("shipper_retries_total", 1, name)
                self._log.emit(
                    OUTPUT_WRITE_FAILED,
                    key="output_file",
                    path=self._config.path,
                    error=str(error),
                )
                await self._clock.sleep(self._backoff.delay(failures, self._rng))
            else:
                if failures:
                    self._log.emit(OUTPUT_WRITE_RECOVERED, path=self._config.path)
                self._trouble = None
                return result

    async def _on_disk(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call)

    def _count_deleted(self, deleted: int) -> None:
        if deleted:
            self._metrics.count("shipper_output_deleted_bytes_total", deleted)
            self._log.emit(
                OUTPUT_FILES_DELETED,
                path=self._config.path,
                bytes=deleted,
                keep=self._config.keep,
            )


@contextlib.asynccontextmanager
async def file_sender(
    config: FileConfig,
    *,
    backoff: Backoff,
    budget: ByteBudget,
    clock: Clock,
    rng: random.Random,
    metrics: Metrics,
    log: Log,
) -> AsyncIterator[FileSender]:
    """A sender whose file and thread end with the context."""
    sender = FileSender(
        config, backoff=backoff, budget=budget, clock=clock, rng=rng, metrics=metrics, log=log
    )
    try:
        yield sender
    finally:
        sender.close()
