"""Whether what is gone of one file is held by another one: a copy, or what it was compressed to.

A file that begins alike and is acknowledged further is none by that: the end of the first may have
been cut off, and it was written on. The last bytes that were seen are compared, while the other one
is open; what was found is remembered when it is closed.
"""

from shipper.files.records import FileRecords
from shipper.files.rows import RowId
from shipper.files.seen import Seen
from shipper.files.tail import Tail


def is_elsewhere(records: FileRecords, tail: Tail, seen: Seen) -> bool:
    """Whether another file that begins alike is acknowledged up to where a file was seen, or is
    followed and goes so far, and has the same bytes there. What took the place of the content is
    none."""
    row = records.row_of(tail)
    for found in records.like(tail.identity):
        other = records.holder(found.row)
        if found.row in tail.successors or other is tail:
            continue
        if other is not None and other.descriptor >= 0:
            if other.size >= seen.end and other.has_seen(seen):
                return True
            continue
        if found.offset == seen.end and found.mark == seen.mark:
            return True
        if row is not None and has_end(records, row, found.row, seen):
            return True
    return False


def has_end(records: FileRecords, row: RowId, copy: RowId, seen: Seen) -> bool | None:
    """Whether a copy of a file is acknowledged up to where that was seen, and has the same bytes
    there; None while it is not read so far."""
    holder = records.holder(copy)
    if records.offset_of(copy) < seen.end:
        return False if holder is None else None
    # What is in a gzip was compared when it was placed.
    is_open = holder is not None and holder.descriptor >= 0 and not holder.compressed
    if holder is not None and is_open and holder.has_seen(seen):
        records.copied_to(row, copy, seen.end)
    return records.is_copied_to(row, copy, seen.end)


def note_copied(records: FileRecords, copy: Tail) -> None:
    """A file is about to be closed: notes of which others that are not done it has the end."""
    row = records.row_of(copy)
    if row is None or copy.compressed:
        return  # Of a gzip that is known since it was placed.
    for found in records.like(copy.identity):
        seen = Seen(found.seen, found.seen_mark)
        if found.row != row and found.offset < seen.end <= copy.offset and copy.has_seen(seen):
            records.copied_to(found.row, row, seen.end)
