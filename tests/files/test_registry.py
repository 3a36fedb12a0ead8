"""What is remembered across restarts, kill -9, damage, full disks and a second shipper."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipper.errors import RegistryError
from shipper.files.facts import Inode
from shipper.files.identity import Identity, Mark
from shipper.files.registry import FileRecord, Registry, RowId, read_records
from tests.support.disk import no_file_larger_than

ROOT = Path(__file__).parents[2]


def record(row: int = 1, offset: int = 100, *, path: str = "/logs/tetragon.log") -> FileRecord:
    return FileRecord(
        row=RowId(row),
        input_id="tetragon",
        path=path,
        identity=Identity(f"{row:016x}"),
        inode=Inode(64769, 1000 + row),
        born=1_763_000_000_000_000_000 + row,
        offset=offset,
        seen=offset + 50,
        mark=Mark(10, "0123456789abcdef"),
        updated=1_764_000_000.25,
        removed=None,
    )


def loaded(directory: Path) -> list[FileRecord]:
    """What a new start finds; nothing may have been put aside."""
    with opened(directory) as (registry, aside):
        assert aside is None
        return list(registry.load())


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[tuple[Registry, str | None]]:
    registry, aside = Registry.open(directory)
    try:
        yield registry, aside
    finally:
        registry.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_it_is_new_until_something_is_remembered(directory: Path) -> None:
    with opened(directory) as (registry, _):
        assert registry.is_new
        registry.save([])
        assert registry.is_new
        registry.save([record()])
    with opened(directory) as (registry, _):
        assert not registry.is_new
        assert registry.origin is None


def test_what_was_taken_over_stays_so_without_files(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([record()], origin="Filebeat")
        registry.save([], [RowId(1)])
    with opened(directory) as (registry, _):
        assert list(registry.load()) == []
        assert registry.origin == "Filebeat"
        assert not registry.is_new


def test_records_are_taken_over_once_all_or_nothing(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([record()], origin="Filebeat")
        with pytest.raises(RegistryError):
            registry.save([record(offset=7), record(2)], origin="Filebeat")
        assert list(registry.load()) == [record()]


# Saving -------------------------------------------------------------------------------------------


def test_a_new_directory_is_made_closed_to_others_and_remembers_nothing(directory: Path) -> None:
    assert loaded(directory / "deep") == []
    assert (directory / "deep").stat().st_mode & 0o777 == 0o700


def test_what_is_saved_is_there_after_a_restart(directory: Path) -> None:
    records = [
        record(1),
        replace(record(2), inode=None, removed=1_764_000_001.5),
        record(3, 2**40, path="/logs/naïve \udcff.log"),
    ]
    with opened(directory) as (registry, _):
        registry.save(records[:2])
        registry.save(records[2:])
        assert list(registry.load()) == records
    assert loaded(directory) == records


def test_a_record_is_replaced_by_its_row_and_forgotten_rows_are_gone(directory: Path) -> None:
    changed = replace(
        record(1, 500, path="/logs/tetragon-1.log"), inode=None, mark=Mark(3, "f" * 16), removed=5.0
    )
    with opened(directory) as (registry, _):
        registry.save([record(1), record(2), record(3)])
        registry.save([changed], [RowId(2), RowId(99)])
    assert loaded(directory) == [changed, record(3)]


def test_rows_are_given_out_once(directory: Path) -> None:
    with opened(directory) as (registry, _):
        rows = [registry.new_row() for _ in range(3)]
        registry.save([record(row) for row in rows])
    with opened(directory) as (registry, _):
        assert registry.new_row() not in rows
    assert len(set(rows)) == 3


def test_the_agent_id_is_that_of_the_directory(directory: Path, tmp_path: Path) -> None:
    ids = []
    for place in (directory, directory, tmp_path / "other"):
        with opened(place) as (registry, _):
            ids.append(registry.agent_id)
    assert ids[0] == ids[1] != ids[2]
    assert str(uuid.UUID(ids[0])) == ids[0]


# Kill -9 ------------------------------------------------------------------------------------------

COMMITTER = """
import sys
from pathlib import Path
from tests.files.test_registry import record
from shipper.files.registry import Registry

registry, aside = Registry.open(Path(sys.argv[1]))
assert aside is None, aside
done = max((each.offset for each in registry.load()), default=0)
while True:
    done += 1
    registry.save([record(row, done, path="/logs/" + "x" * (done % 2000)) for row in range(1, 20)])
    print(done, flush=True)
