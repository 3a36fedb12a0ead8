"""Time as a dependency: what waits or stamps is handed a `Clock`, so that a test can hand it
another."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Where the daemon gets its time from."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back. For durations and deadlines."""

    def now(self) -> float:
        """Seconds since the Unix epoch, as the machine believes. For stamps only: it may jump."""

    async def sleep(self, seconds: float) -> None:
        """Waits that long."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
