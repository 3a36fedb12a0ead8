"""Files of inputs that are not configured any more: found, taken over, warned of, or lost."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shipper.files.facts import inode_in
from shipper.files.former_inputs import FormerFiles, FormerInput, former_inputs, unmatched_files
from shipper.files.identity import identity_of, mark_of
from shipper.files.link_names import LinkOwner, link_name
from shipper.files.losses import LossReason
from shipper.files.registry import FileRecord, RowId
from shipper.files.retention import DIRECTORY
from shipper.files.vanished import LOOKED_FOR
from tests.files.test_compressed import World as InputWorld

READ = b"one\ntwo\n"
UNREAD = b"three\n"
ALL = READ + UNREAD

#: The input that was there once.
FORMER = "former"


class World(InputWorld):
    """A registry with rows of an input that is not configured; its logs are in `theirs`."""

    def __init__(self, directory: Path) -> None:
        self.theirs = directory.parent / "theirs"
        self.theirs.mkdir()
        self.former_rows: dict[RowId, FileRecord] = {}
        super().__init__(directory)

    def start(self, *, exclude: tuple[str, ...] = (), **options: Any) -> None:
        super().start(exclude=exclude, **options)
        self.former: list[FormerInput] = former_inputs(
            [*self.rows.values(), *self.former_rows.values()],
            ["tetragon"],
            clock=self.clock,
            on_change=lambda: None,
            forget_after=3600.0,
        )
        self.former_files = FormerFiles(
            [*self.former, *unmatched_files([self.source])],
            followed=[self.catalog.records],
            may_follow=self.tracker.may_follow,
            filesystem=self.files,
            clock=self.clock,
            log=self.log,
        )

    def remember(self, path: Path, data: bytes = ALL, offset: int = len(READ)) -> None:
        """The former input had seen all of a file, and so much of it was acknowledged."""
        identity = identity_of(data)
        assert identity is not None
        row = RowId(1000 + len(self.former_rows))
        inode = inode_in(path.stat()) if path.exists() else None
        now = self.clock.now()
        mark = mark_of(data[:offset])
        self.former_rows[row] = FileRecord(
            row, FORMER, str(path), identity, inode, None, offset, len(data), mark, now, None
        )

    def commit(self) -> None:
        super().commit()
        if self.full:
            return
        for former in self.former:
            changes = former.records.changes()
            self.former_rows |= {record.row: record for record in changes.records}
            self.losses += changes.losses
            former.records.committed(changes)

    async def pass_a_minute(self, times: int = 1) -> None:
        """Looks for what is left, as the daemon does."""
        for _ in range(times):
            await self.look()
            await self.former_files.look()
            self.commit()
            await self.clock.advance(LOOKED_FOR)

    def warnings(self, action: str = "input-not-configured") -> list[tuple[object, ...]]:
        """Of files: their number, their bytes, and how many are missing."""
        return [
            (entry["shipper.files"], entry["shipper.bytes"], entry["shipper.missing"])
            for entry in self.said("warning")
            if entry["event.action"] == action
        ]

    async def stop_behind(self) -> Path:
        """The input is stopped with a file of which more was seen than is acknowledged, and the
        file's link is gone."""
        path = self.write("a.log", READ)
        await self.look()
        with path.open("ab") as file:
            file.write(UNREAD)
        await self.tracker.scan(self.source)
        self.catalog.records.touched(self.catalog.tails[0])
        self.kill()
        shutil.rmtree(self.directory / DIRECTORY)
        return path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "ours").mkdir()
    world = World(tmp_path / "ours")
    yield world
    world.directories.close_all()
    world.catalog.close()


def test_a_file_that_is_nowhere_is_recorded_once_with_its_input(world: World) -> None:
    async def story() -> None:
        path = world.theirs / "a.log"
        world.remember(path)
        world.start()
        await world.look()
        await world.former_files.look()
        assert world.warnings() == [(1, len(UNREAD), 1)]
        await world.clock.advance(LOOKED_FOR - 1)
        await world.former_files.look()
        world.commit()
        assert world.losses == []
        await world.pass_a_minute(3)
        [loss] = world.losses
        assert (loss.reason, loss.input_id, loss.path) == (LossReason.VANISHED, FORMER, str(path))
        assert (loss.start, loss.end, loss.bytes, loss.lines) == (8, 14, 6, None)
        [error] = world.said("error")
        assert error["event.action"] == "file-vanished"
        world.kill()
        world.start()
        await world.pass_a_minute(3)
        assert len(world.losses) == 1
        assert len(world.warnings()) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    "where", ["path", "renamed", "copied", "gzip", "link", "symbolic link", "grown"]
)
def test_what_is_on_the_disk_is_not_lost_and_is_warned_of_at_each_start(
    world: World, where: str
) -> None:
    async def story() -> None:
        path = world.theirs / "a.log"
        path.write_bytes(ALL)
        world.remember(path)
        if where == "renamed":
            path.rename(world.theirs / "a.log.1")
            path.write_bytes(b"new\n")
        elif where == "copied":
            (world.theirs / "b").write_bytes(ALL)
            path.write_bytes(b"new\n")
        elif where == "gzip":
            (world.theirs / "a.log.gz").write_bytes(gzip.compress(ALL))
            path.unlink()
        elif where == "link":
            place = world.theirs / DIRECTORY
            place.mkdir(mode=0o700)
            owner = LinkOwner(world.agent, FORMER, "/data")
            path.rename(place / link_name(owner.token, path.stat().st_ino, str(path)))
        elif where == "symbolic link":
            path.rename(world.theirs.parent / "elsewhere")
            path.symlink_to(world.theirs.parent / "elsewhere")
        elif where == "grown":
            path.write_bytes(ALL + b"four\n")
        # What else is there keeps nobody from looking.
        (world.theirs / "z").mkdir()
        os.mkfifo(world.theirs / "y")
        (world.theirs / "x").symlink_to("x")
        for start in (1, 2):
            world.start()
            await world.pass_a_minute(3)
            assert world.warnings() == [(1, len(UNREAD), 0)] * start
            assert world.losses == []
            world.kill()

    asyncio.run(story())


