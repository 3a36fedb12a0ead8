"""Somebody looks again, at once, when something happened in a directory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path

import pytest
from watchfiles import awatch

import shipper.files.watch as watch_module
from shipper.clock import Clock, SystemClock
from shipper.files.discovery import scan
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.inotify_notifier import InotifyNotifier
from shipper.files.mounts import MountChanges
from shipper.files.notifications import Listener, Notifier
from shipper.files.schedule import WalkSchedule
from shipper.files.watch import Wake, WakeUp, Watch
from shipper.files.watchfiles_notifier import WatchfilesNotifier, watch_error
from tests.support.clock import ManualClock, settle
from tests.support.faults import PATIENCE

# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "number", "words", "path"),
    [
        (
            OSError("OS file watch limit reached. about [\"/logs/a 'b'\"]"),
            errno.ENOSPC,
            "no inotify watches are left (fs.inotify.max_user_watches)",
            "/logs/a 'b'",
        ),
        (
            OSError('No space left on device (os error 28) about ["/logs"]'),
            errno.ENOSPC,
            "no inotify watches are left (fs.inotify.max_user_watches)",
            "/logs",
        ),
        (
            OSError("Too many open files (os error 24)"),
            errno.EMFILE,
            "no inotify instances are left (fs.inotify.max_user_instances), or no descriptors",
            None,
        ),
        (PermissionError(errno.EACCES, "denied"), errno.EACCES, "denied", None),
        (OSError("some text"), 0, "some text", None),
    ],
)
def test_a_directory_that_cannot_be_watched_is_no_full_disk(
    error: OSError, number: int, words: str, path: str | None
) -> None:
    found = watch_error(error)
    assert (found.errno, found.strerror, found.filename) == (number, words, path)


# The bell -----------------------------------------------------------------------------------------


def test_the_bell_tells_everything_that_happened_since_it_was_answered() -> None:
    async def run() -> None:
        wake_up = WakeUp()
        wake_up.wake(["a"])
        wake_up.wake(["b", "a"], scan=True)
        wake_up.wake(["c"], added=["e"])
        assert await wake_up.wait() == Wake(True, {"a", "b", "c"}, {"e"})
        waiting = asyncio.create_task(wake_up.wait())
        await settle()
        assert not waiting.done()
        wake_up.wake(["d"])
        assert await waiting == Wake(False, {"d"}, set())

    asyncio.run(run())


# Watching -----------------------------------------------------------------------------------------


Watches = Callable[[Clock], Notifier]
"""Makes who tells of changes."""


@pytest.fixture(params=[InotifyNotifier, WatchfilesNotifier])
def notifier(request: pytest.FixtureRequest) -> Watches:
    made: Watches = request.param
    return made


class Begun:
    """Calls something with the directories whenever a watch begins."""

    def __init__(self, notifier: Notifier, begins: Callable[[Sequence[str]], None]) -> None:
        self._notifier = notifier
        self._begins = begins
        self.any_name = notifier.any_name

    def watching(
        self, places: Sequence[str], listener: Listener
    ) -> AbstractAsyncContextManager[None]:
        self._begins(places)
        return self._notifier.watching(places, listener)


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def no_report(directory: str, error: OSError) -> None:
    raise AssertionError(f"{directory}: {error}")


async def answers_until(wake_up: WakeUp, wanted: Callable[[Wake], bool]) -> None:
    """Waits for an answer of that kind. The bell may ring for other reasons: that costs nothing."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(await wake_up.wait()):
            pass


def test_time_alone_is_a_reason_to_scan(tmp_path: Path) -> None:
    async def run() -> None:
        clock, wake_up = ManualClock(), WakeUp()
        # Nothing is there that could be watched.
        schedule = WalkSchedule(clock, 2.0)
        globs, told = [f"{tmp_path}/absent/*.log"], InotifyNotifier(clock)
        watch = Watch(clock, globs, schedule, wake_up, no_report, told)
        async with watching(watch):
            await clock.advance(0)
            assert await wake_up.wait() == Wake(True)
            for _ in range(3):
                waiting = asyncio.create_task(wake_up.wait())
                await clock.advance(1.9)
                assert not waiting.done()
                await clock.advance(0.1)
                assert await waiting == Wake(True)

    asyncio.run(run())


