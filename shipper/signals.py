"""The signals of the daemon: SIGTERM and SIGINT stop it; after SIGHUP the configuration is read
again.

SIGHUP has a handler, or is ignored, at any time: it ends no process. One that comes before the
daemon can act on it, or while it begins again, is acted on then. A SIGTERM or SIGINT that comes
while the daemon begins again stops it as soon as it can stop in order.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGINT)

#: How much of the pipe is emptied at once, in bytes.
_PIECE = 4096


class Hangups:
    """The SIGHUP of a process: remembered, while nobody handles them."""

    def __init__(self) -> None:
        self._came = False
        self._act: Callable[[], object] | None = None

    @contextlib.contextmanager
    def remembered(self) -> Iterator[None]:
        """Has them be remembered or handled meanwhile, and be ignored after that."""
        signal.signal(signal.SIGHUP, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    @contextlib.contextmanager
    def handled(self, act: Callable[[], object]) -> Iterator[None]:
        """Has the running event loop call `act` for each meanwhile, and at once if one was
        remembered."""
        loop = asyncio.get_running_loop()
        # No handler of the loop's own: when that is removed, the signal ends the process for a
        # moment. `Stops.handled` has it wake up for this one, too.
        self._act = lambda: loop.call_soon_threadsafe(act)
        if self._came:
            self._came = False
            act()
        try:
            yield
        finally:
            self._act = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._act is None:
            self._came = True
        else:
            self._act()


class Stops:
    """The SIGTERM and SIGINT of a process. The first one stops it in order, a second one ends it at
    once."""

    def __init__(self) -> None:
        self._came = False
        self._act: Callable[[], object] | None = None

    @contextlib.contextmanager
    def handled(self, stop: Callable[[], object]) -> Iterator[None]:
        """Has the running event loop call `stop` for the first one, and at once if one was
        remembered. After that the first one is remembered, for a daemon that begins again."""
        loop = asyncio.get_running_loop()
        # Comes when a file is opened to write in the moment in which we ask for its writers, and
        # would end the process.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        with _woken_up(loop):
            self._act = lambda: loop.call_soon_threadsafe(stop)
            if self._came:
                stop()
            else:
                for kind in _STOPPING:
                    signal.signal(kind, self._handle)
            try:
                yield
            finally:
                self._act = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        for kind in _STOPPING:
            signal.signal(kind, signal.SIG_DFL)
        if self._act is not None:
            self._act()


class Signals:
    """Those of a process, over all that the daemon begins again."""

    def __init__(self) -> None:
        self.hangups = Hangups()
        self.stops = Stops()


@contextlib.contextmanager
def _woken_up(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Has every signal wake the loop up, also if another thread gets it.

    The loop's own handlers learn from the pipe which signal it was: thousands of SIGHUP fill it,
    and a SIGTERM would be lost. Here it only wakes up, for which one byte is enough.
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        loop.add_reader(reading, os.read, reading, _PIECE)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(reading)
    finally:
        os.close(reading)
        os.close(writing)
