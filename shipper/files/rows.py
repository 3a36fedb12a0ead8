"""A file as the registry remembers it, and how its row is written and read.

What is read is foreign bytes: a row that we cannot have written is named, never believed.
"""

import heapq
import math
import os
import re
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NewType

import msgspec

from shipper.files.facts import Inode
from shipper.files.identity import MARK_BYTES, NO_MARK, Identity, Mark
from shipper.foreign import is_encodable

#: The key of a file's row; given out by the registry, never used twice.
RowId = NewType("RowId", int)

#: A key past it was not given out by us.
LAST_ROW = 2**48

_COLUMNS = (
    "row, input, path, identity, device, inode, born, offset, seen, seen_length, seen_digest, "
    "mark_length, mark_digest, updated, removed"
)
# The same of earlier versions, which `schema` describes.
_EARLIER_COLUMNS = {
    1: "row, input, path, identity, device, inode, NULL, offset, offset, 0, '', "
    "mark_length, mark_digest, updated, gone",
    2: "row, input, path, identity, device, inode, born, offset, seen, 0, '', "
    "mark_length, mark_digest, updated, removed",
}
# A path may be of any bytes, which Python's text cannot hand over as they are.
_SAVE = f"""
INSERT INTO files ({_COLUMNS}) VALUES (?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (row) DO UPDATE SET
    path = excluded.path, device = excluded.device, inode = excluded.inode, born = excluded.born,
    offset = excluded.offset, seen = excluded.seen, seen_length = excluded.seen_length,
    seen_digest = excluded.seen_digest, mark_length = excluded.mark_length,
    mark_digest = excluded.mark_digest, updated = excluded.updated, removed = excluded.removed
"""

# SQLite has signed integers of 64 bits; the kernel's inodes and devices are unsigned.
_UNSIGNED = 2**64
_SIGN = 2**63
_LARGEST = _SIGN - 1

_IDENTITY = re.compile(r"([0-9a-f]{16})?")
# Whole bytes: one that is written in another way is not the same after it was packed.
_DIGEST = re.compile(r"([0-9a-f]{2})*")
# How much of an unusable row a message may be.
_SHOWN = 300


class FileRecord(msgspec.Struct, frozen=True):
    """One file as it is remembered."""

    row: RowId
    input_id: str
    path: str
    #: Empty as long as it is not known which file it is.
    identity: Identity
    #: None once the content is known to be elsewhere, or nowhere.
    inode: Inode | None
    #: When the file came into being, in nanoseconds since the Unix epoch; None if unknown. Of one
    #: that could never be opened, a time at which it was there.
    born: int | None
    #: Every byte before it is acknowledged.
    offset: int
    #: Up to which byte the file was seen, whether that is read or not.
    seen: int
    mark: Mark
    #: Unix seconds; without an identity, when the file was written to.
    updated: float
    #: Unix seconds since which no path leads to the file; None while one does.
    removed: float | None
    #: That of `seen`; NO_MARK if it is not known.
    seen_mark: Mark = NO_MARK


class UnusableRow(msgspec.Struct, frozen=True):
    """A row that we cannot have written."""

    row: int
    #: What is in it, for the log.
    words: str


def save(connection: sqlite3.Connection, records: Iterable[FileRecord]) -> None:
    """Adds or replaces their rows, within the caller's transaction. Raises sqlite3.Error."""
    connection.executemany(_SAVE, [_values(record) for record in records])


def delete(connection: sqlite3.Connection, rows: Iterable[int]) -> None:
    """Removes rows, within the caller's transaction. Raises sqlite3.Error."""
    connection.executemany("DELETE FROM files WHERE row = ?", [(row,) for row in rows])


def load(
    connection: sqlite3.Connection, version: int
) -> tuple[list[FileRecord], list[UnusableRow]]:
    """All files of a registry of that version, and what cannot be used. Raises sqlite3.Error."""
    records: list[FileRecord] = []
    return records, _read(connection, version, records.append)


def load_packed(
    connection: sqlite3.Connection, version: int
) -> tuple["LoadedRecords", list[UnusableRow]]:
    """The same, for who needs no record for long."""
    records = LoadedRecords()
    return records, _read(connection, version, records.append)


class LoadedRecords:
    """Files as they are remembered, packed: each is made when it is asked for, as there may be tens
    of thousands."""

    def __init__(self) -> None:
        self._by_input: dict[str, deque[tuple[RowId, bytes]]] = {}

    def append(self, record: FileRecord) -> None:
        """Adds one; its row is the largest."""
        self._by_input.setdefault(record.input_id, deque()).append((record.row, pack(record)))

    def take(self, input_id: str) -> Iterator[FileRecord]:
        """Those of an input; each is the caller's and no more among these."""
        packed = self._by_input.pop(input_id, deque())
        while packed:
            row, record = packed.popleft()
            yield unpack(row, input_id, record)

    def __iter__(self) -> Iterator[FileRecord]:
        """In the order in which they were added."""
        return heapq.merge(*map(self._of, self._by_input), key=lambda record: record.row)

    def _of(self, input_id: str) -> Iterator[FileRecord]:
        return (unpack(row, input_id, record) for row, record in self._by_input[input_id])


