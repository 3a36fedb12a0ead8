"""Which gzips are read, and what they wait for: beside plain files, across restarts and trouble."""

from __future__ import annotations

import asyncio
import errno
import gzip
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from shipper.files.catalog import Catalog
from shipper.files.compressed import CompressedLogs
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.lines import Block, CutLine, HalfLine, NoLine, ReadBuffer, Rewritten
from shipper.files.link_directory import LinkDirectories
from shipper.files.link_names import LinkOwner
from shipper.files.losses import Loss, LossReason
from shipper.files.quiet import QUIET_AFTER
from shipper.files.registry import FileRecord, RowId
from shipper.files.retention import DIRECTORY, Retention
from shipper.files.schedule import WalkSchedule
from shipper.files.tail import State
from shipper.files.tracked_input import TrackedInput
from shipper.files.tracker import FileTracker
from shipper.files.watch import WakeUp
from shipper.metrics import Metrics
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog

FORGET_AFTER = 3600.0


class Files(FileSystem):
    """A file system in which some files cannot be opened."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: set[str] = set()
        self.opened: list[str] = []

    def open(self, path: str, *, symlinks: bool = True) -> int:
        if os.path.basename(path) in self.forbidden:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        self.opened.append(os.path.basename(path))
        return super().open(path, symlinks=symlinks)


class World:
    """One input, from its directory to its registry's rows."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self.directory = directory
        self.clock = ManualClock(now=directory.stat().st_mtime)
        self.files = files or Files()
        self.metrics = Metrics()
        self.lines: list[bytes] = []
        #: What the registry has of losses, and whether it cannot be written.
        self.losses: list[Loss] = []
        self.full = False
        self.max_kept_bytes = 2**30
        self.rows: dict[RowId, FileRecord] = {}
        self.agent = "agent-1"
        self.patterns = [f"{directory}/*.log"]
        self._numbers = itertools.count(1)
        self.recorded = RecordedLog(self.clock)
        self.log = self.recorded.log
        self.start()

    def start(self, *, exclude: tuple[str, ...] = (), **options: Any) -> None:
        """A process begins with what the rows say."""
        self.catalog = Catalog(
            "tetragon",
            filesystem=self.files,
            clock=self.clock,
            buffer=ReadBuffer(1024),
            remembered=list(self.rows.values()),
            new_row=lambda: RowId(next(self._numbers)),
            on_change=lambda: None,
            forget_after=FORGET_AFTER,
            **options,
        )
        faults = FileErrors(self.metrics, self.log)
        self.directories = LinkDirectories(self.files, self.clock, faults.report)
        owner = LinkOwner(self.agent, "tetragon", "/data")
        retention = Retention(self.files, self.directories, owner, faults.report)
        self.source = TrackedInput(
            "tetragon",
            self.patterns,
            self.catalog,
            WakeUp(),
            WalkSchedule(self.clock, 2.0),
            exclude=(*exclude, "*.gz"),
            symlinks=options.get("symlinks", False),
            retention=retention,
            compressed=CompressedLogs(
                self.patterns,
                self.catalog,
                exclude=exclude,
                symlinks=options.get("symlinks", False),
                filesystem=self.files,
                metrics=self.metrics,
                log=self.log,
            ),
        )
        self.tracker = self.tracker_of(self.source)

    def tracker_of(self, source: TrackedInput) -> FileTracker:
        return FileTracker(
            [source],
            filesystem=self.files,
            faults=FileErrors(self.metrics, self.log),
            metrics=self.metrics,
            log=self.log,
            max_kept_bytes=self.max_kept_bytes,
            clock=self.clock,
            commit=self._commit,
        )

    def kill(self, *, commit: bool = True) -> None:
        """And the registry knows all that is acknowledged, if it was told."""
        if commit:
            self.commit()
        self.directories.close_all()
        self.catalog.close()

    def commit(self) -> None:
        records = self.catalog.records
        changes = records.changes()
        if self.full:
            records.failed(changes)
            return
        self.rows.update({record.row: record for record in changes.records})
        for row in changes.forgotten:
            self.rows.pop(row, None)
        self.losses += changes.losses
        records.committed(changes)
        self.tracker.committed(self.source)

    async def _commit(self, _: TrackedInput) -> None:
        self.commit()

    def write(self, name: str, data: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return path

    async def look(self, *, acknowledge: bool = True) -> list[bytes]:
        """Scans, and reads what there is; returns the lines that came."""
        before = len(self.lines)
        await self.tracker.scan(self.source)
        queue = list(self.catalog.tails)
        while queue:
            tail = queue.pop(0)
            if tail.held:
                continue
            if tail.state is State.WAITING:
                start = await self.source.place(tail)
                if start is NoLine.MORE:
                    queue.append(tail)
                if start is None or isinstance(start, NoLine):
                    continue
            match await tail.read(final=self.catalog.is_final(tail)):
                case Block(data, end, mark) | HalfLine(data, end, mark):
                    self.lines += data.splitlines()
                    span = tail.acks.open(end, mark, 0.0)
                    if acknowledge:
                        span.finish()
                    queue.append(tail)
                case CutLine(head, _, end, mark):
                    self.lines.append(head)
                    tail.acks.open(end, mark, 0.0).finish()
                    queue.append(tail)
                case NoLine.MORE | NoLine.LONG_LINE:
                    queue.append(tail)
                case Rewritten():
                    new = self.catalog.rewritten(tail)
                    queue += [new] if new is not None else []
        return self.lines[before:]

    async def settle(self) -> list[bytes]:
        """Looks until nothing comes any more, however quiet that has to be."""
        found = await self.look()
        for _ in range(3):
            await self.clock.advance(QUIET_AFTER)
            found += await self.look()
        return found

    def said(self, level: str) -> list[dict[str, Any]]:
        return self.recorded.entries(level)

    def problems(self, kind: str) -> float:
        return self.metrics.value("shipper_gzip_problems_total", kind)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_half_line_of_another_file_holds_up_no_gzip(world: World) -> None:
    world.write("other.log", b"on")
    world.write("a.log.gz", b"one\ntwo\n")
    assert asyncio.run(world.look()) == [b"one", b"two"]


def test_a_file_that_was_not_tried_yet_holds_up_the_gzips_that_were_found_with_it(
    world: World,
) -> None:
    async def story() -> None:
        world.write("a.log", b"one\n")
        world.write("b.log.gz", b"one\ntwo\n")
        await world.tracker.scan(world.source)
        plain, packed = world.catalog.tails
        assert await world.source.place(packed) is None
        assert await world.source.place(plain) is not None

    asyncio.run(story())


def test_a_gzip_waits_for_the_file_with_the_same_content_and_is_not_read_after_it(
    world: World,
) -> None:
    async def story() -> None:
        kept = world.write("a.log", b"one\ntwo\n")
        assert await world.look(acknowledge=False) == [b"one", b"two"]
        world.write("a.log.gz", b"one\ntwo\n")
        kept.unlink()
        assert await world.settle() == [], "the file is followed, and in flight"
        for tail in world.catalog.tails:
            while tail.acks._in_flight:
                tail.acks._in_flight[0].finish()
        assert await world.settle() == []
        assert world.catalog.tails == ()

    asyncio.run(story())


@pytest.mark.parametrize("written", [0, 25])
def test_a_gzip_of_a_file_that_was_read_is_not_damaged_for_being_seen_while_it_is_written(
    world: World, written: int
) -> None:
    async def story() -> None:
        log = world.write("a.log", b"one\ntwo\n")
        assert await world.settle() == [b"one", b"two"]
        packed = world.directory / "a.log.gz"
        whole = gzip.compress(b"one\ntwo\n", mtime=0)
        packed.write_bytes(whole[:written])
        tail = world.source.appear(str(packed))
        assert tail is not None
        await world.source.place(tail)
        packed.write_bytes(whole)
        os.utime(packed, (0, world.clock.now() + 1))
        log.unlink()
        assert await world.settle() == []
        assert world.recorded.entries("error") == []
        assert world.losses == []
        assert world.metrics.value("shipper_gzip_problems_total") == 0

    asyncio.run(story())


def test_a_gzip_does_not_wait_for_another_file_that_begins_with_the_same_line(
    world: World,
) -> None:
    async def story() -> None:
        world.write("a.log", b"banner\nmine\n")
        assert await world.look() == [b"banner", b"mine"]
        world.write("b.log.gz", b"banner\nyours\n")
        assert await world.look() == [b"banner", b"yours"]

    asyncio.run(story())


def test_a_gzip_that_was_read_is_not_read_again_whatever_its_name(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", b"one\n")
        assert await world.settle() == [b"one"]
        path = path.rename(world.directory / "b.log.gz")
        assert await world.settle() == []
        world.kill()
        world.start()
        assert await world.settle() == []
        path.rename(world.directory / "c.log.gz")
        world.kill()
        world.start()
        assert await world.settle() == []

    asyncio.run(story())


def test_a_gzip_that_is_told_of_is_followed_and_kept_without_a_scan(world: World) -> None:
    async def story() -> None:
        await world.look()
        path = world.write("a.log.gz", b"one\n")
        world.write("b.txt.gz", b"two\n")
        paths = [str(path), str(world.directory / "absent.log.gz")]
        [tail] = world.tracker.appear(world.source, paths)
        assert (tail.compressed, tail.path) == (True, str(path))
        assert len(os.listdir(world.directory / DIRECTORY)) == 1
        path.unlink()
        assert await world.settle() == [b"one"]
        assert world.catalog.tails == ()

    asyncio.run(story())


def test_one_that_was_read_and_is_told_of_by_another_name_is_not_read_again(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", b"one\n")
        assert await world.settle() == [b"one"]
        path = path.rename(world.directory / "b.log.gz")
        assert world.tracker.appear(world.source, [str(path)]) == []
        assert world.catalog.tails == ()
        assert await world.settle() == []

    asyncio.run(story())


def test_a_symbolic_link_to_a_gzip_is_not_followed(world: World, tmp_path: Path) -> None:
    async def story() -> None:
        target = world.write("target", b"")
        target.write_bytes(gzip.compress(b"one\n"))
        link = world.directory / "a.log.gz"
        link.symlink_to(target)
        assert world.tracker.appear(world.source, [str(link)]) == []
        assert await world.settle() == []

    asyncio.run(story())


def test_what_a_gzip_holds_is_not_forgotten_while_it_is_there(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", b"one\n")
        assert await world.settle() == [b"one"]
        for _ in range(3):
            await world.clock.advance(FORGET_AFTER + 1)
            assert await world.look() == []
            world.commit()
            assert len(world.rows) == 1
            world.kill()
            world.start()
            assert await world.look() == []
        path.unlink()
        await world.look()
        await world.clock.advance(FORGET_AFTER + 1)
        await world.look()
        world.commit()
        assert world.rows == {}

    asyncio.run(story())


def test_a_gzip_that_is_deleted_in_an_outage_is_kept(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", b"one\ntwo\n")
        assert await world.look(acknowledge=False) == [b"one", b"two"]
        assert len(list((world.directory / DIRECTORY).iterdir())) == 1
        path.unlink()
        world.kill()
        world.start()
        assert await world.settle() == [b"one", b"two"]
        await world.look()
        assert len(list((world.directory / DIRECTORY).iterdir())) == 1, "nothing is committed"
        world.commit()
        assert not (world.directory / DIRECTORY).exists()

    asyncio.run(story())


def test_a_gzip_that_still_grows_is_read_on(world: World) -> None:
    async def story() -> None:
        content = b"".join(b"%d\n" % number for number in range(20_000))
        packed = gzip.compress(content)
        path = world.directory / "a.log.gz"
        for end in (0, 5, 20_000, 30_000, len(packed)):
            path.write_bytes(packed[:end])
            await world.look()
            await world.clock.advance(QUIET_AFTER / 2)
        assert world.lines == content.splitlines()
        await world.settle()
        assert world.catalog.tails == ()
        assert world.said("error") == []

    asyncio.run(story())


def test_trouble_with_one_gzip_is_reported_once_and_the_next_is_read(world: World) -> None:
    async def story() -> None:
        world.write("a.log.gz", b"unreadable\n")
        world.files.forbidden.add("a.log.gz")
        (world.directory / "b.log.gz").write_bytes(b"text\n")
        (world.directory / "c.log.gz").write_bytes(b"")
        (world.directory / "d.log.gz").write_bytes(bytes(100_000))
        content = b"".join(b"%d\n" % number for number in range(1000))
        damaged = bytearray(gzip.compress(content))
        damaged[-6] ^= 1
        (world.directory / "e.log.gz").write_bytes(damaged)
        (world.directory / "f.log.gz").write_bytes(gzip.compress(b"cut\nin the mid")[:-9])
        world.write("g.log.gz", b"whole\n")
        found = await world.settle()
        assert set(found) == {*content.splitlines(), b"cut", b"in the mid", b"whole"}
        kinds = ("not_gzip", "empty", "damaged", "cut")
        assert [world.problems(kind) for kind in kinds] == [2, 1, 1, 1]
        assert len(world.said("error")) == 5
        assert len(world.said("warning")) == 1
        world.commit()
        lost = [(os.path.basename(loss.path), loss.reason, loss.start) for loss in world.losses]
        wanted = LossReason.DAMAGED
        assert sorted(lost) == [
            ("b.log.gz", wanted, 0),
            ("d.log.gz", wanted, 0),
            ("e.log.gz", wanted, len(content)),
            ("f.log.gz", wanted, 14),
        ]
        assert {(loss.bytes, loss.lines, loss.start == loss.end) for loss in world.losses} == {
            (0, None, True)
        }
        world.files.opened.clear()
        assert await world.settle() == []
        assert world.files.opened == []
        # It heals.
        world.files.forbidden.clear()
        assert await world.settle() == [b"unreadable"]

    asyncio.run(story())


@pytest.mark.parametrize("option", ["exclude", "start_at", "ignore_older"])
def test_options_hold_for_gzips(world: World, option: str) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", b"old\n" * 1000 + b"half")
        world.kill()
        match option:
            case "exclude":
                world.start(exclude=(f"{world.directory}/a.log",))
            case "start_at":
                world.start(start_at_end=True)
            case "ignore_older":
                os.utime(path, (0, world.clock.now() - 100))
                world.start(ignore_older=50.0)
        assert await world.settle() == ([] if option == "exclude" else [b"half"])
        world.write("b.log.gz", b"new\n")
        assert await world.settle() == [b"new"]
        world.kill()
        # What was skipped stays skipped.
        if option != "exclude":
            world.start()
            assert await world.settle() == []

    asyncio.run(story())


def test_many_gzips_are_inflated_a_few_at_a_time(world: World) -> None:
    async def story() -> None:
        for number in range(30):
            world.write(f"{number}.log.gz", b"%d\n" % number)
        await world.look()
        open_now = [tail for tail in world.catalog.tails if tail.state is not State.WAITING]
        assert len(open_now) == 8
        for _ in range(8):
            await world.look()
        assert sorted(map(int, world.lines)) == list(range(30))
        assert world.catalog.tails == ()

    asyncio.run(story())
