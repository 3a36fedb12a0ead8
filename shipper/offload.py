"""Calls that may hang, in threads: a file on a mount whose server is gone, a FIFO that nobody
writes, a name server that does not answer.

The threads belong to no pool that the interpreter waits for: one that hangs in the kernel neither
keeps the process from ending nor takes the turn of other work. Nothing uses the event loop's own
executor: it has one limit for everything. Each kind of work has its own threads, and of these each
device (or whatever can hang by itself) a few (`ThreadPool`).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar, cast

_T = TypeVar("_T")

#: A call that takes longer hangs, in seconds: it is shown to an operator.
HANGS_SECONDS = 5.0

#: A thread that had nothing to do for so many seconds ends.
_IDLE_SECONDS = 10.0


class HangsError(TimeoutError):
    """A call was not over in time, and may never be."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


async def in_a_thread(call: Callable[[], _T], *, name: str = "walk") -> _T:
    """Calls it in a thread of its own, and waits for it as long as it takes."""
    return await asyncio.wrap_future(_begin(call, partial(_start_thread, name=name)))


def within(seconds: float, call: Callable[[], _T], *, name: str = "file") -> _T:
    """Calls it in a thread of its own, and blocks until it is over: for a start, when no event loop
    has anything else to do. Raises HangsError after that time."""
    future = _begin(call, partial(_start_thread, name=name))
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():
            raise  # The call's own.
        raise HangsError(seconds) from None


class ThreadPool:
    """The threads of one kind of work. What hangs holds the threads of its lane only."""

    def __init__(self, name: str, *, each: int) -> None:
        """`name`: of the threads. `each`: calls of one lane at the same time; others wait for their
        turn, first come, first served."""
        self._threads = _Threads(name)
        self._each = each
        self._lanes: dict[Hashable, _Lane] = {}
        self._began: dict[object, float] = {}

    async def __call__(self, call: Callable[[], _T], lane: Hashable = None) -> _T:
        """Calls it in a thread, and waits for it as long as it takes. A call that has begun goes on
        when who waits is cancelled. `lane`: what may hang as a whole, such as a device.

        Raises OSError if there can be no more threads.
        """
        found = self._lanes.setdefault(lane, _Lane(asyncio.Semaphore(self._each)))
        found.users += 1
        try:
            await found.turn.acquire()
        except BaseException:
            self._leave(lane, found)
            raise
        began = object()

        def ended(_: asyncio.Future[_T]) -> None:
            del self._began[began]
            found.turn.release()
            self._leave(lane, found)

        try:
            running = self._threads.submit(call)
        except BaseException:
            found.turn.release()
            self._leave(lane, found)
            raise
        self._began[began] = time.monotonic()
        running.add_done_callback(ended)
        # Cancelling who waits does not end the call, and its turn is not over before.
        await asyncio.wait((running,))
        return running.result()

    @property
    def hanging(self) -> int:
        """How many calls have not returned for HANGS_SECONDS."""
        latest = time.monotonic() - HANGS_SECONDS
        return sum(began <= latest for began in self._began.values())

    def _leave(self, key: Hashable, lane: "_Lane") -> None:
        lane.users -= 1
        if not lane.users:
            del self._lanes[key]


class Guard:
    """Calls that have to be waited for, on the event loop or in a walk, and may hang: each is made
    by a thread, and waited for no longer than a moment. While one hangs, others of its lane are
    refused at once. To be called by any thread."""

    def __init__(self, name: str, seconds: float) -> None:
        """`name`: of the threads. `seconds`: how long a call is waited for."""
        self.seconds = seconds
        self._threads = _Threads(name)
        self._lock = Lock()
        #: The calls that hang, by lane, and what is to be done in a lane when none does.
        self._hung: dict[Hashable, int] = {}
        self._later: dict[Hashable, list[Callable[[], object]]] = {}

    def __call__(
        self,
        lane: Hashable,
        call: Callable[[], _T],
        late: Callable[[_T], object] = lambda result: None,
    ) -> _T:
        """Calls it. `late` gets a result that nobody waited for.

        Raises HangsError after `seconds`, and at once while another call of the lane hangs.
        """
        if lane in self._hung:
            raise HangsError(self.seconds)
        future: Future[_T] = Future()
        is_late = False

        def work() -> None:
            failure, result = None, None
            try:
                result = call()
            except BaseException as error:  # It is raised where it is waited for.
                failure = error
            with self._lock:
                if not is_late and failure is not None:
                    future.set_exception(failure)
                elif not is_late:
                    future.set_result(cast(_T, result))
            if is_late:
                if failure is None:
                    late(cast(_T, result))
                self._answered(lane)

        self._threads.start(work)
        try:
            return future.result(self.seconds)
        except TimeoutError:
            with self._lock:
                if future.done():
                    return future.result()
                is_late = True
                self._hung[lane] = self._hung.get(lane, 0) + 1
            raise HangsError(self.seconds) from None

    def is_hung(self, lane: Hashable) -> bool:
        """Whether a call of a lane hangs."""
        return lane in self._hung

    @property
    def hanging(self) -> int:
        """How many calls hang."""
        return sum(list(self._hung.values()))

    def when_answered(self, lane: Hashable, call: Callable[[], object]) -> bool:
        """Has a lane that hangs do something when it answers again; False if none hangs."""
        with self._lock:
            if lane not in self._hung:
                return False
            self._later.setdefault(lane, []).append(call)
        return True

    def _answered(self, lane: Hashable) -> None:
        with self._lock:
            self._hung[lane] -= 1
            if self._hung[lane]:
                return
            del self._hung[lane]
            calls = self._later.pop(lane, ())
        for call in calls:
            with contextlib.suppress(OSError):
                call()


