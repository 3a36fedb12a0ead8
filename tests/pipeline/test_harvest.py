"""Reading in turns: who is read when, what stops it, and what is said and counted on the way."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shipper.config.inputs import OnInvalid
from shipper.config.processors import parse
from shipper.documents.encode import DocumentEncoder
from shipper.documents.processors.machine import Machine
from shipper.documents.processors.processing import Processing
from shipper.files.catalog import Catalog
from shipper.files.compressed import CompressedLogs
from shipper.files.discovery import Scan
from shipper.files.facts import Appended, FileFacts
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.lines import BLOCK_BYTES, ReadBuffer
from shipper.files.losses import LossReason
from shipper.files.offload import Offload
from shipper.files.registry import RowId
from shipper.files.schedule import WalkSchedule
from shipper.files.tracked_input import TrackedInput
from shipper.files.tracker import FileTracker
from shipper.files.watch import WakeUp
from shipper.internal_errors import InternalErrors
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.pipeline.batch import Batch, Batcher
from shipper.pipeline.budget import ByteBudget
from shipper.pipeline.encoding import Input
from shipper.pipeline.harvest import Harvester
from tests.support.clock import ManualClock, settle
from tests.support.committing import committing
from tests.support.logs import RecordedLog

LINE = b'{"n":"%06d","time":"2026-11-24T04:32:37Z"}'
MAX_LINE_BYTES = 1024 * 1024
BLOCKS_OF_LINES = BLOCK_BYTES // len(LINE % 0)
"""About so many lines are one block."""


class Files(FileSystem):
    """Reads at once, counts, and fails for the paths and in the ways that the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.block_reads = 0
        self.walks = 0
        self.looks = 0
        #: How often each file was opened or looked at.
        self.noticed: Counter[str] = Counter()
        #: Whether looking at an open file, or reading it, fails.
        self.facts_fail = False
        self.failing: set[int] = set()
        #: By inode: reads wait for it, as for a slow disk.
        self.slow: dict[int, asyncio.Event] = {}
        #: Inodes of reads that wait.
        self.waiting: list[int] = []

    def list_directory(self, path: str) -> Iterator[os.DirEntry[str]]:
        self.walks += 1
        return super().list_directory(path)

    def facts(self, descriptor: int) -> FileFacts:
        self.looks += 1
        if self.facts_fail:
            raise OSError(errno.ESTALE, "Stale file handle")
        self.noticed[str(descriptor)] += 1
        return super().facts(descriptor)

    def appended(self, descriptor: int, *args: Any) -> Appended | None:
        if self.facts_fail or os.fstat(descriptor).st_ino in self.failing:
            raise OSError(errno.EIO, "Input/output error")
        self.noticed[str(descriptor)] += 1
        return super().appended(descriptor, *args)

    def open(self, path: str, *, symlinks: bool = True) -> int:
        self.noticed[path] += 1
        return super().open(path, symlinks=symlinks)

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        number = os.fstat(descriptor).st_ino
        if (answered := self.slow.get(number)) is not None:
            self.waiting.append(number)
            try:
                await answered.wait()
            finally:
                self.waiting.remove(number)
        if number in self.failing:
            raise OSError(errno.EIO, "Input/output error")
        if len(buffer) > BLOCK_BYTES // 2:
            self.block_reads += 1
        return os.preadv(descriptor, [buffer], offset)


async def at_once(walks: Sequence[Callable[[], Scan]]) -> list[Scan]:
    """Walks here and now, not in a thread: the test knows when it is over."""
    return [walk() for walk in walks]