@pytest.mark.parametrize("now", [b"new\n", b"one\ntwx\nthree\n", b"one\n", ALL[:-1], b""])
def test_other_content_at_its_path_is_not_the_file(world: World, now: bytes) -> None:
    async def story() -> None:
        path = world.theirs / "a.log"
        path.write_bytes(ALL)
        world.remember(path)
        # With its inode.
        path.write_bytes(now)
        world.start()
        await world.pass_a_minute(3)
        assert [loss.bytes for loss in world.losses] == [len(UNREAD)]

    asyncio.run(story())


@pytest.mark.parametrize("name", ["a.log", "b.log", "a.log.gz"])
def test_what_another_input_follows_is_that_inputs_from_then_on(world: World, name: str) -> None:
    async def story() -> None:
        world.remember(world.directory / "a.log")
        world.write(name, ALL)
        world.start()
        assert await world.look() == [b"one", b"two", b"three"]
        await world.former_files.look()
        # Its row is not committed: a kill now leaves the file to the former input.
        [row] = world.former_rows.values()
        world.full = True
        world.commit()
        await world.former_files.look()
        assert world.former[0].records.unfinished() == [row]
        world.full = False
        world.commit()
        await world.former_files.look()
        world.commit()
        [row] = world.former_rows.values()
        assert row.seen == row.offset == len(READ)
        (world.directory / name).unlink()
        for _ in range(2):
            await world.pass_a_minute(3)
            world.kill()
            world.start()
        assert (world.warnings(), world.losses) == ([], [])

    asyncio.run(story())


def test_what_another_input_knows_to_be_unfinished_is_recorded_by_that_input_alone(
    world: World,
) -> None:
    async def story() -> None:
        path = world.write("a.log", ALL)
        world.remember(path)
        [row] = world.former_rows.values()
        world.rows[RowId(1)] = replace(row, row=RowId(1), input_id="tetragon")
        path.unlink()
        world.start()
        await world.pass_a_minute(4)
        assert [loss.input_id for loss in world.losses] == ["tetragon"]
        assert world.warnings() == []

    asyncio.run(story())


