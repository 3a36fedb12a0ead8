"""Walks the directories of a glob: which regular files does it match now?

It finds what `glob.glob(pattern, recursive=True)` finds; `files/globs.py` says what matches. What
that does not do:

- It ends. Directories that symbolic links lead to are entered once, after all others: links in a
  circle, or a thousand links to one directory, cost what the directory costs.
- It does not swallow errors. What cannot be looked at is named, so that nobody takes what is there
  for deleted. A name that goes between the listing and the look is no error.
- It trusts no inode number of a listing (`d_ino`): only `stat` says which file it is.
- It remembers a bounded number of names.

It blocks on the disk: the daemon has it run in a thread.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Callable

from msgspec import Struct, field

from shipper.files.facts import Inode, inode_in
from shipper.files.filesystem import FileSystem
from shipper.files.found import FoundFiles
from shipper.files.globs import DOTS, Pattern, Places
from shipper.files.opening import Exclusion
from shipper.files.retention import DIRECTORY

#: So many directories of one input are walked.
MAX_DIRECTORIES = 50_000

#: So many paths that cannot be looked at, or are left out as symbolic links, are named one by one.
_MAX_NAMED = 1000

# A path that is a symbolic link stands for a file only if no other path does.
_LINK_RANK = 2**32

#: What a race with a rotation looks like.
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR})


class Walk(Struct):
    """The walks of one or more globs, and what they saw."""

    filesystem: FileSystem
    exclusion: Exclusion
    symlinks: bool
    #: Is given the files.
    files: FoundFiles
    max_directories: int = MAX_DIRECTORIES
    #: Directories that were walked, each by one of the paths to it.
    directories: dict[str, Inode] = field(default_factory=dict)
    #: Directories of globs that do not exist.
    missing: list[str] = field(default_factory=list)
    #: What could not be looked at; what is below it may be there.
    unreadable: dict[str, OSError] = field(default_factory=dict)
    #: Symbolic links that match and are not followed; the number counts those not named, too.
    skipped: list[str] = field(default_factory=list)
    skipped_count: int = 0
    #: How many directories were too many.
    directories_left_out: int = 0
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
        return _PatternWalk(self, pattern, inode_in(found), self._patterns).run()

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


_Enter = Callable[[tuple[str, Inode, Places]], None]


class _PatternWalk:
    """The walk of one glob."""

    def __init__(self, walk: Walk, pattern: Pattern, root: Inode, rank: int) -> None:
        """`rank`: of the files that it finds, as `Found.rank`; higher where a link leads there."""
        self._walk = walk
        self._files = walk.files
        self._rank = rank
        self._filesystem = walk.filesystem
        self._pattern = pattern
        self._matches = 0
        self._budget = walk.max_directories
        # Directories that are to be walked, and those that only a symbolic link led to.
        self._real = deque([(pattern.directory, root, pattern.start)])
        self._linked: deque[tuple[str, Inode, Places]] = deque()
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
        places: Places,
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
                named = [name for name in named if name in DOTS]
            except OSError as error:
                self._walk.refuse(path, error)
        for name in named:
            target = os.path.join(path, name)
            # Where dots lead was walked from elsewhere, mostly.
            is_link = name in DOTS or self._filesystem.is_link(target)
            below, is_match = self._pattern.step(places, name)
            self._look(target, below, is_match, enter, is_link=is_link, is_directory=None)

    def _list_entries(self, path: str, places: Places, enter: _Enter) -> None:
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
        below: Places,
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
            self._files.take(path, found, self._rank + is_link * _LINK_RANK)

    def _refuse(self, path: str, error: OSError) -> None:
        if path not in self._walk.exclusion:
            self._walk.refuse(path, error)
