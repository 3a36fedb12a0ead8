"""Directories that others could write to are listed in bounded steps."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import shipper
from shipper.files import link_adoption, link_directory
from shipper.files.filesystem import FileSystem
from shipper.offload import in_a_thread
from tests.files.test_compressed import World

MANY = 20_000

#: Who lists a whole directory, and why that may be.
LISTERS = {
    "check/filebeat.py": "a command: the processes of the machine, and their descriptors",
    "check/listening.py": "a command: the descriptors of a process",
    "check/locks.py": "a command: the descriptors of a process",
    "dead_letters/files.py": "data_dir: nobody else may write to it",
    "filebeat_registry/store.py": "Filebeat's data directory: once, at a first start",
    "files/downgrade.py": "a command: nobody else waits",
    "files/filesystem.py": "the iterators that the others use",
    "output/file/append.py": "the directory of an output file: in its own thread",
}


def test_nobody_else_lists_a_directory() -> None:
    package = Path(shipper.__file__).parent
    listers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"\bos\.(listdir|scandir|walk|fwalk)\b", path.read_text(encoding="utf-8"))
    }
    assert listers == LISTERS.keys()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.directories.close_all()
    world.catalog.close()


def strangers(world: World, count: int) -> Path:
    """A `.shipper` into which somebody else has put so many names."""
    links = world.directory / ".shipper"
    links.mkdir(mode=0o770, exist_ok=True)
    links.chmod(0o770)
    for number in range(count):
        (links / f"stranger-{number}").symlink_to("/dev/null")
    return links


def test_names_are_listed_one_at_a_time(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).touch()
    filesystem = FileSystem()
    assert filesystem.first_names(str(tmp_path), 4) is None
    assert sorted(filesystem.first_names(str(tmp_path), 5) or ()) == list("01234")


def test_of_very_many_foreign_links_a_bounded_number_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_adoption, "MOST_FOREIGN", 10)
    strangers(world, 50)
    world.write("a.log", b"one\n")
    assert asyncio.run(world.look()) == [b"one"]
    assert world.tracker.foreign_links == 10


@pytest.mark.parametrize("few", [0, 1000])
def test_links_that_are_taken_away_are_found_among_very_many_others(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(link_directory, "_FEW", few)

    async def story() -> None:
        for name in "abc":
            world.write(f"{name}.log", name.encode() + b"\n")
        await world.look()
        links = strangers(world, 50)
        [taken] = [path for path in links.iterdir() if path.name.endswith("a.log")]
        taken.unlink()
        await world.look()
        assert [path for path in links.iterdir() if path.name.endswith("a.log")] == [taken]
        assert "links-missing" in [entry["event.action"] for entry in world.said("warning")]

    asyncio.run(story())


def test_a_thread_may_have_nothing_to_say() -> None:
    def too_many() -> list[str] | None:
        return None

    async def run() -> None:
        async with asyncio.timeout(10):
            assert await in_a_thread(too_many) is None

    asyncio.run(run())


def test_twenty_thousand_names_of_a_stranger_hold_nobody_up(world: World) -> None:
    """Two seconds: that many names have to be made."""

    async def story() -> None:
        world.write("a.log", b"one\n")
        strangers(world, MANY)
        longest, before = 0.0, time.thread_time()

        async def others() -> None:
            nonlocal longest, before
            while True:
                await asyncio.sleep(0)
                now = time.thread_time()
                longest, before = max(longest, now - before), now

        task = asyncio.create_task(others())
        for _ in range(2):
            await world.tracker.scan(world.source)
        task.cancel()
        # Of the processor: what others do on the machine does not count.
        assert longest < 0.2, longest

    asyncio.run(story())
