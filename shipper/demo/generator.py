"""Writes events as Tetragon does: one write an event, rotation by rename at a maximum size.

`tetragon.log` becomes `tetragon-<time>.log`. The oldest backups are deleted, regardless of readers.
The mode of the files is 600.
"""

import os
import random
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from shipper.demo.events import EventSource

FILE_NAME = "tetragon.log"

#: Tetragon's defaults: 10 MB, five backups.
MAX_BYTES = 10_000_000
BACKUPS = 5

# Seconds between the two writes of a line, so that a reader sees half of it.
_SPLIT_PAUSE = 0.002

# The longest sleep of the writer when it is ahead of its rate, in seconds.
_PACE = 0.05


class LogWriter:
    """Writes numbered events to `tetragon.log` in a directory, starting with `sequence`."""

    def __init__(
        self,
        directory: Path,
        rng: random.Random,
        *,
        max_bytes: int = MAX_BYTES,
        backups: int = BACKUPS,
        bad_share: float = 0.0,
        split_share: float = 0.0,
        sequence: int = 0,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """
        Args:
            max_bytes: a file is rotated before it gets larger; 0: never.
            backups: rotated files that are kept.
            bad_share: share of invalid lines, 0..1 (they have numbers, too).
            split_share: share of lines that are written in two writes, 0..1.
            now: the time of the events; Unix time in nanoseconds.
        """
        self._directory = directory
        self._rng = rng
        self._events = EventSource(rng)
        self._max_bytes = max_bytes
        self._backups = backups
        self._bad_share = bad_share
        self._split_share = split_share
        self._now = now
        self._descriptor = -1
        self._size = 0
        #: The number of the next line.
        self.sequence = sequence
        #: When each line was written, in order; seconds of `time.monotonic`.
        self.written_at = array("d")
        self.bytes_written = 0
        self.rotations = 0
        self.backups_deleted = 0
        self._open()

    @property
    def path(self) -> Path:
        """The current file."""
        return self._directory / FILE_NAME

    @property
    def written(self) -> int:
        """Number of lines that were written."""
        return len(self.written_at)

    def write(self, count: int = 1) -> None:
        """Writes `count` lines; rotates at the maximum size."""
        for _ in range(count):
            self._write_line()

    def run(self, rate: float, stop: threading.Event, count: int | None = None) -> None:
        """Writes `rate` lines a second until `stop` is set or `count` are written."""
        began, first = time.monotonic(), self.written
        while not stop.is_set() and (count is None or self.written - first < count):
            self._write_line()
            ahead = began + (self.written - first) / rate - time.monotonic()
            if ahead > 0:
                stop.wait(min(ahead, _PACE))

    def rotate(self) -> Path:
        """Renames the file, starts a new one, deletes the oldest backups; returns the backup."""
        seconds, fraction = divmod(time.time_ns(), 1_000_000_000)
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(seconds))
        # The number keeps names unique and sorted by age, even with fast rotation.
        name = f"tetragon-{stamp}.{fraction // 1_000_000:03d}-{self.rotations:05d}.log"
        backup = self._directory / name
        self.close()
        self.path.rename(backup)
        self._open()
        self.rotations += 1
        for oldest in self.backups()[: -self._backups or None]:
            oldest.unlink()
            self.backups_deleted += 1
        return backup

    def backups(self) -> list[Path]:
        """The rotated files, the oldest first."""
        return sorted(self._directory.glob("tetragon-*.log"))

    def reopen(self) -> None:
        """Opens `tetragon.log` again for appending, as a restarted Tetragon does."""
        self.close()
        self._open()

    def close(self) -> None:
        """Closes the file; `write` needs `reopen` first."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> None:
        self._descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _write_line(self) -> None:
        rng = self._rng
        if self._bad_share and rng.random() < self._bad_share:
            line = self._events.bad_line(self.sequence) + b"\n"
        else:
            line = self._events.line(self.sequence, self._now()) + b"\n"
        if self._max_bytes and self._size and self._size + len(line) > self._max_bytes:
            self.rotate()
        if self._split_share and rng.random() < self._split_share:
            cut = rng.randrange(1, len(line))
            self._append(line[:cut])
            time.sleep(_SPLIT_PAUSE)
            self._append(line[cut:])
        else:
            self._append(line)
        self.sequence += 1
        self.written_at.append(time.monotonic())

    def _append(self, data: bytes) -> None:
        written = os.write(self._descriptor, data)
        if written != len(data):
            raise OSError(f"{self.path}: {written} of {len(data)} bytes written: disk full?")
        self._size += written
        self.bytes_written += written
