"""Our own registry, which anybody may have written to, and that of Filebeat."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from functools import cache

import msgspec

from shipper.errors import RegistryError
from shipper.filebeat_registry.entries import Entry, Unused, entries_of, entry_of, moment
from shipper.filebeat_registry.store import read_store
from shipper.files import loss_table, schema
from shipper.files.database import open_database
from shipper.files.rows import FileRecord, UnusableRow, load, load_packed, pack, save, unpack
from shipper.foreign import words
from tests.fuzz.target import Choices, Target
from tests.fuzz.targets.dead_letters import directory

_ODD = (
    None,
    0,
    1,
    -1,
    2**63 - 1,
    -(2**63),
    2**48,
    64,
    1.5,
    float("inf"),
    -1e300,
    "",
    "0123456789abcdef",
    "/logs/a.log",
    "rewritten",
    "AB",
    b"",
    b"/logs/\xff.log",
    b"\0",
    "zz",
    "a b",
)


def _value(choices: Choices, data: bytes) -> object:
    which = choices.number()
    if which < 2 * len(_ODD):
        return _ODD[which % len(_ODD)]
    piece = data[which % 64 :][: choices.number(24)]
    match which % 4:
        case 0:
            return int.from_bytes(piece[:8], "little", signed=True)
        case 1:
            return struct.unpack("<d", piece[:8].ljust(8, b"\0"))[0]
        case 2:
            return piece
        case _:
            return piece.decode("latin-1")


@cache
def _connection(strict: bool) -> sqlite3.Connection:
    """The tables as they are made, or without types."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    schema.bring_up_to_date(connection, 0)
    if not strict:
        for table in ("files", "losses"):
            (made,) = connection.execute(
                "SELECT sql FROM sqlite_schema WHERE name = ?", (table,)
            ).fetchone()
            connection.execute(f"DROP TABLE {table}")
            loose = made.replace("STRICT", "").replace(" NOT NULL", "")
            for kind in (" INTEGER", " TEXT", " REAL"):
                loose = loose.replace(f"{kind},", ",").replace(f"{kind}\n", "\n")
            connection.execute(loose)
    return connection


def check_rows(data: bytes) -> None:
    choices = Choices(data)
    connection = _connection(choices.flag())
    connection.execute("DELETE FROM files")
    values = [_value(choices, data) for _ in range(14)]
    for count in range(15):
        # Most of a row as it should be, so that the others are looked at.
        kept = choices.number(2) == 0 if count else True
        if count and kept:
            values[count - 1] = _GOOD_FILE[count - 1]
    if not _insert(connection, "files", 14, values):
        return
    records, unusable = load(connection, schema.VERSION)
    packed, again = load_packed(connection, schema.VERSION)
    assert again == unusable
    assert len(records) + len(unusable) == 1
    for record in records:
        check_record(connection, record)
    assert len(list(packed)) == len(records)
    for each in unusable:
        check_unusable(each)


def check_record(connection: sqlite3.Connection, record: FileRecord) -> None:
    """Its numbers are in their ranges, and it is the same after it was packed and saved."""
    assert record.inode is None or min(record.inode.device, record.inode.number) >= 0
    assert 0 <= record.offset <= record.seen
    assert unpack(record.row, record.input_id, pack(record)) == record
    connection.execute("DELETE FROM files")
    save(connection, [record])
    assert load(connection, schema.VERSION) == ([record], [])


def check_unusable(found: UnusableRow) -> None:
    """It can be shown."""
    assert found.words.isascii()
    assert len(found.words) <= 300


def check_losses(data: bytes) -> None:
    choices = Choices(data)
    connection = _connection(choices.flag())
    connection.execute("DELETE FROM losses")
    values = [_value(choices, data) for _ in range(11)]
    for at in range(11):
        if choices.number(2) == 0:
            values[at] = _GOOD_LOSS[at]
    if not _insert(connection, "losses", 11, values):
        return
    rows, unusable = loss_table.load(connection)
    assert len(rows) + len(unusable) == 1
    offered = loss_table.offer(connection, 10)
    assert {each.id for each in offered} <= {each.id for each in rows}
    for each in rows:
        loss_table.record(connection, [each.loss, each.loss])
    loss_table.load(connection)


def _insert(connection: sqlite3.Connection, table: str, columns: int, values: list[object]) -> bool:
    marks = ", ".join(["?"] * columns)
    try:
        connection.execute(f"INSERT INTO {table} VALUES (1, {marks})", values)
    except (sqlite3.Error, OverflowError):
        return False  # SQLite does not take it.
    # A text may be of any bytes.
    for name in ("path", "input", "identity"):
        if any(isinstance(value, bytes) for value in values[:3]):
            try:
                connection.execute(f"UPDATE {table} SET {name} = CAST({name} AS TEXT)")
            except sqlite3.Error:
                return False
    return True


def check_database(data: bytes) -> None:
    """A file in the place of the registry: it is used, or put aside, or the disk is at fault."""
    path = directory() / "registry.db"
    for leftover in directory().glob("registry.db*"):
        leftover.unlink()
    path.write_bytes(data)
    try:
        database = open_database(path)
    except RegistryError:
        return
    with closing(database.connection) as connection:
        load(connection, schema.VERSION)
        loss_table.load(connection)


