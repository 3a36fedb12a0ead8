"""When freed memory is given back to the system: after the start, and after each burst of lines."""

from collections.abc import Callable

from shipper.allocator import give_back_freed_memory
from shipper.clock import Clock

#: How often it is looked whether lines are read, in seconds.
INTERVAL = 20.0


class Trimming:
    """Gives freed memory back once after each burst of lines, the start among them."""

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
        before, is_due = self._lines_read(), True
        while True:
            await self._clock.sleep(INTERVAL)
            now = self._lines_read()
            if now == before and is_due:
                self._give_back()
            is_due = now != before
            before = now
