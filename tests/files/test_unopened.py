"""What could not be opened and is gone, or shorter, is recorded once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shipper.files import finding
from shipper.files.catalog import Catalog
from shipper.files.discovery import scan
from shipper.files.facts import inode_in
from shipper.files.losses import LossReason
from shipper.files.unopened import UNREAD_FOR, UnopenedFiles
from shipper.files.vanished import LOOKED_FOR
from tests.files.test_compressed import World

CONTENT = b"one\ntwo\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.files.forbidden.add("a.log")
    yield world
    world.directories.close_all()
    world.catalog.close()


async def look(world: World, times: int = 3) -> None:
    for _ in range(times):
        await world.look()
    world.commit()


def test_what_could_not_be_opened_and_is_gone_is_recorded_once(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log", CONTENT)
        await look(world)
        assert world.losses == []
        path.unlink()
        await world.look()
        world.commit()
        assert world.losses == [], "it may have been renamed during the walk"
        await look(world)
        [loss] = world.losses
        assert (loss.path, loss.identity) == (str(path), "")
        assert (loss.start, loss.end, loss.bytes, loss.lines) == (0, 8, 8, None)
        assert loss.reason is LossReason.VANISHED
        [error] = world.said("error")[-1:]
        assert error["event.action"] == "file-vanished"

    asyncio.run(story())


def test_what_is_shorter_before_it_could_be_opened_is_recorded(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log", CONTENT)
        await look(world)
        path.write_bytes(b"new\n")
        await look(world)
        path.write_bytes(b"")
        world.files.forbidden.clear()
        await look(world)
        assert [(loss.reason, loss.end) for loss in world.losses] == [
            (LossReason.REWRITTEN, 8),
            (LossReason.REWRITTEN, 4),
        ]

    asyncio.run(story())


def test_what_was_written_over_is_not_taken_for_its_old_content_by_the_next_start(
    world: World,
) -> None:
    async def story() -> None:
        path = world.write("a.log", CONTENT)
        await look(world)
        world.kill()
        world.start()
        await look(world)
        path.write_bytes(b"new\n")
        await look(world)
        world.kill()
        assert world.losses == [], "it may be in a copy that nobody can read yet"
        path.write_bytes(b"new\nand longer than it was\n")
        world.files.forbidden.clear()
        world.start()
        await look_long(world)
        assert world.lines == [b"new", b"and longer than it was"]
        [loss] = world.losses
        assert (loss.path, loss.start, loss.end) == (str(path), 0, len(CONTENT))

    asyncio.run(story())


@pytest.mark.parametrize("how", ["opened", "renamed", "compressed", "away", "empty"])
def test_what_is_found_again_is_no_loss(world: World, how: str) -> None:
    async def story() -> None:
        path = world.write("a.log", b"" if how == "empty" else CONTENT)
        await look(world)
        match how:
            case "opened":
                world.files.forbidden.clear()
            case "renamed":
                path.rename(path.with_name("b.log"))
            case "compressed":
                world.write("a.log.gz", CONTENT)
        if how == "away":
            away = world.directory.with_name("away")
            world.directory.rename(away)
            await look(world)
            away.rename(world.directory)
        elif how != "opened" and path.exists():
            path.unlink()
        await look(world)
        assert world.losses == []
        if how not in ("away", "empty"):
            assert world.lines == [b"one", b"two"]

    asyncio.run(story())


@pytest.mark.parametrize("options", [{"start_at_end": True}, {"ignore_older": 60.0}])
def test_what_would_not_be_shipped_is_no_loss(world: World, options: dict[str, Any]) -> None:
    async def story() -> None:
        path = world.write("a.log", CONTENT)
        os.utime(path, (world.clock.now() - 100,) * 2)
        world.catalog.close()
        world.start(**options)
        await look(world)
        path.unlink()
        await look(world)
        assert world.losses == []
        half = world.write("b.log", b"half a line")
        os.utime(half, (world.clock.now() - 100,) * 2)
        world.catalog.close()
        world.start(**options)
        await look(world)
        assert world.rows == {}

    asyncio.run(story())


def test_of_a_file_that_is_known_what_is_new_is_recorded(world: World) -> None:
    """The rest of what an earlier process saw is looked for by its content."""

    async def story() -> None:
        world.files.forbidden.clear()
        path = world.write("a.log", CONTENT)
        await look(world)
        world.kill()
        for link in (world.directory / ".shipper").iterdir():
            link.unlink()
        world.files.forbidden.add("a.log")
        with path.open("ab") as file:
            file.write(b"three\n")
        world.start()
        await look(world)
        path.unlink()
        await look(world)
        assert [(loss.start, loss.end) for loss in world.losses] == [(8, 14)]

    asyncio.run(story())


@pytest.mark.parametrize("content", [CONTENT, b"half a line"])
def test_what_is_gone_after_a_kill_is_recorded_once(world: World, content: bytes) -> None:
    """That could not be opened, or had no complete first line."""

    async def story() -> None:
        name = "a.log" if content == CONTENT else "b.log"
        path = world.write(name, content)
        await look(world)
        await restart_without(world, path)
        await look(world)
        assert world.losses == [], "it is looked for"
        await look_long(world)
        [loss] = world.losses
        assert (loss.reason, loss.path, loss.lines) == (LossReason.VANISHED, str(path), None)
        assert (loss.start, loss.end) == (0, len(content))
        world.kill()
        world.start()
        await look_long(world)
        assert (len(world.losses), world.rows) == (1, {})

    asyncio.run(story())


@pytest.mark.parametrize("how", ["identified", "renamed", "compressed", "copied", "cut"])
def test_what_had_no_complete_first_line_is_found_again(world: World, how: str) -> None:
    async def story() -> None:
        path = world.write("b.log", b"half a line")
        await look(world)
        content = b"half a line and the rest\nmore\n"
        world.kill()
        match how:
            case "identified":
                path.write_bytes(content)
            case "renamed":
                path.rename(path.with_name("c.log"))
                path.with_name("c.log").write_bytes(content)
            case "compressed" | "copied":
                unlink(world, path)
                world.write("c.log.gz" if how == "compressed" else "c.log", content)
            case "cut":
                path.write_bytes(b"new\n")
        world.start()
        await look_long(world)
        lost = [(loss.reason, loss.end) for loss in world.losses]
        assert lost == ([(LossReason.REWRITTEN, 11)] if how == "cut" else [])
        assert world.lines == (b"new\n" if how == "cut" else content).splitlines()
        assert all(record.identity for record in world.rows.values())

    asyncio.run(story())


def unlink(world: World, path: Path) -> None:
    for link in (world.directory / ".shipper").iterdir():
        link.unlink()
    path.unlink()


async def restart_without(world: World, path: Path) -> None:
    world.kill()
    if not (world.directory / ".shipper").exists():
        (world.directory / ".shipper").mkdir(mode=0o700)
    unlink(world, path)
    world.start()


async def look_long(world: World) -> None:
    for _ in range(5):
        await look(world, 1)
        await world.clock.advance(LOOKED_FOR / 2)
    await look(world, 1)


# A gzip of its name ---------------------------------------------------------------------------


OTHER = {
    "shorter": b"one\n",
    "longer": CONTENT + b"three\n",
    "as long": CONTENT,
    "damaged": CONTENT,
}


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_gzip_of_its_name_that_does_not_hold_what_was_seen_is_no_copy(
    world: World, other: str, is_killed: bool
) -> None:
    """Of what could never be opened nothing can be compared but its length and its time."""

    async def story() -> None:
        path = world.write("a.log", CONTENT)
        gzip = world.write("a.log.gz", OTHER[other])
        if other == "as long":
            os.utime(gzip, (0, path.stat().st_mtime - 1))
        if other == "damaged":
            gzip.write_bytes(gzip.read_bytes()[:-12])
        await look(world)
        assert [loss for loss in world.losses if loss.reason is LossReason.VANISHED] == []
        if is_killed:
            await restart_without(world, path)
        else:
            path.unlink()
        await look_long(world)
        [loss] = [loss for loss in world.losses if loss.reason is LossReason.VANISHED]
        assert (loss.path, loss.start, loss.end) == (str(path), 0, len(CONTENT))

    asyncio.run(story())


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_gzip_that_holds_exactly_what_was_seen_is_a_copy(
    world: World, is_killed: bool, when: str
) -> None:
    """Also if it was read and closed while the file was still there (`gzip -k`)."""

    async def story() -> None:
        path = world.write("a.log", CONTENT)
        if when == "before":
            world.write("a.log.gz", CONTENT)
        await look(world)
        if is_killed:
            await restart_without(world, path)
        else:
            path.unlink()
        if when == "after":
            world.write("a.log.gz", CONTENT)
        await look_long(world)
        assert (world.lines, world.losses) == ([b"one", b"two"], [])

    asyncio.run(story())


@pytest.mark.parametrize("content", [CONTENT, b"half a line"])
@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("heals", [False, True])
def test_a_gzip_that_cannot_be_read_is_waited_for_but_not_for_ever(
    world: World, content: bytes, is_killed: bool, heals: bool
) -> None:
    async def story() -> None:
        name = "a.log" if content == CONTENT else "b.log"
        path = world.write(name, content)
        world.files.forbidden.add(f"{name}.gz")
        await look(world)
        world.write(f"{name}.gz", content)
        if is_killed:
            await restart_without(world, path)
        else:
            path.unlink()
        await look_long(world)
        assert world.losses == []
        if heals:
            world.files.forbidden.clear()
            await look_long(world)
        await world.clock.advance(UNREAD_FOR)
        await look_long(world)
        is_kept = content != CONTENT and not is_killed
        assert [(loss.path, loss.end) for loss in world.losses] == (
            [] if heals or is_kept else [(str(path), len(content))]
        )
        if heals or is_kept:
            assert world.lines == content.splitlines()

    asyncio.run(story())


@pytest.mark.parametrize("other", [b"other\n", b"half a word\n", b"half a li"])
def test_a_gzip_that_begins_otherwise_is_no_copy_of_half_a_line(world: World, other: bytes) -> None:
    async def story() -> None:
        path = world.write("b.log", b"half a line")
        await look(world)
        world.write("b.log.gz", other)
        await restart_without(world, path)
        await look_long(world)
        assert [(loss.path, loss.end) for loss in world.losses] == [(str(path), 11)]

    asyncio.run(story())


def test_an_input_that_reads_no_gzips_takes_none_for_a_copy(world: World) -> None:
    async def story() -> None:
        world.source = replace(world.source, compressed=None)
        world.tracker = world.tracker_of(world.source)
        path = world.write("a.log", CONTENT)
        world.write("a.log.gz", CONTENT)
        await look(world)
        path.unlink()
        await look(world)
        assert [loss.end for loss in world.losses] == [len(CONTENT)]

    asyncio.run(story())


@pytest.mark.parametrize("content", [CONTENT, b"half a line"])
def test_a_younger_file_with_its_inode_is_another_one(world: World, content: bytes) -> None:
    async def story() -> None:
        name = "a.log" if content == CONTENT else "b.log"
        path = world.write(name, content)
        await look(world)
        await restart_without(world, path)
        other = world.write("c.log", b"another one, and longer\n")
        descriptor = os.open(other, os.O_RDONLY)
        born = world.files.born(descriptor)
        os.close(descriptor)
        if born is None:
            pytest.skip("the file system does not tell when a file came into being")
        world.kill()
        [(row, record)] = world.rows.items()
        assert record.born is not None
        # As the kernel may give it: the number of one that is gone.
        world.rows[row] = replace(record, inode=inode_in(other.stat()), born=born - 1)
        world.start()
        await look_long(world)
        assert [(loss.path, loss.end) for loss in world.losses] == [(str(path), len(content))]

    asyncio.run(story())


# Cost ---------------------------------------------------------------------------------------------


class Looked(dict[Any, Any]):
    """A mapping in which one can look things up, and not go through it."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("somebody goes through all files")

    def keys(self) -> Any:
        return iter(self)

    def items(self) -> Any:
        return iter(self)

    def values(self) -> Any:
        return iter(self)


