"""The files that are followed, and what is remembered of each.

A scan says which inodes stand at which paths. The catalog makes tails of them, decides where each
goes on (`_place`), and lets go of a file only when no path leads to it, it is read to its end, and
all of it is acknowledged. What it remembers goes to the registry as `FileRecord`s.

    found -> WAITING (no first line yet) -> placed -> READING -> gone -> done, remembered
                                              ^                    |
                                              +--- back again -----+
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shipper.clock import Clock
from shipper.files.ack import AckTracker
from shipper.files.archive import Ending
from shipper.files.content import Content, GzipContent, PlainContent
from shipper.files.discovery import Scan, is_hidden
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.identity import NO_MARK, Identity, Mark
from shipper.files.lines import NoLine, ReadBuffer
from shipper.files.records import Changes, FileRecords, names_of
from shipper.files.registry import FileRecord, RowId
from shipper.files.tail import State, Tail, Version

#: How long nothing may have been written before a file counts as quiet, in seconds: then a last
#: line without a newline is complete, if the file is gone, and a file that is done needs no link.
QUIET_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class Start:
    """Where a file begins to be read, and why; for the log."""

    offset: int
    why: str


@dataclass(frozen=True, slots=True)
class ClosedFile:
    """A file that is done with: how much of it was read, and how much is known to be lost."""

    path: str
    #: None if another file stands at it by now.
    inode: Inode | None
    size: int
    lost: int
    #: Whether any of it was to be read.
    placed: bool = True


#: A file's row, where it begins and the mark of that, and which file it is.
_Decision = tuple[RowId, Start, Mark, Identity]


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
        self._first_gzips_found = False
        # Where files begin that have to be read on before that.
        self._decided: dict[Tail, _Decision] = {}
        # What must not be forgotten although it is done.
        self._is_there: Callable[[FileRecord], bool] = lambda _: False

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
                self._history.touched(tail)
        self._by_path = {tail.path: tail for tail in self._tails.values()}
        for inode, tail in self._tails.items():
            if inode in scan.found or tail.compressed:
                continue
            if not is_hidden(tail.path, scan.unreadable):
                self.set_gone(tail)
        for tail in self._tails.values():
            self._observe(tail)
        if not self._scanned:
            self._scanned = True
            new = (tail for inode, tail in self._tails.items() if inode not in known)
            self._first.update(new if self._start_at_end else ())
        self._history.forget(self._is_there)
        return problems

    def set_gone(self, tail: Tail) -> None:
        """No path leads to the file any more."""
        if tail.gone is None:
            tail.gone = self._clock.now()
            # Who has it open may still finish its last line: the quiet time begins anew.
            self._versions.pop(tail, None)
            self._history.touched(tail)

    def adopt(
        self, inode: Inode, path: str, descriptor: int, *, compressed: bool = False
    ) -> Tail | None:
        """Follows a file that no path leads to and that was kept.

        `path`: where it was once, unless the registry knows better. Returns None, and closes the
        descriptor, if it is followed already.
        """
        if inode in self._tails:
            self._filesystem.close(descriptor)
            return None
        path = self._history.path_at(inode) or path
        tail = self._tail(inode, path, descriptor, compressed=compressed)
        tail.gone = self._clock.now()
        self._tails[inode] = tail
        self._observe(tail)
        return tail

    def follow_gzip(self, inode: Inode, path: str) -> Tail:
        """Follows the gzip that stands at `path`, if that is not done yet. Raises OSError if it
        cannot be opened."""
        tail = self._tails.get(inode)
        if tail is None:
            tail = self._open(path, compressed=True)
            if self._start_at_end and not self._first_gzips_found:
                self._first.add(tail)
        if tail.path != path or tail.gone is not None:
            tail.path, tail.gone = path, None
            self._history.touched(tail)
        self._observe(tail)
        return tail

    def gzips_found(self) -> None:
        """The gzips that were there at the first scan are followed."""
        self._first_gzips_found = True

    def untried(self) -> set[Tail]:
        """The plain files that nobody has tried to identify yet."""
        return {
            tail
            for tail in self._tails.values()
            if tail.state is State.WAITING and tail.unread and not tail.tried
            if not tail.compressed
        }

    def followed(self, identity: Identity) -> list[Tail]:
        """The files with that first line that are open."""
        holders = [self._history.holder(found.row) for found in self._history.like(identity)]
        return [tail for tail in holders if tail is not None and tail.descriptor >= 0]

    def has_finished(self, gzip: Tail, identity: Identity) -> bool:
        """Whether a file that began like this gzip, and had its name or that of the file which it
        was made from, was done at its length."""
        return any(
            found.offset % 2**32 == gzip.length_hint
            and found.path in names_of(gzip.path)
            and self._history.holder(found.row) is None
            for found in self._history.like(identity)
        )

    def found_again(self, identity: Identity, path: str) -> None:
        """A gzip of a file with that first line, which is done, is at `path` now."""
        self._history.found_again(identity, path)

    def remember_while(self, is_there: Callable[[FileRecord], bool]) -> None:
        """From now on no file is forgotten of which something `is_there` that would be read."""
        self._is_there = is_there

    def is_quiet(self, tail: Tail) -> bool:
        """Whether nothing was written for QUIET_AFTER seconds, as of the last scan."""
        if tail.descriptor < 0:
            return True
        seen = self._versions.get(tail)
        return seen is not None and self._clock.monotonic() - seen[1] >= QUIET_AFTER

    def is_final(self, tail: Tail) -> bool:
        """Whether a file will not grow any more: nobody can open it, and it stayed as it was; of a
        gzip, whether it is what it is going to be.

        What a gzip is made from is removed when the gzip is whole (lumberjack, logrotate, gzip);
        what was left of an interrupted attempt is written anew from it. The time alone says
        nothing, since gzip sets it to the log's.
        """
        if tail.compressed:
            self._observe(tail)
            ended = tail.ending is Ending.COMPLETE or (tail.ending and tail.ending.is_last)
            whole = tail.at_end and (bool(ended) or self.is_quiet(tail))
            return whole and not tail.original_exists
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

    async def place(self, tail: Tail) -> Start | NoLine | None:
        """Decides where a waiting file begins; None while it has no complete first line; MORE if
        there is much to look at before that is known: call again."""
        identity = await tail.identify(final=self.is_final(tail))
        if identity is None:
            return NoLine.MORE if tail.is_searching else None
        found = self._decided.pop(tail, None)
        if found is None:
            if tail.compressed and (waiting := await self._look_for_marks(tail, identity)):
                return None if waiting is NoLine.AT_END else waiting
            found = await self._place(tail, identity)
        if found is None:
            return NoLine.MORE
        row, start, mark, identity = found
        if not await tail.reach(start.offset - mark.length):
            self._decided[tail] = found
            return NoLine.MORE
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
        if tail.compressed:
            return None  # The next scan decides about it.
        try:
            return self._follow(tail.path)
        except FileNotFoundError:
            return None

    def give_up(self, tail: Tail) -> None:
        """Closes a file that was stopped before its end; what is under way still counts."""
        tail.is_finished = True
        self._retire(tail)

    def recorded_paths(self) -> list[str]:
        """Where the files were that are remembered."""
        return self._history.paths

    def close_finished(self) -> list[ClosedFile]:
        """Closes the files that are gone, read to their end and acknowledged."""
        for tail in list(self._tails.values()):
            over = tail.gone is not None
            if tail.compressed:
                over = tail.state is State.READING and self.is_final(tail)
            if over and not tail.look() and tail.acks.all_acknowledged:
                tail.is_finished = True
                self._retire(tail)
        closed_files = []
        unplaced = any(
            tail.state is State.WAITING and tail.unread and not tail.compressed
            for tail in self._tails.values()
        )
        for tail in [tail for tail in self._retired if tail.acks.all_acknowledged]:
            if tail.unread_lost and unplaced:
                continue  # One of them may be a copy that has what is missing here.
            self._retired.discard(tail)
            closed_files.append(self._closed_file(tail))
            self._history.close_finished(tail)
        return closed_files

    def _closed_file(self, tail: Tail) -> ClosedFile:
        inode = None if tail.inode in self._tails else tail.inode
        placed = bool(tail.identity)
        return ClosedFile(tail.path, inode, tail.offset, self._lost(tail), placed)

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
        """What changed since the last call. Hand it to `committed` when it is saved, and to
        `failed` if it could not be."""
        return self._history.changes()

    def committed(self, changes: Changes) -> None:
        """These changes are in the registry."""
        self._history.committed(changes)

    def failed(self, changes: Changes) -> None:
        """These changes did not reach the registry: they are part of the next ones."""
        self._history.failed(changes)

    def close(self) -> None:
        """Closes every file."""
        for tail in self._tails.values():
            tail.close()

    def _follow(self, path: str) -> Tail:
        tail = self._open(path, compressed=False)
        self._by_path[path] = tail
        return tail

    def _open(self, path: str, *, compressed: bool) -> Tail:
        descriptor = self._filesystem.open(path)
        try:
            # The path may lead elsewhere by now: what was opened counts, not what was seen.
            inode = self._filesystem.facts(descriptor).inode
            known = self._tails.get(inode)
            if known is not None:
                self._filesystem.close(descriptor)
                return known
            tail = self._tail(inode, path, descriptor, compressed=compressed)
        except BaseException:
            self._filesystem.close(descriptor)
            raise
        self._tails[inode] = tail
        return tail

    def _tail(self, inode: Inode, path: str, descriptor: int, *, compressed: bool) -> Tail:
        content: Content = (
            GzipContent(self._filesystem, descriptor)
            if compressed
            else PlainContent(self._filesystem, descriptor, inode.device)
        )
        return Tail(content, self._buffer, path, inode)

    def _retire(self, tail: Tail) -> None:
        tail.close()
        del self._tails[tail.inode]
        self._retired.add(tail)
        self._versions.pop(tail, None)
        self._decided.pop(tail, None)
        self._first.discard(tail)
        self._history.touched(tail)

    async def _look_for_marks(self, tail: Tail, identity: Identity) -> NoLine | None:
        """Has a gzip know which marks it has, in the order in which they come. MORE: it has to be
        read on for that; AT_END: it is still written, and may have one of them later."""
        for record in sorted(self._like(tail, identity), key=lambda record: record.offset):
            if await tail.has_mark(record.offset, record.mark) is None:
                return NoLine.MORE
            if record.offset > tail.size and not self.is_final(tail):
                return NoLine.AT_END
        return None

    def _like(self, tail: Tail, identity: Identity) -> list[FileRecord]:
        """The files that are remembered with that first line, also by a version that made another
        identity of it."""
        legacy = tail.legacy_identity
        return self._history.like(identity) + (self._history.like(legacy) if legacy else [])

    async def _place(self, tail: Tail, identity: Identity) -> _Decision | None:
        """The row, offset and mark of a file whose first line is known; None: call again.

        A remembered file with the same first line is this one (renamed, copied, restored, or simply
        still there) if the bytes before its acknowledged offset are here too.
        """
        same = self._like(tail, identity)
        # The one at this inode first, then the one that got furthest.
        same.sort(key=lambda record: (record.inode != tail.inode, -record.offset))
        own = next((record.identity for record in same if record.inode == tail.inode), identity)
        before = self._history.take_inode(tail.inode, own)
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
                start = Start(record.offset, reason)
                return self._new_row(), start, record.mark, record.identity
            return record.row, Start(record.offset, "it is known"), record.mark, record.identity
        if skipped := self._why_skipped(tail):
            last = await tail.last_line_end()
            if last is None:
                return None
            end, mark = last
            return self._new_row(), Start(end, skipped), mark, identity
        return self._new_row(), Start(0, why), NO_MARK, identity

    def _why_skipped(self, tail: Tail) -> str:
        """Why what is in a new file is not shipped; empty if it is."""
        if tail in self._first:
            return "it was there before, and start_at is end"
        age = self._clock.now() - tail.modified
        if self._ignore_older and age > self._ignore_older:
            return f"it was last written {age:.0f} s ago, which is longer than ignore_older"
        return ""
