"""When freed memory is given back to the system: while no lines are read."""

from collections.abc import Callable

from shipper.allocator import give_back_freed_memory
from shipper.clock import Clock

#: How often it is looked whether lines are read, in seconds.
INTERVAL = 20.0


class Trimming:
    """Gives back what the start, a burst of lines, or a walk of a large directory has freed. Where
    nothing was freed that takes some microseconds."""

    def __init__(
        self,
        clock: Clock,
        lines_read: Callable[[], float],
        give_back: Callable[[], None] = give_back_freed_memory,
    ) -> None:
        """`lines_read`: how many were read since the start."""
        self._clock = clock
        self._lines_read = lines_read
        self._give_back = give_back

    async def run(self) -> None:
        """Looks every INTERVAL seconds whether lines are read, until it is cancelled."""
        before = self._lines_read()
        while True:
            await self._clock.sleep(INTERVAL)
            now = self._lines_read()
            if now == before:
                self._give_back()
            before = now
