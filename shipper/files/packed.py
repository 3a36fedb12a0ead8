"""The records of many files in little memory, found by their first lines and by their inodes."""

from collections.abc import Iterator

from msgspec.structs import replace

from shipper.files.facts import Inode
from shipper.files.identity import Identity
from shipper.files.rows import FileRecord, RowId, pack, unpack, unpack_path


class PackedRecords:
    """Those of one input."""

    def __init__(self, input_id: str) -> None:
        self._input_id = input_id
        # Packed: an object for each would be four times the memory.
        self._packed: dict[RowId, bytes] = {}
        # The rows of the files that begin with the same line, by its identity as a number; also of
        # some that have no record here.
        self._like: dict[int, tuple[RowId, ...] | RowId] = {}
        # What stood at an inode when it was saved.
        self._at_inode: dict[Inode, RowId] = {}

    def __contains__(self, row: object) -> bool:
        return row in self._packed

    def __iter__(self) -> Iterator[RowId]:
        return iter(self._packed)

    def __getitem__(self, row: RowId) -> FileRecord:
        return unpack(row, self._input_id, self._packed[row])

    @property
    def paths(self) -> Iterator[str]:
        """Where all of them were."""
        return map(unpack_path, self._packed.values())

    def path(self, row: RowId) -> str:
        """Where one of them was."""
        return unpack_path(self._packed[row])

    def add(self, record: FileRecord) -> None:
        """Adds one that is to be found."""
        self.put(record)
        self.find_by_line(record.identity, record.row)
        if record.inode is not None:
            self._at_inode[record.inode] = record.row

    def put(self, record: FileRecord) -> None:
        """Adds or replaces one that is found, or not, as before."""
        self._packed[record.row] = pack(record)

    def move(self, row: RowId, path: str) -> bool:
        """The file is at that path; returns whether that is another one."""
        record = self[row]
        if record.path == path:
            return False
        self.put(replace(record, path=path))
        return True

    def remove(self, row: RowId) -> None:
        """It is forgotten."""
        record = self[row]
        del self._packed[row]
        rows = tuple(each for each in self.rows_like(record.identity) if each != row)
        if rows:
            self._like[_number(record.identity)] = rows
        else:
            del self._like[_number(record.identity)]
        if record.inode is not None:
            self.leave_inode(record.inode, row)

    def rows_like(self, identity: Identity) -> tuple[RowId, ...]:
        """The rows of the files with that first line."""
        rows = self._like.get(_number(identity), ())
        return rows if isinstance(rows, tuple) else (rows,)

    def find_by_line(self, identity: Identity, row: RowId) -> None:
        """The file of that row has that first line."""
        rows = self.rows_like(identity)
        if row not in rows:
            # A tuple is for the few that begin alike.
            self._like[_number(identity)] = (*rows, row) if rows else row

    def row_at(self, inode: Inode) -> RowId | None:
        """The row of the file that stood at that inode when it was saved."""
        return self._at_inode.get(inode)

    def find_by_inode(self, inode: Inode, row: RowId) -> None:
        """The file of that row stands there."""
        self._at_inode[inode] = row

    def leave_inode(self, inode: Inode, row: RowId) -> None:
        """The file of that row is not to be found there."""
        if self._at_inode.get(inode) == row:
            del self._at_inode[inode]
            if not self._at_inode:
                self._at_inode = {}  # A dictionary keeps the room of what was in it.

    def take_inode(self, inode: Inode) -> RowId | None:
        """What stood there is not to be found there any more: returns its row."""
        return self._at_inode.pop(inode, None)


def _number(identity: Identity) -> int:
    """The same as a number, which takes half of the memory; -1 if it is none."""
    return int(identity, 16) if identity else -1
