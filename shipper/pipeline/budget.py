"""One byte budget over everything that waits for Elasticsearch. When it is taken, reading stops."""

import asyncio


class ByteBudget:
    """Counts bytes held against a limit; who wants to read waits here for room."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        self.limit = limit
        self.held = 0
        self._room = asyncio.Event()
        self._room.set()

    def hold(self, count: int) -> None:
        """Takes `count` bytes, at once: what has been read cannot be unread.

        So the limit is exceeded by one block at the most, as long as every reader asks `room`
        first.
        """
        self.held += count
        if self.held >= self.limit:
            self._room.clear()

    def release(self, count: int) -> None:
        """Gives `count` bytes back."""
        self.held -= count
        if self.held < self.limit:
            self._room.set()

    async def room(self) -> None:
        """Returns when something may be read."""
        await self._room.wait()
