"""Whether a directory can be written to, as far as that shows without writing: for the data
directory, output files, and the hard links beside the logs.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from shipper.errors import reason_of
from shipper.files.retention import DIRECTORY


@dataclass(frozen=True, slots=True)
class NotWritable:
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
