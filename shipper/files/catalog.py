"""The files that are followed, and what is remembered of each.

A scan says which inodes stand at which paths. The catalog makes tails of them, has each placed
(`placement`), and lets go of a file only when no path leads to it, it is read to its end, and all
of it is acknowledged. What it remembers goes to the registry as `FileRecord`s.

    found -> WAITING (no first line yet) -> placed -> READING -> gone -> done, remembered
                                              ^                    |
                                              +--- back again -----+
"""

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from shipper.clock import Clock
from shipper.files.content import Content, GzipContent, PlainContent
from shipper.files.copies import is_elsewhere
from shipper.files.discovery import Scan, is_hidden
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.identity import Identity
from shipper.files.lines import NoLine, ReadBuffer
from shipper.files.losses import Loss, LossReason
from shipper.files.opening import LogOpener, NotFollowedError, OpenedLog
from shipper.files.placement import Placement, Start
from shipper.files.quiet import CLOSE_REMOVED_AFTER, SeenVersions
from shipper.files.records import SUFFIX, FileRecords
from shipper.files.registry import FileRecord, RowId
from shipper.files.tail import State, Tail, Version
from shipper.files.walk import Found
from shipper.files.writers import Writers

#: Of a file that has no complete first line.
NO_IDENTITY = Identity("")