def check_store(data: bytes) -> None:
    """Filebeat's registry: meta.json, two checkpoints and log.json, with \\x01 between them."""
    place = directory() / "filebeat"
    place.mkdir(exist_ok=True)
    parts = (data.split(b"\x01", 3) + [b""] * 3)[:4]
    for name, content in zip(("meta.json", "7.json", "9.json", "log.json"), parts, strict=True):
        (place / name).write_bytes(content)
    store = read_store(place)
    for problem in store.problems:
        problem.encode("utf-8", "surrogateescape")
        assert len(problem) < 1000
        assert problem.isprintable()
    entries, unused = entries_of(store.values)
    assert len(entries) + unused.total() == len(store.values)
    for each in entries:
        check_entry(each)


def check_entry(entry: Entry) -> None:
    """Its numbers are in their ranges."""
    assert entry.offset is None or 0 <= entry.offset < 2**63
    assert entry.updated is None or 0 < entry.updated < 2**95
    assert entry.inode >= 0
    assert entry.device is None or entry.device >= 0


def check_entries(data: bytes) -> None:
    key, _, value = data.partition(b"\x01")
    try:
        decoded = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    moment(decoded)
    if isinstance(decoded, dict):
        found = entry_of(key.decode("utf-8", "replace"), decoded)
        assert isinstance(found, Entry | Unused)
        if isinstance(found, Entry):
            check_entry(found)
            words(found.source)


def _database() -> bytes:
    with sqlite3.connect(":memory:", isolation_level=None) as connection:
        schema.bring_up_to_date(connection, 0)
        connection.execute(f"INSERT INTO files VALUES (1{', ?' * 14})", _GOOD_FILE)
        connection.execute(f"INSERT INTO losses VALUES (1{', ?' * 11})", _GOOD_LOSS)
        return connection.serialize()


_GOOD_FILE = (
    "a", "/a.log", "0123456789abcdef", 1, 2, 3, 10, 20, 4, "00112233", 4, "00112233", 1.5, None
)  # fmt: skip
_GOOD_LOSS = ("a", "/a.log", "0123456789abcdef", 0, 10, 10, 1, "vanished", 1.5, 1, 0)

_VALUE = (
    b'{"ttl":-1,"updated":[281470681743360,1795000000],"cursor":{"offset":12,"eof":true},'
    b'"meta":{"source":"/a.log","identifier_name":"native","fingerprint":"abcd"}}'
)
_LOG_VALUE = b'{"timestamp":[1,1795000000],"ttl":-1,"source":"/a.log","offset":1.2e3}'
_KEYS = (
    b"filestream::t::native::12-34",
    b"filestream::t::native::12-34-stdout",
    b"filestream::t::fingerprint::" + b"ab" * 32,
    b"filestream::t::path::/a.log",
    b"filestream::t::inode_marker::12-x",
    b"filebeat::logs::native::12-34",
    b"filestream::t::other::1",
    b"winlog::x",
)
_LOG = b"".join(
    b'{"op":"set","id":%d}\n{"k":"%b","v":%b}\n' % (number, key, _VALUE)
    for number, key in enumerate(_KEYS, 10)
)
_CHECKPOINT = b'[{"_key":"%b",' % _KEYS[0] + _VALUE[1:] + b"]"

TARGETS = (
    Target(
        "registry_rows",
        "a row of the registry is a record that can be packed and saved, or is named as unusable",
        check_rows,
        (bytes(40), bytes(range(40)), b"\1" + bytes(range(60, 100)), bytes([0, *[255] * 60])),
    ),
    Target(
        "loss_rows",
        "a row of the table of losses is one that can be shipped, or is named as unusable",
        check_losses,
        (bytes(40), bytes(range(40)), b"\1" + bytes(range(60, 100)), bytes([0, *[255] * 60])),
    ),
    Target(
        "registry_file",
        "a file in the place of the registry is used, or put aside",
        check_database,
        (_database()[: 12 * 1024], b"SQLite format 3\0" + bytes(100), b""),
    ),
    Target(
        "filebeat_registry",
        "Filebeat's registry is read as far as it is valid; what is wrong is said in short lines",
        check_store,
        (
            b'{"version":"1"}\x01\x01' + _CHECKPOINT + b"\x01" + _LOG,
            b'{"version":"1"}\x01' + _CHECKPOINT + b"\x01[]\x01" + _LOG[:-9],
            b'{"version":"2"}\x01\x01\x01',
            b'\x01\x01\x01{"op":"remove","id":1}\n{"k":"a"}\n',
        ),
        (b"\x01", b'{"op":"set","id":8}\n', *_KEYS),
    ),
    Target(
        "filebeat_entries",
        "an entry of Filebeat's registry is one with numbers in their ranges, or is not used",
        check_entries,
        tuple(key + b"\x01" + value for key in _KEYS for value in (_VALUE, _LOG_VALUE)),
        (b"::", b"-stderr", b"\x01[1,2]"),
    ),
)
