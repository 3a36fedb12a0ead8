"""Registries of other versions: an upgrade keeps what is remembered, and so does the way back."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipper.errors import RegistryError
from shipper.files.downgrade import downgrade
from shipper.files.facts import Inode
from shipper.files.identity import NO_MARK, Identity, Mark
from shipper.files.losses import Loss, LossReason
from shipper.files.registry import FileRecord, Registry, RowId, read_losses, read_records
from tests.files.test_registry import loaded, opened, record
from tests.support.disk import no_file_larger_than

# As the first shippers made it; not a byte of it may change.
VERSION_1 = """
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
READ_1 = (
    "SELECT row, input, path, identity, device, inode, offset, mark_length, mark_digest, updated, "
    "gone FROM files ORDER BY row"
)
AGENT_ID = "0d4b2f6a-7d1c-4f6e-9a43-6f0f3c1e2a5b"
DIGEST = "0123456789abcdef"
ROWS = [
    # Followed, and not acknowledged to its end.
    (3, "tetragon", b"/l/tetragon.log", "a" * 16, 64769, 17, 100, 10, DIGEST, 1.7e9, None),
    # Closed, so its inode is nobody's.
    (4, "tetragon", b"/l/old.log", "b" * 16, None, None, 2**40, 256, DIGEST, 1.7e9, 1.7e9 + 0.5),
    # Nothing of it is acknowledged.
    (5, "other", b"/l/na\xefve \xff.log", "c" * 16, 64769, 18, 0, 0, "", 1.7e9, None),
]


