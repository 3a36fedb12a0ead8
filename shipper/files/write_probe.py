"""Why a directory's disk takes no data, where a library hides what the system said."""

import errno
import os
from pathlib import Path

# As much as SQLite writes at a time.
_BYTES = 4096

# A file system that has no files without a name (open(2), O_TMPFILE).
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


def why_not_writable(directory: Path, size: int = _BYTES) -> OSError | None:
    """What the system says to `size` bytes that are written there; None if it takes them.

    They go into a file without a name: that knows more than statvfs(2) tells, such as a quota, or
    an ext4 that became read-only by an error (since Linux 6.12 its mount says nothing of that).
    """
    try:
        probe = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return error if error.errno not in _NO_UNNAMED_FILES else _by_its_facts(directory)
    try:
        left = bytes(size)
        while left:
            left = left[os.write(probe, left) :]
    except OSError as error:
        return error
    finally:
        os.close(probe)
    return None


def _by_its_facts(directory: Path) -> OSError | None:
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return error
    if found.f_flag & os.ST_RDONLY:
        return _error(errno.EROFS)
    return None if found.f_bavail else _error(errno.ENOSPC)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