def watch_of(
    notifier: Watches, tmp_path: Path, interval: float, run: Callable[[WakeUp], Awaitable[None]]
) -> None:
    """Runs against a real watch of a real directory, with scans every `interval` seconds."""

    async def all_of_it() -> None:
        wake_up = WakeUp()
        clock = SystemClock()
        schedule = WalkSchedule(clock, interval)
        globs, told = [f"{tmp_path}/*.log"], notifier(clock)
        async with watching(Watch(clock, globs, schedule, wake_up, no_report, told)):
            await run(wake_up)

    asyncio.run(all_of_it())


def test_a_file_that_grows_is_told_by_its_path_and_a_new_name_asks_for_a_scan(
    notifier: Watches, tmp_path: Path
) -> None:
    log, new, rotated = tmp_path / "a.log", tmp_path / "b.log", tmp_path / "a-1.log"
    log.touch()

    def append() -> None:
        with log.open("ab") as file:
            file.write(b"x\n")

    async def run(wake_up: WakeUp) -> None:
        # The watch begins in a thread: until it is known to run, say it again.
        async with asyncio.timeout(PATIENCE):
            told = False
            while not told:
                append()
                answer = asyncio.create_task(wake_up.wait())
                await asyncio.wait([answer], timeout=0.3)
                if answer.done():
                    told = str(log) in answer.result().modified
                else:
                    answer.cancel()
        new.touch()
        await answers_until(wake_up, lambda wake: wake.scan and str(new) in wake.added)
        log.rename(rotated)
        await answers_until(wake_up, lambda wake: wake.scan and str(rotated) in wake.added)
        rotated.unlink()
        await answers_until(wake_up, lambda wake: wake.scan and not wake.added)

    # No scan by time comes to help within a minute.
    watch_of(notifier, tmp_path, 60.0, run)


def test_names_that_are_not_utf_8_keep_no_other_file_from_being_told(
    notifier: Watches, tmp_path: Path
) -> None:
    log, other = tmp_path / "a.log", os.fsencode(tmp_path) + b"/caf\xe9.txt"

    def append(path: Path | bytes) -> None:
        with open(path, "ab") as file:
            file.write(b"x\n")

    async def told(wake_up: WakeUp) -> None:
        """Until a write is told: a watch takes a moment to begin."""
        modified: set[str] = set()
        async with asyncio.timeout(PATIENCE):
            while str(log) not in modified:
                append(log)
                answer = asyncio.create_task(wake_up.wait())
                await asyncio.wait([answer], timeout=0.1)
                if not answer.cancel():
                    modified |= answer.result().modified

    async def run(wake_up: WakeUp) -> None:
        await told(wake_up)
        for _ in range(3):
            append(other)
            if notifier is WatchfilesNotifier:
                # What was told together with such a name is found by a scan.
                await answers_until(wake_up, lambda wake: wake.scan)
            else:
                await answers_until(wake_up, lambda wake: os.fsdecode(other) in wake.modified)
            await told(wake_up)

    # No scan by time comes to help within a minute, and nothing is reported.
    watch_of(notifier, tmp_path, 60.0, run)


def test_a_directory_that_appears_or_is_replaced_is_watched_then(
    notifier: Watches, tmp_path: Path
) -> None:
    directory = tmp_path / "logs"

    def append() -> None:
        with (directory / "a.log").open("ab") as file:
            file.write(b"x\n")

    async def told(wake_up: WakeUp) -> None:
        async with asyncio.timeout(PATIENCE):
            modified: set[str] = set()
            while str(directory / "a.log") not in modified:
                append()
                modified |= (await wake_up.wait()).modified

    async def run(wake_up: WakeUp) -> None:
        directory.mkdir()
        await told(wake_up)
        directory.rename(tmp_path / "old")
        directory.mkdir()
        await told(wake_up)

    watch_of(notifier, directory, 0.2, run)


