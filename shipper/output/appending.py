"""Appends to a file that several processes write to: one at a time, synced, complete lines only."""

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from shipper.errors import reason_of

#: What is about a disk and not about one file: no space, a quota that is used up, and a file system
#: that has become read-only.
_OF_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock at `path`; waits while another process holds it. Raises OSError.

    The lock is a separate file, as the files that it protects are renamed. The kernel releases it
    when the process ends.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def is_of_disk(error: OSError) -> bool:
    """Whether it is about the disk, whichever file met it: full, or read-only."""
    return error.errno in _OF_DISK


def write_failure(path: Path, error: OSError) -> str:
    """Why a file at `path` cannot be written, in words that name the file, or the directory of the
    disk that is full or read-only."""
    if is_of_disk(error):
        return f"{reason_of(error)} (the disk of {path.parent})"
    # An error of our own has words of its own: "another process writes to it".
    is_ours = error.strerror and error.strerror != os.strerror(error.errno or 0)
    return f"{error.strerror if is_ours else reason_of(error)}: {error.filename or path}"


def append_synced(path: Path, data: bytes) -> None:
    """Appends data and syncs it to the disk. Raises OSError."""
    with open(path, "ab", opener=_private) as file:
        is_new = file.tell() == 0
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Syncs new, renamed and deleted names of a directory to the disk. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def cut_incomplete_line(path: Path) -> int:
    """Removes an incomplete last line (full disk, or a kill); returns the file's size in bytes.

    The size is 0 if there is no file. Raises OSError.
    """
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return 0
    with file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            whole = content.rfind(b"\n") + 1
        if whole < size:
            file.truncate(whole)
        return whole


def _private(path: str, flags: int) -> int:
    """Opens with mode 600: the file has log lines, which other users may not read."""
    return os.open(path, flags, 0o600)
