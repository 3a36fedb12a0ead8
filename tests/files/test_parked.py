"""Files that are quiet give their descriptor back, and nothing is lost or doubled for it."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper.files import finding, followed, opening, reopening
from shipper.files.discovery import scan
from shipper.files.losses import LossReason
from shipper.files.parked import QuietFile, stamp
from shipper.files.parking import QUIET_AFTER
from shipper.files.vanished import LOOKED_FOR
from tests.files.test_compressed import Files, World


class CountedFiles(Files):
    """How many logs are open, by their paths or links."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: set[int] = set()
        self.no_links = False

    def link(self, descriptor: int, directory: int, name: str) -> None:
        if self.no_links:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        super().link(descriptor, directory, name)

    def open(self, path: str, *, symlinks: bool = True) -> int:
        descriptor = super().open(path, symlinks=symlinks)
        self.logs.add(descriptor)
        return descriptor

    def open_in(self, directory: int, name: str) -> int:
        descriptor = super().open_in(directory, name)
        self.logs.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        self.logs.discard(descriptor)
        super().close(descriptor)


class ParkingWorld(World):
    files: CountedFiles

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, CountedFiles())

    @property
    def open_names(self) -> list[str]:
        return sorted(os.path.basename(tail.path) for tail in self.catalog.tails)

    @property
    def links(self) -> list[str]:
        """The names of the logs that have a link."""
        place = self.directory / ".shipper"
        names = os.listdir(place) if place.exists() else []
        return sorted(name.split("-", 2)[2] for name in names)

    def append(self, name: str, data: bytes) -> Path:
        path = self.directory / name
        with path.open("ab") as file:
            file.write(data)
        return path

    async def quiet(self) -> None:
        """Long enough that what is done is parked."""
        await self.look()
        self.commit()
        await self.clock.advance(QUIET_AFTER)
        await self.look()
        self.commit()

    async def look_often(self, times: int = 6) -> list[bytes]:
        lines = []
        for _ in range(times):
            lines += await self.look()
            self.commit()
            await self.clock.advance(6)
        return lines


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ParkingWorld]:
    world = ParkingWorld(tmp_path)
    yield world
    world.kill(commit=False)


