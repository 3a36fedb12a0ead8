"""The files that are followed, and what is remembered of each.

A scan says which inodes stand at which paths. The catalog makes tails of them, decides where each
goes on (`_place`), and lets go of a file only when no path leads to it, it is read to its end, and
all of it is acknowledged. What it remembers goes to the registry as `FileRecord`s.

    found -> WAITING (no first line yet) -> placed -> READING -> gone -> done, remembered for a while
                                              ^                    |
                                              +--- back again -----+
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from shipper.ack import Ledger
from shipper.clock import Clock
from shipper.discovery import Scan, is_hidden
from shipper.filesystem import FileSystem, Inode
from shipper.identity import NO_MARK, Identity, Mark
from shipper.registry import FileRecord, RowId
from shipper.tail import ReadBuffer, Tail

#: How long a file that is gone stays known, in seconds: a copy or a restored backup of it that
#: turns up meanwhile goes on where it ended.
FORGET_AFTER = 24 * 3600.0

#: How long a file must be gone before a last line without a newline counts as complete, in seconds.
QUIET_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class Start:
    """Where a file begins to be read, and why; for the log."""

    offset: int
    why: str


@dataclass(frozen=True, slots=True)
class Farewell:
    """A file that is done with: how much of it was read, and how much is known to be lost."""

    path: str
    size: int
    lost: int


@dataclass(slots=True)
class Changes:
    """What the registry has to learn."""

    records: list[FileRecord] = field(default_factory=list)
    forgotten: list[RowId] = field(default_factory=list)


class Catalog:
    """The files of one input."""

    def __init__(
        self,
        input_id: str,
        *,
        filesystem: FileSystem,
        clock: Clock,
        buffer: ReadBuffer,
        remembered: Iterable[FileRecord],
        new_row: Callable[[], RowId],
        on_change: Callable[[], None],
    ) -> None:
        """`remembered`: what the registry holds of this input. `on_change` is called when
        `changes` has something to tell."""
        self.input_id = input_id
        self._filesystem = filesystem
        self._clock = clock
        self._buffer = buffer
        self._new_row = new_row
        self._on_change = on_change
        self._records = {record.row: record for record in remembered}
        # Both ways: the rows of the tails that are placed.
        self._rows: dict[Tail, RowId] = {}
        self._held: dict[RowId, Tail] = {}
        self._tails: dict[Inode, Tail] = {}
        self._by_path: dict[str, Tail] = {}
        # Rewritten under us: nothing more is read of them, but something is under way.
        self._retired: set[Tail] = set()
        self._dirty: set[RowId] = set()
        self._forgotten: set[RowId] = set()

    @property
    def tails(self) -> tuple[Tail, ...]:
        """All files that are followed or have something under way."""
        return (*self._tails.values(), *self._retired)

    def at(self, path: str) -> Tail | None:
        """The file that stands at that path, if it is followed."""
        return self._by_path.get(path)

    def apply(self, scan: Scan) -> list[OSError]:
        """Takes notice of a scan; returns what kept new files from being opened."""
        problems = []
        for inode, path in scan.found.items():
            tail = self._tails.get(inode)
            if tail is None:
                try:
                    self._follow(path)
                except FileNotFoundError:
                    continue  # Rotated away since the scan.
                except OSError as error:
                    problems.append(error)
            elif tail.path != path or tail.gone is not None:
                tail.path, tail.gone = path, None
                self._touch(tail)
        self._by_path = {tail.path: tail for tail in self._tails.values()}
        for inode, tail in self._tails.items():
            if inode in scan.found or tail.gone is not None:
                continue
            if not is_hidden(tail.path, scan.unreadable):
                tail.gone = self._clock.now()
                self._touch(tail)
        self._forget()
        return problems

    def is_final(self, tail: Tail) -> bool:
        """Whether a file will not grow any more: nobody can open it, and it stayed as it was."""
        return tail.gone is not None and self._clock.now() - tail.gone >= QUIET_AFTER

    async def place(self, tail: Tail) -> Start | None:
        """Decides where a waiting file begins; None while it has no complete first line."""
        identity = await tail.identify(final=self.is_final(tail))
        if identity is None:
            return None
        row, start, mark = await self._place(tail, identity)
        self._rows[tail], self._held[row] = row, tail
        ledger = Ledger(start.offset, mark, on_advance=lambda: self._mark_dirty(row))
        await tail.begin(identity, ledger)
        self._touch(tail)
        return start

    def rewritten(self, tail: Tail) -> Tail | None:
        """The content under a tail is another one now: returns the tail of the new content.

        None if nothing is there any more. Raises OSError if it cannot be opened; a later scan does.
        """
        self._retire(tail)
        try:
            return self._follow(tail.path)
        except FileNotFoundError:
            return None

    def let_go(self) -> list[Farewell]:
        """Closes the files that are gone, read to their end and acknowledged."""
        for tail in list(self._tails.values()):
            if tail.gone is not None and not tail.look() and tail.ledger.settled:
                self._retire(tail)
        farewells = []
        for tail in [tail for tail in self._retired if tail.ledger.settled]:
            self._retired.discard(tail)
            farewells.append(Farewell(tail.path, tail.offset, self._lost(tail)))
            row = self._rows.pop(tail, None)
            if row is not None:
                del self._held[row]
                self._records[row] = self._record(tail, row)
                self._mark_dirty(row)
        return farewells

    def _lost(self, tail: Tail) -> int:
        """What was rewritten before it was read, and is not in a copy either, in bytes."""
        end = tail.offset + tail.missed
        copied = any(
            other.identity == tail.identity and other.size >= end for other in self._tails.values()
        )
        return 0 if copied else tail.missed

    def changes(self) -> Changes:
        """What changed since the last call. Hand it to `failed` if it could not be saved."""
        changes = Changes()
        for row in self._dirty:
            if row in self._held:
                self._records[row] = self._record(self._held[row], row)
            changes.records.append(self._records[row])
        changes.forgotten.extend(self._forgotten)
        self._dirty, self._forgotten = set(), set()
        return changes

    def failed(self, changes: Changes) -> None:
        """These changes did not reach the registry: they are part of the next ones."""
        self._dirty.update(record.row for record in changes.records if record.row in self._records)
        self._forgotten.update(changes.forgotten)

    def close(self) -> None:
        """Closes every file."""
        for tail in self._tails.values():
            tail.close()

    def _follow(self, path: str) -> Tail:
        descriptor = self._filesystem.open(path)
        try:
            # The path may lead elsewhere by now: what was opened counts, not what was seen.
            inode = self._filesystem.facts(descriptor).inode
            known = self._tails.get(inode)
            if known is not None:
                self._filesystem.close(descriptor)
                return known
            tail = Tail(self._filesystem, self._buffer, path, inode, descriptor)
        except BaseException:
            self._filesystem.close(descriptor)
            raise
        self._tails[inode] = tail
        self._by_path[path] = tail
        return tail

    def _retire(self, tail: Tail) -> None:
        tail.close()
        del self._tails[tail.inode]
        self._retired.add(tail)
        self._touch(tail)

    def _forget(self) -> None:
        """Starts the time of files that were gone when we started, and ends that of old ones."""
        now = self._clock.now()
        for row, record in list(self._records.items()):
            if row in self._held:
                continue
            if record.gone is None:
                self._records[row] = replace(record, gone=now)
                self._mark_dirty(row)
            elif now - record.gone > FORGET_AFTER:
                del self._records[row]
                self._dirty.discard(row)
                self._forgotten.add(row)
                self._on_change()

    def _touch(self, tail: Tail) -> None:
        if tail in self._rows:
            self._mark_dirty(self._rows[tail])

    def _mark_dirty(self, row: RowId) -> None:
        self._dirty.add(row)
        self._on_change()

    def _record(self, tail: Tail, row: RowId) -> FileRecord:
        """What is to be remembered of a file. The inode of one that we closed says nothing."""
        followed = self._tails.get(tail.inode) is tail
        return FileRecord(
            row=row,
            input_id=self.input_id,
            path=tail.path,
            identity=tail.identity,
            inode=tail.inode if followed else None,
            offset=tail.ledger.offset,
            mark=tail.ledger.mark,
            updated=self._clock.now(),
            gone=tail.gone if followed else tail.gone or self._clock.now(),
        )

    async def _place(self, tail: Tail, identity: Identity) -> tuple[RowId, Start, Mark]:
        """The row, offset and mark of a file whose first line is known.

        A remembered file with the same first line is this one (renamed, copied, restored, or simply
        still there) if the bytes before its acknowledged offset are here too.
        """
        same = [
            self._record(other, row)
            for row, other in self._held.items()
            if other.identity == identity
        ]
        same += [
            record
            for row, record in self._records.items()
            if record.identity == identity and row not in self._held
        ]
        # The one at this inode first, then the one that got furthest.
        same.sort(key=lambda record: (record.inode != tail.inode, -record.offset))
        why = self._why_new(tail, identity)
        for record in same:
            if not await tail.has_mark(record.offset, record.mark):
                why = (
                    f"it begins like {record.path}, of which {record.offset} bytes are "
                    "acknowledged, but is not the same up to there"
                )
                continue
            if record.row in self._held:
                reason = f"it is a copy of {record.path}"
                return self._new_row(), Start(record.offset, reason), record.mark
            return record.row, Start(record.offset, "it is known"), record.mark
        return self._new_row(), Start(0, why), NO_MARK

    def _why_new(self, tail: Tail, identity: Identity) -> str:
        for record in self._records.values():
            if record.inode == tail.inode and record.identity != identity:
                # The kernel gave the inode of a file that is gone to this one.
                self._records[record.row] = replace(record, inode=None)
                self._mark_dirty(record.row)
                return f"another file, once {record.path}, had its inode"
        return "it is new"
