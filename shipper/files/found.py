"""The files that walks found: each once, whatever paths lead to it, and so many of the newest.

There may be tens of thousands at a time. Of those that are settled no more is kept than when they
were written to.
"""

import os
from array import array
from heapq import nlargest
from typing import Protocol

import msgspec

from shipper.files.facts import Inode, inode_in

#: So many files of one input are followed; of more those that were written to last.
MAX_FILES = 50_000

# Of times that take 64 bits; a file may say that it is of the year 2300.
_LATEST = 2**63 - 1


class Found(msgspec.Struct, frozen=True, gc=False):
    """A file as a walk saw it."""

    path: str
    #: Bytes, and nanoseconds since the Unix epoch.
    size: int
    modified: int
    #: Of several paths to one file, that of the lowest rank stands for it.
    rank: int = 0


#: In place of a file of which no more has to be known: of many that is much memory.
PARKED = Found("", 0, 0)


class Settled(Protocol):
    """Files of which nobody has to hear unless something becomes of them."""

    @property
    def walk(self) -> int:
        """The number of the walk that asks."""

    def see(self, inode: Inode, path: str, size: int, modified: int) -> bool:
        """The walk saw a file at that path, with that size (bytes) and time of modification
        (nanoseconds): returns whether it is one of them, and notes that it is there."""


class FoundFiles(msgspec.Struct):
    """What the walks of one or more globs found."""

    max_files: int = MAX_FILES
    settled: Settled | None = None
    #: How many files were too many.
    left_out: int = 0
    #: If some were, what was written to before that is not among those that are followed
    #: (nanoseconds since the Unix epoch).
    oldest: int = 0
    _files: dict[Inode, Found] = msgspec.field(default_factory=dict)
    # When those that are settled were written to.
    _settled_times: "array[int]" = msgspec.field(default_factory=lambda: array("q"))

    def take(self, path: str, status: os.stat_result, rank: int) -> None:
        """A regular file that matches. `rank`: as `Found.rank`."""
        inode = inode_in(status)
        size, modified = status.st_size, status.st_mtime_ns
        if self.settled is not None and self.settled.see(inode, path, size, modified):
            self._files.pop(inode, None)
            self._settled_times.append(max(-_LATEST, min(modified, _LATEST)))
            return
        before = self._files.get(inode)
        if before is not None and (before.rank, before.path) <= (rank, path):
            return
        self._files[inode] = Found(path, size, modified, rank)
        if len(self._files) >= 2 * self.max_files:
            self._forget_oldest(self.max_files)

    def newest(self) -> dict[Inode, Found]:
        """The files, the newest first; of the same time the shorter name, which the active log has
        where a rotated one has a time stamp in it."""
        excess = len(self._settled_times) + len(self._files) - self.max_files
        if excess > 0:
            times = [found.modified for found in self._files.values()]
            times += self._settled_times
            self.oldest = sorted(times)[excess]
            settled = sum(time >= self.oldest for time in self._settled_times)
            self.left_out += len(self._settled_times) - settled
            self._forget_oldest(max(0, self.max_files - settled))
        # In turns, the last one first: a tuple for each file would be megabytes.
        files = self._files
        inodes = sorted(files, key=lambda inode: files[inode].path)
        inodes.sort(key=lambda inode: len(files[inode].path))
        inodes.sort(key=lambda inode: files[inode].modified, reverse=True)
        return {inode: files[inode] for inode in inodes}

    @property
    def settled_count(self) -> int:
        """How many settled files there are."""
        return len(self._settled_times)

    def _forget_oldest(self, count: int) -> None:
        excess = len(self._files) - count
        if excess > 0:
            newest = nlargest(count, self._files.items(), key=lambda item: item[1].modified)
            self._files = dict(newest)
            self.left_out += excess
