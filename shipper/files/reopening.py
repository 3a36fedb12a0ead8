"""Opens parked files again: those that wait for a descriptor, those that no path leads to any more,
and those that somebody asks for. What cannot be found by its link any more is handed to
who looks for it.
"""

import errno
from itertools import islice

from msgspec import Struct

from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.followed import FollowedFiles
from shipper.files.parked import WaitingFile
from shipper.files.parking import Parking
from shipper.files.quiet import SeenVersions
from shipper.files.records import FileRecords
from shipper.files.registry import RowId
from shipper.files.tail import Tail

#: While more files than this are open, parked ones are opened by scans only.
_MOST_OPENED = 250

#: With so many files open, one is parked for each that is opened, as without descriptors.
MOST_OPEN = 1000

#: So many parked files that no path leads to are opened by one scan.
_MOST_REOPENED = 200

#: There is no descriptor for another log.
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class Unreachable(Struct, frozen=True):
    """A parked file that was to be read, and that nothing leads to any more."""

    inode: Inode
    path: str
    #: Its row; None if nobody knows which file it is.
    row: RowId | None
    #: How far it was seen, in bytes, and when it was written to (nanoseconds since the Unix epoch).
    size: int
    modified: int
    compressed: bool


class Reopening:
    """Of one input."""

    def __init__(
        self,
        files: FollowedFiles,
        *,
        filesystem: FileSystem,
        records: FileRecords,
        versions: SeenVersions,
        parking: Parking,
    ) -> None:
        self._files = files
        self._filesystem = filesystem
        self._records = records
        self._versions = versions
        self._parking = parking
        #: Since the last scan: whether there is no descriptor for another file, and whether some
        #: were opened or parked.
        self.full = self.progress = False
        self._unreachable: list[Unreachable] = []

    def take_unreachable(self) -> list[Unreachable]:
        """The files that nothing leads to any more, since the last call."""
        found, self._unreachable = self._unreachable, []
        return found

    def advance(self) -> list[Tail]:
        """What was read is in the registry: parks it, and opens others that wait for a descriptor,
        if there are some; returns these."""
        if not self._files.parked.waiting:
            return []
        if sum(self._parking.park_done(full=self.full)):
            self.full = False
        return self.open_waiting(_MOST_OPENED)

    def open_waiting(self, most: int) -> list[Tail]:
        """Opens files that wait for a descriptor, and that a path leads to, the newest first; not
        more than `most`, and as long as few are open; returns these."""
        tails: list[Tail] = []
        most = min(most, _MOST_OPENED - len(self._files.open))
        if self.full or most <= 0:
            return []
        waiting = self._files.parked.waiting
        for inode in list(
            islice((inode for inode, file in waiting.items() if _waits_at_its_path(file)), most)
        ):
            try:
                tail = self._files.reopen(inode)
            except OSError as error:
                self.full |= error.errno in NO_DESCRIPTOR
                break  # The next scan says what is in the way.
            if tail is None:
                continue
            # A scan that is under way may have left it out.
            self._files.appeared.add(inode)
            self._versions.observe(tail)
            self.progress = True
            tails.append(tail)
        return tails

    def open_removed(
        self, most: int = _MOST_REOPENED, *, into_reserve: bool = False
    ) -> list[OSError]:
        """Opens parked files that no path leads to, the oldest first and `most` of them; returns
        what kept some from being opened. Others may be unreachable then."""
        problems: list[OSError] = []
        if not into_reserve:
            most = min(most, max(0, MOST_OPEN - len(self._files.open)))
        for inode in self._files.parked.removed()[:most]:
            try:
                self._files.reopen_removed(inode, into_reserve=into_reserve)
                self.progress = True
            except (KeyError, FileNotFoundError):
                self._lose(inode)
            except OSError as error:
                if error.errno in NO_DESCRIPTOR:
                    break
                error.filename = error.filename or self._files.parked.path(inode)
                problems.append(error)
        return problems

    def parked_row(self, path: str) -> RowId | None:
        """The row of the parked plain file that stands at that path, if there is one."""
        inode = self._inode_at(path)
        return None if inode is None else self._files.parked.row(inode)

    def open_parked(self, path: str) -> Tail | None:
        """Opens the parked plain file that stands at that path; None if there is none, or no
        descriptor."""
        inode = self._inode_at(path)
        if inode is None or inode not in self._files.parked:
            return None
        try:
            tail = self._files.reopen(inode)
        except OSError:
            return None  # The next scan says what is in the way.
        if tail is not None:
            self._files.appeared.add(inode)
            self._versions.observe(tail)
        return tail

    def unlinked(self, inode: Inode) -> None:
        """The link of a parked file is not there any more: opens it while a path leads to it."""
        try:
            if self._files.reopen(inode) is None:
                self._lose(inode)
        except OSError:
            self._files.parked.needs_look(inode)  # The next scan opens it.

    def _inode_at(self, path: str) -> Inode | None:
        try:
            return self._filesystem.inode_of(path)
        except OSError:
            return None

    def _lose(self, inode: Inode) -> None:
        """Nothing leads to a parked file any more: it is looked for elsewhere."""
        path = self._files.parked.path(inode)
        file = self._files.parked.take(inode)
        if not isinstance(file, WaitingFile) or file.is_read:
            return
        # An earlier process may have known which file it is.
        known = self._records.record_at(inode) if file.row is None else None
        row = file.row if known is None else known.row
        if row is not None and not file.compressed:
            self._records.saw(row, file.size)
        self._unreachable.append(
            Unreachable(inode, path, row, file.size, file.modified, file.compressed)
        )


def _waits_at_its_path(file: WaitingFile) -> bool:
    return file.removed is None and not file.compressed
