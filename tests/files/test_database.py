"""The registry's file: who may read it, where it can lie, and what an operator is told."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shipper.errors import RegistryError
from shipper.files import database
from shipper.files.database import as_registry_error, lock_directory
from shipper.files.identity import Identity
from shipper.files.losses import Loss, LossReason
from shipper.files.registry import Registry, read_losses, read_records
from tests.files.test_registry import loaded, opened, record
from tests.support.disk import no_file_larger_than

LOSS = Loss("tetragon", "/l/a", Identity("a" * 16), 5, 9, 4, 1, LossReason.RETENTION, 1.7e9)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


class TestWhoMayReadIt:
    @pytest.mark.parametrize("mask", [0, 0o022, 0o277])
    def test_this_user_alone_whatever_the_umask(self, directory: Path, mask: int) -> None:
        directory.mkdir()
        with umask(mask), opened(directory) as (registry, _):
            registry.save([record()])
            found = modes(directory)
        assert set(found) == {
            "agent.id",
            "registry.db",
            "registry.db-shm",
            "registry.db-wal",
            "shipper.lock",
        }
        assert set(found.values()) == {0o600}

    def test_also_what_an_older_shipper_left_open_to_others(self, directory: Path) -> None:
        with opened(directory) as (registry, _):
            registry.save([record()])
            copy = directory.with_name("copy")
            shutil.copytree(directory, copy)
        for path in copy.iterdir():
            path.chmod(0o644)
        with opened(copy) as (registry, _):
            assert list(registry.load()) == [record()]
            assert set(modes(copy).values()) == {0o600}

    def test_also_one_that_is_put_aside(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "registry.db").write_bytes(b"no database" * 1000)
        (directory / "registry.db").chmod(0o644)
        loaded_anew, aside = Registry.open(directory)
        loaded_anew.close()
        assert aside is not None
        assert Path(aside).stat().st_mode & 0o777 == 0o600


class TestWithoutSharedMemoryMaps:
    """As on FUSE: SQLite cannot open the map that the write-ahead log needs. A symbolic link in the
    place of that file, which SQLite does not follow, has the same effect."""

    def test_a_registry_is_begun_all_the_same(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "registry.db-shm").symlink_to("nowhere")
        with opened(directory) as (registry, aside):
            assert aside is None
            registry.save([record(1)])
            # Another process reads beside it.
            assert read_records(directory) == [record(1)]
            registry.save([record(2)], losses=[LOSS], durable=True)
            assert [stored.loss for stored in read_losses(directory)] == [LOSS]
            assert list(registry.load()) == [record(1), record(2)]
            (problem,) = registry.problems
            assert str(directory) in problem
            assert "no shared memory maps" in problem
            assert not (directory / "registry.db-wal").exists()
        assert loaded(directory) == [record(1), record(2)]

    def test_one_that_was_killed_elsewhere_goes_on(self, directory: Path) -> None:
        with opened(directory) as (registry, _):
            registry.save([record(1)])
            copy = directory.with_name("copy")
            shutil.copytree(directory, copy)
        assert (copy / "registry.db-wal").stat().st_size
        (copy / "registry.db-shm").unlink()
        (copy / "registry.db-shm").symlink_to("nowhere")
        with opened(copy) as (registry, aside):
            assert aside is None
            assert list(registry.load()) == [record(1)]
            registry.save([record(2)])
        # And back where they are.
        (copy / "registry.db-shm").unlink()
        with opened(copy) as (registry, _):
            assert list(registry.load()) == [record(1), record(2)]
            assert registry.problems == []
            assert "registry.db-wal" in modes(copy)


class Recorder(sqlite3.Connection):
    """A connection that notes what it is asked to do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_trace_callback(STATEMENTS.append)


STATEMENTS: list[str] = []


