"""What is remembered of each file across restarts, and what was lost: SQLite, one row each.

It may lag behind Elasticsearch, never lead it: only acknowledged offsets are saved. A commit is
atomic under kill -9 at any instant; after a power cut the last commits may be missing, which costs
sending again (the documents' ids make that harmless). What we decide to lose is committed so that
it survives a power cut as well. A registry that cannot be read is put aside and a new one begun,
for the same reason.

All methods block on the disk; the daemon calls them from a worker thread, one at a time.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from shipper.errors import RegistryError, reason_of
from shipper.files import agent_id, database, loss_table, rows, schema
from shipper.files.losses import Loss, LossId, StoredLoss
from shipper.files.rows import FileRecord, RowId
from shipper.option_names import option

__all__ = ["FileRecord", "Registry", "RowId", "read_losses", "read_records"]

# Of so many losses it is known that they are saved: saving them again does nothing.
_RECENT_LOSSES = 4096

# The property with the name under which losses were saved last by `save_losses_once`.
_ONCE = "losses.once"


class Registry:
    """The registry of one data directory; while it is open, no other daemon can open it."""

    def __init__(self, path: Path, lock: int, opened: database.Database, agent: str) -> None:
        self._path = path
        self._lock = lock
        self._connection = opened.connection
        # To see whether the file still has a name. Closing an O_PATH descriptor does not give up
        # the locks that SQLite has on the file, as closing any other one would.
        self._file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        self._next_row = 1 + _single(
            opened.connection,
            f"SELECT coalesce(max(row), 0) FROM files WHERE row < {rows.LAST_ROW}",
        )
        # Rows that cannot be ours; they go with the next commit.
        self._unusable: list[int] = []
        self._recent_losses: dict[Loss, None] = {}
        #: A UUID that stays the same for this data directory: `agent.id` of every document.
        self.agent_id = agent
        #: What is out of the ordinary and was dealt with, in sentences for the log; complete once
        #: `load` was called.
        self.problems = opened.problems

    @classmethod
    def open(cls, directory: Path) -> tuple["Registry", str | None]:
        """Opens `directory`/registry.db, making what is missing.

        Returns it, and where a registry that could not be read was put aside (else None).

        Raises:
            RegistryError: the directory cannot be made or written, or another daemon uses it.
        """
        lock = database.lock_directory(directory)
        try:
            path = directory / database.FILE_NAME
            opened = database.open_database(path)
            try:
                return cls(path, lock, opened, _agent_id(directory, opened)), opened.aside
            except BaseException:
                opened.connection.close()
                raise
        except sqlite3.Error as error:
            os.close(lock)
            raise database.as_registry_error(error, "cannot be opened", path) from error
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
        return _property(self._connection, "origin")

    def new_row(self) -> RowId:
        """A key for a file that is not in the registry yet."""
        row = RowId(self._next_row)
        self._next_row += 1
        return row

    def load(self) -> rows.LoadedRecords:
        """All files that are remembered. Rows that cannot be ours are left out, and removed by the
        next commit; `problems` says which they are.

        Raises:
            RegistryError: the disk does not let it be read.
        """
        try:
            records, unusable = rows.load_packed(self._connection, schema.VERSION)
        except sqlite3.Error as error:
            raise database.as_registry_error(error, "cannot be read", self._path) from error
        self._unusable = [each.row for each in unusable]
        self.problems += [
            "a row of the registry cannot be ours and is ignored; its file is read from its "
            f"beginning: {each.words}"
            for each in unusable
        ]
        return records

    def save(
        self,
        records: Iterable[FileRecord],
        forgotten: Iterable[RowId] = (),
        *,
        losses: Iterable[Loss] = (),
        durable: bool = False,
        origin: str | None = None,
    ) -> None:
        """Writes these records and losses and deletes the forgotten records, all or nothing.

        `durable`: a power cut does not undo it. `origin`: from where they were taken over, if they
        were. Saving the same losses again is harmless.

        Raises:
            RegistryError: nothing was written (the disk is full, say); saving again later is safe.
        """
        new = [loss for loss in losses if loss not in self._recent_losses]
        with self._writing(durable=durable) as connection:
            rows.save(connection, records)
            rows.delete(connection, (*forgotten, *self._unusable))
            loss_table.record(connection, new)
            if origin is not None:
                connection.execute(
                    "INSERT INTO properties VALUES ('origin', CAST(? AS TEXT))",
                    (os.fsencode(origin),),
                )
        self._unusable.clear()
        self._recent_losses.update(dict.fromkeys(new))
        for old in list(self._recent_losses)[:-_RECENT_LOSSES]:
            del self._recent_losses[old]

    def save_losses_once(self, name: str, losses: Iterable[Loss]) -> bool:
        """Writes losses so that a power cut does not undo it, unless that was done under the same
        name last: by an earlier process, too. Returns whether they were written now.

        Raises RegistryError, as `save` does.
        """
        with self._writing(durable=True) as connection:
            if _property(connection, _ONCE) == name:
                return False
            loss_table.record(connection, losses)
            connection.execute("INSERT OR REPLACE INTO properties VALUES (?, ?)", (_ONCE, name))
        return True

    def unshipped(self, limit: int) -> list[StoredLoss]:
        """The oldest losses of which no document is acknowledged, `limit` at the most.

        What was handed out does not change any more, nor in a later process: the id of its document
        stays the same.

        Raises:
            RegistryError: that could not be written down; nothing was handed out.
        """
        try:
            if not loss_table.has_unshipped(self._connection):
                return []  # Nothing is written for that: the disk may be full, or read-only.
        except sqlite3.Error as error:
            raise database.as_registry_error(error, "cannot be read", self._path) from error
        with self._writing(durable=True) as connection:
            return loss_table.offer(connection, limit)

    def losses_shipped(self, ids: Iterable[LossId]) -> None:
        """The documents of these losses are acknowledged. Raises RegistryError, as `save` does."""
        with self._writing() as connection:
            loss_table.mark_shipped(connection, ids)

    def close(self) -> None:
        """Gives the data directory free."""
        self._connection.close()
        os.close(self._file)
        os.close(self._lock)

    @contextlib.contextmanager
    def _writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, on a file that has its name."""
        try:
            self._put_back_if_removed()
            database.set_durable(self._connection, durable)
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
        except sqlite3.Error as error:
            raise database.as_registry_error(
                error, "could not be written", self._path, again=True
            ) from error

    def _put_back_if_removed(self) -> None:
        """What is written to a file without a name is gone with the process."""
        try:
            if self._path.exists():
                if os.fstat(self._file).st_nlink:
                    return
                raise RegistryError(
                    "the registry could not be written: another file took its place while shipper "
                    f"runs ({option('data_dir')} {self._path.parent})",
                    where=str(self._path),
                    what_to_do="start shipper again to use that file, or remove it: what shipper "
                    "remembers is then written anew",
                )
            self._connection = database.restore(self._connection, self._path)
            os.close(self._file)
            self._file = os.open(self._path, os.O_PATH | os.O_CLOEXEC)
            agent_id.write(self._path.parent, self.agent_id)
        except OSError as error:
            raise RegistryError(
                f"the registry was removed and cannot be put back: {reason_of(error)} "
                f"({option('data_dir')} {self._path.parent})",
                where=str(self._path),
                what_to_do=f"make {option('data_dir')} a directory that this user may write; "
                "shipper tries again",
            ) from error


