"""A file of lines that several processes append to: one at a time, synced, and whole lines only."""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else has the lock at `path` meanwhile; waits for whoever has it.

    It is a file of its own, as those that it guards are renamed. It ends with the process, however
    that ends. Raises OSError.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def append_synced(path: Path, data: bytes) -> None:
    """Returns once the data is on the disk, at the end of the file. Raises OSError."""
    with open(path, "ab", opener=_private) as file:
        is_new = file.tell() == 0
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Returns once new, renamed and deleted names in the directory are on the disk."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def cut_half_line(path: Path) -> int:
    """Cuts off what a full disk, or a kill, left of a last line; returns the size in bytes.

    0 if there is no file.
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
    """What is appended are log lines: nobody else may read them."""
    return os.open(path, flags, 0o600)
