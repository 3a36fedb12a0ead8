"""Where each file goes on, and when it is done: renames, restarts, copies, cuts and faults."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.files.ack import Span
from shipper.files.catalog import Catalog, ClosedFile
from shipper.files.discovery import scan
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.identity import identity_of
from shipper.files.lines import Block, NoLine, ReadBuffer, Rewritten
from shipper.files.placement import Start
from shipper.files.quiet import CLOSE_REMOVED_AFTER, QUIET_AFTER
from shipper.files.registry import FileRecord, RowId
from shipper.files.tail import State, Tail
from tests.support.clock import ManualClock
from tests.support.loop import in_a_loop

FORGET_AFTER = 3600.0


class Faults(FileSystem):
    """A file system where calls fail when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.opening: OSError | None = None
        self.listing: OSError | None = None
        #: Reads that work before one does not.
        self.reads_left = -1
        self.tells_of_writers = True

    def has_writer(self, descriptor: int, device: int) -> bool | None:
        return super().has_writer(descriptor, device) if self.tells_of_writers else None

    def open(self, path: str, *, symlinks: bool = True) -> int:
        if self.opening is not None:
            raise self.opening
        return super().open(path, symlinks=symlinks)

    def list_directory(self, path: str) -> Iterator[os.DirEntry[str]]:
        if self.listing is not None:
            raise self.listing
        return super().list_directory(path)

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        if self.reads_left == 0:
            self.reads_left = -1
            raise OSError(errno.EIO, "Input/output error")
        self.reads_left -= 1
        return await super().read(descriptor, device, buffer, offset)


