"""Files that are followed and not open: each has a link, which finds it whatever becomes of its
name, and gives its descriptor back.

    quiet     All of it is acknowledged, and it was not written to for a while.
    waiting   It is to be opened: it was written to, its name went, or it was never opened to be
              read, as there are more files than descriptors.

There may be tens of thousands of quiet files: each takes some 600 bytes of memory, links and rows
included; one that is open takes four times as much.
"""

from collections.abc import Iterator, Mapping

import msgspec

from shipper.files.facts import Inode
from shipper.files.records import FileRecords
from shipper.files.rows import RowId
from shipper.files.tail import Tail

_SIZE_BITS = 64
_SIZES = (1 << _SIZE_BITS) - 1


class QuietFile(msgspec.Struct, gc=False):
    """One of which all was acknowledged when it was parked."""

    #: Its row has its path. An empty file has none.
    row: RowId | None
    #: Where it was found, if it has no row.
    path: str
    #: Its size and its time of modification, as of when it was parked: one number takes half of
    #: the memory of two.
    stamp: int
    #: The number of the last walk that saw it as it is.
    seen: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stamp & _SIZES

    @property
    def modified(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return self.stamp >> _SIZE_BITS


class WaitingFile(msgspec.Struct, gc=False):
    """One that is to be opened."""

    row: RowId | None
    path: str
    size: int
    modified: int
    #: What it takes of the disk, in bytes.
    allocated: int
    compressed: bool = False
    #: Its size when the first scan of its input found it; None if that did not.
    found_first: int | None = None
    #: Unix seconds since which no path leads to it; None while one does.
    removed: float | None = None
    #: Whether all of it was acknowledged as it is.
    is_read: bool = False
    #: As that of a quiet file.
    seen: int = 0


class ParkedFiles:
    """Those of one input."""

    def __init__(self, records: FileRecords) -> None:
        self._records = records
        self._quiet: dict[Inode, QuietFile] = {}
        self._waiting: dict[Inode, WaitingFile] = {}
        self._walk = 0

    def __len__(self) -> int:
        return len(self._quiet) + len(self._waiting)

    def __contains__(self, inode: object) -> bool:
        return inode in self._quiet or inode in self._waiting

    @property
    def quiet(self) -> Mapping[Inode, QuietFile]:
        """Those of which all was acknowledged."""
        return self._quiet

    @property
    def waiting(self) -> Mapping[Inode, WaitingFile]:
        """Those that are to be opened."""
        return self._waiting

    @property
    def inodes(self) -> set[Inode]:
        """Of all of them."""
        return self._quiet.keys() | self._waiting.keys()

    @property
    def untried(self) -> set[Inode]:
        """Plain files that nobody has tried to identify yet."""
        return {
            inode
            for inode, file in self._waiting.items()
            if file.row is None and not file.compressed
        }

    def removed(self) -> list[Inode]:
        """Those that no path leads to; the one that was written to the longest ago comes first."""
        files = [
            (file.modified, inode)
            for inode, file in self._waiting.items()
            if file.removed is not None
        ]
        return [inode for _, inode in sorted(files, key=lambda each: each[0])]

    def is_untried(self, inode: Inode) -> bool:
        """Whether the file with that inode is one of these."""
        file = self._waiting.get(inode)
        return file is not None and file.row is None and not file.compressed

    def row(self, inode: Inode) -> RowId | None:
        """The row of a file, if it is parked and has one."""
        file = self._get(inode)
        return None if file is None else file.row

    def is_placed(self, inode: Inode) -> bool:
        """Whether it is known which file that is."""
        file = self._get(inode)
        return file is not None and file.row is not None

    def wait(self, inode: Inode, file: WaitingFile) -> None:
        """Parks a file that was not followed yet."""
        self._waiting[inode] = file

    def park(self, tail: Tail, *, is_read: bool) -> None:
        """Parks a file that was open. Nothing of it may be in flight. `is_read`: whether all of it
        is acknowledged."""
        row = self._records.park(tail)
        path = tail.path if row is None else ""
        size, modified = tail.version.size, tail.version.modified
        if is_read and tail.gone is None:
            self._quiet[tail.inode] = QuietFile(row, path, stamp(size, modified))
        else:
            self._waiting[tail.inode] = WaitingFile(
                row,
                path,
                size,
                modified,
                tail.allocated,
                tail.compressed,
                tail.found_first,
                tail.gone,
                is_read,
            )

    def take(self, inode: Inode) -> QuietFile | WaitingFile | None:
        """It is not parked any more: it is open again, or is not followed."""
        file = self._quiet.pop(inode, None) or self._waiting.pop(inode, None)
        if not self._waiting:
            self._waiting = {}  # A dictionary keeps the room of what was in it.
        if file is not None and file.row is not None:
            self._records.unpark(file.row)
        return file

    def path(self, inode: Inode) -> str:
        """Where the file with that inode was found last. Raises KeyError if it is not parked."""
        file = self._get(inode)
        if file is None:
            raise KeyError(inode)
        return self._path(file)

    def moved(self, inode: Inode, path: str) -> None:
        """A file is at that path."""
        file = self._get(inode)
        if file is not None and file.row is not None:
            self._records.moved(file.row, path)
        elif file is not None:
            file.path = path

    def begin_walk(self) -> "WalkedFiles":
        """A walk begins, beside others that look at these files: for `found.Settled`."""
        self._walk += 1
        return WalkedFiles(self, self._walk)

    def see(self, walk: int, inode: Inode, path: str, size: int, modified: int) -> bool:
        """A walk saw the file: returns whether it is as it was, and where it was. Then nobody else
        has to look at it. May be called by the thread that walks."""
        file = self._quiet.get(inode) or self._waiting.get(inode)
        if file is None or (isinstance(file, WaitingFile) and file.removed is not None):
            return False
        if file.seen == walk:
            return True  # At another path.
        if (file.size, file.modified, self._path(file)) != (size, modified, path):
            return False
        file.seen = walk
        return True

    def is_quiet(self, inode: Inode, size: int, modified: int) -> bool:
        """Whether nothing was written to a file since all of it was acknowledged, if it has that
        size and time of modification now."""
        file = self._quiet.get(inode)
        return file is not None and file.stamp == stamp(size, modified)

    def grew(self, inode: Inode, size: int, modified: int) -> None:
        """A file has that size and time of modification now, and waits until it is opened."""
        file = self._to_wait(inode)
        if file is not None:
            file.size, file.modified, file.is_read = size, modified, False

    def needs_look(self, inode: Inode) -> None:
        """A file waits until it is opened, whatever is known of it."""
        self._to_wait(inode)

    def missed(self, inode: Inode, now: float) -> None:
        """No path leads to a file any more (Unix seconds): it waits until it is opened."""
        file = self._to_wait(inode)
        if file is not None and file.removed is None:
            file.removed = now

    @property
    def backlog(self) -> int:
        """Bytes that are not acknowledged, as far as known."""
        return sum(file.size - self._offset(file) for file in self._waiting.values())

    def unacknowledged(self) -> Iterator[tuple[Inode, int]]:
        """The files that no path leads to and that are not acknowledged, with what they take of the
        disk, in bytes."""
        for inode, file in self._waiting.items():
            if file.removed is not None and not file.is_read:
                yield inode, file.allocated

    def _get(self, inode: Inode) -> QuietFile | WaitingFile | None:
        return self._quiet.get(inode) or self._waiting.get(inode)

    def _to_wait(self, inode: Inode) -> WaitingFile | None:
        quiet = self._quiet.pop(inode, None)
        if quiet is not None:
            self._waiting[inode] = WaitingFile(
                quiet.row, quiet.path, quiet.size, quiet.modified, quiet.size, is_read=True
            )
        return self._waiting.get(inode)

    def _path(self, file: QuietFile | WaitingFile) -> str:
        return file.path if file.row is None else self._records.path_of(file.row)

    def _offset(self, file: WaitingFile) -> int:
        if file.is_read:
            return file.size
        return 0 if file.row is None else min(file.size, self._records.record(file.row).offset)


def stamp(size: int, modified: int) -> int:
    """That of a quiet file with that size (bytes) and time of modification (nanoseconds)."""
    return modified << _SIZE_BITS | size


class WalkedFiles(msgspec.Struct, frozen=True):
    """The parked files, for one walk (`found.Settled`)."""

    files: ParkedFiles
    walk: int

    def see(self, inode: Inode, path: str, size: int, modified: int) -> bool:
        """As `ParkedFiles.see`."""
        return self.files.see(self.walk, inode, path, size, modified)
