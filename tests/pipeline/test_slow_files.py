"""Files whose disk is slow, or does not answer: the others are read meanwhile."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shipper.pipeline import slow_files
from shipper.pipeline.slow_files import OF_A_DEVICE
from tests.pipeline.test_harvest import World, run

PATIENCE = 4.0
FILES = 12
LINES = 5


async def until(predicate: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not predicate():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Slow(World):
    """Some files of which the disk answers when it is told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.answered = asyncio.Event()
        self.paths = [directory / f"slow{number}.log" for number in range(FILES)]

    def write(self, path: Path, first: int) -> None:
        self.append(self.lines(LINES, first), path)
        self.files.slow[os.stat(path).st_ino] = self.answered

    def answer(self) -> None:
        self.answered.set()
        self.files.slow.clear()


@pytest.fixture
def world(tmp_path: Path) -> Slow:
    return Slow(tmp_path)


def test_other_files_are_read_and_all_of_it_comes_once_in_order(world: Slow) -> None:
    async def story() -> None:
        for number, path in enumerate(world.paths):
            world.append(world.lines(LINES, 100 * number), path)
        world.append(world.lines(LINES, 5000))
        await world.scan()
        assert len(await world.numbers()) == (FILES + 1) * LINES
        # They are known, and grow; then their disk does not answer.
        for number, path in enumerate(world.paths):
            world.write(path, 100 * number + LINES)
        await world.scan()
        for step in range(1, 4):
            world.append(world.lines(LINES, 5000 + step * LINES))
            await world.scan()
            wanted = (step + 1) * LINES
            await until(lambda wanted=wanted: lines_of_the_log(world) == wanted)  # type: ignore[misc]
        # A few at a time, whoever asks for them.
        assert len(world.files.waiting) <= 2 * OF_A_DEVICE
        world.answer()
        await until(lambda: is_read(world))
        for number in range(FILES):
            first = 100 * number
            found = [n for n in await world.numbers() if first <= n < first + 100]
            assert found == list(range(first, first + 2 * LINES))

    run(world, story)


def lines_of_the_log(world: World) -> int:
    """How many were read."""
    tails = [each for each in world.catalog.tails if each.path == str(world.log)]
    return tails[0].offset // len(world.lines(1)) if tails else 0


def is_read(world: World) -> bool:
    return not any(tail.unread for tail in world.catalog.tails)


def test_new_files_are_identified_beside_others_that_hang(world: Slow) -> None:
    async def story() -> None:
        for number, path in enumerate(world.paths):
            world.write(path, 100 * number)
        await world.scan()
        world.append(world.lines(LINES, 5000))
        await world.scan()
        await until(lambda: lines_of_the_log(world) == LINES)
        assert {number // 100 for number in await world.numbers()} == {50}
        world.answer()
        await until(lambda: is_read(world))
        assert len(await world.numbers()) == (FILES + 1) * LINES

    run(world, story)


def test_a_file_is_nobodys_when_the_rest_of_the_work_on_it_fails(
    world: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = []

    def fail(*_: object) -> None:
        failed.append(1)
        raise MemoryError

    async def story() -> None:
        world.write(world.paths[0], 0)
        with monkeypatch.context() as patches:
            patches.setattr(slow_files, "_resumed", fail)
            await world.scan()
            await until(lambda: bool(failed))
        world.answer()
        await world.clock.advance(2)  # The pause after an internal error.
        assert not any(tail.busy for tail in world.catalog.tails)
        await world.scan()
        await until(lambda: is_read(world))
        assert await world.numbers() == list(range(LINES))

    gc.disable()  # What holds the file is part of a cycle.
    try:
        run(world, story)
    finally:
        gc.enable()


def test_nobody_waits_again_for_a_device_that_was_slow(
    world: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_files, "PATIENCE", 0.2)

    async def story() -> None:
        for number, path in enumerate(world.paths[:4]):
            world.append(world.lines(LINES, 100 * number), path)
        world.append(world.lines(LINES, 5000))
        await world.scan()
        for number, path in enumerate(world.paths[:4]):
            world.write(path, 100 * number + LINES)
        await world.scan()
        await until(lambda: len(world.files.waiting) >= OF_A_DEVICE)
        began = time.monotonic()
        for step in range(1, 11):
            world.append(world.lines(LINES, 5000 + step * LINES))
            await world.scan()
            wanted = (step + 1) * LINES
            await until(lambda wanted=wanted: lines_of_the_log(world) == wanted)  # type: ignore[misc]
        assert time.monotonic() - began < 10 * 0.2

    run(world, story)


def test_what_a_slow_disk_fails_with_is_reported_and_tried_again(
    world: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_files, "PATIENCE", 0.01)
    path = world.paths[0]

    async def story() -> None:
        world.append(world.lines(LINES), path)
        await world.scan()
        assert len(await world.numbers()) == LINES
        world.write(path, LINES)
        world.files.failing.add(os.stat(path).st_ino)
        await world.scan()
        await until(lambda: bool(world.files.waiting))
        await asyncio.sleep(0.05)
        world.answer()
        await until(lambda: bool(world.logged("warning")))
        [tail] = world.catalog.tails
        assert tail.read_error == "Input/output error"
        assert not tail.busy
        world.files.failing.clear()
        await world.scan()
        assert len(await world.numbers()) == 2 * LINES

    run(world, story)


def test_a_disk_that_hangs_is_said_and_healed(world: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_files, "PATIENCE", 0.01)
    monkeypatch.setattr(slow_files, "HANGS_SECONDS", 0.05)
    path = world.paths[0]

    async def story() -> None:
        world.write(path, 0)
        await world.scan()
        [tail] = world.catalog.tails
        await until(lambda: bool(tail.read_error))
        assert tail.read_error == "no answer within 0.05 s: check the mount that it is on"
        [entry] = world.logged("warning")
        assert entry["event.action"] == "file-read-hangs"
        # Asked again and again, it still hangs.
        await world.scan()
        assert tail.read_error
        world.clock.pass_time(1.0)
        world.answer()
        await until(lambda: is_read(world))
        assert not tail.read_error
        assert len(await world.numbers()) == LINES

    run(world, story)


def test_reading_stops_while_files_hang(world: Slow) -> None:
    async def story() -> None:
        for number, path in enumerate(world.paths):
            world.write(path, 100 * number)
        await world.scan()
        await until(lambda: bool(world.files.waiting))
        async with asyncio.timeout(PATIENCE):
            await world.harvest.stop_reading()

    run(world, story)
    assert not world.files.waiting


def test_what_was_read_late_and_not_handed_on_is_read_again(world: Slow) -> None:
    """Reading ends for another reason, and begins anew."""

    async def story() -> None:
        path = world.paths[0]
        world.append(world.lines(LINES), path)
        first = asyncio.create_task(world.harvest.run())
        batching = asyncio.create_task(world.batcher.run())
        try:
            await world.scan()
            await until(lambda: is_read(world))
            world.write(path, LINES)
            await world.scan()
            await until(lambda: bool(world.harvest._slow._devices))
            # It is read, and has no room.
            world.budget.hold(world.budget.limit)
            world.answer()
            await until(lambda: bool(world.harvest._late))
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            world.budget.release(world.budget.limit)
            first = asyncio.create_task(world.harvest.run())
            await world.scan()
            await until(lambda: is_read(world))
            assert await world.numbers() == list(range(2 * LINES))
        finally:
            for task in (first, batching):
                task.cancel()
            await asyncio.gather(first, batching, return_exceptions=True)

    try:
        asyncio.run(story())
    finally:
        world.catalog.close()
