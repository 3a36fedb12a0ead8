"""When the directories of an input are walked again.

A walk that something asks for (a name came or went) begins SPACING seconds after the one before, or
later where walks are expensive: they take a tenth of a core at the most. A walk that nothing asks
for begins `interval` seconds after the one before. Where the kernel tells of changes and a walk is
expensive, it begins later, so that it takes half a percent of a core, and SLOWEST seconds after the
one before at the latest.
"""

import asyncio
from collections.abc import Mapping

from shipper.clock import Clock
from shipper.files.facts import Inode

#: Seconds from the beginning of one walk to that of the next, at the least.
SPACING = 0.5

#: Seconds between two walks of directories that are watched, at the most.
SLOWEST = 30.0

#: The share of a core that walks may take that nothing but time asks for, and others.
_IDLE_SHARE = 1 / 200
_BUSY_SHARE = 1 / 10


class WalkSchedule:
    """The schedule of one input."""

    def __init__(self, clock: Clock, interval: float, *, spacing: float = SPACING) -> None:
        """`interval`: seconds between two walks that nothing but time asks for. `spacing`: between
        two cheap ones that something asks for."""
        self._clock = clock
        self._spacing = spacing
        self._began: float | None = None
        self._cost = 0.0
        self._watched: dict[str, bool] = {}
        self.interval = interval
        #: The directories that the last walk went through.
        self.directories: Mapping[str, Inode] = {}
        #: How many walks have ended.
        self.walks = 0
        #: Is set when these are other ones than they were.
        self.moved = asyncio.Event()

    @property
    def in_force(self) -> bool:
        """Whether the kernel tells of every change in the directories."""
        return bool(self._watched) and all(self._watched.values())

    @property
    def period(self) -> float:
        """Seconds from the beginning of a walk to that of the next, if nothing happens."""
        if not self.in_force:
            return self.interval
        return max(self.interval, min(self._cost / _IDLE_SHARE, SLOWEST))

    @property
    def pause(self) -> float:
        """Seconds until the next walk may begin."""
        if self._began is None:
            return 0.0
        spacing = min(self._cost / _BUSY_SHARE, SLOWEST)
        if spacing <= SPACING:
            spacing = self._spacing
        return max(0.0, self._began + spacing - self._clock.monotonic())

    @property
    def is_due(self) -> bool:
        """Whether it is time for a walk, for who asks every `interval` seconds."""
        if self._began is None:
            return True
        return self._clock.monotonic() - self._began >= self.period - self.interval / 2

    def begin(self) -> None:
        """A walk begins."""
        self._began = self._clock.monotonic()

    def end(self, cost: float, directories: Mapping[str, Inode]) -> None:
        """A walk ended. `cost`: what it and its consequences took, in seconds of a core."""
        self._cost = cost
        self.walks += 1
        if directories != self.directories:
            self.directories = directories
            # Until these are watched, too.
            self._watched = dict.fromkeys(self._watched, False)
            self.moved.set()

    def watched(self, directory: str, *, completely: bool) -> None:
        """Whether the kernel tells of changes in that directory of a glob, and in all below it that
        were walked."""
        self._watched[directory] = completely
