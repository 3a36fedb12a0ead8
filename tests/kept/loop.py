"""An event loop that says when nothing is left to do, and a clock that stands still until then.

Threads of the daemon are run inline, so that one seed is one history.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from shipper.offload import ThreadPool
from tests.support.clock import ManualClock

_P = ParamSpec("_P")
_T = TypeVar("_T")


class InlineExecutor(ThreadPoolExecutor):
    """Runs each call at once, in the thread of who asks."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # It is raised where it is waited for.
            future.set_exception(error)
        return future


class InlinePool(ThreadPool):
    """Runs each call at once, in the thread of who asks."""

    async def __call__(self, call: Callable[[], _T], lane: object = None) -> _T:
        return call()


class IdleSelector(selectors.SelectSelector):
    """Wakes up whoever waits for the loop to be idle, before the loop would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[asyncio.Future[None]] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if not self._waiting:
            return super().select(timeout)
        for each in self._waiting:
            if not each.done():
                each.set_result(None)
        self._waiting.clear()
        return []

    async def idle(self) -> None:
        """Return when every task waits for the time, or for what is outside of the process."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter


class IdleClock(ManualClock):
    """Goes on only when nothing is left to do at the present moment."""

    def __init__(self, selector: IdleSelector) -> None:
        super().__init__()
        self.selector = selector

    async def advance(self, seconds: float) -> None:
        end = self._time + seconds
        await self.selector.idle()
        while self._sleepers and self._sleepers[0][0] <= end:
            time, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._time = time
            woken.set_result(None)
            await self.selector.idle()
        self._time = end


def run(main: Callable[[IdleClock], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine that is made with the clock of its loop."""
    selector = IdleSelector()

    def new_loop() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(selector)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main(IdleClock(selector)))
