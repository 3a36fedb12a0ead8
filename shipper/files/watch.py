"""Tells of changes in the directories of an input at once, where the kernel does (inotify).

A new name is told by itself, so that its file is opened without a walk. Besides, a walk is asked
for when a name comes or goes that a glob matches or may match something below, when another file
system is mounted there, and regularly. So a notification that is missed costs the seconds until the
next walk.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from msgspec import Struct, field

from shipper.clock import Clock
from shipper.files.facts import Inode, inode_in
from shipper.files.globs import Pattern
from shipper.files.mounts import MountChanges
from shipper.files.notifications import Change, Changes, Notifier
from shipper.files.running_watch import RunningWatch
from shipper.files.schedule import WalkSchedule
from shipper.internal_errors import unless_cancelled_by_nobody
from shipper.offload import ThreadPool

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
    #: Nothing of it is older (monotonic seconds); None: that is not known.
    since: float | None = None


#: Is given paths, and `Wake.since`.
Reader = Callable[[Sequence[str], float], Sequence[str]]


class WakeUp:
    """A wake-up signal with what happened since the last wait: bounded by the number of files."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._wake = Wake()
        self._read: Reader | None = None

    def read_with(self, read: Reader) -> None:
        """From now on, files that were written to are given to `read` at once; `wait` tells of
        those that it returns, as it could not read them."""
        self._read = read

    def wake(
        self,
        modified: Iterable[str] = (),
        *,
        added: Iterable[str] = (),
        scan: bool = False,
        since: float | None = None,
    ) -> None:
        """Adds to what `wait` tells of."""
        wake = self._wake
        wake.modified.update(modified)
        wake.added.update(added)
        wake.scan = wake.scan or scan
        if wake.since is None:
            wake.since = since
        if len(wake.added) > _MAX_ADDED:
            wake.added.clear()
            wake.scan = True
        self._woken.set()

    def grew(self, paths: Sequence[str], since: float) -> None:
        """These files were written to: those that cannot be read at once are with what `wait` tells
        of. `since`: as in `Wake`."""
        others = paths if self._read is None else self._read(paths, since)
        if others:
            self.wake(others, since=since)

    async def wait(self) -> Wake:
        """Waits for the signal; returns what happened."""
        await self._woken.wait()
        wake, self._wake = self._wake, Wake()
        self._woken.clear()
        return wake


class Watch:
    """Sets the wake-up signal when the directories of some globs have to be scanned again."""

    def __init__(
        self,
        clock: Clock,
        patterns: Sequence[str],
        schedule: WalkSchedule,
        wake_up: WakeUp,
        report: Callable[[str, OSError], None],
        notifier: Notifier,
        mounts: MountChanges | None = None,
    ) -> None:
        """`report` is told of a directory that cannot be watched (it is scanned all the same).
        `notifier`: watches directories. `mounts`: tells when another file system may be at a path;
        None: walks find it."""
        self._clock = clock
        self._notifier = notifier
        self._patterns = [Pattern(text) for text in patterns]
        self._schedule = schedule
        self._wake_up = wake_up
        self._report = report
        self._mounts = mounts
        # Directories are looked at in threads, each in its own lane: a mount that hangs keeps
        # nobody else waiting.
        self._look = ThreadPool("watch", each=1)
        self._running: dict[str, RunningWatch] = {}
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
            works = [self._tick(), self._look_at_watched(tasks), self._follow_directories()]
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

    async def _look_at_watched(self, tasks: asyncio.TaskGroup) -> None:
        """Now and then: whether paths still lead to the directories that are watched."""
        while True:
            walks = self._schedule.walks
            await self._clock.sleep(self._schedule.interval)
            for directory, running in self._running.items():
                if not running.has_begun or running.is_looked_at:
                    continue
                known = self._schedule.directories.get(directory)
                if walks != self._schedule.walks and known == running.inode:
                    self._confirm(directory, running)  # A walk has just seen it there.
                else:
                    look = self._look_at(directory, running)
                    tasks.create_task(unless_cancelled_by_nobody(look))

    async def _look_at(self, directory: str, running: RunningWatch) -> None:
        """Ends a watch if the path leads to another directory by now."""
        running.is_looked_at = True
        found = await self._inode_at(directory)
        running.is_looked_at = False
        if found == running.inode:
            self._confirm(directory, running)
        else:
            self._wake_up.wake(scan=True)
            running.stop.set()

    def _confirm(self, directory: str, running: RunningWatch) -> None:
        if self._running.get(directory) is running and not running.stop.is_set():
            self._schedule.watched(directory, completely=running.completely)

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
            watched = await self._inode_at(directory)
            if watched is not None:
                places, completely = await self._look(partial(self._places, directory), directory)
                if self._moved[directory].is_set():
                    continue  # Another one may stand there by now.
                running = self._running[directory] = RunningWatch(
                    places, completely, watched, self._tell, self._wake_up.grew
                )
                try:
                    await self._watch(running)
                except (FileNotFoundError, NotADirectoryError):
                    pass  # It has just gone.
                except OSError as error:
                    # The number of inotify watches is limited. The periodic scan serves until it
                    # can be watched.
                    self._report(directory, error)
                    if len(places) > 1:
                        self._alone.add(directory)
                finally:
                    del self._running[directory]
                    self._schedule.watched(directory, completely=False)
                if running.is_disturbed:
                    # What was told meanwhile is found by the scan with which the watch begins.
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

    async def _watch(self, running: RunningWatch) -> None:
        """Until it ends; raises what it fails by."""
        async with self._notifier.watching(running.places, running):
            # The watch is set up before the scan that this asks for can begin.
            self._wake_up.wake(scan=True)
            running.has_begun = True
            await running.stop.wait()
        if running.error is not None:
            raise running.error

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
        known = below if self._notifier.any_name else filter(_is_text, below)
        there = [path for path in sorted(known) if os.path.isdir(path)]
        chosen = there[: MAX_WATCHED - 1]
        return (directory, *chosen), len(chosen) == len(below)

    def _tell(self, changes: Changes, since: float) -> None:
        """What changed; nothing: that is not known."""
        modified, added, scan = [], [], not changes
        for change, path in changes:
            if change is Change.modified:
                modified.append(path)
            elif any(pattern.may_lead_to_match(path) for pattern in self._patterns):
                scan = True
                if change is Change.added and any(each.matches(path) for each in self._patterns):
                    added.append(path)
        if modified:
            self._wake_up.grew(modified, since)
        if scan:
            self._wake_up.wake(added=added, scan=True)


def _is_text(path: str) -> bool:
    """Whether the path is UTF-8."""
    return path.isascii() or not any("\udc80" <= character <= "\udcff" for character in path)


def _inode_of(path: str) -> Inode | None:
    """Which directory stands at a path; None if there is none. With the device: the topmost
    directory of every ext4, or tmpfs, has the same number."""
    try:
        return inode_in(os.stat(path))
    except OSError:
        return None
