"""Files that vanished while shipper was not running, before they were shipped to their end; and
gzips that were written anew before that.

A row remembers how far its file was seen. If that is further than it was acknowledged, and the
content turns up nowhere, the rest is lost; how many lines that is, nobody knows; of a gzip, not how
many bytes, either. It is said only
when all that could be that content was looked at: its directory was read in a whole scan, all kept
files are open, and nothing waits to be identified that may be it.
"""

from collections.abc import Iterable
from os.path import dirname

from msgspec import Struct
from msgspec.structs import replace

from shipper.clock import Clock
from shipper.files.catalog import Catalog
from shipper.files.copies import has_end
from shipper.files.discovery import Scan, is_hidden
from shipper.files.filesystem import FileSystem
from shipper.files.loss_recorder import LossRecorder, known_end
from shipper.files.losses import Loss, LossReason
from shipper.files.records import FileRecords
from shipper.files.registry import FileRecord, RowId
from shipper.files.reopening import Unreachable
from shipper.files.seen import Seen
from shipper.files.tail import State, Tail

#: How long it is looked for, in seconds since the first scan that could have found it.
LOOKED_FOR = 60.0

#: The directory of a file may be on another file system than the file was: its volume is not
#: mounted yet, or has another number since the machine was started. It is waited for so long, in
#: seconds since the start.
MOUNTED_WITHIN = 600.0

#: How often a row learns at the most how far its file was seen, in seconds.
_SEEN_INTERVAL = 5.0


class _Missing(Struct, frozen=True):
    """A file that no scan found yet."""

    row: RowId
    reason: LossReason = LossReason.VANISHED
    #: When the first scan had not found it that could have (monotonic seconds); None before.
    since: float | None = None


class VanishedFiles:
    """Those of one input."""

    def __init__(self, catalog: Catalog, filesystem: FileSystem, clock: Clock) -> None:
        self._began = clock.monotonic()
        self._catalog = catalog
        self._filesystem = filesystem
        self._clock = clock
        self._losses = LossRecorder(catalog.input_id, catalog.records, clock)
        self._missing = [_Missing(record.row) for record in catalog.records.unfinished()]
        # Of the last scan: whether all that there is was seen, and what was hidden.
        self._is_complete = False
        self._unreadable: frozenset[str] = frozenset()

    def closed(self, row: RowId) -> None:
        """A file is closed. If there was more to be read of it, another content took its place."""
        if self._catalog.records.unfinished_at(row) is not None:
            self._missing.append(_Missing(row, LossReason.REWRITTEN))

    def missed(self, files: Iterable[Unreachable]) -> None:
        """Nothing leads to these files any more; those without a row are not looked for here."""
        known = {each.row for each in self._missing}
        self._missing += [
            _Missing(each.row) for each in files if each.row is not None and each.row not in known
        ]

    def scanned(self, scan: Scan, *, complete: bool) -> list[Loss]:
        """Records what is known to be lost after a scan; returns it. `complete`: whether all that
        it found is open, and so is all that was kept."""
        self._is_complete = complete and not scan.left_out
        self._unreadable = frozenset(scan.unreadable)
        if not self._missing:
            return []
        records, now = self._catalog.records, self._clock.monotonic()
        losses, missing = [], []
        for each in self._missing:
            record = records.unfinished_at(each.row)
            if record is None or records.is_followed(each.row):
                continue  # It is found.
            copies = records.copies_of(each.row)
            seen = Seen(record.seen, record.seen_mark)
            found = [has_end(records, each.row, copy, seen) for copy in copies]
            if True in found:
                records.stop_at_offset(each.row)
                continue
            if None in found or not complete or not self._could_be_found(record, scan):
                missing.append(replace(each, since=None))
            elif each.since is None or now - each.since < LOOKED_FOR:
                missing.append(replace(each, since=now if each.since is None else each.since))
            else:
                losses.append(self._lose(record, each.reason))
        self._missing = missing
        return losses

    def may_be_followed(self, record: FileRecord) -> bool:
        """Whether a file of another input may turn out to be one of this one's, as far as known."""
        if not self._is_complete or is_hidden(record.path, self._unreadable):
            return True
        if self._catalog.parked.waiting:
            return True
        return any(_may_be(tail, record) for tail in self._catalog.tails)

    def _could_be_found(self, record: FileRecord, scan: Scan) -> bool:
        """Whether the scan would have found the file, if it were there."""
        directory = scan.directories.get(dirname(record.path))
        if scan.left_out or directory is None:
            return False
        is_elsewhere = record.inode is not None and record.inode.device != directory.device
        if is_elsewhere and self._clock.monotonic() - self._began < MOUNTED_WITHIN:
            return False
        if is_hidden(record.path, scan.unreadable) or self._is_there(record):
            return False
        if self._catalog.parked.waiting:
            return False  # It may be one of them.
        return not any(_may_be(tail, record) for tail in self._catalog.tails)

    def _is_there(self, record: FileRecord) -> bool:
        """Whether the file is at its path, although it is not followed there."""
        if record.inode is None or self._catalog.follows(record.inode):
            return False
        try:
            return self._filesystem.inode_of(record.path) == record.inode
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def _lose(self, record: FileRecord, reason: LossReason) -> Loss:
        records = self._catalog.records
        records.stop_at_offset(record.row)
        end = known_end(record)
        return self._losses.record(
            reason, record.path, record.offset, end, identity=record.identity
        ).loss


class SeenSizes:
    """Has the rows of one input's files learn how far these were seen, while nothing is
    acknowledged."""

    def __init__(self, records: FileRecords, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._grown: set[Tail] = set()
        self._saved = 0.0

    def grew(self, tails: Iterable[Tail]) -> None:
        """These files were written to. What cannot be saved yet is with a later call."""
        self._grown.update(tail for tail in tails if tail.identity)
        now = self._clock.monotonic()
        if not self._grown or now - self._saved < _SEEN_INTERVAL:
            return
        self._saved = now
        for tail in self._grown:
            self._records.touched(tail)
        self._grown.clear()


def _may_be(tail: Tail, record: FileRecord) -> bool:
    """Whether a file that is followed may turn out to be the one of a record."""
    if tail.state is not State.WAITING or not tail.size:
        return False
    if tail.compressed:
        return tail.identification.known in (None, record.identity)
    if not tail.tried or tail.identification.head.searching:
        return True
    return tail.inode == record.inode
