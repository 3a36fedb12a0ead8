"""What happens to a gzip, row by row as docs/files.md has it for a log: the same holds.

Rows that say nothing of a file's content (the registry, the data directory, walks, inodes) have no
twin. Gzips that break off, are damaged or too large are in `test_gzip_ends`.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from shipper.files.losses import LossReason
from shipper.files.quiet import CLOSE_REMOVED_AFTER, QUIET_AFTER
from shipper.files.retention import DIRECTORY
from shipper.files.tail import State
from shipper.files.vanished import LOOKED_FOR
from tests.files.test_compressed import FORGET_AFTER, World

FIRST, SECOND, THIRD = b"one\ntwo\n", b"three\nfour\n", b"five\nsix\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.directories.close_all()
    world.catalog.close()


def tell(story: Callable[[], Awaitable[None]]) -> None:
    async def together() -> None:
        await story()

    asyncio.run(together())


def compressed_in(world: World, name: str, source: Path) -> Path:
    """As `gzip -c source > name` does."""
    path = world.write(name, source.read_bytes())
    os.utime(path, (0, world.clock.now() + 1))
    return path


def acknowledge(world: World) -> None:
    for tail in world.catalog.tails:
        while tail.acks._in_flight:
            tail.acks._in_flight[0].finish()


async def look_long(world: World) -> list[bytes]:
    found = []
    for _ in range(5):
        found += await world.look()
        await world.clock.advance(LOOKED_FOR / 2)
    world.commit()
    return found


def links(world: World) -> list[str]:
    directory = world.directory / DIRECTORY
    return os.listdir(directory) if directory.exists() else []


# Written, renamed, copied -------------------------------------------------------------------------


def test_a_line_in_two_pieces_waits_for_its_newline(world: World) -> None:
    async def story() -> None:
        path = world.directory / "a.log.gz"
        packed = gzip.compress(b"one\ntw", mtime=0)[:-8]
        path.write_bytes(packed)
        assert await world.look() == [b"one"]
        whole = gzip.compress(b"one\ntw" + b"o\nthree\n", mtime=0)
        path.write_bytes(whole)
        assert await world.settle() == [b"two", b"three"]
        world.commit()
        assert world.losses == []

    tell(story)


def test_renamed_while_it_is_read(world: World) -> None:
    async def story() -> None:
        path = world.write("a.1.log.gz", FIRST)
        await world.tracker.scan(world.source)
        path.rename(world.directory / "a.2.log.gz")
        assert await world.settle() == [b"one", b"two"]
        assert world.catalog.tails == ()

    tell(story)


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
def test_several_rotations(world: World, down: bool) -> None:
    # Logrotate's numbers: each generation moves up by one.
    async def story() -> None:
        world.write("a.log.1.log.gz", FIRST)
        await world.settle()
        if down:
            world.kill()
        for number, content in enumerate((SECOND, THIRD), 2):
            for old in range(number, 1, -1):
                (world.directory / f"a.log.{old - 1}.log.gz").rename(
                    world.directory / f"a.log.{old}.log.gz"
                )
            path = world.write("a.log.1.log.gz", content)
            os.utime(path, (0, world.clock.now() + number))
        if down:
            world.start()
        found = await world.settle()
        assert sorted(found) == sorted((SECOND + THIRD).splitlines())

    tell(story)


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("name", ["a.log.gz", "b.log.gz"])
@pytest.mark.parametrize("acknowledged", [False, True], ids=["in flight", "acknowledged"])
def test_a_compressed_copy_is_made_before_the_cut(
    world: World, name: str, down: bool, acknowledged: bool
) -> None:
    async def story() -> None:
        log = world.write("a.log", FIRST)
        assert await world.look(acknowledge=acknowledged) == [b"one", b"two"]
        if down:
            world.kill()
        with log.open("ab") as file:
            file.write(SECOND)
        compressed_in(world, name, log)
        log.write_bytes(THIRD)
        if down:
            world.start()
        found = await world.settle()
        acknowledge(world)
        found += await look_long(world)
        again = [] if acknowledged else [b"one", b"two"]
        # In flight, and followed on: the lines of the former content are sent by its tail.
        wanted = SECOND.splitlines() + THIRD.splitlines() + again
        assert sorted(set(found)) == sorted(set(wanted)) or (
            not acknowledged and sorted(set(found)) == sorted(set(wanted) - set(again))
        )
        assert len(found) == len(set(found))
        assert world.losses == []

    tell(story)


def test_a_compressed_copy_of_a_log_that_goes_on_is_not_read(world: World) -> None:
    async def story() -> None:
        log = world.write("a.log", FIRST)
        await world.look()
        compressed_in(world, "a.log.gz", log)
        with log.open("ab") as file:
            file.write(SECOND)
        assert await look_long(world) == [b"three", b"four"]
        assert [tail.compressed for tail in world.catalog.tails] == [False], "it is done with"
        log.unlink()
        assert await look_long(world) == []
        assert world.losses == []

    tell(story)


def test_the_log_of_its_name_may_begin_alike_and_go_on_otherwise(world: World) -> None:
    # It is no reason to wait for it: neither if the gzip is longer, nor if it is shorter.
    async def story() -> None:
        world.write("a.log", b"banner\nmine\nand more\n")
        await world.look()
        world.write("a.log.gz", b"banner\nyours\nand more of it\n")
        world.write("b.log", b"banner\nmy second\nand more\n")
        await world.look()
        world.write("b.log.gz", b"banner\nours\n")
        await world.settle()
        assert {b"yours", b"and more of it", b"ours"} < set(world.lines)
        assert all(tail.state is not State.WAITING for tail in world.catalog.tails)

    tell(story)


def test_the_log_of_its_name_is_empty_or_no_log(world: World) -> None:
    async def story() -> None:
        world.write("a.log", b"")
        world.write("a.log.gz", FIRST)
        (world.directory / "b.log").mkdir()
        world.write("b.log.gz", SECOND)
        (world.directory / "c.log").symlink_to("elsewhere")
        world.write("c.log.gz", THIRD)
        assert sorted(await world.settle()) == sorted((FIRST + SECOND + THIRD).splitlines())

    tell(story)


def test_logs_that_are_unpacked_again_hold_up_no_other_gzips(world: World) -> None:
    async def story() -> None:
        for number in range(10):
            world.write(f"{number}.log.gz", b"%d\nold\n" % number)
        await world.look(acknowledge=False)
        # As `gunzip -k` does, while the gzips are being read.
        for number in range(10):
            world.write(f"{number}.log", b"%d\nold\n" % number)
        await world.look(acknowledge=False)
        acknowledge(world)
        world.write("z.log.gz", SECOND)
        for _ in range(4):
            await world.look()
            acknowledge(world)
        assert world.lines[-2:] == [b"three", b"four"]

    tell(story)


def test_one_that_begins_alike_has_the_same_length_and_name_is_read(world: World) -> None:
    async def story() -> None:
        log = world.write("a.log", b"banner\n1111\n")
        await world.look()
        compressed_in(world, "a.log.gz", log)
        await world.look()
        log.unlink()
        assert await world.settle() == [], "it is made of the log"
        world.kill()
        (world.directory / "a.log.gz").rename(world.directory / "b.log.gz")
        path = world.write("a.log.gz", b"banner\n2222\n")
        os.utime(path, (0, world.clock.now() + 1))
        world.start()
        assert b"2222" in await world.settle()

    tell(story)


@pytest.mark.parametrize("new", [b"x\n", b"another\n" * 100], ids=["shorter", "longer"])
def test_written_again_in_place_after_it_was_read(world: World, new: bytes) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", FIRST)
        await world.settle()
        path.write_bytes(gzip.compress(new))
        assert await look_long(world) == new.splitlines()
        # Restored from a backup: what is known is not read again.
        path.write_bytes(gzip.compress(FIRST))
        assert await look_long(world) == []
        assert world.losses == []

    tell(story)


def test_one_that_is_made_anew_of_a_trimmed_log_is_another_file(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", FIRST + SECOND)
        await world.settle()
        path.write_bytes(gzip.compress(SECOND))
        assert await look_long(world) == [b"three", b"four"]
        assert world.losses == []

    tell(story)


def test_two_that_begin_with_the_same_line_are_two_files(world: World) -> None:
    async def story() -> None:
        world.write("a.log.gz", b"banner\nmine\n")
        world.write("b.log.gz", b"banner\nyours\n")
        found = await world.settle()
        assert {b"mine", b"yours"} < set(found)
        world.kill()
        world.start()
        assert await world.settle() == []

    tell(story)


def test_deleted_and_made_again_with_the_same_inode(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", FIRST)
        inode = path.stat().st_ino
        await world.settle()
        world.commit()
        path.unlink()
        await world.look()
        for number in range(20):
            path = world.write(f"{number}.log.gz", b"number %d\n" % number)
            if path.stat().st_ino == inode:
                break
        assert len(await look_long(world)) == number + 1

    tell(story)


# Deleted, and the outage --------------------------------------------------------------------------


def test_a_copy_that_is_compressed_and_deleted_in_an_outage_is_kept(world: World) -> None:
    async def story() -> None:
        log = world.write("a.log", FIRST)
        await world.look(acknowledge=False)
        copy = compressed_in(world, "a.1.log.gz", log)
        log.write_bytes(SECOND)
        await world.look(acknowledge=False)
        copy.unlink()
        await world.look(acknowledge=False)
        world.kill()
        world.lines.clear()
        world.start()
        found = await look_long(world)
        assert sorted(found) == sorted((FIRST + SECOND).splitlines())
        assert world.losses == []

    tell(story)


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed"])
def test_what_does_not_fit_the_quota_is_lost_to_the_line(world: World, killed: bool) -> None:
    async def story() -> None:
        world.max_kept_bytes = 0
        world.kill()
        world.start()
        path = world.write("a.log.gz", FIRST + SECOND)
        await world.tracker.scan(world.source)
        path.unlink()
        await world.tracker.scan(world.source)
        await world.tracker.obey_quota()
        if killed:
            world.kill(commit=False)
            world.start()
        assert await look_long(world) == []
        [loss] = world.losses
        assert (loss.reason, loss.bytes, loss.lines) == (LossReason.RETENTION, 19, 4)
        assert links(world) == []

    tell(story)


@pytest.mark.parametrize("read", [False, True], ids=["in part", "wholly"])
def test_one_that_is_nowhere_after_a_start_is_recorded_once(world: World, read: bool) -> None:
    async def story() -> None:
        content = b"".join(b"%d\n" % number for number in range(200_000))
        path = world.write("a.log.gz", content)
        if read:
            await world.settle()
        else:
            await world.tracker.scan(world.source)
            [tail] = world.catalog.tails
            while await world.source.place(tail) is None:
                pass
            block = await tail.read(final=False)
            tail.acks.open(block.end, block.mark, 0.0).finish()  # type: ignore[union-attr]
        world.kill()
        path.unlink()
        shutil.rmtree(world.directory / DIRECTORY, ignore_errors=True)
        for _ in range(2):
            world.start()
            await look_long(world)
            world.kill()
        world.start()
        if read:
            assert world.losses == []
            return
        [loss] = world.losses
        assert (loss.reason, loss.bytes, loss.lines) == (LossReason.VANISHED, 0, None)
        assert loss.start == loss.end > 0

    tell(story)


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_its_writer_goes_on_after_it_was_removed(world: World, how: str) -> None:
    async def story() -> None:
        path = world.directory / "a.log.gz"
        with path.open("wb", buffering=0) as writer:
            writer.write(gzip.compress(FIRST))
            assert await world.look() == [b"one", b"two"]
            if how == "removed":
                path.unlink()
            else:
                path.rename(world.directory / "elsewhere")
            writer.write(gzip.compress(SECOND))
            assert await world.look() == [b"three", b"four"]
        await world.settle()
        assert world.catalog.tails == ()
        assert world.losses == []

    tell(story)


def test_a_last_line_without_a_newline_is_shipped_if_the_gzip_is_whole(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", b"one\ntwo")
        await world.tracker.scan(world.source)
        path.unlink()
        assert await world.settle() == [b"one", b"two"]
        assert world.catalog.tails == ()

    tell(story)


@pytest.mark.parametrize("how", ["link", "directory"])
def test_a_link_that_is_taken_away_in_an_outage_is_made_again(world: World, how: str) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", FIRST)
        await world.look(acknowledge=False)
        [name] = links(world)
        directory = world.directory / DIRECTORY
        (directory / name).unlink()
        if how == "directory":
            directory.rmdir()
        await world.clock.advance(61)
        await world.look(acknowledge=False)
        assert links(world) == [name]
        path.unlink()
        world.kill()
        world.start()
        assert await world.settle() == [b"one", b"two"]

    tell(story)


@pytest.mark.parametrize("lost", ["agent id", "registry", "both"])
def test_links_are_adopted_after_the_agent_id_or_the_registry_was_lost(
    world: World, lost: str
) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", FIRST)
        await world.look(acknowledge=False)
        path.unlink()
        world.kill()
        if lost != "registry":
            world.agent = "agent-2"
        if lost != "agent id":
            world.rows.clear()
        world.start()
        assert await world.settle() == [b"one", b"two"]
        world.commit()
        assert links(world) == []

    tell(story)


def test_nothing_is_left_of_a_directory_whose_gzips_are_gone(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", FIRST)
        await world.settle()
        path.unlink()
        await world.settle()
        world.commit()
        await world.look()
        assert os.listdir(world.directory) == []
        assert world.catalog.tails == ()

    tell(story)


def test_what_was_read_of_one_that_is_nowhere_and_not_acknowledged_is_counted(
    world: World,
) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", FIRST)
        await world.look(acknowledge=False)
        world.kill()
        path.unlink()
        shutil.rmtree(world.directory / DIRECTORY)
        world.start()
        await look_long(world)
        [loss] = world.losses
        assert (loss.reason, loss.start, loss.end) == (LossReason.VANISHED, 0, len(FIRST))
        assert loss.bytes == len(FIRST)

    tell(story)


# Links and places ---------------------------------------------------------------------------------


def test_hard_links_and_symbolic_links_to_one_gzip_are_one_file(world: World) -> None:
    async def story() -> None:
        world.kill()
        world.start(symlinks=True)
        path = world.write("a.log.gz", FIRST)
        (world.directory / "b.log.gz").hardlink_to(path)
        (world.directory / "c.log.gz").symlink_to(path)
        assert await world.settle() == [b"one", b"two"]
        path.unlink()
        assert await world.settle() == []

    tell(story)


def test_a_symbolic_link_moves_to_another_gzip(world: World) -> None:
    async def story() -> None:
        world.kill()
        world.start(symlinks=True)
        for name, content in (("first", FIRST), ("second", SECOND)):
            (world.directory / name).write_bytes(gzip.compress(content))
        link = world.directory / "a.log.gz"
        link.symlink_to("first")
        await world.tracker.scan(world.source)
        link.unlink()
        link.symlink_to("second")
        assert sorted(await world.settle()) == sorted((FIRST + SECOND).splitlines())

    tell(story)


def test_what_was_followed_through_a_symbolic_link_is_finished(world: World) -> None:
    async def story() -> None:
        world.kill()
        world.start(symlinks=True)
        target = world.directory / "target"
        target.write_bytes(gzip.compress(FIRST))
        (world.directory / "a.log.gz").symlink_to(target)
        assert await world.look(acknowledge=False) == [b"one", b"two"]
        world.kill()
        world.start()
        assert await world.settle() == [b"one", b"two"]
        target.write_bytes(gzip.compress(SECOND))
        assert await world.settle() == [], "links are not followed any more"

    tell(story)


@pytest.mark.parametrize("kind", ["directory", "fifo", "symbolic link"])
def test_what_takes_the_place_of_a_gzip_is_not_followed(world: World, kind: str) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", FIRST)
        secret = world.directory / "secret"
        secret.write_bytes(gzip.compress(SECOND))
        await world.tracker.scan(world.source)
        path.unlink()
        match kind:
            case "directory":
                path.mkdir()
            case "fifo":
                os.mkfifo(path)
            case _:
                path.symlink_to(secret)
        assert await world.settle() == [b"one", b"two"]
        assert world.catalog.tails == ()

    tell(story)


def test_a_directory_that_is_moved_away_and_back(world: World) -> None:
    async def story() -> None:
        world.write("a.log.gz", FIRST)
        await world.settle()
        away = world.directory.with_name("away")
        world.directory.rename(away)
        await world.settle()
        assert world.directories.without_links() == []
        away.rename(world.directory)
        world.write("b.log.gz", SECOND)
        assert await world.settle() == [b"three", b"four"]

    tell(story)


@pytest.mark.parametrize("what", ["directory", "file", "limit"])
def test_what_cannot_be_seen_for_days_is_not_forgotten(
    world: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        world.write("a.log.gz", FIRST)
        world.write("b.log", SECOND)
        await world.settle()
        world.kill()
        world.start()
        listing, opening = world.files.list_directory, world.files.open

        def forbidden(path: str, **_: object) -> None:
            number = errno.EMFILE if what == "limit" else errno.EACCES
            raise OSError(number, os.strerror(number), path)

        if what == "directory":
            monkeypatch.setattr(world.files, "list_directory", forbidden)
        else:
            monkeypatch.setattr(world.files, "open", forbidden)
        for _ in range(4):
            assert await world.look() == []
            await world.clock.advance(FORGET_AFTER + 1)
            world.commit()
        monkeypatch.setattr(world.files, "list_directory", listing)
        monkeypatch.setattr(world.files, "open", opening)
        assert await world.settle() == []

    tell(story)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_one_that_cannot_be_read_is_reported_and_read_when_it_can_be(
    world: World, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        world.write("a.log.gz", FIRST)
        world.write("b.log.gz", SECOND)
        opening = world.files.open

        def failing(path: str, *, symlinks: bool = True) -> int:
            if path.endswith("a.log.gz"):
                raise OSError(number, os.strerror(number), path)
            return opening(path, symlinks=symlinks)

        monkeypatch.setattr(world.files, "open", failing)
        assert await world.settle() == [b"three", b"four"]
        said = [entry["event.action"] for entry in world.said("warning")]
        assert said == ["compressed-file-read-failed"]
        monkeypatch.setattr(world.files, "open", opening)
        assert await world.settle() == [b"one", b"two"]

    tell(story)


# The first line, NULs -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"x" * 900, b"\n\nhead\n", b"x" * 5000 + b"\ntail\n"], ids=len)
def test_it_is_known_as_soon_as_its_first_line_can_be(world: World, content: bytes) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", content)
        await world.settle()
        world.kill()
        path = path.rename(world.directory / "b.log.gz")
        world.start()
        assert await world.settle() == []
        world.write("c.log", content)
        assert await world.settle() == [], "that is known, packed or not"

    tell(story)


@pytest.mark.parametrize("megabytes", [1, 4])
def test_megabytes_of_nuls_are_passed(world: World, megabytes: int) -> None:
    async def story() -> None:
        nuls = bytes(megabytes * 2**20)
        path = world.directory / "a.log.gz"
        path.write_bytes(gzip.compress(nuls + FIRST + b"half" + nuls + SECOND, 1))
        assert await world.settle() == [b"one", b"two", b"half", b"three", b"four"]
        world.commit()
        assert world.losses == []
        world.kill()
        world.start()
        assert await world.settle() == []

    tell(story)


def test_a_clock_that_is_set_loses_no_gzip(world: World) -> None:
    async def story() -> None:
        path = world.directory / "a.log.gz"
        packed = gzip.compress(FIRST)
        path.write_bytes(packed[:-9])
        await world.look()
        world.clock.set_wall_clock(10 * CLOSE_REMOVED_AFTER + QUIET_AFTER)
        await world.look()
        world.commit()
        assert world.losses == []
        path.write_bytes(packed)
        await world.settle()
        assert world.lines == [b"one", b"two"]

    tell(story)
