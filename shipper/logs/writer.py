"""The thread that writes the log to a descriptor, which stays blocking: standard error is shared
with other processes, whose writes must not begin to fail.

Only this thread ever waits for the reader. It is a daemon thread: a process that ends does not
wait for it beyond `close`.
"""

import contextlib
import os
import select
import threading
from queue import Empty, SimpleQueue

from shipper.logs.queue import DropReason, LogLine, LogQueue

#: Seconds between two looks whether the notice about dropped messages is due.
_NOTICE_CHECK_SECONDS = 1.0

#: Milliseconds to wait for room in a descriptor that somebody else made non-blocking.
_POLL_MS = 1000


class LogWriter:
    """Writes what is in a queue."""

    def __init__(self, descriptor: int, queue: LogQueue) -> None:
        self._descriptor = descriptor
        self._queue = queue
        # Not an Event, whose lock is not reentrant: the garbage collector may log anywhere.
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._closing = False
        # The last write ended within a line (a full disk).
        self._torn = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def offer(self, line: LogLine) -> None:
        """Has a line written. Never blocks."""
        self._queue.offer(line)
        self._wake_up()

    def drop(self, reason: DropReason) -> None:
        """Counts a message that will not be written."""
        self._queue.drop(reason)
        self._wake_up()

    def dropped(self) -> dict[DropReason, int]:
        """How many messages were dropped since the beginning, by reason."""
        return self._queue.dropped()

    def close(self, timeout: float) -> None:
        """Writes what is left, within `timeout` seconds."""
        self._closing = True
        self._wake_up()
        self._thread.join(timeout)

    def _wake_up(self) -> None:
        if self._wake.empty():
            self._wake.put(None)

    def _run(self) -> None:
        while True:
            closing = self._closing
            while (line := self._queue.take()) is not None:
                self._write(line)
            if closing:
                # Once: where it cannot be written, that is one more message that was dropped.
                if (notice := self._queue.take_notice()) is not None:
                    self._write(notice)
                return
            with contextlib.suppress(Empty):
                self._wake.get(timeout=_NOTICE_CHECK_SECONDS if self._queue.has_notice else None)

    def _write(self, line: bytes) -> None:
        """Writes the line; what cannot be written is dropped, and not tried again."""
        rest = memoryview(b"\n" + line if self._torn else line)
        written = 0
        try:
            while rest:
                try:
                    count = os.write(self._descriptor, rest)
                except BlockingIOError:
                    self._wait_for_room()
                    continue
                written += count
                rest = rest[count:]
        except OSError:
            # EPIPE, ENOSPC, EIO: the next message shows whether that is over.
            self._torn = self._torn or written > 0
            self._queue.drop(DropReason.WRITE_ERROR)
        else:
            self._torn = False

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll(_POLL_MS)
