"""The files that are followed, and what is remembered of each.

A scan says which inodes stand at which paths. The catalog makes tails of them, has each placed
(`placement`), and lets go of a file only when no path leads to it, it is read to its end, and all
of it is acknowledged (`closing`). What it remembers goes to the registry as `FileRecord`s.

    found -> WAITING (no first line yet) -> placed -> READING -> removed -> closed, remembered
                                              ^  ^      |  |
                               written again -+  |      |  +-- quiet, or no descriptor left: parked
                                                 +------+-- back again
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from shipper.clock import Clock
from shipper.files.closing import ClosedFile, Closing
from shipper.files.discovery import Scan, is_hidden
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.finding import Finding, untried
from shipper.files.followed import FollowedFiles
from shipper.files.found import Found
from shipper.files.lines import NoLine, ReadBuffer
from shipper.files.links import Links
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.parked import ParkedFiles
from shipper.files.placement import Placement, Start
from shipper.files.quiet import CLOSE_REMOVED_AFTER, SeenVersions
from shipper.files.records import FileRecords
from shipper.files.registry import FileRecord, RowId
from shipper.files.reopening import Unreachable
from shipper.files.tail import Tail
from shipper.files.writers import Writers

__all__ = ["Catalog", "ClosedFile"]


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
        known: a copy or a backup of it that turns up meanwhile continues there.
        `ignore_older`: a new file that was last written longer ago (seconds; 0: none is) is read
        from its end, and with `start_at_end` so are all that the first scan finds, unless files
        of this input are remembered. `exclude`, `symlinks`: what is not followed, whatever a scan
        says. `close_removed_after`: seconds without a write after which a file that no path leads
        to is complete, where it is not known whether somebody has it open."""
        self.input_id = input_id
        #: Gives a key for a file that is not in the registry yet.
        self.new_row = new_row
        self._filesystem = filesystem
        self._writers = Writers(filesystem)
        self._versions = SeenVersions(clock, self._writers.has_writer, close_removed_after)
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
        self._files = FollowedFiles(
            filesystem=filesystem,
            clock=clock,
            buffer=buffer,
            opener=LogOpener(filesystem, exclude=exclude, symlinks=symlinks),
            records=self.records,
            versions=self._versions,
            writers=self._writers,
            placement=self._placement,
        )
        #: How a file ends.
        self.closing = Closing(input_id, self._files, self.records, clock, self._versions.is_final)
        self._finding = Finding(
            self._files,
            filesystem=filesystem,
            clock=clock,
            records=self.records,
            versions=self._versions,
            closing=self.closing,
            link_opener=None if symlinks else LogOpener(filesystem, symlinks=True),
        )
        # What must not be forgotten although it is closed.
        self._gzip_is_there: Callable[[FileRecord], bool] = lambda _: False

    @property
    def tails(self) -> tuple[Tail, ...]:
        """The files that are open, or have something in flight."""
        return (*self._files.open.values(), *self._files.retired)

    @property
    def parked(self) -> ParkedFiles:
        """The files that are followed and not open."""
        return self._files.parked

    @property
    def inodes(self) -> Collection[Inode]:
        """The inodes of the files that are followed."""
        return self._files.inodes

    @property
    def backlog(self) -> int:
        """Bytes that are not acknowledged, as far as known."""
        return sum(tail.backlog for tail in self.tails) + self.parked.backlog

    @property
    def wants_scan(self) -> bool:
        """Whether another scan soon would open more files."""
        return self._finding.wants_scan

    @property
    def unopened(self) -> Collection[Inode]:
        """The files of the last scan that could not be opened."""
        return self._finding.unopened

    @property
    def waiting(self) -> Iterable[Tail]:
        """The open files of which it is not known yet which they are."""
        return self._files.waiting

    def take_unreachable(self) -> list[Unreachable]:
        """As `Reopening.take_unreachable`."""
        return self._finding.reopening.take_unreachable()

    def at(self, path: str) -> Tail | None:
        """The file that stands at that path, if it is open."""
        return self._files.at(path)

    def with_inode(self, inode: Inode) -> Tail | None:
        """The file with that inode, if it is open."""
        return self._files.open.get(inode)

    def follows(self, inode: Inode) -> bool:
        """Whether the file with that inode is open or parked."""
        return self._files.follows(inode)

    def knows(self, inode: Inode) -> bool:
        """Whether a file with that inode is followed, or remembered."""
        return self.follows(inode) or self.records.has_inode(inode)

    def keep_with(self, links: Links) -> None:
        """From now on each file gets its link there as soon as it is open, and so may be parked."""
        self._files.links = links

    def written_after_removal(self) -> list[Tail]:
        """The files that were removed and are still written; each once."""
        return self._writers.newly_noticed()

    def begin_scan(self) -> None:
        """A scan begins, which `apply` will be told of: what `appear` is told of meanwhile is newer
        than what the scan saw."""
        self._finding.begin_scan()
        self.closing.begin_scan()

    def apply(self, scan: Scan) -> list[OSError]:
        """Takes notice of a scan; returns what kept new files from being opened."""
        return [problem for step in self.applying(scan) for problem in step]

    def applying(self, scan: Scan) -> Iterator[list[OSError]]:
        """The same in steps of a millisecond or two, between which others may have their turn; for
        each of them the problems that it met."""
        yield from self._finding.applying(scan)
        self.records.forget(
            lambda record: (
                record.seen > record.offset  # It is looked for, or its loss is not recorded yet.
                or is_hidden(record.path, scan.unreadable)
                or self._is_still_there(record)
            )
        )
        yield []

    def advance(self) -> list[Tail]:
        """What was read is in the registry: opens files that wait for a descriptor, if there are
        some, and returns these."""
        return self._finding.reopening.advance()

    def appear(self, path: str) -> Tail | None:
        """Follows what stands at a path that is new or was written to, without a scan; None if that
        is nothing to follow. Raises OSError if it cannot be opened; a later scan does."""
        return self._finding.appear(path)

    def miss(self, tail: Tail, scan: Scan) -> bool:
        """A scan did not find the file: returns whether no path leads to it any more, and not the
        scan could not see it, or is older than what `appear` was told."""
        return self._finding.miss(tail, scan)

    def adopt(
        self, inode: Inode, path: str, descriptor: int, *, compressed: bool = False
    ) -> Tail | None:
        """Follows a file that no path leads to and that was kept.

        `path`: where it was once, unless the registry knows better. Returns None, and closes the
        descriptor, if it is open already.
        """
        if inode in self._files.open:
            self._filesystem.close(descriptor)
            return None
        path = self.records.path_at(inode) or path
        return self._files.adopt(inode, path, descriptor, compressed=compressed)

    def keep_parked(self, inode: Inode, path: str, size: int, *, compressed: bool) -> bool:
        """Follows a file that an earlier process kept, and that no path is known to lead to: it has
        a link, and is opened by `open_removed`. `path`: as in `adopt`; `size`: in bytes. Returns
        whether it was not followed yet."""
        return self._files.keep_parked(inode, path, size, compressed=compressed)

    def open_removed(self) -> list[OSError]:
        """Opens parked files that no path leads to, a bounded number; returns what kept some from
        being opened."""
        return self._finding.reopening.open_removed()

    def open_oldest_removed(self, most: int) -> list[OSError]:
        """The same of so many, with descriptors that are no log's, for who closes them at once."""
        return self._finding.reopening.open_removed(most, into_reserve=True)

    def unlinked(self, inode: Inode) -> None:
        """The link of a file is not there any more, and could not be made again: one that is parked
        is opened while a path leads to it."""
        if inode in self.parked:
            self._finding.reopening.unlinked(inode)

    def follow_gzip(
        self, inode: Inode, path: str, opener: LogOpener, *, appeared: bool = False
    ) -> Tail | None:
        """Follows the gzip that stands at `path`; None if it is a file that is followed as it is.

        `opener`: what is a gzip to this input. `appeared`: told without a scan, as by `appear`.
        Raises OSError if it cannot be opened (NotFollowedError: it is not followed).
        """
        return self._finding.follow_gzip(inode, path, opener, appeared=appeared)

    def gzips_found(self) -> None:
        """The gzips that were there at the first scan are followed."""
        self._finding.gzips_found()

    def skips(self, found: Found, *, is_first: bool) -> bool:
        """Whether what is in a file that is new is not shipped: see `Placement.skips`."""
        return self._placement.skips(found.modified / 1e9, is_first=is_first)

    def skips_tail(self, tail: Tail) -> bool:
        """The same of one that is followed."""
        return self._placement.skips_tail(tail)

    def untried(self) -> set[Inode]:
        """The plain files that nobody has tried to identify yet."""
        return untried(self._files) | self.parked.untried

    def is_untried(self, inode: Inode) -> bool:
        """Whether the file with that inode is one of them."""
        tail = self._files.open.get(inode)
        if tail is not None:
            return tail.is_untried and not tail.compressed
        return self.parked.is_untried(inode)

    def open_original(self, path: str) -> Tail | None:
        """The plain file that stands at that path, opened if it is parked; None if it is not
        followed."""
        return self._files.at(path) or self._finding.reopening.open_parked(path)

    def row_at(self, path: str) -> RowId | None:
        """The row of the parked plain file that stands at that path."""
        return self._finding.reopening.parked_row(path)

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
        for old in self._files.retired:
            if old.inode == tail.inode and row is not None:
                old.successors.add(row)
        return start

    def rewritten(self, tail: Tail) -> Tail | None:
        """The content under a tail is another one now: returns the tail of the new content.

        None if nothing is there any more. Raises OSError if it cannot be opened; a later scan does.
        """
        self._files.retire(tail)
        self.closing.rewritten(tail)
        if tail.compressed:
            return None  # The next scan decides about it.
        try:
            return self._files.follow(tail.path, self._files.open_plain(tail.path))
        except (FileNotFoundError, NotFollowedError):
            return None

    def close_finished(self) -> list[ClosedFile]:
        """Closes the files that are removed and final, read to their end and acknowledged; and
        gzips that are, wherever they are."""
        return self.closing.close_finished()

    def close(self) -> None:
        """Closes every file."""
        self._files.close()

    def _is_still_there(self, record: FileRecord) -> bool:
        """Whether what is remembered may still be asked for: its file waits to be placed, or a gzip
        of it is there."""
        return self._files.waits_at(record.inode) or self._gzip_is_there(record)
