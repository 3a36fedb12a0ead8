"""Whether a directory can be written to. For the data directory and output files that is tried; for
the hard links beside the logs it is told as far as it shows without writing.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from shipper.errors import reason_of
from shipper.files.retention import DIRECTORY

#: How much is written to see whether it can be.
_BYTES = 4096


class NotWritable(Struct, frozen=True):
    """Why nothing can be written in a directory, and what to do about it."""

    detail: str
    advice: str


def why_not_writable(directory: Path, *, may_be_made: bool = True) -> NotWritable | None:
    """Why nothing can be written there; None if nothing stands in the way.

    `may_be_made`: whether the directory, and those above it, are made where they are missing.
    """
    try:
        return _why_not_writable(directory, may_be_made)
    except OSError as error:
        advice = "let this user into the directories that lead there, and check the mount"
        return NotWritable(f"{error.filename or directory}: {reason_of(error)}", advice)


def why_no_file(directory: Path, *, may_be_made: bool = True) -> NotWritable | None:
    """Why no file can be made, locked and written there; None if that was done. The file is removed
    again, and so are directories that were made for it.

    `may_be_made`: as in `why_not_writable`.
    """
    problem = why_not_writable(directory, may_be_made=may_be_made)
    if problem is not None:
        return problem
    made: list[Path] = []
    try:
        for missing in reversed(list(_missing(directory))):
            os.mkdir(missing, 0o700)
            made.append(missing)
        return _try_file(directory)
    except OSError as error:
        detail = f"no file can be written in {directory}: {reason_of(error)}"
        return NotWritable(detail, "let this user write there, and check the disk and the mount")
    finally:
        for each in reversed(made):
            os.rmdir(each)


def why_not_ours(directory: Path, names: Iterable[str]) -> NotWritable | None:
    """The first of the files with these names that is there and that this user may not read and
    write; None if there is none."""
    for path in (directory / name for name in names):
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            return NotWritable(f"this user may not read and write {path}", "change its owner")
    return None


def _missing(directory: Path) -> Iterator[Path]:
    """The directories that are not there, from the innermost on."""
    while not directory.exists():
        yield directory
        directory = directory.parent


def _try_file(directory: Path) -> NotWritable | None:
    path = directory / f".shipper-check-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        left = bytes(_BYTES)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            detail = f"no file can be locked in {directory}: {reason_of(error)}"
            return NotWritable(detail, "use a file system with locks (flock)")
        return None
    finally:
        os.close(descriptor)
        os.unlink(path)


def why_not_linkable(directory: Path) -> NotWritable | None:
    """Why no hard links of the logs in a directory can be made; None if nothing stands in the
    way."""
    problem = why_not_writable(directory, may_be_made=False)
    if problem is not None:
        return problem
    links = directory / DIRECTORY
    try:
        found = os.lstat(links)
    except FileNotFoundError:
        return None
    except OSError as error:
        return NotWritable(f"{links}: {reason_of(error)}", "check the mount")
    if not stat.S_ISDIR(found.st_mode):
        return NotWritable(f"{links} is not a directory", "remove it")
    if found.st_uid != os.geteuid():
        advice = f"give it to user {os.geteuid()}, or remove it"
        return NotWritable(f"{links} belongs to user {found.st_uid}", advice)
    return why_not_writable(links, may_be_made=False)


def _why_not_writable(directory: Path, may_be_made: bool) -> NotWritable | None:
    while True:
        try:
            found = os.stat(directory)
            break
        except FileNotFoundError as error:
            if not may_be_made:
                return NotWritable(f"{directory}: {reason_of(error)}", "create it, or mount it")
        except NotADirectoryError:
            pass  # Something above it is a file.
        directory = directory.parent
    if not stat.S_ISDIR(found.st_mode):
        return NotWritable(f"{directory} is not a directory", "move that away")
    disk = os.statvfs(directory)
    if disk.f_flag & os.ST_RDONLY:
        return NotWritable(f"the file system of {directory} is read-only", "mount it writable")
    if not os.access(directory, os.W_OK | os.X_OK):
        return NotWritable(f"this user may not write to {directory}", "change its owner")
    if disk.f_blocks and not (disk.f_bavail if os.geteuid() else disk.f_bfree):
        return NotWritable(f"no space is left on the disk of {directory}", "free some")
    return None
