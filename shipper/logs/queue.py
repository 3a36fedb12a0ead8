"""What waits to be written: bounded in lines and bytes. What does not fit is dropped and counted,
and once there is room a notice says how many were.

Shared by the threads that log and the one that writes; nobody waits for anybody in here.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum

from msgspec import Struct

from shipper.clock import Clock
from shipper.logs.events import Level
from shipper.logs.limits import REPEAT_SECONDS, SHARES

#: At most so many lines, and so many bytes of them.
MAX_LINES = 1000
MAX_BYTES = 1024**2


class DropReason(Enum):
    """Why a message was not written: a label of `shipper_log_messages_dropped_total`."""

    #: Standard error is not read, or not as fast as messages come.
    QUEUE_FULL = "queue_full"
    #: More messages per second than the limit.
    RATE_LIMIT = "rate_limit"
    #: The reader of standard error has gone, or its disk is full.
    WRITE_ERROR = "write_error"


class LogLine(Struct, frozen=True):
    """One message as it is written, with its newline."""

    data: bytes
    level: Level
    #: Takes the place of the oldest lines where there is no other.
    essential: bool = False


class LogQueue:
    """Lines in their order."""

    def __init__(
        self,
        clock: Clock,
        *,
        notice: Callable[[Mapping[DropReason, int]], bytes | None],
    ) -> None:
        """`notice` makes the line about what was dropped since the last one, or None if such a line
        is below the level."""
        self._clock = clock
        self._notice = notice
        self._lines: deque[LogLine] = deque()
        self._size = 0
        # Since the beginning, and up to the last notice. Counted here and not in a metric: those
        # have locks that are not reentrant.
        self._dropped = dict.fromkeys(DropReason, 0)
        self._noticed = dict(self._dropped)
        self._noticed_at = -REPEAT_SECONDS
        # Reentrant: the garbage collector may run, and log, anywhere in here.
        self._lock = threading.RLock()

    def offer(self, line: LogLine) -> None:
        """Appends a line, or drops it. Never blocks."""
        with self._lock:
            while line.essential and self._lines and not self._fits(line, 1.0):
                self._size -= len(self._lines.popleft().data)
                self.drop(DropReason.QUEUE_FULL)
            if not self._fits(line, 1.0 if line.essential else SHARES[line.level]):
                self.drop(DropReason.QUEUE_FULL)
                return
            self._lines.append(line)
            self._size += len(line.data)

    def drop(self, reason: DropReason) -> None:
        """Counts a message that will not be written."""
        with self._lock:
            self._dropped[reason] += 1

    def dropped(self) -> dict[DropReason, int]:
        """How many messages were dropped since the beginning, by reason."""
        return dict(self._dropped)

    def take(self) -> bytes | None:
        """The next line; None if there is none now. When all lines are taken, the notice about
        dropped messages is due, at most every REPEAT_SECONDS."""
        with self._lock:
            if self._lines:
                line = self._lines.popleft()
                self._size -= len(line.data)
                return line.data
            if self._clock.monotonic() - self._noticed_at < REPEAT_SECONDS:
                return None
        return self.take_notice()

    def take_notice(self) -> bytes | None:
        """The notice about what was dropped since the last one; None if nothing was."""
        with self._lock:
            if not self.has_notice:
                return None
            before, self._noticed = self._noticed, dict(self._dropped)
            self._noticed_at = self._clock.monotonic()
        new = {reason: count - before[reason] for reason, count in self._noticed.items()}
        return self._notice({reason: count for reason, count in new.items() if count})

    @property
    def has_notice(self) -> bool:
        """Whether a notice is due, now or later."""
        return self._dropped != self._noticed

    def _fits(self, line: LogLine, share: float) -> bool:
        return (
            len(self._lines) < MAX_LINES * share
            and self._size + len(line.data) <= MAX_BYTES * share
        )
