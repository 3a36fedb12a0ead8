"""Tells of changes in the directories of an input within milliseconds, where the kernel does
(inotify through watchfiles).

A new name is told by itself, so that its file is opened without a walk. Besides, a walk is asked
for when a name comes or goes that a glob matches or may match something below, when another file
system is mounted there, and regularly. So a notification that is missed costs the seconds until the
next walk.
"""

import asyncio
import errno
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from msgspec import Struct, field
from watchfiles import Change, awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from shipper.clock import Clock
from shipper.files.filesystem import Inode, inode_in
from shipper.files.globs import Pattern
from shipper.files.mounts import MountChanges
from shipper.files.schedule import WalkSchedule
from shipper.internal_errors import unless_cancelled_by_nobody
from shipper.offload import ThreadPool

#: How long changes are gathered before they are told of, and the pause that ends the gathering,
#: in milliseconds. Measured: noticed within 30 ms, 0.2 % of a core when idle.
_DEBOUNCE_MS = 100
_STEP_MS = 25

#: How soon a watch begins again that ended by what somebody did in a directory, in seconds.
_AGAIN_AFTER = 0.05

#: So many directories are watched below each directory of a glob, that one included; what is in
#: others is found by walks.
MAX_WATCHED = 512

#: After a look at the directories for a change of the mount table, a pause of so many times what
#: that took.
_MOUNT_PAUSE = 50

#: So many new names are told one by one; more of them are left to a walk.
_MAX_ADDED = 10_000


class Wake(Struct):
    """What happened since the last wait."""

    #: A walk is due: a name came or went, or it is simply time.
    scan: bool = False
    #: Files that were written to.
    modified: set[str] = field(default_factory=set)
    #: Names that are new and match.
    added: set[str] = field(default_factory=set)


