"""Walks the directories of a glob: which regular files does it match now?

The same matches as Python's `glob.glob(pattern, recursive=True)`: a leading dot is matched by a dot
only, and `**` stands for any number of directories that are not hidden. What that does not do:

- It ends. Directories that symbolic links lead to are entered once, after all others: links in a
  circle, or a thousand links to one directory, cost what the directory costs.
- It does not swallow errors. What cannot be looked at is named, so that nobody takes what is there
  for deleted. A name that goes between the listing and the look is no error.
- It trusts no inode number of a listing (`d_ino`): only `stat` says which file it is.
- It remembers a bounded number of names: of more, the newest.

It blocks on the disk: the daemon has it run in a thread.
"""

import errno
import fnmatch
import os
import re
import stat
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Protocol

import msgspec

from shipper.files.filesystem import FileSystem, Inode, inode_in
from shipper.files.opening import Exclusion
from shipper.files.retention import DIRECTORY

#: So many files of one input are followed; of more those that were written to last.
MAX_FILES = 50_000

#: So many directories of one input are walked.
MAX_DIRECTORIES = 50_000

#: So many paths that cannot be looked at, or are left out as symbolic links, are named one by one.
_MAX_NAMED = 1000

_WILDCARDS = frozenset("*?[")

_DOTS = frozenset({".", ".."})

# A path that is a symbolic link stands for a file only if no other path does.
_LINK_RANK = 2**32

#: What a race with a rotation looks like.
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR})


def directory_of(pattern: str) -> str:
    """The directory that holds the part of a glob before its first wildcard."""
    parts = pattern.split("/")
    fixed = next((i for i, part in enumerate(parts) if _WILDCARDS & set(part)), len(parts) - 1)
    return "/".join(parts[:fixed]) or "/"


@dataclass(frozen=True, slots=True)
class _Part:
    """One component of a glob after its fixed directory."""

    text: str
    #: None: no wildcard is in it.
    expression: re.Pattern[str] | None
    any_depth: bool

    def matches(self, name: str) -> bool:
        if self.expression is None:
            return name == self.text
        if name.startswith(".") and not self.text.startswith("."):
            return False
        return self.any_depth or self.expression.match(name) is not None


#: Which components of a glob the next name may be matched by.
_Places = frozenset[int]

_NOWHERE: _Places = frozenset()


class Pattern:
    """A glob, taken apart. `text` is absolute."""

    def __init__(self, text: str) -> None:
        self.text = text
        #: It stands before the first wildcard.
        self.directory = directory_of(text)
        rest = text[len(self.directory) :].split("/")
        # Two slashes are one; one at the end asks for a directory, which no log is.
        parts = [part for part in rest[:-1] if part] + rest[-1:]
        self._parts = [
            _Part(part, _expression(part) if _WILDCARDS & set(part) else None, part == "**")
            for part in parts
        ]
        self.start = self._closed({0})
        # The place of the last component, from which nothing leads on; none if that is `**`.
        self._last = _NOWHERE if parts[-1] == "**" else frozenset({len(parts) - 1})

    @property
    def goes_deeper(self) -> bool:
        """Whether it matches in other directories than its own."""
        return len(self._parts) > 1

    def literals(self, places: _Places) -> list[str]:
        """The names without a wildcard that are asked for in a directory."""
        parts = [self._parts[place] for place in sorted(places)]
        return list(dict.fromkeys(part.text for part in parts if part.expression is None))

    def needs_listing(self, places: _Places) -> bool:
        """Whether a directory has to be listed to know what matches in it."""
        return any(self._parts[place].expression is not None for place in places)

    def step(self, places: _Places, name: str) -> tuple[_Places, bool]:
        """What a name leads to: the places below it, if it is a directory, and whether it is a
        match, if it is a file."""
        if places == self._last:
            # The names in the directory of a glob such as /logs/*.log: by far the most.
            return _NOWHERE, self._parts[-1].matches(name)
        matched = {place for place in places if self._parts[place].matches(name)}
        if not matched:
            return _NOWHERE, False
        below = {place if self._parts[place].any_depth else place + 1 for place in matched}
        return self._closed(below), len(self._parts) - 1 in matched

    def matches(self, path: str) -> bool:
        """Whether it matches that path."""
        return self._trace(path)[1]

    def may_lead_to_match(self, path: str) -> bool:
        """Whether it matches that path, or may match something below it."""
        below, is_match = self._trace(path)
        return is_match or bool(below) or any(part.text in _DOTS for part in self._parts)

    def _trace(self, path: str) -> tuple[_Places, bool]:
        start = self.directory.rstrip("/") + "/"
        if not path.startswith(start):
            return _NOWHERE, False
        places, is_match = self.start, False
        for name in path[len(start) :].split("/"):
            places, is_match = self.step(places, name)
        return places, is_match

    def _closed(self, places: set[int]) -> _Places:
        """With the places after each `**`, which may stand for no directory at all."""
        closed = set()
        for place in places:
            while place < len(self._parts):
                closed.add(place)
                if not self._parts[place].any_depth:
                    break
                place += 1
        return frozenset(closed)


