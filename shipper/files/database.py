"""The SQLite file of the registry: its lock, how it is opened, and its errors in words.

It is in write-ahead mode, which needs a map of memory that processes share. Where the file system
has none (FUSE without shared maps, some network file systems), it is in rollback mode: the same
promises, a few more fsyncs a commit.

The files of SQLite are for this user alone, whatever the umask.
"""

import contextlib
import errno
import fcntl
import os
import sqlite3
from pathlib import Path

from msgspec import Struct, field

from shipper.errors import RegistryError, reason_of
from shipper.files import schema
from shipper.files.write_probe import why_not_writable
from shipper.option_names import option

FILE_NAME = "registry.db"
LOCK_NAME = "shipper.lock"

#: What SQLite puts beside the file.
_COMPANIONS = ("-wal", "-shm", "-journal")

# How a file system says that it cannot share memory maps. SQLITE_PROTOCOL and SQLITE_CANTOPEN also
# mean other things, which rollback mode then runs into as well.
_NO_SHARED_MEMORY = frozenset(
    {
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)

# What a map of shared memory takes of the disk, and how much of it SQLite takes at a time
# (walIndexPage and unixShmMap in its source), in bytes.
_MAP_BYTES = 32 * 1024
_MAP_PAGE = 4096

# How much of the file SQLite keeps in memory, in KiB: a commit changes a few pages.
_CACHE_KIB = 256

# What SQLite says with its own words only ("database or disk is full"), by its codes, the extended
# ones first.
_REASONS = {
    sqlite3.SQLITE_READONLY_DBMOVED: "the file was moved or removed while it was open",
    sqlite3.SQLITE_FULL: "no space left on device",
    sqlite3.SQLITE_READONLY: "the file or its file system is read-only",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_BUSY: "another process has it locked",
}
_DAMAGED = "check the disk; the next start puts the file aside and begins a new one"
_ADVICE = {
    sqlite3.SQLITE_READONLY_DBMOVED: "start shipper again",
    sqlite3.SQLITE_FULL: f"free space on the disk of {option('data_dir')}",
    sqlite3.SQLITE_READONLY: f"make {option('data_dir')} writable for this user",
    sqlite3.SQLITE_PERM: f"make {option('data_dir')} writable for this user",
    sqlite3.SQLITE_BUSY: "end what reads or writes registry.db",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: f"check the disk of {option('data_dir')}; the kernel's log says more",
}
_NO_MAPS = "the file system has no shared memory maps"
_CHECK = f"check the space and the permissions of {option('data_dir')}"
_IO_ADVICE = {
    errno.EACCES: _CHECK,
    errno.ENOSPC: f"free space on the disk of {option('data_dir')}",
    errno.EDQUOT: f"free space, or raise the disk quota of the user of {option('data_dir')}",
    errno.EROFS: f"see in the kernel's log why the disk of {option('data_dir')} is read-only",
    errno.EIO: f"see in the kernel's log what is wrong with the disk of {option('data_dir')}",
}


class Database(Struct):
    """An open registry file."""

    connection: sqlite3.Connection
    #: Where a file that could not be read was put aside, if one was.
    aside: str | None = None
    #: What an operator should know, in sentences.
    problems: list[str] = field(default_factory=list)


class UnusableError(Exception):
    """The registry was written by a later shipper, or is damaged somewhere."""


def lock_directory(directory: Path) -> int:
    """Makes the data directory if it is missing, and locks it; returns the lock's descriptor.

    Raises:
        RegistryError: it cannot be made or written, or another daemon uses it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _private(directory / LOCK_NAME)
    except OSError as error:
        raise RegistryError(
            f"the data directory cannot be used: {reason_of(error)}",
            where=str(directory),
            what_to_do="make it writable for this user, or set "
            f"{option('data_dir')} to another directory",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise RegistryError(
            "another shipper is running with this data directory",
            where=str(directory),
            what_to_do=f"stop it, or set {option('data_dir')} to another directory",
        ) from error
    except OSError as error:
        os.close(lock)
        raise RegistryError(
            f"the data directory cannot be locked: {reason_of(error)}",
            where=str(directory),
            what_to_do=f"set {option('data_dir')} to a directory on a file system with locks "
            "(flock)",
        ) from error
    return lock


def open_database(path: Path) -> Database:
    """Opens the registry, made or brought up to date where that is needed.

    Raises:
        RegistryError: the disk does not let it be opened. Nothing is wrong with the file.
    """
    try:
        return _open(path)
    except (UnusableError, UnicodeDecodeError):
        pass  # The latter is of Python's module: SQLite's message quotes what is damaged.
    except sqlite3.DatabaseError as error:
        # SQLITE_ERROR: its tables are not ours.
        if isinstance(error, sqlite3.OperationalError) and (_code(error) != sqlite3.SQLITE_ERROR):
            raise as_registry_error(error, "cannot be opened", path) from error
    try:
        aside = _put_aside(path)
        database = _open(path)
    except sqlite3.Error as error:
        raise as_registry_error(error, "cannot be opened", path) from error
    except OSError as error:
        raise _cannot_be_opened(error, path) from error
    database.aside = aside
    return database


def open_to_read(path: Path) -> sqlite3.Connection:
    """The registry as it is, whatever its version, beside a daemon too. Raises sqlite3.Error."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def as_registry_error(
    error: sqlite3.Error, what: str, path: Path, *, again: bool = False
) -> RegistryError:
    """What an error of SQLite says to an operator.

    `what`: what is not possible, such as "could not be written"; `again`: it is tried again.
    """
    reason, advice = _explain(error, path.parent)
    return RegistryError(
        f"the registry {what}: {reason} ({option('data_dir')} {path.parent})",
        where=str(path),
        what_to_do=f"{advice}; shipper tries again" if again else advice,
    )


