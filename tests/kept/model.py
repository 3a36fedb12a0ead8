"""A directory of logs whose writers, rotators and cleaners do what they do, and what was written.

What nobody can know is left out by construction:

- A name that comes and goes between two looks of shipper, or while it is down, was never seen. So a
  name is taken away only from a content that is in `.shipper`, or that a running shipper has open.
- A half line that is cut off by a truncation was no line yet: it may be missing.
- What somebody removed from `.shipper` while it was the only name left is gone with the descriptor
  of a shipper that is killed. What the registry knew of it is recorded (`vanished`); more was known
  to nobody: `Content.known`.
"""

from __future__ import annotations

import gzip
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shipper.files.identity import HEAD_BYTES, Identity, identity_of

LINKS = ".shipper"


@dataclass(slots=True)
class Line:
    """A numbered line as it is in its file so far, without its newline."""

    number: int
    start: int
    text: bytes
    #: What is still to come, its newline included; empty for a complete one.
    rest: bytes = b""
    #: Whether it may be missing.
    optional: bool = False


@dataclass(eq=False, slots=True)
class Content:
    """What one log holds from its beginning to its end, wherever it is by now."""

    data: bytes = b""
    lines: list[Line] = field(default_factory=list)
    #: Its name, and all that it ever had; None: nothing leads to it but links of ours.
    path: Path | None = None
    names: list[str] = field(default_factory=list)
    #: Those that hold all of it: the log's own, its copy's, its gzip's.
    inodes: set[int] = field(default_factory=set)
    #: What its writer has open.
    writer: int | None = None
    #: When it was written to last, by the test's clock.
    written: float = 0.0
    #: Whether it was cut: nothing holds it any more.
    over: bool = False
    #: Up to which byte anybody could know of it, once the last that held it is gone.
    known: int | None = None

    @property
    def identity(self) -> Identity | None:
        return identity_of(self.data[:HEAD_BYTES], final=True)

    @property
    def half(self) -> Line | None:
        """Its last line, if that is not complete."""
        return self.lines[-1] if self.lines and self.lines[-1].rest else None

    @property
    def is_watched(self) -> bool:
        """Whether its name is one that the input watches."""
        return self.path is not None and ".log" in self.path.name


@dataclass
class Disk:
    """One directory of logs."""

    directory: Path
    rng: random.Random
    now: Callable[[], float]
    contents: list[Content] = field(default_factory=list)
    live: Content | None = None
    """What is at tetragon.log."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _names: Iterator[int] = field(default_factory=itertools.count)
    _instants: Iterator[int] = field(default_factory=itertools.count)

    @property
    def log(self) -> Path:
        return self.directory / "tetragon.log"

    @property
    def place(self) -> Path:
        """The directory of links."""
        return self.directory / LINKS

    def links(self) -> set[int]:
        """The inodes that shipper keeps by a link."""
        try:
            return {entry.stat().st_ino for entry in os.scandir(self.place)}
        except FileNotFoundError:
            return set()

    # Who writes

    def append(self) -> None:
        content = self.live
        if content is None:
            content = self.live = Content(path=self.log, names=[str(self.log)])
            self.contents.append(content)
        if content.writer is None:
            content.writer = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            content.inodes.add(os.fstat(content.writer).st_ino)
        self.write(content)

    def write(self, content: Content) -> None:
        """Some lines through what the writer has open; the last one may be half."""
        assert content.writer is not None
        data = b""
        if half := content.half:
            data += half.rest
            half.text, half.rest = half.text + half.rest[:-1], b""
        for _ in range(self.rng.randrange(1, 6)):
            number = next(self._numbers)
            text = b'{"n":%d,"pad":"%s"}' % (
                number,
                b"x" * self.rng.randrange(self.rng.choice((1, 100, 3000))),
            )
            content.lines.append(Line(number, len(content.data) + len(data), text))
            data += text + b"\n"
        if self.rng.random() < 0.3:
            line = content.lines[-1]
            # So much that its number can be seen.
            cut = self.rng.randrange(line.text.index(b",") + 1, len(line.text) + 1)
            missing = len(line.text) + 1 - cut
            line.text, line.rest = line.text[:cut], (line.text + b"\n")[cut:]
            data = data[:-missing]
        os.write(content.writer, data)
        content.data += data
        self.stamp(content.writer)
        content.written = self.now()

    def close(self, content: Content) -> None:
        """Its writer is done with it."""
        if content.writer is not None:
            os.close(content.writer)
            content.writer = None

    def stamp(self, file: int | Path) -> None:
        """As if it had been written to at the test's time; no two writes at the same."""
        instant = int(self.now() * 1e9) + next(self._instants)
        os.utime(file, ns=(instant, instant))

    # Who rotates

    def rotate(self, *, watched: bool) -> None:
        if self.live is None:
            return
        name = f"tetragon-{next(self._names)}.log" if watched else f"old-{next(self._names)}.txt"
        self._rename(self.live, self.directory / name)
        if self.rng.random() < 0.5:
            self.close(self.live)
        self.live = None

    def copy_and_truncate(self) -> None:
        """As logrotate does: nobody writes in between."""
        if self.live is None:
            return
        content = self.live
        copy = self.directory / f"tetragon-{next(self._names)}.log"
        shutil.copyfile(self.log, copy)
        self.stamp(copy)
        self._begin_anew(content)
        content.path = copy
        content.names.append(str(copy))
        content.inodes = {copy.stat().st_ino}

    def truncate(self) -> None:
        if self.live is None:
            return
        content = self.live
        if content.half:
            content.lines[-1].optional = True
        self._begin_anew(content)
        content.path, content.inodes, content.over = None, set(), True

    def _begin_anew(self, old: Content) -> None:
        """The log is empty, and its writer goes on in it."""
        os.truncate(self.log, 0)
        self.stamp(self.log)
        new = Content(path=self.log, names=[str(self.log)], inodes={self.log.stat().st_ino})
        new.writer, old.writer = old.writer, None
        new.written = self.now()
        self.contents.append(new)
        self.live = new

    def compress(self, content: Content) -> None:
        assert content.path is not None
        self.close(content)
        packed = content.path.with_name(f"{content.path.name}.gz")
        with gzip.GzipFile(packed, "wb", mtime=0) as file:
            file.write(content.data)
        self.stamp(packed)
        content.path.unlink()
        content.path = packed
        content.names.append(str(packed))
        content.inodes.add(packed.stat().st_ino)

    def remove(self, content: Content) -> None:
        assert content.path is not None
        content.path.unlink()
        content.path = None
        if content is self.live:
            self.live = None

    def _rename(self, content: Content, path: Path) -> None:
        assert content.path is not None
        content.path.rename(path)
        content.path = path
        content.names.append(str(path))

    # Who cleans

    def clean(self, how: str) -> Path | None:
        """Meddle with the directory of links; returns where the old one is, if it was moved."""
        if not self.place.is_dir():
            return None
        match how:
            case "clean":
                for entry in os.scandir(self.place):
                    os.unlink(entry.path)
            case "remove":
                shutil.rmtree(self.place)
            case "replace":
                aside = self.directory.with_name(f"aside-{next(self._names)}")
                self.place.rename(aside)
                self.place.mkdir(0o700)
                return aside
            case "expose":
                self.place.chmod(0o770)
        return None
