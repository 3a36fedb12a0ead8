"""A directory of logs whose writers, rotators and cleaners do what they do, and what was written.

What nobody can know is left out by construction:

- A name that comes and goes between two looks of shipper, or while it is down, was never seen. So a
  name is taken away only from a content that is in `.shipper`, or that a running shipper has open.
- A half line that is cut off by a truncation was no line yet: it may be missing.
- What is cut off at its end is cut between two lines: half a line and the next one would be one
  that nobody wrote.
- What somebody removed from `.shipper` while it was the only name left is gone with the descriptor
  of a shipper that is killed. What the registry knew of it is recorded (`vanished`); more was known
  to nobody: `Content.known`.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shipper.files.identity import HEAD_BYTES, Identity, identity_of
from shipper.files.notifications import Change

LINKS = ".shipper"


@dataclass(slots=True)
class Line:
    """A numbered line as it is in its file so far, without its newline."""

    number: int
    start: int
    text: bytes
    #: What is still to come, its newline included; empty for a complete one.
    rest: bytes = b""
    #: Whether the end of its file was cut off, and it with it.
    is_cut: bool = False
    #: Whether it may be missing.
    optional: bool = False


@dataclass(eq=False, slots=True)
class Content:
    """What one log holds from its beginning to its end, wherever it is by now."""

    #: Up to where its writer got; the file may go on with NULs.
    data: bytes = b""
    #: Whether its writer writes at the end, wherever that is, and not where it is itself.
    appends: bool = True
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
        begin = self.data.lstrip(b"\0")
        line, nul, _ = begin[:HEAD_BYTES].partition(b"\0")
        if not begin:
            return None
        return identity_of(line if nul and b"\n" not in line else begin[:HEAD_BYTES], final=True)

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
    with_nuls: bool = False
    """Whether some of its writers do not append: they allocate, leave gaps, and go on after a cut
    where they were."""
    changes: list[tuple[Change, str]] = field(default_factory=list)
    """What the kernel tells of names since somebody took it."""
    aside: Path | None = None
    """The directory of links that another one is mounted over."""
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

    def links(self, *, hidden: bool = False) -> set[int]:
        """The inodes that shipper keeps by a link. `hidden`: also by one that nobody can see while
        something is mounted there."""
        places = [self.place, self.aside] if hidden and self.aside else [self.place]
        found: set[int] = set()
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                found |= {entry.stat().st_ino for entry in os.scandir(place)}
        return found

    # Who writes

    def append(self) -> None:
        content = self.live
        if content is None:
            content = self.live = Content(path=self.log, names=[str(self.log)])
            content.appends = not self.with_nuls or self.rng.random() < 0.4
            self.contents.append(content)
            self.changes.append((Change.added, str(self.log)))
        if content.writer is None:
            how = os.O_APPEND if content.appends else 0
            content.writer = os.open(self.log, os.O_WRONLY | os.O_CREAT | how, 0o600)
            content.inodes.add(os.fstat(content.writer).st_ino)
            if not content.appends and not content.data:
                self._allocate(content)
        self.write(content)

    def _allocate(self, content: Content) -> None:
        """Room in advance: a hole, or zeros, or none."""
        assert content.writer is not None
        match self.rng.randrange(3):
            case 0:
                os.truncate(content.writer, self.rng.randrange(1, 100_000))
            case 1:
                os.pwrite(content.writer, bytes(self.rng.randrange(1, 50_000)), 0)

    def leave_gap(self, content: Content) -> None:
        """NULs between lines, or after half a line, which is never finished then."""
        assert content.writer is not None
        if half := content.half:
            half.rest = b""
        gap = self.rng.choice((1, 100, 5000, 40_000))
        if self.rng.random() < 0.5:
            os.pwrite(content.writer, bytes(gap), len(content.data))
        content.data += bytes(gap)
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
            length = self.rng.randrange(self.rng.choice((1, 100, 3000)))
            # No two lines have the same bytes for the length of a mark.
            text = b'{"n":%d,"pad":"%s"}' % (number, (b"%d." % number * length)[:length])
            content.lines.append(Line(number, len(content.data) + len(data), text))
            data += text + b"\n"
        if self.rng.random() < 0.3:
            line = content.lines[-1]
            # So much that its number can be seen.
            cut = self.rng.randrange(line.text.index(b",") + 1, len(line.text) + 1)
            missing = len(line.text) + 1 - cut
            line.text, line.rest = line.text[:cut], (line.text + b"\n")[cut:]
            data = data[:-missing]
        if content.appends:
            os.write(content.writer, data)
        else:
            os.pwrite(content.writer, data, len(content.data))
        content.data += data
        self.stamp(content.writer)
        content.written = self.now()
        if content.path is not None:
            self.changes.append((Change.modified, str(content.path)))

    def close(self, content: Content) -> None:
        """Its writer is done with it."""
        if content.writer is not None:
            if not content.appends and not content.over and self.rng.random() < 0.5:
                # What was allocated in advance is given back.
                os.truncate(content.writer, len(content.data))
                self.stamp(content.writer)
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
        self.changes.append((Change.added, str(copy)))
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

    def trim(self) -> None:
        """The end of the log is cut off, and its writer goes on there."""
        content = self.live
        if content is None or not content.appends:
            return
        there = [line.start for line in content.lines if not line.is_cut]
        ends = [start for start in there if 0 < start < len(content.data)]
        if not ends:
            return
        end = self.rng.choice(ends)
        if content.half:
            content.lines[-1].optional, content.lines[-1].rest = True, b""
        os.truncate(self.log, end)
        self.stamp(self.log)
        content.data = content.data[:end]
        for line in content.lines:
            line.is_cut |= line.start >= end
        self.changes.append((Change.modified, str(self.log)))

    def _begin_anew(self, old: Content) -> None:
        """The log is empty, and its writer goes on in it: at its end, or where it was."""
        os.truncate(self.log, 0)
        self.stamp(self.log)
        self.changes.append((Change.modified, str(self.log)))
        new = Content(path=self.log, names=[str(self.log)], inodes={self.log.stat().st_ino})
        new.appends = old.appends
        if not new.appends and old.writer is not None:
            new.data = bytes(len(old.data))
        new.writer, old.writer = old.writer, None
        new.written = self.now()
        self.contents.append(new)
        self.live = new

    def compress(self, content: Content) -> None:
        assert content.path is not None
        self.close(content)
        packed = content.path.with_name(f"{content.path.name}.gz")
        with gzip.GzipFile(packed, "wb", mtime=0) as file:
            file.write(content.path.read_bytes())
        self.stamp(packed)
        content.path.unlink()
        self.changes += [(Change.added, str(packed)), (Change.deleted, str(content.path))]
        content.path = packed
        content.names.append(str(packed))
        content.inodes.add(packed.stat().st_ino)

    def remove(self, content: Content) -> None:
        assert content.path is not None
        content.path.unlink()
        self.changes.append((Change.deleted, str(content.path)))
        content.path = None
        if content is self.live:
            self.live = None

    def _rename(self, content: Content, path: Path) -> None:
        assert content.path is not None
        content.path.rename(path)
        self.changes += [(Change.deleted, str(content.path)), (Change.added, str(path))]
        content.path = path
        content.names.append(str(path))

    # Who cleans

    def clean(self, how: str) -> Path | None:
        """Meddle with the directory of links; returns where the old one is, if it was moved."""
        if not self.place.is_dir() or (self.aside is not None and how in ("remove", "replace")):
            return None  # What is mounted there is busy.
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

    # Who mounts

    def mount(self) -> int | None:
        """Hides the directory of links under another one, which is empty; returns its inode."""
        if self.aside is not None or not self.place.is_dir():
            return None
        self.aside = self.directory.with_name(f"under-{next(self._names)}")
        self.place.rename(self.aside)
        self.place.mkdir(0o700)
        return self.place.stat().st_ino

    def unmount(self) -> Path | None:
        """Has the hidden directory be there again; returns where the other one is, if it was."""
        if self.aside is None:
            return None
        gone = None
        if self.place.is_dir():
            gone = self.directory.with_name(f"gone-{next(self._names)}")
            self.place.rename(gone)
        self.aside.rename(self.place)
        self.aside = None
        return gone