def make_version_1(directory: Path, rows: Sequence[tuple[object, ...]]) -> sqlite3.Connection:
    """A registry as 48cd20e leaves it, still open."""
    directory.mkdir(exist_ok=True)
    connection = sqlite3.connect(directory / "registry.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(f"BEGIN; {VERSION_1} PRAGMA user_version = 1; COMMIT;")
    connection.executemany(
        "INSERT INTO files VALUES (?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?)", rows
    )
    connection.execute("INSERT INTO properties VALUES ('agent.id', ?)", (AGENT_ID,))
    connection.execute("INSERT INTO properties VALUES ('origin', 'Filebeat')")
    return connection


def read_version_1(directory: Path) -> list[tuple[object, ...]]:
    """What a shipper of then reads; it takes a later version for damage."""
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        connection.text_factory = bytes
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA quick_check(1)").fetchone() == (b"ok",)
        return [
            tuple(
                value.decode() if isinstance(value, bytes) and place != 2 else value
                for place, value in enumerate(row)
            )
            for row in connection.execute(READ_1)
        ]


UPGRADED = [
    FileRecord(
        row=RowId(3),
        input_id="tetragon",
        path="/l/tetragon.log",
        identity=Identity("a" * 16),
        inode=Inode(64769, 17),
        born=None,
        offset=100,
        seen=100,
        mark=Mark(10, DIGEST),
        updated=1.7e9,
        removed=None,
    ),
    FileRecord(
        row=RowId(4),
        input_id="tetragon",
        path="/l/old.log",
        identity=Identity("b" * 16),
        inode=None,
        born=None,
        offset=2**40,
        seen=2**40,
        mark=Mark(256, DIGEST),
        updated=1.7e9,
        removed=1.7e9 + 0.5,
    ),
    FileRecord(
        row=RowId(5),
        input_id="other",
        path=os.fsdecode(b"/l/na\xefve \xff.log"),
        identity=Identity("c" * 16),
        inode=Inode(64769, 18),
        born=None,
        offset=0,
        seen=0,
        mark=NO_MARK,
        updated=1.7e9,
        removed=None,
    ),
]


LOSS = Loss("tetragon", "/l/a", Identity("a" * 16), 5, 9, 4, 1, LossReason.RETENTION, 1.7e9)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


class TestAnUpgrade:
    def test_keeps_every_row_the_agent_id_and_where_it_came_from(self, directory: Path) -> None:
        make_version_1(directory, ROWS).close()
        with opened(directory) as (registry, aside):
            assert aside is None
            assert list(registry.load()) == UPGRADED
            assert registry.problems == []
            assert registry.agent_id == AGENT_ID
            assert registry.origin == "Filebeat"
            assert registry.new_row() == 6
            registry.save([record(6)])
        assert loaded(directory) == [*UPGRADED, record(6)]
        assert (directory / "agent.id").read_text() == f"{AGENT_ID}\n"

    def test_from_version_2_keeps_every_row_and_loss(self, directory: Path) -> None:
        rows = [replace(record(1), seen=500, offset=100), replace(record(2), removed=17.0)]
        with opened(directory) as (registry, _):
            registry.save(rows, losses=[LOSS])
        with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
            for column in ("seen_length", "seen_digest"):
                connection.execute(f"ALTER TABLE files DROP COLUMN {column}")
            connection.execute("PRAGMA user_version = 2")
            connection.commit()
        # The commands read it as it is, and a start brings it up to date.
        assert read_records(directory) == rows
        assert [row.loss for row in read_losses(directory)] == [LOSS]
        with opened(directory) as (registry, aside):
            assert aside is None
            assert list(registry.load()) == rows
            assert registry.problems == []
            registry.save([replace(record(3), seen_mark=Mark(3, "0" * 16), seen=700)])
        assert loaded(directory)[2].seen_mark == Mark(3, "0" * 16)
        assert [row.loss for row in read_losses(directory)] == [LOSS]

    def test_after_a_kill_keeps_what_is_in_the_write_ahead_log_only(self, directory: Path) -> None:
        connection = make_version_1(directory, ROWS)
        copy = directory.with_name("copy")
        shutil.copytree(directory, copy)
        connection.close()
        assert (copy / "registry.db-wal").stat().st_size
        assert loaded(copy) == UPGRADED

    def test_without_room_leaves_it_as_it_was_and_the_next_one_does_it(
        self, directory: Path
    ) -> None:
        rows = [(row, *ROWS[0][1:]) for row in range(1, 2000)]
        make_version_1(directory, rows).close()
        with (
            no_file_larger_than((directory / "registry.db").stat().st_size // 2),
            pytest.raises(RegistryError, match=r"cannot be opened: .*\(data_dir "),
        ):
            Registry.open(directory)
        assert not list(directory.glob("*.damaged*"))
        assert len(read_version_1(directory)) == 1999
        assert len(loaded(directory)) == 1999

    def test_is_not_needed_to_show_it(self, directory: Path) -> None:
        make_version_1(directory, ROWS[:2]).close()
        assert read_records(directory) == UPGRADED[:2]
        assert read_losses(directory) == []
        assert len(read_version_1(directory)) == 2

    def test_ignores_what_no_shipper_wrote_and_says_so(self, directory: Path) -> None:
        bad = (9, "tetragon", b"/l/bad", "d" * 16, None, None, -5, 0, "", 1.7e9, None)
        make_version_1(directory, [*ROWS, bad]).close()
        with opened(directory) as (registry, aside):
            assert aside is None
            assert list(registry.load()) == UPGRADED
            (problem,) = registry.problems
            assert "'/l/bad'" in problem
            assert "-5" in problem


class TestTheWayBack:
    def test_is_what_a_shipper_of_then_reads_with_the_same_offsets(self, directory: Path) -> None:
        make_version_1(directory, ROWS).close()
        loaded(directory)
        assert downgrade(directory, ["tetragon"]) == 3
        assert read_version_1(directory) == ROWS
        with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
            found = dict(connection.execute("SELECT name, value FROM properties"))
        assert found == {"agent.id": AGENT_ID, "origin": "Filebeat"}

    def test_and_forth_again_keeps_losses_and_the_agent_id(self, directory: Path) -> None:
        with opened(directory) as (registry, _):
            registry.save(UPGRADED, losses=[LOSS])
            agent_id = registry.agent_id
        downgrade(directory, ["tetragon"])
        assert [stored.loss for stored in read_losses(directory)] == [LOSS]
        with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
            # As the older one goes on.
            connection.execute("UPDATE files SET offset = 150 WHERE row = 3")
            connection.commit()
        with opened(directory) as (registry, aside):
            assert aside is None
            assert [found.offset for found in list(registry.load())] == [150, 2**40, 0]
            assert registry.agent_id == agent_id
        assert [stored.loss for stored in read_losses(directory)] == [LOSS]

    def test_leaves_out_the_inodes_that_a_shipper_of_then_cannot_hold(
        self, directory: Path
    ) -> None:
        large = replace(UPGRADED[0], inode=Inode(64769, 2**63))
        with opened(directory) as (registry, _):
            registry.save([large])
        downgrade(directory, ["tetragon"])
        assert [row[4:7] for row in read_version_1(directory)] == [(None, None, 100)]

    def test_leaves_out_files_that_nobody_could_identify(self, directory: Path) -> None:
        nameless = replace(UPGRADED[0], row=RowId(9), identity=Identity(""), offset=0, seen=7)
        with opened(directory) as (registry, _):
            registry.save([*UPGRADED, nameless])
        assert nameless in read_records(directory)
        downgrade(directory, ["tetragon"])
        assert [row[0] for row in read_version_1(directory)] == [3, 4, 5]

    def test_is_refused_beside_a_daemon_and_where_there_is_no_registry(
        self, directory: Path
    ) -> None:
        with pytest.raises(RegistryError, match="cannot be read"):
            downgrade(directory, ["tetragon"])
        assert not directory.exists()
        with opened(directory) as (registry, _):
            registry.save(UPGRADED)
            with pytest.raises(RegistryError, match="another shipper is running"):
                downgrade(directory, ["tetragon"])
        assert loaded(directory) == UPGRADED

    def test_of_a_damaged_registry_is_refused(self, directory: Path) -> None:
        with opened(directory) as (registry, _):
            registry.save(UPGRADED)
        with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
            connection.execute("DROP TABLE losses")
        with pytest.raises(RegistryError, match="is damaged; it was put aside as"):
            downgrade(directory, ["tetragon"])

    def test_a_second_time_changes_nothing(self, directory: Path) -> None:
        make_version_1(directory, ROWS).close()
        assert downgrade(directory, ["tetragon"]) == downgrade(directory, ["tetragon"]) == 3
        assert read_version_1(directory) == ROWS


# Bytes that are not ours --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("offset", -1),
        ("row", -7),
        ("row", 2**62),
        ("identity", "'x'"),
        ("identity", "CAST(x'ff' AS TEXT)"),
        ("path", "CAST(x'2f0061' AS TEXT)"),
        ("mark_length", 2**40),
        ("mark_length", -1),
        ("inode", "NULL"),
        ("updated", "9e999"),
        ("removed", "-9e999"),
    ],
)
def test_a_row_that_cannot_be_ours_is_named_ignored_and_removed(
    directory: Path, column: str, value: object
) -> None:
    with opened(directory) as (registry, _):
        registry.save([record(1), record(2)])
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        connection.execute(f"UPDATE files SET {column} = {value} WHERE row = 2")
        connection.commit()
    assert read_records(directory) == [record(1)]
    with opened(directory) as (registry, aside):
        assert aside is None
        assert list(registry.load()) == [record(1)]
        (problem,) = registry.problems
        assert "is ignored" in problem
        problem.encode("ascii")
        # What is new does not take its place.
        registry.save([record(registry.new_row(), offset=7)])
    with opened(directory) as (registry, _):
        assert [found.offset for found in list(registry.load())] == [100, 7]
        assert registry.problems == []


