"""What is remembered of an input's files: one record for each, whether it is followed at the
moment, gone for a while, or known from before the start. Knows what changed since the registry was
told.

    remembered --hold--> held by a tail, which has the offset --let_go--> remembered, and going
                                                                           |
                                            forgotten <-- after forget_after
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from shipper.clock import Clock
from shipper.files.filesystem import Inode
from shipper.files.identity import Identity
from shipper.files.registry import FileRecord, RowId
from shipper.files.tail import Tail


@dataclass(slots=True)
class Changes:
    """What the registry has to learn."""

    records: list[FileRecord] = field(default_factory=list)
    forgotten: list[RowId] = field(default_factory=list)


class FileRecords:
    """The records of one input."""

    def __init__(
        self,
        input_id: str,
        records: Iterable[FileRecord],
        *,
        clock: Clock,
        on_change: Callable[[], None],
        forget_after: float,
    ) -> None:
        """`records`: what the registry holds of this input. `on_change` is called when `changes`
        has something to tell. `forget_after`: seconds that a file that is gone stays known."""
        self._input_id = input_id
        self._clock = clock
        self._on_change = on_change
        self._forget_after = forget_after
        self._records = {record.row: record for record in records}
        # The rows of the files that begin with the same line.
        self._same: dict[Identity, set[RowId]] = {}
        # What stood at an inode when it was saved.
        self._at_inode: dict[Inode, RowId] = {}
        for record in self._records.values():
            self._same.setdefault(record.identity, set()).add(record.row)
            if record.inode is not None:
                self._at_inode[record.inode] = record.row
        # Rows of files that are gone, in the order in which they are forgotten.
        self._going = deque(sorted(self._records, key=lambda row: self._records[row].gone or 0.0))
        # Both ways.
        self._held: dict[RowId, Tail] = {}
        self._rows: dict[Tail, RowId] = {}
        self._dirty: set[RowId] = set()
        self._forgotten: set[RowId] = set()

    @property
    def paths(self) -> list[str]:
        """Where the remembered files were."""
        return [record.path for record in self._records.values()]

    def at_end_there(self) -> list[tuple[str, Inode]]:
        """Path and inode of the files that were there when we ended, and that nobody holds."""
        return [
            (record.path, record.inode)
            for record in self._records.values()
            if record.gone is None and record.inode is not None and record.row not in self._held
        ]

    def path_at(self, inode: Inode) -> str | None:
        """Where the file with that inode was, when it was saved."""
        row = self._at_inode.get(inode)
        return None if row is None else self._records[row].path

    def like(self, identity: Identity) -> list[FileRecord]:
        """The files with that first line, as they are now."""
        return [self._current(row) for row in self._same.get(identity, ())]

    def holder(self, row: RowId) -> Tail | None:
        """The tail that holds a row, if one does."""
        return self._held.get(row)

    def hold(self, row: RowId, tail: Tail) -> None:
        """From now on the tail says what is to be remembered of that file."""
        self._rows[tail], self._held[row] = row, tail
        self._same.setdefault(tail.identity, set()).add(row)
        self.changed(row)

    def close_finished(self, tail: Tail) -> None:
        """The tail is done; its file is remembered as it is now, if it ever held one."""
        row = self._rows.get(tail)
        if row is not None:
            self._records[row] = self._current(row)
            del self._rows[tail], self._held[row]
            self._going.append(row)
            self.changed(row)

    def changed(self, row: RowId) -> None:
        """The registry has to learn of that row."""
        self._dirty.add(row)
        self._on_change()

    def touched(self, tail: Tail) -> None:
        """The same, of the row that a tail holds, if it does."""
        row = self._rows.get(tail)
        if row is not None:
            self.changed(row)

    def take_inode(self, inode: Inode, identity: Identity) -> FileRecord | None:
        """A file of that first line stands at that inode: returns another one that did, before.

        The kernel gives the inode of a file that is gone to the next one.
        """
        row = self._at_inode.pop(inode, None)
        record = self._records.get(row) if row is not None else None
        if record is None or record.row in self._held or record.identity == identity:
            return None
        self._records[record.row] = replace(record, inode=None)
        self.changed(record.row)
        return record

    def forget(self) -> None:
        """Starts the time of files that were gone when we started, and ends that of old ones."""
        now = self._clock.now()
        while self._going:
            row = self._going[0]
            record = self._records.get(row)
            if record is None or row in self._held:
                self._going.popleft()
            elif record.gone is None:
                self._going.popleft()
                self._going.append(row)
                self._records[row] = replace(record, gone=now)
                self.changed(row)
            elif now - record.gone > self._forget_after:
                self._going.popleft()
                self._drop(record)
            else:
                return

    def changes(self) -> Changes:
        """What changed since the last call. Hand it to `failed` if it could not be saved."""
        changes = Changes([self._current(row) for row in self._dirty], list(self._forgotten))
        self._dirty, self._forgotten = set(), set()
        return changes

    def failed(self, changes: Changes) -> None:
        """These changes did not reach the registry: they are part of the next ones."""
        known = (record.row for record in changes.records)
        self._dirty.update(row for row in known if row in self._records or row in self._held)
        self._forgotten.update(changes.forgotten)

    def _drop(self, record: FileRecord) -> None:
        del self._records[record.row]
        rows = self._same[record.identity]
        rows.discard(record.row)
        if not rows:
            del self._same[record.identity]
        if record.inode is not None and self._at_inode.get(record.inode) == record.row:
            del self._at_inode[record.inode]
        self._dirty.discard(record.row)
        self._forgotten.add(record.row)
        self._on_change()

    def _current(self, row: RowId) -> FileRecord:
        tail = self._held.get(row)
        if tail is None:
            return self._records[row]
        # The inode of a file that we closed says nothing: it may be another's by now.
        is_open = tail.descriptor >= 0
        return FileRecord(
            row=row,
            input_id=self._input_id,
            path=tail.path,
            identity=tail.identity,
            inode=tail.inode if is_open else None,
            offset=tail.acks.offset,
            mark=tail.acks.mark,
            updated=self._clock.now(),
            gone=tail.gone if is_open else tail.gone or self._clock.now(),
        )
