"""Work on one file at a time, in turns, of which none waits long for another one's disk.

What waits for its disk longer than a moment goes on beside the others: a few files of each device.
More files that have to wait for that device wait for these, and cost nothing meanwhile. So a mount
that hangs (a server of NFS that is gone, FUSE, a dying disk) holds up its own files only, and of
these only what is not in memory.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar, cast

from msgspec import Struct, field

from shipper.clock import Clock
from shipper.files.tail import Tail
from shipper.internal_errors import cancelled_only_by_us
from shipper.logs import Log
from shipper.logs.events import FILE_READ_HANGS
from shipper.offload import HANGS_SECONDS

_Source = TypeVar("_Source")
_T = TypeVar("_T")

#: How long others wait for a file's disk, in seconds. Most disks answer sooner, and files are read
#: faster in turns than side by side.
PATIENCE = 0.05

#: For so many seconds after a device was slower, nobody waits for it.
_REMEMBERED = 10.0

#: So many files of a device are worked on beside the others.
OF_A_DEVICE = 2


class _Device(Struct, Generic[_Source]):
    #: When it was slow last, in monotonic seconds.
    slow_at: float = 0.0
    running: set[Tail] = field(default_factory=set)
    waiting: dict[Tail, _Source] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.running) >= OF_A_DEVICE


class SlowFiles(Generic[_Source]):
    """Of one queue of files. `_Source`: what a file belongs to."""

    def __init__(
        self,
        clock: Clock,
        log: Log,
        *,
        over: Callable[[_Source, Tail, asyncio.Task[Any]], None],
        room: Callable[[_Source, Tail], None],
    ) -> None:
        """`over` is called with a file that was worked on beside the others, when that is over;
        `room` with one that had to wait, when it is its turn."""
        self._clock = clock
        self._log = log
        self._over = over
        self._room = room
        self._devices: dict[int, _Device[_Source]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def must_wait(self, source: _Source, tail: Tail) -> bool:
        """Whether a file is worked on already; or it is a gzip, which is never in memory, and
        enough others of its device are: then it waits for these."""
        if not self._devices:
            return False
        device = self._devices.get(tail.inode.device)
        if device is None or tail in device.running:
            return device is not None
        if not (tail.compressed and device.is_full):
            return False
        device.waiting[tail] = source
        return True

    async def run(
        self, source: _Source, tail: Tail, work: Callable[[], Coroutine[Any, Any, _T]]
    ) -> _T | None:
        """The result of the work on a file. None if it takes longer: then `over` is called, or
        `room` if it was given up, as enough others of its device are worked on."""
        device = self._devices.get(tail.inode.device) if self._devices else None
        if device is not None:
            device.waiting.pop(tail, None)
            self._let_in(device)
        begun = _begin(work())
        if not isinstance(begun, asyncio.Task):
            return begun
        if device is not None and device.is_full:
            await asyncio.sleep(0)  # Who is cancelled before it began cleans nothing up.
            begun.cancel()
            await asyncio.wait((begun,))
            if not begun.cancelled():
                return cast(_T, begun.result())
            device.waiting[tail] = source
            return None
        self._tasks.add(begun)
        begun.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait((begun,), timeout=self._patience(tail.inode.device))
        except asyncio.CancelledError:
            begun.cancel()
            raise
        if begun.done():
            return cast(_T, begun.result())
        self._go_on_beside(source, tail, begun)
        return None

    async def close(self) -> None:
        """Ends all work that goes on. A thread that hangs is left alone."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _patience(self, number: int) -> float:
        device = self._devices.get(number)
        return PATIENCE if device is None or self._is_forgotten(device) else 0.0

    def _is_forgotten(self, device: _Device[_Source]) -> bool:
        is_quiet = not (device.running or device.waiting)
        return is_quiet and self._clock.monotonic() - device.slow_at >= _REMEMBERED

    def _go_on_beside(self, source: _Source, tail: Tail, task: asyncio.Task[Any]) -> None:
        for number in [key for key, each in self._devices.items() if self._is_forgotten(each)]:
            del self._devices[number]
        device = self._devices.setdefault(tail.inode.device, _Device())
        device.running.add(tail)
        began = self._clock.monotonic()
        timer = asyncio.get_running_loop().call_later(HANGS_SECONDS, self._hangs, tail)

        def ended(task: asyncio.Task[Any]) -> None:
            timer.cancel()
            device.slow_at = self._clock.monotonic()
            device.running.discard(tail)
            if task.cancelled():
                return
            if tail.read_error and device.slow_at - began >= HANGS_SECONDS:
                tail.read_error = ""
            self._over(source, tail, task)
            self._let_in(device)

        task.add_done_callback(ended)

    def _let_in(self, device: _Device[_Source]) -> None:
        """Has one that waits have its turn, which lets in the next one. (If it needs none any more,
        the others have theirs with the next scan.)"""
        if device.waiting and not device.is_full:
            tail = next(iter(device.waiting))
            self._room(device.waiting.pop(tail), tail)

    def _hangs(self, tail: Tail) -> None:
        tail.read_error = f"no answer within {HANGS_SECONDS:g} s: check the mount that it is on"
        self._log.emit(
            FILE_READ_HANGS,
            key=f"hangs:{tail.inode.device}",
            path=tail.path,
            seconds=HANGS_SECONDS,
        )


def _begin(work: Coroutine[Any, Any, _T]) -> "_T | asyncio.Task[_T]":
    """The result, if it is there without waiting; else a task for the rest. (As the eager tasks of
    Python 3.12: most of what is read is in memory.)"""
    try:
        waits_for = work.send(None)
    except StopIteration as end:
        return cast(_T, end.value)
    return asyncio.get_running_loop().create_task(_rest(work, waits_for))


async def _rest(work: Coroutine[Any, Any, _T], waits_for: Any) -> _T:
    try:
        with cancelled_only_by_us():
            return await _resumed(work, waits_for)
    finally:
        # However it ended, its file is nobody's now, and not when a traceback is collected.
        work.close()


@types.coroutine
def _resumed(work: Coroutine[Any, Any, _T], waits_for: Any) -> Generator[Any, Any, _T]:
    """Goes on with a coroutine that has begun, and waits for something."""
    step: Callable[[], Any]
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # CancelledError, mostly: it is the coroutine's.
            step = partial(work.throw, error)
        else:
            step = partial(work.send, sent)
        try:
            waits_for = step()
        except StopIteration as end:
            return cast(_T, end.value)
