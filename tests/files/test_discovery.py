"""Which files match; and that there is a reason to look again when something happened."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from watchfiles import awatch

from shipper.clock import SystemClock
from shipper.files.discovery import WakeUp, Watch, directory_of, is_hidden, scan
from shipper.files.filesystem import FileSystem, Inode
from tests.support.clock import ManualClock, settle
from tests.support.faults import PATIENCE


def inode_of(path: Path) -> Inode:
    found = path.stat()
    return Inode(found.st_dev, found.st_ino)


class Denying(FileSystem):
    """Refuses to look at one path."""

    def __init__(self, path: Path, *, listing: bool) -> None:
        super().__init__()
        self._path = str(path)
        self._listing = listing

    def list_directory(self, path: str) -> None:
        if self._listing and path == self._path:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        super().list_directory(path)

    def inode_of(self, path: str) -> Inode | None:
        if not self._listing and path == self._path:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return super().inode_of(path)


class RotatedAway(FileSystem):
    """A file goes between the glob and the look at it."""

    def inode_of(self, path: str) -> Inode | None:
        if path.endswith("going.log"):
            os.unlink(path)
        return super().inode_of(path)


# Scans --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "directory"),
    [
        ("/var/log/tetragon/*.log", "/var/log/tetragon"),
        ("/var/log/tetragon/tetragon.log", "/var/log/tetragon"),
        ("/var/log/*/tetragon.log", "/var/log"),
        ("/var/log/**/x.log", "/var/log"),
        ("/var/lo[gG]/x.log", "/var"),
        ("/va?/x.log", "/"),
        ("/x.log", "/"),
    ],
)
def test_the_directory_of_a_glob_is_what_stands_before_its_first_wildcard(
    pattern: str, directory: str
) -> None:
    assert directory_of(pattern) == directory


def test_a_scan_finds_the_regular_files_that_match(tmp_path: Path) -> None:
    for name in ("a.log", "b.log", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "directory.log").mkdir()
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "dangling.log").symlink_to(tmp_path / "absent")
    found = scan(FileSystem(), [f"{tmp_path}/*.log"])
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    assert found.found == {inode_of(a): str(a), inode_of(b): str(b)}
    assert (found.missing, found.unreadable) == ([], {})


def test_a_file_is_found_once_however_many_paths_lead_to_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.touch()
    os.link(first, second)
    (tmp_path / "c.log").symlink_to(first)
    patterns = [f"{tmp_path}/*.log", f"{tmp_path}/a.log", f"{tmp_path}/b*"]
    assert scan(FileSystem(), patterns).found == {inode_of(first): str(first)}


def test_a_directory_that_does_not_exist_is_named_and_the_others_are_scanned(
    tmp_path: Path,
) -> None:
    log = tmp_path / "a.log"
    log.touch()
    found = scan(FileSystem(), [f"{tmp_path}/later/*.log", f"{tmp_path}/*.log"])
    assert found.missing == [str(tmp_path / "later")]
    assert found.found == {inode_of(log): str(log)}


@pytest.mark.parametrize("listing", [True, False], ids=["directory", "file"])
def test_what_cannot_be_looked_at_is_named_with_the_reason(tmp_path: Path, listing: bool) -> None:
    inside, other = tmp_path / "in" / "a.log", tmp_path / "in" / "b.log"
    inside.parent.mkdir()
    inside.touch()
    other.touch()
    place = inside.parent if listing else inside
    found = scan(Denying(place, listing=listing), [f"{inside.parent}/*.log"])
    assert {path: error.errno for path, error in found.unreadable.items()} == {
        str(place): errno.EACCES
    }
    assert found.found == ({} if listing else {inode_of(other): str(other)})
    # What may be there is not taken for gone.
    assert is_hidden(str(inside), found.unreadable)
    assert is_hidden(str(other), found.unreadable) == listing


def test_only_what_is_within_an_unreadable_place_is_hidden() -> None:
    assert is_hidden("/logs/a/b.log", ["/logs/a"])
    assert is_hidden("/logs/a/b.log", ["/other", "/logs/a/b.log"])
    assert not is_hidden("/logs/ab.log", ["/logs/a"])
    assert not is_hidden("/logs/a", [])


def test_a_file_that_is_rotated_away_during_the_scan_is_no_error(tmp_path: Path) -> None:
    for name in ("going.log", "staying.log"):
        (tmp_path / name).touch()
    found = scan(RotatedAway(), [f"{tmp_path}/*.log"])
    assert list(found.found.values()) == [str(tmp_path / "staying.log")]
    assert found.unreadable == {}


# The bell -----------------------------------------------------------------------------------------


def test_the_bell_tells_everything_that_happened_since_it_was_answered() -> None:
    async def run() -> None:
        wake_up = WakeUp()
        wake_up.wake(["a"])
        wake_up.wake(["b", "a"], scan=True)
        wake_up.wake(["c"])
        assert await wake_up.wait() == (True, {"a", "b", "c"})
        waiting = asyncio.create_task(wake_up.wait())
        await settle()
        assert not waiting.done()
        wake_up.wake(["d"])
        assert await waiting == (False, {"d"})

    asyncio.run(run())


# Watching -----------------------------------------------------------------------------------------


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


async def answers_until(wake_up: WakeUp, wanted: Callable[[bool, set[str]], bool]) -> None:
    """Waits for an answer of that kind. The bell may ring for other reasons: that costs nothing."""
    async with asyncio.timeout(PATIENCE):
        while not wanted(*await wake_up.wait()):
            pass


def test_time_alone_is_a_reason_to_scan(tmp_path: Path) -> None:
    async def run() -> None:
        clock, wake_up = ManualClock(), WakeUp()
        # Nothing is there that could be watched.
        watch = Watch(clock, [f"{tmp_path}/absent/*.log"], 2.0, wake_up, no_report)
        async with watching(watch):
            await clock.advance(0)
            assert await wake_up.wait() == (True, set())
            for _ in range(3):
                waiting = asyncio.create_task(wake_up.wait())
                await clock.advance(1.9)
                assert not waiting.done()
                await clock.advance(0.1)
                assert await waiting == (True, set())

    asyncio.run(run())


def watch_of(tmp_path: Path, interval: float, run: Callable[[WakeUp], Awaitable[None]]) -> None:
    """Runs against a real watch of a real directory, with scans every `interval` seconds."""

    async def all_of_it() -> None:
        wake_up = WakeUp()
        clock = SystemClock()
        async with watching(Watch(clock, [f"{tmp_path}/*.log"], interval, wake_up, no_report)):
            await run(wake_up)

    asyncio.run(all_of_it())


def test_a_file_that_grows_is_told_by_its_path_and_a_new_name_asks_for_a_scan(
    tmp_path: Path,
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
                    told = str(log) in answer.result()[1]
                else:
                    answer.cancel()
        for change in (new.touch, lambda: log.rename(rotated), rotated.unlink):
            change()
            await answers_until(wake_up, lambda scan_due, _: scan_due)

    # No scan by time comes to help within a minute.
    watch_of(tmp_path, 60.0, run)


def test_a_directory_that_appears_or_is_replaced_is_watched_then(tmp_path: Path) -> None:
    directory = tmp_path / "logs"

    def append() -> None:
        with (directory / "a.log").open("ab") as file:
            file.write(b"x\n")

    async def told(wake_up: WakeUp) -> None:
        async with asyncio.timeout(PATIENCE):
            modified: set[str] = set()
            while str(directory / "a.log") not in modified:
                append()
                modified |= (await wake_up.wait())[1]

    async def run(wake_up: WakeUp) -> None:
        directory.mkdir()
        await told(wake_up)
        directory.rename(tmp_path / "old")
        directory.mkdir()
        await told(wake_up)

    watch_of(directory, 0.2, run)


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
    tmp_path: Path,
) -> None:
    reports: list[tuple[str, OSError]] = []

    async def run() -> None:
        # What is imported at the first use is there before descriptors are short.
        async with aclosing(awatch(tmp_path, rust_timeout=1, yield_on_timeout=True)) as changes:
            await anext(changes)
        wake_up = WakeUp()
        patterns = [f"{tmp_path}/*.log"]
        watch = Watch(
            SystemClock(), patterns, 0.05, wake_up, lambda *report: reports.append(report)
        )
        with no_more_descriptors():
            async with watching(watch):
                async with asyncio.timeout(PATIENCE):
                    while len(reports) < 2:
                        assert (await wake_up.wait())[0]

    asyncio.run(run())
    assert {(directory, error.errno) for directory, error in reports} == {
        (str(tmp_path), errno.EMFILE)
    }


def test_without_symbolic_links_only_files_themselves_are_found(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "a.log").write_text("a\n")
    (tmp_path / "link.log").symlink_to(real / "a.log")
    (tmp_path / "directory").symlink_to(real)
    patterns = [f"{tmp_path}/*.log", f"{tmp_path}/directory/*.log"]
    filesystem = FileSystem()
    assert list(scan(filesystem, patterns[:1]).found.values()) == [f"{tmp_path}/link.log"]
    assert scan(filesystem, patterns[:1], symlinks=False).found == {}
    # A link to a directory on the way is followed in any case.
    found = scan(filesystem, patterns, symlinks=False).found
    assert list(found.values()) == [f"{tmp_path}/directory/a.log"]