def limited(world: ParkingWorld, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Only so many descriptors are there for logs; one more is a reserved one."""

    def is_reserved(_: int) -> bool:
        return len(world.files.logs) > most

    monkeypatch.setattr(opening, "is_reserved", is_reserved)
    monkeypatch.setattr(followed, "is_reserved", is_reserved)


def told(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


async def one_parked(world: ParkingWorld) -> Path:
    """`old.log` is parked, `new.log` is the newest of the directory and stays open."""
    path = world.write("old.log", b"one\ntwo\n")
    os.utime(path, (0, world.clock.now() - 100))
    world.write("new.log", b"three\n")
    os.utime(world.directory / "new.log", (0, world.clock.now()))
    await world.quiet()
    assert world.open_names == ["new.log"]
    assert len(world.catalog.parked) == 1
    assert world.lines == [b"three", b"one", b"two"]
    world.lines.clear()
    return path


@pytest.mark.parametrize("size", [0, 1, 2**63 - 1])
@pytest.mark.parametrize("modified", [0, -1, -(2**62), 2**62, 2**70])
def test_a_quiet_file_knows_its_size_and_time_whatever_they_are(size: int, modified: int) -> None:
    file = QuietFile(None, "/l/a.log", stamp(size, modified))
    assert (file.size, file.modified) == (size, modified)


def test_a_quiet_file_gives_its_descriptor_back_and_keeps_its_link(world: ParkingWorld) -> None:
    async def story() -> None:
        await one_parked(world)
        assert len(world.files.logs) == 1
        assert world.links == ["new.log", "old.log"]
        # Nothing is opened to see that nothing was written to it.
        opened = len(world.files.opened)
        await world.look_often()
        assert len(world.files.opened) == opened
        assert world.lines == []
        assert world.losses == []

    told(story)


def test_one_that_says_that_it_is_of_the_year_2300_is_seen_by_each_walk(
    world: ParkingWorld,
) -> None:
    async def story() -> None:
        for number, name in enumerate(("old.log", "new.log"), start=2300):
            path = world.write(name, b"%d\n" % number)
            # More nanoseconds than 63 bits hold.
            os.utime(path, ((number - 1970) * 31_600_000,) * 2)
        await world.quiet()
        assert world.open_names == ["new.log"]
        settled = world.catalog.parked.begin_walk()
        pattern = str(world.directory / "*.log")
        assert scan(world.files, [pattern], settled=settled).settled == 1

    told(story)


def test_what_is_written_to_it_is_read_from_there_on(world: ParkingWorld) -> None:
    async def story() -> None:
        await one_parked(world)
        world.append("old.log", b"four\n")
        assert await world.look() == [b"four"]
        assert "old.log" in world.open_names
        await world.quiet()
        world.append("new.log", b"five\n")
        world.append("old.log", b"six\n")
        assert sorted(await world.look_often()) == [b"five", b"six"]
        assert world.losses == []

    told(story)


def test_what_a_notification_tells_of_is_opened_without_a_scan(world: ParkingWorld) -> None:
    async def story() -> None:
        path = await one_parked(world)
        assert world.tracker.written(world.source, [str(path)]) == []  # Nothing was.
        assert world.open_names == ["new.log"]
        world.append("old.log", b"four\n")
        [tail] = world.tracker.written(world.source, [str(path)])
        assert tail.path == str(path)
        assert await world.look() == [b"four"]

    told(story)


@pytest.mark.parametrize("written", [b"", b"four\n", b"four\nhalf"])
@pytest.mark.parametrize("scanned", [False, True])
def test_what_is_written_before_it_is_removed_is_shipped(
    world: ParkingWorld, written: bytes, scanned: bool
) -> None:
    async def story() -> None:
        path = await one_parked(world)
        world.append("old.log", written)
        if scanned:
            world.tracker.written(world.source, [str(path)])
        path.unlink()
        assert await world.look_often() == written.splitlines()
        assert world.links == ["new.log"]
        assert world.catalog.parked.inodes == set()
        assert world.losses == []

    told(story)


def test_a_rename_needs_no_descriptor_and_is_remembered(world: ParkingWorld) -> None:
    async def story() -> None:
        path = await one_parked(world)
        path.rename(world.directory / "older.log")
        opened = len(world.files.opened)
        await world.look_often()
        assert len(world.files.opened) == opened
        assert sorted(os.path.basename(record.path) for record in world.rows.values()) == [
            "new.log",
            "older.log",
        ]
        world.append("older.log", b"four\n")
        assert await world.look() == [b"four"]

    told(story)


@pytest.mark.parametrize("content", [b"ONE\n", b"one\nTWO\n", b"one\nTWO\nthree and more\n"])
def test_another_content_in_its_place_is_read_from_its_beginning(
    world: ParkingWorld, content: bytes
) -> None:
    async def story() -> None:
        path = await one_parked(world)
        path.write_bytes(content)
        assert await world.look_often() == content.splitlines()
        assert world.losses == []

    told(story)


def test_another_file_at_its_path_is_another_file(world: ParkingWorld) -> None:
    async def story() -> None:
        path = await one_parked(world)
        world.append("old.log", b"four\n")
        other = world.directory / "other"
        other.write_bytes(b"other\n")
        other.rename(path)
        assert sorted(await world.look_often()) == [b"four", b"other"]
        assert world.losses == []

    told(story)


def test_a_copy_of_a_parked_file_has_a_row_of_its_own(world: ParkingWorld) -> None:
    async def story() -> None:
        path = await one_parked(world)
        world.write("copy.log", path.read_bytes() + b"of the copy\n")
        assert await world.look_often() == [b"of the copy"]
        world.append("old.log", b"four\n")
        assert await world.look_often() == [b"four"]

    told(story)


def test_a_second_name_is_no_move(world: ParkingWorld) -> None:
    async def story() -> None:
        path = await one_parked(world)
        os.link(path, world.directory / "a-second-name.log")
        await world.look_often()
        assert sorted(os.path.basename(each.path) for each in world.rows.values()) == [
            "new.log",
            "old.log",
        ]
        path.unlink()
        world.append("a-second-name.log", b"four\n")
        assert await world.look_often() == [b"four"]

    told(story)


def test_its_link_is_made_again_if_somebody_removes_it(world: ParkingWorld) -> None:
    async def story() -> None:
        path = await one_parked(world)
        for name in os.listdir(world.directory / ".shipper"):
            os.unlink(world.directory / ".shipper" / name)
        await world.look()
        assert world.links == ["new.log", "old.log"]
        world.append("old.log", b"four\n")
        path.unlink()
        assert await world.look_often() == [b"four"]

    told(story)


def test_what_was_read_is_no_loss_when_link_and_name_go_together(world: ParkingWorld) -> None:
    async def story() -> None:
        path = await one_parked(world)
        for name in os.listdir(world.directory / ".shipper"):
            os.unlink(world.directory / ".shipper" / name)
        path.unlink()
        await world.look_often(20)
        assert world.losses == []
        assert len(world.catalog.parked) == 0

    told(story)


def test_a_file_without_a_link_is_not_parked(world: ParkingWorld) -> None:
    async def story() -> None:
        world.files.no_links = True
        for number in range(3):
            path = world.write(f"{number}.log", b"%d\n" % number)
            os.utime(path, (0, world.clock.now() - 100 + number))
        await world.quiet()
        assert world.open_names == ["0.log", "1.log", "2.log"]

    told(story)


def test_what_is_not_acknowledged_or_not_committed_is_not_parked(world: ParkingWorld) -> None:
    async def story() -> None:
        for number in range(3):
            path = world.write(f"{number}.log", b"%d\n" % number)
            os.utime(path, (0, world.clock.now() - 100 + number))
        await world.look(acknowledge=False)
        world.commit()
        await world.clock.advance(QUIET_AFTER)
        await world.look()
        assert len(world.catalog.parked) == 0
        for tail in world.catalog.tails:
            while tail.acks._in_flight:
                tail.acks._in_flight[0].finish()
        await world.look()
        assert len(world.catalog.parked) == 0
        world.commit()
        await world.look()
        assert world.open_names == ["2.log"]

    told(story)


def test_an_empty_file_is_parked_and_read_from_its_beginning(world: ParkingWorld) -> None:
    async def story() -> None:
        path = world.write("empty.log", b"")
        os.utime(path, (0, world.clock.now() - 100))
        world.write("new.log", b"one\n")
        await world.quiet()
        assert world.open_names == ["new.log"]
        world.append("empty.log", b"two\n")
        assert await world.look() == [b"two"]
        other = world.write("another.log", b"")
        os.utime(other, (0, world.clock.now() - 100))
        await world.quiet()
        other.unlink()
        await world.look_often()
        assert world.links == ["empty.log", "new.log"]

    told(story)


def test_lines_that_come_after_the_first_scan_are_read_with_start_at_end(
    world: ParkingWorld,
) -> None:
    async def story() -> None:
        world.kill()
        world.start(start_at_end=True)
        world.write("empty.log", b"")
        world.write("half.log", b"before\nha")
        await world.tracker.scan(world.source)
        world.append("empty.log", b"one\n")
        world.append("half.log", b"lf\nafter\n")
        assert sorted(await world.look_often()) == [b"after", b"half", b"one"]

    told(story)


# More files than descriptors.


async def write_many(world: ParkingWorld, count: int) -> list[bytes]:
    """`count` files, of which the last one is the newest; returns their lines."""
    for number in range(count):
        path = world.write(f"{number:02}.log", b"line %02d\n" % number)
        os.utime(path, (0, world.clock.now() - 1000 + number))
    return [b"line %02d" % number for number in range(count)]


def test_all_are_linked_at_once_and_read_the_newest_first(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        limited(world, monkeypatch, 3)
        lines = await write_many(world, 12)
        assert await world.look() == lines[:8:-1]
        assert len(world.links) == 12
        assert len(world.files.logs) <= 3
        assert world.said("warning") == []
        world.commit()
        assert await world.look_often(8) == lines[8::-1]
        assert world.losses == []
        assert len(world.files.logs) <= 3

    told(story)


@pytest.mark.parametrize("linked", [True, False])
def test_of_very_many_only_some_are_open_unless_they_have_no_links(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    async def story() -> None:
        monkeypatch.setattr(finding, "MOST_OPEN", 4)
        monkeypatch.setattr(reopening, "MOST_OPEN", 4)
        monkeypatch.setattr(reopening, "_MOST_OPENED", 4)
        world.files.no_links = not linked
        lines = await write_many(world, 12)
        # Nothing is read: an outage.
        for _ in range(3):
            await world.tracker.scan(world.source)
        assert len(world.files.logs) == (4 if linked else 12)
        path = world.write("active.log", b"active\n")
        os.utime(path, (0, world.clock.now()))
        world.tracker.appear(world.source, [str(path)])
        assert "active.log" in world.open_names
        for path in world.directory.glob("0*.log"):
            path.unlink()
        await world.tracker.scan(world.source)
        assert len(world.files.logs) == (4 if linked else 13)
        assert sorted(await world.look_often(14)) == [b"active", *lines]
        assert world.losses == []

    told(story)


def test_what_is_removed_before_there_is_a_descriptor_is_shipped(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        limited(world, monkeypatch, 3)
        lines = await write_many(world, 12)
        found = await world.look()
        for path in world.directory.glob("0*.log"):
            path.unlink()
        found += await world.look_often(12)
        assert sorted(found) == lines
        assert world.losses == []
        assert len(world.files.logs) <= 3

    told(story)


def test_all_of_them_are_shipped_once_after_a_kill(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        limited(world, monkeypatch, 3)
        lines = await write_many(world, 12)
        found = await world.look()
        world.kill()
        for path in world.directory.glob("0*.log"):
            path.unlink()
        world.start()
        found += await world.look_often(12)
        assert sorted(found) == lines
        assert world.losses == []
        assert len(world.files.logs) <= 3

    told(story)


def test_the_active_log_is_opened_although_old_ones_wait(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        limited(world, monkeypatch, 3)
        lines = await write_many(world, 6)
        # Nothing is read: an outage.
        await world.tracker.scan(world.source)
        assert world.open_names == ["03.log", "04.log", "05.log"]
        path = world.write("active.log", b"active\n")
        os.utime(path, (0, world.clock.now()))
        world.tracker.appear(world.source, [str(path)])
        assert world.open_names == ["04.log", "05.log", "active.log"]
        assert sorted(await world.look_often(8)) == [b"active", *lines]

    told(story)


def test_what_one_that_was_half_read_has_left_is_read_once(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        limited(world, monkeypatch, 2)
        world.write("a.log", b"one\n")
        os.utime(world.directory / "a.log", (0, world.clock.now() - 100))
        assert await world.look() == [b"one"]
        world.append("a.log", b"two\n")
        os.utime(world.directory / "a.log", (0, world.clock.now() - 90))
        await world.tracker.scan(world.source)
        await write_many(world, 0)
        for name in ("b.log", "c.log", "d.log"):
            world.write(name, name.encode() + b"\n")
        await world.tracker.scan(world.source)
        assert "a.log" not in world.open_names
        assert world.catalog.backlog >= 4 + 3 * 6
        os.unlink(world.directory / "a.log")
        found = await world.look_often(8)
        assert sorted(found) == [b"b.log", b"c.log", b"d.log", b"two"]
        assert world.catalog.backlog == 0

    told(story)


def test_the_quota_counts_those_that_wait_and_gives_up_the_oldest(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        world.max_kept_bytes = 4 * len(b"line 00\n")
        world.kill()
        world.start()
        limited(world, monkeypatch, 3)
        lines = await write_many(world, 12)
        await world.tracker.scan(world.source)
        for path in world.directory.glob("*.log"):
            path.unlink()
        for _ in range(8):
            await world.tracker.scan(world.source)
            await world.tracker.obey_quota()
        assert world.tracker.quota.kept_bytes <= world.max_kept_bytes
        found = await world.look_often(12)
        assert sum(loss.lines or 0 for loss in world.losses) + len(found) == 12
        assert {loss.reason for loss in world.losses} == {LossReason.RETENTION}
        assert sorted(found) == lines[-len(found) :]
        assert world.links == []

    told(story)


def test_one_that_vanishes_before_it_could_be_opened_is_a_loss(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        path = await one_that_is_gone(world, monkeypatch)
        await world.look_often(4)
        assert world.losses == [], "it is looked for"
        await world.clock.advance(LOOKED_FOR)
        await world.look_often()
        [loss] = world.losses
        assert (loss.path, loss.reason, loss.bytes) == (str(path), LossReason.VANISHED, 8)

    told(story)


async def one_that_is_gone(world: ParkingWorld, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that was linked to be read later, all of whose names were removed."""
    limited(world, monkeypatch, 2)
    await write_many(world, 4)
    await world.tracker.scan(world.source)
    limited(world, monkeypatch, 0)
    [inode, *_] = world.catalog.parked.waiting
    path = Path(world.catalog.parked.path(inode))
    remove_all_names(world, path)
    await world.tracker.scan(world.source)
    limited(world, monkeypatch, 10)
    return path


def remove_all_names(world: ParkingWorld, path: Path) -> None:
    path.unlink()
    for name in os.listdir(world.directory / ".shipper"):
        if name.endswith(path.name):
            os.unlink(world.directory / ".shipper" / name)


def test_one_that_vanishes_before_it_could_be_opened_is_a_loss_also_after_a_kill(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        path = await one_that_is_gone(world, monkeypatch)
        world.kill()
        world.start()
        await world.look_often(6)
        await world.clock.advance(LOOKED_FOR)
        await world.look_often()
        assert [(loss.path, loss.bytes) for loss in world.losses] == [(str(path), 8)]

    told(story)


def test_one_that_is_compressed_and_vanishes_before_it_could_be_opened_is_no_loss(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        path = await one_that_is_gone(world, monkeypatch)
        await world.clock.advance(LOOKED_FOR / 2)
        line = b"line " + path.stem.encode()
        world.write(f"{path.name}.gz", line + b"\n")
        await world.look_often(3)
        await world.clock.advance(LOOKED_FOR)
        await world.look_often(3)
        assert world.losses == []
        assert world.lines.count(line) == 1

    told(story)


@pytest.mark.parametrize("copied", ["plain", "gzip", "nowhere"])
def test_one_that_was_opened_before_is_looked_for_by_its_content(
    world: ParkingWorld, copied: str
) -> None:
    """Its rest was written while it was closed, and a minute is left to find it."""

    async def story() -> None:
        path = await one_parked(world)
        read = path.read_bytes()
        with path.open("ab") as file:
            file.write(b"more\n")
        world.files.forbidden.add(path.name)
        await world.look()
        all_of_it = path.read_bytes()
        remove_all_names(world, path)
        await world.look_often(3)
        assert world.losses == []
        if copied != "nowhere":
            world.write("b.log" if copied == "plain" else f"{path.name}.gz", all_of_it)
        await world.look_often(3)
        await world.clock.advance(LOOKED_FOR)
        await world.look_often(3)
        if copied == "nowhere":
            [loss] = world.losses
            assert (loss.start, loss.end) == (len(read), len(all_of_it))
            assert loss.reason is LossReason.VANISHED
        else:
            assert world.losses == []
            assert world.lines.count(b"more") == 1

    told(story)


def test_without_links_and_descriptors_it_is_said(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        world.files.no_links = True
        limited(world, monkeypatch, 3)
        await write_many(world, 6)
        await world.look()
        summary = world.tracker.summary(world.source)
        assert summary.unreadable_count == 3
        assert all("descriptor" in why for _, why in summary.unreadable)

    told(story)


def test_a_long_outage_forgets_no_row_of_a_file_that_waits(world: ParkingWorld) -> None:
    async def story() -> None:
        await one_parked(world)
        world.kill()
        world.start()
        for _ in range(5):
            # Nothing is read, for longer than anything is remembered.
            await world.tracker.scan(world.source)
            world.commit()
            await world.clock.advance(4000)
        assert await world.look_often() == []

    told(story)


# Gzips beside parked files.


def test_a_gzip_of_a_parked_file_is_not_shipped_again(world: ParkingWorld) -> None:
    async def story() -> None:
        path = await one_parked(world)
        world.write("old.log.gz", path.read_bytes())
        assert await world.look_often() == []
        path.unlink()
        assert await world.look_often(12) == []
        assert world.losses == []

    told(story)


def test_a_gzip_of_other_content_beside_a_parked_file_is_shipped(world: ParkingWorld) -> None:
    async def story() -> None:
        await one_parked(world)
        world.write("old.log.gz", b"other\nlines\n")
        assert await world.look_often(12) == [b"other", b"lines"]

    told(story)


def test_a_gzip_waits_for_a_file_that_waits_for_a_descriptor(
    world: ParkingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        limited(world, monkeypatch, 3)
        lines = await write_many(world, 8)
        (world.directory / "copy.log.gz").write_bytes(
            gzip.compress((world.directory / "00.log").read_bytes())
        )
        found = await world.look_often(14)
        assert sorted(found) == lines

    told(story)


# Limits.


def test_the_oldest_quiet_files_give_way_when_there_are_too_many(world: ParkingWorld) -> None:
    async def story() -> None:
        await write_many(world, 4)
        await world.quiet()
        assert len(world.catalog.parked) == 3
        for name in ("new-1.log", "new-2.log"):
            world.write(name, name.encode() + b"\n")
            os.utime(world.directory / name, (0, world.clock.now()))
        found = scan(
            world.files,
            [f"{world.directory}/*.log"],
            max_files=4,
            settled=world.catalog.parked.begin_walk(),
        )
        assert found.files_left_out == 2
        assert world.catalog.apply(found) == []
        assert world.open_names == ["new-1.log", "new-2.log"]
        parked = [world.catalog.parked.path(each) for each in world.catalog.parked.inodes]
        assert sorted(map(os.path.basename, parked)) == ["02.log", "03.log"]
        assert world.links == ["02.log", "03.log", "new-1.log", "new-2.log"]

    told(story)
