"""A clock that stands still until the test moves it.

Who sleeps wakes up exactly at his time, and runs until he waits again, before time goes on.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools

_TURNS = 20
"""Of the event loop, after each wake-up: more than any chain of awaits in the tests has."""


class ManualClock:
    """A ``shipper.clock.Clock`` whose time is the test's."""

    def __init__(self, now: float = 1_764_000_000.0) -> None:
        """``now``: Unix seconds at the beginning; ``monotonic`` begins at 1000."""
        self._time = 1000.0
        self._epoch = now - self._time
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        """Seconds since 1000 seconds before the beginning."""
        return self._time

    def now(self) -> float:
        """Unix seconds."""
        return self._time + self._epoch

    def set_wall_clock(self, by: float) -> None:
        """Have somebody set the machine's clock, so many seconds ahead or back."""
        self._epoch += by

    def pass_time(self, seconds: float) -> None:
        """Move the time where nobody sleeps."""
        self._time += seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until ``advance`` has passed the time; not at all, but for a turn, if it is over."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._time + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move the time, from one sleeper's end to the next."""
        end = self._time + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._time, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self._time = end


async def settle() -> None:
    """Let every task run until it waits for something that is not there yet."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
