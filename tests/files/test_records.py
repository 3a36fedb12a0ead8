"""What is remembered, what of it is committed, and when it is forgotten."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipper.files.ack import AckTracker
from shipper.files.changes import Changes
from shipper.files.content import PlainContent
from shipper.files.departed import MOST_BEGUN
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.identity import NO_MARK, Identity, Mark
from shipper.files.lines import ReadBuffer
from shipper.files.losses import Loss, LossReason
from shipper.files.records import FileRecords
from shipper.files.registry import FileRecord, Registry, RowId
from shipper.files.seen import Seen
from shipper.files.tail import Tail
from tests.files.test_registry import record
from tests.support.clock import ManualClock

FORGET_AFTER = 3600.0
YEARS = 10 * 365 * 86_400.0


class World:
    """Records of one input, with a registry that is a dictionary."""

    def __init__(self, *remembered: FileRecord) -> None:
        self.clock = ManualClock()
        self.calls = 0
        self.saved = {each.row: each for each in remembered}
        self.records = FileRecords(
            "tetragon",
            remembered,
            clock=self.clock,
            on_change=self._count,
            forget_after=FORGET_AFTER,
        )

    def _count(self) -> None:
        self.calls += 1

    def forget(self, is_there: Callable[[FileRecord], bool] = lambda _: False) -> None:
        self.records.forget(is_there)

    def commit(self) -> Changes:
        changes = self.records.changes()
        self.saved.update({each.row: each for each in changes.records})
        for row in changes.forgotten:
            self.saved.pop(row, None)
        self.records.committed(changes)
        return changes

    def tail(self, identity: Identity, offset: int = 0, size: int = 0) -> Tail:
        content = PlainContent(FileSystem(), 3, 1)
        tail = Tail(content, ReadBuffer(1024), "/l/new.log", Inode(1, 2**64 - 1))
        tail.identity, tail.size = identity, size
        tail.acks = AckTracker(offset, NO_MARK, on_advance=lambda: None)
        return tail

    def remembered_after(self, seconds: float) -> list[RowId]:
        self.clock.pass_time(seconds)
        self.forget()
        self.commit()
        return sorted(self.saved)


def removed(row: int, at: float) -> FileRecord:
    return replace(record(row), removed=at)


NOW = ManualClock().now()
LOSS = Loss("tetragon", "/l/a", Identity("a" * 16), 5, 9, 4, 1, LossReason.REWRITTEN, NOW)


# Forgetting ---------------------------------------------------------------------------------------


def test_a_removed_file_is_forgotten_when_its_time_is_over() -> None:
    world = World(removed(1, NOW - 3000), removed(2, NOW - 100), removed(3, NOW - YEARS))
    assert world.remembered_after(0) == [1, 2]
    assert world.remembered_after(600) == [1, 2]
    assert world.remembered_after(1) == [2]
    assert world.remembered_after(2900) == []


def test_a_file_that_was_there_begins_its_time_when_it_is_missed() -> None:
    world = World(record(1))
    world.clock.pass_time(50)
    world.forget()
    (changed,) = world.commit().records
    assert changed == removed(1, NOW + 50)
    assert world.remembered_after(FORGET_AFTER) == [1]
    assert world.remembered_after(1) == []


def test_the_time_of_very_many_begins_for_some_at_once() -> None:
    world = World(*(record(row) for row in range(1, 2 * MOST_BEGUN + 2)), removed(9999, NOW - 3599))
    for begun in (MOST_BEGUN, MOST_BEGUN, 1, 0):
        world.clock.pass_time(2)
        world.forget()
        assert len(world.commit().records) == begun
    assert len(world.saved) == 2 * MOST_BEGUN + 1
    assert world.remembered_after(FORGET_AFTER) == []


@pytest.mark.parametrize("ahead", [1.0, YEARS, 1e300])
def test_a_time_in_the_future_is_now_and_holds_up_nothing(ahead: float) -> None:
    world = World(removed(1, NOW + ahead), removed(2, NOW - 3599), record(3))
    assert world.remembered_after(2) == [1, 3]
    assert world.remembered_after(FORGET_AFTER - 1) == [3]
    assert world.remembered_after(2) == []


def test_what_would_be_read_again_is_not_forgotten_and_holds_up_nothing() -> None:
    world = World(removed(1, NOW), removed(2, NOW))
    world.clock.pass_time(FORGET_AFTER + 1)
    world.forget(lambda found: found.row == 1)
    (kept,) = world.commit().records
    assert kept == removed(1, NOW + FORGET_AFTER + 1)
    assert world.remembered_after(FORGET_AFTER) == [1]
    assert world.remembered_after(1) == []


def test_a_gzip_of_a_file_that_is_done_is_remembered_by_its_name() -> None:
    world = World(record(1), record(2))
    path = record(1).path
    world.records.found_again(record(1).identity, path + ".gz")
    assert world.commit().is_empty
    world.records.found_again(record(1).identity, "/l/1.gz")
    assert world.commit().records == [replace(record(1), path="/l/1.gz")]


@pytest.mark.parametrize("by", [YEARS, -YEARS])
def test_a_clock_that_is_set_while_shipper_runs_changes_nothing(by: float) -> None:
    world = World(record(1), removed(2, NOW - 1800))
    world.forget()
    world.clock.set_wall_clock(by)
    assert world.remembered_after(1801) == [1]
    tail = world.tail(Identity("f" * 16))
    world.records.hold(RowId(9), tail)
    world.records.close_finished(tail)
    world.clock.set_wall_clock(-by)
    assert world.remembered_after(1800) == [9]
    assert world.remembered_after(1801) == []


def test_a_file_that_is_held_is_not_forgotten_and_its_time_begins_when_it_is_closed() -> None:
    world = World(removed(1, NOW - 3599))
    tail = world.tail(record(1).identity)
    world.records.hold(RowId(1), tail)
    assert world.remembered_after(YEARS) == [1]
    world.records.close_finished(tail)
    assert world.remembered_after(FORGET_AFTER) == [1]
    assert world.remembered_after(1) == []
    assert world.records.like(record(1).identity) == []


# What a tail says ---------------------------------------------------------------------------------


def test_how_far_a_file_was_seen_and_when_it_was_born_are_remembered() -> None:
    world = World()
    tail = world.tail(Identity("f" * 16), offset=10)
    tail.born = 5
    tail._end.seen = Seen(400)
    world.records.hold(RowId(1), tail)
    (found,) = world.commit().records
    assert (found.offset, found.seen, found.born) == (10, 400, 5)
    assert found.inode == Inode(1, 2**64 - 1)


# Committing ---------------------------------------------------------------------------------------


def test_a_row_is_committed_when_the_registry_has_what_is_known_now() -> None:
    world = World(record(1), record(2))
    records, row = world.records, RowId(1)
    assert records.is_committed(row)
    records.changed(row)
    assert not records.is_committed(row)
    changes = records.changes()
    assert not records.is_committed(row)
    assert records.is_committed(RowId(2))
    records.committed(changes)
    assert records.is_committed(row)


def test_a_row_that_changes_during_a_commit_is_not_committed_by_it() -> None:
    world = World(record(1))
    records, row = world.records, RowId(1)
    records.changed(row)
    first = records.changes()
    records.changed(row)
    records.committed(first)
    assert not records.is_committed(row)
    second = records.changes()
    # Late, and of what was before.
    records.committed(first)
    assert not records.is_committed(row)
    records.committed(second)
    assert records.is_committed(row)


def test_a_commit_that_fails_leaves_everything_for_the_next_one() -> None:
    world = World(record(1), removed(2, NOW - YEARS))
    records = world.records
    world.forget()
    records.changed(RowId(1))
    records.add_loss(LOSS)
    failed = records.changes()
    assert (len(failed.records), failed.forgotten, failed.losses) == (1, [2], [LOSS])
    assert records.changes().is_empty
    later = replace(LOSS, start=100, end=101, bytes=1)
    records.add_loss(later)
    records.failed(failed)
    assert not records.is_committed(RowId(1))
    assert not records.is_committed(RowId(2))
    again = world.commit()
    assert (again.records, again.forgotten) == (failed.records, failed.forgotten)
    assert again.losses == [LOSS, later]
    assert records.is_committed(RowId(1))
    assert records.is_committed(RowId(2))


def test_losses_are_told_once_and_those_that_we_decide_on_durably() -> None:
    world = World()
    world.records.add_loss(LOSS)
    assert world.calls == 1
    changes = world.commit()
    assert (changes.losses, changes.durable, changes.is_empty) == ([LOSS], False, False)
    assert world.commit().is_empty
    world.records.add_loss(replace(LOSS, reason=LossReason.RETENTION))
    assert world.commit().durable


def test_losses_that_wait_for_the_registry_stay_bounded_and_add_up() -> None:
    world = World()
    for number in range(5000):
        world.records.add_loss(replace(LOSS, identity=Identity(f"{number:016x}")))
    found = world.commit().losses
    assert len(found) <= 1000
    assert sum(each.bytes for each in found) == 20_000
    assert sum(each.merged for each in found) == 5000


# Finding ------------------------------------------------------------------------------------------


def test_files_that_begin_alike_are_all_found() -> None:
    alike = [replace(record(row), identity=Identity("a" * 16)) for row in (1, 2, 3)]
    world = World(*alike, record(4))
    assert world.records.like(Identity("a" * 16)) == alike
    assert world.records.like(record(4).identity) == [record(4)]
    assert world.records.like(Identity("b" * 16)) == []
    assert list(world.records.paths) == [record().path] * 4


def test_the_path_of_a_file_is_known_whether_a_tail_holds_it_or_not() -> None:
    world = World(replace(record(1), path="/l/na\udcefve \udcff.log"), record(2))
    tail = world.tail(record(2).identity)
    world.records.hold(RowId(2), tail)
    for row in (1, 2):
        assert world.records.path_of(RowId(row)) == world.records.record(RowId(row)).path
    assert world.records.path_of(RowId(2)) == tail.path


def test_an_inode_of_64_bits_is_found_and_taken() -> None:
    inode = Inode(2**64 - 1, 2**63)
    world = World(replace(record(1, path="/l/\udcff"), inode=inode))
    assert world.records.path_at(inode) == "/l/\udcff"
    taken = world.records.take_inode(inode, Identity("b" * 16))
    assert taken is not None
    assert taken.inode == inode
    assert world.commit().records == [replace(taken, inode=None)]
    assert world.records.take_inode(inode, Identity("b" * 16)) is None


# Memory -------------------------------------------------------------------------------------------


def test_twenty_thousand_files_take_less_than_12_mb(tmp_path: Path) -> None:
    registry, _ = Registry.open(tmp_path)
    registry.save(
        FileRecord(
            row=registry.new_row(),
            input_id="tetragon",
            path=f"/var/log/tetragon/tetragon-2026-11-27T04-00-00.{number:06}.log",
            identity=Identity(f"{number * 2**40 + 1:016x}"),
            inode=Inode(64769, 2**40 + number),
            born=int(NOW) * 10**9 + number,
            offset=10_000_000 + number,
            seen=10_000_500 + number,
            mark=Mark(256, f"{number * 2**41 + 1:016x}"),
            updated=NOW + number,
            removed=NOW + number / 7,
        )
        for number in range(20_000)
    )
    tracemalloc.start()
    try:
        records = FileRecords(
            "tetragon",
            registry.load(),
            clock=ManualClock(),
            on_change=lambda: None,
            forget_after=FORGET_AFTER,
        )
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        registry.close()
    assert len(list(records.paths)) == 20_000
    assert used < 12_000_000, used
