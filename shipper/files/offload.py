"""Walks of directories in threads: they block on the disk."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from threading import Thread
from typing import TypeVar

from shipper.files.discovery import Scan

#: What a walk of directories is handed to, since it blocks on the disk.
Offload = Callable[[Callable[[], Scan]], Awaitable[Scan]]


_T = TypeVar("_T")


async def in_a_thread(call: Callable[[], _T]) -> _T:
    """Calls it in a thread of its own, and waits for it.

    A thread of no pool: a file system that hangs keeps nothing else waiting, and does not keep the
    process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        if not done.cancelled():
            settle()

    def run() -> None:
        try:
            settle = partial(done.set_result, call())
        except BaseException as error:  # Whatever it is: it is raised where it is waited for.
            settle = partial(done.set_exception, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, settle)

    Thread(target=run, name="walk", daemon=True).start()
    return await done
