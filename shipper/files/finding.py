"""What scans and notifications say of an input's files: opens what is new, or was parked and is
written to, and takes notice of moves and removals.
"""

import errno
from collections.abc import Iterator

from shipper.clock import Clock
from shipper.files.closing import Closing
from shipper.files.content import Version
from shipper.files.discovery import Scan, is_hidden
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.followed import FollowedFiles
from shipper.files.found import PARKED
from shipper.files.opening import LogOpener, NotFollowedError, OpenedLog
from shipper.files.parking import Parking
from shipper.files.quiet import SeenVersions
from shipper.files.records import SUFFIX, FileRecords
from shipper.files.reopening import MOST_OPEN, NO_DESCRIPTOR, Reopening
from shipper.files.tail import Tail

#: So many files of a scan are opened in one step.
_STEP = 100

#: While so many files wait to be identified, a scan parks what else it finds.
_MOST_UNTRIED = 250

#: After so many files that can be neither opened nor linked, a scan tries no more.
_MOST_REFUSED = 20

#: Later than any file was written to (nanoseconds).
_NEWEST = 2**64


class Finding:
    """Of one input."""

    def __init__(
        self,
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
        self._files = files
        self._filesystem = filesystem
        self._clock = clock
        self._records = records
        self._versions = versions
        self._closing = closing
        self._link_opener = link_opener
        self._parking = Parking(files, records, versions, clock)
        #: Who opens parked files.
        self.reopening = Reopening(
            files,
            filesystem=filesystem,
            records=records,
            versions=versions,
            parking=self._parking,
        )
        self._scanned = False
        self._first_gzips_found = False
        # Of the scan that is applied: how many files wait to be identified, and how many could be
        # neither opened nor linked for want of a descriptor.
        self._untried = self._refused = 0
        #: The files of the last scan that are not followed, as they could not be opened.
        self.unopened: set[Inode] = set()

    @property
    def wants_scan(self) -> bool:
        """Whether there are files to be opened, and the last scan came nearer to them."""
        return self.reopening.progress and bool(self._files.parked.waiting)

    def begin_scan(self) -> None:
        """A scan begins, which `applying` will be told of: what `appear` is told of meanwhile is
        newer than what the scan saw."""
        self._files.appeared.clear()

    def applying(self, scan: Scan) -> Iterator[list[OSError]]:
        """Takes notice of a scan in steps of a millisecond or two, between which others may have
        their turn; for each of them the problems that it met."""
        problems: list[OSError] = []
        self.reopening.full = self.reopening.progress = False
        self._untried, self._refused = len(untried(self._files)), 0
        self.unopened = set()
        for number, (inode, found) in enumerate(scan.found.items()):
            if number % _STEP == _STEP - 1:
                yield problems
                problems = []
            tail = self._files.open.get(inode)
            if tail is None:
                if not self._is_settled(inode, found.path, found.size, found.modified):
                    problems += self._find(inode, found.path, found.size, found.modified)
                if inode in self._files.parked:
                    scan.found[inode] = PARKED
                elif inode not in self._files.open:
                    self.unopened.add(inode)
            elif inode in self._files.appeared or tail.compressed:
                continue
            elif tail.path != found.path or tail.gone is not None:
                self._files.move(tail, found.path)
        if not self._scanned:
            self._finish_behind_links()
        yield problems
        while self.reopening.open_waiting(_STEP):
            yield []
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
        for parked in self._parking.park_done(full=self.reopening.full):
            self.reopening.progress |= parked > 0
            yield []
        self._scanned = True

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
        self._files.appeared.add(opened.inode)
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
        if appeared or inode not in self._files.appeared:
            is_elsewhere = tail.path != path and not (
                appeared and self._files.is_there(tail.path, tail.inode)
            )
            if is_elsewhere or tail.gone is not None:
                self._files.move(tail, path)
        if appeared:
            self._files.appeared.add(tail.inode)
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

    def _find(self, inode: Inode, path: str, size: int, modified: int) -> list[OSError]:
        """Opens a file that a scan found, or links and parks it; returns what is in the way."""
        first = None if self._scanned or inode in self._files.appeared else size
        try:
            opened = None
            if self._untried < _MOST_UNTRIED and not self.reopening.full:
                opened = self._open(path, modified)
                self.reopening.full = opened is None
            if opened is None:
                if inode in self._files.parked and inode in self._files.links:
                    self._files.parked.grew(inode, size, modified)
                elif self._refused < _MOST_REFUSED:
                    self._park(path, found_first=first)
                return []
            tail = self._files.follow(path, opened)
            self._untried += 1
            self.reopening.progress = True
            if first is not None and tail.found_first is None:
                tail.found_first = first
        except NotFollowedError:
            pass  # Something else is there.
        except FileNotFoundError:
            # Rotated away since the scan. What was seen of one that is parked is not read.
            self._files.parked.grew(inode, size, modified)
        except OSError as error:
            self._files.parked.grew(inode, size, modified)
            error.filename = error.filename or path
            return [error]
        return []

    def _open(self, path: str, modified: int) -> OpenedLog | None:
        """Opens a file; where no descriptor is left, that of one which was written to before
        `modified` is given back for it. None if there is none."""
        is_full = len(self._files.open) >= MOST_OPEN and not self._parking.make_room(modified)
        # Without links nothing can be parked, and all are open.
        if is_full and any(inode in self._files.links for inode in self._files.open):
            return None
        while True:
            try:
                return self._files.open_plain(path)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR:
                    raise
            if not self._parking.make_room(modified):
                return None

    def _park(self, path: str, *, found_first: int | None) -> None:
        try:
            opened = self._files.open_plain(path, into_reserve=True)
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                self._refused = _MOST_REFUSED  # The next one would fare no better.
            raise
        if not self._files.park_unread(path, opened, found_first=found_first):
            self._refused += 1
            raise OSError(errno.EMFILE, "there is no descriptor for it, and it has no link", path)
        self._files.appeared.add(opened.inode)

    def _is_settled(self, inode: Inode, path: str, size: int, modified: int) -> bool:
        """Whether a file that stands at that path is parked, and nothing is to be done with it."""
        parked = self._files.parked
        if not parked.is_quiet(inode, size, modified) or inode not in self._files.links:
            return False
        if inode not in self._files.appeared:
            parked.moved(inode, path)
        return True

    def _is_missed(self, inode: Inode, path: str, scan: Scan) -> bool:
        if inode in self._files.appeared or is_hidden(path, scan.unreadable):
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
            if waiting.seen == scan.walk:
                continue
            if self._is_missed(inode, parked.path(inode), scan):
                parked.missed(inode, now)
        return self.reopening.open_removed()

    def _finish_behind_links(self) -> None:
        """Has the rest read of files that were followed through symbolic links, which are not
        followed any more."""
        if self._link_opener is None:
            return
        missing = [
            (path, inode)
            for path, inode in self._records.at_end_there()
            if not self._files.follows(inode)
        ]
        for path, inode in missing:
            if not self._filesystem.is_link(path):
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


def untried(files: FollowedFiles) -> set[Inode]:
    """The plain files that are open, and that nobody has tried to identify yet."""
    return {tail.inode for tail in files.waiting if tail.is_untried and not tail.compressed}