"""


def test_killed_at_any_moment_it_opens_whole_and_no_offset_goes_back(directory: Path) -> None:
    rng = random.Random(9)
    committed = 0
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", COMMITTER, str(directory)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            for _ in range(rng.randrange(1, 80)):
                line = process.stdout.readline()
                assert line, "the committer ended by itself"
                committed = int(line)
        finally:
            process.kill()
            # What it said before it died counts, too.
            rest = process.stdout.read().split(b"\n")
            process.stdout.close()
            process.wait()
        committed = int(rest[-2]) if len(rest) > 1 else committed
        records = loaded(directory)
        offsets = {each.offset for each in records}
        # A commit is there with all its rows or not at all.
        assert len(records) == 19
        assert len(offsets) == 1
        assert committed <= offsets.pop() <= committed + 1


# What cannot be read ------------------------------------------------------------------------------


def test_a_damaged_schema_whose_text_is_no_text_is_put_aside(directory: Path) -> None:
    """SQLite quotes it in its message, which cannot be decoded."""
    with opened(directory) as (registry, _):
        registry.save([record()])
    path = directory / "registry.db"
    whole = path.read_bytes()
    for place in (b"CREATE TABLE files", b"row INTEGER", b"TABLE losses"):
        path.write_bytes(whole.replace(place, b"\x94" * len(place)))
        with pytest.raises(RegistryError, match="cannot be read"):
            read_records(directory)
        with opened(directory) as (registry, aside):
            assert aside is not None
            assert list(registry.load()) == []


def test_a_damaged_registry_is_put_aside_and_a_new_one_begun(directory: Path) -> None:
    names = []
    for content in (b"this is no database" * 1000, os.urandom(5000)):
        directory.mkdir(exist_ok=True)
        (directory / "registry.db").write_bytes(content)
        with opened(directory) as (registry, aside):
            assert aside is not None
            # Whoever wants to look at it still can.
            assert Path(aside).read_bytes() == content
            assert list(registry.load()) == []
            registry.save([record()])
        assert loaded(directory) == [record()]
        names.append(aside)
    assert names == [
        str(directory / "registry.db.damaged-1"),
        str(directory / "registry.db.damaged-2"),
    ]


@pytest.fixture(scope="module")
def large_registry(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("large")
    with opened(directory) as (registry, _):
        registry.save([record(row, path=f"/logs/{row}" + "x" * 200) for row in range(1, 300)])
    return (directory / "registry.db").read_bytes()


@pytest.mark.parametrize("seed", range(100))
def test_damage_anywhere_in_the_file_never_stops_a_start(
    seed: int, directory: Path, large_registry: bytes
) -> None:
    rng = random.Random(seed)
    damaged = bytearray(large_registry)
    directory.mkdir()
    match seed % 3:
        case 0:
            start = rng.randrange(len(damaged))
            damaged[start : start + rng.choice((1, 100, 5000))] = rng.randbytes(100)
        case 1:
            del damaged[rng.randrange(len(damaged)) :]
        case _:
            # A page of the disk that was never written.
            page = 4096 * rng.randrange(len(damaged) // 4096)
            damaged[page : page + 4096] = bytes(4096)
    (directory / "registry.db").write_bytes(damaged)
    with opened(directory) as (registry, aside):
        # Nothing is missing without a word.
        found = len(list(registry.load()))
        ignored = sum("is ignored" in problem for problem in registry.problems)
        assert found + ignored == (299 if aside is None else 0)
        registry.save([record(row) for row in (1, 150, 299, 1000)])
    assert {each.row for each in loaded(directory)} >= {1, 150, 299, 1000}


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_leftovers_beside_the_registry_are_no_obstacle(directory: Path, suffix: str) -> None:
    with opened(directory) as (registry, _):
        registry.save([record()])
    (directory / f"registry.db{suffix}").write_bytes(os.urandom(40_000))
    assert loaded(directory) == [record()]


def test_an_empty_file_is_a_new_registry(directory: Path) -> None:
    directory.mkdir()
    (directory / "registry.db").touch()
    assert loaded(directory) == []


def test_the_registry_of_a_later_version_is_put_aside_as_it_is(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([record()])
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        connection.execute("PRAGMA user_version = 999")
    with opened(directory) as (registry, aside):
        assert aside is not None
        assert list(registry.load()) == []
    with contextlib.closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (999,)
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (1,)


@pytest.mark.parametrize("version", [0, 1])
def test_a_database_of_something_else_is_put_aside(directory: Path, version: int) -> None:
    directory.mkdir()
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        connection.execute("CREATE TABLE files (something TEXT)")
        connection.execute(f"PRAGMA user_version = {version}")
    with opened(directory) as (registry, aside):
        assert aside is not None
        registry.save([record()])
    assert loaded(directory) == [record()]


# Who else is there --------------------------------------------------------------------------------


def test_a_second_shipper_is_told_in_words_and_the_first_goes_on(directory: Path) -> None:
    with opened(directory) as (registry, _):
        with pytest.raises(RegistryError, match="another shipper is running") as caught:
            Registry.open(directory)
        assert str(directory) in str(caught.value)
        assert "data_dir" in caught.value.what_to_do
        registry.save([record()])
    # The lock goes with its owner.
    assert loaded(directory) == [record()]


def test_the_registry_can_be_read_beside_a_running_daemon(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([record(1)])
        assert read_records(directory) == [record(1)]
        registry.save([record(2)])
        assert read_records(directory) == [record(1), record(2)]
    assert read_records(directory) == [record(1), record(2)]


def test_a_path_that_is_not_utf8_is_shown_with_replacement_characters(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([record(path="/logs/\udcff.log")])
    assert [each.path for each in read_records(directory)] == ["/logs/\ufffd.log"]


def test_reading_makes_nothing(directory: Path) -> None:
    directory.mkdir()
    with pytest.raises(RegistryError, match="cannot be read"):
        read_records(directory)
    assert list(directory.iterdir()) == []


def test_reading_what_is_no_registry_is_told_in_words(directory: Path) -> None:
    directory.mkdir()
    (directory / "registry.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RegistryError, match="cannot be read"):
        read_records(directory)


# What the disk refuses ----------------------------------------------------------------------------


def test_a_data_directory_that_is_a_file_is_told_in_words(directory: Path) -> None:
    directory.touch()
    with pytest.raises(RegistryError, match="cannot be used") as caught:
        Registry.open(directory)
    assert "data_dir" in caught.value.what_to_do


READ_ONLY = """
import os
from pathlib import Path
from shipper.errors import RegistryError
from shipper.files.registry import Registry
import shipper.files.filesystem

