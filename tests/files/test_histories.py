"""Files that are followed, against a model: random things are done to a directory of logs, and what
is read must be what was written.

Each seed is a history: appends (half lines, blank ones, ones that are too long), rotation by
rename, deletion, truncation, other content under the same inode, copies, scans, reads of a few
steps, acknowledgements in any order, restarts from what is acknowledged. At its end:

- every line that could be read was read;
- every time that it was read it had the same identity and offset, and so the same `_id`;
- no line was read twice where nothing was copied and nobody was killed;
- nothing else was read.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shipper.files.ack import Span
from shipper.files.catalog import Catalog
from shipper.files.discovery import scan
from shipper.files.filesystem import FileSystem
from shipper.files.identity import HEAD_BYTES, Identity, identity_of
from shipper.files.lines import Block, CutLine, NoLine, ReadBuffer, Rewritten
from shipper.files.quiet import QUIET_AFTER
from shipper.files.registry import FileRecord, RowId
from shipper.files.tail import State
from tests.support.clock import ManualClock

LIMIT = 1024
"""The least `max_line_bytes` that can be configured."""

STEPS = 60
SEEDS_A_TEST = 25


@dataclass(slots=True)
class Content:
    """What one file holds, from its first byte to its end by truncation, deletion or test."""

    data: bytes = b""
    #: Up to where every line must have been read, whatever happens to it.
    due: int = 0
    #: Whether no path leads to it any more, although it may be open still.
    deleted: bool = False
    #: Whether nothing more of it can be read.
    over: bool = False


@dataclass(slots=True)
class Disk:
    """The directory, and what was ever written into it."""

    directory: Path
    rng: random.Random
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    rotations: itertools.count[int] = field(default_factory=itertools.count)
    instants: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    contents: list[Content] = field(default_factory=list)
    live: dict[Path, Content] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.directory / "tetragon.log"

    def append(self) -> None:
        content = self._begin() if self.log not in self.live else self.live[self.log]
        self._write(self.log, content, self._some_lines(), "ab")

    def rotate(self) -> None:
        if self.log in self.live:
            rotated = self.directory / f"tetragon-{next(self.rotations)}.log"
            self.log.rename(rotated)
            self.live[rotated] = self.live.pop(self.log)

    def delete(self) -> None:
        """The oldest rotated file goes, as a writer does that keeps a few."""
        old = [path for path in self.live if path != self.log and "copy" not in path.name]
        if old:
            old[0].unlink()
            self.live.pop(old[0]).deleted = True

    def rewrite(self) -> None:
        """Other content under the same inode, shorter or longer than it was; or none."""
        if self.log in self.live:
            self.live.pop(self.log).over = True
            data = b"".join(self._some_lines() for _ in range(self.rng.choice((0, 1, 1, 8))))
            self._write(self.log, self._begin(), data, "r+b")

    def copy(self) -> None:
        path = self.rng.choice([*self.live, None])
        if path is not None:
            copy = self.directory / f"tetragon-copy-{next(self.rotations)}.log"
            shutil.copyfile(path, copy)
            self._stamp(copy)

    def _begin(self) -> Content:
        content = Content()
        self.contents.append(content)
        self.live[self.log] = content
        return content

    def _some_lines(self) -> bytes:
        """Some lines, each with a number; the last may end without its newline."""
        rng = self.rng
        data = b""
        for _ in range(rng.randrange(1, 8)):
            length = rng.choice((0, 10, 100, 300, LIMIT - 12, LIMIT + 5, 5000))
            data += b"<%07d>" % next(self.numbers) + b"x" * rng.randrange(length + 1)
            data += rng.choice((b"\n", b"\n", b"\n\n", b"\r\n"))
        return data if rng.random() < 0.6 else data[: rng.randrange(len(data))]

    def _write(self, path: Path, content: Content, data: bytes, mode: str) -> None:
        with path.open(mode if path.exists() else "wb") as file:
            if mode == "r+b":
                file.truncate(0)
            file.write(data)
        content.data += data
        self._stamp(path)

    def _stamp(self, path: Path) -> None:
        """No two versions in one instant of the file system's clock, however fast the test is."""
        os.utime(path, ns=(0, next(self.instants) * 1_000_000))


@dataclass(frozen=True, slots=True)
class Read:
    """A line as it was read."""

    identity: Identity
    offset: int
    text: bytes
    #: Of the whole line, also where `text` is its head.
    length: int