class World:
    """A harvest of one directory, and the batches that come of it."""

    def __init__(
        self,
        directory: Path,
        *,
        budget: int = 2**30,
        pattern: str = "*.log",
        on_invalid: OnInvalid = OnInvalid.SHIP,
        processing: Processing | None = None,
        spacing: float = 0.0,
        offload: Offload = at_once,
        first_start: bool = False,
        compressed: bool = False,
        encoder_type: type[DocumentEncoder] | None = None,
    ) -> None:
        self.directory = directory
        self.log = directory / "a.log"
        self.clock = ManualClock()
        self.files = Files()
        self.budget = ByteBudget(budget)
        self.metrics = Metrics()
        self.batches: list[Batch] = []
        self._recorded = RecordedLog(self.clock)
        log = self._recorded.log
        rows = iter(range(1, 1000))
        exclude = ("*.gz",) if compressed else ()
        patterns = [f"{directory}/{pattern}"]
        self.catalog = Catalog(
            "tetragon",
            filesystem=self.files,
            clock=self.clock,
            buffer=ReadBuffer(MAX_LINE_BYTES),
            remembered=[],
            new_row=lambda: RowId(next(rows)),
            on_change=lambda: None,
            exclude=exclude,
        )
        self.wake_up = WakeUp()
        encoder = (encoder_type or DocumentEncoder)(
            {}, content_ids=True, on_invalid=on_invalid, processing=processing
        )
        self.source = TrackedInput(
            "tetragon",
            patterns,
            self.catalog,
            self.wake_up,
            WalkSchedule(self.clock, 2.0, spacing=spacing),
            exclude=exclude,
            compressed=self._compressed(patterns, log) if compressed else None,
        )
        inputs = [Input(self.source, encoder)]
        self.batcher = Batcher(
            self.clock,
            self.budget,
            self._submit,
            max_bytes=2**30,
            max_events=10**6,
            linger=1.0,
            gzip=False,
            log=log,
        )
        self.tracker = FileTracker(
            [each.files for each in inputs],
            filesystem=self.files,
            faults=FileErrors(self.metrics, log),
            metrics=self.metrics,
            log=log,
            max_kept_bytes=2**30,
            clock=self.clock,
            commit=committing,
            offload=offload,
        )
        self.harvest = Harvester(
            inputs,
            tracker=self.tracker,
            faults=FileErrors(self.metrics, log),
            batcher=self.batcher,
            budget=self.budget,
            clock=self.clock,
            metrics=self.metrics,
            log=log,
            first_start=first_start,
            errors=InternalErrors(self.metrics, log, self.clock),
        )

    def _compressed(self, patterns: list[str], log: Log) -> CompressedLogs:
        return CompressedLogs(
            patterns,
            self.catalog,
            exclude=(),
            symlinks=False,
            filesystem=self.files,
            metrics=self.metrics,
            log=log,
        )

    async def _submit(self, batch: Batch) -> None:
        self.batches.append(batch)

    def append(self, data: bytes, path: Path | None = None) -> None:
        with (path or self.log).open("ab") as file:
            file.write(data)

    def lines(self, count: int, first: int = 0) -> bytes:
        return b"".join(LINE % number + b"\n" for number in range(first, first + count))

    async def scan(self) -> None:
        self.wake_up.wake(scan=True)
        await settle()

    async def documents(self) -> list[dict[str, Any]]:
        """All that was read so far."""
        await self.batcher.flush()
        lines = [line for batch in self.batches for line in batch.body.lines()]
        return [json.loads(line) for line in lines[1::2]]

    async def numbers(self) -> list[int]:
        return [int(json.loads(d["message"])["n"]) for d in await self.documents()]

    def logged(self, level: str) -> list[dict[str, Any]]:
        return self._recorded.entries(level)


def run(world: World, story: Callable[[], Awaitable[None]]) -> None:
    """The story, beside a harvest and a batcher that run."""

    async def together() -> None:
        tasks = [
            asyncio.create_task(world.harvest.run()),
            asyncio.create_task(world.batcher.run()),
        ]
        try:
            await story()
            # What ended by itself has something to say.
            for task in tasks:
                assert not task.done() or task.result() is None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    try:
        asyncio.run(together())
    finally:
        world.catalog.close()


# What is read -------------------------------------------------------------------------------------


def processing(*processors: dict[str, Any], machine: Machine | None = None) -> Processing:
    return Processing(
        parse(list(processors)), {}, machine or Machine({}, lambda _: {}), ManualClock().now()
    )


def test_processors_that_fail_are_counted_and_said_once_in_a_while(tmp_path: Path) -> None:
    decode = {"decode_json_fields": {"fields": ["n"], "target": ""}}
    missing = {"drop_fields": {"fields": ["missing"]}}
    world = World(tmp_path, processing=processing(missing, decode, missing))

    async def story() -> None:
        for _ in range(3):
            world.append(world.lines(2))
            await world.scan()
        assert len(await world.documents()) == 6
        failed = world.metrics.value("shipper_processor_failures_total", "drop_fields")
        assert failed == 2 * 6
        (said,) = world.logged("warning")
        assert said["event.action"] == "processor-failed"
        assert said["shipper.processor"] == "drop_fields"
        assert said["event.reason"] == "there is no field `missing`"

    run(world, story)


