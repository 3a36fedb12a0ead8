"""Whether what is gone of one file is held by another one: a copy, or what it was compressed to."""

from shipper.files.records import FileRecords
from shipper.files.seen import Seen
from shipper.files.tail import Tail


def is_elsewhere(records: FileRecords, tail: Tail, seen: Seen) -> bool:
    """Whether another file that begins alike is acknowledged up to where a file was seen, or is
    followed and has the same bytes there. What took the place of the content is none."""
    for found in records.like(tail.identity):
        other = records.holder(found.row)
        if found.row in tail.successors:
            continue
        if other is None:
            if found.offset >= seen.end:
                return True
        elif other is not tail and other.size >= seen.end and other.has_seen(seen):
            return True
    return False
