"""Files that are followed and not open: each has a link, which finds it whatever becomes of its
name, and gives its descriptor back.

A file is parked when all of it is acknowledged and it was not written to for a while, or before
that, when there are more files than descriptors. It is opened again when it was written to, when
its name goes, or when there is a descriptor for what is unread of it. A parked file takes some 900
bytes of memory; an open one takes six times as much.
"""

from collections.abc import Iterator, KeysView
from dataclasses import dataclass

import msgspec

from shipper.files.filesystem import Inode
from shipper.files.records import FileRecords
from shipper.files.rows import RowId
from shipper.files.tail import Tail


class ParkedFile(msgspec.Struct, gc=False):
    """One of them."""

    #: Where it was found; empty if its row has that.
    path: str
    row: RowId | None
    #: Bytes, and nanoseconds since the Unix epoch, as of when it was parked; what it takes of the
    #: disk, in bytes.
    size: int
    modified: int
    allocated: int
    #: Whether all of it was acknowledged then.
    is_read: bool
    compressed: bool
    #: Its size when the first scan of its input found it; None if that did not.
    found_first: int | None
    #: Unix seconds since which no path leads to it; None while one does.
    removed: float | None
    #: The number of the last walk that saw it as it is.
    seen: int = 0


class ParkedFiles:
    """Those of one input."""

    def __init__(self, records: FileRecords) -> None:
        self._records = records
        self._files: dict[Inode, ParkedFile] = {}
        self._unread: dict[Inode, ParkedFile] = {}
        self._walk = 0

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, inode: object) -> bool:
        return inode in self._files

    @property
    def inodes(self) -> KeysView[Inode]:
        """Of all of them."""
        return self._files.keys()

    @property
    def unread(self) -> dict[Inode, ParkedFile]:
        """Those of which something is not read, or may be."""
        return self._unread

    @property
    def untried(self) -> set[Inode]:
        """Plain files that nobody has tried to identify yet."""
        return {
            inode
            for inode, file in self._unread.items()
            if file.row is None and not file.compressed
        }

    def removed(self) -> list[Inode]:
        """Those that no path leads to; the one that was written to the longest ago comes first."""
        files = [
            (file.modified, inode)
            for inode, file in self._files.items()
            if file.removed is not None
        ]
        return [inode for _, inode in sorted(files, key=lambda each: each[0])]

    def get(self, inode: Inode) -> ParkedFile | None:
        """The file with that inode, if it is parked."""
        return self._files.get(inode)

    def items(self) -> Iterator[tuple[Inode, ParkedFile]]:
        """All of them."""
        return iter(self._files.items())

    def add(self, inode: Inode, file: ParkedFile) -> None:
        """Parks a file that has no row, or takes the place of what is known of it."""
        self._files[inode] = file
        if file.is_read:
            self._unread.pop(inode, None)
        else:
            self._unread[inode] = file

    def park(self, tail: Tail, *, is_read: bool) -> None:
        """Parks a file that was open. Nothing of it may be in flight."""
        row = self._records.park(tail)
        version = tail.version
        file = ParkedFile(
            path=tail.path if row is None else "",
            row=row,
            size=version.size,
            modified=version.modified,
            allocated=0 if is_read else tail.allocated,
            is_read=is_read,
            compressed=tail.compressed,
            found_first=tail.found_first if row is None else None,
            removed=tail.gone,
        )
        self.add(tail.inode, file)

    def take(self, inode: Inode) -> ParkedFile | None:
        """It is not parked any more: it is open again, or is not followed."""
        file = self._files.pop(inode, None)
        self._unread.pop(inode, None)
        if file is not None and file.row is not None:
            self._records.unpark(file.row)
        return file

    def path(self, inode: Inode) -> str:
        """Where the file with that inode was found last. Raises KeyError if it is not parked."""
        return self._path(self._files[inode])

    def begin_walk(self) -> "WalkedFiles":
        """A walk begins, beside others that look at these files: for `walk.Settled`."""
        self._walk += 1
        return WalkedFiles(self, self._walk)

    def see(self, walk: int, inode: Inode, path: str, size: int, modified: int) -> bool:
        """A walk saw the file: returns whether it is as it was when all of it was acknowledged, and
        where it was. Then nobody else has to look at it. May be called by the thread that walks."""
        file = self._files.get(inode)
        if file is None or not file.is_read or file.removed is not None:
            return False
        if file.seen == walk:
            return True  # At another path.
        if (file.size, file.modified, self._path(file)) != (size, modified, path):
            return False
        file.seen = walk
        return True

    def is_as_it_was(self, inode: Inode, size: int, modified: int) -> bool:
        """Whether nothing was written to a file since all of it was acknowledged, if it has that
        size and time of modification now."""
        file = self._files.get(inode)
        return (
            file is not None
            and file.is_read
            and file.removed is None
            and (file.size, file.modified) == (size, modified)
        )

    def grew(self, inode: Inode, size: int, modified: int) -> None:
        """A file has that size and time of modification now, and waits until it is opened."""
        file = self._files[inode]
        file.size, file.modified = size, modified
        self.needs_look(inode)

    def needs_look(self, inode: Inode) -> None:
        """A file waits until it is opened, whatever is known of it."""
        file = self._files[inode]
        file.is_read = False
        self._unread[inode] = file

    def moved(self, inode: Inode, path: str) -> None:
        """A file is at that path. Raises KeyError if it is not parked."""
        file = self._files[inode]
        if file.row is None:
            file.path = path
        else:
            self._records.moved(file.row, path)

    @property
    def backlog(self) -> int:
        """Bytes that are not acknowledged, as far as known."""
        return sum(file.size - self._offset(file) for file in self._unread.values())

    def _path(self, file: ParkedFile) -> str:
        return file.path if file.row is None else self._records.record(file.row).path

    def _offset(self, file: ParkedFile) -> int:
        return 0 if file.row is None else min(file.size, self._records.record(file.row).offset)


@dataclass(frozen=True, slots=True)
class WalkedFiles:
    """The parked files, for one walk (`walk.Settled`)."""

    files: ParkedFiles
    walk: int

    def see(self, inode: Inode, path: str, size: int, modified: int) -> bool:
        """As `ParkedFiles.see`."""
        return self.files.see(self.walk, inode, path, size, modified)
