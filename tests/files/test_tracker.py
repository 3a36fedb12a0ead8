"""Which files are kept and given up, where the file system is against it."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
from pathlib import Path

from shipper.files.catalog import Catalog
from shipper.files.changes import Changes
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.lines import Block, ReadBuffer, Rewritten
from shipper.files.link_directory import LinkDirectories
from shipper.files.link_names import LinkOwner
from shipper.files.losses import Loss, LossReason
from shipper.files.registry import RowId
from shipper.files.retention import DIRECTORY, Retention
from shipper.files.schedule import WalkSchedule
from shipper.files.tracked_input import TrackedInput
from shipper.files.tracker import FileTracker
from shipper.files.watch import WakeUp
from shipper.logs import Level
from shipper.metrics import Metrics
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog

LINE = b'{"a":1}\n'


class Unreadable(FileSystem):
    """A file system whose reads fail when the test says so."""

    fails = False

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return await super().read(descriptor, device, buffer, offset)


class World:
    """One input that is followed, with links."""

    def __init__(
        self,
        directory: Path,
        max_kept_bytes: int,
        *,
        level: Level = Level.INFO,
        owner: str = "agent-1",
    ) -> None:
        self.directory = directory
        #: Whether commits fail.
        self.full = False
        self.committed: list[Changes] = []
        self.log = directory / "tetragon.log"
        self.files = Unreadable()
        self.metrics = Metrics()
        clock = ManualClock()
        self.recorded = RecordedLog(clock, level)
        log = self.recorded.log
        faults = FileErrors(self.metrics, log)
        rows = itertools.count(1)
        self.catalog = Catalog(
            "tetragon",
            filesystem=self.files,
            clock=clock,
            buffer=ReadBuffer(1024),
            remembered=[],
            new_row=lambda: RowId(next(rows)),
            on_change=lambda: None,
        )
        self.directories = LinkDirectories(self.files, clock, faults.report)
        link_owner = LinkOwner(owner, "tetragon", "/data")
        retention = Retention(self.files, self.directories, link_owner, faults.report)
        self.source = TrackedInput(
            "tetragon",
            [f"{directory}/*.log"],
            self.catalog,
            WakeUp(),
            WalkSchedule(clock, 2.0),
            retention=retention,
        )
        self.tracker = FileTracker(
            [self.source],
            filesystem=self.files,
            faults=faults,
            metrics=self.metrics,
            log=log,
            max_kept_bytes=max_kept_bytes,
            clock=clock,
            commit=self._commit,
        )

    async def scan(self) -> None:
        await self.tracker.scan(self.source)

    async def obey(self) -> None:
        """A scan, and what follows from it."""
        await self.scan()
        await self.tracker.obey_quota()
        await self.scan()

    async def _commit(self, source: TrackedInput) -> None:
        changes = source.catalog.records.changes()
        if self.full:
            source.catalog.records.failed(changes)
            return
        source.catalog.records.committed(changes)
        self.committed.append(changes)

    @property
    def losses(self) -> list[Loss]:
        """What is recorded."""
        return [loss for changes in self.committed for loss in changes.losses]

    def links(self) -> list[str]:
        return os.listdir(self.directory / DIRECTORY)


def test_a_file_that_cannot_be_read_is_given_up_like_any_other(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        world = World(tmp_path, max_kept_bytes=2)
        world.log.write_bytes(3 * LINE)
        await world.scan()
        world.log.unlink()
        world.files.fails = True
        # The link goes when the loss is in the registry.
        world.full = True
        await world.obey()
        assert len(world.links()) == 1
        world.full = False
        await world.obey()
        assert world.tracker.quota.kept == []
        assert world.links() == []
        (loss,) = world.losses
        assert (loss.reason, loss.path) == (LossReason.RETENTION, str(world.log))
        assert (loss.start, loss.end, loss.bytes, loss.lines) == (0, 24, 24, None)
        assert world.metrics.value("shipper_file_errors_total", "EIO") == 1
        world.tracker.close()

    asyncio.run(story())


def test_at_the_end_a_file_that_was_rewritten_stays_kept_for_its_new_content(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        world = World(tmp_path, max_kept_bytes=1 << 30)
        world.log.write_bytes(3 * LINE)
        await world.scan()
        [tail] = world.catalog.tails
        await world.catalog.place(tail)
        block = await tail.read(final=False)
        assert isinstance(block, Block)
        span = tail.acks.open(block.end, block.mark, 0.0)
        world.log.write_bytes(b'{"b":2}\n')
        assert isinstance(await tail.read(final=False), Rewritten)
        world.catalog.rewritten(tail)
        span.finish()
        # The old content is done with, and not parted with yet; the new one is not read.
        assert tail in world.catalog.tails
        world.tracker.close()
        assert len(world.links()) == 1

    asyncio.run(story())


def test_links_that_somebody_removes_are_made_again_while_the_file_can_be_reached(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        world = World(tmp_path, max_kept_bytes=1 << 30)
        world.log.write_bytes(LINE)
        await world.scan()
        [link] = world.links()
        (tmp_path / DIRECTORY / link).unlink()
        await world.scan()
        assert world.links() == [link]
        [entry] = world.recorded.entries("warning")
        assert (entry["event.action"], entry["shipper.links"]) == ("links-missing", 1)
        # Through the link in the directory that is not at its path any more.
        world.log.unlink()
        (tmp_path / DIRECTORY).rename(tmp_path / "moved")
        descriptors = len(os.listdir("/proc/self/fd"))
        await world.scan()
        assert world.links() == [link]
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert "link-directory-replaced" not in world.recorded.actions()
        world.tracker.close()
        world.directories.close_all()

    asyncio.run(story())


def test_links_without_a_living_owner_are_adopted_where_a_glob_matches(tmp_path: Path) -> None:
    async def story() -> None:
        before = World(tmp_path, max_kept_bytes=1 << 30, owner="agent-before")
        other = tmp_path / "other.txt"
        other.write_bytes(LINE)
        before.log.write_bytes(LINE)
        await before.scan()
        assert before.source.retention is not None
        with other.open("rb") as file:
            inode = before.files.facts(file.fileno()).inode
            before.source.retention.keep(inode, str(other), file.fileno())
        before.log.unlink()
        # Its owner still runs.
        world = World(tmp_path, max_kept_bytes=1 << 30)
        await world.scan()
        assert world.catalog.tails == ()
        before.directories.close_all()
        world.directories.close_all()
        world = World(tmp_path, max_kept_bytes=1 << 30)
        await world.scan()
        assert [tail.path for tail in world.catalog.tails] == [str(world.log)]
        assert len(world.links()) == 2

    asyncio.run(story())
