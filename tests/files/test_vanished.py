"""What vanished while shipper was not running is recorded once, and only if it is nowhere."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipper.files.facts import Inode
from shipper.files.lines import Rewritten
from shipper.files.losses import LossReason
from shipper.files.vanished import LOOKED_FOR, MOUNTED_WITHIN
from tests.files.test_compressed import World

READ = b"one\ntwo\n"
UNREAD = b"three\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.directories.close_all()
    world.catalog.close()


async def stop_behind(world: World) -> Path:
    """A process ends that has seen more of a file than is acknowledged; its links are gone."""
    path = world.write("a.log", READ)
    await world.look()
    with path.open("ab") as file:
        file.write(UNREAD)
    await world.tracker.scan(world.source)
    world.catalog.records.touched(world.catalog.tails[0])
    world.kill()
    for link in (world.directory / ".shipper").iterdir():
        link.unlink()
    [record] = world.rows.values()
    assert (record.offset, record.seen) == (len(READ), len(READ + UNREAD))
    return path


async def look_long(world: World) -> None:
    """Longer than anything is looked for."""
    for _ in range(5):
        await world.look()
        await world.clock.advance(LOOKED_FOR / 2)
    world.commit()


def test_a_file_that_is_nowhere_is_recorded_once(world: World) -> None:
    async def story() -> None:
        path = await stop_behind(world)
        path.unlink()
        world.start()
        await world.look()
        await world.clock.advance(LOOKED_FOR - 1)
        await world.look()
        world.commit()
        assert world.losses == []
        await look_long(world)
        [loss] = world.losses
        assert (loss.reason, loss.path, loss.lines) == (LossReason.VANISHED, str(path), None)
        assert (loss.start, loss.end, loss.bytes) == (8, 14, 6)
        [error] = world.said("error")
        assert error["event.action"] == "file-vanished"
        # Neither now nor in a later life once more.
        await look_long(world)
        world.kill()
        world.start()
        await look_long(world)
        assert len(world.losses) == 1

    asyncio.run(story())


@pytest.mark.parametrize("where", ["renamed", "copied", "gzip", "written anew"])
def test_what_is_found_by_its_content_is_no_loss(world: World, where: str) -> None:
    async def story() -> None:
        path = await stop_behind(world)
        content = path.read_bytes()
        if where == "renamed":
            path.rename(world.directory / "b.log")
        elif where == "gzip":
            world.write("a.log.gz", content)
            path.unlink()
        else:
            world.write("b.log", content)
            path.write_bytes(b"other\n")
        if where == "copied":
            path.unlink()
        world.start()
        await look_long(world)
        assert UNREAD.strip() in world.lines
        assert world.losses == []

    asyncio.run(story())


@pytest.mark.parametrize("end", [UNREAD, b"drei\nvier\n"])
@pytest.mark.parametrize("then", ["stays", "goes", "is compressed"])
def test_what_begins_like_it_and_grew_is_compared_at_its_end(
    world: World, then: str, end: bytes
) -> None:
    async def story() -> None:
        # Its end is cut off while all of it is in flight.
        path = world.write("a.log", READ + UNREAD)
        await world.look(acknowledge=False)
        os.truncate(path, len(READ))
        await world.look(acknowledge=False)
        world.kill()
        assert sorted(row.seen for row in world.rows.values()) == [8, 14]
        world.lines.clear()
        world.start()
        await world.look()
        with path.open("ab") as file:
            file.write(end)
        await world.look()
        world.commit()
        if then == "is compressed":
            world.write("a.log.gz", READ + end)
        if then != "stays":
            path.unlink()
        await look_long(world)
        assert world.lines.count(end.splitlines()[0]) == 1
        if end == UNREAD:
            assert world.losses == []
        else:
            [loss] = world.losses
            assert (loss.path, loss.start, loss.end) == (str(path), 0, 14)

    asyncio.run(story())


@pytest.mark.parametrize("end", [b"drei\nvier\n", b"", b"four\n"])
def test_a_gzip_that_begins_like_it_is_compared_at_its_end(world: World, end: bytes) -> None:
    async def story() -> None:
        path = await stop_behind(world)
        path.unlink()
        world.write("a.log.gz", READ + end)
        world.start()
        await look_long(world)
        assert world.lines[2:] == end.splitlines()
        [loss] = world.losses
        assert (loss.path, loss.start, loss.end) == (str(path), 8, 14)

    asyncio.run(story())


def test_what_was_written_over_meanwhile_is_a_loss(world: World) -> None:
    async def story() -> None:
        path = await stop_behind(world)
        path.write_bytes(b"other\n")
        world.start()
        await look_long(world)
        assert [loss.bytes for loss in world.losses] == [6]
        assert world.lines[-1] == b"other"

    asyncio.run(story())


@pytest.mark.parametrize("now", [b"", b"four\n", b"th", b"another line\n"])
def test_what_was_cut_off_meanwhile_is_a_loss_and_the_rest_goes_on(
    world: World, now: bytes
) -> None:
    """Also if more was written since than was cut off."""

    async def story() -> None:
        path = await stop_behind(world)
        path.write_bytes(READ + now)
        world.lines.clear()
        world.start()
        await world.tracker.scan(world.source)
        [tail] = world.catalog.tails
        await world.source.place(tail)
        found = await tail.examine()
        assert isinstance(found, Rewritten)
        world.catalog.rewritten(tail)
        await look_long(world)
        [loss] = world.losses
        assert (loss.reason, loss.lines) == (LossReason.REWRITTEN, None)
        assert (loss.start, loss.end, loss.bytes) == (8, 14, 6)
        assert world.lines == now.splitlines()[: now.count(b"\n")]

    asyncio.run(story())


def test_a_log_that_only_grew_meanwhile_is_the_same(world: World) -> None:
    async def story() -> None:
        path = await stop_behind(world)
        with path.open("ab") as file:
            file.write(b"four\n")
        world.start()
        await world.tracker.scan(world.source)
        [tail] = world.catalog.tails
        await world.source.place(tail)
        assert await tail.examine() is None
        await look_long(world)
        assert (world.lines[-2:], world.losses) == ([b"three", b"four"], [])

    asyncio.run(story())


def test_nothing_is_said_while_it_could_still_be_found(world: World) -> None:
    async def story() -> None:
        path = await stop_behind(world)
        content = path.read_bytes()
        path.unlink()
        # The directory is away, as a volume is that is mounted late.
        away = world.directory.with_name("away")
        world.directory.rename(away)
        world.start()
        await look_long(world)
        assert world.losses == []
        away.rename(world.directory)
        # Something that may be it cannot be opened.
        world.write("b.log", content)
        world.files.forbidden.add("b.log")
        await look_long(world)
        assert world.losses == []
        world.files.forbidden.clear()
        os.unlink(world.directory / "b.log")
        # Nor may a gzip that cannot be opened.
        world.write("b.log.gz", content)
        world.files.forbidden.add("b.log.gz")
        await look_long(world)
        assert world.losses == []
        summary = world.tracker.summary(world.source)
        assert summary.unreadable == ((f"{world.directory}/b.log.gz", "Permission denied"),)
        world.files.forbidden.clear()
        os.unlink(world.directory / "b.log.gz")
        # Nor may one that breaks off before its first line.
        (world.directory / "c.log.gz").write_bytes(gzip.compress(content)[:10])
        await world.look()
        world.commit()
        # What nobody could open has gone, and the gzip of its name, too: that is another file.
        [other] = world.losses
        assert (other.path, other.identity) == (f"{world.directory}/b.log", "")
        world.losses.clear()
        os.unlink(world.directory / "c.log.gz")
        await look_long(world)
        await look_long(world)
        assert [loss.reason for loss in world.losses] == [LossReason.DAMAGED, LossReason.VANISHED]
        assert world.losses[-1].path == str(path)

    asyncio.run(story())


@pytest.mark.parametrize("mounted", [True, False])
def test_a_volume_that_is_mounted_late_is_waited_for(world: World, mounted: bool) -> None:
    async def story() -> None:
        path = await stop_behind(world)
        content = path.read_bytes()
        path.unlink()
        # The directory that is there is on another file system than the file was.
        [(row, record)] = world.rows.items()
        assert record.inode is not None
        there = Inode(record.inode.device + 1, record.inode.number)
        world.rows[row] = replace(record, inode=there)
        world.start()
        await look_long(world)
        assert world.losses == []
        if mounted:
            path.write_bytes(content)
        await world.clock.advance(MOUNTED_WITHIN)
        await look_long(world)
        assert len(world.losses) == (0 if mounted else 1)
        assert (UNREAD.strip() in world.lines) == mounted

    asyncio.run(story())


def test_rows_learn_how_far_a_file_was_seen_but_not_with_each_write(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log", READ)
        await world.look()
        world.commit()
        [tail] = world.catalog.tails

        def write_and_commit() -> int:
            with path.open("ab") as file:
                file.write(UNREAD)
            assert world.tracker.written(world.source, [str(path)]) == [tail]
            world.commit()
            [record] = world.rows.values()
            return record.seen - len(READ)

        assert [write_and_commit() for _ in range(3)] == [6, 6, 6]
        await world.clock.advance(5)
        assert write_and_commit() == 24

    asyncio.run(story())
