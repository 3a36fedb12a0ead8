"""Files of which nobody knows which they are: a walk saw them, and they could not be opened (too
many open files, no permission, renamed or deleted at that moment), or have no complete first line,
or were linked to be read later, and the link is gone.

    seen -> followed, or found elsewhere
      \\-> shorter, or not found for a while -> lost, recorded without an identity

The registry has a row of each, so that it is missed by the next start, too. Such a file is found by
its inode, or by a copy: another file that begins with what was seen of it; where nothing was, the
gzip of its name, if that holds exactly as much as was seen and is not older. A gzip that cannot be
compared yet is waited for, but not longer than UNREAD_FOR.
"""

import asyncio
from collections.abc import Iterable
from os.path import dirname

from msgspec.structs import replace

from shipper.clock import Clock
from shipper.files.catalog import Catalog
from shipper.files.compressed import CompressedLogs
from shipper.files.discovery import Scan, is_hidden
from shipper.files.facts import Inode, inode_in
from shipper.files.filesystem import FileSystem
from shipper.files.found import Found
from shipper.files.loss_recorder import LossRecorder
from shipper.files.losses import Loss, LossReason
from shipper.files.records import SUFFIX
from shipper.files.reopening import Unreachable
from shipper.files.rows import FileRecord
from shipper.files.tail import State, Tail
from shipper.files.unknown import UnknownFile, record_of_half, unknown_of
from shipper.files.vanished import LOOKED_FOR

#: How long a file is missed that something may be a copy of which cannot be read, in seconds.
UNREAD_FOR = 600.0

#: So many files are looked for in one step.
_STEP = 200


