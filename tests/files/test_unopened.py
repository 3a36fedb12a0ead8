"""What could not be opened and is gone, or shorter, is recorded once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper.files.losses import LossReason
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