#: So many files of a scan are opened in one step.
_STEP = 100


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
    identity: Identity = NO_IDENTITY
    #: Its row in the registry, if it has one.
    row: RowId | None = None
    #: Bytes of the file itself when it was closed; None if other content took its place, which
    #: nobody has read.
    stored: int | None = 0
    compressed: bool = False
    #: Whether what is written to it from now on is not followed, either.
    for_good: bool = False


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
        exclude: Sequence[str] = (),
        symlinks: bool = False,
        close_removed_after: float = CLOSE_REMOVED_AFTER,
    ) -> None:
        """`remembered`: what the registry holds of this input. `on_change` is called when
        `changes` has something to tell. `forget_after`: seconds that a file that is gone stays
        known: a copy or a backup of it that turns up meanwhile goes on where it ended.
        `ignore_older`: a new file that was last written longer ago (seconds; 0: none is) is read
        from its end, and with `start_at_end` so are all that the first scan finds, unless files
        of this input are remembered. `exclude`, `symlinks`: what is not followed, whatever a scan
        says. `close_removed_after`: seconds without a write after which a file that no path leads
        to is complete, where it is not known whether somebody has it open."""
        self.input_id = input_id
        #: Gives a key for a file that is not in the registry yet.
        self.new_row = new_row
        self._filesystem = filesystem
        self._opener = LogOpener(filesystem, exclude=exclude, symlinks=symlinks)
        # For files that were followed through symbolic links by an earlier process.
        self._link_opener = None if symlinks else LogOpener(filesystem, symlinks=True)
        self._clock = clock
        self._buffer = buffer
        self._writers = Writers(filesystem)
        self._versions = SeenVersions(clock, self._writers.has_writer, close_removed_after)
        self._keep: Callable[[Tail], object] = lambda _: None
        #: What is remembered of each file, and what of it the registry has to learn.
        self.records = FileRecords(
            input_id, remembered, clock=clock, on_change=on_change, forget_after=forget_after
        )
        self._placement = Placement(
            self.records,
            clock=clock,
            new_row=new_row,
            is_final=self._versions.is_final,
            ignore_older=ignore_older,
            start_at_end=start_at_end,
        )
        self._scanned = False
        self._tails: dict[Inode, Tail] = {}
        self._by_path: dict[str, Tail] = {}
        # What appeared since the last scan began.
        self._appeared: set[Inode] = set()
        # Rewritten under us: nothing more is read of them, but something is under way.
        self._retired: set[Tail] = set()
        # Those of them of which a copy may have been made since the last walk began, if one did.
        self._just_rewritten: set[Tail] | None = None
        # Of which only the rest is read, whoever writes on.
        self._to_their_end: set[Tail] = set()
        self._first_gzips_found = False
        # What must not be forgotten although it is done.
        self._gzip_is_there: Callable[[FileRecord], bool] = lambda _: False

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

    def with_inode(self, inode: Inode) -> Tail | None:
        """The file with that inode, if it is followed."""
        return self._tails.get(inode)

    def keep_with(self, keep: Callable[[Tail], object], links_of: Callable[[Inode], int]) -> None:
        """From now on `keep` is called with each file as soon as it is open. `links_of`: how many
        of a file's names are links of ours."""
        self._keep = keep
        self._writers.links_of = links_of

    def written_after_removal(self) -> list[Tail]:
        """The files that were removed and are still written; each once."""
        return self._writers.newly_noticed()

    def begin_scan(self) -> None:
        """A scan begins, which `apply` will be told of: what `appear` is told of meanwhile is newer
        than what the scan saw."""
        self._appeared.clear()
        self._just_rewritten = set()

    def apply(self, scan: Scan) -> list[OSError]:
        """Takes notice of a scan; returns what kept new files from being opened."""
        return [problem for step in self.applying(scan) for problem in step]

    def applying(self, scan: Scan) -> Iterator[list[OSError]]:
        """The same in steps of a millisecond or two, between which others may have their turn; for
        each of them the problems that it met."""
        problems: list[OSError] = []
        known = set(self._tails)
        full = False
        for number, (inode, found) in enumerate(scan.found.items()):
            if number % _STEP == _STEP - 1:
                yield problems
                problems = []
            tail = self._tails.get(inode)
            if tail is None:
                try:
                    if not full:
                        self._follow(found.path)
                except (FileNotFoundError, NotFollowedError):
                    continue  # Rotated away since the scan, or something else is there.
                except OSError as error:
                    error.filename = error.filename or found.path
                    problems.append(error)
                    # The next one would fare no better. The newest files came first.
                    full = error.errno in (errno.EMFILE, errno.ENFILE)
            elif inode in self._appeared or tail.compressed:
                continue
            elif tail.path != found.path or tail.gone is not None:
                self._move(tail, found.path)
        if not self._scanned:
            self._finish_behind_links()
        yield problems
        for inode, tail in self._tails.items():
            if inode not in scan.found and not tail.compressed:
                self.miss(tail, scan)
        yield []
        for inode, tail in self._tails.items():
            now = scan.found.get(inode)
            version = None if now is None else Version(now.size, now.modified)
            self._versions.observe_unless(tail, version)
        if not self._scanned:
            self._scanned = True
            known |= self._appeared
            new = (tail for inode, tail in self._tails.items() if inode not in known)
            self._placement.found_at_first(new)
        self.records.forget(self._gzip_is_there)
        yield []

    def appear(self, path: str) -> Tail | None:
        """Follows what stands at a path that is new, without a scan; None if that is nothing to
        follow. Raises OSError if it cannot be opened; a later scan does."""
        try:
            opened = self._opener.open(path)
        except (FileNotFoundError, NotFollowedError):
            return None
        tail = self._tails.get(opened.inode)
        if tail is None:
            tail = self._follow_opened(path, opened, compressed=False)
        else:
            self._filesystem.close(opened.descriptor)
            # A second name changes nothing while the first one is there.
            if (tail.path != path and not self._is_there(tail)) or tail.gone is not None:
                self._move(tail, path)
        self._appeared.add(opened.inode)
        self._versions.observe(tail)
        return tail

    def _move(self, tail: Tail, path: str) -> None:
        """A followed file stands at another path now, or is back."""
        if self._by_path.get(tail.path) is tail:
            del self._by_path[tail.path]
        tail.path, tail.gone = path, None
        self._writers.forget(tail)
        self._by_path[path] = tail
        self.records.touched(tail)

    def _is_there(self, tail: Tail) -> bool:
        """Whether its path leads to a file still, or may do."""
        try:
            return self._filesystem.inode_of(tail.path) == tail.inode
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def _finish_behind_links(self) -> None:
        """Has the rest read of files that were followed through symbolic links, which are not
        followed any more."""
        if self._link_opener is None:
            return
        for path, inode in self.records.at_end_there():
            if inode in self._tails or not self._filesystem.is_link(path):
                continue
            try:
                opened = self._link_opener.open(path)
            except OSError:
                continue  # Nobody follows it any more: what cannot be finished stays remembered.
            if opened.inode == inode:
                compressed = path.endswith(SUFFIX)
                tail = self.adopt(inode, path, opened.descriptor, compressed=compressed)
                if tail is not None:
                    self._to_their_end.add(tail)
            else:
                self._filesystem.close(opened.descriptor)

    def miss(self, tail: Tail, scan: Scan) -> bool:
        """A scan did not find the file: returns whether no path leads to it any more, and not the
        scan could not see it, or is older than what `appear` was told."""
        if tail.gone is not None:
            return True
        if tail.inode in self._appeared or is_hidden(tail.path, scan.unreadable):
            return False
        if scan.left_out and self._is_there(tail):
            return False
        tail.gone = self._clock.now()
        # Who has it open may still finish its last line: the quiet time begins anew.
        self._versions.forget(tail)
        self._writers.removed(tail)
        self.records.touched(tail)
        if self._by_path.get(tail.path) is tail:
            del self._by_path[tail.path]
        return True

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
        path = self.records.path_at(inode) or path
        tail = self._tail(inode, path, descriptor, compressed=compressed)
        tail.born = self._filesystem.born(descriptor)
        tail.gone = self._clock.now()
        self._tails[inode] = tail
        self._writers.removed(tail)
        self._versions.observe(tail)
        return tail

    def follow_gzip(
        self, inode: Inode, path: str, opener: LogOpener, *, appeared: bool = False
    ) -> Tail | None:
        """Follows the gzip that stands at `path`; None if it is a file that is followed as it is.

        `opener`: what is a gzip to this input. `appeared`: told without a scan, as by `appear`.
        Raises OSError if it cannot be opened (NotFollowedError: it is not followed).
        """
        tail = self._tails.get(inode)
        if tail is None:
            tail = self._follow_opened(path, opener.open(path), compressed=True)
            if tail.compressed and not appeared and not self._first_gzips_found:
                self._placement.found_at_first([tail])
        if not tail.compressed:
            return None
        if appeared or inode not in self._appeared:
            moved = tail.path != path and not (appeared and self._is_there(tail))
            if moved or tail.gone is not None:
                self._move(tail, path)
        if appeared:
            self._appeared.add(tail.inode)
        self._versions.observe(tail)
        return tail

    def gzips_found(self) -> None:
        """The gzips that were there at the first scan are followed."""
        self._first_gzips_found = True

    def skips(self, found: Found, *, is_first: bool) -> bool:
        """Whether what is in a file that is new is not shipped: see `Placement.skips`."""
        return self._placement.skips(found.modified / 1e9, is_first=is_first)

    def skips_tail(self, tail: Tail) -> bool:
        """The same of one that is followed."""
        return self._placement.skips_tail(tail)

    def untried(self) -> set[Tail]:
        """The plain files that nobody has tried to identify yet."""
        return {
            tail
            for tail in self._tails.values()
            if tail.state is State.WAITING and tail.unread and not tail.tried
            if not tail.compressed
        }

    def remember_while(self, is_there: Callable[[FileRecord], bool]) -> None:
        """From now on no file is forgotten of which something `is_there` that would be read."""
        self._gzip_is_there = is_there

    def is_final(self, tail: Tail) -> bool:
        """Whether a file will not grow any more: see `SeenVersions.is_final`."""
        return self._versions.is_final(tail)

    async def place(self, tail: Tail) -> Start | NoLine | None:
        """Decides where a waiting file begins: see `Placement.place`."""
        start = await self._placement.place(tail)
        row = self.records.row_of(tail)
        for old in self._retired:
            if old.inode == tail.inode and row is not None:
                old.successors.add(row)
        return start

    def rewritten(self, tail: Tail) -> Tail | None:
        """The content under a tail is another one now: returns the tail of the new content.

        None if nothing is there any more. Raises OSError if it cannot be opened; a later scan does.
        """
        self._retire(tail)
        if self._just_rewritten is not None:
            self._just_rewritten.add(tail)
        if tail.compressed:
            return None  # The next scan decides about it.
        try:
            return self._follow(tail.path)
        except (FileNotFoundError, NotFollowedError):
            return None

    def give_up(self, tail: Tail) -> None:
        """Closes a file that was stopped before its end, for good; what is in flight still
        counts."""
        tail.is_finished = True
        self._to_their_end.add(tail)
        self._retire(tail)

    def record_loss(
        self,
        reason: LossReason,
        file: Tail | ClosedFile,
        start: int,
        end: int,
        *,
        size: int,
        lines: int | None,
    ) -> int:
        """Has a range of a file recorded as lost: `size` bytes of it, with so many lines (None:
        nobody knows). Returns as `FileRecords.add_loss`."""
        now = self._clock.now()
        return self.records.add_loss(
            Loss(self.input_id, file.path, file.identity, start, end, size, lines, reason, now)
        )

    def close_finished(self) -> list[ClosedFile]:
        """Closes the files that are removed and final, read to their end and acknowledged; and
        gzips that are, wherever they are."""
        for tail in list(self._tails.values()):
            over = tail.state is State.READING if tail.compressed else tail.gone is not None
            if not over or tail.held or not tail.acks.all_acknowledged:
                continue
            if not (tail in self._to_their_end or self.is_final(tail)):
                continue
            if not tail.look():
                tail.is_finished = True
                self._retire(tail)
        closed_files = []
        unplaced = [
            tail
            for tail in self._tails.values()
            if tail.state is State.WAITING and tail.unread and not tail.compressed
        ]
        for tail in [tail for tail in self._retired if tail.acks.all_acknowledged]:
            just_rewritten = tail in (self._just_rewritten or ())
            if tail.unread_lost and (
                just_rewritten or any(other.begins_like(tail) for other in unplaced)
            ):
                continue  # One may be a copy that has what is missing here, or is not found yet.
            self._retired.discard(tail)
            closed_files.append(self._closed_file(tail))
            self._to_their_end.discard(tail)
        return closed_files

    def _closed_file(self, tail: Tail) -> ClosedFile:
        read, lost = tail.offset, self._lost(tail)
        tail.stop()  # What is lost of it is reported once.
        return ClosedFile(
            tail.path,
            None if tail.inode in self._tails else tail.inode,
            read,
            lost,
            placed=bool(tail.identity),
            identity=tail.identity,
            row=self.records.close_finished(tail) or tail.done_as,
            stored=tail.version.size if tail.is_finished else None,
            compressed=tail.compressed,
            for_good=tail in self._to_their_end,
        )

    def _lost(self, tail: Tail) -> int:
        """What was rewritten before it was read, and is not in a copy either, in bytes."""
        return 0 if is_elsewhere(self.records, tail, tail.seen) else tail.unread_lost

    def close(self) -> None:
        """Closes every file."""
        for tail in self._tails.values():
            tail.close()

    def _follow(self, path: str) -> Tail:
        return self._follow_opened(path, self._opener.open(path), compressed=False)

    def _follow_opened(self, path: str, opened: OpenedLog, *, compressed: bool) -> Tail:
        # The path may lead elsewhere by now: what was opened counts, not what was seen.
        tail = self._tails.get(opened.inode)
        if tail is not None:
            self._filesystem.close(opened.descriptor)
            return tail
        tail = self._tail(opened.inode, path, opened.descriptor, compressed=compressed)
        tail.born = opened.born
        self._tails[opened.inode] = tail
        self._by_path[path] = tail
        self._keep(tail)
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
        if self._by_path.get(tail.path) is tail:
            del self._by_path[tail.path]
        self._retired.add(tail)
        self._versions.forget(tail)
        self._writers.forget(tail)
        self._placement.forget(tail)
        self.records.touched(tail)
