"""What the kernel says of files and directories."""

import os
import stat
from functools import lru_cache

from msgspec import Struct


class Inode(Struct, frozen=True, gc=False):
    """What the kernel calls a file; used again for another one as soon as the first is gone."""

    device: int
    number: int


class FileFacts(Struct, frozen=True):
    """What stat(2) says of a file."""

    inode: Inode
    size: int
    #: Nanoseconds since the Unix epoch.
    modified: int
    #: What it takes of the disk, in bytes: holes take nothing.
    allocated: int
    #: Not a directory, a FIFO, a socket or a device.
    is_regular: bool = True
    #: How many names it has, ours included.
    names: int = 1
    #: Nanoseconds since the Unix epoch: when it was written, or a name of it came or went (ctime).
    changed: int = 0


class Appended(Struct, frozen=True, gc=False):
    """What was appended to a file, up to its end."""

    #: The bytes that it begins with.
    head: bytes
    #: As in `FileFacts`.
    size: int
    modified: int
    allocated: int


class DirectoryFacts(Struct, frozen=True):
    """What stat(2) says of a directory."""

    inode: Inode
    #: Nanoseconds since the Unix epoch: when a name came or went last.
    modified: int
    #: Whether others than its owner may put names into it.
    open_to_others: bool
    #: Whether it is marked as one into which others could have put names (`make_private`).
    marked: bool = False


def directory_facts(found: os.stat_result) -> DirectoryFacts:
    """Those in a result of stat(2)."""
    mode = stat.S_IMODE(found.st_mode)
    return DirectoryFacts(
        inode_in(found), found.st_mtime_ns, bool(mode & 0o022), bool(mode & stat.S_ISVTX)
    )


def file_facts(found: os.stat_result) -> FileFacts:
    """Those in a result of stat(2)."""
    # A block of stat(2) has 512 bytes, whatever those of the file system have.
    allocated = min(found.st_size, 512 * found.st_blocks)
    return FileFacts(
        inode_in(found),
        found.st_size,
        found.st_mtime_ns,
        allocated,
        stat.S_ISREG(found.st_mode),
        found.st_nlink,
        found.st_ctime_ns,
    )


def inode_in(found: os.stat_result) -> Inode:
    """Which file a result of stat(2) is of."""
    return Inode(_device(found.st_dev), found.st_ino)


@lru_cache(maxsize=64)
def _device(number: int) -> int:
    """The same object for the same number: there are many files, and few devices."""
    return number
