"""How gzips ended: what an operator is told of it, and what is recorded as lost.

    read to an end -> final -> reported -> all acknowledged -> recorded -> settled -> closed

Once for each gzip, also over restarts: that the rest of one is lost goes to the registry in one
commit with the offset up to which it is acknowledged, and from then on its row says that nothing
follows. Until that commit the row says that something may follow (`tail_record.seen_to`).
"""

from msgspec import Struct, field

from shipper.files.archive import Ending
from shipper.files.catalog import Catalog
from shipper.files.content import Version
from shipper.files.facts import Inode
from shipper.files.identity import Identity
from shipper.files.losses import LossReason
from shipper.files.placement import Start
from shipper.files.records import FileRecords, names_of
from shipper.files.registry import FileRecord, RowId
from shipper.files.tail import State, Tail
from shipper.logs import Log
from shipper.logs.events import COMPRESSED_FILE_DAMAGED
from shipper.metrics import Metrics

#: How a gzip ends of which nobody knows how much is missing.
_LOST = {
    Ending.CUT: LossReason.DAMAGED,
    Ending.DAMAGED: LossReason.DAMAGED,
    Ending.NOT_GZIP: LossReason.DAMAGED,
    Ending.TOO_LARGE: LossReason.TOO_LARGE,
}


class Gzip(Struct):
    """What is known of one gzip."""

    tail: Tail
    #: Plain files that were found no later and not tried yet.
    waits_for: frozenset[Inode]
    identity: Identity | None = None
    #: Whether plain files with the same first line have the same content; of which version of the
    #: gzip that holds, if it is shorter (None: of all).
    same: dict[Tail, tuple[bool, Version | None]] = field(default_factory=dict)
    #: The file under the name without `.gz`, if it is not the one that this was made from.
    unrelated: Tail | None = None
    #: The version that is an earlier state of that file, which is acknowledged past it.
    contained: Version | None = None
    #: The row of the one that may be.
    made_of: RowId | None = None
    #: Whether it had its turn.
    tried: bool = False
    #: Whether it is one of those that are inflated now.
    active: bool = False
    #: From where on it is read; None before it is.
    start: Start | None = None
    #: Whether what is wrong with it was reported.
    reported: bool = False
    #: The version in which nothing was left to do with it.
    over: Version | None = None

    def forget_content(self) -> None:
        """Another content took its place."""
        self.identity, self.unrelated, self.contained, self.reported = None, None, None, False
        self.same.clear()

    @property
    def is_contained(self) -> bool:
        """Whether all of it was read of the file that it was made from."""
        return self.contained is not None and self.contained == self.tail.version

    def is_the_same(self, other: Tail) -> bool | None:
        """Whether it has the same content as a file that is followed; None if that is unknown."""
        found, version = self.same.get(other, (None, None))
        return found if version in (None, self.tail.version) else None


class GzipEnds:
    """The ends of one input's gzips."""

    def __init__(self, catalog: Catalog, *, metrics: Metrics, log: Log) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._log = log

    def report(self, gzip: Gzip) -> None:
        """Says once what is wrong with a gzip, when that is final."""
        tail = gzip.tail
        # One that need not be read was looked at while it was written, if at all.
        if gzip.reported or not tail.content.problem or tail.done_as is not None:
            return
        if not tail.is_finished and (tail.descriptor < 0 or not self._catalog.is_final(tail)):
            return
        gzip.reported = True
        ending = tail.content.ending or Ending.EMPTY
        self._metrics.count("shipper_gzip_problems_total", 1, ending.value)
        self._log.emit(
            COMPRESSED_FILE_DAMAGED, path=tail.path, reason=tail.content.problem, bytes=tail.size
        )

    def settle(self, gzip: Gzip) -> None:
        """Records once that the rest of a gzip is lost, when all that comes before is acknowledged:
        a kill at any time finds both in the registry, or neither."""
        tail, start = gzip.tail, gzip.start
        if tail.state is not State.READING or start is None or tail.is_settled or tail.unread:
            return
        if not tail.acks.all_acknowledged or not self._catalog.is_final(tail):
            return
        reason = _LOST.get(tail.content.ending or Ending.EMPTY)
        # At an offset where an earlier process, or another file's tail, had settled it already
        # (or where it is skipped to) nothing is left to be said.
        known = start.settled and tail.offset == start.offset
        if reason and not known and not is_read_further(self._catalog.records, tail):
            self._catalog.closing.record_loss(
                reason, tail, tail.size, tail.size, size=0, lines=None
            )
        tail.settle()
        self._catalog.records.touched(tail)


def finished_as(records: FileRecords, gzip: Gzip, identity: Identity) -> RowId | None:
    """The row of a file that began like this gzip, had its name or that of the file which it was
    made from, and was done at its length; and it is the one that stood beside it, or the gzip is
    older than what is known of it: another one may begin and be named alike, and be as long. None
    if there is none."""
    tail = gzip.tail
    rows = (
        found.row
        for found in records.like(identity)
        if found.offset % 2**32 == tail.content.length_hint
        and found.seen <= found.offset
        and found.path in names_of(tail.path)
        and (found.row == gzip.made_of or tail.modified <= found.updated)
        and records.holder(found.row) is None
    )
    return next(rows, None)


def is_read_further(records: FileRecords, tail: Tail) -> bool:
    """Whether what is missing at the end of a gzip was read of the file which it was made from, or
    of an earlier one of its name, or is read now."""
    return any(
        found.path in names_of(tail.path) and _goes_past(found, records.holder(found.row), tail)
        for found in records.like(tail.identity)
    )


def _goes_past(found: FileRecord, holder: Tail | None, gzip: Tail) -> bool:
    if holder is gzip:
        return False
    is_log = holder is not None and holder.descriptor >= 0 and not holder.compressed
    return is_log or found.offset > gzip.size
