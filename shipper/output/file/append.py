"""One file that is appended to, and rotated. What `append` returned for is on the disk, whole; of
what it raised for nothing is left.

    PATH                                  the one that is written to
    PATH.20261125T012345.678901Z          rotated at that time; the names sort by age

A kill may leave half a line at the end: the next start cuts it off, and nothing else is ever cut
but what a failed write left behind. Everything here blocks, and is for one thread at a time.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shipper.config.file_output import FileConfig, FileFormat
from shipper.output.appending import sync_directory
from shipper.output.file.recall import Recall, recall

_ROTATED_AT = "%Y%m%dT%H%M%S.%fZ"

#: What the lines of a file in format `bulk` begin with, every other one.
_ACTION = b'{"create"'


class AppendedFile:
    """The only writer of its file: a lock on it keeps others out."""

    def __init__(self, config: FileConfig, now: Callable[[], float]) -> None:
        """`now` tells Unix seconds, for the names of rotated files."""
        self._config = config
        self._path = Path(config.path)
        self._now = now
        self._descriptor: int | None = None
        #: The end of what was appended, in bytes, while what comes after it is to be cut off.
        self._cut_at: int | None = None
        #: Bytes of rotated files that were deleted by an `append` that then failed.
        self._deleted = 0
        #: What was there before; None until the file was opened for the first time.
        self.recall: Recall | None = None

    def open(self) -> None:
        """Opens the file, or makes it; also when another one stands in its place by now.

        Raises OSError, in words where the system has none.
        """
        if self._descriptor is not None:
            if self._stands_there(self._descriptor):
                return
            self.close()
        descriptor = self._open()
        if not self._is_of_our_format(descriptor):
            self._rotate(descriptor)
            descriptor = self._open()
        try:
            self._delete_surplus()
            if self.recall is None:
                newest_first = [self._path, *(path for _, path in reversed(self._rotated()))]
                self.recall = recall(newest_first)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def append(self, data: bytes) -> int:
        """Returns once `data`, whole lines, is on the disk; and how many bytes of the oldest
        rotated files were deleted.

        Raises OSError: nothing of `data` counts as written, and all of it may be given again.
        """
        self.open()
        descriptor = self._opened()
        self._cut_back(descriptor)
        size = os.fstat(descriptor).st_size
        if size and size + len(data) > self._config.max_bytes:
            self._descriptor = None
            self._rotate(descriptor)
            self.open()
            descriptor, size = self._opened(), 0
        try:
            _write(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            self._cut_at = size
            with contextlib.suppress(OSError):
                self._cut_back(descriptor)
            raise
        deleted, self._deleted = self._deleted, 0
        return deleted

    def close(self) -> None:
        """Closes the file, if it is open; the next call opens it again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                self._cut_back(descriptor)
            self._cut_at = None
            os.close(descriptor)

    def _opened(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, "it is not open", str(self._path))
        return self._descriptor

    def _open(self) -> int:
        """A locked descriptor of a file that ends in a whole line, which is on the disk, name and
        all."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._error(errno.EINVAL, "it is not a regular file")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._error(errno.EBUSY, "another process writes to it") from None
            self._cut_half_line(descriptor)
            # What a life before wrote last may not have been synced, and is taken as written.
            os.fsync(descriptor)
            sync_directory(self._path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _stands_there(self, descriptor: int) -> bool:
        """Whether the path leads to the open file: somebody may have moved or deleted it."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _is_of_our_format(self, descriptor: int) -> bool:
        try:
            begin = os.pread(descriptor, len(_ACTION), 0)
        except OSError:
            os.close(descriptor)
            raise
        is_bulk = begin == _ACTION
        return not begin or is_bulk == (self._config.format is FileFormat.BULK)

    def _cut_half_line(self, descriptor: int) -> None:
        """Of an action without its document, the action goes too.

        Raises OSError for a file that holds something else than our lines: nothing is cut there.
        """
        size = os.fstat(descriptor).st_size
        if not size:
            return
        with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as content:
            whole = content.rfind(b"\n") + 1
            last = content.rfind(b"\n", 0, max(0, whole - 1)) + 1
            if content[last : last + len(_ACTION)] == _ACTION:
                whole = last
            # A machine that lost its power may have left zeros in place of a last line.
            if content[:1] not in b"{\0" or content[whole : whole + 1] not in b"{\0":
                raise self._error(errno.EEXIST, "it holds something else than shipper's lines")
        if whole < size:
            os.ftruncate(descriptor, whole)

    def _cut_back(self, descriptor: int) -> None:
        """Cuts off what a failed write left."""
        if self._cut_at is not None:
            if os.fstat(descriptor).st_size > self._cut_at:
                os.ftruncate(descriptor, self._cut_at)
            self._cut_at = None

    def _rotate(self, descriptor: int) -> None:
        """Renames the file, whose descriptor is closed; the next `open` makes a new one."""
        try:
            at = datetime.fromtimestamp(self._now(), UTC)
            rotated = self._rotated()
            if rotated and rotated[-1][0] >= at:
                # The clock was set back: the order of the names is that of the files still.
                at = rotated[-1][0] + timedelta(microseconds=1)
            self._path.rename(self._path.with_name(f"{self._path.name}.{at:{_ROTATED_AT}}"))
        finally:
            os.close(descriptor)

    def _delete_surplus(self) -> None:
        if not self._config.keep:
            return
        for _, path in self._rotated()[: -self._config.keep]:
            size = path.stat().st_size
            path.unlink()
            self._deleted += size

    def _rotated(self) -> list[tuple[datetime, Path]]:
        """The rotated files, oldest first."""
        prefix = f"{self._path.name}."
        found = []
        for name in os.listdir(self._path.parent):
            if name.startswith(prefix):
                with contextlib.suppress(ValueError):
                    at = datetime.strptime(name.removeprefix(prefix), _ROTATED_AT)
                    found.append((at.replace(tzinfo=UTC), self._path.with_name(name)))
        return sorted(found)

    def _error(self, number: int, words: str) -> OSError:
        return OSError(number, words, str(self._path))


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
