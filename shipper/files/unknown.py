"""A file of which nobody knows which it is, and its row in the registry."""

from msgspec import Struct

from shipper.files.facts import Inode
from shipper.files.identity import NO_IDENTITY, NO_MARK
from shipper.files.losses import LossReason
from shipper.files.records import SUFFIX
from shipper.files.rows import FileRecord, RowId
from shipper.files.seen import Seen
from shipper.files.tail import Tail
from shipper.files.vanished import LOOKED_FOR

_NOTHING = Seen()


class UnknownFile(Struct, frozen=True):
    """A file that is seen and not followed."""

    path: str
    #: None once another content is there.
    inode: Inode | None
    #: What was seen of it, in bytes, without what has a row of its own.
    start: int
    end: int
    #: When it was written to (Unix seconds).
    modified: float
    #: It came into being no later (nanoseconds since the Unix epoch); None if unknown.
    born: int | None = None
    #: Its beginning, where something of that is known.
    head: Seen = _NOTHING
    row: RowId | None = None
    reason: LossReason = LossReason.VANISHED
    #: How long it is looked for at the least, in seconds; and since when (monotonic seconds).
    looked_for: float = 0.0
    since: float | None = None
    #: How much of it a gzip holds.
    copied: int = 0
    #: Of a gzip nobody knows how much is in it.
    compressed: bool = False

    def record(self, input_id: str, row: RowId) -> FileRecord:
        """Its row. A start that finds another content at its inode must not take that for it."""
        mark = self.head.mark if self.head.end == self.end else NO_MARK
        return _record(
            input_id, row, self.path, self.inode, self.born, Seen(self.end, mark), self.modified
        )


def unknown_of(record: FileRecord) -> UnknownFile:
    """What an earlier process could not identify."""
    return UnknownFile(
        record.path,
        record.inode,
        0,
        record.seen,
        record.updated,
        born=record.born,
        head=Seen(record.seen, record.seen_mark),
        row=record.row,
        looked_for=LOOKED_FOR,
        compressed=record.path.endswith(SUFFIX) and record.seen == 1,
    )


def record_of_half(tail: Tail, input_id: str, row: RowId) -> FileRecord:
    """The row of an open file that has no complete first line."""
    return _record(input_id, row, tail.path, tail.inode, tail.born, tail.seen, tail.modified)


def _record(
    input_id: str,
    row: RowId,
    path: str,
    inode: Inode | None,
    born: int | None,
    seen: Seen,
    modified: float,
) -> FileRecord:
    return FileRecord(
        row=row,
        input_id=input_id,
        path=path,
        identity=NO_IDENTITY,
        inode=inode,
        born=born,
        offset=0,
        seen=seen.end,
        mark=NO_MARK,
        # When it was written to: a gzip that is older was not made from it.
        updated=modified,
        removed=None,
        seen_mark=seen.mark,
    )
