"""The last net: exceptions that nobody foresaw.

Each is logged with its trace and counted, and what met it is tried again with growing pauses, while
all else goes on. `where` is of a closed set: it is a label.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum

from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import INTERNAL_ERROR_CONTAINED
from shipper.metrics import Metrics

COUNTER = "shipper_internal_errors_total"

#: What has run for so many seconds without an error begins with the shortest pause again.
_IS_FINE = 300.0


class Where(Enum):
    """Which part of shipper met it."""

    #: One request to the admin server, or all of it.
    ADMIN = "admin"
    #: One batch on its way to the output.
    DELIVERY = "delivery"
    #: What the output does besides: probing hosts, opening the file.
    OUTPUT = "output"
    #: Handing a batch on.
    BATCH = "batch"
    #: One file that is examined or read.
    FILE = "file"
    #: Looking for files: a scan, or what inotify tells.
    SCAN = "scan"
    WATCH = "watch"
    #: Giving up files beyond `retention.max_bytes`.
    QUOTA = "quota"
    COMMIT = "commit"
    #: Documents of losses.
    LOSSES = "losses"
    #: Unfinished files of inputs that are not configured any more.
    FORMER_FILES = "former_files"
    #: Metrics in the log, giving memory back.
    UPKEEP = "upkeep"


class CancelledByNobodyError(Exception):
    """A library raised CancelledError, and nobody cancelled the task: an error as any other. (A
    future that was cancelled elsewhere raises it in each task that waits for it.)"""


@contextlib.contextmanager
def cancelled_only_by_us() -> Iterator[None]:
    """Raises CancelledError only if the task at hand was cancelled; else CancelledByNobodyError.

    For every net: an `except Exception` does not see the former, so that its task would end, and
    what it holds would be held for ever.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise CancelledByNobodyError("CancelledError, and nobody cancelled the task") from error


async def unless_cancelled_by_nobody(work: Awaitable[None]) -> None:
    """Waits for what a task of an `asyncio.TaskGroup` does: the group takes no notice of one that
    ends with CancelledError."""
    with cancelled_only_by_us():
        await work


class InternalErrors:
    """Logs and counts them, and has things tried again."""

    def __init__(
        self,
        metrics: Metrics,
        log: Log,
        clock: Clock,
        *,
        first_pause: float = 1.0,
        longest_pause: float = 60.0,
    ) -> None:
        """The pauses after errors in a row, in seconds."""
        self.first_pause = first_pause
        self._longest_pause = longest_pause
        self._metrics = metrics
        self._log = log
        self._clock = clock
        for where in Where:
            metrics.count(COUNTER, 0, where.value)

    def report(self, where: Where, error: BaseException, **fields: object) -> None:
        """One exception. `fields` say what it was about; raises nothing."""
        self._metrics.count(COUNTER, 1, where.value)
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        self._log.emit(
            INTERNAL_ERROR_CONTAINED,
            # The same fault is one message, however often it comes.
            key=f"internal:{where.value}:{type(error).__name__}:{place}",
            error=error,
            where=where.value,
            **fields,
        )

    def guarded(self, where: Where, call: Callable[[], object]) -> None:
        """Calls what must not keep others from being called."""
        try:
            call()
        except Exception as error:
            self.report(where, error)

    def pause_after(self, failures: int) -> float:
        """The pause after so many errors in a row, in seconds."""
        return min(self._longest_pause, self.first_pause * 2.0 ** min(failures - 1, 16))

    async def pause(self, failures: int) -> None:
        """Waits before the next try after so many errors in a row. Raises nothing but
        CancelledError."""
        seconds = self.pause_after(failures)
        try:
            with cancelled_only_by_us():
                await self._clock.sleep(seconds)
        except Exception as error:
            self.report(Where.UPKEEP, error)
            await asyncio.sleep(seconds)

    def keep_running(
        self,
        tasks: asyncio.TaskGroup,
        where: Where,
        run: Callable[[], Awaitable[None]],
        *,
        on_error: Callable[[], object] = lambda: None,
    ) -> asyncio.Task[None]:
        """A task that does as `kept_running`."""
        return tasks.create_task(self.kept_running(where, run, on_error=on_error))

    async def kept_running(
        self,
        where: Where,
        run: Callable[[], Awaitable[None]],
        *,
        on_error: Callable[[], object] = lambda: None,
    ) -> None:
        """Runs it until it returns or is cancelled, again after each exception. `on_error` is
        called before that, for what the exception may have left undone."""
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                with cancelled_only_by_us():
                    await run()
                return
            except Exception as error:
                self.report(where, error)
            if self._clock.monotonic() - began >= _IS_FINE:
                failures = 0
            failures += 1
            await self.pause(failures)
            self.guarded(where, on_error)
