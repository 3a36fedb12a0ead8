"""Lines are taken out of their files at once, and encoded together later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded
from shipper.pipeline.taken import ENOUGH
from tests.pipeline.test_harvest import World, run
from tests.support.clock import settle


class Counting(DocumentEncoder):
    """Remembers how many lines it was given each time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lines: list[int] = []

    def encode(self, *args: Any) -> Encoded:
        encoded = super().encode(*args)
        self.lines.append(encoded.lines)
        return encoded


class Bug(Counting):
    """Fails as often as the test says."""

    left = 0

    def encode(self, *args: Any) -> Encoded:
        if Bug.left:
            Bug.left -= 1
            raise RuntimeError("a bug")
        return super().encode(*args)


class Growing(World):
    """A harvest that is told of each write, as inotify tells of it."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, encoder_type=options.pop("encoder_type", Counting), **options)
        self.encoder = self.harvest._inputs[0].encoder
        assert isinstance(self.encoder, Counting)
        self.encoded = self.encoder.lines
        self.next = 0

    async def write(self, count: int = 1, path: Path | None = None) -> None:
        self.append(self.lines(count, self.next), path)
        self.next += count
        self.tell(path)

    def tell(self, path: Path | None = None) -> None:
        self.source.wake_up.grew([str(path or self.log)], self.clock.monotonic())

    async def begin(self) -> None:
        """A first request is sent at once; it is over."""
        await self.write()
        await self.scan()
        await self.clock.advance(2)
        assert len(self.batches) == 1
        self.forget()

    def forget(self) -> None:
        """What was sent so far is over."""
        for batch in self.batches:
            self.budget.release(batch.held)
        self.batches.clear()
        self.encoded.clear()


def numbers(world: World) -> list[int]:
    lines = [line for batch in world.batches for line in batch.body.lines()]
    return [int(line.split(b'\\"n\\":\\"')[1][:6]) for line in lines[1::2]]


def test_lines_are_read_when_they_are_told_of_and_encoded_together_after_linger(
    tmp_path: Path,
) -> None:
    world = Growing(tmp_path)

    async def story() -> None:
        await world.begin()
        (tail,) = world.catalog.tails
        for _ in range(9):
            await world.write(2)
            # There and then: no task had its turn.
            assert tail.offset == world.log.stat().st_size
            await world.clock.advance(0.1)
        assert (world.encoded, world.batches) == ([], [])
        assert world.metrics.value("shipper_lines_read_total", "tetragon") == 19
        assert world.harvest.in_flight_events == 19
        await world.clock.advance(0.1)
        assert world.encoded == [18]
        (batch,) = world.batches
        assert len(batch.spans) == 1
        assert numbers(world) == list(range(1, 19))
        assert (tail.acks.offset, tail.backlog > 0) == (0, True)

    run(world, story)


def test_the_time_of_a_request_begins_when_its_oldest_line_may_have_been_written(
    tmp_path: Path,
) -> None:
    world = Growing(tmp_path)

    async def story() -> None:
        await world.begin()
        world.append(world.lines(1, 1))
        world.source.wake_up.grew([str(world.log)], world.clock.monotonic() - 0.05)
        await world.clock.advance(0.94)
        assert world.batches == []
        await world.clock.advance(0.01)
        assert numbers(world) == [1]

    run(world, story)


@pytest.mark.parametrize("how", ["truncated", "written over", "removed"])
def test_what_was_taken_is_shipped_whatever_becomes_of_the_file(how: str, tmp_path: Path) -> None:
    world = Growing(tmp_path)

    async def story() -> None:
        await world.begin()
        await world.write(3)
        match how:
            case "truncated":
                os.truncate(world.log, 0)
            case "written over":
                world.log.write_bytes(world.lines(500, 100))
            case _:
                world.log.unlink()
        world.tell()
        await settle()
        await world.scan()
        await world.clock.advance(2)
        await world.batcher.flush()
        assert numbers(world)[:3] == [1, 2, 3]
        assert world.metrics.value("shipper_lost_bytes_total") == 0

    run(world, story)


def test_enough_of_many_files_waits_for_nothing(tmp_path: Path) -> None:
    world = Growing(tmp_path)
    others = [tmp_path / f"{number}.log" for number in range(8)]
    count = ENOUGH // 8 // len(world.lines(1)) + 1

    async def story() -> None:
        await world.begin()
        for path in others:
            world.append(b'{"first":"%s"}\n' % path.name.encode(), path)
        await world.scan()
        await world.clock.advance(2)
        world.forget()
        for number, path in enumerate(others):
            assert world.encoded == [], number
            await world.write(count, path)
            assert world.budget.held == (number + 1) * count * len(world.lines(1))
        await settle()
        assert world.encoded == [count] * 8
        # They count compressed, or as they are sent, from now on.
        await world.batcher.flush()
        assert world.budget.held == sum(batch.held for batch in world.batches)

    run(world, story)


def test_nothing_is_taken_without_room_and_all_of_it_when_there_is(tmp_path: Path) -> None:
    world = Growing(tmp_path, budget=2**20)

    async def story() -> None:
        await world.begin()
        (tail,) = world.catalog.tails
        world.budget.hold(2**20)
        before = tail.offset
        await world.write(3)
        await settle()
        assert tail.offset == before
        world.budget.release(2**20)
        await settle()
        await world.clock.advance(2)
        assert numbers(world) == [1, 2, 3]

    run(world, story)


def test_documents_have_the_path_at_which_they_were_read(tmp_path: Path) -> None:
    world = Growing(tmp_path)
    rotated = tmp_path / "a-1.log"

    async def story() -> None:
        await world.begin()
        await world.write()
        world.log.rename(rotated)
        await world.scan()
        await world.write(path=rotated)
        paths = [document["log"]["file"]["path"] for document in await world.documents()]
        assert paths == [str(world.log), str(rotated)]

    run(world, story)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"half a line", 0),
        (b'{"n":"000007"}\nhalf', 1),
        (b'\0\0{"n":"000007"}\n', 1),
        (b"\n\n", 2),
    ],
)
def test_what_is_unusual_is_read_the_careful_way(data: bytes, whole: int, tmp_path: Path) -> None:
    world = Growing(tmp_path)

    async def story() -> None:
        await world.begin()
        world.append(data)
        world.tell()
        await settle()
        assert world.harvest.in_flight_events == 1 + whole
        await world.write()
        await settle()
        await world.clock.advance(2)
        await world.batcher.flush()
        assert world.metrics.value("shipper_lines_read_total") == 1 + whole + 1

    run(world, story)


@pytest.mark.parametrize("times", [1, 3])
def test_lines_that_could_not_be_encoded_are_tried_again_and_no_more_are_read_meanwhile(
    times: int, tmp_path: Path
) -> None:
    world = Growing(tmp_path, encoder_type=Bug)
    other = tmp_path / "b.log"

    async def story() -> None:
        await world.begin()
        world.append(b'{"n":"900000"}\n', other)
        await world.scan()
        await world.clock.advance(2)
        world.forget()
        tail = world.catalog.at(str(world.log))
        assert tail is not None
        Bug.left = times
        await world.write(2)
        await world.clock.advance(1)
        offset = tail.offset
        await world.write(2)
        await settle()
        assert tail.offset == offset
        world.append(world.lines(1, 700), other)
        world.tell(other)
        await world.clock.advance(1)
        await world.clock.advance(60)
        await world.batcher.flush()
        found = numbers(world)
        assert sorted(found) == [1, 2, 3, 4, 700]
        assert world.metrics.value("shipper_internal_errors_total", "file") >= times

    run(world, story)


@pytest.mark.parametrize("stop", [True, False])
def test_a_stop_leaves_nothing_that_was_taken(stop: bool, tmp_path: Path) -> None:
    world = Growing(tmp_path)

    async def story() -> None:
        await world.begin()
        await world.write(2)
        if stop:
            await world.harvest.stop_reading()
            await world.write(2)
            await settle()
        assert await world.batcher.flush()
        assert numbers(world) == [1, 2]

    run(world, story)
