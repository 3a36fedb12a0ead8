"""Gzips that cannot be read to a proper end: what comes before is shipped, and the rest is recorded
as lost once, whatever is killed, restarted or forgotten meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from shipper.files import followed
from shipper.files.gzip_content import GzipContent
from shipper.files.losses import Loss, LossReason
from shipper.files.quiet import QUIET_AFTER
from shipper.files.vanished import LOOKED_FOR
from tests.files.test_compressed import FORGET_AFTER, World

CONTENT = b"".join(
    b"%d %s\n" % (n, random.Random(n).randbytes(40).hex().encode()) for n in range(900)
)
LINES = CONTENT.splitlines()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.directories.close_all()
    world.catalog.close()


def flipped(data: bytes, place: int) -> bytes:
    damaged = bytearray(data)
    damaged[place] ^= 0x55
    return bytes(damaged)


def packed(content: bytes = CONTENT) -> bytes:
    return gzip.compress(content, mtime=0)


@dataclass(frozen=True)
class Damage:
    """One way in which a gzip is spoiled."""

    stored: Callable[[], bytes]
    #: How `shipper_gzip_problems_total` calls it.
    problem: str
    #: Whether the rest is lost.
    lost: bool = True
    reason: LossReason = LossReason.DAMAGED
    #: Whether all its lines are there all the same.
    whole: bool = False
    #: Whether none is.
    nothing: bool = False
    #: How many of the first lines are there at the least: what is damaged shows late.
    least: int = 0


DAMAGES = {
    "middle": Damage(lambda: flipped(packed(), len(packed()) // 2), "damaged", least=400),
    "cut": Damage(lambda: packed()[:-5000], "cut", least=700),
    "without trailer": Damage(lambda: packed()[:-8], "cut", whole=True),
    "checksum": Damage(lambda: flipped(packed(), -8), "damaged", whole=True),
    "length": Damage(lambda: flipped(packed(), -1), "damaged", whole=True),
    "too large": Damage(packed, "too_large", reason=LossReason.TOO_LARGE, least=440),
    "second member": Damage(
        lambda: packed(CONTENT[:3000]) + flipped(packed(CONTENT[3000:]), 4000), "damaged", least=90
    ),
    "second member cut": Damage(lambda: packed() + packed(CONTENT)[:5], "cut", whole=True),
    "garbage behind it": Damage(lambda: packed() + b"garbage", "damaged", whole=True),
    "text": Damage(lambda: CONTENT, "not_gzip", nothing=True),
    "zeros": Damage(lambda: bytes(9000), "not_gzip", nothing=True),
    "begins with zeros": Damage(lambda: bytes(512) + packed(), "not_gzip", nothing=True),
    "first block": Damage(lambda: flipped(packed(), 12), "damaged", nothing=True),
    "header only": Damage(lambda: packed()[:10], "cut", nothing=True),
    "half a header": Damage(lambda: packed()[:3], "cut", nothing=True),
    "zeros inside": Damage(lambda: packed(bytes(900))[:-8], "cut", nothing=True),
    "empty": Damage(lambda: b"", "empty", lost=False, nothing=True),
    "whole": Damage(packed, "", lost=False, whole=True),
}


@pytest.fixture(params=DAMAGES)
def damage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Damage:
    if request.param == "too large":
        small = partial(GzipContent, largest=len(CONTENT) // 2)
        monkeypatch.setattr(followed, "GzipContent", small)
    return DAMAGES[request.param]


def check(world: World, damage: Damage) -> None:
    """All before the damage was shipped, each line once; the rest is recorded once."""
    lines = [line for line in world.lines if line not in (b"next", b"last")]
    if damage.whole:
        assert lines == LINES
    elif damage.nothing:
        assert lines == []
    else:
        assert lines[: damage.least] == LINES[: damage.least] != []
        assert lines != LINES
    if damage.lost:
        [loss] = world.losses
        assert (loss.reason, loss.bytes, loss.lines) == (damage.reason, 0, None)
        assert loss.start == loss.end
    else:
        assert world.losses == []


def test_what_comes_before_is_shipped_and_the_rest_is_a_loss(world: World, damage: Damage) -> None:
    async def story() -> None:
        (world.directory / "a.log.gz").write_bytes(damage.stored())
        world.write("b.log.gz", b"next\n")
        assert b"next" in await world.settle()
        world.commit()
        check(world, damage)
        if damage.problem:
            assert world.problems(damage.problem) == 1
            said = world.recorded.entries("error")
            assert [entry["event.action"] for entry in said] == ["compressed-file-damaged"]
            assert said[0]["file.path"].endswith("a.log.gz")
        assert world.catalog.tails == ()

    asyncio.run(story())


def test_once_for_days_and_over_restarts_and_renames(world: World, damage: Damage) -> None:
    async def story() -> None:
        path = world.directory / "a.log.gz"
        path.write_bytes(damage.stored())
        await world.settle()
        for number in range(3):
            await world.clock.advance(FORGET_AFTER + 1)
            await world.settle()
            world.commit()
            await world.clock.advance(FORGET_AFTER + 1)
            await world.settle()
            world.kill()
            path = path.rename(world.directory / f"a.{number}.log.gz")
            world.start()
            await world.settle()
        world.write("b.log.gz", b"last\n")
        assert await world.settle() == [b"last"]
        world.commit()
        check(world, damage)

    asyncio.run(story())


def test_whenever_it_is_killed_and_whatever_was_committed(world: World, damage: Damage) -> None:
    # Between any two steps: looks, acknowledgements, commits.
    async def story() -> None:
        path = world.directory / "a.log.gz"
        path.write_bytes(damage.stored())
        for steps, commit in itertools.product(range(4), (False, True)):
            for step in range(steps):
                await world.look(acknowledge=step > 0)
                await world.clock.advance(QUIET_AFTER)
            world.kill(commit=commit)
            world.start()
        await world.settle()
        world.commit()
        world.kill()
        world.start()
        await world.settle()
        world.commit()
        # What was not committed was sent again, with the same ids.
        world.lines = list(dict.fromkeys(world.lines))
        check(world, damage)

    asyncio.run(story())


@pytest.mark.parametrize("option", ["start_at", "ignore_older"])
def test_what_is_skipped_is_no_loss(world: World, damage: Damage, option: str) -> None:
    async def story() -> None:
        path = world.directory / "a.log.gz"
        path.write_bytes(damage.stored())
        os.utime(path, (0, world.clock.now() - 100))
        world.kill()
        if option == "start_at":
            world.start(start_at_end=True)
        else:
            world.start(ignore_older=50.0)
        await world.settle()
        world.commit()
        # Half a line at its end, which nothing completes, is no line that is skipped.
        assert len(world.lines) <= 1
        assert len(world.losses) == (len(world.lines) if damage.lost else 0)

    asyncio.run(story())


def test_nothing_is_lost_if_the_log_that_it_was_made_from_was_shipped(
    world: World, damage: Damage
) -> None:
    async def story() -> None:
        path = world.write("a.log", CONTENT)
        await world.settle()
        (world.directory / "a.log.gz").write_bytes(damage.stored())
        await world.look()
        path.unlink()
        await world.settle()
        world.commit()
        # Where nothing of it can be read, nobody knows what it was.
        assert len(world.losses) == (damage.lost and damage.nothing)

    asyncio.run(story())


def test_what_is_still_written_is_waited_for(world: World) -> None:
    async def story() -> None:
        path, data = world.directory / "a.log.gz", packed()
        for end in range(0, len(data), 1000):
            path.write_bytes(data[:end])
            await world.look()
            await world.clock.advance(QUIET_AFTER / 2)
        path.write_bytes(data)
        await world.settle()
        world.commit()
        assert (world.lines, world.losses, world.said("error")) == (LINES, [], [])

    asyncio.run(story())


def test_a_member_that_is_appended_later_is_read(world: World) -> None:
    async def story() -> None:
        path = world.directory / "a.log.gz"
        path.write_bytes(packed(b"one\n"))
        assert await world.settle() == [b"one"]
        with path.open("ab") as file:
            file.write(packed(b"two\n"))
        os.utime(path, (0, world.clock.now() + 1))
        assert await world.settle() == [b"two"]
        world.kill()
        with path.open("ab") as file:
            file.write(packed(b"three\nfour\n")[:-8])
        world.start()
        assert await world.settle() == [b"three", b"four"]
        world.commit()
        assert [loss.reason for loss in world.losses] == [LossReason.DAMAGED]

    asyncio.run(story())


def test_deleted_while_it_is_read_it_is_read_to_its_end(world: World, damage: Damage) -> None:
    async def story() -> None:
        path = world.directory / "a.log.gz"
        path.write_bytes(damage.stored())
        await world.tracker.scan(world.source)
        path.unlink()
        world.write("b.log.gz", b"next\n")
        await world.settle()
        world.commit()
        check(world, damage)
        assert world.catalog.tails == ()
        assert not list((world.directory / ".shipper").glob("*a.log*"))

    asyncio.run(story())


def test_replaced_by_another_under_its_name_both_are_read(world: World, damage: Damage) -> None:
    async def story() -> None:
        path, new = world.directory / "a.log.gz", world.directory / "new"
        path.write_bytes(damage.stored())
        await world.tracker.scan(world.source)
        new.write_bytes(packed(b"next\nlast\n"))
        new.rename(path)
        found = await world.settle()
        assert [line for line in found if line in (b"next", b"last")] == [b"next", b"last"]
        world.commit()
        check(world, damage)

    asyncio.run(story())


def rewritten(world: World) -> list[Loss]:
    return [loss for loss in world.losses if loss.reason is LossReason.REWRITTEN]


async def read_a_part(world: World, path: Path) -> int:
    """Read and acknowledge the first lines of a gzip that is larger than what is read at once;
    return how many."""
    await world.tracker.scan(world.source)
    [tail] = [tail for tail in world.catalog.tails if tail.path == str(path)]
    while (start := await world.source.place(tail)) is None or not hasattr(start, "offset"):
        pass
    block = await tail.read(final=False)
    tail.acks.open(block.end, block.mark, 0.0).finish()  # type: ignore[union-attr]
    return len(block.data.splitlines())  # type: ignore[union-attr]


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed"])
@pytest.mark.parametrize("new", [b"other\n", CONTENT[:300] + b"another\n" * 9000], ids=len)
def test_written_again_in_place_before_it_was_read_to_its_end(
    world: World, new: bytes, killed: bool
) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", 20 * CONTENT)
        count = await read_a_part(world, path)
        assert count < len(LINES)
        path.write_bytes(packed(new))
        if killed:
            world.kill()
            world.start()
        found = await world.settle()
        assert found == new.splitlines()
        for _ in range(4):
            await world.clock.advance(LOOKED_FOR / 2)
            assert await world.look() == []
        world.commit()
        [loss] = world.losses
        wanted = LossReason.VANISHED if killed else LossReason.REWRITTEN
        assert (loss.reason, loss.bytes, loss.lines) == (wanted, 0, None)
        # Once, whatever is started again.
        world.kill()
        world.start()
        for _ in range(4):
            await world.clock.advance(LOOKED_FOR / 2)
            await world.look()
        world.commit()
        assert len(world.losses) == 1

    asyncio.run(story())


@pytest.mark.parametrize("how", ["same", "longer", "elsewhere", "read"])
def test_written_again_in_place_nothing_is_lost_that_is_there(world: World, how: str) -> None:
    async def story() -> None:
        content = 20 * CONTENT
        path = world.write("a.log.gz", content)
        count = await read_a_part(world, path)
        if how == "read":
            await world.settle()
            path.write_bytes(packed(b"other\n"))
        elif how == "elsewhere":
            world.write("b.log.gz", content)
            path.write_bytes(packed(b"other\n"))
        else:
            # Another attempt of whoever compresses.
            path.write_bytes(gzip.compress(content + b"more\n" * (how == "longer"), 1))
        for _ in range(6):
            await world.look()
            await world.clock.advance(LOOKED_FOR / 2)
        world.commit()
        assert world.losses == []
        lines = [line for line in world.lines if line not in (b"other", b"more")]
        assert lines == content.splitlines()[count:]

    asyncio.run(story())


def test_one_that_waits_and_is_written_again_is_taken_for_what_it_is_then(world: World) -> None:
    async def story() -> None:
        # It waits for the log of its name; what is known of it by then is of no use.
        log = world.write("a.log", b"banner\none\n")
        await world.settle()
        path = world.write("a.log.gz", b"banner\none\n")
        await world.look()
        [tail] = [tail for tail in world.catalog.tails if tail.compressed]
        assert tail.identification.known is not None
        path.write_bytes(packed(b"other\nstory\n"))
        log.unlink()
        assert await world.settle() == [b"other", b"story"]
        world.kill()
        world.start()
        path = world.write("b.log.gz", b"banner\none\n")
        assert await world.settle() == [], "that much is known"

    asyncio.run(story())
