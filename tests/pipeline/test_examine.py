"""Which content a file has is known as soon as it is seen, whether or not there is room to read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from shipper.files.losses import Loss, LossReason
from shipper.files.registry import FileRecord
from tests.pipeline.test_harvest import World, run
from tests.support.clock import settle

BUDGET = 2**20


class Stopped(World):
    """A harvest that has no room to read anything more."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, budget=BUDGET)
        self.budget.hold(BUDGET)
        self._instants = iter(range(1, 1000))

    def write(self, data: bytes, *, how: str = "ab", at: Path | None = None) -> None:
        path = at or self.log
        with path.open(how) as file:
            file.write(data)
        self.stamp(path)

    def stamp(self, path: Path) -> None:
        """No two versions within one tick of the clock."""
        os.utime(path, ns=(0, next(self._instants) * 1_000_000))

    async def tell(self) -> None:
        self.wake_up.wake([str(self.log)])
        await settle()

    def rows(self) -> list[FileRecord]:
        changes = self.catalog.records.changes()
        self.catalog.records.failed(changes)
        return changes.records

    def losses(self) -> list[tuple[int, int]]:
        return [(loss.start, loss.end) for loss in self._losses()]

    def _losses(self) -> list[Loss]:
        changes = self.catalog.records.changes()
        self.catalog.records.failed(changes)
        assert all(loss.reason is LossReason.REWRITTEN for loss in changes.losses)
        assert all(loss.lines is None for loss in changes.losses)
        assert all(loss.path == str(self.log) and loss.identity for loss in changes.losses)
        return changes.losses


@pytest.fixture
def world(tmp_path: Path) -> Stopped:
    return Stopped(tmp_path)


@pytest.mark.parametrize("how", ["scan", "told"])
def test_a_file_is_remembered_with_how_far_it_was_seen_before_anything_is_read(
    world: Stopped, how: str
) -> None:
    async def story() -> None:
        world.write(world.lines(2))
        if how == "scan":
            await world.scan()
        else:
            world.wake_up.wake(added=[str(world.log)])
            await settle()
        [row] = world.rows()
        assert (row.path, row.offset, row.seen) == (str(world.log), 0, len(world.lines(2)))
        assert await world.documents() == []

    run(world, story)


@pytest.mark.parametrize("size", ["cut to nothing", "shorter", "as long", "longer"])
@pytest.mark.parametrize("told", [False, True])
def test_what_is_written_over_unread_is_lost_and_each_content_is_known(
    world: Stopped, size: str, told: bool
) -> None:
    """Whatever was there between two looks was seen."""
    more = {"shorter": -5, "longer": 5}.get(size, 0)
    contents = [world.lines(20 + more * n, first=100 * n) for n in range(3)]

    async def story() -> None:
        world.write(b"")
        await world.scan()
        for content in contents:
            if size == "cut to nothing":
                world.write(b"", how="wb")
                await (world.tell() if told else world.scan())
            world.write(content, how="wb" if size == "cut to nothing" else "r+b")
            os.truncate(world.log, len(content))
            world.stamp(world.log)
            await (world.tell() if told else world.scan())
        await world.scan()
        await world.scan()
        assert world.losses() == [(0, len(content)) for content in contents[:-1]]
        world.budget.release(BUDGET)
        await settle()
        assert len(await world.numbers()) == len(contents[-1].splitlines())

    run(world, story)


def test_what_is_cut_off_at_the_end_is_lost_and_the_rest_is_read(world: Stopped) -> None:
    """From where it is cut is not known: it may be written on since."""

    async def story() -> None:
        line = len(world.lines(1))
        world.write(world.lines(10))
        await world.scan()
        os.truncate(world.log, 4 * line)
        world.write(world.lines(2, first=50))
        await world.scan()
        await world.scan()
        assert world.losses() == [(0, 10 * line)]
        # Written on past where it ended, between two looks.
        os.truncate(world.log, 5 * line)
        world.write(world.lines(30, first=100))
        await world.scan()
        await world.scan()
        assert world.losses()[1:] == [(0, 6 * line)]
        world.budget.release(BUDGET)
        await settle()
        assert await world.numbers() == [0, 1, 2, 3, 50, *range(100, 130)]

    run(world, story)