class World:
    """A directory of logs and the catalog that follows them; it can be started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "tetragon.log"
        self.clock = ManualClock()
        self.filesystem = Faults()
        self.saved: dict[RowId, FileRecord] = {}
        self.calls = 0
        self._rows = itertools.count(1)
        self._instants = itertools.count(1)
        self.catalog = self._start()
        self.lines: list[bytes] = []
        self.in_flight: list[Span] = []

    def _start(self, *, symlinks: bool = False) -> Catalog:
        def on_change() -> None:
            self.calls += 1

        return Catalog(
            "tetragon",
            filesystem=self.filesystem,
            clock=self.clock,
            buffer=ReadBuffer(1024),
            remembered=list(self.saved.values()),
            new_row=lambda: RowId(next(self._rows)),
            on_change=on_change,
            forget_after=FORGET_AFTER,
            symlinks=symlinks,
        )

    def restart(self, *, commit: bool = True) -> None:
        """Ends and begins; without `commit` as if it was killed."""
        if commit:
            self.commit()
        self.catalog.close()
        self.in_flight.clear()
        self.lines.clear()
        self.catalog = self._start()

    def commit(self) -> None:
        changes = self.catalog.records.changes()
        self.saved.update({record.row: record for record in changes.records})
        for row in changes.forgotten:
            del self.saved[row]

    def append(self, data: bytes, path: Path | None = None) -> None:
        with (path or self.log).open("ab") as file:
            file.write(data)
        self.stamp(path or self.log)

    def rewrite(self, data: bytes) -> None:
        self.log.write_bytes(data)
        self.stamp(self.log)

    def stamp(self, path: Path) -> None:
        """Each version has its own time, however fast the test is."""
        os.utime(path, ns=(0, next(self._instants) * 1_000_000_000))

    def rotate(self) -> Path:
        rotated = self.directory / f"tetragon-{next(self._instants)}.log"
        self.log.rename(rotated)
        return rotated

    def scan(self) -> list[OSError]:
        return self.catalog.apply(scan(self.filesystem, [f"{self.directory}/*.log"]))

    async def read(self) -> list[Start]:
        """Scans, and reads all that there is; returns how files were begun."""
        starts = []
        self.scan()
        queue = list(self.catalog.tails)
        while queue:
            tail = queue.pop(0)
            if tail.state is State.WAITING:
                start = await self.catalog.place(tail)
                if start is None:
                    continue
                assert isinstance(start, Start)
                starts.append(start)
            match await tail.read(final=self.catalog.is_final(tail)):
                case Block(data, end, mark):
                    self.lines += data.splitlines()
                    self.in_flight.append(tail.acks.open(end, mark, 0.0))
                    queue.append(tail)
                case Rewritten():
                    new = self.catalog.rewritten(tail)
                    queue += [] if new is None else [new]
                case NoLine.LONG_LINE:
                    queue.append(tail)
        return starts

    def acknowledge(self) -> None:
        for span in self.in_flight:
            span.finish()
        self.in_flight.clear()

    def tail(self, path: Path | None = None) -> Tail:
        found = self.catalog.at(str(path or self.log))
        assert found is not None
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.catalog.close()


# Renames ------------------------------------------------------------------------------------------


@in_a_loop
async def test_a_file_that_is_renamed_between_scans_is_the_same_file(world: World) -> None:
    world.append(b"one\ntwo\n")
    assert await world.read() == [Start(0, "it is new", is_new=True)]
    world.append(b"three\n")
    rotated = world.rotate()
    world.append(b"four\n")
    assert await world.read() == [Start(0, "it is new", is_new=True)]
    assert sorted(world.lines) == [b"four", b"one", b"three", b"two"]
    assert world.tail(rotated).offset == 14
    assert world.tail().offset == 5
    # The registry learns the new name.
    world.commit()
    assert {record.path for record in world.saved.values()} == {str(world.log), str(rotated)}


@in_a_loop
async def test_a_file_that_is_away_for_a_while_is_not_read_again(world: World) -> None:
    world.append(b"one\n")
    await world.read()
    elsewhere = world.directory / "tetragon.old"
    world.log.rename(elsewhere)
    world.scan()
    (tail,) = world.catalog.tails
    assert tail.gone is not None
    elsewhere.rename(world.log)
    world.append(b"two\n")
    assert await world.read() == []
    assert world.lines == [b"one", b"two"]
    assert tail.gone is None


# Restarts -----------------------------------------------------------------------------------------


@in_a_loop
async def test_a_restart_goes_on_at_the_acknowledged_offset(world: World) -> None:
    world.append(b"one\ntwo\n")
    await world.read()
    world.acknowledge()
    world.append(b"three\n")
    await world.read()
    world.restart()
    world.append(b"four\n")
    assert await world.read() == [Start(8, "it is known")]
    assert world.lines == [b"three", b"four"]


@in_a_loop
async def test_a_file_that_was_renamed_while_nobody_looked_goes_on_where_it_was(
    world: World,
) -> None:
    world.append(b"one\ntwo\n")
    await world.read()
    world.acknowledge()
    world.restart()
    world.append(b"three\n")
    world.rotate()
    world.append(b"four\n")
    starts = await world.read()
    assert sorted(start.offset for start in starts) == [0, 8]
    assert sorted(world.lines) == [b"four", b"three"]


@in_a_loop
async def test_a_file_truncated_and_rewritten_while_nobody_looked_is_read_from_its_beginning(
    world: World,
) -> None:
    world.append(b"one\ntwo\n")
    await world.read()
    world.acknowledge()
    world.restart()
    world.rewrite(b"other\n" * 100)
    (start,) = await world.read()
    assert start.offset == 0
    assert str(world.log) in start.why
    assert world.lines == [b"other"] * 100


@in_a_loop
async def test_another_file_with_the_inode_of_one_that_is_gone_is_another_file(
    world: World,
) -> None:
    world.append(b"one\ntwo\n")
    await world.read()
    world.acknowledge()
    world.restart()
    # The same inode under another name, with other content: what the kernel makes of a file
    # that is deleted and one that is made then.
    world.rewrite(b"new\n")
    new = world.rotate()
    (start,) = await world.read()
    assert start == Start(0, f"another file, once {world.log}, had its inode", is_new=True)
    world.acknowledge()
    world.commit()
    inodes = {record.path: record.inode for record in world.saved.values()}
    found = new.stat()
    assert inodes == {str(world.log): None, str(new): Inode(found.st_dev, found.st_ino)}


@in_a_loop
async def test_the_same_first_line_and_other_lines_are_another_file_and_the_log_says_so(
    world: World,
) -> None:
    world.append(b"same\none\n")
    await world.read()
    world.acknowledge()
    world.restart()
    world.rewrite(b"same\nTWO\nthree\n")
    (start,) = await world.read()
    assert start.offset == 0
    assert "begins like" in start.why
    assert "9 bytes" in start.why
    assert world.lines == [b"same", b"TWO", b"three"]


# Copies and cuts ----------------------------------------------------------------------------------


@in_a_loop
async def test_a_copy_of_a_known_file_goes_on_where_that_is_acknowledged(world: World) -> None:
    world.append(b"one\ntwo\n")
    await world.read()
    world.acknowledge()
    copy = world.directory / "tetragon-copy.log"
    shutil.copyfile(world.log, copy)
    world.append(b"three\n", copy)
    assert await world.read() == [Start(8, f"it is a copy of {world.log}", settled=True)]
    assert world.lines == [b"one", b"two", b"three"]
    # Each has its own row: they grow apart.
    world.acknowledge()
    world.commit()
    assert {(r.path, r.offset) for r in world.saved.values()} == {
        (str(world.log), 8),
        (str(copy), 14),
    }


@in_a_loop
async def test_of_several_known_files_with_the_same_lines_the_one_that_got_furthest_counts(
    world: World,
) -> None:
    names = ["a.log", "b.log", "c.log"]
    for name, content in zip(names, (b"one\n", b"one\ntwo\nthree\n", b"one\ntwo\n"), strict=True):
        world.append(content, world.directory / name)
    await world.read()
    world.acknowledge()
    world.restart()
    for name in names:
        (world.directory / name).rename(world.directory / f"{name}.away")
    world.append(b"one\ntwo\nthree\nfour\n")
    assert await world.read() == [Start(14, "it is known", settled=True)]
    assert world.lines == [b"four"]


def closed_log(
    world: World, inode: Inode | None, size: int, *, lost: int, stored: int | None = None
) -> ClosedFile:
    """The log when it is closed, of which the first line is `one`."""
    identity = identity_of(b"one\n")
    assert identity is not None
    return ClosedFile(
        str(world.log), inode, size, lost, identity=identity, row=RowId(1), stored=stored
    )


@in_a_loop
async def test_copy_and_truncate_reads_the_rest_in_the_copy_and_the_new_lines_in_the_log(
    world: World,
) -> None:
    world.append(b"one\n")
    await world.read()
    world.append(b"two\n")
    shutil.copyfile(world.log, world.directory / "tetragon-copy.log")
    world.rewrite(b"three\n")
    await world.read()
    world.acknowledge()
    # `one` was under way: the copy has it, too, at the same offset and so with the same id.
    assert sorted(world.lines) == [b"one", b"one", b"three", b"two"]
    (closed,) = world.catalog.close_finished()
    # Nothing is lost: what the log had not given is in the copy.
    assert closed == closed_log(world, None, 4, lost=0)


@in_a_loop
async def test_what_is_cut_is_not_lost_if_a_copy_had_it_that_is_done_by_now(world: World) -> None:
    world.append(b"one\n")
    await world.read()
    copy = world.directory / "tetragon-copy.log"
    world.append(b"one\ntwo\n", copy)
    await world.read()
    world.acknowledge()
    copy.unlink()
    world.scan()
    assert [closed.path for closed in world.catalog.close_finished()] == [str(copy)]
    world.append(b"two\n")
    world.scan()
    world.rewrite(b"three\n")
    await world.read()
    world.acknowledge()
    assert world.catalog.close_finished() == [closed_log(world, None, 4, lost=0)]


@in_a_loop
async def test_what_is_cut_before_it_is_read_is_lost_and_counted(world: World) -> None:
    world.append(b"one\n")
    await world.read()
    world.append(b"two\nthree\n")
    world.scan()
    world.rewrite(b"four\n")
    await world.read()
    assert world.lines == [b"one", b"four"]
    assert world.catalog.close_finished() == [], "a line of it is under way"
    world.acknowledge()
    assert world.catalog.close_finished() == [closed_log(world, None, 4, lost=10)]


@in_a_loop
async def test_content_that_is_rewritten_is_a_new_file_with_a_row_of_its_own(world: World) -> None:
    world.append(b"one\n")
    await world.read()
    world.acknowledge()
    world.rewrite(b"two\nthree\n")
    assert [start.offset for start in await world.read()] == [0]
    world.acknowledge()
    world.catalog.close_finished()
    world.commit()
    assert sorted(record.offset for record in world.saved.values()) == [4, 10]
    # The old row does not claim the inode any more.
    assert sorted(record.inode is None for record in world.saved.values()) == [False, True]


# When a file is done ------------------------------------------------------------------------------


@in_a_loop
async def test_a_file_is_let_go_only_when_it_is_gone_and_read_and_acknowledged(
    world: World,
) -> None:
    world.append(b"one\n")
    await world.read()
    world.acknowledge()
    assert world.catalog.close_finished() == [], "it is still there"
    world.append(b"two\n")
    tail = world.tail()
    world.log.unlink()
    world.scan()
    assert world.catalog.close_finished() == [], "it is not read"
    await world.read()
    assert world.catalog.close_finished() == [], "it is not acknowledged"
    assert tail.descriptor >= 0
    world.acknowledge()
    inode = tail.inode
    assert world.catalog.close_finished() == [closed_log(world, inode, 8, lost=0, stored=8)]
    assert world.catalog.tails == ()
    assert tail.descriptor == -1


@in_a_loop
async def test_a_last_line_without_newline_is_complete_when_its_file_is_gone_and_has_no_writer(
    world: World,
) -> None:
    world.append(b"one\ntw")
    await world.read()
    await world.clock.advance(10 * QUIET_AFTER)
    await world.read()
    assert world.lines == [b"one"], "its file may grow"
    world.append(b"o")
    with world.log.open("ab") as writer:
        world.log.unlink()
        await world.read()
        # Whoever has it open may still write, however long that takes.
        await world.clock.advance(10 * CLOSE_REMOVED_AFTER)
        writer.write(b" and a half")
        writer.flush()
        await world.read()
        await world.clock.advance(10 * CLOSE_REMOVED_AFTER)
        await world.read()
        assert world.lines == [b"one"]
        world.acknowledge()
        assert world.catalog.close_finished() == []
    await world.read()
    assert world.lines == [b"one", b"two and a half"]


@in_a_loop
async def test_where_nobody_knows_of_writers_a_removed_file_is_complete_once_it_was_quiet(
    world: World,
) -> None:
    world.filesystem.tells_of_writers = False
    world.append(b"one\ntw")
    await world.read()
    with world.log.open("ab") as writer:
        world.log.unlink()
        await world.read()
        await world.clock.advance(CLOSE_REMOVED_AFTER - 1)
        writer.write(b"o")
        writer.flush()
        await world.read()
        await world.clock.advance(CLOSE_REMOVED_AFTER - 1)
        await world.read()
        assert world.lines == [b"one"]
    world.acknowledge()
    assert world.catalog.close_finished() == []
    await world.clock.advance(1)
    await world.read()
    assert world.lines == [b"one", b"two"]
    world.acknowledge()
    assert [closed.size for closed in world.catalog.close_finished()] == [7]


@in_a_loop
async def test_a_file_that_was_renamed_out_of_the_globs_is_followed_until_it_is_quiet(
    world: World,
) -> None:
    world.append(b"one\n")
    await world.read()
    elsewhere = world.directory / "tetragon.log.1"
    world.log.rename(elsewhere)
    for number in range(3):
        world.scan()
        world.acknowledge()
        assert world.catalog.close_finished() == []
        await world.clock.advance(CLOSE_REMOVED_AFTER - 1)
        # Whoever writes opens it each time.
        world.append(b"%d\n" % number, elsewhere)
        await world.read()
    assert world.lines == [b"one", b"0", b"1", b"2"]
    world.acknowledge()
    await world.clock.advance(CLOSE_REMOVED_AFTER)
    assert [closed.size for closed in world.catalog.close_finished()] == [10]
    assert world.catalog.written_after_removal() == [], "it has a name"


@in_a_loop
async def test_a_log_that_was_removed_under_its_writer_is_named_once(world: World) -> None:
    world.append(b"one\n")
    await world.read()
    with world.log.open("ab") as writer:
        tail = world.tail()
        world.log.unlink()
        world.scan()
        assert world.catalog.written_after_removal() == [tail]
        writer.write(b"two\n")
        writer.flush()
        await world.read()
        assert world.catalog.written_after_removal() == []
    assert world.lines == [b"one", b"two"]
    # Without a writer there is nothing to say.
    world.append(b"three\n")
    await world.read()
    world.log.unlink()
    world.scan()
    assert world.catalog.written_after_removal() == []


@pytest.mark.parametrize("content", [b"", b"\n\n"])
@in_a_loop
async def test_a_file_without_lines_is_let_go_when_it_is_gone(world: World, content: bytes) -> None:
    world.append(content)
    assert await world.read() == []
    world.log.unlink()
    await world.read()
    world.acknowledge()
    assert [closed.lost for closed in world.catalog.close_finished()] == [0]
    assert world.catalog.tails == ()


@in_a_loop
async def test_an_unreadable_directory_makes_no_file_gone(world: World) -> None:
    world.append(b"one\ntwo")
    await world.read()
    world.filesystem.listing = PermissionError(errno.EACCES, "Permission denied")
    world.scan()
    await world.clock.advance(10 * QUIET_AFTER)
    await world.read()
    world.acknowledge()
    assert world.catalog.close_finished() == []
    assert world.tail().gone is None
    world.filesystem.listing = None
    world.append(b"\n")
    assert await world.read() == []
    assert world.lines == [b"one", b"two"]


# Faults -------------------------------------------------------------------------------------------


@in_a_loop
async def test_a_file_that_cannot_be_opened_is_told_of_and_tried_again(world: World) -> None:
    world.append(b"one\n")
    world.filesystem.opening = OSError(errno.EMFILE, "Too many open files")
    assert [problem.errno for problem in world.scan()] == [errno.EMFILE]
    assert world.catalog.tails == ()
    world.filesystem.opening = None
    assert world.scan() == []
    await world.read()
    assert world.lines == [b"one"]


@in_a_loop
async def test_a_file_that_is_gone_before_it_is_opened_is_no_problem(world: World) -> None:
    world.append(b"one\n")
    world.filesystem.opening = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert world.scan() == []


@pytest.mark.parametrize("reads", range(6))
@in_a_loop
async def test_a_known_file_that_cannot_be_read_at_first_still_goes_on_where_it_was(
    world: World, reads: int
) -> None:
    world.append(b"one\ntwo\n")
    await world.read()
    world.acknowledge()
    world.restart()
    world.append(b"three\n")
    world.filesystem.reads_left = reads
    with pytest.raises(OSError, match="Input/output"):
        await world.read()
    await world.read()
    assert world.lines == [b"three"]
    world.acknowledge()
    world.commit()
    assert [record.offset for record in world.saved.values()] == [14]


@in_a_loop
async def test_new_content_that_cannot_be_opened_is_found_by_the_next_scan(world: World) -> None:
    world.append(b"one\n")
    await world.read()
    world.rewrite(b"two\n")
    world.filesystem.opening = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(OSError, match="Too many"):
        await world.read()
    world.filesystem.opening = None
    await world.read()
    assert world.lines == [b"one", b"two"]


# What the registry learns -------------------------------------------------------------------------


@in_a_loop
async def test_only_what_changed_is_saved(world: World) -> None:
    other = world.directory / "other.log"
    world.append(b"one\n")
    world.append(b"two\n", other)
    await world.read()
    assert len(world.catalog.records.changes().records) == 2
    assert world.catalog.records.changes().records == []
    calls = world.calls
    world.scan()
    assert world.calls == calls, "nothing changed"
    world.in_flight.pop(0).finish()
    assert world.calls > calls
    (record,) = world.catalog.records.changes().records
    assert record.offset == 4


@in_a_loop
async def test_what_could_not_be_saved_is_part_of_the_next_changes_as_it_is_then(
    world: World,
) -> None:
    world.append(b"one\n")
    await world.read()
    world.acknowledge()
    failed = world.catalog.records.changes()
    assert [record.offset for record in failed.records] == [4]
    world.catalog.records.failed(failed)
    failed = world.catalog.records.changes()
    assert [record.offset for record in failed.records] == [4]
    world.append(b"two\n")
    await world.read()
    world.acknowledge()
    world.catalog.records.failed(failed)
    assert [record.offset for record in world.catalog.records.changes().records] == [8]
    assert world.catalog.records.changes().records == []


@in_a_loop
async def test_a_file_that_is_gone_is_remembered_for_a_while_and_forgotten_then(
    world: World,
) -> None:
    world.append(b"one\n")
    await world.read()
    world.acknowledge()
    world.log.unlink()
    world.scan()
    world.catalog.close_finished()
    world.restart()
    await world.clock.advance(FORGET_AFTER - 1)
    world.scan()
    world.commit()
    assert len(world.saved) == 1
    # A backup of it is put back: it is known.
    world.append(b"one\ntwo\n")
    assert await world.read() == [Start(4, "it is known", settled=True)]
    world.acknowledge()
    world.log.unlink()
    world.scan()
    world.catalog.close_finished()
    await world.clock.advance(FORGET_AFTER + 1)
    world.scan()
    failed = world.catalog.records.changes()
    assert (failed.records, len(failed.forgotten)) == ([], 1)
    world.catalog.records.failed(failed)
    world.commit()
    assert world.saved == {}


@in_a_loop
async def test_the_time_of_a_file_that_was_gone_at_the_start_begins_then(world: World) -> None:
    world.append(b"one\n")
    await world.read()
    world.acknowledge()
    world.restart()
    world.log.unlink()
    await world.clock.advance(10 * FORGET_AFTER)
    world.scan()
    world.commit()
    assert [record.removed for record in world.saved.values()] == [world.clock.now()]
    await world.clock.advance(FORGET_AFTER + 1)
    world.scan()
    world.commit()
    assert world.saved == {}


@pytest.mark.parametrize("jump", [86400.0 * 400, -86400.0 * 400], ids=["ahead", "back"])
@in_a_loop
async def test_a_clock_that_is_set_makes_no_half_line_complete_and_loses_no_file(
    world: World, jump: float
) -> None:
    world.append(b"one\ntw")
    await world.read()
    with world.log.open("ab") as writer:
        world.log.unlink()
        await world.read()
        world.clock.set_wall_clock(jump)
        await world.read()
        assert world.lines == [b"one"]
        writer.write(b"o\n")
        writer.flush()
        await world.read()
    assert world.lines == [b"one", b"two"]
    world.acknowledge()
    world.log.write_bytes(b"another\n")
    await world.read()
    world.acknowledge()
    world.restart()
    world.append(b"line\n")
    await world.read()
    assert world.lines == [b"line"]


@in_a_loop
async def test_what_is_remembered_stays_bounded_however_often_a_log_rotates(world: World) -> None:
    most = 0
    for number in range(300):
        world.append(b"%d\n" % number)
        await world.read()
        world.acknowledge()
        world.rotate().unlink()
        # A rotation each minute, and an hour until a file is forgotten.
        await world.clock.advance(60)
        await world.read()
        world.catalog.close_finished()
        world.commit()
        most = max(most, len(world.saved))
    assert most <= 65
    assert len(list(world.catalog.records.paths)) <= 65


# What is not followed ----------------------------------------------------------------------------


def test_a_symbolic_link_in_the_place_of_a_file_that_was_just_found_is_not_followed(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n")
    (tmp_path / "logs").mkdir()
    world = World(tmp_path / "logs")
    world.append(b"a\n")
    found = scan(world.filesystem, [f"{world.directory}/*.log"])
    world.log.unlink()
    world.log.symlink_to(secret)
    assert world.catalog.apply(found) == []
    assert world.catalog.tails == ()
    assert world.catalog.appear(str(world.log)) is None
    assert world.catalog.tails == ()


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "nothing"])
def test_content_that_is_rewritten_is_followed_only_at_a_path_that_is_a_log(
    tmp_path: Path, kind: str
) -> None:
    world = World(tmp_path)

    async def story() -> None:
        world.append(b"a\n")
        world.scan()
        (tail,) = world.catalog.tails
        await world.catalog.place(tail)
        world.log.rename(tmp_path / "moved")
        match kind:
            case "symlink":
                world.log.symlink_to(tmp_path / "moved")
            case "fifo":
                os.mkfifo(world.log)
            case "directory":
                world.log.mkdir()
        assert world.catalog.rewritten(tail) is None
        assert tail.descriptor < 0

    asyncio.run(story())


def test_what_was_followed_through_a_symbolic_link_is_finished_where_links_are_not_followed(
    tmp_path: Path,
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"a\nb\n")
    (tmp_path / "logs").mkdir()
    world = World(tmp_path / "logs")
    world.log.symlink_to(target)
    pattern = f"{world.directory}/*.log"

    async def lines() -> list[bytes]:
        (tail,) = world.catalog.tails
        await world.catalog.place(tail)
        block = await tail.read(final=False)
        assert isinstance(block, Block)
        tail.acks.open(block.end, block.mark, 0.0).finish()
        return block.data.splitlines()

    async def story() -> None:
        following = world.catalog
        following.close()
        world.catalog = world._start(symlinks=True)
        world.catalog.apply(scan(world.filesystem, [pattern], symlinks=True))
        assert await lines() == [b"a", b"b"]
        with target.open("ab") as file:
            file.write(b"c\n")
        world.restart()
        # Links are not followed any more: what was written meanwhile is read, and then no more.
        world.scan()
        assert await lines() == [b"c"]
        assert [closed.path for closed in world.catalog.close_finished()] == [str(world.log)]
        assert world.catalog.tails == ()
        with target.open("ab") as file:
            file.write(b"d\n")
        world.restart()
        world.scan()
        assert world.catalog.tails == ()

    asyncio.run(story())


# Without a scan ----------------------------------------------------------------------------------


def test_a_new_name_is_followed_without_a_scan(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.append(b"a\n")
    tail = world.catalog.appear(str(world.log))
    assert tail is not None
    assert world.catalog.at(str(world.log)) is tail
    rotated = world.rotate()
    assert world.catalog.appear(str(rotated)) is tail
    assert (tail.path, world.catalog.at(str(world.log))) == (str(rotated), None)
    world.append(b"b\n")
    new = world.catalog.appear(str(world.log))
    assert new not in (None, tail)
    assert world.catalog.tails == (tail, new)
    assert world.catalog.appear(str(tmp_path / "absent.log")) is None


def test_a_second_name_of_a_file_changes_nothing_while_the_first_is_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.append(b"a\n")
    tail = world.catalog.appear(str(world.log))
    assert tail is not None
    second = tmp_path / "second.log"
    os.link(world.log, second)
    assert world.catalog.appear(str(second)) is tail
    assert tail.path == str(world.log)
    world.log.unlink()
    assert world.catalog.appear(str(second)) is tail
    assert tail.path == str(second)


def test_what_appeared_during_a_scan_is_newer_than_what_the_scan_saw(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.append(b"a\n")
    world.scan()
    (old,) = world.catalog.tails
    world.catalog.begin_scan()
    found = scan(world.filesystem, [f"{tmp_path}/*.log"])
    # All of this after the walk, and before its result is there.
    rotated = world.rotate()
    world.append(b"b\n")
    new = world.catalog.appear(str(world.log))
    world.catalog.appear(str(rotated))
    world.catalog.apply(found)
    assert new is not None
    assert (old.path, old.gone, new.path, new.gone) == (str(rotated), None, str(world.log), None)
    assert world.catalog.at(str(world.log)) is new
    # The next one sees all of it.
    world.catalog.begin_scan()
    world.log.unlink()
    world.scan()
    assert (old.gone, new.gone is not None) == (None, True)


def test_files_that_were_too_many_for_a_scan_are_not_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("a.log", "b.log", "c.log"):
        world.append(name.encode(), tmp_path / name)
    world.scan()
    (tmp_path / "b.log").unlink()
    world.catalog.apply(scan(world.filesystem, [f"{tmp_path}/*.log"], max_files=1))
    assert {Path(tail.path).name: tail.gone is not None for tail in world.catalog.tails} == {
        "a.log": False,
        "b.log": True,
        "c.log": False,
    }


def test_with_no_descriptors_left_the_newest_files_are_open_and_one_problem_is_told(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    for name in ("a.log", "b.log", "c.log"):
        world.append(name.encode(), tmp_path / name)
    opened: list[str] = []

    def open_one(path: str, *, symlinks: bool = True) -> int:
        if opened:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        opened.append(path)
        return FileSystem().open(path, symlinks=symlinks)

    world.filesystem.open = open_one  # type: ignore[method-assign]
    (problem,) = world.scan()
    assert problem.filename == f"{tmp_path}/b.log"
    assert opened == [f"{tmp_path}/c.log"]
