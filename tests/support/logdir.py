"""A directory of Tetragon's logs: numbered events, and everything that can happen to the files.

    log_directory.write(100)            events 0 to 99, one write each
    log_directory.rotate()              by rename, as Tetragon does
    log_directory.copy_and_truncate()   as logrotate does when told to
    log_directory.truncate()            cut to nothing; the writer goes on at the beginning
    log_directory.append(b"x\\n")       any bytes
    log_directory.delete(path)          a file is gone

Numbers go on whatever happens, so ``BulkServer.audit(log_directory.written)`` says what is missing.
"""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shipper.demo.generator import LogWriter

MANY = 1_000_000
"""More backups than a test rotates: nothing is deleted unless a test says so."""


class LogDirectory:
    """One directory, one writer. Nothing rotates by itself unless ``max_bytes`` is given."""

    def __init__(
        self,
        path: Path,
        *,
        seed: int = 0,
        max_bytes: int = 0,
        backups: int = MANY,
        bad_share: float = 0.0,
        split_share: float = 0.0,
    ) -> None:
        """See ``LogWriter`` for the arguments; the directory is made if it is not there."""
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.writer = LogWriter(
            path,
            random.Random(seed),
            max_bytes=max_bytes,
            backups=backups,
            bad_share=bad_share,
            split_share=split_share,
        )

    @property
    def log(self) -> Path:
        """The file that is written to."""
        return self.writer.path

    @property
    def glob(self) -> str:
        """What a configuration names to have all files followed."""
        return str(self.path / "*.log")

    @property
    def written(self) -> int:
        """How many numbered lines are written."""
        return self.writer.written

    @property
    def files(self) -> list[Path]:
        """All files there are, by name."""
        return sorted(self.path.iterdir())

    def write(self, count: int = 1) -> None:
        """Write so many events."""
        self.writer.write(count)

    @contextmanager
    def writing(self, rate: float) -> Iterator[None]:
        """Write ``rate`` lines a second for as long as the block lasts."""
        stop = threading.Event()
        thread = threading.Thread(target=self.writer.run, args=(rate, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def append(self, data: bytes) -> None:
        """Append any bytes to the log, in one write."""
        with self.log.open("ab", buffering=0) as file:
            file.write(data)

    def rotate(self) -> Path:
        """Rename the log and begin a new one; return the rotated file."""
        return self.writer.rotate()

    def copy_and_truncate(self) -> Path:
        """Copy the log and cut it to nothing, inode and all as it was; return the copy."""
        copy = self.path / f"tetragon-copy-{self.written:09d}.log"
        shutil.copyfile(self.log, copy)
        self.truncate()
        return copy

    def truncate(self, size: int = 0) -> None:
        """Cut the log to ``size`` bytes; the next line is written there."""
        with self.log.open("r+b") as file:
            file.truncate(size)
        self.writer.reopen()

    def replace(self, content: bytes = b"") -> None:
        """Put another file under the log's name, as an editor does; the writer goes on in it."""
        new = self.path / "new"
        new.write_bytes(content)
        new.rename(self.log)
        self.writer.reopen()

    def delete(self, path: Path | None = None) -> None:
        """Delete a file; the log when not given, and the writer begins a new one."""
        (path or self.log).unlink()
        if path is None or path == self.log:
            self.writer.reopen()

    def lines(self) -> list[bytes]:
        """Return the lines of all files, without newlines: what is on the disk, by file name."""
        return [line for path in self.files for line in path.read_bytes().splitlines()]

    def close(self) -> None:
        """Close the writer's file."""
        self.writer.close()