def read_records(directory: Path, *, exact: bool = False) -> list[FileRecord]:
    """What the registry in `directory` remembers, without disturbing a daemon that uses it.

    It is for showing: what is not UTF-8 in a path has replacement characters, unless it is to be
    `exact`, and rows that cannot be used are left out.

    Raises:
        RegistryError: there is none, or it cannot be read.
    """
    with _reading(directory) as (connection, version):
        if exact:
            connection.text_factory = os.fsdecode
        return rows.load(connection, version)[0]


def read_agent_id(directory: Path) -> str:
    """The agent id of a data directory, without disturbing a daemon that uses it.

    Raises:
        RegistryError: no daemon has run there, or it cannot be read.
    """
    found = agent_id.read(directory)
    if found is None and (directory / database.FILE_NAME).exists():
        with _reading(directory) as (connection, _):
            found = agent_id.valid(_property(connection, "agent.id") or "")
    if found is None:
        raise RegistryError(
            "shipper has not run with this data directory: there is no agent id",
            where=str(directory),
            what_to_do=f"start shipper once, or set {option('data_dir')} to that of a daemon that "
            "has run",
        )
    return found


def read_losses(directory: Path) -> list[StoredLoss]:
    """The losses that the registry in `directory` remembers, in the same way.

    Raises:
        RegistryError: there is none, or it cannot be read.
    """
    with _reading(directory) as (connection, version):
        # The registry of an older shipper, which recorded none, unless it was downgraded to that.
        if version == 1 and not schema.has_losses(connection):
            return []
        return loss_table.load(connection)[0]


@contextlib.contextmanager
def _reading(directory: Path) -> Iterator[tuple[sqlite3.Connection, int]]:
    path = directory / database.FILE_NAME
    try:
        with contextlib.closing(database.open_to_read(path)) as connection:
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            yield connection, schema.version_of(connection)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        # The latter is of Python's module: SQLite's message quotes what is damaged.
        raise RegistryError(
            f"the registry cannot be read: {error}",
            where=str(path),
            what_to_do=f"set {option('data_dir')} to that of a daemon that has run, and be a "
            "user who may read it",
        ) from error


def _agent_id(directory: Path, opened: database.Database) -> str:
    """The one of the file; else the registry's, or a new one. It is in both from now on.

    Raises RegistryError and sqlite3.Error.
    """
    kept = agent_id.read(directory)
    remembered = agent_id.valid(_property(opened.connection, "agent.id") or "")
    agent = kept or remembered or agent_id.new()
    if remembered != agent:
        opened.connection.execute(
            "INSERT OR REPLACE INTO properties VALUES ('agent.id', ?)", (agent,)
        )
    if kept is None:
        try:
            agent_id.write(directory, agent)
        except OSError as error:
            # The registry has it: shipping does not wait for the second copy.
            opened.problems.append(
                f"the agent id could not be written to {directory / agent_id.FILE_NAME}, and is "
                f"only in the registry: {reason_of(error)}; the next start tries it again"
            )
    return agent


def _property(connection: sqlite3.Connection, name: str) -> str | None:
    found = connection.execute("SELECT value FROM properties WHERE name = ?", (name,)).fetchone()
    return None if found is None else str(found[0])


def _single(connection: sqlite3.Connection, query: str) -> int:
    value: int = connection.execute(query).fetchone()[0]
    return value
