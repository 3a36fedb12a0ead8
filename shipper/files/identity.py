"""Which file is this: by its content, since names are changed and inodes are used again.

A file's `Identity` is made from its first line (bounded), so that a renamed, copied or restored log
keeps it. A `Mark` is a digest of the bytes just before an offset: a file is carried on there only
if these bytes are what they were. Together they answer for rename, copy, truncation and inode
reuse.
"""

from typing import NewType

import xxhash
from msgspec import Struct

#: 16 hexadecimal digits; the first part of the ids of a file's documents.
Identity = NewType("Identity", str)

#: Of a file that has no complete first line, or could never be opened.
NO_IDENTITY = Identity("")

#: How much of a file's beginning its identity is made from, at the most, in bytes. Tetragon's lines
#: differ within the first 200 (exec_id, start_time); long ones need not be complete to be known.
HEAD_BYTES = 4096

#: How much before an offset its mark covers, at the most, in bytes: enough to hold the end of an
#: event with its nanosecond `time`, little enough to be read again with every block.
MARK_BYTES = 256


class Mark(Struct, frozen=True, gc=False):
    """A digest of the `length` bytes (0 to MARK_BYTES) that end at some offset."""

    length: int
    digest: str


#: Before offset 0 there is nothing to compare.
NO_MARK = Mark(0, "")


def identity_of(head: bytes, *, final: bool = False) -> Identity | None:
    """The identity of a file that begins with `head` (its first HEAD_BYTES bytes, or all it has).

    None as long as there is no complete first line and less than HEAD_BYTES of it: such a file has
    nothing to ship yet; `final` says that it will not grow. Blank lines at the beginning do not
    count, or all files with one were one.
    """
    head = head[:HEAD_BYTES]
    begin = len(head) - len(head.lstrip(b"\r\n"))
    end = head.find(b"\n", begin)
    if end < 0:
        if len(head) < HEAD_BYTES and not final:
            return None
        end = len(head)
    return Identity(xxhash.xxh3_64_hexdigest(head[:end]))


def mark_of(before: bytes) -> Mark:
    """The mark of the offset at which `before` ends; only its last MARK_BYTES matter."""
    covered = before[-MARK_BYTES:]
    return Mark(len(covered), xxhash.xxh3_64_hexdigest(covered)) if covered else NO_MARK
