"""What scans and notifications say of an input's files: opens what is new, opens again what was
parked and is written to or lost its name, and takes notice of moves and removals.
"""

import errno
from collections.abc import Iterator
from itertools import islice

from shipper.clock import Clock
from shipper.files.closing import NO_IDENTITY, Closing
from shipper.files.discovery import Scan, is_hidden
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.followed import FollowedFiles
from shipper.files.losses import Loss, LossReason
from shipper.files.opening import LogOpener, NotFollowedError, OpenedLog
from shipper.files.parked import WaitingFile
from shipper.files.parking import Parking
from shipper.files.quiet import SeenVersions
from shipper.files.records import SUFFIX, FileRecords
from shipper.files.registry import RowId
from shipper.files.tail import Tail, Version

#: So many files of a scan are opened in one step.
_STEP = 100

#: While so many files wait to be identified, a scan parks what else it finds.
_MOST_UNTRIED = 250

#: While more files than this are open, parked ones are opened by scans only.
_MOST_OPENED = 250

#: With so many files open, one is parked for each that is opened, as without descriptors.
_MOST_OPEN = 1000

#: So many parked files that no path leads to are opened by one scan.
_MOST_REOPENED = 200

#: After so many files that can be neither opened nor linked, a scan tries no more.
_MOST_REFUSED = 20

#: There is no descriptor for another log.
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)

#: Later than any file was written to (nanoseconds).
_NEWEST = 2**64