if os.geteuid() == 0:
    os.setuid(65534)
try:
    Registry.open(Path("."))
except RegistryError as error:
    print(error)
"""


def test_a_data_directory_that_cannot_be_written_is_told_in_words(directory: Path) -> None:
    # The program goes there first and gives up its rights then, where it has any.
    directory.mkdir(mode=0o555)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the data directory cannot be used: permission denied" in done.stdout


def test_a_full_disk_is_told_in_words_and_heals_by_itself(directory: Path) -> None:
    many = [record(row, path="/logs/" + "x" * 500) for row in range(1, 1000)]
    with opened(directory) as (registry, _):
        registry.save([record(1)])
        with no_file_larger_than(100_000), pytest.raises(RegistryError, match="could not be"):
            registry.save(many)
        # All or nothing.
        assert list(registry.load()) == [record(1)]
        registry.save(many)
        assert list(registry.load()) == many
    assert loaded(directory) == many


def test_a_registry_that_cannot_be_begun_on_a_full_disk_is_not_put_aside(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([record()])
    shutil.copytree(directory, directory.with_name("copy"))
    (directory / "registry.db").unlink()
    with no_file_larger_than(1000), pytest.raises(RegistryError, match="cannot be opened"):
        Registry.open(directory)
    assert not list(directory.glob("*.damaged*"))
    # Whatever it left there, the next start makes a registry of it.
    assert loaded(directory) == []
    with no_file_larger_than(1000), contextlib.suppress(RegistryError):
        Registry.open(directory.with_name("copy"))[0].close()
    assert loaded(directory.with_name("copy")) == [record()]


def test_the_size_stays_bounded_over_a_hundred_thousand_rotations(directory: Path) -> None:
    registry, _ = Registry.open(directory)
    forgotten: list[RowId] = []
    for _ in range(1_000):
        rows = [registry.new_row() for _ in range(100)]
        registry.save([record(row, offset=row) for row in rows], forgotten)
        forgotten = rows
    assert len(list(registry.load())) == 100
    size = sum(path.stat().st_size for path in directory.iterdir())
    registry.close()
    assert size < 8 * 1024 * 1024
