"""What is to be remembered of a file that is open: its record, as a tail says it now."""

from shipper.files.identity import NO_MARK, Mark
from shipper.files.rows import FileRecord, RowId
from shipper.files.tail import Tail


def record_of(tail: Tail, row: RowId, input_id: str, now: float) -> FileRecord:
    """The record of a placed file. `now`: Unix seconds."""
    # The inode of a file that we closed says nothing: it may be another's by now.
    is_open = tail.descriptor >= 0
    return FileRecord(
        row=row,
        input_id=input_id,
        path=tail.path,
        identity=tail.identity,
        inode=tail.inode if is_open else None,
        born=tail.born if is_open else None,
        offset=tail.acks.offset,
        seen=seen_to(tail),
        mark=tail.acks.mark,
        updated=now,
        removed=tail.gone if is_open else tail.gone or now,
        seen_mark=_seen_mark(tail),
    )


def seen_to(tail: Tail) -> int:
    """Up to where it was seen. Of a gzip, past its offset as long as it is not settled."""
    if tail.compressed:
        return tail.offset + (not tail.is_settled)
    return tail.offset + tail.unread_lost


def _seen_mark(tail: Tail) -> Mark:
    """The mark of the bytes before that; NO_MARK if all of it is acknowledged, or it is a gzip."""
    if tail.compressed or seen_to(tail) <= tail.acks.offset:
        return NO_MARK
    return tail.seen.mark if tail.unread_lost else tail.acks.opened_mark
