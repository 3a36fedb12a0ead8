"""Calls that may hang, in threads: a file on a mount whose server is gone, a FIFO that nobody
writes, a name server that does not answer.

The threads belong to no pool that the interpreter waits for: one that hangs in the kernel neither
keeps the process from ending nor takes the turn of what reads logs.
"""

import asyncio
import contextlib
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar, cast

from msgspec import Struct

_T = TypeVar("_T")


class HangsError(TimeoutError):
    """A call was not over in time, and may never be."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")


async def in_a_thread(call: Callable[[], _T], *, name: str = "walk") -> _T:
    """Calls it in a thread of its own, and waits for it as long as it takes."""
    return await asyncio.wrap_future(_begin(call, name))


def within(seconds: float, call: Callable[[], _T], *, name: str = "file") -> _T:
    """Calls it in a thread of its own, and blocks until it is over: for a start, when no event loop
    has anything else to do. Raises HangsError after that time."""
    future = _begin(call, name)
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():
            raise  # The call's own.
        raise HangsError(seconds) from None


class _Call(Struct):
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
        future = asyncio.wrap_future(_begin(call, self._name))
        self._threads += 1
        made = self._calls[key] = _Call(future, now, now + patience)

        def ended(over: asyncio.Future[_T]) -> None:
            self._threads -= 1
            if self._calls.get(key) is made:
                del self._calls[key]
            if not over.cancelled():
                over.exception()  # Nobody may wait for it any more.

        future.add_done_callback(ended)
        return made


def _begin(call: Callable[[], _T], name: str) -> Future[_T]:
    """The call in a thread. Raises OSError if there can be no more threads."""
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

    try:
        Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        raise OSError(f"no thread can be started: {error}") from error
    return future
