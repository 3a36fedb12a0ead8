"""The clock as a dependency, so that tests can replace it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never decreases. For durations and deadlines."""

    def now(self) -> float:
        """Seconds since the Unix epoch. For timestamps only: it may jump."""

    async def sleep(self, seconds: float) -> None:
        """Waits for this number of seconds."""


class SystemClock:
    """The clock of the machine."""

    # Called so often that a call in between is felt.
    monotonic = staticmethod(time.monotonic)
    now = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
