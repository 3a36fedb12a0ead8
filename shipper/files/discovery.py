"""Which files match, and when to look again.

`Scan` is the truth: the globs, evaluated now. `Watch` makes it fast: it tells of changes in the
directories within milliseconds where the kernel does (inotify through watchfiles); a notification
that is missed costs the seconds until the next periodic scan, never a line.
"""

import asyncio
import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from watchfiles import Change, awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from shipper.clock import Clock
from shipper.files.filesystem import FileSystem, Inode

#: How long changes are gathered before they are told of, and the pause that ends the gathering,
#: in milliseconds. Measured: noticed within 30 ms, 0.2 % of a core when idle.
_DEBOUNCE_MS = 100
_STEP_MS = 25

_WILDCARDS = frozenset("*?[")


@dataclass(slots=True)
class Scan:
    """The files that match now."""

    #: Each file once, also where several paths lead to it; the first path by name stands for it.
    found: dict[Inode, str] = field(default_factory=dict)
    #: Directories of the globs that do not exist (yet).
    missing: list[str] = field(default_factory=list)
    #: What could not be looked at: the path, and why.
    unreadable: dict[str, OSError] = field(default_factory=dict)


def directory_of(pattern: str) -> str:
    """The directory that holds the part of a glob before its first wildcard."""
    parts = pattern.split("/")
    fixed = next((i for i, part in enumerate(parts) if _WILDCARDS & set(part)), len(parts) - 1)
    return "/".join(parts[:fixed]) or "/"


def scan(
    filesystem: FileSystem,
    patterns: Sequence[str],
    exclude: Sequence[str] = (),
    *,
    symlinks: bool = True,
) -> Scan:
    """Evaluates the globs; leaves out what `exclude` matches, and, without `symlinks`, files that
    a symbolic link leads to.

    Never raises OSError: what cannot be seen is said in the result.
    """
    result = Scan()
    for pattern in patterns:
        directory = directory_of(pattern)
        try:
            # glob(3) and its like swallow what keeps them from looking.
            filesystem.list_directory(directory)
            paths = sorted(filesystem.matches(pattern))
        except FileNotFoundError:
            result.missing.append(directory)
            continue
        except OSError as error:
            result.unreadable[directory] = error
            continue
        for path in paths:
            if any(fnmatch.fnmatchcase(path, glob) for glob in exclude):
                continue
            if not symlinks and filesystem.is_link(path):
                continue
            try:
                inode = filesystem.inode_of(path)
            except FileNotFoundError:
                continue  # It was rotated away since; the next scan sees it under its new name.
            except OSError as error:
                result.unreadable[path] = error
                continue
            if inode is not None:
                result.found.setdefault(inode, path)
    return result


def is_hidden(path: str, unreadable: Iterable[str]) -> bool:
    """Whether a file may be there although the scan that met `unreadable` did not see it."""
    return any(path == place or path.startswith(f"{place}/") for place in unreadable)


class WakeUp:
    """A wake-up signal with what happened since the last wait: bounded by the number of files."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._scan = False
        self._modified: set[str] = set()

    def wake(self, modified: Iterable[str] = (), *, scan: bool = False) -> None:
        """`modified` files have grown; `scan`: a name came or went, or it is simply time."""
        self._modified.update(modified)
        self._scan = self._scan or scan
        self._woken.set()

    async def wait(self) -> tuple[bool, set[str]]:
        """Waits for the signal; returns whether to scan, and the paths that were modified."""
        await self._woken.wait()
        note = self._scan, self._modified
        self._scan, self._modified = False, set()
        self._woken.clear()
        return note


class Watch:
    """Sets the wake-up signal when the directories of some globs have to be scanned again."""

    def __init__(
        self,
        clock: Clock,
        patterns: Sequence[str],
        interval: float,
        wake_up: WakeUp,
        report: Callable[[str, OSError], None],
    ) -> None:
        """`interval`: seconds between two scans that nothing but time asks for. `report` is told
        of a directory that cannot be watched (it is scanned all the same)."""
        self._clock = clock
        self._directories = {directory_of(pattern): "**" in pattern for pattern in patterns}
        self._interval = interval
        self._wake_up = wake_up
        self._report = report

    async def run(self) -> None:
        """Rings at once, and then until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick())
            for directory, recursive in self._directories.items():
                tasks.create_task(self._keep_watching(directory, recursive))

    async def _tick(self) -> None:
        while True:
            self._wake_up.wake(scan=True)
            await self._clock.sleep(self._interval)

    async def _keep_watching(self, directory: str, recursive: bool) -> None:
        """Watches one directory, also one that does not exist yet, or is replaced by another."""
        while True:
            watched = _inode_number(directory)
            if watched is not None:
                try:
                    await self._watch(directory, recursive, watched)
                except* (OSError, WatchfilesRustInternalError) as errors:
                    # The number of inotify watches is limited, the directory may just have gone,
                    # and watchfiles knows no names that are not UTF-8. The periodic scan serves
                    # until it can be watched. (From the watching itself errors come in groups.)
                    self._report(directory, _numbered(errors.exceptions[0]))
            await self._clock.sleep(self._interval)

    async def _watch(self, directory: str, recursive: bool, watched: int) -> None:
        # A wake-up without changes, now and then, is for the question whether the path still
        # leads to the directory that is watched.
        self._wake_up.wake(scan=True)
        async for changes in awatch(
            directory,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            recursive=recursive,
            rust_timeout=int(self._interval * 1000),
            yield_on_timeout=True,
        ):
            if changes:
                modified = [path for change, path in changes if change is Change.modified]
                self._wake_up.wake(modified, scan=len(modified) < len(changes))
            if _inode_number(directory) != watched:
                self._wake_up.wake(scan=True)
                return


def _numbered(error: Exception) -> OSError:
    """The error with its number, which watchfiles has in the text, if at all."""
    if isinstance(error, OSError) and error.errno:
        return error
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]) if number else 0, str(error))


def _inode_number(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None
