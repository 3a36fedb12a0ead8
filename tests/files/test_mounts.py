"""Changes of the mount table are told, and nothing else is."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from shipper.clock import SystemClock
from shipper.files.mounts import SPACING, MountChanges
from tests.support.clock import ManualClock, settle
from tests.support.faults import PATIENCE


class Table:
    """Has POLLPRI when somebody says so, and is readable all the time, as the real one."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self._ours = socket.create_connection(listener.getsockname())
        self._theirs, _ = listener.accept()
        listener.close()
        self._ours.sendall(b"x")

    def open(self) -> int:
        return self._theirs.detach()

    def change(self) -> None:
        self._ours.send(b"!", socket.MSG_OOB)

    def close(self) -> None:
        self._ours.close()


@asynccontextmanager
async def told_by(changes: MountChanges) -> AsyncIterator[asyncio.Event]:
    event = changes.subscribe()
    task = asyncio.create_task(changes.run())
    await settle()
    try:
        yield event
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()
    event.clear()


def test_a_change_is_told_at_once_and_more_of_them_twice_a_second() -> None:
    async def run() -> None:
        table, clock = Table(), ManualClock()
        async with told_by(MountChanges(clock, table.open)) as event:
            await asyncio.sleep(0.01)
            assert not event.is_set(), "nothing happened, although the table is readable"
            table.change()
            await until(event)
            table.change()
            await asyncio.sleep(0.01)
            assert not event.is_set()
            await clock.advance(SPACING)
            await until(event)
            await clock.advance(10 * SPACING)
            assert not event.is_set()
        table.close()

    asyncio.run(run())


def test_where_the_table_cannot_be_polled_nothing_is_told() -> None:
    def refused() -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def no_table() -> int:
        # epoll(7) refuses a regular file.
        return os.open(__file__, os.O_RDONLY)

    async def run(open_table: Callable[[], int]) -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with asyncio.timeout(PATIENCE):
            await MountChanges(SystemClock(), open_table).run()
        assert len(os.listdir("/proc/self/fd")) == before

    for open_table in (refused, no_table):
        asyncio.run(run(open_table))


def test_the_real_table_can_be_polled_and_is_silent_while_nothing_is_mounted() -> None:
    async def run() -> None:
        changes = MountChanges(SystemClock())
        task = asyncio.create_task(changes.run())
        await asyncio.sleep(0.05)
        # Somebody else may mount something meanwhile: only that it is watched is asked.
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