def test_what_the_machine_says_anew_is_in_documents_of_known_files(tmp_path: Path) -> None:
    names = iter(("before", "after"))
    machine = Machine({}, lambda _: {"name": next(names)})
    host = {"add_host_metadata": {"cache.ttl": "5m"}}
    world = World(tmp_path, processing=processing(host, machine=machine))

    async def story() -> None:
        world.append(world.lines(1))
        await world.scan()
        await world.clock.advance(301)
        world.append(world.lines(1))
        await world.scan()
        documents = await world.documents()
        assert [document["host"]["name"] for document in documents] == ["before", "after"]

    run(world, story)


def test_what_is_read_is_handed_on_and_counted(tmp_path: Path) -> None:
    world = World(tmp_path, on_invalid=OnInvalid.DROP)

    async def story() -> None:
        content = world.lines(3) + b"\n" + b"not JSON\n" + b"{}\n"
        world.append(content + b"half a li")
        await world.scan()
        documents = await world.documents()
        assert len(documents) == 4
        (batch,) = world.batches
        assert (batch.body.events, batch.blank, batch.dropped) == (4, 1, 1)
        assert world.harvest.in_flight_events == 6
        assert world.metrics.value("shipper_lines_read_total", "tetragon") == 6
        assert world.metrics.value("shipper_bytes_read_total", "tetragon") == len(content)
        assert world.metrics.value("shipper_events_flagged_total", "no_time") == 1
        world.harvest.ended(6)
        assert world.harvest.in_flight_events == 0
        (tail,) = world.catalog.tails
        assert (tail.backlog, tail.incomplete_line) == (len(content), len(b"half a li"))
        batch.spans[0].finish()
        assert (tail.backlog, tail.incomplete_line) == (0, len(b"half a li"))
        assert [each.behind_since for each in world.catalog.tails] == [None]
        # A line that was finished late is not old: nobody could ship it before.
        await world.clock.advance(600)
        await world.scan()
        world.append(b"ne\n")
        await world.scan()
        await world.documents()
        assert tail.behind_since
        assert world.clock.monotonic() - tail.behind_since < 60

    run(world, story)


