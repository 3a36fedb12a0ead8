"""Who walks directories: a walk blocks on the disk."""

from collections.abc import Awaitable, Callable, Sequence

from shipper.files.discovery import Scan
from shipper.offload import ThreadPool

#: So many walks of an input are made at the same time, which are mostly one after the other.
_WALKS_OF_AN_INPUT = 2

#: What walks of directories are handed to, to be made one after the other.
Offload = Callable[[Sequence[Callable[[], Scan]]], Awaitable[list[Scan]]]


class WalkThreads:
    """The threads that walk for one input; a mount that hangs holds these only. They are used
    again: to make one costs as much as a walk of a small directory."""

    def __init__(self) -> None:
        self._threads = ThreadPool("walk", each=_WALKS_OF_AN_INPUT)

    async def __call__(self, walks: Sequence[Callable[[], Scan]]) -> list[Scan]:
        return await self._threads(lambda: [walk() for walk in walks])
