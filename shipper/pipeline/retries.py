"""Files that met an internal error: each is tried again after a pause of its own, which grows with
each error in a row. Others go on.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from shipper.clock import Clock
from shipper.files.tail import Tail
from shipper.internal_errors import InternalErrors, Where

_Source = TypeVar("_Source")


class Retries(Generic[_Source]):
    """Of the files of all inputs. `_Source`: what a file belongs to."""

    def __init__(
        self, errors: InternalErrors, clock: Clock, again: Callable[[_Source, Tail], None]
    ) -> None:
        """`again` is called when it is time to."""
        self._errors = errors
        self._clock = clock
        self._again = again
        self._order = itertools.count()
        # By when it is time (monotonic seconds).
        self._due: list[tuple[float, int, _Source, Tail]] = []
        self._failures: WeakKeyDictionary[Tail, int] = WeakKeyDictionary()
        self._added = asyncio.Event()

    def failed(self, source: _Source, tail: Tail, error: Exception) -> None:
        """A file met an error."""
        self._errors.report(Where.FILE, error, path=tail.path)
        failures = self._failures[tail] = self._failures.get(tail, 0) + 1
        when = self._clock.monotonic() + self._errors.pause_after(failures)
        heapq.heappush(self._due, (when, next(self._order), source, tail))
        self._added.set()

    def failures(self, tail: Tail) -> int:
        """How many errors a file has met in a row."""
        return self._failures.get(tail, 0) if self._failures else 0

    def succeeded(self, tail: Tail) -> None:
        """A file met none."""
        if self._failures:
            self._failures.pop(tail, None)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            if not self._due:
                self._added.clear()
                await self._added.wait()
            left = self._due[0][0] - self._clock.monotonic()
            if left > 0:
                # One that comes meanwhile may be due earlier.
                await self._clock.sleep(min(left, self._errors.first_pause))
                continue
            _, _, source, tail = heapq.heappop(self._due)
            try:
                self._again(source, tail)
            except Exception as error:
                self.failed(source, tail, error)
