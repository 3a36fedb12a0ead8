"""One byte budget over everything that waits for Elasticsearch. When it is taken, reading stops."""

import asyncio


class ByteBudget:
    """Counts bytes held against a limit; who wants to read waits here for room."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        self.limit = limit
        self.held = 0
        #: Bytes that wait outside.
        self.aside = 0
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

    def set_aside(self, count: int) -> "SetAside":
        """Has `count` bytes, which are held, wait outside the budget, so that others go on: what
        is tried again after an internal error."""
        return SetAside(self, count)

    @property
    def has_room(self) -> bool:
        """Whether something may be read now."""
        return self.held < self.limit

    async def room(self) -> None:
        """Returns when something may be read."""
        await self._room.wait()


class SetAside:
    """Bytes that wait outside the budget; half as much as its limit together, at most: memory has a
    bound in any case. What is more stays in the budget."""

    def __init__(self, budget: ByteBudget, count: int) -> None:
        self._budget = budget
        self._count = count if budget.aside + count <= budget.limit // 2 else 0
        budget.aside += self._count
        budget.release(self._count)

    def take_back(self) -> None:
        """Holds them again; once."""
        self._budget.aside -= self._count
        self._budget.hold(self._count)
        self._count = 0
