"""Which files of an input are there: its globs, evaluated now by a walk of their directories.

A `Scan` says also what it could not see, so that an error is never taken for a deletion.
"""

import os
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Self

from msgspec import Struct, field
from msgspec.structs import replace

from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.found import MAX_FILES, Found, FoundFiles, Settled
from shipper.files.globs import Pattern
from shipper.files.opening import Exclusion
from shipper.files.walk import MAX_DIRECTORIES, Walk

#: So many of the paths that cannot be read are named to an operator.
_NAMED = 20


class Scan(Struct):
    """The files that match now."""

    #: Each file once, also where several paths lead to it: the first path by name stands for it,
    #: and one that is no symbolic link before one that is. The newest file is the first.
    found: dict[Inode, Found] = field(default_factory=dict)
    #: How many more there are that are settled (`found.Settled`), and the number of the walk that
    #: these were told of; None if none were left to somebody else.
    settled: int = 0
    walk: int | None = None
    #: Directories of the globs that do not exist (yet).
    missing: list[str] = field(default_factory=list)
    #: What could not be looked at: the path, and why.
    unreadable: dict[str, OSError] = field(default_factory=dict)
    #: Globs that no file matches.
    without_files: tuple[str, ...] = ()
    #: Symbolic links that match, where they are not followed (a thousand of them at the most), and
    #: how many there are.
    skipped: list[str] = field(default_factory=list)
    skipped_count: int = 0
    #: How many files and directories there were over MAX_FILES and MAX_DIRECTORIES.
    files_left_out: int = 0
    directories_left_out: int = 0
    #: If there were, files that were written to before that are some of them (nanoseconds since the
    #: Unix epoch).
    oldest: int = 0
    #: The directories that were walked.
    directories: dict[str, Inode] = field(default_factory=dict)
    #: What it took, in seconds of one core.
    cpu_seconds: float = 0.0

    @property
    def left_out(self) -> int:
        """How many files and directories were more than the limits."""
        return self.files_left_out + self.directories_left_out


class ScanSummary(Struct, frozen=True):
    """What the last scan of an input saw, for an operator."""

    #: Whether there was one.
    scanned: bool = False
    #: Files that match.
    files: int = 0
    #: Globs that no file matches, and directories of globs that do not exist.
    without_files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    #: What is there and cannot be read, and why in words: the first of `unreadable_count`.
    unreadable: tuple[tuple[str, str], ...] = ()
    unreadable_count: int = 0
    #: Symbolic links that match and are not followed.
    skipped: int = 0
    #: Files and directories that were more than the limits.
    left_out: int = 0

    def with_unreadable(self, words: Mapping[str, str]) -> Self:
        """The same, with these paths that cannot be read, too, and why."""
        known = {path for path, _ in self.unreadable}
        more = {path: why for path, why in words.items() if path not in known}
        if not more:
            return self
        named = sorted((*self.unreadable, *more.items()))[:_NAMED]
        count = self.unreadable_count + len(more)
        return replace(self, unreadable=tuple(named), unreadable_count=count)


def scan(
    filesystem: FileSystem,
    patterns: Sequence[str],
    exclude: Iterable[str] = (),
    *,
    symlinks: bool = False,
    max_files: int = MAX_FILES,
    max_directories: int = MAX_DIRECTORIES,
    settled: Settled | None = None,
) -> Scan:
    """Evaluates the globs; leaves out what `exclude` matches, and, without `symlinks`, files that
    a symbolic link leads to. `settled`: is told of files that the result then leaves out.

    Never raises OSError: what cannot be seen is said in the result. Blocks on the disk.
    """
    began = time.thread_time()
    files = FoundFiles(max_files, settled)
    walk = Walk(filesystem, Exclusion(exclude), symlinks, files, max_directories)
    without = tuple(text for text in patterns if not walk.add(Pattern(text)))
    return Scan(
        found=files.newest(),
        settled=files.settled_count,
        walk=None if settled is None else settled.walk,
        missing=list(dict.fromkeys(walk.missing)),
        unreadable=walk.unreadable,
        without_files=without,
        skipped=walk.skipped,
        skipped_count=walk.skipped_count,
        files_left_out=files.left_out,
        directories_left_out=walk.directories_left_out,
        oldest=files.oldest,
        directories=walk.directories,
        cpu_seconds=time.thread_time() - began,
    )


def summary_of(
    found: Scan,
    unopened: Iterable[OSError] = (),
    *,
    gzips: Scan | None = None,
    untried: int = 0,
) -> ScanSummary:
    """What an operator wants to know of a scan. `unopened`: files of it that could not be opened,
    the errors with their `filename`; `untried`: how many more that was not tried of. `gzips`: what
    the scan for gzips saw; they are not counted as files, as nobody writes to them."""
    unreadable = dict(found.unreadable)
    unreadable.update(gzips.unreadable if gzips is not None else {})
    unreadable.update({str(error.filename): error for error in unopened})
    named = sorted(unreadable.items())[:_NAMED]
    return ScanSummary(
        scanned=True,
        files=len(found.found) + found.settled,
        without_files=found.without_files,
        missing=tuple(found.missing),
        unreadable=tuple((path, error.strerror or str(error)) for path, error in named),
        unreadable_count=len(unreadable) + untried,
        skipped=found.skipped_count,
        left_out=found.left_out,
    )


def is_hidden(path: str, unreadable: Container[str]) -> bool:
    """Whether a file may be there although the scan that met `unreadable` did not see it."""
    while path not in unreadable:
        above = os.path.dirname(path)
        if above == path:
            return False
        path = above
    return True