class Found(msgspec.Struct, frozen=True, gc=False):
    """A file as a walk saw it. There may be tens of thousands at a time."""

    path: str
    #: Bytes, and nanoseconds since the Unix epoch.
    size: int
    modified: int
    #: Of several paths to one file, that of the lowest rank stands for it.
    rank: int = 0


#: In place of a file of which no more has to be known: of many that is much memory.
PARKED = Found("", 0, 0)


class Settled(Protocol):
    """Files of which nobody has to hear unless something becomes of them."""

    @property
    def walk(self) -> int:
        """The number of the walk that asks."""

    def see(self, inode: Inode, path: str, size: int, modified: int) -> bool:
        """The walk saw a file at that path, with that size (bytes) and time of modification
        (nanoseconds): returns whether it is one of them, and notes that it is there."""


@dataclass(slots=True)
class Walk:
    """What was found so far, by the walks of one or more globs."""

    filesystem: FileSystem
    exclusion: Exclusion
    symlinks: bool
    max_files: int = MAX_FILES
    max_directories: int = MAX_DIRECTORIES
    settled: Settled | None = None
    #: Directories that were walked, each by one of the paths to it.
    directories: dict[str, Inode] = field(default_factory=dict)
    #: Directories of globs that do not exist.
    missing: list[str] = field(default_factory=list)
    #: What could not be looked at; what is below it may be there.
    unreadable: dict[str, OSError] = field(default_factory=dict)
    #: Symbolic links that match and are not followed; the number counts those not named, too.
    skipped: list[str] = field(default_factory=list)
    skipped_count: int = 0
    #: How many files and directories were too many.
    files_left_out: int = 0
    #: If they were, what was written to before that is not among those that are followed
    #: (nanoseconds since the Unix epoch).
    oldest: int = 0
    directories_left_out: int = 0
    _files: dict[Inode, Found] = field(default_factory=dict)
    # When those that are settled were written to.
    _settled_times: "array[int]" = field(default_factory=lambda: array("q"))
    _patterns: int = 0

    def add(self, pattern: Pattern) -> int:
        """Walks the directories of one more glob; returns how many names of files it matches.

        Never raises OSError.
        """
        self._patterns += 1
        try:
            found = self.filesystem.status(pattern.directory)
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(
                    errno.ENOTDIR, os.strerror(errno.ENOTDIR), pattern.directory
                )
        except FileNotFoundError:
            self.missing.append(pattern.directory)
            return 0
        except OSError as error:
            self.unreadable[pattern.directory] = error
            return 0
        return _PatternWalk(self, pattern, inode_in(found)).run()

    def files(self) -> dict[Inode, Found]:
        """The files, the newest first; of the same time the shorter name, which the active log has
        where a rotated one has a time stamp in it."""
        excess = len(self._settled_times) + len(self._files) - self.max_files
        if excess > 0:
            times = [found.modified for found in self._files.values()]
            times += self._settled_times
            self.oldest = sorted(times)[excess]
            settled = sum(time >= self.oldest for time in self._settled_times)
            self.files_left_out += len(self._settled_times) - settled
            self._forget_oldest(max(0, self.max_files - settled))
        return {inode: self._files[inode] for inode in sorted(self._files, key=self._newest_first)}

    def _newest_first(self, inode: Inode) -> tuple[int, int, str]:
        found = self._files[inode]
        return -found.modified, len(found.path), found.path

    @property
    def settled_count(self) -> int:
        """How many settled files there are."""
        return len(self._settled_times)

    def take(self, path: str, found: os.stat_result, *, is_link: bool) -> None:
        """A regular file that matches."""
        inode = inode_in(found)
        size, modified = found.st_size, found.st_mtime_ns
        if self.settled is not None and self.settled.see(inode, path, size, modified):
            self._files.pop(inode, None)
            self._settled_times.append(modified)
            return
        rank = self._patterns + is_link * _LINK_RANK
        before = self._files.get(inode)
        if before is not None and (before.rank, before.path) <= (rank, path):
            return
        self._files[inode] = Found(path, size, modified, rank)
        if len(self._files) >= 2 * self.max_files:
            self._forget_oldest(self.max_files)

    def skip(self, path: str) -> None:
        """A symbolic link that matches and is not followed."""
        self.skipped_count += 1
        if len(self.skipped) < _MAX_NAMED:
            self.skipped.append(path)

    def refuse(self, path: str, error: OSError) -> None:
        """What cannot be looked at, unless it just went."""
        if error.errno in _VANISHED:
            return
        if len(self.unreadable) >= _MAX_NAMED:
            path = os.path.dirname(path)
        self.unreadable.setdefault(path, error)

    def _forget_oldest(self, count: int) -> None:
        excess = len(self._files) - count
        if excess > 0:
            newest = nlargest(count, self._files.items(), key=lambda item: item[1].modified)
            self._files = dict(newest)
            self.files_left_out += excess