def set_durable(connection: sqlite3.Connection, durable: bool) -> None:
    """Whether the next commits survive a power cut.

    In write-ahead mode NORMAL survives any crash of the process, and a power cut loses commits but
    never the file. FULL syncs each commit; in rollback mode it takes EXTRA, which syncs the
    directory as well (sqlite.org/pragma.html#pragma_synchronous). EXTRA is FULL in the former.
    """
    connection.execute(f"PRAGMA synchronous = {'EXTRA' if durable else 'NORMAL'}")


def restore(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Puts a registry back whose file was removed while it was open, from the open connection.

    Closes that one, and returns another. Raises sqlite3.Error and OSError.
    """
    copy = path.with_name(f"{path.name}.new")
    copy.unlink(missing_ok=True)
    os.close(_private(copy))
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as target:
        connection.backup(target)
    for leftover in _COMPANIONS:
        # Of the old file. With another one they would be taken for changes of that.
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    copy.rename(path)
    restored = _connect(path)[0]
    connection.close()
    return restored


def _open(path: Path) -> Database:
    try:
        os.close(_private(path))
        _require_room_for_map(path.parent)
    except OSError as error:
        raise _cannot_be_opened(error, path) from error
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.with_name(path.name + companion).chmod(0o600)
    connection, problem = _connect(path)
    try:
        version = schema.version_of(connection)
        if version not in range(schema.VERSION + 1):
            raise UnusableError
        # All of it, now: damage that shows later would end the daemon.
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise UnusableError
        if version < schema.VERSION:
            schema.bring_up_to_date(connection, version)
        if not schema.is_ours(connection):
            raise UnusableError
    except BaseException:
        connection.close()
        raise
    return Database(connection, problems=[problem] if problem else [])


def _connect(path: Path) -> tuple[sqlite3.Connection, str | None]:
    """A connection that is ready to be used, and what is to be said of it, if anything."""
    problem = None
    connection = _raw(path)
    try:
        try:
            # The version first: a file of a later shipper is left as it is.
            if schema.version_of(connection) > schema.VERSION:
                return connection, None
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            # That the maps cannot be shared shows with the first access only.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if _NO_SHARED_MEMORY.isdisjoint((_code(error), _code(error) & 0xFF)):
                raise
            connection.close()
            connection = _raw(path)
            mode = _leave_wal(connection)
        if mode != "wal":
            problem = (
                f"the file system of {path.parent} has no shared memory maps: the "
                f"registry uses SQLite's journal mode `{mode}`, which is safe and syncs more often"
            )
        set_durable(connection, False)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection, problem


def _require_room_for_map(directory: Path) -> None:
    """Raises OSError where writing to a map of shared memory would end the process.

    SQLite takes one byte in each page of the map's file, so that a full disk shows as an error. On
    a file system with smaller blocks the others are holes, and who writes there gets SIGBUS.
    """
    if os.statvfs(directory).f_frsize < _MAP_PAGE:
        refused = why_not_writable(directory, _MAP_BYTES)
        if refused is not None:
            raise refused


def _raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.text_factory = os.fsdecode
    return connection


def _leave_wal(connection: sqlite3.Connection) -> str:
    """Rollback mode. A file that is in write-ahead mode can be read without shared memory by who
    has it alone (sqlite.org/wal.html#use_of_wal_without_shared_memory), which our lock says."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    mode: str = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    # `shipper registry show` reads beside us.
    connection.execute("PRAGMA locking_mode = NORMAL")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return mode


def _private(path: Path) -> int:
    """Opens a file, made if it is missing, for this user alone."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # The umask may have taken away more; a file of before may have given more. It may be another
    # user's that we may write all the same.
    with contextlib.suppress(PermissionError):
        os.fchmod(descriptor, 0o600)
    return descriptor


def _put_aside(path: Path) -> str:
    """Renames an unreadable registry so that it can be looked at later; returns its new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for leftover in _COMPANIONS:
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    return str(aside)


def _cannot_be_opened(error: OSError, path: Path) -> RegistryError:
    return RegistryError(
        f"the registry cannot be opened: {reason_of(error)} ({option('data_dir')} {path.parent})",
        where=str(path),
        what_to_do=_CHECK,
    )


def _explain(error: sqlite3.Error, directory: Path) -> tuple[str, str]:
    """Why SQLite refuses a file in that directory, and what to do about it."""
    code = _code(error)
    kind = code & 0xFF
    reason = _REASONS.get(code, _REASONS.get(kind, str(error)))
    advice = _ADVICE.get(code, _ADVICE.get(kind, _CHECK))
    if kind not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return reason, advice
    # "disk I/O error", "unable to open database file": what the system said is not handed on.
    found = _state_of_disk(directory)
    if found is None and kind == sqlite3.SQLITE_IOERR:
        found = why_not_writable(directory)
    if found is not None:
        reason = reason_of(found)
        advice = _IO_ADVICE.get(found.errno or 0, advice)
    elif code in _NO_SHARED_MEMORY and kind == sqlite3.SQLITE_IOERR:
        reason = _NO_MAPS
        advice = f"set {option('data_dir')} to a directory on another file system"
    return f"{reason} ({getattr(error, 'sqlite_errorname', 'SQLITE_IOERR')})", advice


def _state_of_disk(directory: Path) -> OSError | None:
    """What a write there may have met, as the system would have said it; None if nothing shows."""
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return error
    if found.f_flag & os.ST_RDONLY:
        number = errno.EROFS
    elif not found.f_bavail and found.f_blocks:
        number = errno.ENOSPC
    elif not os.access(directory, os.W_OK | os.X_OK):
        number = errno.EACCES
    else:
        return None
    return OSError(number, os.strerror(number), str(directory))


def _code(error: sqlite3.Error) -> int:
    """SQLite's extended code; 0 for what Python's module itself finds wrong."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code
