"""Tells of changes of the mount table: another directory may stand at a path since.

A watch of inotify stays on the directory that it was made for. When a file system is mounted over
that, or unmounted, no name comes or goes, and nobody is told. Linux says of
`/proc/self/mountinfo`, to who polls it, that something was mounted or unmounted in the mount
namespace of the process (proc_pid_mountinfo(5), POLLERR and POLLPRI). It is always readable, so
that an event loop cannot wait for it by itself: it is in an epoll set of its own, which can only
become ready by such a change.

Without `/proc`, or where that is refused, nothing is told: walks find what changed.
"""

import asyncio
import os
import select
from collections.abc import Callable

from shipper.clock import Clock
from shipper.files.mount_table import TABLE

#: Seconds between two changes that are told, at the least: a node with hundreds of pods mounts
#: often, and who is told looks at directories.
SPACING = 0.5


def open_mount_table() -> int:
    """A descriptor of the table of this process. Raises OSError."""
    return os.open(TABLE, os.O_RDONLY | os.O_CLOEXEC)


class MountChanges:
    """Those of this process's mount namespace."""

    def __init__(self, clock: Clock, open_table: Callable[[], int] = open_mount_table) -> None:
        self._clock = clock
        self._open_table = open_table
        self._subscribers: list[asyncio.Event] = []

    def subscribe(self) -> asyncio.Event:
        """Is set by each change from now on; who waits for it clears it."""
        event = asyncio.Event()
        self._subscribers.append(event)
        return event

    async def run(self) -> None:
        """Tells of changes until it is cancelled; returns at once where the kernel tells of
        none."""
        try:
            table = self._open_table()
        except OSError:
            return
        try:
            with select.epoll() as changes:
                # Each change once: otherwise the table, which is always readable, is always ready.
                changes.register(table, select.EPOLLPRI | select.EPOLLET)
                await self._tell(changes)
        except OSError:
            return  # No descriptor is left, or the kernel does not let it be polled.
        finally:
            os.close(table)

    async def _tell(self, changes: select.epoll) -> None:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def take() -> None:
            changes.poll(0)
            changed.set()

        loop.add_reader(changes.fileno(), take)
        try:
            while True:
                await changed.wait()
                changed.clear()
                for event in self._subscribers:
                    event.set()
                await self._clock.sleep(SPACING)
        finally:
            loop.remove_reader(changes.fileno())