@pytest.mark.parametrize("digest", ["abc", "no digest"])
def test_a_mark_that_cannot_be_ours_is_named_and_ends_no_start(
    directory: Path, digest: str
) -> None:
    with opened(directory) as (registry, _):
        registry.save([record(1), replace(record(2), mark=Mark(3, digest))])
    with opened(directory) as (registry, _):
        assert list(registry.load()) == [record(1)]
        (problem,) = registry.problems
        assert digest in problem


def test_each_input_takes_its_rows_and_the_others_stay_in_order(directory: Path) -> None:
    inputs = ["a", "b", "a", "c", "b", "c"]
    records = [
        replace(record(row), input_id=input_id) for row, input_id in enumerate(inputs, start=1)
    ]
    with opened(directory) as (registry, _):
        registry.save(records)
    with opened(directory) as (registry, _):
        remembered = registry.load()
        assert list(remembered) == records
        assert [found.row for found in remembered.take("a")] == [1, 3]
        assert list(remembered.take("a")) == list(remembered.take("none")) == []
        assert [(found.row, found.input_id) for found in remembered] == [
            (2, "b"),
            (4, "c"),
            (5, "b"),
            (6, "c"),
        ]


def test_text_in_a_number_is_damage(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([record()])
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        # Past the checks of a STRICT table, as a tool that knows none does it.
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')')")
        connection.commit()
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        connection.execute("UPDATE files SET offset = 'text'")
        connection.commit()
    assert read_records(directory) == []
    with opened(directory) as (registry, aside):
        assert aside is not None
        assert list(registry.load()) == []
        registry.save([record()])


def test_an_agent_id_in_the_registry_that_is_none_is_replaced(directory: Path) -> None:
    make_version_1(directory, ROWS).close()
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        connection.execute("UPDATE properties SET value = CAST(x'ff00' AS TEXT)")
        connection.commit()
    with opened(directory) as (registry, _):
        assert str(uuid.UUID(registry.agent_id)) == registry.agent_id


# Numbers of 64 bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_inodes_and_devices_are_unsigned_numbers_of_64_bits(directory: Path, number: int) -> None:
    records = [
        replace(record(1), inode=Inode(1, number)),
        replace(record(2), inode=Inode(number, 1)),
    ]
    with opened(directory) as (registry, _):
        registry.save(records)
    assert loaded(directory) == records
    assert read_records(directory) == records


@pytest.mark.parametrize("born", [2**63, -(2**63), 2**80])
def test_a_time_of_birth_that_cannot_be_is_none(directory: Path, born: int) -> None:
    with opened(directory) as (registry, _):
        registry.save([replace(UPGRADED[0], born=born)])
    assert loaded(directory) == UPGRADED[:1]