class UnopenedFiles:
    """Those of one input."""

    def __init__(
        self,
        catalog: Catalog,
        gzips: CompressedLogs | None,
        filesystem: FileSystem,
        clock: Clock,
    ) -> None:
        """`gzips`: those of its files; None: it reads none."""
        self._catalog = catalog
        self._filesystem = filesystem
        self._clock = clock
        self._gzips = gzips
        self._losses = LossRecorder(catalog.input_id, catalog.records, clock)
        # Those that are on the disk, as far as known; and those of which the content is not.
        self._files: dict[Inode, UnknownFile] = {}
        self._missed: list[UnknownFile] = [
            unknown_of(record) for record in catalog.records.unidentified
        ]
        # Those of which nothing is shipped that was there at the start.
        self._skipped: set[Inode] | None = None
        # What the registry has of files that are open and have no complete first line.
        self._half: dict[Inode, FileRecord] = {}

    def missed(self, files: Iterable[Unreachable]) -> None:
        """Nothing leads to these files any more; those that have no row, nobody knows."""
        for file in files:
            end = 1 if file.compressed else file.size
            if file.row is None and end:
                unknown = UnknownFile(file.path, file.inode, 0, end, file.modified / 1e9)
                self._missed.append(
                    replace(unknown, looked_for=LOOKED_FOR, compressed=file.compressed)
                )

    async def scanned(self, scan: Scan, *, complete: bool) -> list[Loss]:
        """Takes notice of a scan, whose files were opened as far as possible; records what is lost
        and returns it. `complete`: whether all that it found is open, and so is all that was kept.

        Takes as long as there are such files, in steps between which others have their turn.
        """
        files, self._files = self._files, {}
        missed, self._missed = self._missed, []
        losses = []
        for number, file in enumerate((*missed, *files.values())):
            if number % _STEP == _STEP - 1:
                await asyncio.sleep(0)
            loss = self._look_for(file, scan, complete=complete)
            if loss is not None:
                losses.append(loss)
        await self._find(scan)
        await self._remember()
        return losses

    async def _find(self, scan: Scan) -> None:
        """Takes notice of what could not be opened."""
        catalog = self._catalog
        unopened = {inode for inode in catalog.unopened if not catalog.follows(inode)}
        if self._skipped is None:
            self._skipped = {
                inode for inode in unopened if catalog.skips(scan.found[inode], is_first=True)
            }
        self._skipped &= unopened
        for number, inode in enumerate(unopened - self._skipped):
            if number % _STEP == _STEP - 1:
                await asyncio.sleep(0)
            found = scan.found[inode]
            start = self._seen_before(inode, found)
            if found.size <= start or catalog.skips(found, is_first=False):
                continue
            known = self._files.get(inode)
            if known is None:
                known = self._new(inode, found, start)
            modified = found.modified / 1e9
            file = replace(known, path=found.path, end=found.size, modified=modified)
            self._files[inode] = replace(file, copied=self._held_by_gzip(file) or file.copied)

    def _seen_before(self, inode: Inode, found: Found) -> int:
        """How much of a file an earlier process had seen, which has a row."""
        known = self._catalog.records.record_at(inode)
        if known is None:
            return 0
        # The kernel gives the inode of a file that is gone to the next one.
        is_same = known.path == found.path or found.modified / 1e9 <= known.updated
        return known.seen if is_same else 0

    def _new(self, inode: Inode, found: Found, start: int) -> UnknownFile:
        born = None
        try:
            status = self._filesystem.status(found.path)
            if inode_in(status) == inode:
                born = status.st_ctime_ns  # Nobody can set that back.
        except OSError:
            pass  # It is gone already, or cannot be looked at: its inode alone has to do.
        modified = found.modified / 1e9
        return UnknownFile(found.path, inode, start, found.size, modified, born=born)

    def _look_for(self, file: UnknownFile, scan: Scan, *, complete: bool) -> Loss | None:
        """Keeps a file if it is there, or may be, and returns what is lost otherwise."""
        inode, now = file.inode, self._clock.monotonic()
        size = None if inode is None else self._size(inode, file.born, scan)
        if inode is not None and size is not None:
            if size >= file.end:
                if self._catalog.follows(inode):
                    self._forget(file)  # From now on its tail is what is known of it.
                else:
                    self._files[inode] = replace(file, since=None)
                return None
            # What is there now is looked at apart.
            file = replace(file, inode=None, reason=LossReason.REWRITTEN, since=now)
        is_rewritten = file.reason is LossReason.REWRITTEN
        if not is_rewritten and not self._would_be_found(file, scan):
            self._missed.append(replace(file, since=None))
            return None
        copied = self._is_copied(file)
        if copied:
            self._forget(file)
            return None
        if file.since is None:
            # It may have been renamed during the walk.
            self._missed.append(replace(file, since=now))
            return None
        passed = now - file.since
        # What may be a file that was open, or that an earlier process saw, may be anywhere.
        is_unsure = copied is None or (file.looked_for and not complete)
        if passed < (UNREAD_FOR if is_unsure else file.looked_for):
            self._missed.append(file)
            return None
        self._forget(file)
        end = file.start if file.compressed else file.end
        return self._losses.record(file.reason, file.path, file.start, end).loss

    def _size(self, inode: Inode, born: int | None, scan: Scan) -> int | None:
        """How long the file with that inode is; None if it is not there. `born`: as there; a file
        that is younger was given the inode of one that is gone."""
        tail = self._catalog.with_inode(inode)
        if tail is not None:
            if born is not None and tail.born is not None and tail.born > born:
                return None
            # Of a gzip nothing is known until it is read.
            return max(1, tail.size) if tail.compressed else tail.size
        parked = self._catalog.parked
        file = parked.waiting.get(inode) or parked.quiet.get(inode)
        if file is not None:
            return file.size
        found = scan.found.get(inode)
        return None if found is None else found.size

    def _would_be_found(self, file: UnknownFile, scan: Scan) -> bool:
        """Whether the scan would have found the file, if it were there."""
        if scan.left_out or is_hidden(file.path, scan.unreadable):
            return False
        return dirname(file.path) in scan.directories

    def _is_copied(self, file: UnknownFile) -> bool | None:
        """Whether another file holds what was seen of a file; None if that cannot be known yet."""
        unsure = self._gzip_at(file.path) is None and self._may_have_gzip(file.path)
        if not file.head.mark.length:
            if self._held_by_gzip(file) == file.end or file.copied == file.end:
                return True
            return None if unsure else False
        unsure |= bool(self._catalog.parked.waiting)
        for tail in (*self._catalog.tails, *(self._gzips.tails if self._gzips else ())):
            if tail.identification.begins_with(file.head) and (
                tail.compressed or tail.size >= file.end
            ):
                return True
            unsure |= _may_begin_so(tail)
        return None if unsure else False

    def _held_by_gzip(self, file: UnknownFile) -> int:
        """How much of a file that was never opened the gzip of its name holds, as far as is known
        of it: all that was seen, or nothing."""
        gzip = self._gzip_at(file.path)
        if gzip is None:
            return 0
        try:
            length = gzip.size if gzip.content.at_end else gzip.content.length_hint
        except OSError:
            return 0
        fits = length % 2**32 == file.end % 2**32
        return file.end if fits and gzip.modified >= file.modified else 0

    def _gzip_at(self, path: str) -> Tail | None:
        return None if self._gzips is None else self._gzips.at(path + SUFFIX)

    def _may_have_gzip(self, path: str) -> bool:
        """Whether what the file was compressed to may be there, and is to be read."""
        return self._gzips is not None and self._is_there(path + SUFFIX)

    def _is_there(self, path: str) -> bool:
        try:
            self._filesystem.status(path)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # It cannot be seen at the moment.
        return True

    async def _remember(self) -> None:
        """Has the registry know of what is not identified."""
        records = self._catalog.records
        self._missed = [self._with_row(file) for file in self._missed]
        for number, (inode, file) in enumerate(self._files.items()):
            if number % _STEP == _STEP - 1:
                await asyncio.sleep(0)
            self._files[inode] = self._with_row(file)
        half = {
            tail.inode: tail
            for tail in self._catalog.waiting
            if not tail.compressed and tail.seen.end and not self._catalog.skips_tail(tail)
        }
        for inode in self._half.keys() - half.keys():
            records.forget_unidentified(self._half.pop(inode).row)
        for inode, tail in half.items():
            known = self._half.get(inode)
            if known is None or (known.path, known.seen) != (tail.path, tail.seen.end):
                row = self._catalog.new_row() if known is None else known.row
                self._half[inode] = record_of_half(tail, self._catalog.input_id, row)
                records.remember_unidentified(self._half[inode])

    def _with_row(self, file: UnknownFile) -> UnknownFile:
        """The file, and the registry knows of it; not of what it knows already."""
        if file.start:
            return file
        known = None if file.row is None else self._catalog.records.unidentified_at(file.row)
        if known is not None and (known.path, known.seen, known.inode) == (
            file.path,
            file.end,
            file.inode,
        ):
            return file
        row = self._catalog.new_row() if file.row is None else file.row
        self._catalog.records.remember_unidentified(file.record(self._catalog.input_id, row))
        return replace(file, row=row)

    def _forget(self, file: UnknownFile) -> None:
        if file.row is not None:
            self._catalog.records.forget_unidentified(file.row)


def _may_begin_so(tail: Tail) -> bool:
    """Whether it is not known yet how a file begins."""
    if tail.state is not State.WAITING or not tail.size:
        return False
    return tail.identification.head.searching or (
        tail.identification.known is None if tail.compressed else not tail.tried
    )
