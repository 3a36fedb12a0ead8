"""The signals of the daemon: SIGTERM and SIGINT stop it, SIGHUP reads the configuration again."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

_STOPPING = (signal.SIGTERM, signal.SIGINT)


def ignore_hangups() -> None:
    """Has SIGHUP end no process that has no handler for it, at the start and between two lives of
    the daemon."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextlib.contextmanager
def handled_signals(
    stop: Callable[[], object], reload: Callable[[], object] | None
) -> Iterator[None]:
    """The first SIGTERM or SIGINT calls `stop`; a second one ends the process at once. SIGHUP calls
    `reload`, if there is one. Both are called by the running event loop."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for kind in _STOPPING:
            loop.remove_signal_handler(kind)
            signal.signal(kind, signal.SIG_DFL)
        stop()

    for kind in _STOPPING:
        loop.add_signal_handler(kind, first)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, reload)
    # Comes when a file is opened to write in the moment in which we ask for its writers, and would
    # end the process.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        yield
    finally:
        for kind in _STOPPING:
            loop.remove_signal_handler(kind)
        if reload is not None:
            loop.remove_signal_handler(signal.SIGHUP)
            ignore_hangups()
