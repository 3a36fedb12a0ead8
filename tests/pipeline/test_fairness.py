"""What many gzips cost the active log: so many bytes are read before its line, and no more."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

from shipper.files.lines import BLOCK_BYTES
from shipper.files.tail import State
from tests.kept.loop import InlinePool
from tests.pipeline.test_harvest import World, run

GZIPS = 100
MEGABYTES = 10
AT_A_TIME = 8
"""So many of them are inflated at a time."""

MOST_TURNS = 10**5
"""Before a test fails that waits in vain."""

LINES = 24
"""Of the active log, which are watched."""


async def until(predicate: Callable[[], bool]) -> None:
    """Let everybody have his turn until it is so."""
    for _ in range(MOST_TURNS):
        if predicate():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"not in {MOST_TURNS} turns")


def without_threads(world: World) -> None:
    """Have what is inflated inflated at once, so that turns are always the same."""
    world.files.inflating = InlinePool("inflate", each=1)


def write_gzips(directory: Path) -> None:
    """Each begins with a line of its own, and goes on for ten megabytes."""
    line = b'{"n":"000000","time":"2026-11-24T04:32:37Z","filler":"%s"}\n' % (b"x" * 400)
    rest = gzip.compress(line * (MEGABYTES * 2**20 // len(line)), 1, mtime=0)
    for number in range(GZIPS):
        first = gzip.compress(b'{"n":"%06d"}\n' % number, mtime=0)
        (directory / f"{number}.log.gz").write_bytes(first + rest)


def test_a_line_of_the_active_log_waits_for_one_block_of_each_gzip_that_is_inflated(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, compressed=True)
    write_gzips(tmp_path)

    def gzips() -> list[int]:
        """How much of each is inflated, in bytes."""
        return [tail.content.inflated for tail in world.catalog.tails if tail.compressed]

    async def story() -> None:
        without_threads(world)
        world.append(world.lines(1))
        await world.scan()
        await until(lambda: len(gzips()) == GZIPS and sum(gzips()) >= AT_A_TIME * BLOCK_BYTES)
        log = world.catalog.at(str(world.log))
        assert log is not None
        assert log.state is State.READING
        for number in range(1, LINES):
            before = sum(gzips())
            world.append(world.lines(1, number))
            world.wake_up.wake([str(world.log)])
            await until(lambda: log.offset == world.log.stat().st_size)
            # One round that is under way when it is told of, and one more.
            assert sum(gzips()) - before <= 3 * AT_A_TIME * BLOCK_BYTES
        # They are read on all the same, a few at a time: what waits costs no memory.
        begun = [inflated for inflated in gzips() if inflated]
        assert len(begun) == AT_A_TIME
        await until(lambda: sum(gzips()) > LINES * BLOCK_BYTES)
        assert sum(gzips()) < GZIPS * MEGABYTES * 2**20 // 2

    run(world, story)


def test_all_of_them_are_read_in_the_end(tmp_path: Path) -> None:
    world = World(tmp_path, compressed=True)
    for number in range(GZIPS):
        content = b'{"n":"%06d"}\n' % number
        (tmp_path / f"{number}.log.gz").write_bytes(gzip.compress(content, mtime=0))

    async def story() -> None:
        without_threads(world)
        numbers: list[int] = []
        for _ in range(3 * GZIPS // AT_A_TIME):
            await world.scan()
            numbers = await world.numbers()
            for batch in world.batches:
                for span in batch.spans:
                    if not span.finished:
                        span.finish()
        assert sorted(numbers) == list(range(GZIPS))

    run(world, story)
