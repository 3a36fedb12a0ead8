"""Tells of changes in directories where there is no inotify, through watchfiles, which has threads
of its own and knows what other systems have.
"""

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import watchfiles
from watchfiles import awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from shipper.clock import Clock
from shipper.files.inotify_notifier import LIMITS
from shipper.files.notifications import Change, Listener
from shipper.internal_errors import cancelled_only_by_us
from shipper.offload import in_a_thread

#: How long changes are gathered before they are told of, and the pause that ends the gathering,
#: in milliseconds. Measured: noticed within 30 ms, 0.2 % of a core when idle.
_DEBOUNCE_MS = 100
_STEP_MS = 25

_CHANGES = {
    watchfiles.Change.added: Change.added,
    watchfiles.Change.modified: Change.modified,
    watchfiles.Change.deleted: Change.deleted,
}


class WatchfilesNotifier:
    """Each context has threads of its own."""

    any_name = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @asynccontextmanager
    async def watching(self, places: Sequence[str], listener: Listener) -> AsyncIterator[None]:
        """As `Notifier.watching`; that they cannot be watched is told to the listener."""
        stop = asyncio.Event()
        following = asyncio.create_task(self._follow(places, listener, stop))
        try:
            yield
        finally:
            stop.set()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, places: Sequence[str], listener: Listener, stop: asyncio.Event) -> None:
        try:
            with cancelled_only_by_us():
                async for changes in awatch(
                    *places,
                    watch_filter=None,
                    debounce=_DEBOUNCE_MS,
                    step=_STEP_MS,
                    stop_event=stop,
                    recursive=False,
                ):
                    told = [(_CHANGES[change], path) for change, path in changes]
                    listener.told(told, self._clock.monotonic())
        except* Exception as errors:
            # (From the watching itself errors come in groups.)
            error = errors.exceptions[0]
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            # That must not keep the other files from being told, and neither must a directory that
            # was just removed: what was told meanwhile is found by a walk.
            look = partial(_is_gone, error, places)
            if _is_no_text(error) or await in_a_thread(look, name="watch"):
                listener.lost()
            else:
                is_known = isinstance(error, OSError | WatchfilesRustInternalError)
                listener.lost(watch_error(error) if is_known else error)


def _is_no_text(error: Exception) -> bool:
    """Whether a watch ended by a name that is not UTF-8, which watchfiles does not know."""
    return isinstance(error, WatchfilesRustInternalError) and "Unable to decode" in str(error)


def _is_gone(error: Exception, places: Sequence[str]) -> bool:
    """Whether one of the directories below was just removed."""
    return watch_error(error).errno == errno.ENOENT and not all(map(os.path.isdir, places[1:]))


def watch_error(error: Exception) -> OSError:
    """The error with its number and the directory that it is about, which watchfiles has in the
    text, if at all; what is about inotify says so."""
    text = str(error)
    if isinstance(error, OSError) and error.errno:
        number, text = error.errno, error.strerror or text
    else:
        found = re.search(r"os error ([0-9]{1,9})", text)
        number = int(found[1]) if found else 0
        if not number and "watch limit reached" in text:
            number = errno.ENOSPC
    _, about, path = str(error).partition('about ["/')
    path, is_whole, _ = path.partition('"]')
    where = f"/{path}" if about and is_whole else None
    return OSError(number, LIMITS.get(number, text), where)
