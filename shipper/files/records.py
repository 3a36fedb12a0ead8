"""What is remembered of an input's files: one record for each, whether it is followed at the
moment, removed for a while, or known from before the start. `packed` has those of files that no
tail holds, and `changes` what the registry has to learn.

                          +--park-- held by a tail, --close_finished--> remembered
                          v         which has the     <------hold------    |
    followed, not open: parked      offset                                 v
                          +--unpark--> remembered        forgotten, forget_after later
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from msgspec.structs import replace

from shipper.clock import Clock
from shipper.files.changes import Changes, Unsaved
from shipper.files.departed import Departed
from shipper.files.facts import Inode
from shipper.files.identity import NO_MARK, Identity
from shipper.files.losses import Loss
from shipper.files.packed import PackedRecords
from shipper.files.rows import FileRecord, RowId
from shipper.files.tail import Tail
from shipper.files.tail_record import record_of

#: What the name of a log that was compressed ends with.
SUFFIX = ".gz"


class Recorded(Protocol):
    """An input of which something is remembered, whether it is configured or not."""

    @property
    def input_id(self) -> str:
        """Its id."""

    @property
    def records(self) -> "FileRecords":
        """What is remembered of its files."""


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
        has something to tell. `forget_after`: seconds that a file that is removed stays known."""
        self._input_id = input_id
        self._clock = clock
        # What was remembered last of each file; of those that a tail holds, the tail knows more.
        self._packed = PackedRecords(input_id)
        # Both ways.
        self._held: dict[RowId, Tail] = {}
        self._rows: dict[Tail, RowId] = {}
        # Which files have the same content as another one, up to its offset; and up to where they
        # were found to have what was seen of it, 0 if that was not compared.
        self._copies: dict[RowId, dict[RowId, int]] = {}
        # Of which nobody knows which file it is.
        self._unidentified: dict[RowId, FileRecord] = {}
        self._unsaved = Unsaved(on_change)
        self._departed = Departed(clock, forget_after, self._remember(records))

    @property
    def paths(self) -> Iterator[str]:
        """Where the remembered files were."""
        return self._packed.paths

    def at_end_there(self) -> Iterator[tuple[str, Inode]]:
        """Path and inode of the files that were there when we ended, and that nobody holds."""
        records = (self._packed[row] for row in self._packed if row not in self._held)
        return (
            (record.path, record.inode)
            for record in records
            if record.removed is None and record.inode is not None
        )

    def path_at(self, inode: Inode) -> str | None:
        """Where the file with that inode was, when it was saved."""
        row = self._packed.row_at(inode)
        return None if row is None else self._packed[row].path

    def unfinished(self) -> list[FileRecord]:
        """The files of which more was seen than is acknowledged, and that nobody holds."""
        records = (self._packed[row] for row in self._packed if row not in self._held)
        return [record for record in records if record.seen > record.offset]

    def unfinished_at(self, row: RowId) -> FileRecord | None:
        """The file of that row, if it is one of these."""
        if row in self._held or row not in self._packed:
            return None
        record = self._packed[row]
        return record if record.seen > record.offset else None

    def copied(self, row: RowId, copy: RowId) -> None:
        """The file of the other row has the same content, as far as that of the first was
        acknowledged."""
        self._copies.setdefault(row, {}).setdefault(copy, 0)

    def copied_to(self, row: RowId, copy: RowId, end: int) -> None:
        """The file of the other row was found to have what was seen of the first, which ended
        there: it says so still when the other one is closed."""
        ends = self._copies.setdefault(row, {})
        ends[copy] = max(end, ends.get(copy, 0))

    def is_copied_to(self, row: RowId, copy: RowId, end: int) -> bool:
        """Whether that was found out in the life of this process."""
        return self._copies.get(row, {}).get(copy, -1) >= end

    def copies_of(self, row: RowId) -> list[RowId]:
        """The files of which that was found out in the life of this process."""
        copies = self._copies.get(row, ())
        return [copy for copy in copies if copy in self._packed or copy in self._held]

    def offset_of(self, row: RowId) -> int:
        """Up to where a file is acknowledged."""
        return self._current(row).offset

    def row_of(self, tail: Tail) -> RowId | None:
        """The row that a tail holds, if it does."""
        return self._rows.get(tail)

    def stop_at_offset(self, row: RowId) -> FileRecord | None:
        """Nothing more of a file that nobody holds will be read: returns what was remembered of it;
        None if nothing is."""
        if row in self._held or row not in self._packed:
            return None
        record = self._packed[row]
        self._packed.put(replace(record, seen=record.offset))
        self.changed(row)
        return record

    def offset_at(self, inode: Inode) -> int:
        """How far the file with that inode was acknowledged, when it was saved; 0 if unknown."""
        row = self._packed.row_at(inode)
        return 0 if row is None or row in self._held else self._packed[row].offset

    def record_at(self, inode: Inode) -> FileRecord | None:
        """The file that had that inode when it was saved, and that no tail holds."""
        row = self._packed.row_at(inode)
        return None if row is None or row in self._held else self._packed[row]

    def has_inode(self, inode: Inode) -> bool:
        """Whether a file with that inode is remembered."""
        return self._packed.row_at(inode) is not None

    def like(self, identity: Identity) -> list[FileRecord]:
        """The files with that first line, as they are now."""
        return [self._current(row) for row in self._packed.rows_like(identity)]

    def holder(self, row: RowId) -> Tail | None:
        """The tail that holds a row, if one does."""
        return self._held.get(row)

    def is_parked(self, row: RowId) -> bool:
        """Whether a row is that of a file that is followed and not open."""
        return row in self._packed and not (row in self._held or row in self._departed)

    def is_followed(self, row: RowId) -> bool:
        """Whether a row is that of a file that is open or parked."""
        return row in self._held or self.is_parked(row)

    def park(self, tail: Tail) -> RowId | None:
        """The file is closed and stays followed; returns its row, if it has one."""
        row = self._rows.get(tail)
        if row is not None:
            self._packed.put(self._current(row))
            del self._rows[tail], self._held[row]
        return row

    def unpark(self, row: RowId) -> None:
        """The file is opened again, or is not followed any more: what is found decides which."""
        if self.is_parked(row):
            self._departed.wait(row)
            inode = self._packed[row].inode
            if inode is not None:
                self._packed.find_by_inode(inode, row)

    def path_of(self, row: RowId) -> str:
        """Where a file is, or was."""
        tail = self._held.get(row)
        return self._packed.path(row) if tail is None else tail.path

    def record(self, row: RowId) -> FileRecord:
        """What is remembered of a file, as it is now."""
        return self._current(row)

    def saw(self, row: RowId, end: int) -> None:
        """A file that no tail holds was seen up to there; its last bytes are not known."""
        record = self._packed[row]
        if end > record.seen:
            self._packed.put(replace(record, seen=end, seen_mark=NO_MARK))
            self.changed(row)

    def moved(self, row: RowId, path: str) -> None:
        """A file that no tail holds is at that path now."""
        if self._packed.move(row, path):
            self.changed(row)

    def followed(self, identity: Identity) -> list[Tail]:
        """The files with that first line that are open."""
        holders = [self._held.get(row) for row in self._packed.rows_like(identity)]
        return [tail for tail in holders if tail is not None and tail.descriptor >= 0]

    def waits_parked(self, identity: Identity) -> bool:
        """Whether a file with that first line is not open, and has more than is acknowledged."""
        return any(
            found.seen > found.offset for found in self.like(identity) if self.is_parked(found.row)
        )

    def hold(self, row: RowId, tail: Tail) -> None:
        """From now on the tail says what is to be remembered of that file."""
        self._rows[tail], self._held[row] = row, tail
        self._departed.stop(row)
        self._packed.leave_inode(tail.inode, row)
        self._packed.find_by_line(tail.identity, row)
        self.changed(row)

    def close_finished(self, tail: Tail) -> RowId | None:
        """The file is finished; it is remembered as it is now, if it ever held a row, which is
        returned."""
        row = self._rows.get(tail)
        if row is not None:
            self._packed.put(self._current(row))
            del self._rows[tail], self._held[row]
            self._departed.begin(row)
            self.changed(row)
        return row

    def found_again(self, identity: Identity, path: str) -> None:
        """A gzip of a file with that first line, which is finished, is at `path` by now."""
        for row in self._packed.rows_like(identity):
            if row in self._held:
                continue
            if self._packed[row].path not in names_of(path):
                self.moved(row, path)

    def changed(self, row: RowId) -> None:
        """The registry has to learn of that row."""
        self._unsaved.change(row)

    def touched(self, tail: Tail) -> None:
        """The same, of the row that a tail holds, if it does."""
        row = self._rows.get(tail)
        if row is not None:
            self.changed(row)

    def add_loss(self, loss: Loss) -> int:
        """The registry has to learn of a loss, together with what changes until then. It has once
        `losses_committed` reaches what is returned."""
        return self._unsaved.add_loss(loss)

    @property
    def losses_committed(self) -> int:
        """How many of the losses that `add_loss` was given are in the registry: it has them in the
        order in which they came."""
        return self._unsaved.losses_committed

    @property
    def unidentified(self) -> list[FileRecord]:
        """The files of which nobody knows which they are."""
        return list(self._unidentified.values())

    def unidentified_at(self, row: RowId) -> FileRecord | None:
        """The file of that row, if it is one of these."""
        return self._unidentified.get(row)

    def remember_unidentified(self, record: FileRecord) -> None:
        """The registry has to learn of a file of which nobody knows which it is."""
        self._unidentified[record.row] = record
        self.changed(record.row)

    def forget_unidentified(self, row: RowId) -> None:
        """It is known which file that is, or it is gone, and that is recorded."""
        if self._unidentified.pop(row, None) is not None:
            self._unsaved.forget(row)

    def take_inode(self, inode: Inode, identity: Identity) -> FileRecord | None:
        """A file of that first line stands at that inode: returns another one that did, before.

        The kernel gives the inode of a file that is gone to the next one.
        """
        row = self._packed.take_inode(inode)
        if row is None or row in self._held:
            return None
        record = self._packed[row]
        if record.identity == identity:
            return None
        self._packed.put(replace(record, inode=None))
        self.changed(row)
        return record

    def leave_inode(self, row: RowId) -> None:
        """The content of a file is not at its inode any more: it was written over."""
        if row in self._held or row not in self._packed:
            return
        self._packed.put(replace(self._packed[row], inode=None))
        self.changed(row)

    def forget(self, is_there: Callable[[FileRecord], bool]) -> None:
        """Starts the time of files that were gone when we started, and ends that of old ones,
        unless something that `is_there` would be read again then."""
        begun, over = self._departed.due()
        for row in over:
            if is_there(self._packed[row]):
                begun.append(row)
            else:
                self._drop(row)
        for row in begun:
            self._departed.begin(row)
            self._packed.put(replace(self._packed[row], removed=self._clock.now()))
            self.changed(row)

    def changes(self) -> Changes:
        """What changed since the last call. Hand it to `committed` when it is saved, and to
        `failed` if it could not be."""
        return self._unsaved.take(self._current)

    def committed(self, changes: Changes) -> None:
        """These changes are in the registry."""
        self._unsaved.committed(changes)

    def failed(self, changes: Changes) -> None:
        """These changes did not reach the registry, or may not have: they are part of the next
        ones."""
        there = (self._packed, self._held, self._unidentified)
        self._unsaved.failed(changes, lambda row: any(row in rows for rows in there))

    def is_saved(self, tail: Tail) -> bool:
        """The same of the row that a tail holds, if it does."""
        row = self._rows.get(tail)
        return row is None or self.is_committed(row)

    def is_committed(self, row: RowId) -> bool:
        """Whether the registry says of that row what is known now; also if nothing is known."""
        return self._unsaved.is_committed(row)

    def _remember(self, records: Iterable[FileRecord]) -> Iterator[FileRecord]:
        """Remembers these; gives those back of which it is known which file each is."""
        for record in records:
            if record.identity:
                self._packed.add(record)
                yield record
            else:
                self._unidentified[record.row] = record

    def _drop(self, row: RowId) -> None:
        self._packed.remove(row)
        self._departed.stop(row)
        self._copies.pop(row, None)
        self._unsaved.forget(row)

    def _current(self, row: RowId) -> FileRecord:
        tail = self._held.get(row)
        if row in self._unidentified:
            return self._unidentified[row]
        if tail is None:
            return self._packed[row]
        return record_of(tail, row, self._input_id, self._clock.now())


def names_of(gzip: str) -> tuple[str, str]:
    """Its own, and that of the file which it was made from."""
    return gzip, gzip.removesuffix(SUFFIX)
