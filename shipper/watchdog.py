"""Ends the process when the event loop does not turn any more, or when a stop does not end: its
supervisor starts it again. What is kept by a descriptor only is lost by that, as by any kill.

Time in which the process could not run does not count: SIGSTOP, the freezer of a container runtime,
a suspended machine, and waiting for a processor (throttling). Waiting for a disk, a mount or a host
is done in threads and by tasks, and does not stop the event loop.

Two mechanisms, for the two ways to hang:

- A thread asks the loop for a sign of life. It needs the interpreter's lock.
- Code that keeps the interpreter's lock burns processor time: a timer that counts only that
  (ITIMER_PROF), and that the thread sets anew as long as it gets the lock, has the kernel send a
  signal, which faulthandler answers without the lock.
"""

import asyncio
import contextlib
import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from shipper.logs import Log
from shipper.logs.events import EVENT_LOOP_STALLED, STOP_TIMED_OUT

#: So many looks make up the limit.
_LOOKS = 12

#: How long the last messages may take to be written, in seconds.
_FLUSH_SECONDS = 2.0

#: The exit code: as for other errors that a restart may end.
EXIT_CODE = 1


class StallDetector:
    """Adds up how long the loop has given no sign of life while the process could run."""

    def __init__(self, limit: float) -> None:
        """`limit` in seconds."""
        self.limit = limit
        #: Seconds between two looks.
        self.interval = limit / _LOOKS
        #: Seconds without a sign of life that count.
        self.counted = 0.0

    def look(self, *, turned: bool, elapsed: float, delayed: float) -> bool:
        """Whether that is too long. `turned`: the loop has given a sign of life since the look
        before; `elapsed`: seconds since then; `delayed`: of these, the loop's thread was ready to
        run and had no processor."""
        if turned:
            self.counted = 0.0
            return False
        # Who looks late was stopped, as the loop was.
        self.counted += max(0.0, min(elapsed, self.interval) - delayed)
        # A little less than the limit: the sum of its parts may be.
        return self.counted >= self.limit - self.interval / 2


class Watchdog:
    """Watches one event loop while the context is open."""

    def __init__(
        self,
        detector: StallDetector,
        loop: asyncio.AbstractEventLoop,
        *,
        on_stall: Callable[[float], None],
        delay: Callable[[], float],
    ) -> None:
        """`on_stall` is called in a thread with the seconds that counted. `delay`: for how many
        seconds the loop's thread has been ready to run and had no processor, in its life."""
        self._detector = detector
        self._loop = loop
        self._on_stall = on_stall
        self._delay = delay
        self._turned = True
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> None:
        self._prove_lock()
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        # It waits for nothing else. Its timer must not be set after this.
        self._thread.join()

    def _prove_lock(self) -> None:
        """Who calls this has the interpreter's lock: nobody keeps it."""
        signal.setitimer(signal.ITIMER_PROF, self._detector.limit)

    def _turn(self) -> None:
        self._turned = True

    def _run(self) -> None:
        before, delayed_before = time.monotonic(), self._delay()
        while not self._closed.wait(self._detector.interval):
            self._prove_lock()
            now, delayed = time.monotonic(), self._delay()
            turned, self._turned = self._turned, False
            stalled = self._detector.look(
                turned=turned, elapsed=now - before, delayed=delayed - delayed_before
            )
            before, delayed_before = now, delayed
            if stalled:
                self._on_stall(self._detector.counted)
            if turned:
                with contextlib.suppress(RuntimeError):  # The loop is closed.
                    self._loop.call_soon_threadsafe(self._turn)
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextlib.contextmanager
def watched(limit: float, log: Log) -> Iterator[None]:
    """Watches the running event loop, whose thread has to be this one; `limit` in seconds, 0: it is
    not watched."""
    if not limit:
        yield
        return

    def end(seconds: float) -> None:
        stacks = _stacks()
        log.emit(EVENT_LOOP_STALLED, seconds=round(seconds, 1), trace=stacks)
        log.finish(_FLUSH_SECONDS)
        os._exit(EXIT_CODE)

    # Written by the kernel's signal in whatever state the interpreter is; then the signal's own
    # action, which is the end. Descriptor 2 is where the log goes, too.
    faulthandler.register(signal.SIGPROF, file=2, all_threads=True, chain=True)
    try:
        watching = Watchdog(
            StallDetector(limit),
            asyncio.get_running_loop(),
            on_stall=end,
            delay=_delay_of(threading.get_native_id()),
        )
        with watching:
            yield
    finally:
        faulthandler.unregister(signal.SIGPROF)


class ExitDeadline:
    """Ends the process if it has not ended by then: no thread that hangs in the kernel is waited
    for."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._timer: threading.Timer | None = None

    def __call__(self, seconds: float) -> None:
        """From now on, in place of an earlier deadline."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._end, (seconds,))
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """It has ended in time."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, seconds: float) -> None:
        self._log.emit(STOP_TIMED_OUT, seconds=seconds, trace=_stacks())
        self._log.finish(_FLUSH_SECONDS)
        os._exit(EXIT_CODE)


def _stacks() -> str:
    """Where each other thread is, the main thread first."""
    descriptor = os.memfd_create("stacks")
    try:
        faulthandler.dump_traceback(descriptor, all_threads=True)
        text = os.pread(descriptor, 1 << 20, 0).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    # faulthandler begins with the newest.
    threads = [each.strip() for each in text.split("\n\n") if not each.startswith("Current thread")]
    return "\n\n".join(reversed(threads))


def _delay_of(thread: int) -> Callable[[], float]:
    """How long that thread of ours has waited for a processor in its life, in seconds; 0 where the
    kernel does not say (proc(5), schedstat)."""
    path = Path(f"/proc/self/task/{thread}/schedstat")

    def delay() -> float:
        try:
            return int(path.read_bytes().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    return delay
