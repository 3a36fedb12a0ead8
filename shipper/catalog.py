"""The files that are followed, and what is remembered of each.

A scan says which inodes stand at which paths. The catalog makes tails of them, decides where each
goes on (`_place`), and lets go of a file only when no path leads to it, it is read to its end, and
all of it is acknowledged. What it remembers goes to the registry as `FileRecord`s.

    found -> WAITING (no first line yet) -> placed -> READING -> gone -> done, remembered for a while
                                              ^                    |
                                              +--- back again -----+
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from shipper.ack import Ledger
from shipper.clock import Clock
from shipper.discovery import Scan, is_hidden
from shipper.filesystem import FileSystem, Inode
from shipper.identity import NO_MARK, Identity, Mark
from shipper.registry import FileRecord, RowId
from shipper.tail import ReadBuffer, State, Tail, Version

#: How long nothing may have been written before a file counts as quiet, in seconds: then a last line
#: without a newline is complete, if the file is gone, and a file that is done needs no link.
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
    #: None if another file stands at it by now.
    inode: Inode | None
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
        forget_after: float = 3600.0,
        ignore_older: float = 0.0,
        start_at_end: bool = False,
    ) -> None:
        """`remembered`: what the registry holds of this input. `on_change` is called when
        `changes` has something to tell. `forget_after`: seconds that a file that is gone stays
        known: a copy or a backup of it that turns up meanwhile goes on where it ended.
        `ignore_older`: a new file that was last written longer ago (seconds; 0: none is) is read
        from its end, and with `start_at_end` so are all that the first scan finds, unless files
        of this input are remembered."""
        self.input_id = input_id
        self._filesystem = filesystem
        self._clock = clock
        self._buffer = buffer
        self._new_row = new_row
        self._on_change = on_change
        self._forget_after = forget_after
        self._ignore_older = ignore_older
        self._records = {record.row: record for record in remembered}
        self._start_at_end = start_at_end and not self._records
        self._scanned = False
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
        # Both ways: the rows of the tails that are placed.
        self._rows: dict[Tail, RowId] = {}
        self._held: dict[RowId, Tail] = {}
        self._tails: dict[Inode, Tail] = {}
        self._by_path: dict[str, Tail] = {}
        # Rewritten under us: nothing more is read of them, but something is under way.
        self._retired: set[Tail] = set()
        # Which of its versions a file was last seen in, and since when (monotonic seconds).
        self._versions: dict[Tail, tuple[Version, float]] = {}
        # Of what the first scan found: where reading begins is decided by `start_at_end`.
        self._first: set[Tail] = set()
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
        known = set(self._tails)
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
                # Who has it open may still finish its last line: the quiet time begins anew.
                self._versions.pop(tail, None)
                self._touch(tail)
        for tail in self._tails.values():
            self._observe(tail)
        if not self._scanned:
            self._scanned = True
            new = (tail for inode, tail in self._tails.items() if inode not in known)
            self._first.update(new if self._start_at_end else ())
        self._forget()
        return problems

    def adopt(
        self, inode: Inode, path: str, descriptor: int, *, unpacked: bool = False
    ) -> Tail | None:
        """Follows a file that no path leads to: one that was kept, or `unpacked` from a gzip.

        `path`: where it was once, unless the registry knows better. Returns None, and closes the
        descriptor, if it is followed already.
        """
        if inode in self._tails:
            self._filesystem.close(descriptor)
            return None
        row = self._at_inode.get(inode)
        if row is not None:
            path = self._records[row].path
        tail = Tail(self._filesystem, self._buffer, path, inode, descriptor)
        tail.gone = self._clock.now()
        tail.unpacked = unpacked
        self._tails[inode] = tail
        self._observe(tail)
        return tail

    @property
    def has_unplaced(self) -> bool:
        """Whether there is a file of which it is not known yet which one it is."""
        return any(tail.state is State.WAITING and tail.unread for tail in self._tails.values())

    def is_being_read(self, identity: Identity) -> bool:
        """Whether a file with that first line is followed."""
        held = (self._held.get(row) for row in self._same.get(identity, ()))
        return any(tail is not None and tail.descriptor >= 0 for tail in held)

    def has_done(self, identity: Identity, length: int) -> bool:
        """Whether a file that began like this was done at that length, which is modulo 2**32."""
        return any(
            self._records[row].offset % 2**32 == length
            for row in self._same.get(identity, ())
            if row not in self._held
        )

    def is_quiet(self, tail: Tail) -> bool:
        """Whether nothing was written for QUIET_AFTER seconds, as of the last scan."""
        if tail.descriptor < 0:
            return True
        seen = self._versions.get(tail)
        return seen is not None and self._clock.monotonic() - seen[1] >= QUIET_AFTER

    def is_final(self, tail: Tail) -> bool:
        """Whether a file will not grow any more: nobody can open it, and it stayed as it was."""
        if tail.gone is None:
            return False
        self._observe(tail)
        return self.is_quiet(tail)

    def _observe(self, tail: Tail) -> None:
        """Takes notice of what was written, and when."""
        tail.look()
        seen = self._versions.get(tail)
        version = tail.version
        if seen is None or seen[0] != version:
            self._versions[tail] = version, self._clock.monotonic()

    async def place(self, tail: Tail) -> Start | None:
        """Decides where a waiting file begins; None while it has no complete first line."""
        identity = await tail.identify(final=self.is_final(tail))
        if identity is None:
            return None
        row, start, mark = await self._place(tail, identity)
        ledger = Ledger(start.offset, mark, on_advance=lambda: self._mark_dirty(row))
        await tail.begin(identity, ledger)
        # Only now: where the file could not be read, it is placed another time.
        self._rows[tail], self._held[row] = row, tail
        self._same.setdefault(identity, set()).add(row)
        self._first.discard(tail)
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

    def give_up(self, tail: Tail) -> None:
        """Closes a file that was stopped before its end; what is under way still counts."""
        self._retire(tail)

    def remembered_paths(self) -> list[str]:
        """Where the files were that are remembered."""
        return [record.path for record in self._records.values()]

    def let_go(self) -> list[Farewell]:
        """Closes the files that are gone, read to their end and acknowledged."""
        for tail in list(self._tails.values()):
            if tail.gone is not None and not tail.look() and tail.ledger.settled:
                self._retire(tail)
        farewells = []
        unplaced = self.has_unplaced
        for tail in [tail for tail in self._retired if tail.ledger.settled]:
            if tail.missed and unplaced:
                continue  # One of them may be a copy that has what is missing here.
            self._retired.discard(tail)
            farewells.append(self._farewell(tail))
            row = self._rows.pop(tail, None)
            if row is not None:
                del self._held[row]
                self._records[row] = self._record(tail, row)
                self._going.append(row)
                self._mark_dirty(row)
        return farewells

    def _farewell(self, tail: Tail) -> Farewell:
        inode = None if tail.inode in self._tails else tail.inode
        return Farewell(tail.path, inode, tail.offset, self._lost(tail))

    def _lost(self, tail: Tail) -> int:
        """What was rewritten before it was read, and is not in a copy either, in bytes."""
        end = tail.offset + tail.missed
        for row in self._same.get(tail.identity, ()):
            other = self._held.get(row)
            if other is None and self._records[row].offset >= end:
                return 0
            if other is not None and other is not tail and other.size >= end:
                return 0
        return tail.missed

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
        self._versions.pop(tail, None)
        self._first.discard(tail)
        self._touch(tail)

    def _forget(self) -> None:
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
                self._mark_dirty(row)
            elif now - record.gone > self._forget_after:
                self._going.popleft()
                self._drop(record)
            else:
                return

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
            self._record(self._held[row], row) if row in self._held else self._records[row]
            for row in self._same.get(identity, ())
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
        if skipped := self._why_skipped(tail):
            end, mark = await tail.last_line_end()
            return self._new_row(), Start(end, skipped), mark
        return self._new_row(), Start(0, why), NO_MARK

    def _why_skipped(self, tail: Tail) -> str:
        """Why what is in a new file is not shipped; empty if it is."""
        if tail in self._first:
            return "it was there before, and start_at is end"
        age = self._clock.now() - tail.modified
        if self._ignore_older and age > self._ignore_older:
            return f"it was last written {age:.0f} s ago, which is longer than ignore_older"
        return ""

    def _why_new(self, tail: Tail, identity: Identity) -> str:
        row = self._at_inode.pop(tail.inode, None)
        record = self._records.get(row) if row is not None else None
        if record is None or record.row in self._held or record.identity == identity:
            return "it is new"
        # The kernel gave the inode of a file that is gone to this one.
        self._records[record.row] = replace(record, inode=None)
        self._mark_dirty(record.row)
        return f"another file, once {record.path}, had its inode"
