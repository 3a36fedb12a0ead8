"""Who walks directories: a walk blocks on the disk."""

from collections.abc import Awaitable, Callable, Sequence

from shipper.files.discovery import Scan
from shipper.offload import in_a_thread

#: What walks of directories are handed to, to be made one after the other.
Offload = Callable[[Sequence[Callable[[], Scan]]], Awaitable[list[Scan]]]


async def walk_in_a_thread(walks: Sequence[Callable[[], Scan]]) -> list[Scan]:
    """In one for all of them: each thread costs as much as a walk of a small directory."""
    return await in_a_thread(lambda: [walk() for walk in walks])