def test_nobody_goes_through_all_files_to_find_those_that_are_not_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        path = world.write("a.log", CONTENT)
        for number in range(20):
            world.write(f"{number}.log", b"%d\n" % number)
        await look(world)
        found = scan(world.files, world.source.patterns, world.source.exclude)
        found.found = Looked(found.found)
        nothing = property(lambda _: Looked())
        monkeypatch.setattr(Catalog, "inodes", nothing)
        monkeypatch.setattr(Catalog, "tails", nothing)
        [row] = world.catalog.records.unidentified
        world.catalog.records.forget_unidentified(row.row)
        unopened = UnopenedFiles(world.catalog, None, world.files, world.clock)
        assert await unopened.scanned(found, complete=False) == []
        assert [row.path for row in world.catalog.records.unidentified] == [str(path)]

    asyncio.run(story())


def test_many_files_that_cannot_be_opened_leave_others_their_turn(world: World) -> None:
    async def story() -> None:
        names = {f"{number}.log" for number in range(2000)}
        world.files.forbidden |= names
        for name in names:
            world.write(name, CONTENT)
        await look(world, 1)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        await look(world, 1)
        task.cancel()
        assert turns > 2 * 2000 / 200
        assert len(world.rows) == 2000

    asyncio.run(story())


def test_a_file_that_is_linked_to_be_read_later_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was seen when it could not be opened; a file that waits has no size in the scan."""

    async def story() -> None:
        world.write("a.log", CONTENT)
        await look(world)
        world.files.forbidden.clear()
        monkeypatch.setattr(finding, "_MOST_UNTRIED", 0)
        await world.tracker.scan(world.source)
        await world.tracker.scan(world.source)
        monkeypatch.undo()
        await look(world)
        assert (world.lines, world.losses) == ([b"one", b"two"], [])

    asyncio.run(story())
