"""Follows one file with a tail, and gathers its lines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from shipper.files.ack import AckTracker
from shipper.files.content import Content, PlainContent
from shipper.files.filesystem import FileSystem
from shipper.files.gzip_content import GzipContent
from shipper.files.identity import mark_of
from shipper.files.lines import Block, CutLine, HalfLine, NoLine, ReadBuffer, Reading, Rewritten
from shipper.files.tail import Tail

LIMIT = 1024
"""The least `max_line_bytes` that can be configured."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was read, without its newline."""

    offset: int
    data: bytes
    #: How long it was, if this is only its head.
    cut_from: int | None = None
    #: Whether NULs followed it in place of a newline.
    half: bool = False


class Follower:
    """A tail, and what was read from it."""

    def __init__(
        self, path: Path, *, filesystem: FileSystem | None = None, limit: int = LIMIT
    ) -> None:
        filesystem = filesystem or FileSystem()
        descriptor = filesystem.open(str(path))
        inode = filesystem.facts(descriptor).inode
        content: Content = (
            GzipContent(filesystem, descriptor)
            if path.suffix == ".gz"
            else PlainContent(filesystem, descriptor, inode.device)
        )
        self.tail = Tail(content, ReadBuffer(limit), str(path), inode)
        self.lines: list[Line] = []
        self.most_bytes = 0

    def begin(self, offset: int = 0, before: bytes = b"") -> None:
        """At `offset`, before which there is `before`."""
        asyncio.run(self.start(offset, before))

    def step(self, *, final: bool = False) -> Reading:
        """One read, whatever comes of it."""
        return asyncio.run(self.next(final=final))

    def read(self, *, final: bool = False) -> NoLine | Rewritten:
        """Steps until nothing more is to be had; says why."""
        return asyncio.run(self.all(final=final))

    async def start(self, offset: int = 0, before: bytes = b"", *, final: bool = True) -> bool:
        """As `begin`; returns whether the file is identified."""
        identity = await self.tail.identify(final=final)
        while identity is None and self.tail.identification.head.searching:
            identity = await self.tail.identify(final=final)
        if identity is None:
            return False
        mark = mark_of(before)
        while (found := await self.tail.has_mark(offset, mark)) is None:
            pass
        assert found
        while not await self.tail.content.reach(offset - mark.length):
            pass
        await self.tail.begin(identity, AckTracker(offset, mark, on_advance=lambda: None))
        return True

    async def next(self, *, final: bool = False) -> Reading:
        """As `step`."""
        reading = await self.tail.read(final=final)
        match reading:
            case Block(data, end, mark, offset):
                self.most_bytes = max(self.most_bytes, len(data))
                assert data.endswith(b"\n")
                for line in data.split(b"\n")[:-1]:
                    self.lines.append(Line(offset, line))
                    offset += len(line) + 1
                self.tail.acks.open(end, mark, 0.0)
            case HalfLine(data, end, mark, offset):
                self.lines.append(Line(offset, data, half=True))
                self.tail.acks.open(end, mark, 0.0)
            case CutLine(head, length, end, mark, offset):
                self.lines.append(Line(offset, head, length))
                self.tail.acks.open(end, mark, 0.0)
        return reading

    async def all(self, *, final: bool = False) -> NoLine | Rewritten:
        """As `read`."""
        while True:
            reading = await self.next(final=final)
            if isinstance(reading, Rewritten) or reading is NoLine.AT_END:
                return reading