@pytest.mark.parametrize("why", ["missing", "unreadable file", "too many files"])
def test_what_cannot_be_seen_is_not_lost_until_it_can(
    world: World, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        path = world.theirs / "a.log"
        path.write_bytes(ALL)
        world.remember(path)
        path.unlink()
        away = world.theirs.with_name("away")
        other = world.theirs / "b.log"
        if why == "missing":
            world.theirs.rename(away)
        else:
            other.write_bytes(b"other\n")
        if why == "unreadable file":
            world.files.forbidden.add("b.log")
        if why == "too many files":
            monkeypatch.setattr("shipper.files.former_inputs.MOST_FILES", 0)
        world.start()
        await world.pass_a_minute(4)
        assert world.losses == []
        assert world.warnings() == [(1, len(UNREAD), 0)]
        if why == "missing":
            away.rename(world.theirs)
        else:
            other.unlink()
        world.files.forbidden.clear()
        await world.pass_a_minute(3)
        assert len(world.losses) == 1

    asyncio.run(story())


def test_nothing_is_said_while_an_input_may_turn_out_to_follow_it_but_for_a_minute(
    world: World,
) -> None:
    async def story() -> None:
        world.remember(world.theirs / "a.log")
        # It cannot be opened.
        other = world.write("b.log", b"other\n")
        world.files.forbidden.add("b.log")
        world.start()
        await world.look()
        await world.former_files.look()
        assert world.warnings() == []
        await world.clock.advance(LOOKED_FOR)
        await world.look()
        await world.former_files.look()
        assert world.warnings() == [(1, len(UNREAD), 0)]
        await world.pass_a_minute(3)
        assert world.losses == []
        other.unlink()
        await world.pass_a_minute(3)
        # The file that could never be opened is one of its own.
        assert sorted(os.path.basename(loss.path) for loss in world.losses) == ["a.log", "b.log"]

    asyncio.run(story())


def test_what_another_former_input_has_shipped_is_not_lost(world: World) -> None:
    async def story() -> None:
        world.remember(world.theirs / "a.log")
        world.remember(world.theirs / "b.log", offset=len(ALL))
        second = RowId(1001)
        world.former_rows[second] = replace(world.former_rows[second], input_id="older")
        world.start()
        await world.pass_a_minute(3)
        assert (world.warnings(), world.losses) == ([], [])
        assert [row.seen for row in world.former_rows.values()] == [len(READ), len(ALL)]

    asyncio.run(story())


def test_rows_that_are_finished_are_not_looked_for(world: World) -> None:
    async def story() -> None:
        world.remember(world.theirs / "a.log", READ)
        world.start()
        await asyncio.wait_for(world.former_files.run(), 1)
        await world.pass_a_minute(2)
        assert (world.warnings(), world.losses) == ([], [])
        assert len(world.former_rows) == 1, "who configures the input again goes on there"

    asyncio.run(story())


def test_many_files_are_one_warning_with_their_sum(world: World) -> None:
    async def story() -> None:
        for number in range(30):
            data = b"%d\n" % number + ALL
            path = world.theirs / f"{number}.log"
            if number % 3:
                path.write_bytes(data)
            world.remember(path, data, offset=len(data) - 2)
        world.start()
        await world.pass_a_minute(3)
        assert world.warnings() == [(30, 60, 10)]
        assert len(world.losses) == 10
        assert {loss.path for loss in world.losses} == {
            f"{world.theirs}/{number}.log" for number in range(0, 30, 3)
        }

    asyncio.run(story())


def test_it_looks_by_itself_until_nothing_is_left(world: World) -> None:
    async def story() -> None:
        world.remember(world.theirs / "a.log")
        world.start()
        await world.look()
        task = asyncio.create_task(world.former_files.run())
        while not task.done():
            await world.clock.advance(1.0)
            await asyncio.sleep(0.001)  # It lists the directory in a thread.
        world.commit()
        assert len(world.losses) == 1
        shutil.rmtree(world.theirs)

    asyncio.run(story())


@pytest.mark.parametrize("change", ["paths", "exclude"])
def test_a_file_that_its_input_does_not_match_any_more_is_recorded_when_it_is_gone(
    world: World, change: str
) -> None:
    async def story() -> None:
        path = await world.stop_behind()
        path.unlink()
        if change == "paths":
            world.patterns = [f"{world.directory}/other/*.log"]
        world.start(exclude=(str(path),) if change == "exclude" else ())
        await world.pass_a_minute(3)
        assert world.warnings("files-not-matched") == [(1, len(UNREAD), 1)]
        [loss] = world.losses
        assert (loss.reason, loss.input_id, loss.path) == (
            LossReason.VANISHED,
            "tetragon",
            str(path),
        )
        assert (loss.start, loss.end) == (8, 14)
        world.kill()
        world.start()
        await world.pass_a_minute(3)
        assert len(world.losses) == 1

    asyncio.run(story())


def test_one_that_is_still_there_is_warned_of_and_goes_on_when_it_matches_again(
    world: World,
) -> None:
    async def story() -> None:
        await world.stop_behind()
        before = world.patterns
        world.patterns = [f"{world.directory}/other/*.log"]
        world.start()
        await world.pass_a_minute(3)
        assert world.warnings("files-not-matched") == [(1, len(UNREAD), 0)]
        world.kill()
        world.patterns = before
        world.start()
        await world.pass_a_minute(3)
        assert world.lines == [b"one", b"two", b"three"]
        assert world.losses == []

    asyncio.run(story())


@pytest.mark.parametrize("where", ["renamed", "linked", "copied"])
def test_one_that_the_input_follows_all_the_same_is_no_loss(world: World, where: str) -> None:
    async def story() -> None:
        path = await world.stop_behind()
        other = world.directory / "other"
        other.mkdir()
        if where == "linked":
            link = world.directory / DIRECTORY
            link.mkdir(0o700)
            owner = LinkOwner(world.agent, "tetragon", str(world.directory))
            os.link(path, link / link_name(owner.token, path.stat().st_ino, str(path)))
            path.unlink()
        elif where == "renamed":
            path.rename(other / "b.log")
        else:
            (other / "b.log").write_bytes(path.read_bytes())
            path.unlink()
        world.patterns = [f"{other}/*.log"]
        world.start()
        await world.pass_a_minute(4)
        assert world.lines == [b"one", b"two", b"three"]
        assert world.losses == []

    asyncio.run(story())


def test_one_that_goes_after_it_was_found_is_recorded_without_a_restart(world: World) -> None:
    async def story() -> None:
        path = world.theirs / "a.log"
        path.write_bytes(ALL)
        world.remember(path)
        world.start()
        await world.pass_a_minute(3)
        assert world.warnings() == [(1, len(UNREAD), 0)]
        path.rename(world.theirs / "b.log")
        await world.pass_a_minute(3)
        assert world.losses == []
        (world.theirs / "b.log").unlink()
        await world.pass_a_minute(3)
        [loss] = world.losses
        assert (loss.reason, loss.input_id, loss.start) == (LossReason.VANISHED, FORMER, 8)

    asyncio.run(story())
