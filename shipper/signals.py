"""The signals of the daemon: SIGTERM and SIGINT stop it; after SIGHUP the configuration is read
again.

SIGHUP has a handler, or is ignored, at any time: it ends no process. One that comes before the
daemon can act on it, or while it begins again, is acted on then.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGINT)


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
        # moment. Its handlers of other signals have it wake up for this one, too.
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


@contextlib.contextmanager
def handled_signals(stop: Callable[[], object]) -> Iterator[None]:
    """The first SIGTERM or SIGINT has the running event loop call `stop`; a second one ends the
    process at once."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for kind in _STOPPING:
            loop.remove_signal_handler(kind)
            signal.signal(kind, signal.SIG_DFL)
        stop()

    for kind in _STOPPING:
        loop.add_signal_handler(kind, first)
    # Comes when a file is opened to write in the moment in which we ask for its writers, and would
    # end the process.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        yield
    finally:
        for kind in _STOPPING:
            loop.remove_signal_handler(kind)