def pack(record: FileRecord) -> bytes:
    """A record in a few bytes, for the many that are remembered; `unpack` makes it again."""
    inode = record.inode
    return _pack.encode(
        _Packed(
            os.fsencode(record.path),
            bytes.fromhex(record.identity),
            None if inode is None else (inode.device, inode.number),
            record.born,
            record.offset,
            record.seen,
            record.mark.length,
            bytes.fromhex(record.mark.digest),
            record.updated,
            record.removed,
            (record.seen_mark.length, record.seen_mark.digest) if record.seen_mark.length else None,
        )
    )


def unpack(row: RowId, input_id: str, packed: bytes) -> FileRecord:
    """What `pack` made of a record of that input, with that row."""
    found = _unpack.decode(packed)
    return FileRecord(
        row=row,
        input_id=input_id,
        path=os.fsdecode(found.path),
        identity=Identity(found.identity.hex()),
        inode=None if found.inode is None else Inode(*found.inode),
        born=found.born,
        offset=found.offset,
        seen=found.seen,
        mark=Mark(found.mark_length, found.mark_digest.hex()),
        updated=found.updated,
        removed=found.removed,
        seen_mark=NO_MARK if found.seen_mark is None else Mark(*found.seen_mark),
    )


def _read(
    connection: sqlite3.Connection, version: int, add: Callable[[FileRecord], None]
) -> list[UnusableRow]:
    columns = _EARLIER_COLUMNS.get(version, _COLUMNS)
    unusable = []
    for values in connection.execute(f"SELECT {columns} FROM files ORDER BY row"):
        record = _record(values)
        if record is not None:
            add(record)
        else:
            unusable.append(UnusableRow(values[0], ascii(values)[:_SHOWN]))
    return unusable


def unpack_path(packed: bytes) -> str:
    """The path of such a record alone."""
    return os.fsdecode(_unpack_path.decode(packed).path)


class _PackedPath(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first field of `_Packed`; what follows is passed over."""

    path: bytes


class _Packed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    path: bytes
    identity: bytes
    inode: tuple[int, int] | None
    born: int | None
    offset: int
    seen: int
    mark_length: int
    mark_digest: bytes
    updated: float
    removed: float | None
    seen_mark: tuple[int, str] | None


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(_Packed)
_unpack_path = msgspec.msgpack.Decoder(_PackedPath)


def _values(record: FileRecord) -> tuple[object, ...]:
    return (
        record.row,
        record.input_id,
        os.fsencode(record.path),
        record.identity,
        _signed(record.inode.device) if record.inode else None,
        _signed(record.inode.number) if record.inode else None,
        # A file system may say anything.
        _born(record.born),
        record.offset,
        record.seen,
        record.seen_mark.length,
        record.seen_mark.digest,
        record.mark.length,
        record.mark.digest,
        record.updated,
        record.removed,
    )


def _record(values: tuple[object, ...]) -> FileRecord | None:
    """What a row says; None if we cannot have written it."""
    match values:
        case (
            int(row),
            str(input_id),
            str(path),
            str(identity),
            int() | None as device,
            int() | None as number,
            int() | None as born,
            int(offset),
            int(seen),
            int(seen_length),
            str(seen_digest),
            int(length),
            str(digest),
            float(updated),
            float() | None as removed,
        ) if (
            0 < row < LAST_ROW
            and is_encodable(input_id)
            and "\0" not in path
            and _IDENTITY.fullmatch(identity)
            and offset >= 0
            and 0 <= length <= MARK_BYTES
            and 0 <= seen_length <= MARK_BYTES
            and _DIGEST.fullmatch(digest)
            and _DIGEST.fullmatch(seen_digest)
            and (device is None) == (number is None)
            and math.isfinite(updated)
            and (removed is None or math.isfinite(removed))
        ):
            return FileRecord(
                row=RowId(row),
                input_id=input_id,
                path=path,
                identity=Identity(identity),
                inode=None
                if device is None or number is None
                else Inode(device % _UNSIGNED, number % _UNSIGNED),
                born=_born(born),
                offset=offset,
                seen=max(seen, offset),
                mark=Mark(length, digest),
                updated=updated,
                removed=removed,
                seen_mark=Mark(seen_length, seen_digest)
                if seen_length and seen >= offset
                else NO_MARK,
            )
    return None


def _born(found: int | None) -> int | None:
    """A time of birth that the table can hold; None if it is no such time."""
    return found if found is not None and abs(found) <= _LARGEST else None


def _signed(number: int) -> int:
    """An unsigned number of 64 bits as the signed one of the same bits (two's complement)."""
    number %= _UNSIGNED
    return number - _UNSIGNED if number >= _SIGN else number
