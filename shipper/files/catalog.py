"""The files that are followed, and what is remembered of each.

A scan says which inodes stand at which paths. The catalog makes tails of them, decides where each
goes on (`_place`), and lets go of a file only when no path leads to it, it is read to its end, and
all of it is acknowledged. What it remembers goes to the registry as `FileRecord`s.

    found -> WAITING (no first line yet) -> placed -> READING -> gone -> done, remembered
                                              ^                    |
                                              +--- back again -----+
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from shipper.clock import Clock
from shipper.files.ack import AckTracker
from shipper.files.discovery import Scan, is_hidden
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.identity import NO_MARK, Identity, Mark
from shipper.files.records import Changes, FileRecords
from shipper.files.registry import FileRecord, RowId
from shipper.files.tail import ReadBuffer, State, Tail, Version

#: How long nothing may have been written before a file counts as quiet, in seconds: then a last
#: line without a newline is complete, if the file is gone, and a file that is done needs no link.
QUIET_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class Start:
    """Where a file begins to be read, and why; for the log."""

    offset: int
    why: str
    #: Whether nothing that is remembered begins with the same line.
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class ClosedFile:
    """A file that is done with: how much of it was read, and how much is known to be lost."""

    path: str
    #: None if another file stands at it by now.
    inode: Inode | None
    size: int
    lost: int


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
        self._ignore_older = ignore_older
        self._history = FileRecords(
            input_id, remembered, clock=clock, on_change=on_change, forget_after=forget_after
        )
        self._start_at_end = start_at_end and not self._history.paths
        self._scanned = False
        self._tails: dict[Inode, Tail] = {}
        self._by_path: dict[str, Tail] = {}
        # Rewritten under us: nothing more is read of them, but something is under way.
        self._retired: set[Tail] = set()
        # Which of its versions a file was last seen in, and since when (monotonic seconds).
        self._versions: dict[Tail, tuple[Version, float]] = {}
        # Of what the first scan found: where reading begins is decided by `start_at_end`.
        self._first: set[Tail] = set()

    @property
    def tails(self) -> tuple[Tail, ...]:
        """All files that are followed or have something under way."""
        return (*self._tails.values(), *self._retired)

    @property
    def inodes(self) -> Collection[Inode]:
        """The inodes of the files that are followed."""
        return self._tails.keys()

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
                self._history.touched(tail)
        self._by_path = {tail.path: tail for tail in self._tails.values()}
        for inode, tail in self._tails.items():
            if inode in scan.found or tail.gone is not None:
                continue
            if not is_hidden(tail.path, scan.unreadable):
                tail.gone = self._clock.now()
                # Who has it open may still finish its last line: the quiet time begins anew.
                self._versions.pop(tail, None)
                self._history.touched(tail)
        for tail in self._tails.values():
            self._observe(tail)
        if not self._scanned:
            self._scanned = True
            new = (tail for inode, tail in self._tails.items() if inode not in known)
            self._first.update(new if self._start_at_end else ())
        self._history.forget()
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
        path = self._history.path_at(inode) or path
        tail = Tail(self._filesystem, self._buffer, path, inode, descriptor)
        tail.gone = self._clock.now()
        tail.unpacked = unpacked
        self._tails[inode] = tail
        self._observe(tail)
        return tail

    @property
    def has_unidentified(self) -> bool:
        """Whether there is a file of which it is not known yet which one it is."""
        return any(tail.state is State.WAITING and tail.unread for tail in self._tails.values())

    def is_being_read(self, identity: Identity) -> bool:
        """Whether a file with that first line is followed."""
        holders = (self._history.holder(found.row) for found in self._history.like(identity))
        return any(tail is not None and tail.descriptor >= 0 for tail in holders)

    def has_finished(self, identity: Identity, length: int) -> bool:
        """Whether a file that began like this was done at that length, which is modulo 2**32."""
        return any(
            found.offset % 2**32 == length and self._history.holder(found.row) is None
            for found in self._history.like(identity)
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
        acks = AckTracker(start.offset, mark, on_advance=lambda: self._history.changed(row))
        await tail.begin(identity, acks)
        # Only now: where the file could not be read, it is placed another time.
        self._history.hold(row, tail)
        self._first.discard(tail)
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

    def recorded_paths(self) -> list[str]:
        """Where the files were that are remembered."""
        return self._history.paths

    def close_finished(self) -> list[ClosedFile]:
        """Closes the files that are gone, read to their end and acknowledged."""
        for tail in list(self._tails.values()):
            if tail.gone is not None and not tail.look() and tail.acks.all_acknowledged:
                self._retire(tail)
        closed_files = []
        unplaced = self.has_unidentified
        for tail in [tail for tail in self._retired if tail.acks.all_acknowledged]:
            if tail.unread_lost and unplaced:
                continue  # One of them may be a copy that has what is missing here.
            self._retired.discard(tail)
            closed_files.append(self._closed_file(tail))
            self._history.close_finished(tail)
        return closed_files

    def _closed_file(self, tail: Tail) -> ClosedFile:
        inode = None if tail.inode in self._tails else tail.inode
        return ClosedFile(tail.path, inode, tail.offset, self._lost(tail))

    def _lost(self, tail: Tail) -> int:
        """What was rewritten before it was read, and is not in a copy either, in bytes."""
        end = tail.offset + tail.unread_lost
        for found in self._history.like(tail.identity):
            other = self._history.holder(found.row)
            if other is None and found.offset >= end:
                return 0
            if other is not None and other is not tail and other.size >= end:
                return 0
        return tail.unread_lost

    def changes(self) -> Changes:
        """What changed since the last call. Hand it to `failed` if it could not be saved."""
        return self._history.changes()

    def failed(self, changes: Changes) -> None:
        """These changes did not reach the registry: they are part of the next ones."""
        self._history.failed(changes)

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
        self._history.touched(tail)

    async def _place(self, tail: Tail, identity: Identity) -> tuple[RowId, Start, Mark]:
        """The row, offset and mark of a file whose first line is known.

        A remembered file with the same first line is this one (renamed, copied, restored, or simply
        still there) if the bytes before its acknowledged offset are here too.
        """
        same = self._history.like(identity)
        # The one at this inode first, then the one that got furthest.
        same.sort(key=lambda record: (record.inode != tail.inode, -record.offset))
        before = self._history.take_inode(tail.inode, identity)
        why = f"another file, once {before.path}, had its inode" if before else "it is new"
        for record in same:
            if not await tail.has_mark(record.offset, record.mark):
                why = (
                    f"it begins like {record.path}, of which {record.offset} bytes are "
                    "acknowledged, but is not the same up to there"
                )
                continue
            if self._history.holder(record.row) is not None:
                reason = f"it is a copy of {record.path}"
                return self._new_row(), Start(record.offset, reason), record.mark
            return record.row, Start(record.offset, "it is known"), record.mark
        if skipped := self._why_skipped(tail):
            end, mark = await tail.last_line_end()
            return self._new_row(), Start(end, skipped), mark
        return self._new_row(), Start(0, why, is_new=not same), NO_MARK

    def _why_skipped(self, tail: Tail) -> str:
        """Why what is in a new file is not shipped; empty if it is."""
        if tail in self._first:
            return "it was there before, and start_at is end"
        age = self._clock.now() - tail.modified
        if self._ignore_older and age > self._ignore_older:
            return f"it was last written {age:.0f} s ago, which is longer than ignore_older"
        return ""