class Reader:
    """A shipper's front: scans, reads in turns, acknowledges; can be killed and started again."""

    def __init__(self, disk: Disk, rng: random.Random) -> None:
        self.disk = disk
        self.clock = ManualClock()
        self.read_lines: list[Read] = []
        self._rng = rng
        self._rows = itertools.count(1)
        self._saved: dict[RowId, FileRecord] = {}
        self._in_flight: list[Span] = []
        self._filesystem = FileSystem()
        self.catalog = self._start()

    def _start(self) -> Catalog:
        return Catalog(
            "tetragon",
            filesystem=self._filesystem,
            clock=self.clock,
            buffer=ReadBuffer(LIMIT),
            remembered=list(self._saved.values()),
            new_row=lambda: RowId(next(self._rows)),
            on_change=lambda: None,
        )

    def restart(self) -> None:
        """Killed between two commits, or just after one."""
        if self._rng.random() < 0.7:
            self.commit()
        self.catalog.close()
        self._in_flight.clear()
        self.catalog = self._start()
        for content in self.disk.contents:
            # A file that can only be read through our descriptor is gone with it.
            content.over = content.over or content.deleted

    def commit(self) -> None:
        changes = self.catalog.records.changes()
        self._saved.update({record.row: record for record in changes.records})
        for row in changes.forgotten:
            del self._saved[row]

    def acknowledge(self) -> None:
        self._rng.shuffle(self._in_flight)
        for _ in range(self._rng.randrange(len(self._in_flight) + 1)):
            self._in_flight.pop().finish()

    def scan(self) -> None:
        assert self.catalog.apply(scan(self._filesystem, [f"{self.disk.directory}/*.log"])) == []
        self.catalog.close_finished()

    async def read(self, steps: int) -> bool:
        """So many reads, in turns; returns whether there may be more."""
        queue = list(self.catalog.tails)
        self._rng.shuffle(queue)
        for _ in range(steps):
            if not queue:
                return False
            tail = queue.pop(0)
            if tail.state is State.WAITING and await self.catalog.place(tail) is None:
                continue
            # The fast way, where there is one; or the other, which gives the same.
            taken = tail.take() if self._rng.random() < 0.5 else None
            match taken or await tail.read(final=self.catalog.is_final(tail)):
                case Block(data, end, mark, start):
                    self._take(tail.identity, start, data)
                    self._in_flight.append(tail.acks.open(end, mark, 0.0))
                    queue.append(tail)
                case CutLine(head, length, end, mark, start):
                    self.read_lines.append(Read(tail.identity, start, head, length))
                    self._in_flight.append(tail.acks.open(end, mark, 0.0))
                    queue.append(tail)
                case Rewritten():
                    new = self.catalog.rewritten(tail)
                    queue += [] if new is None else [new]
                case NoLine.LONG_LINE:
                    queue.append(tail)
        return True

    async def read_all(self, *, quiet: bool = False) -> None:
        """Scans and reads all that there is; from now on it is due. `quiet`: so long after the last
        deletion that a last line needs no newline."""
        # Twice: what is found to be rewritten is another file from then on.
        for _ in range(2):
            self.scan()
            while await self.read(1000):
                pass
        for content in self.disk.contents:
            if not content.over:
                content.due = len(complete(content.data))
                if quiet and content.deleted:
                    content.due = len(content.data) + 1

    def _take(self, identity: Identity, offset: int, data: bytes) -> None:
        for line in data.split(b"\n")[:-1]:
            self.read_lines.append(Read(identity, offset, line, len(line)))
            offset += len(line) + 1


def complete(data: bytes) -> bytes:
    """The lines that have their newline."""
    return data[: data.rfind(b"\n") + 1]


def expected_of(content: Content) -> list[Read]:
    """Every line of a content; of one that will not grow the last one too, without a newline."""
    identity = identity_of(content.data[:HEAD_BYTES], final=True)
    assert identity is not None
    found, offset = [], 0
    data = content.data if content.deleted else complete(content.data)
    for line in data.removesuffix(b"\n").split(b"\n"):
        found.append(Read(identity, offset, line[:LIMIT], len(line)))
        offset += len(line) + 1
    return found if data else []


async def history(seed: int, directory: Path) -> tuple[Disk, Reader, bool]:
    """Lives through it; returns also whether a line may have been read twice."""
    rng = random.Random(seed)
    disk = Disk(directory, rng)
    reader = Reader(disk, rng)
    weights = {name: rng.choice((0, 1, 1, 3)) for name in ("rotate", "delete", "rewrite", "copy")}
    doings = {
        "append": 8,
        "scan": 2,
        "read": 6,
        "read all": 2,
        "acknowledge": 3,
        "commit": 1,
        "restart": rng.choice((0, 1)),
        **weights,
    }
    for doing in rng.choices(list(doings), list(doings.values()), k=STEPS):
        match doing:
            case "append":
                disk.append()
            case "rotate":
                disk.rotate()
            case "delete":
                # What was never seen can never be read.
                await reader.read_all()
                disk.append()
                disk.delete()
            case "rewrite":
                disk.rewrite()
            case "copy":
                disk.copy()
            case "scan":
                reader.scan()
            case "read":
                await reader.read(rng.randrange(1, 6))
            case "read all":
                await reader.read_all()
            case "acknowledge":
                reader.acknowledge()
            case "commit":
                reader.commit()
            case "restart":
                reader.restart()
    await reader.read_all()
    await reader.clock.advance(QUIET_AFTER)
    await reader.read_all(quiet=True)
    return disk, reader, bool(doings["copy"] or doings["restart"])


def check(disk: Disk, reader: Reader, *, twice: bool) -> None:
    written = {line: content for content in disk.contents for line in expected_of(content)}
    found = set(reader.read_lines)
    assert twice or len(found) == len(reader.read_lines)
    strange = [line for line in reader.read_lines if line not in written]
    assert strange == [], "what was read is what was written, where it was written"
    for content in disk.contents:
        lines = expected_of(content)
        due = [line for line in lines if line.offset + line.length < content.due]
        missing = [line for line in due if line not in found]
        assert missing == [], "what could be read was read"


@pytest.mark.parametrize("first", range(0, 400, SEEDS_A_TEST))
def test_what_is_read_is_what_was_written_whatever_happens_to_the_files(
    first: int, tmp_path: Path
) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        directory = tmp_path / str(seed)
        directory.mkdir()
        disk, reader, twice = asyncio.run(history(seed, directory))
        try:
            check(disk, reader, twice=twice)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
        finally:
            reader.catalog.close()
        shutil.rmtree(directory)
