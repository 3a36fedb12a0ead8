"""Files of which nobody knows which they are: a walk saw them, and they could not be opened (too
many open files, no permission, renamed or deleted at that moment), or have no complete first line.

If one goes, or gets shorter, before it is known, what was seen of it is lost, and is recorded
without an identity. The registry has a row of each, so that it is missed by the next start, too.
"""

from dataclasses import dataclass, replace
from os.path import dirname

from shipper.clock import Clock
from shipper.files.catalog import Catalog
from shipper.files.discovery import Scan, is_hidden
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.identity import NO_MARK, Identity
from shipper.files.losses import Loss, LossReason
from shipper.files.records import SUFFIX
from shipper.files.rows import FileRecord, RowId
from shipper.files.seen import Seen
from shipper.files.tail import State
from shipper.files.vanished import LOOKED_FOR


@dataclass(frozen=True, slots=True)
class _Unopened:
    """A file that is seen and not followed."""

    path: str
    #: What was seen of it, in bytes, without what an earlier process had seen.
    start: int
    size: int
    #: Whether the last walk did not find it: it may have been renamed while that went on.
    is_missed: bool = False


class UnopenedFiles:
    """Those of one input."""

    def __init__(self, catalog: Catalog, filesystem: FileSystem, clock: Clock) -> None:
        self._catalog = catalog
        self._filesystem = filesystem
        self._clock = clock
        self._files: dict[Inode, _Unopened] = {}
        # Those of which nothing is shipped that was there at the start.
        self._skipped: set[Inode] | None = None
        # What the registry has of files that are not identified, by their inodes; and what it had
        # at the start, with when the first scan had not found it that could have (monotonic).
        self._rows: dict[Inode, FileRecord] = {}
        self._before: list[tuple[FileRecord, float | None]] = [
            (record, None) for record in catalog.records.unidentified
        ]

    def scanned(self, scan: Scan, *, complete: bool) -> list[Loss]:
        """Takes notice of a scan, whose files were opened as far as possible; records what is lost
        and returns it. `complete`: whether all that it found is open, and so is all that was kept.
        """
        losses = []
        for inode, file in list(self._files.items()):
            reason = self._why_lost(inode, file, scan)
            if reason is not None:
                losses.append(self._lose(file, reason))
                self._files.pop(inode, None)
        # Almost all are followed: a set of these would be megabytes.
        unopened = {inode for inode in scan.found if not self._catalog.follows(inode)}
        if self._skipped is None:
            self._skipped = {
                inode for inode in unopened if self._catalog.skips(scan.found[inode], is_first=True)
            }
        self._skipped &= unopened
        for inode in unopened - self._skipped:
            found, start = scan.found[inode], self._catalog.records.seen_at(inode)
            if found.size > start and not self._catalog.skips(found, is_first=False):
                self._files[inode] = _Unopened(found.path, start, found.size)
        losses += self._look_for_those_before(scan, complete=complete)
        self._remember()
        return losses

    def _look_for_those_before(self, scan: Scan, *, complete: bool) -> list[Loss]:
        """What an earlier process could not identify, as `VanishedFiles` does for others."""
        losses: list[Loss] = []
        left: list[tuple[FileRecord, float | None]] = []
        now = self._clock.monotonic()
        for record, since in self._before:
            file = _Unopened(record.path, 0, record.seen, is_missed=True)
            if self._is_found(record, scan):
                reason = None
            else:
                reason = self._why_lost(record.inode, file, scan) if record.inode else None
                if reason is None or not complete:
                    left.append((record, None))
                    continue
                begin = now if since is None else since
                if reason is LossReason.VANISHED and now - begin < LOOKED_FOR:
                    left.append((record, begin))
                    continue
            if reason is not None:
                losses.append(self._lose(file, reason))
            self._catalog.records.forget_unidentified(record.row)
        self._before = left
        return losses

    def _is_found(self, record: FileRecord, scan: Scan) -> bool:
        """Whether the file is there, as long as it was or longer, or what was made of it is."""
        if record.inode is not None:
            tail, found = self._catalog.with_inode(record.inode), scan.found.get(record.inode)
            size = tail.size if tail is not None else found.size if found is not None else 0
            if size >= record.seen or self._catalog.parked.is_placed(record.inode):
                return True
        if self._is_there(record.path + SUFFIX):
            return True
        seen = Seen(record.seen, record.seen_mark)
        return bool(seen.mark.length) and any(
            tail.begins_with(seen) for tail in self._catalog.tails
        )

    def _remember(self) -> None:
        """Has the registry know of what is not identified."""
        seen = {
            inode: (file.path, Seen(file.size))
            for inode, file in self._files.items()
            # What an earlier process had seen of it has a row.
            if not file.start
        }
        for tail in self._catalog.tails:
            has_half = tail.state is State.WAITING and not tail.compressed and tail.seen.end
            if has_half and not self._catalog.skips_tail(tail):
                seen[tail.inode] = tail.path, tail.seen
        records = self._catalog.records
        for inode in self._rows.keys() - seen.keys():
            records.forget_unidentified(self._rows.pop(inode).row)
        for inode, (path, now) in seen.items():
            known = self._rows.get(inode)
            if known is None or (known.path, known.seen) != (path, now.end):
                row = self._catalog.new_row() if known is None else known.row
                self._rows[inode] = self._record(row, path, inode, now)
                records.remember_unidentified(self._rows[inode])

    def _record(self, row: RowId, path: str, inode: Inode, seen: Seen) -> FileRecord:
        return FileRecord(
            row=row,
            input_id=self._catalog.input_id,
            path=path,
            identity=Identity(""),
            inode=inode,
            born=None,
            offset=0,
            seen=seen.end,
            mark=NO_MARK,
            updated=self._clock.now(),
            removed=None,
            seen_mark=seen.mark,
        )

    def _why_lost(self, inode: Inode, file: _Unopened, scan: Scan) -> LossReason | None:
        tail, found = self._catalog.with_inode(inode), scan.found.get(inode)
        if tail is not None or found is not None:
            size = tail.size if tail is not None else found.size if found is not None else 0
            if size < file.size:
                return LossReason.REWRITTEN
            if tail is not None:
                self._files.pop(inode, None)  # It is followed now.
            return None
        if self._catalog.follows(inode):
            self._files.pop(inode, None)  # It was, and is parked by now.
            return None
        if scan.left_out or is_hidden(file.path, scan.unreadable):
            return None
        if dirname(file.path) not in scan.directories:
            return None
        if self._is_there(file.path + SUFFIX):
            self._files.pop(inode, None)  # What it was compressed to is read.
            return None
        if not file.is_missed:
            self._files[inode] = replace(file, is_missed=True)
            return None
        return LossReason.VANISHED

    def _is_there(self, path: str) -> bool:
        try:
            self._filesystem.status(path)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # It cannot be seen at the moment.
        return True

    def _lose(self, file: _Unopened, reason: LossReason) -> Loss:
        now, identity = self._clock.now(), Identity("")
        start, end = file.start, file.size
        loss = Loss(
            self._catalog.input_id, file.path, identity, start, end, end - start, None, reason, now
        )
        self._catalog.records.add_loss(loss)
        return loss
