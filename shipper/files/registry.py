"""What is remembered of each file across restarts: SQLite in write-ahead mode, one row a file.

It may lag behind Elasticsearch, never lead it: only acknowledged offsets are saved. A commit is
atomic under kill -9 at any instant; after a power cut the last commits may be missing, which costs
sending again (the documents' ids make that harmless). A registry that cannot be read is put aside
and a new one begun, for the same reason.

All methods block on the disk; the daemon calls them from a worker thread, one at a time.
"""

import contextlib
import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

from shipper.errors import RegistryError, reason_of
from shipper.files.filesystem import Inode
from shipper.files.identity import Identity, Mark
from shipper.option_names import option

#: The key of a file's row; given out by the registry, never used twice.
RowId = NewType("RowId", int)

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE files (
    row INTEGER PRIMARY KEY,
    input TEXT NOT NULL,
    path TEXT NOT NULL,
    identity TEXT NOT NULL,
    device INTEGER,
    inode INTEGER,
    offset INTEGER NOT NULL,
    mark_length INTEGER NOT NULL,
    mark_digest TEXT NOT NULL,
    updated REAL NOT NULL,
    gone REAL
) STRICT;
CREATE TABLE properties (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
# A path may be of any bytes, which Python's text cannot hand over as they are.
_SAVE = """
INSERT INTO files VALUES (?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (row) DO UPDATE SET
    path = excluded.path, device = excluded.device, inode = excluded.inode,
    offset = excluded.offset, mark_length = excluded.mark_length,
    mark_digest = excluded.mark_digest, updated = excluded.updated, gone = excluded.gone
"""
_COLUMNS = (
    "row, input, path, identity, device, inode, offset, mark_length, mark_digest, updated, gone"
)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file as it is remembered."""

    row: RowId
    input_id: str
    path: str
    identity: Identity
    #: None once the content is known to be elsewhere, or nowhere.
    inode: Inode | None
    #: Every byte before it is acknowledged.
    offset: int
    mark: Mark
    #: Unix seconds.
    updated: float
    #: Unix seconds since which no path leads to the file; None while one does.
    gone: float | None


class Registry:
    """The registry of one data directory; while it is open, no other daemon can open it."""

    def __init__(self, connection: sqlite3.Connection, lock: int, agent_id: str) -> None:
        self._connection = connection
        self._lock = lock
        self._next_row = 1 + _single(connection, "SELECT coalesce(max(row), 0) FROM files")
        #: A UUID that stays the same for this data directory: `agent.id` of every document.
        self.agent_id = agent_id

    @classmethod
    def open(cls, directory: Path) -> tuple["Registry", str | None]:
        """Opens `directory`/registry.db, making what is missing.

        Returns it, and where a registry that could not be read was put aside (else None).

        Raises:
            RegistryError: the directory cannot be made or written, or another daemon uses it.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(directory / "shipper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RegistryError(
                f"the data directory cannot be used: {reason_of(error)}",
                where=str(directory),
                what_to_do="make it writable for this user, or set "
                f"{option('data_dir')} to another directory",
            ) from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RegistryError(
                    "another shipper is running with this data directory",
                    where=str(directory),
                    what_to_do=f"stop it, or set {option('data_dir')} to another directory",
                ) from error
            return _open_database(directory / "registry.db", lock)
        except BaseException:
            os.close(lock)
            raise

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever remembered here, nor taken over from elsewhere."""
        return self.origin is None and not _single(
            self._connection, "SELECT EXISTS (SELECT 1 FROM files)"
        )

    @property
    def origin(self) -> str | None:
        """From where its first records were taken over, and when, in words; None if they were
        not."""
        found = self._connection.execute("SELECT value FROM properties WHERE name = 'origin'")
        row = found.fetchone()
        return None if row is None else str(row[0])

    def new_row(self) -> RowId:
        """A key for a file that is not in the registry yet."""
        row = RowId(self._next_row)
        self._next_row += 1
        return row

    def load(self) -> list[FileRecord]:
        """All files that are remembered."""
        return _load(self._connection)

    def save(
        self,
        records: Iterable[FileRecord],
        forgotten: Iterable[RowId] = (),
        *,
        origin: str | None = None,
    ) -> None:
        """Writes these records and deletes the forgotten ones, all or nothing. `origin`: from where
        they were taken over, if they were.

        Raises:
            RegistryError: nothing was written (the disk is full, say); saving again later is safe.
        """
        rows = [
            (
                record.row,
                record.input_id,
                os.fsencode(record.path),
                record.identity,
                record.inode.device if record.inode else None,
                record.inode.number if record.inode else None,
                record.offset,
                record.mark.length,
                record.mark.digest,
                record.updated,
                record.gone,
            )
            for record in records
        ]
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_SAVE, rows)
                self._connection.executemany(
                    "DELETE FROM files WHERE row = ?", [(row,) for row in forgotten]
                )
                if origin is not None:
                    self._connection.execute(
                        "INSERT INTO properties VALUES ('origin', CAST(? AS TEXT))",
                        (os.fsencode(origin),),
                    )
        except sqlite3.Error as error:
            raise RegistryError(
                f"the registry could not be written: {error}",
                where="registry.db",
                what_to_do="check the free space and the permissions of the data directory; "
                "shipper tries again",
            ) from error

    def close(self) -> None:
        """Gives the data directory free."""
        self._connection.close()
        os.close(self._lock)


def read_records(directory: Path) -> list[FileRecord]:
    """What the registry in `directory` remembers, without disturbing a daemon that uses it.

    It is for showing: what is not UTF-8 in a path has replacement characters.

    Raises:
        RegistryError: there is none, or it cannot be read.
    """
    path = directory / "registry.db"
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            return _load(connection)
    except sqlite3.Error as error:
        raise RegistryError(
            f"the registry cannot be read: {error}",
            where=str(path),
            what_to_do=f"set {option('data_dir')} to that of a daemon that has run, and be a "
            "user who may read it",
        ) from error


def _load(connection: sqlite3.Connection) -> list[FileRecord]:
    return [
        FileRecord(
            RowId(row),
            input_id,
            path,
            Identity(identity),
            None if inode is None else Inode(device, inode),
            offset,
            Mark(mark_length, mark_digest),
            updated,
            gone,
        )
        for (
            row,
            input_id,
            path,
            identity,
            device,
            inode,
            offset,
            mark_length,
            mark_digest,
            updated,
            gone,
        ) in connection.execute(f"SELECT {_COLUMNS} FROM files ORDER BY row")
    ]


def _open_database(path: Path, lock: int) -> tuple[Registry, str | None]:
    try:
        return Registry(*_connect(path, lock)), None
    except (sqlite3.DatabaseError, _UnusableError) as error:
        # SQLITE_ERROR: its tables are not ours.
        if isinstance(error, sqlite3.OperationalError) and (
            error.sqlite_errorcode != sqlite3.SQLITE_ERROR
        ):
            # The disk is full, say, or read-only: nothing is wrong with the file.
            raise RegistryError(
                f"the registry cannot be opened: {error}",
                where=str(path),
                what_to_do="check the free space and the permissions of the data directory",
            ) from error
    aside = _put_aside(path)
    return Registry(*_connect(path, lock)), aside


class _UnusableError(Exception):
    """The registry was written by a later shipper, or is damaged somewhere."""


def _connect(path: Path, lock: int) -> tuple[sqlite3.Connection, int, str]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.text_factory = os.fsdecode
    try:
        version = _single(connection, "PRAGMA user_version")
        if version > _SCHEMA_VERSION:
            raise _UnusableError
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL survives any crash of the process, and a power cut loses commits but
        # never the file (sqlite.org/pragma.html#pragma_synchronous).
        connection.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = 1; COMMIT;")
        # All of it, now: damage that shows later would end the daemon.
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise _UnusableError
        connection.execute(f"SELECT {_COLUMNS} FROM files LIMIT 1")
        connection.execute(
            "INSERT OR IGNORE INTO properties VALUES ('agent.id', ?)", (str(uuid.uuid4()),)
        )
        found = connection.execute("SELECT value FROM properties WHERE name = 'agent.id'")
        agent_id: str = found.fetchone()[0]
    except BaseException:
        connection.close()
        raise
    return connection, lock, agent_id


def _put_aside(path: Path) -> str:
    """Renames an unreadable registry so that it can be looked at later; returns its new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    return str(aside)


def _single(connection: sqlite3.Connection, query: str) -> int:
    value: int = connection.execute(query).fetchone()[0]
    return value
