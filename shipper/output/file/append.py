"""The output file: appends, syncs and rotates. When `append` returns, the data is on the disk; when
it raises, nothing of the data is left in the file.

    PATH                                  the current file
    PATH.20261125T012345.678901Z          rotated at that time; the names sort by age

A kill may leave an incomplete line at the end: the next start truncates it. Apart from that, only
the rest of a failed write is truncated. All calls block; one thread at a time.
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
from shipper.output.file.written import WrittenDocuments, read_written

_ROTATED_AT = "%Y%m%dT%H%M%S.%fZ"

#: The beginning of an action line; in format `bulk` every other line is one.
_ACTION = b'{"create"'


class AppendedFile:
    """The only writer of its file, which it locks."""

    def __init__(self, config: FileConfig, now: Callable[[], float]) -> None:
        """`now` returns Unix seconds, for the names of rotated files."""
        self._config = config
        self._path = Path(config.path)
        self._now = now
        self._descriptor: int | None = None
        #: The size in bytes to truncate the file to after a failed write; else None.
        self._truncate_to: int | None = None
        #: Bytes of rotated files that were deleted by an `append` that then failed.
        self._deleted = 0
        #: Documents of earlier runs; None until the file was opened for the first time.
        self.written: WrittenDocuments | None = None

    def open(self) -> None:
        """Opens or creates the file; opens it again if the path leads to another file.

        Raises OSError.
        """
        if self._descriptor is not None:
            if self._is_at_path(self._descriptor):
                return
            self.close()
        descriptor = self._open()
        if not self._has_format(descriptor):
            self._rotate(descriptor)
            descriptor = self._open()
        try:
            self._delete_surplus()
            if self.written is None:
                newest_first = [self._path, *(path for _, path in reversed(self._rotated()))]
                self.written = read_written(newest_first)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def append(self, data: bytes) -> int:
        """Appends `data`, complete lines, and syncs it to the disk; returns the bytes of the oldest
        rotated files that were deleted.

        Raises OSError: nothing of `data` counts as written; the caller may try again with all of
        it.
        """
        self.open()
        descriptor = self._opened()
        self._truncate(descriptor)
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
            self._truncate_to = size
            with contextlib.suppress(OSError):
                self._truncate(descriptor)
            raise
        deleted, self._deleted = self._deleted, 0
        return deleted

    def close(self) -> None:
        """Closes the file, if it is open; the next call opens it again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                self._truncate(descriptor)
            self._truncate_to = None
            os.close(descriptor)

    def _opened(self) -> int:
        if self._descriptor is None:
            raise OSError(errno.EBADF, "it is not open", str(self._path))
        return self._descriptor

    def _open(self) -> int:
        """A locked descriptor of a file that ends in a complete line; file and name are synced."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._error(errno.EINVAL, "it is not a regular file")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._error(errno.EBUSY, "another process writes to it") from None
            self._cut_incomplete_line(descriptor)
            # An earlier run may not have synced its last lines, which now count as written.
            os.fsync(descriptor)
            sync_directory(self._path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _is_at_path(self, descriptor: int) -> bool:
        """Whether the path leads to the open file, which may have been moved or deleted."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _has_format(self, descriptor: int) -> bool:
        try:
            begin = os.pread(descriptor, len(_ACTION), 0)
        except OSError:
            os.close(descriptor)
            raise
        is_bulk = begin == _ACTION
        return not begin or is_bulk == (self._config.format is FileFormat.BULK)

    def _cut_incomplete_line(self, descriptor: int) -> None:
        """Truncates an incomplete last line, and an action without its document.

        Raises OSError for a file that was not written by shipper; it is not changed.
        """
        size = os.fstat(descriptor).st_size
        if not size:
            return
        with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as content:
            whole = content.rfind(b"\n") + 1
            last = content.rfind(b"\n", 0, max(0, whole - 1)) + 1
            if content[last : last + len(_ACTION)] == _ACTION:
                whole = last
            # After a power failure there may be zeros in place of the last line.
            if content[:1] not in b"{\0" or content[whole : whole + 1] not in b"{\0":
                raise self._error(errno.EEXIST, "it holds something else than shipper's lines")
        if whole < size:
            os.ftruncate(descriptor, whole)

    def _truncate(self, descriptor: int) -> None:
        """Truncates the rest of a failed write."""
        if self._truncate_to is not None:
            if os.fstat(descriptor).st_size > self._truncate_to:
                os.ftruncate(descriptor, self._truncate_to)
            self._truncate_to = None

    def _rotate(self, descriptor: int) -> None:
        """Renames the file and closes its descriptor; the next `open` creates a new file."""
        try:
            at = datetime.fromtimestamp(self._now(), UTC)
            rotated = self._rotated()
            if rotated and rotated[-1][0] >= at:
                # The clock was set back: the names must still sort by age.
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

    def _error(self, number: int, message: str) -> OSError:
        return OSError(number, message, str(self._path))


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