class TestACommit:
    @pytest.fixture
    def statements(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        connect = sqlite3.connect

        def recorded(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            kwargs.setdefault("factory", Recorder)
            connection: sqlite3.Connection = connect(*args, **kwargs)
            return connection

        monkeypatch.setattr(sqlite3, "connect", recorded)
        return STATEMENTS

    def test_that_is_durable_is_synced_and_the_next_one_is_not(
        self, directory: Path, statements: list[str]
    ) -> None:
        with opened(directory) as (registry, _):
            for durable, mode in ((True, "EXTRA"), (False, "NORMAL"), (True, "EXTRA")):
                statements.clear()
                registry.save([record()], durable=durable)
                # Within a transaction it would change nothing.
                assert statements[:2] == [
                    f"PRAGMA synchronous = {mode}",
                    "BEGIN IMMEDIATE",
                ]
                assert statements[-1] == "COMMIT"

    def test_that_fails_leaves_nothing_of_its_losses(self, directory: Path) -> None:
        many = [record(row, path="/logs/" + "x" * 500) for row in range(1, 1000)]
        with opened(directory) as (registry, _):
            with (
                no_file_larger_than(100_000),
                pytest.raises(RegistryError, match="could not be written") as caught,
            ):
                registry.save(many, losses=[LOSS], durable=True)
            assert f"(data_dir {directory})" in str(caught.value)
            assert read_losses(directory) == []
            registry.save(many, losses=[LOSS], durable=True)
            assert len(read_losses(directory)) == 1


def test_a_full_disk_is_called_by_its_name_with_its_directory(directory: Path) -> None:
    directory.mkdir()
    with contextlib.closing(sqlite3.connect(directory / "small.db")) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE t (x)")
        with pytest.raises(sqlite3.Error) as caught:
            connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    error = as_registry_error(
        caught.value, "could not be written", directory / "registry.db", again=True
    )
    assert error.what == (
        f"the registry could not be written: no space left on device (data_dir {directory})"
    )
    assert error.where == str(directory / "registry.db")
    assert error.what_to_do == "free space on the disk of data_dir; shipper tries again"


def sqlite_error(code: int, name: str, words: str) -> sqlite3.OperationalError:
    """An error as SQLite's module makes it."""
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


@pytest.mark.parametrize(
    ("name", "reason", "advice"),
    [
        ("SQLITE_READONLY_DBMOVED", "the file was moved or removed", "start shipper again"),
        ("SQLITE_READONLY_DIRECTORY", "the file or its file system is read-only", "writable"),
        ("SQLITE_CORRUPT_INDEX", "some words of SQLite", "puts the file aside"),
        ("SQLITE_NOTADB", "some words of SQLite", "puts the file aside"),
        ("SQLITE_IOERR_WRITE", "some words of SQLite (SQLITE_IOERR_WRITE)", "check the disk of"),
        ("SQLITE_IOERR_SHMMAP", "no shared memory maps (SQLITE_IOERR_SHMMAP)", "another file"),
        ("SQLITE_CANTOPEN", "some words of SQLite (SQLITE_CANTOPEN)", "check the space"),
    ],
)
def test_what_the_disk_is_said_to_have_is_what_it_has(
    directory: Path, name: str, reason: str, advice: str
) -> None:
    """Not every error of a disk is one of space and permissions."""
    directory.mkdir()
    found = sqlite_error(getattr(sqlite3, name), name, "some words of SQLite")
    error = as_registry_error(found, "could not be written", directory / "registry.db")
    assert reason in error.what
    assert error.what.endswith(f" (data_dir {directory})")
    assert advice in error.what_to_do


@pytest.mark.parametrize("name", ["SQLITE_IOERR_SHMSIZE", "SQLITE_CANTOPEN"])
def test_a_disk_that_is_gone_is_told_as_the_system_does(directory: Path, name: str) -> None:
    found = sqlite_error(getattr(sqlite3, name), name, "some words of SQLite")
    error = as_registry_error(found, "could not be written", directory / "registry.db")
    assert error.what == (
        f"the registry could not be written: no such file or directory ({name}) "
        f"(data_dir {directory})"
    )


def test_a_directory_that_cannot_be_locked_is_not_taken_for_one_in_use(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems (FUSE, NFS without a lock daemon) have no locks."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RegistryError) as caught:
        lock_directory(directory)
    assert caught.value.what == "the data directory cannot be locked: no locks available"
    assert caught.value.where == str(directory)


@pytest.mark.parametrize(
    ("number", "reason", "advice"),
    [
        (errno.EROFS, "read-only file system", "see in the kernel's log why"),
        (errno.ENOSPC, "no space left on device", "free space on the disk"),
        (errno.EDQUOT, "disk quota exceeded", "raise the disk quota"),
        (errno.EIO, "input/output error", "see in the kernel's log what is wrong"),
        (errno.EACCES, "permission denied", "check the space and the permissions"),
        (None, "disk I/O error", "check the disk of"),
    ],
)
def test_a_disk_error_is_what_the_system_says_to_a_few_bytes_there(
    directory: Path, number: int | None, reason: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir()
    refused = None if number is None else OSError(number, os.strerror(number))
    monkeypatch.setattr(database, "why_not_writable", lambda _: refused)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    error.sqlite_errorname = "SQLITE_IOERR_WRITE"
    told = as_registry_error(error, "could not be written", directory / "registry.db")
    assert (
        f"could not be written: {reason} (SQLITE_IOERR_WRITE) (data_dir {directory})" in told.what
    )
    assert told.what_to_do is not None
    assert advice in told.what_to_do


def test_a_registry_that_another_program_has_locked_is_told_in_words(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([record()])
        with contextlib.closing(
            sqlite3.connect(directory / "registry.db", isolation_level=None)
        ) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(RegistryError, match="another process has it locked"):
                registry.save([record(2)])
            other.execute("ROLLBACK")
        registry.save([record(2)])
        assert list(registry.load()) == [record(), record(2)]


class TestAFileThatIsRemovedWhileItIsOpen:
    def test_is_put_back_by_the_next_commit(self, directory: Path) -> None:
        with opened(directory) as (registry, _):
            registry.save([record(1)], losses=[LOSS])
            agent_id = registry.agent_id
            for path in directory.iterdir():
                path.unlink()
            registry.save([record(2)])
            registry.save([record(3)])
            assert read_records(directory) == [record(1), record(2), record(3)]
            assert set(modes(directory).values()) == {0o600}
            # As a kill leaves it.
            copy = directory.with_name("copy")
            shutil.copytree(directory, copy)
        with opened(copy) as (registry, aside):
            assert aside is None
            assert list(registry.load()) == [record(1), record(2), record(3)]
            assert registry.agent_id == agent_id
        assert [stored.loss for stored in read_losses(copy)] == [LOSS]

    def test_without_its_write_ahead_log_too(self, directory: Path) -> None:
        with opened(directory) as (registry, _):
            registry.save([record(1)])
            (directory / "registry.db").unlink()
            registry.save([record(2)])
        assert loaded(directory) == [record(1), record(2)]

    def test_and_replaced_by_another_is_told_in_words_until_that_one_goes(
        self, directory: Path
    ) -> None:
        with opened(directory) as (registry, _):
            registry.save([record(1)])
            other = directory / "other"
            other.write_bytes(b"a backup")
            other.rename(directory / "registry.db")
            with pytest.raises(RegistryError, match="another file took its place") as caught:
                registry.save([record(2)])
            assert str(directory) in str(caught.value)
            assert (directory / "registry.db").read_bytes() == b"a backup"
            (directory / "registry.db").unlink()
            registry.save([record(2)])
        assert loaded(directory) == [record(1), record(2)]

    def test_with_its_directory_is_told_in_words_until_that_is_back(self, directory: Path) -> None:
        with opened(directory) as (registry, _):
            registry.save([record(1)])
            shutil.rmtree(directory)
            with pytest.raises(RegistryError, match="was removed and cannot be put back"):
                registry.save([record(2)])
            directory.mkdir()
            registry.save([record(2)])
        assert loaded(directory) == [record(1), record(2)]


@pytest.mark.parametrize("block", [512, 1024, 4096])
def test_on_a_full_disk_with_small_blocks_no_map_is_written_to(
    directory: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite would get SIGBUS; where blocks are larger it finds out by itself."""
    with opened(directory):
        pass
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_frsize=block, f_bavail=0))
    with no_file_larger_than(20_000), contextlib.ExitStack() as stack:
        if block < 4096:
            stack.enter_context(pytest.raises(RegistryError, match="file too large"))
        Registry.open(directory)[0].close()
    assert loaded(directory) == []