@dataclass(slots=True)
class _Lane:
    turn: asyncio.Semaphore
    users: int = 0


class _Threads:
    """As many threads as there are calls; they are used again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = Lock()
        # Threads that nothing is on the way to.
        self._idle = 0
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def submit(self, call: Callable[[], _T]) -> "asyncio.Future[_T]":
        """The call in a thread, for the event loop that runs. Raises as `start`."""
        future = asyncio.wrap_future(_begin(call, self.start))
        future.add_done_callback(_retrieve)
        return future

    def start(self, work: Callable[[], None]) -> None:
        """Has a thread do something that raises nothing. Raises OSError if there can be no more
        threads."""
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._work.put(work)
                return
        _start_thread(lambda: self._run(work), self._name)

    def _run(self, work: Callable[[], None] | None) -> None:
        while work is not None:
            work()
            work = None  # What it holds is let go of before the thread waits.
            work = self._next()

    def _next(self) -> Callable[[], None] | None:
        """The next call; None: the thread may end."""
        with self._lock:
            self._idle += 1
        while True:
            try:
                return self._work.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._idle:
                        self._idle -= 1
                        return None


@dataclass(slots=True)
class _Call:
    future: asyncio.Future[Any]
    #: By the event loop's clock: when it began, and when to try again although it is not over.
    began: float
    again: float


class TimedCalls:
    """Calls with a time limit, and few threads: calls for the same thing share one."""

    def __init__(self, name: str, seconds: float, *, again: float = 30.0, most: int = 8) -> None:
        """`name`: of the threads. `seconds`: the time limit. `again`: seconds after which something
        that hangs is tried once more, in another thread, as it may have been mounted anew; twice as
        many each time. `most`: threads at the same time; when all hang, nothing is tried before one
        of them ends."""
        self.seconds = seconds
        self._name = name
        self._again = again
        self._most = most
        self._calls: dict[Hashable, _Call] = {}
        self._threads = 0

    async def __call__(self, key: Hashable, call: Callable[[], _T]) -> _T:
        """Calls it, unless a call for the same `key` is under way: then waits for that one.

        Raises HangsError when the call is not over within the time limit; at once while it hangs.
        """
        loop = asyncio.get_running_loop()
        found = self._calls.get(key)
        if found is None or loop.time() > found.again:
            if self._threads >= self._most:
                raise HangsError(self.seconds)
            patience = self._again if found is None else 2 * (found.again - found.began)
            found = self._start(key, call, loop.time(), patience)
        left = max(0.0, found.began + self.seconds - loop.time())
        # Cancelling who waits does not cancel the call: others may wait for it.
        await asyncio.wait((found.future,), timeout=left)
        if not found.future.done():
            raise HangsError(self.seconds)
        return cast(_T, found.future.result())

    def _start(self, key: Hashable, call: Callable[[], _T], now: float, patience: float) -> _Call:
        future = asyncio.wrap_future(_begin(call, partial(_start_thread, name=self._name)))
        self._threads += 1
        made = self._calls[key] = _Call(future, now, now + patience)

        def ended(over: asyncio.Future[_T]) -> None:
            self._threads -= 1
            if self._calls.get(key) is made:
                del self._calls[key]
            _retrieve(over)

        future.add_done_callback(ended)
        return made


def _begin(call: Callable[[], _T], start: Callable[[Callable[[], None]], None]) -> Future[_T]:
    """The call in a thread; `start` has a thread do something. Raises as `start`."""
    future: Future[_T] = Future()

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:  # Whatever it is: it is raised where it is waited for.
            failure = error
        # The event loop may be closed by now, and who waited may be gone.
        with contextlib.suppress(RuntimeError):
            if not future.set_running_or_notify_cancel():
                return
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(cast(_T, result))

    start(run)
    return future


def _start_thread(work: Callable[[], None], name: str) -> None:
    """A thread of its own. Raises OSError if there can be no more threads."""
    try:
        Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(f"no thread can be started: {error}") from error


def _retrieve(over: "asyncio.Future[Any]") -> None:
    """Takes note of an exception that nobody may wait for any more."""
    if not over.cancelled():
        over.exception()
