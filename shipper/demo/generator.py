"""Writes events as Tetragon does: one write an event, files rotated by rename at a size.

`tetragon.log` becomes `tetragon-<time>.log`, a number of backups is kept and the oldest is deleted,
acknowledged or not: Tetragon does not ask who reads. The mode of the files is 600.
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

# Between the two writes of a line, in seconds: time for a reader to see half of it.
_SPLIT_PAUSE = 0.002

# How long the writer may sleep at once when it is ahead of its rate, in seconds.
_PACE = 0.05


class LogWriter:
    """Writes numbered events to `tetragon.log` in a directory, from 0 on or from `sequence`."""

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
            max_bytes: a file that would get larger is rotated before; 0: never.
            backups: rotated files that are kept.
            bad_share: of the lines, 0..1, which are not events (they have numbers all the same).
            split_share: of the lines, 0..1, which are written in two writes.
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
        #: When each line was written, by its place; seconds of `time.monotonic`.
        self.written_at = array("d")
        self.bytes_written = 0
        self.rotations = 0
        self.backups_deleted = 0
        self._open()

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self._directory / FILE_NAME

    @property
    def written(self) -> int:
        """How many lines are written."""
        return len(self.written_at)

    def write(self, count: int = 1) -> None:
        """Writes so many lines; rotates where the size asks for it."""
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
        """Renames the file, begins a new one, deletes the oldest backups; returns the backup."""
        seconds, fraction = divmod(time.time_ns(), 1_000_000_000)
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(seconds))
        # The number keeps names unique, and in the order of their age, however fast one rotates.
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
        """Goes on in `tetragon.log` as it is now; a restarted Tetragon appends to it."""
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