def test_what_a_copy_holds_is_not_lost(world: Stopped) -> None:
    async def story() -> None:
        world.write(world.lines(10))
        await world.scan()
        shutil.copyfile(world.log, world.directory / "copy.log")
        world.write(world.lines(3, first=100), how="wb")
        # Noticed before the copy is found.
        await world.tell()
        await world.scan()
        await world.scan()
        assert world.losses() == []
        world.budget.release(BUDGET)
        await settle()
        assert sorted(await world.numbers()) == [*range(10), 100, 101, 102]

    run(world, story)


def test_new_content_with_the_same_first_line_is_no_copy(world: Stopped) -> None:
    async def story() -> None:
        world.write(world.lines(10))
        await world.scan()
        world.write(world.lines(1) + world.lines(30, first=100), how="wb")
        await world.scan()
        await world.scan()
        assert world.losses() == [(0, len(world.lines(10)))]

    run(world, story)


def test_what_took_its_place_is_no_copy_when_it_is_finished(tmp_path: Path) -> None:
    """Although it is longer, and lines of the old one are in flight until then."""
    world = World(tmp_path)

    async def story() -> None:
        world.append(world.lines(5))
        await world.scan()
        await world.documents()
        [old] = world.catalog.tails
        world.budget.hold(2**30)
        world.append(world.lines(5, first=5))
        os.utime(world.log, ns=(0, 1_000_000))
        await world.scan()
        assert old.unread_lost == len(world.lines(5))
        world.log.write_bytes(world.lines(1) + world.lines(30, first=100))
        os.utime(world.log, ns=(0, 2_000_000))
        await world.scan()
        world.budget.release(2**30)
        await settle()
        await world.documents()
        # The new one is finished before the old one is.
        world.log.unlink()
        for span in world.batches[1].spans:
            span.finish()
        for _ in range(2):
            await world.scan()
            await world.clock.advance(60)
        for span in world.batches[0].spans:
            span.finish()
        await world.scan()
        changes = world.catalog.records.changes()
        assert [(loss.start, loss.end) for loss in changes.losses] == [
            (len(world.lines(5)), len(world.lines(10)))
        ]

    run(world, story)


@pytest.mark.parametrize("hole", [False, True])
def test_nuls_at_the_end_are_neither_seen_nor_lost(world: Stopped, hole: bool) -> None:
    async def story() -> None:
        allocated = 1_000_000
        world.write(b"" if hole else bytes(allocated))
        os.truncate(world.log, allocated)
        await world.scan()
        assert world.rows() == []
        for number in range(3):
            with world.log.open("r+b") as file:
                file.seek(number * len(world.lines(5)))
                file.write(world.lines(5, first=5 * number))
            world.stamp(world.log)
            await world.scan()
            [row] = world.rows()
            assert row.seen == (number + 1) * len(world.lines(5))
        # What was allocated in advance is given back.
        os.truncate(world.log, row.seen)
        world.stamp(world.log)
        await world.scan()
        assert world.losses() == []
        world.budget.release(BUDGET)
        await settle()
        assert await world.numbers() == [*range(15)]

    run(world, story)


@pytest.mark.parametrize("content", [b"", bytes(5000), b"half a line"])
def test_where_no_line_was_none_is_lost(world: Stopped, content: bytes) -> None:
    async def story() -> None:
        world.write(content)
        await world.scan()
        world.write(world.lines(1), how="wb")
        await world.scan()
        await world.scan()
        assert world.losses() == []

    run(world, story)


def test_growth_that_a_scan_finds_is_remembered(world: Stopped) -> None:
    """Where the kernel tells of nothing."""

    async def story() -> None:
        world.write(world.lines(1))
        await world.scan()
        world.catalog.records.committed(world.catalog.records.changes())
        world.write(world.lines(5, first=1))
        await world.scan()
        world.catalog.records.committed(world.catalog.records.changes())
        world.write(world.lines(5, first=6))
        await world.scan()
        await world.clock.advance(5)
        await world.scan()
        [row] = world.rows()
        assert row.seen == len(world.lines(11))

    run(world, story)