class Finding:
    """Of one input."""

    def __init__(
        self,
        input_id: str,
        files: FollowedFiles,
        *,
        filesystem: FileSystem,
        clock: Clock,
        records: FileRecords,
        versions: SeenVersions,
        closing: Closing,
        link_opener: LogOpener | None,
    ) -> None:
        """`link_opener`: opens files that were followed through symbolic links by an earlier
        process, where these are not followed any more."""
        self._input_id = input_id
        self._files = files
        self._filesystem = filesystem
        self._clock = clock
        self._records = records
        self._versions = versions
        self._closing = closing
        self._link_opener = link_opener
        self._parking = Parking(files, records, versions, clock)
        self._scanned = False
        self._first_gzips_found = False
        # What appeared since the last scan began.
        self._appeared: set[Inode] = set()
        # Of the scan that is applied: how many files wait to be identified, how many could be
        # neither opened nor linked for want of a descriptor, whether there is none for more, and
        # whether some were opened or parked.
        self._untried = self._refused = 0
        self._full = self._progress = False

    @property
    def wants_scan(self) -> bool:
        """Whether there are files to be opened, and the last scan came nearer to them."""
        return self._progress and bool(self._files.parked.waiting)

    def begin_scan(self) -> None:
        """A scan begins, which `applying` will be told of: what `appear` is told of meanwhile is
        newer than what the scan saw."""
        self._appeared.clear()

    def applying(self, scan: Scan) -> Iterator[list[OSError]]:
        """Takes notice of a scan in steps of a millisecond or two, between which others may have
        their turn; for each of them the problems that it met."""
        problems: list[OSError] = []
        self._full = self._progress = False
        self._untried, self._refused = len(untried(self._files)), 0
        for number, (inode, found) in enumerate(scan.found.items()):
            if number % _STEP == _STEP - 1:
                yield problems
                problems = []
            tail = self._files.open.get(inode)
            if tail is None:
                if not self._is_settled(inode, found.path, found.size, found.modified):
                    problems += self._find(inode, found.path, found.size, found.modified)
            elif inode in self._appeared or tail.compressed:
                continue
            elif tail.path != found.path or tail.gone is not None:
                self._files.move(tail, found.path)
        if not self._scanned:
            self._finish_behind_links()
        yield problems
        for inode, tail in self._files.open.items():
            if inode not in scan.found and not tail.compressed:
                self.miss(tail, scan)
        yield self._miss_parked(scan)
        for inode, tail in self._files.open.items():
            now = scan.found.get(inode)
            version = None if now is None else Version(now.size, now.modified)
            self._versions.observe_unless(tail, version)
        yield []
        self._parking.scanned(scan)
        yield []
        for parked in self._parking.park_done(full=self._full):
            self._progress |= parked > 0
            yield []
        self._scanned = True

    def advance(self) -> list[Tail]:
        """What was read is in the registry: parks it, and opens others that wait for a descriptor,
        if there are some; returns these."""
        waiting = self._files.parked.waiting
        if not waiting:
            return []
        for _ in self._parking.park_done(full=self._full):
            pass
        tails: list[Tail] = []
        most = _MOST_OPENED - len(self._files.open)
        for inode in list(
            islice(
                (inode for inode, file in waiting.items() if _waits_at_its_path(file)), max(0, most)
            )
        ):
            try:
                tail = self._files.reopen(inode)
            except OSError as error:
                self._full |= error.errno in _NO_DESCRIPTOR
                break  # The next scan says what is in the way.
            if tail is not None:
                # A scan that is under way may have left it out.
                self._appeared.add(inode)
                self._versions.observe(tail)
                tails.append(tail)
        return tails

    def appear(self, path: str) -> Tail | None:
        """Follows what stands at a path that is new or was written to, without a scan; None if that
        is nothing to follow. Raises OSError if it cannot be opened; a later scan does."""
        try:
            opened = self._open(path, _NEWEST)
            if opened is None:
                self._park(path, found_first=None)
                return None
        except (FileNotFoundError, NotFollowedError):
            return None
        self._appeared.add(opened.inode)
        tail = self._files.open.get(opened.inode)
        if tail is None:
            if self._is_settled(opened.inode, path, opened.size, opened.modified):
                self._filesystem.close(opened.descriptor)
                return None
            tail = self._files.follow(path, opened)
        else:
            self._filesystem.close(opened.descriptor)
            # A second name changes nothing while the first one is there.
            is_elsewhere = tail.path != path and not self._files.is_there(tail.path, tail.inode)
            if is_elsewhere or tail.gone is not None:
                self._files.move(tail, path)
        self._versions.observe(tail)
        return tail

    def follow_gzip(
        self, inode: Inode, path: str, opener: LogOpener, *, appeared: bool
    ) -> Tail | None:
        """As `Catalog.follow_gzip`."""
        tail = self._files.open.get(inode)
        if tail is None:
            tail = self._files.follow(path, opener.open(path), compressed=True)
            if tail.compressed and not appeared and not self._first_gzips_found:
                tail.found_first = tail.size
        if not tail.compressed:
            return None
        if appeared or inode not in self._appeared:
            is_elsewhere = tail.path != path and not (
                appeared and self._files.is_there(tail.path, tail.inode)
            )
            if is_elsewhere or tail.gone is not None:
                self._files.move(tail, path)
        if appeared:
            self._appeared.add(tail.inode)
        self._versions.observe(tail)
        return tail

    def gzips_found(self) -> None:
        """The gzips that were there at the first scan are followed."""
        self._first_gzips_found = True

    def miss(self, tail: Tail, scan: Scan) -> bool:
        """A scan did not find the file: returns whether no path leads to it any more, and not the
        scan could not see it, or is older than what `appear` was told."""
        if tail.gone is not None:
            return True
        if not self._is_missed(tail.inode, tail.path, scan):
            return False
        self._files.remove(tail)
        return True

    def open_removed(
        self, most: int = _MOST_REOPENED, *, into_reserve: bool = False
    ) -> list[OSError]:
        """Opens parked files that no path leads to, the oldest first and `most` of them; returns
        what kept some from being opened. What cannot be found by its link any more is lost."""
        problems: list[OSError] = []
        if not into_reserve:
            most = min(most, max(0, _MOST_OPEN - len(self._files.open)))
        for inode in self._files.parked.removed()[:most]:
            try:
                self._files.reopen_removed(inode, into_reserve=into_reserve)
                self._progress = True
            except (KeyError, FileNotFoundError):
                self._lose(inode)
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
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
            self._appeared.add(inode)
            self._versions.observe(tail)
        return tail

    def _inode_at(self, path: str) -> Inode | None:
        try:
            return self._filesystem.inode_of(path)
        except OSError:
            return None

    def unlinked(self, inode: Inode) -> None:
        """The link of a parked file is not there any more: opens it while a path leads to it."""
        try:
            if self._files.reopen(inode) is None:
                self._lose(inode)
        except OSError:
            self._files.parked.needs_look(inode)  # The next scan opens it.

    def _find(self, inode: Inode, path: str, size: int, modified: int) -> list[OSError]:
        """Opens a file that a scan found, or links and parks it; returns what is in the way."""
        first = None if self._scanned or inode in self._appeared else size
        try:
            opened = None
            if self._untried < _MOST_UNTRIED and not self._full:
                opened = self._open(path, modified)
                self._full = opened is None
            if opened is None:
                if inode in self._files.parked and inode in self._files.links:
                    self._files.parked.grew(inode, size, modified)
                elif self._refused < _MOST_REFUSED:
                    self._park(path, found_first=first)
                return []
            tail = self._files.follow(path, opened)
            self._untried += 1
            self._progress = True
            if first is not None and tail.found_first is None:
                tail.found_first = first
        except (FileNotFoundError, NotFollowedError):
            pass  # Rotated away since the scan, or something else is there.
        except OSError as error:
            error.filename = error.filename or path
            return [error]
        return []

    def _open(self, path: str, modified: int) -> OpenedLog | None:
        """Opens a file; where no descriptor is left, that of one which was written to before
        `modified` is given back for it. None if there is none."""
        is_full = len(self._files.open) >= _MOST_OPEN and not self._parking.make_room(modified)
        # Without links nothing can be parked, and all are open.
        if is_full and any(inode in self._files.links for inode in self._files.open):
            return None
        while True:
            try:
                return self._files.open_plain(path)
            except OSError as error:
                if error.errno not in _NO_DESCRIPTOR:
                    raise
            if not self._parking.make_room(modified):
                return None

    def _park(self, path: str, *, found_first: int | None) -> None:
        try:
            opened = self._files.open_plain(path, into_reserve=True)
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                self._refused = _MOST_REFUSED  # The next one would fare no better.
            raise
        if not self._files.park_unread(path, opened, found_first=found_first):
            self._refused += 1
            raise OSError(errno.EMFILE, "there is no descriptor for it, and it has no link", path)
        self._appeared.add(opened.inode)

    def _is_settled(self, inode: Inode, path: str, size: int, modified: int) -> bool:
        """Whether a file that stands at that path is parked, and nothing is to be done with it."""
        parked = self._files.parked
        if not parked.is_quiet(inode, size, modified) or inode not in self._files.links:
            return False
        if inode not in self._appeared:
            parked.moved(inode, path)
        return True

    def _is_missed(self, inode: Inode, path: str, scan: Scan) -> bool:
        if inode in self._appeared or is_hidden(path, scan.unreadable):
            return False
        return not (scan.left_out and self._files.is_there(path, inode))

    def _miss_parked(self, scan: Scan) -> list[OSError]:
        """Parked files that a scan did not find: opens them."""
        parked, now = self._files.parked, self._clock.now()
        too_many = [
            inode
            for inode, file in parked.quiet.items()
            if file.seen == scan.walk and file.modified < scan.oldest
        ]
        for inode in too_many:  # What is newer is followed in their place.
            parked.take(inode)
            self._files.links.release(inode)
        unseen = [inode for inode, file in parked.quiet.items() if file.seen != scan.walk]
        for inode in unseen:
            if inode not in scan.found and self._is_missed(inode, parked.path(inode), scan):
                parked.missed(inode, now)
        for inode, waiting in list(parked.waiting.items()):
            if waiting.removed is not None or waiting.compressed or inode in scan.found:
                continue
            if self._is_missed(inode, parked.path(inode), scan):
                parked.missed(inode, now)
        return self.open_removed()

    def _lose(self, inode: Inode) -> None:
        """Nothing leads to a parked file any more."""
        path = self._files.parked.path(inode)
        file = self._files.parked.take(inode)
        if not isinstance(file, WaitingFile) or file.is_read:
            return
        if file.row is None and self._records.has_inode(inode):
            return  # `vanished` says what is lost.
        identity, start, seen = NO_IDENTITY, 0, file.size
        if file.row is not None:
            record = self._records.record(file.row)
            identity, start, seen = record.identity, record.offset, max(record.seen, file.size)
            self._records.stop_at_offset(file.row)
        if file.compressed:
            seen = start  # How much is in it, nobody knows.
        loss = Loss(
            self._input_id,
            path,
            identity,
            start,
            seen,
            seen - start,
            None,
            LossReason.VANISHED,
            self._clock.now(),
        )
        self._records.add_loss(loss)

    def _finish_behind_links(self) -> None:
        """Has the rest read of files that were followed through symbolic links, which are not
        followed any more."""
        if self._link_opener is None:
            return
        for path, inode in self._records.at_end_there():
            if self._files.follows(inode) or not self._filesystem.is_link(path):
                continue
            try:
                opened = self._link_opener.open(path)
            except OSError:
                continue  # Nobody follows it any more: what cannot be finished stays remembered.
            if opened.inode == inode:
                compressed = path.endswith(SUFFIX)
                tail = self._files.adopt(inode, path, opened.descriptor, compressed=compressed)
                self._closing.only_to_its_end(tail)
            else:
                self._filesystem.close(opened.descriptor)


def _waits_at_its_path(file: WaitingFile) -> bool:
    return file.removed is None and not file.compressed


def untried(files: FollowedFiles) -> set[Inode]:
    """The plain files that are open, and that nobody has tried to identify yet."""
    return {inode for inode, tail in files.open.items() if tail.is_untried and not tail.compressed}