def test_a_directory_that_is_mounted_over_is_watched_then(
    notifier: Watches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    devices = {"now": 1}

    def noted(clock: Clock) -> Notifier:
        return Begun(notifier(clock), lambda places: begun.set())

    # As the topmost directories of two file systems of one kind: their numbers are the same.
    monkeypatch.setattr(watch_module, "inode_in", lambda _: Inode(devices["now"], 2))

    async def run(_: WakeUp) -> None:
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            begun.clear()
            devices["now"] = 2
            await begun.wait()

    watch_of(noted, tmp_path, 0.2, run)


class Mounts(MountChanges):
    """Says that something was mounted when the test does."""

    def __init__(self) -> None:
        super().__init__(ManualClock())

    def change(self) -> None:
        for event in self._subscribers:
            event.set()


@pytest.mark.parametrize("glob", ["*.log", "*/*.log"])
def test_a_change_of_the_mount_table_is_looked_at_without_waiting_for_a_walk(
    notifier: Watches, tmp_path: Path, glob: str
) -> None:
    logs = tmp_path / "logs"
    place = logs / "pod" if "/" in glob else logs
    place.mkdir(parents=True)

    async def run() -> None:
        # No scan by time comes to help within a minute.
        looking = Looking(f"{logs}/{glob}", 60.0, notifier, mounts := Mounts())
        async with watching(looking.watch):
            await looking.until(lambda: str(place) in looking.schedule.directories)
            for number in range(2):
                looking.walks = 0
                place.rename(tmp_path / f"away-{number}")
                place.mkdir()
                mounts.change()
                await looking.until(lambda: looking.walks > 0)
                await looking.until_told_of(place / f"{number}.log")

    asyncio.run(run())


def test_a_directory_that_is_mounted_is_found_without_waiting_for_a_walk(
    notifier: Watches, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"

    async def run() -> None:
        looking = Looking(f"{logs}/*.log", 60.0, notifier, mounts := Mounts())
        async with watching(looking.watch):
            await looking.until(lambda: looking.walks > 0)
            logs.mkdir()
            (logs / "a.log").touch()
            mounts.change()
            await looking.until(lambda: str(logs) in looking.schedule.directories)

    asyncio.run(run())


def test_a_mount_elsewhere_asks_for_no_walk(notifier: Watches, tmp_path: Path) -> None:
    async def run() -> None:
        looking = Looking(f"{tmp_path}/*.log", 60.0, notifier, mounts := Mounts())
        async with watching(looking.watch):
            # The watch asks for a walk when it begins.
            await looking.until(
                lambda: (
                    str(tmp_path) in looking.schedule.directories
                    and str(tmp_path) in looking.watch._running
                )
            )
            looked = asyncio.Event()
            look = looking.watch._look_at_directories

            def note() -> list[str]:
                found = look()
                loop.call_soon_threadsafe(looked.set)
                return found

            loop = asyncio.get_running_loop()
            looking.watch._look_at_directories = note  # type: ignore[method-assign]
            mounts.change()
            async with asyncio.timeout(PATIENCE):
                await looked.wait()
            waiting = asyncio.create_task(looking.wake_up.wait())
            await asyncio.wait([waiting], timeout=0.1)
            assert not waiting.done()
            waiting.cancel()

    asyncio.run(run())


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    gc.collect()  # Or descriptors of earlier tests are closed meanwhile.
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_directory_that_cannot_be_watched_is_reported_and_scanned_all_the_same(
    notifier: Watches, tmp_path: Path
) -> None:
    reports: list[tuple[str, OSError]] = []

    async def run() -> None:
        # What is imported at the first use is there before descriptors are short.
        async with aclosing(awatch(tmp_path, rust_timeout=1, yield_on_timeout=True)) as changes:
            await anext(changes)
        wake_up = WakeUp()
        patterns = [f"{tmp_path}/*.log"]
        clock = SystemClock()
        schedule = WalkSchedule(clock, 0.05)

        def report(directory: str, error: OSError) -> None:
            reports.append((directory, error))

        watch = Watch(clock, patterns, schedule, wake_up, report, notifier(clock))
        with no_more_descriptors():
            async with watching(watch):
                async with asyncio.timeout(PATIENCE):
                    while len(reports) < 2:
                        assert (await wake_up.wait()).scan
                        assert not schedule.in_force

    asyncio.run(run())
    assert {(directory, error.errno) for directory, error in reports} == {
        (str(tmp_path), errno.EMFILE)
    }


class Looking:
    """Who walks whenever it is asked for, and what it was told meanwhile."""

    def __init__(
        self, pattern: str, interval: float, notifier: Watches, mounts: MountChanges | None = None
    ) -> None:
        clock = SystemClock()
        self.pattern = pattern
        self.schedule = WalkSchedule(clock, interval)
        self.wake_up = WakeUp()
        self.watch = Watch(
            clock, [pattern], self.schedule, self.wake_up, no_report, notifier(clock), mounts
        )
        self.walks = 0
        self.added: set[str] = set()

    async def until_told_of(self, new: Path) -> None:
        """Until a new name is told: a watch takes a moment to begin."""

        def make() -> None:
            new.unlink(missing_ok=True)
            new.touch()

        async with asyncio.timeout(PATIENCE):
            while str(new) not in self.added:
                make()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await self.until(lambda: str(new) in self.added)

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not wanted():
                wake = await self.wake_up.wait()
                self.added |= wake.added
                if wake.scan:
                    self.walks += 1
                    self.schedule.begin()
                    self.schedule.end(0.0, scan(FileSystem(), [self.pattern]).directories)


def test_directories_under_a_wildcard_are_watched_once_they_are_found(
    notifier: Watches, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    (logs / "one").mkdir(parents=True)

    async def run() -> None:
        looking = Looking(f"{logs}/*/*.log", 0.2, notifier)
        async with watching(looking.watch):
            await looking.until(lambda: looking.schedule.in_force)
            # A directory that is new, and then a file in it.
            (logs / "two").mkdir()
            await looking.until(lambda: str(logs / "two") in looking.schedule.directories)
            await looking.until(lambda: looking.schedule.in_force)
            for directory in ("one", "two"):
                (logs / directory / "a.log").touch()
            names = {str(logs / directory / "a.log") for directory in ("one", "two")}
            await looking.until(lambda: names <= looking.added)

    asyncio.run(run())


def test_a_directory_that_goes_as_the_watch_begins_keeps_no_other_from_being_watched(
    notifier: Watches, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    going = [logs / f"pod-{number}" for number in range(3)]
    for directory in (logs / "stays", *going):
        directory.mkdir(parents=True)

    def remove(places: Sequence[str]) -> None:
        if going and str(going[-1]) in places:
            going.pop().rmdir()

    def removing(clock: Clock) -> Notifier:
        return Begun(notifier(clock), remove)

    async def run() -> None:
        # No scan by time comes to help within a minute, and nothing is reported.
        looking = Looking(f"{logs}/*/*.log", 60.0, removing)
        async with watching(looking.watch):
            await looking.until(lambda: not going)
            await looking.until_told_of(logs / "stays" / "a.log")

    asyncio.run(run())


def test_names_that_no_glob_matches_ask_for_no_walk(notifier: Watches, tmp_path: Path) -> None:
    async def run() -> None:
        looking = Looking(f"{tmp_path}/*.log", 60.0, notifier)
        looking.schedule.interval = 0.2  # How soon it is known to be watched.
        async with watching(looking.watch):
            await looking.until(lambda: looking.schedule.in_force)
            looking.schedule.interval = 60.0
            before = looking.walks
            for number in range(20):
                (tmp_path / f"{number}.tmp").touch()
                (tmp_path / f"{number}.tmp").unlink()
            (tmp_path / ".shipper").mkdir()
            (tmp_path / "a.log").touch()
            await looking.until(lambda: str(tmp_path / "a.log") in looking.added)
            assert looking.walks <= before + 2
            assert looking.added == {str(tmp_path / "a.log")}

    asyncio.run(run())


def test_very_many_new_names_are_left_to_a_walk() -> None:
    async def run() -> None:
        wake_up = WakeUp()
        wake_up.wake(added=map(str, range(10_001)))
        assert await wake_up.wait() == Wake(scan=True)

    asyncio.run(run())
