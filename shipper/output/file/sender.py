"""The output to a file: NDJSON that is synced before its events count as delivered.

    permit -> skip documents that are in the file -> write and sync -> every event has an outcome
                                                       ^    |
                                                       +----+ retry while the disk is full

One body at a time, in a separate thread: a disk that hangs stops reading, and nothing else.
"""

import contextlib
import errno
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from aiofiles.os import wrap

from shipper.clock import Clock
from shipper.config.file_output import FileConfig, FileFormat
from shipper.internal_errors import cancelled_only_by_us
from shipper.logs import Log
from shipper.logs.events import (
    OUTPUT_FILES_DELETED,
    OUTPUT_LINES_UNKNOWN,
    OUTPUT_WRITE_FAILED,
    OUTPUT_WRITE_RECOVERED,
)
from shipper.metrics import Metrics
from shipper.output.appending import write_failure
from shipper.output.backoff import Backoff
from shipper.output.destination import Condition, DeliveryInterruptedError
from shipper.output.file.append import AppendedFile
from shipper.output.limiter import Feedback, Limiter, Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _NewLines:
    """The part of a body that is not in the file yet."""

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
        # One thread: a cancelled call ends before the next one begins.
        self._executor = ThreadPoolExecutor(1, "output")
        self._trouble: str | None = f"{config.path} is not open yet"

    @property
    def condition(self) -> Condition:
        """Its current condition."""
        return Condition(self._trouble, self._limiter.in_flight, self._limiter.limit)

    async def admit(self) -> Permit:
        """Waits until the previous body is written."""
        return await self._limiter.acquire()

    def apart(self) -> "FileSender":
        """The same: what is written here is judged by nobody."""
        return self

    async def run(self) -> None:
        """Opens the file, so that a problem is reported before the first line."""
        await self._with_retries(self._file.open)
        written = self._file.written
        if written is not None and written.invalid_lines:
            self._log.emit(
                OUTPUT_LINES_UNKNOWN,
                path=self._config.path,
                lines=written.invalid_lines,
            )

    async def deliver(self, body: Body, permit: Permit, outcomes: OutcomeSink) -> None:
        """Returns when every event of the body is in the file, on the disk."""
        feedback, events, size = Feedback.FAILED, body.events, len(body.payload)
        # The body is split into lines and joined again: a second copy in memory.
        self._budget.hold(size)
        try:
            with cancelled_only_by_us():
                await self._with_retries(self._file.open)
                new = await self._in_thread(partial(self._select_new, body))
                if new.events:
                    deleted = await self._with_retries(partial(self._file.append, new.data))
                    self._count_deleted(deleted)
            outcomes.end("delivered", new.events)
            outcomes.end("already_delivered", events - new.events)
            self._budget.release(size)
            feedback = Feedback.ACCEPTED
        except Exception as error:
            raise DeliveryInterruptedError([body]) from error
        finally:
            self._budget.release(size)
            permit.release(feedback, events)

    def close(self) -> None:
        """Waits for a running write, closes the file and ends the thread."""
        self._executor.submit(self._file.close)
        self._executor.shutdown()

    def _select_new(self, body: Body) -> _NewLines:
        written, is_bulk = self._file.written, self._config.format is FileFormat.BULK
        if not written and is_bulk:
            return _NewLines(body.payload, body.events)
        lines = body.lines()
        documents = lines[1::2]
        if written:
            new = [index for index, line in enumerate(documents) if not written.contains(line)]
            if is_bulk:
                chosen = [line for index in new for line in lines[2 * index : 2 * index + 2]]
            else:
                chosen = [documents[index] for index in new]
            return _NewLines(b"".join(chosen), len(new))
        return _NewLines(b"".join(documents), len(documents))

    async def _with_retries(self, call: Callable[[], _T]) -> _T:
        """Calls a function in the thread; retries while it raises OSError."""
        failures = 0
        while True:
            try:
                result = await self._in_thread(call)
            except OSError as error:
                failures += 1
                problem = write_failure(Path(self._config.path), error)
                self._trouble = f"{self._config.path} cannot be written: {problem}"
                name = errno.errorcode.get(error.errno or 0, "other")
                self._metrics.count("shipper_retries_total", 1, name)
                self._log.emit(
                    OUTPUT_WRITE_FAILED,
                    key="output_file",
                    path=self._config.path,
                    error=problem,
                )
                await self._clock.sleep(self._backoff.delay(failures, self._rng))
            else:
                if failures:
                    self._log.emit(OUTPUT_WRITE_RECOVERED, path=self._config.path)
                self._trouble = None
                return result

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await wrap(call)(executor=self._executor)

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
