"""A file that begins like another one and has the same bytes before its offset is a copy only if
what is between is the same, too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.files.placement import _MOST_COMPARED
from shipper.files.prefix import _PIECE
from tests.files.test_compressed import World

HEAD, END = b"first\n", b"%s\n" % (b"x" * 300)


def content(between: bytes, size: int = 0) -> bytes:
    return HEAD + (b"." * 99 + b"\n") * (size // 100) + between + b"\n" + END


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.directories.close_all()
    world.catalog.close()


@pytest.mark.parametrize("size", [0, 3 * _PIECE])
def test_a_file_with_other_lines_between_is_no_copy(world: World, size: int) -> None:
    async def story() -> None:
        world.write("a.log", content(b"one", size))
        await world.settle()
        world.write("b.log", content(b"two", size))
        # What is stored already comes once more, with the same ids.
        assert await world.settle() == content(b"two", size).splitlines()

    asyncio.run(story())


@pytest.mark.parametrize("size", [0, 3 * _PIECE])
def test_a_copy_goes_on_where_the_other_is(world: World, size: int) -> None:
    async def story() -> None:
        world.write("a.log", content(b"one", size))
        await world.settle()
        world.write("b.log", content(b"one", size) + b"more\n")
        assert await world.settle() == [b"more"]

    asyncio.run(story())


def test_of_a_log_that_was_truncated_meanwhile_the_copy_goes_on(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log", content(b"one"))
        await world.settle()
        world.write("b.log", content(b"one") + b"more\n")
        os.truncate(path, 0)
        assert await world.settle() == [b"more"]

    asyncio.run(story())


def test_of_many_that_begin_alike_all_lines_are_read(world: World) -> None:
    async def story() -> None:
        count = 3 * _MOST_COMPARED
        for number in range(count):
            world.write(f"{number:03}.log", content(b"line %03d" % number))
        await world.settle()
        between = [line for line in world.lines if line.startswith(b"line")]
        assert sorted(between) == [b"line %03d" % number for number in range(count)]

    asyncio.run(story())
