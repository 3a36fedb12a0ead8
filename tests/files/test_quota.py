"""Which removed files are given up, what is recorded of it, and what is not lost at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shipper.files.ack import Span
from shipper.files.faults import FileErrors
from shipper.files.identity import identity_of, mark_of
from shipper.files.lines import Block
from shipper.files.losses import LossReason
from shipper.files.retention import DIRECTORY
from shipper.files.tail import Tail
from shipper.files.tracked_input import TrackedInput
from shipper.files.tracker import FileTracker
from shipper.metric_table import LOSS_REASONS
from shipper.metrics import Metrics
from tests.files.test_compressed import World

LINE = b"0123456789abcde\n"
#: What a small file takes of the disk.
BLOCK = 4096


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.max_kept_bytes = BLOCK
    world.start()
    yield world
    world.directories.close_all()
    world.catalog.close()


def write(world: World, name: str, lines: int, *, age: float = 0.0) -> Path:
    """A log whose lines no other has, last written so many seconds ago."""
    path = world.write(name, name.encode() + b"\n" + (lines - 1) * LINE)
    os.utime(path, (world.clock.now() - age, world.clock.now() - age))
    return path


def links(world: World) -> int:
    place = world.directory / DIRECTORY
    return len(os.listdir(place)) if place.exists() else 0


async def obey(world: World) -> None:
    await world.tracker.scan(world.source)
    await world.tracker.obey_quota()
    await world.tracker.scan(world.source)
    # What is closed is released after the commit that covers it.
    world.commit()


async def read_some(world: World, tail: Tail) -> Span:
    """Read the file as far as a block goes, without an answer."""
    await world.source.place(tail)
    block = await tail.read(final=False)
    assert isinstance(block, Block)
    return tail.acks.open(block.end, block.mark, 0.0)


def test_the_oldest_with_nothing_in_flight_go_first_and_those_in_flight_after_their_answers(
    world: World,
) -> None:
    async def story() -> None:
        paths = [
            write(world, "old.log", 600, age=30),
            write(world, "middle.log", 100, age=20),
            write(world, "new.log", 100, age=10),
        ]
        await world.tracker.scan(world.source)
        tails = {os.path.basename(tail.path): tail for tail in world.catalog.tails}
        old = tails["old.log"]
        span = await read_some(world, old)
        assert 0 < span.end < old.size
        for path in paths:
            path.unlink()
        await obey(world)
        assert [os.path.basename(loss.path) for loss in world.losses] == ["middle.log", "new.log"]
        assert [(loss.lines, loss.reason) for loss in world.losses] == [
            (100, LossReason.RETENTION)
        ] * 2
        # In flight: nothing more is read, and its link stays, however long that takes.
        assert old.held
        assert links(world) == 1
        for _ in range(3):
            await obey(world)
        assert (links(world), len(world.losses)) == (1, 2)
        span.finish()
        await obey(world)
        loss = world.losses[2]
        assert (loss.start, loss.end) == (span.end, old.size)
        read = (span.end - len(b"old.log\n")) // len(LINE) + 1
        assert (loss.lines, loss.bytes) == (600 - read, old.size - span.end)
        assert links(world) == 0
        assert world.tracker.quota.kept == []

    asyncio.run(story())


def test_what_was_stopped_is_read_on_when_there_is_room_again(world: World) -> None:
    async def story() -> None:
        paths = [write(world, "a.log", 600, age=30), write(world, "b.log", 300, age=20)]
        await world.tracker.scan(world.source)
        tails = {os.path.basename(tail.path): tail for tail in world.catalog.tails}
        a, b = tails["a.log"], tails["b.log"]
        first, other = await read_some(world, a), await read_some(world, b)
        for path in paths:
            path.unlink()
        await obey(world)
        assert (a.held, b.held, world.losses) == (True, True, [])
        world.tracker.quota.max_bytes = 2 * a.allocated
        first.finish()
        other.finish()
        await obey(world)
        assert (a.held, world.losses) == (False, [])
        await world.settle()
        await obey(world)
        assert len(world.lines) > 0
        assert (world.losses, links(world)) == ([], 0)

    asyncio.run(story())


def test_nothing_is_released_while_the_registry_cannot_be_written(world: World) -> None:
    async def story() -> None:
        for number in range(4):
            write(world, f"{number}.log", 300, age=10 - number)
        await world.tracker.scan(world.source)
        world.tracker.quota.max_bytes = world.catalog.tails[0].allocated
        for number in range(4):
            (world.directory / f"{number}.log").unlink()
        world.full = True
        for _ in range(3):
            await obey(world)
            assert links(world) == 4
            assert world.tracker.quota.trouble is not None
            assert "retention.max_bytes" in world.tracker.quota.trouble
        assert world.said("error") == []
        world.full = False
        await obey(world)
        await obey(world)
        assert world.tracker.quota.trouble is None
        assert [(os.path.basename(each.path), each.lines) for each in world.losses] == [
            (f"{number}.log", 300) for number in range(3)
        ]
        assert links(world) == 1
        assert len(world.said("error")) == 3

    asyncio.run(story())


@pytest.mark.parametrize("recorded", [False, True])
def test_a_kill_before_or_after_the_commit_agrees_with_what_is_recorded(
    world: World, *, recorded: bool
) -> None:
    """The skipped range is recorded in the same commit that skips it."""

    async def story() -> None:
        path = write(world, "a.log", 300)
        await world.look()
        world.commit()
        with path.open("ab") as file:
            file.write(20 * LINE)
        await world.tracker.scan(world.source)
        path.unlink()
        world.max_kept_bytes = 0
        world.tracker.quota.max_bytes = 0
        world.full = not recorded
        await world.tracker.scan(world.source)
        link = os.listdir(world.directory / DIRECTORY)
        await world.tracker.obey_quota()
        assert os.listdir(world.directory / DIRECTORY) == link, "it goes with the next scan"
        # Killed here.
        world.directories.close_all()
        world.catalog.close()
        world.full = False
        world.max_kept_bytes = 2**30
        world.start()
        again = await world.settle()
        assert len(again) == (0 if recorded else 20)
        assert sum(loss.lines or 0 for loss in world.losses) == (20 if recorded else 0)

    asyncio.run(story())


@pytest.mark.parametrize("whole", [True, False])
def test_a_gzip_that_is_there_by_name_makes_no_loss_if_it_has_all(
    world: World, *, whole: bool
) -> None:
    async def story() -> None:
        path = write(world, "a.log", 600)
        content = path.read_bytes()
        await world.tracker.scan(world.source)
        [tail] = world.catalog.tails
        span = await read_some(world, tail)
        span.finish()
        world.write("a.log.gz", content if whole else content[:-1])
        path.unlink()
        world.tracker.quota.max_bytes = 0
        await obey(world)
        world.commit()
        missing = (len(content) - span.end) // len(LINE)
        assert [loss.lines for loss in world.losses] == ([] if whole else [missing])
        found = await world.settle()
        if whole:
            assert found == content[span.end :].splitlines()

    asyncio.run(story())


@pytest.mark.parametrize("second_is_ahead", [False, True])
def test_a_file_of_two_inputs_counts_once(tmp_path: Path, *, second_is_ahead: bool) -> None:
    """What one of them has shipped is not lost."""

    async def story() -> None:
        first, second = World(tmp_path), World(tmp_path)
        other = replace(second.source, input_id="second", retention=None)

        async def commit(source: TrackedInput) -> None:
            (second if source is other else first).commit()
            tracker.committed(source)

        tracker = FileTracker(
            [first.source, other],
            filesystem=first.files,
            clock=first.clock,
            faults=FileErrors(first.metrics, first.log),
            metrics=first.metrics,
            log=first.log,
            max_kept_bytes=2**30,
            commit=commit,
        )
        path = write(first, "a.log", 300)
        for source in (first.source, other):
            await tracker.scan(source)
        shipped = 0
        [tail], [same] = first.catalog.tails, second.catalog.tails
        if second_is_ahead:
            span = await read_some(second, same)
            span.finish()
            shipped = 1 + (span.end - len(b"a.log\n")) // len(LINE)
        path.unlink()
        for source in (first.source, other):
            await tracker.scan(source)
        assert len(tracker.quota.kept) == 1
        # Twice of it would not fit.
        tracker.quota.max_bytes = tail.allocated
        await tracker.obey_quota()
        assert (first.losses, second.losses) == ([], [])
        tracker.quota.max_bytes = 0
        await tracker.obey_quota()
        losses = first.losses + second.losses
        assert [loss.lines for loss in losses] == [300 - shipped]
        assert (shipped > 0) == second_is_ahead
        for source in (first.source, other):
            await tracker.scan(source)
            await commit(source)
        assert tracker.quota.kept == []
        assert links(first) == 0
        for each in (first, second):
            each.directories.close_all()
            each.catalog.close()

    asyncio.run(story())


def test_nuls_are_no_loss(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log", b"one\n" + bytes(100) + b"two\n")
        await world.tracker.scan(world.source)
        path.unlink()
        world.tracker.quota.max_bytes = 0
        await obey(world)
        [loss] = world.losses
        assert (loss.bytes, loss.lines, loss.start, loss.end) == (8, 2, 0, 108)

    asyncio.run(story())


def test_a_gzip_that_was_deleted_is_counted_to_the_line(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", 5000 * LINE)
        await world.tracker.scan(world.source)
        path.unlink()
        world.tracker.quota.max_bytes = 0
        await obey(world)
        [loss] = world.losses
        assert (loss.bytes, loss.lines) == (5000 * len(LINE), 5000)
        assert links(world) == 0

    asyncio.run(story())


def test_every_reason_is_counted_from_the_start() -> None:
    metrics = Metrics()
    assert {reason.value for reason in LossReason} == set(LOSS_REASONS)
    for reason in LOSS_REASONS:
        assert metrics.value("shipper_lost_bytes_total", reason) == 0
        assert f'shipper_lost_lines_total{{reason="{reason}"}} 0.0' in metrics.exposition().decode()


@pytest.mark.parametrize("rest", [b"", bytes(9000)], ids=["appends", "allocated in advance"])
def test_half_a_line_that_somebody_may_finish_is_not_given_up(world: World, rest: bytes) -> None:
    async def story() -> None:
        path = world.directory / "a.log"
        whole = b"a.log\n" + 300 * LINE
        with path.open("wb", buffering=0) as writer:
            writer.write(whole + b"half" + rest)
            await world.tracker.scan(world.source)
            path.unlink()
            for _ in range(3):
                await obey(world)
            [loss] = world.losses
            assert (loss.end, loss.lines) == (len(whole), 301)
            assert links(world) == 1
            writer.seek(len(whole + b"half"))
            writer.write(b" a line\n")
            world.tracker.quota.max_bytes = 2**30
            await obey(world)
            assert await world.look() == [b"half a line"]
        await world.settle()
        await obey(world)
        assert len(world.losses) == 1
        assert links(world) == 0

    asyncio.run(story())


def test_a_file_is_not_given_up_that_was_read_while_another_one_was(world: World) -> None:
    async def story() -> None:
        paths = [write(world, name, 300, age=30) for name in ("a.log", "b.log")]
        world.tracker.quota.max_bytes = 0
        await world.tracker.scan(world.source)
        a, b = world.catalog.tails
        for path in paths:
            path.unlink()
        await world.tracker.scan(world.source)
        spans: list[Span] = []
        commit = world.commit

        def read_meanwhile() -> None:
            world.commit = commit  # type: ignore[method-assign]
            other = a if b.unread == 0 else b
            spans.append(other.acks.open(other.size, mark_of(b""), 0.0))
            commit()

        for tail in (a, b):
            await world.source.place(tail)
        world.commit = read_meanwhile  # type: ignore[method-assign]
        await world.tracker.obey_quota()
        assert len(world.losses) == 1, "the other one has lines in flight"
        assert all(not tail.acks.all_acknowledged or not tail.unread for tail in (a, b))
        spans[0].finish()
        await obey(world)
        assert len(world.losses) == 1

    asyncio.run(story())


def test_another_content_in_a_removed_file_is_a_file_of_its_own(world: World) -> None:
    async def story() -> None:
        world.tracker.quota.max_bytes = 0
        path = write(world, "a.log", 300)
        await world.look()
        world.lines.clear()
        with path.open("r+b", buffering=0) as writer:
            writer.truncate(0)
            writer.write(b"new\n" + 400 * LINE)
            path.unlink()
            for _ in range(4):
                await obey(world)
                await world.source.catalog.place(world.catalog.tails[0])
        [loss] = world.losses
        assert (loss.identity, loss.start, loss.lines) == (identity_of(b"new\n"), 0, 401)

    asyncio.run(story())