class WakeUp:
    """A wake-up signal with what happened since the last wait: bounded by the number of files."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._wake = Wake()

    def wake(
        self, modified: Iterable[str] = (), *, added: Iterable[str] = (), scan: bool = False
    ) -> None:
        """Adds to what `wait` tells of."""
        self._wake.modified.update(modified)
        self._wake.added.update(added)
        self._wake.scan = self._wake.scan or scan
        if len(self._wake.added) > _MAX_ADDED:
            self._wake.added.clear()
            self._wake.scan = True
        self._woken.set()

    async def wait(self) -> Wake:
        """Waits for the signal; returns what happened."""
        await self._woken.wait()
        wake, self._wake = self._wake, Wake()
        self._woken.clear()
        return wake


class _Running(Struct, frozen=True):
    """A watch that is under way: of which directories, and what ends it."""

    places: tuple[str, ...]
    inode: Inode
    stop: asyncio.Event


class Watch:
    """Sets the wake-up signal when the directories of some globs have to be scanned again."""

    def __init__(
        self,
        clock: Clock,
        patterns: Sequence[str],
        schedule: WalkSchedule,
        wake_up: WakeUp,
        report: Callable[[str, OSError], None],
        mounts: MountChanges | None = None,
    ) -> None:
        """`report` is told of a directory that cannot be watched (it is scanned all the same).
        `mounts`: tells when another file system may be at a path; None: walks find it."""
        self._clock = clock
        self._patterns = [Pattern(text) for text in patterns]
        self._schedule = schedule
        self._wake_up = wake_up
        self._report = report
        self._mounts = mounts
        # Directories are looked at in threads, each in its own lane: a mount that hangs keeps
        # nobody else waiting.
        self._look = ThreadPool("watch", each=1)
        self._running: dict[str, _Running] = {}
        # Is set when a directory of a glob may be there, or be another one.
        self._moved: dict[str, asyncio.Event] = {}
        # Directories of globs of which those below could not be watched.
        self._alone: set[str] = set()
        self._directories = dict.fromkeys((each.directory for each in self._patterns), False)
        for pattern in self._patterns:
            self._directories[pattern.directory] |= pattern.goes_deeper
            self._moved[pattern.directory] = asyncio.Event()
        for directory in self._directories:
            schedule.watched(directory, completely=False)

    async def run(self) -> None:
        """Asks for a walk at once, and watches until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            works = [self._tick(), self._follow_directories()]
            if self._mounts is not None:
                works.append(self._follow_mounts(self._mounts.subscribe()))
            works += [self._keep_watching(directory) for directory in self._directories]
            for work in works:
                tasks.create_task(unless_cancelled_by_nobody(work))

    async def _tick(self) -> None:
        while True:
            if self._schedule.is_due:
                self._wake_up.wake(scan=True)
            await self._clock.sleep(self._schedule.interval)

    async def _follow_directories(self) -> None:
        """Ends watches when other directories were walked than before: they begin anew."""
        while True:
            await self._schedule.moved.wait()
            self._schedule.moved.clear()
            self._alone.clear()
            for directory, deeper in self._directories.items():
                running = self._running.get(directory)
                if running is None:
                    continue
                walked = self._schedule.directories.get(directory, running.inode)
                if deeper or walked != running.inode:
                    running.stop.set()

    async def _follow_mounts(self, changed: asyncio.Event) -> None:
        """Asks for a walk, and begins watches anew, when another file system is at one of the
        directories; changes elsewhere cost a look at these."""
        while True:
            await changed.wait()
            changed.clear()
            began = time.monotonic()
            moved = await self._look(self._look_at_directories)
            for directory in moved:
                self._moved[directory].set()
                if (running := self._running.get(directory)) is not None:
                    running.stop.set()
            if moved:
                self._wake_up.wake(scan=True)
            await self._clock.sleep((time.monotonic() - began) * _MOUNT_PAUSE)

    def _look_at_directories(self) -> list[str]:
        """The directories of globs at or below which others stand than were walked, or are
        watched."""
        walked, running = self._schedule.directories, dict(self._running)
        moved = [path for path, inode in walked.items() if _inode_of(path) != inode]
        found = []
        for directory in self._directories:
            start = directory.rstrip("/") + "/"
            known = walked.get(directory)
            if directory in running:
                known = running[directory].inode
            is_other = _inode_of(directory) != known
            if is_other or any(path == directory or path.startswith(start) for path in moved):
                found.append(directory)
        return found

    async def _keep_watching(self, directory: str) -> None:
        """Watches one directory of a glob, also one that does not exist yet, or is replaced by
        another, and those below it that were walked."""
        while True:
            self._moved[directory].clear()
            watched, is_disturbed = await self._inode_at(directory), False
            if watched is not None:
                places, completely = await self._look(partial(self._places, directory), directory)
                if self._moved[directory].is_set():
                    continue  # Another one may stand there by now.
                running = self._running[directory] = _Running(places, watched, asyncio.Event())
                try:
                    await self._watch(directory, running, watched, completely=completely)
                except* (OSError, WatchfilesRustInternalError) as errors:
                    # The number of inotify watches is limited, or the directory may just have
                    # gone. The periodic scan serves until it can be watched. (From the watching
                    # itself errors come in groups.)
                    check = partial(_is_disturbed, errors.exceptions[0], places)
                    is_disturbed = await self._look(check, directory)
                    if not is_disturbed:
                        self._report(directory, watch_error(errors.exceptions[0]))
                        if len(places) > 1:
                            self._alone.add(directory)
                finally:
                    del self._running[directory]
                    self._schedule.watched(directory, completely=False)
                if is_disturbed:
                    # That must not keep the other files from being told. What was told meanwhile
                    # is found by the scan with which the watch begins.
                    await self._clock.sleep(_AGAIN_AFTER)
                    continue
                if running.stop.is_set() or await self._inode_at(directory) != watched:
                    continue
            await self._until_moved(directory)

    async def _until_moved(self, directory: str) -> None:
        """Waits until it is time to look at a directory again."""
        moved = asyncio.create_task(self._moved[directory].wait())
        passed = asyncio.create_task(self._clock.sleep(self._schedule.interval))
        try:
            await asyncio.wait((moved, passed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()
            passed.cancel()
        self._moved[directory].clear()

    async def _watch(
        self, directory: str, running: _Running, watched: Inode, *, completely: bool
    ) -> None:
        # The watch is set up before the scan that this asks for can begin.
        self._wake_up.wake(scan=True)
        # A wake-up without changes, now and then, is for the question whether the path still
        # leads to the directory that is watched.
        async for changes in awatch(
            *running.places,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=running.stop,
            recursive=False,
            rust_timeout=int(self._schedule.interval * 1000),
            yield_on_timeout=True,
        ):
            if not running.stop.is_set():
                self._schedule.watched(directory, completely=completely)
            self._tell(changes)
            if await self._inode_at(directory) != watched:
                self._wake_up.wake(scan=True)
                return

    async def _inode_at(self, directory: str) -> Inode | None:
        return await self._look(partial(_inode_of, directory), directory)

    def _places(self, directory: str) -> tuple[tuple[str, ...], bool]:
        """The directories to watch, and whether they are all that matter."""
        if not self._directories[directory]:
            return (directory,), True
        start = directory.rstrip("/") + "/"
        below = [path for path in self._schedule.directories if path.startswith(start)]
        if directory in self._alone:
            return (directory,), not below
        named = [path for path in sorted(below) if _is_text(path)]
        there = [path for path in named if os.path.isdir(path)]
        chosen = there[: MAX_WATCHED - 1]
        return (directory, *chosen), len(chosen) == len(below)

    def _tell(self, changes: Iterable[tuple[Change, str]]) -> None:
        modified, added, scan = [], [], False
        for change, path in changes:
            if change is Change.modified:
                modified.append(path)
            elif any(pattern.may_lead_to_match(path) for pattern in self._patterns):
                scan = True
                if change is Change.added and any(each.matches(path) for each in self._patterns):
                    added.append(path)
        if modified or scan:
            self._wake_up.wake(modified, added=added, scan=scan)


def _is_disturbed(error: Exception, places: Sequence[str]) -> bool:
    """Whether a watch ended by a name that is not UTF-8, which watchfiles does not know, or did not
    begin since one of the directories below was just removed."""
    if isinstance(error, WatchfilesRustInternalError) and "Unable to decode" in str(error):
        return True
    is_gone = watch_error(error).errno == errno.ENOENT
    return is_gone and not all(os.path.isdir(path) for path in places[1:])


#: What the system says of its limits of inotify, as of a disk or of open files (inotify(7)).
_LIMITS = {
    errno.ENOSPC: "no inotify watches are left (fs.inotify.max_user_watches)",
    errno.EMFILE: "no inotify instances are left (fs.inotify.max_user_instances), or no "
    "descriptors",
}


def watch_error(error: Exception) -> OSError:
    """The error with its number and the directory that it is about, which watchfiles has in the
    text, if at all; what is about inotify says so."""
    text = str(error)
    if isinstance(error, OSError) and error.errno:
        number, text = error.errno, error.strerror or text
    else:
        found = re.search(r"os error ([0-9]{1,9})", text)
        number = int(found[1]) if found else 0
        if not number and "watch limit reached" in text:
            number = errno.ENOSPC
    _, about, path = str(error).partition('about ["/')
    path, is_whole, _ = path.partition('"]')
    where = f"/{path}" if about and is_whole else None
    return OSError(number, _LIMITS.get(number, text), where)


def _is_text(path: str) -> bool:
    """Whether the path is UTF-8: watchfiles knows no other."""
    return path.isascii() or not any("\udc80" <= character <= "\udcff" for character in path)


def _inode_of(path: str) -> Inode | None:
    """Which directory stands at a path; None if there is none. With the device: the topmost
    directory of every ext4, or tmpfs, has the same number."""
    try:
        return inode_in(os.stat(path))
    except OSError:
        return None