_Enter = Callable[[tuple[str, Inode, _Places]], None]


class _PatternWalk:
    """The walk of one glob."""

    def __init__(self, walk: Walk, pattern: Pattern, root: Inode) -> None:
        self._walk = walk
        self._filesystem = walk.filesystem
        self._pattern = pattern
        self._matches = 0
        self._budget = walk.max_directories
        # Directories that are to be walked, and those that only a symbolic link led to.
        self._real = deque([(pattern.directory, root, pattern.start)])
        self._linked: deque[tuple[str, Inode, _Places]] = deque()
        # For which places a directory was walked already.
        self._done: dict[Inode, set[int]] = {}

    def run(self) -> int:
        while self._real:
            self._list(*self._real.popleft(), enter=self._real.append)
        while self._linked:
            path, inode, places = self._linked.popleft()
            fresh = places - self._done.get(inode, set())
            if fresh:
                self._list(path, inode, fresh, enter=self._linked.append)
        return self._matches

    def _list(
        self,
        path: str,
        inode: Inode,
        places: _Places,
        *,
        enter: _Enter,
    ) -> None:
        """Looks at what a directory has for the places; `enter` is given what is below it."""
        if not self._budget:
            self._walk.directories_left_out += 1
            return
        self._budget -= 1
        self._done.setdefault(inode, set()).update(places)
        self._walk.directories.setdefault(path, inode)
        named = self._pattern.literals(places)
        if self._pattern.needs_listing(places):
            try:
                self._list_entries(path, places, enter)
                named = [name for name in named if name in _DOTS]
            except OSError as error:
                self._walk.refuse(path, error)
        for name in named:
            target = os.path.join(path, name)
            # Where dots lead was walked from elsewhere, mostly.
            is_link = name in _DOTS or self._filesystem.is_link(target)
            below, is_match = self._pattern.step(places, name)
            self._look(target, below, is_match, enter, is_link=is_link, is_directory=None)

    def _list_entries(self, path: str, places: _Places, enter: _Enter) -> None:
        step = self._pattern.step
        for entry in self._filesystem.list_directory(path):
            below, is_match = step(places, entry.name)
            if not (below or is_match) or entry.name == DIRECTORY:
                continue
            is_link = entry.is_symlink()
            is_directory = None if is_link else entry.is_dir(follow_symlinks=False)
            self._look(
                os.path.join(path, entry.name),
                below,
                is_match,
                enter,
                is_link=is_link,
                is_directory=is_directory,
            )

    def _look(
        self,
        path: str,
        below: _Places,
        is_match: bool,
        enter: _Enter,
        *,
        is_link: bool,
        is_directory: bool | None,
    ) -> None:
        """Looks at one name. `is_directory`: None where only `stat` can tell."""
        if is_directory and (not below or self._walk.exclusion.covers(path)):
            return
        if is_directory is False and not is_match:
            return
        skipped = is_link and is_match and not self._walk.symlinks
        if not skipped or below:
            try:
                found = self._filesystem.status(path)
            except OSError as error:
                # A link in a circle leads nowhere: nothing can be below it.
                if not skipped and not (error.errno == errno.ELOOP and not is_match):
                    self._refuse(path, error)
                found = None
            if found is not None and stat.S_ISDIR(found.st_mode):
                if below and not self._walk.exclusion.covers(path):
                    place = path, inode_in(found), below
                    self._linked.append(place) if is_link else enter(place)
                return
            if found is None and not skipped:
                return
        if not is_match or path in self._walk.exclusion:
            return
        if skipped:
            self._walk.skip(path)
        elif found is not None and stat.S_ISREG(found.st_mode):
            self._matches += 1
            self._walk.take(path, found, is_link=is_link)

    def _refuse(self, path: str, error: OSError) -> None:
        if path not in self._walk.exclusion:
            self._walk.refuse(path, error)


def _expression(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
