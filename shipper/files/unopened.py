"""Files that a walk saw and that could not be opened: too many open files, no permission, or they
were renamed or deleted at that moment.

Nobody knows which file such a one is. If it goes, or gets shorter, before it can be opened, what
was seen of it is lost, and is recorded without an identity.
"""

from dataclasses import dataclass, replace
from os.path import dirname

from shipper.clock import Clock
from shipper.files.catalog import Catalog
from shipper.files.discovery import Scan, is_hidden
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.identity import Identity
from shipper.files.losses import Loss, LossReason
from shipper.files.records import SUFFIX


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

    def scanned(self, scan: Scan) -> list[Loss]:
        """Takes notice of a scan, whose files were opened as far as possible; records what is lost
        and returns it."""
        losses = []
        for inode, file in list(self._files.items()):
            reason = self._why_lost(inode, file, scan)
            if reason is not None:
                losses.append(self._lose(file, reason))
                self._files.pop(inode, None)
        unopened = scan.found.keys() - self._catalog.inodes
        if self._skipped is None:
            self._skipped = {
                inode for inode in unopened if self._catalog.skips(scan.found[inode], is_first=True)
            }
        self._skipped &= unopened
        for inode in unopened - self._skipped:
            found, start = scan.found[inode], self._catalog.records.seen_at(inode)
            if found.size > start and not self._catalog.skips(found, is_first=False):
                self._files[inode] = _Unopened(found.path, start, found.size)
        return losses

    def _why_lost(self, inode: Inode, file: _Unopened, scan: Scan) -> LossReason | None:
        tail, found = self._catalog.with_inode(inode), scan.found.get(inode)
        if tail is not None or found is not None:
            size = tail.size if tail is not None else found.size if found is not None else 0
            if size < file.size:
                return LossReason.REWRITTEN
            if tail is not None:
                del self._files[inode]  # It is followed now.
            return None
        if scan.left_out or is_hidden(file.path, scan.unreadable):
            return None
        if dirname(file.path) not in scan.directories:
            return None
        if self._is_there(file.path + SUFFIX):
            del self._files[inode]  # What it was compressed to is read.
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