def test_a_file_that_is_told_to_have_grown_is_read_without_a_scan(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        world.append(world.lines(1))
        await world.scan()
        walks = world.files.walks
        world.append(world.lines(1, first=1))
        world.wake_up.wake([str(world.log), f"{tmp_path}/unknown.log"])
        await settle()
        assert await world.numbers() == [0, 1]
        assert world.files.walks == walks

    run(world, story)


def test_a_file_that_was_renamed_has_its_new_name_from_then_on(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        world.append(world.lines(1))
        await world.scan()
        rotated = tmp_path / "a-1.log"
        world.log.rename(rotated)
        world.append(world.lines(1, first=1), rotated)
        await world.scan()
        paths = [document["log"]["file"]["path"] for document in await world.documents()]
        assert paths == [str(world.log), str(rotated)]

    run(world, story)


def test_files_are_read_in_turns_a_block_each(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        for age, name in enumerate(("a.log", "b.log", "c.log")):
            # Each begins with a line of its own, or they were copies.
            first = b'{"file":"%b"}\n' % name.encode()
            world.append(first + world.lines(3 * BLOCKS_OF_LINES), tmp_path / name)
            # The newest is the first.
            os.utime(tmp_path / name, (0, 1000 - age))
        await world.scan()
        paths = [document["log"]["file"]["path"][-5] for document in await world.documents()]
        turns = [
            path for path, before in zip(paths, [None, *paths], strict=False) if path != before
        ]
        assert "".join(turns) == "abcabcabcabc"

    run(world, story)


def test_nuls_before_a_line_are_counted_and_half_a_line_before_nuls_is_flagged(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)

    async def story() -> None:
        nuls, half = bytes(5000), world.lines(1, first=1)[:-5]
        world.append(world.lines(1) + nuls + half + nuls + world.lines(1, first=2) + nuls)
        await world.scan()
        first, cut, last = await world.documents()
        length = len(world.lines(1))
        assert [d["log"]["offset"] for d in (first, cut, last)] == [
            0,
            length + 5000,
            length + 5000 + len(half) + 5000,
        ]
        assert cut["message"] == half.decode()
        assert cut["error"]["message"].endswith("the line was not finished: NUL bytes follow it")
        assert "error" not in first.keys() | last.keys()
        value = world.metrics.value
        assert value("shipper_nul_bytes_skipped_total", "tetragon") == 10_000
        assert value("shipper_bytes_read_total", "tetragon") == 2 * length + len(half)
        assert value("shipper_lines_read_total", "tetragon") == 3
        assert value("shipper_events_flagged_total", "half_line") == 1
        (tail,) = world.catalog.tails
        assert tail.unread == 0

    run(world, story)


# What waits ---------------------------------------------------------------------------------------


def test_the_first_batch_goes_when_all_is_read_and_the_next_ones_wait_for_company(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)

    async def story() -> None:
        await world.scan()
        assert world.batches == []
        world.append(world.lines(2))
        await world.scan()
        assert [batch.body.events for batch in world.batches] == [2]
        world.append(world.lines(1, first=2))
        await world.scan()
        await world.clock.advance(0.9)
        assert len(world.batches) == 1
        await world.clock.advance(0.1)
        assert [batch.body.events for batch in world.batches] == [2, 1]

    run(world, story)


def test_nothing_is_read_while_the_byte_budget_is_taken(tmp_path: Path) -> None:
    world = World(tmp_path, budget=1000)

    async def story() -> None:
        count = 5 * BLOCKS_OF_LINES
        world.append(world.lines(count))
        await world.scan()
        assert world.files.block_reads == 1
        held = world.budget.held
        # Whatever happens meanwhile.
        for _ in range(5):
            await world.scan()
            await world.clock.advance(2)
        assert (world.files.block_reads, world.budget.held) == (1, held)
        (tail,) = world.catalog.tails
        assert tail.unread == world.log.stat().st_size - tail.offset
        # How far behind it is is known all the same.
        unread = tail.unread
        world.append(world.lines(1, first=count))
        world.wake_up.wake([str(world.log)])
        await settle()
        assert tail.unread > unread
        # Room for one is room for one block.
        world.budget.release(world.batches[-1].held)
        await settle()
        assert world.files.block_reads == 2
        while world.budget.held:
            await world.clock.advance(2)
            world.budget.release(world.batches[-1].held)
            await settle()
        assert await world.numbers() == list(range(count + 1))

    run(world, story)


def test_cancelled_while_it_waits_nothing_counts_as_done(tmp_path: Path) -> None:
    world = World(tmp_path, budget=1000)

    async def story() -> None:
        world.append(world.lines(5 * BLOCKS_OF_LINES))
        await world.scan()

    run(world, story)
    (tail,) = world.catalog.tails
    assert 0 == tail.acks.offset < tail.offset


# What goes wrong ----------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_reported_and_read_when_it_can_be(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        other = tmp_path / "b.log"
        world.append(world.lines(1))
        world.append(world.lines(1, first=1), other)
        world.files.failing = {world.log.stat().st_ino}
        await world.scan()
        assert await world.numbers() == [1]
        (warning,) = world.logged("warning")
        assert warning["event.action"] == "file-read-failed"
        assert warning["file.path"] == str(world.log)
        assert (warning["error.code"], warning["error.message"]) == ("EIO", "Input/output error")
        assert world.metrics.value("shipper_file_errors_total", "EIO") == 1
        summary = world.tracker.summary(world.source)
        assert summary.unreadable == ((str(world.log), "Input/output error"),)
        assert (summary.files, summary.unreadable_count) == (2, 1)
        world.files.failing.clear()
        await world.scan()
        assert await world.numbers() == [1, 0]
        assert world.tracker.summary(world.source).unreadable_count == 0

    run(world, story)


@pytest.mark.parametrize("placed", [True, False])
def test_an_open_file_that_cannot_even_be_looked_at_ends_nothing(
    tmp_path: Path, placed: bool
) -> None:
    world = World(tmp_path)

    async def story() -> None:
        world.append(world.lines(1) if placed else b"")
        await world.scan()
        world.files.facts_fail = True
        world.files.failing = {world.log.stat().st_ino}
        world.append(world.lines(1, first=1))
        await world.scan()
        assert [warning["file.path"] for warning in world.logged("warning")] == [str(world.log)]
        world.files.facts_fail = False
        world.files.failing.clear()
        await world.scan()
        assert await world.numbers() == ([0, 1] if placed else [1])

    run(world, story)


def test_a_file_that_is_rewritten_is_read_again_and_what_is_lost_is_said(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        world.append(world.lines(2))
        await world.scan()
        world.batches[0].spans[0].finish()
        # It grows, is seen to, and is cut before it is read.
        world.append(world.lines(1, first=2))
        (tail,) = world.catalog.tails
        tail.look()
        world.log.write_bytes(b"")
        world.append(world.lines(1, first=3))
        await world.scan()
        await world.scan()
        assert await world.numbers() == [0, 1, 3]
        assert world.metrics.value("shipper_files_rewritten_total", "tetragon") == 1
        lost = len(world.lines(1))
        [loss] = world.catalog.records.changes().losses
        assert (loss.reason, loss.bytes, loss.lines) == (LossReason.REWRITTEN, lost, None)
        assert (loss.start, loss.end) == (len(world.lines(2)), len(world.lines(3)))
        (error,) = world.logged("error")
        assert (error["file.path"], error["shipper.lost_bytes"]) == (str(world.log), lost)
        assert world.logged("warning")[0]["event.action"] == "file-rewritten"

    run(world, story)


def test_the_copy_of_a_file_that_was_cut_is_looked_for_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        world.append(world.lines(1))
        await world.scan()
        world.append(world.lines(1, first=1))
        shutil.copyfile(world.log, tmp_path / "copy.log")
        world.log.write_bytes(world.lines(3, first=2))
        # All that is told is that the log was written to.
        world.wake_up.wake([str(world.log)])
        await settle()
        # 0 is under way and read again: the same id makes that harmless.
        assert sorted(set(await world.numbers())) == [0, 1, 2, 3, 4]

    run(world, story)


def test_a_line_that_is_too_long_is_cut_said_and_counted(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        world.append(b"x" * (MAX_LINE_BYTES + 500) + b"\n" + world.lines(1))
        await world.scan()
        cut, whole = await world.documents()
        assert len(cut["message"]) == MAX_LINE_BYTES
        assert cut["log"]["flags"] == ["truncated"]
        assert whole["log"]["offset"] == MAX_LINE_BYTES + 501
        assert world.metrics.value("shipper_lost_bytes_total", "line_too_long") == 500
        (warning,) = world.logged("warning")
        assert (warning["shipper.offset"], warning["shipper.bytes"]) == (0, MAX_LINE_BYTES + 500)

    run(world, story)


def test_a_directory_that_does_not_exist_is_said_once_and_again_when_it_is_there(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, pattern="later/*.log")

    async def story() -> None:
        for _ in range(3):
            await world.scan()
        (warning,) = world.logged("warning")
        assert warning["file.path"] == str(tmp_path / "later")
        assert "/var/log/tetragon" in warning["shipper.hint"]
        (tmp_path / "later").mkdir()
        world.append(world.lines(1), tmp_path / "later" / "a.log")
        await world.scan()
        assert await world.numbers() == [0]
        (found,) = (
            each for each in world.logged("info") if each["event.action"] == "directory-found"
        )
        assert found["file.path"] == str(tmp_path / "later")
        assert len(world.logged("warning")) == 1

    run(world, story)


def test_a_file_that_is_done_is_said_with_its_size(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        world.append(world.lines(2))
        await world.scan()
        world.log.unlink()
        world.batches[0].spans[0].finish()
        await world.scan()
        assert world.catalog.tails == ()
        done = world.logged("info")[-1]
        assert (done["file.path"], done["file.size"]) == (str(world.log), len(world.lines(2)))

    run(world, story)


# When it looks ------------------------------------------------------------------------------------


def test_a_hundred_new_names_within_a_second_are_three_walks_at_the_most(tmp_path: Path) -> None:
    world = World(tmp_path, spacing=0.5)

    async def story() -> None:
        await world.scan()
        before = world.files.walks
        for number in range(100):
            path = tmp_path / f"{number}.log"
            world.append(b'{"file":%d}\n' % number, path)
            world.wake_up.wake(added=[str(path)], scan=True)
            await world.clock.advance(0.01)
            # Each is read at once all the same.
            assert world.catalog.at(str(path)) is not None
        assert world.metrics.value("shipper_lines_read_total", "tetragon") == 100
        assert 1 <= world.files.walks - before <= 3

    run(world, story)


# What a new file is -------------------------------------------------------------------------------


def beginnings(world: World) -> list[tuple[int, str]]:
    return [
        (index, os.path.basename(path))
        for batch in world.batches
        for index, path in batch.body.beginnings
    ]


@pytest.mark.parametrize("first_start", [False, True])
def test_the_first_event_of_a_file_that_comes_later_is_marked(
    tmp_path: Path, first_start: bool
) -> None:
    """One that is there at the start may have been sent by an earlier process, if there was one."""
    world = World(tmp_path, first_start=first_start)
    world.append(world.lines(3))

    async def story() -> None:
        await world.scan()
        world.append(world.lines(2, first=100), tmp_path / "b.log")
        await world.scan()
        world.append(world.lines(2, first=200))
        world.append(world.lines(2, first=300), tmp_path / "b.log")
        await world.scan()
        assert len(await world.documents()) == 9
        assert beginnings(world) == [(0, "a.log"), (0, "b.log")][0 if first_start else 1 :]

    run(world, story)


@pytest.mark.parametrize("how", ["added", "modified"])
def test_thousands_of_files_that_a_notification_names_leave_others_their_turns(
    tmp_path: Path, how: str
) -> None:
    world = World(tmp_path)
    paths = [tmp_path / f"{number}.log" for number in range(240)]

    async def story() -> None:
        await world.scan()
        for path in paths:
            path.touch()
        if how == "modified":
            await world.scan()
        names = [str(path) for path in paths]
        world.wake_up.wake(added=names) if how == "added" else world.wake_up.wake(names)
        turns = [world.files.looks]
        while turns[-1] - turns[0] < len(paths):
            await asyncio.sleep(0)
            turns.append(world.files.looks)
        assert max(after - before for before, after in pairwise(turns)) < len(paths)
        await settle()
        assert len(world.catalog.tails) == len(paths)

    run(world, story)


def test_new_names_are_read_while_a_walk_goes_on_for_ever(tmp_path: Path) -> None:
    async def for_ever(walks: Sequence[Callable[[], Scan]]) -> list[Scan]:
        await asyncio.Event().wait()
        return [walk() for walk in walks]

    world = World(tmp_path, offload=for_ever)

    async def story() -> None:
        await world.scan()
        world.append(world.lines(1))
        world.wake_up.wake(added=[str(world.log)], scan=True)
        await settle()
        assert await world.numbers() == [0]

    run(world, story)


@pytest.mark.parametrize("how", ["added", "modified"])
def test_others_have_their_turn_while_very_many_files_are_told_of(how: str, tmp_path: Path) -> None:
    world, count = World(tmp_path), 240
    paths = [tmp_path / f"{number}.log" for number in range(count)]

    async def story() -> None:
        await world.scan()
        for number, path in enumerate(paths):
            world.append(world.lines(1, first=number), path)
        if how == "modified":
            await world.scan()
            for path in paths:
                world.append(world.lines(1), path)
        names = [str(path) for path in paths]
        before = world.files.noticed.total()
        if how == "added":
            world.wake_up.wake(added=names)
        else:
            world.wake_up.wake(names)
        turns: list[int] = []
        while len(turns) < 100 or turns[-1]:
            await asyncio.sleep(0)
            turns.append(world.files.noticed.total() - before - sum(turns))
        assert sum(turns) >= count
        assert max(turns) <= sum(turns) / 3

    run(world, story)


def test_the_mark_is_at_the_place_of_the_event_in_the_body(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def story() -> None:
        await world.scan()
        world.append(b"\n" + world.lines(2, first=100), tmp_path / "b.log")
        world.append(world.lines(2, first=200), tmp_path / "c.log")
        # They may be written within a tick of the kernel's clock.
        os.utime(tmp_path / "b.log", (0, 0))
        await world.scan()
        # The newest file first.
        assert await world.numbers() == [200, 201, 100, 101]
        assert beginnings(world) == [(0, "c.log"), (2, "b.log")]

    run(world, story)


def test_a_copy_of_a_known_file_is_no_new_file(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.append(world.lines(3))

    async def story() -> None:
        await world.scan()
        shutil.copyfile(world.log, tmp_path / "copy.log")
        # It begins like a known one, and is another.
        world.append(world.lines(1) + world.lines(2, first=50), tmp_path / "like.log")
        await world.scan()
        assert len(await world.documents()) > 3
        assert beginnings(world) == []

    run(world, story)
