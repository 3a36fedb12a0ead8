"""What inotify tells of, and how often."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from shipper.clock import SystemClock
from shipper.files import inotify
from shipper.files.inotify import Inotify, events_in
from shipper.files.inotify_notifier import GROWTH_STEP, InotifyNotifier
from shipper.files.notifications import Change, Changes
from tests.support.faults import PATIENCE


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.calls: list[Changes] = []
        self.growth: list[tuple[Sequence[str], float]] = []
        self.lost_track = 0
        self.gone_places: list[str] = []
        self._something = asyncio.Event()

    def told(self, changes: Changes, since: float) -> None:
        self.calls.append(changes)
        self._something.set()

    def grew(self, paths: Sequence[str], since: float) -> None:
        self.growth.append((paths, since))
        self._something.set()

    def missed(self) -> None:
        self.lost_track += 1
        self._something.set()

    def gone(self, place: str) -> None:
        self.gone_places.append(place)
        self._something.set()

    def lost(self, error: Exception | None = None) -> None:
        raise AssertionError(error)

    @property
    def changes(self) -> list[tuple[Change, str]]:
        return [change for call in self.calls for change in call]

    @property
    def grown(self) -> set[str]:
        return {path for paths, _ in self.growth for path in paths}

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not wanted():
                self._something.clear()
                await self._something.wait()


def write(path: Path, data: bytes = b"x") -> None:
    with path.open("ab") as file:
        file.write(data)


def descriptors() -> set[str]:
    """The kinds of what is open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return found


def in_a_loop(story: Callable[[InotifyNotifier, Heard], Awaitable[None]]) -> None:
    async def run() -> None:
        await story(InotifyNotifier(SystemClock()), Heard())

    asyncio.run(run())
    gc.collect()
    assert not [each for each in descriptors() if "inotify" in each]


@contextlib.asynccontextmanager
async def nothing_more() -> AsyncIterator[None]:
    """Some steps later."""
    yield
    await asyncio.sleep(3 * GROWTH_STEP)


def test_names_are_told_as_they_come_and_go_whatever_bytes_they_have(tmp_path: Path) -> None:
    new, moved = os.fsencode(tmp_path) + b"/caf\xe9", os.fsencode(tmp_path) + b"/\xff.log"

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        async with notifier.watching([str(tmp_path)], heard):
            os.close(os.open(new, os.O_CREAT))
            await heard.until(lambda: len(heard.changes) == 1)
            os.rename(new, moved)
            await heard.until(lambda: len(heard.changes) == 3)
            os.unlink(moved)
            await heard.until(lambda: len(heard.changes) == 4)
        assert heard.changes == [
            (Change.added, os.fsdecode(new)),
            (Change.deleted, os.fsdecode(new)),
            (Change.added, os.fsdecode(moved)),
            (Change.deleted, os.fsdecode(moved)),
        ]

    in_a_loop(story)


def test_a_file_that_grows_all_the_time_is_told_once_a_step(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        loop = asyncio.get_running_loop()
        async with notifier.watching([str(tmp_path)], heard):
            began = loop.time()
            while loop.time() - began < 6 * GROWTH_STEP:
                write(log)
                await asyncio.sleep(0.001)
            most = (loop.time() - began) / GROWTH_STEP + 1
            assert 2 <= len(heard.growth) <= most
            assert heard.grown == {str(log)}
            # What is told is not older than the look before.
            sinces = [since for _, since in heard.growth]
            assert sinces == sorted(sinces)
            async with nothing_more():
                pass
            # And when it rests, the next write is told at once.
            told, before = len(heard.growth), heard.clock.monotonic()
            write(log)
            await heard.until(lambda: len(heard.growth) > told)
            assert heard.growth[-1][1] >= before

    in_a_loop(story)


def test_a_file_beside_one_that_grows_is_told_within_a_step(tmp_path: Path) -> None:
    hot, other = tmp_path / "hot.log", tmp_path / "other.log"

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        async with notifier.watching([str(tmp_path)], heard):
            write(hot)
            await heard.until(lambda: heard.grown == {str(hot)})
            write(hot)
            write(other)
            await heard.until(lambda: heard.grown == {str(hot), str(other)})

    in_a_loop(story)


def test_very_many_names_are_told_in_parts_between_which_others_have_their_turn(
    tmp_path: Path,
) -> None:
    count = 6000

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        async with notifier.watching([str(tmp_path)], heard):
            for number in range(count):
                os.close(os.open(f"{tmp_path}/{number:06d}.log", os.O_CREAT))
            await heard.until(lambda: len(heard.changes) == count)
        assert len({path for _, path in heard.changes}) == count
        assert max(map(len, heard.calls)) <= count / 2

    in_a_loop(story)


def test_too_much_to_tell_is_told(tmp_path: Path) -> None:
    """The kernel's queues are full (fs.inotify.max_queued_events)."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    names, logs = [tmp_path / "a", tmp_path / "b"], [tmp_path / "a.log", tmp_path / "b.log"]
    names[0].touch()

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        async with notifier.watching([str(tmp_path)], heard):
            for number in range(limit // 2 + 10):
                names[number % 2].rename(names[1 - number % 2])
            await heard.until(lambda: heard.lost_track == 1)
            with contextlib.ExitStack() as stack:
                files = [stack.enter_context(log.open("ab", buffering=0)) for log in logs]
                for _ in range(limit // 2 + 10):
                    for file in files:
                        file.write(b"x")
            await heard.until(lambda: heard.lost_track == 2)
            # It goes on.
            heard.growth.clear()
            await asyncio.sleep(0)
            write(logs[0])
            await heard.until(lambda: str(logs[0]) in heard.grown)
            (tmp_path / "c").touch()
            await heard.until(lambda: (Change.added, f"{tmp_path}/c") in heard.changes)

    in_a_loop(story)


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_directory_that_goes_is_told_and_the_others_stay_watched(
    how: str, tmp_path: Path
) -> None:
    going, other = tmp_path / "going", tmp_path / "other"
    going.mkdir()
    other.mkdir()

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        async with notifier.watching([str(going), str(other)], heard):
            going.rmdir() if how == "removed" else going.rename(tmp_path / "away")
            await heard.until(lambda: str(going) in heard.gone_places)
            (other / "a").touch()
            await heard.until(lambda: (Change.added, f"{other}/a") in heard.changes)
        # Its number in the kernel may be another directory's by then.
        going.mkdir(exist_ok=True)
        async with notifier.watching([str(going)], heard):
            (going / "b").touch()
            await heard.until(lambda: (Change.added, f"{going}/b") in heard.changes)

    in_a_loop(story)


def test_two_paths_to_one_directory_and_two_who_listen(tmp_path: Path) -> None:
    logs, link = tmp_path / "logs", tmp_path / "link"
    logs.mkdir()
    link.symlink_to(logs)

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        second = Heard()
        async with notifier.watching([str(logs), str(link)], heard):
            async with notifier.watching([str(link)], second):
                (logs / "a").touch()
                await heard.until(lambda: len(heard.changes) == 2)
                await second.until(lambda: len(second.changes) == 1)
            (logs / "b").touch()
            await heard.until(lambda: len(heard.changes) == 4)
        paths = {path for _, path in heard.changes}
        assert paths == {f"{place}/{name}" for place in (logs, link) for name in "ab"}
        assert second.changes == [(Change.added, f"{link}/a")]

    in_a_loop(story)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_a_limit_of_inotify_is_said_in_words_and_leaves_nothing_behind(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in "abc"]
    for place in places:
        place.mkdir()
    add = Inotify.add

    def add_some(self: Inotify, path: str, mask: int) -> int:
        if path == str(places[2]) and mask & inotify.MODIFY:
            raise OSError(number, os.strerror(number), path)
        return add(self, path, mask)

    monkeypatch.setattr(Inotify, "add", add_some)

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        with pytest.raises(OSError, match="inotify") as raised:
            async with notifier.watching([*map(str, places)], heard):
                raise AssertionError("it is watched")
        assert (raised.value.errno, raised.value.filename) == (number, str(places[2]))
        async with notifier.watching([str(places[0])], heard):
            (places[0] / "a").touch()
            await heard.until(lambda: len(heard.changes) == 1)

    in_a_loop(story)


def test_a_directory_below_that_is_gone_already_keeps_no_other_from_being_watched(
    tmp_path: Path,
) -> None:
    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        async with notifier.watching([str(tmp_path), f"{tmp_path}/gone"], heard):
            (tmp_path / "a").touch()
            await heard.until(lambda: len(heard.changes) == 1)
        with pytest.raises(FileNotFoundError):
            async with notifier.watching([f"{tmp_path}/gone"], heard):
                pass

    in_a_loop(story)


class Hanging:
    """Adding a watch of one place hangs until it is told to go on."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hangs, self.goes_on = threading.Event(), threading.Event()
        add = Inotify.add

        def add_late(instance: Inotify, path: str, mask: int) -> int:
            if path == str(place) and mask & inotify.CREATE:
                with instance._open():
                    self.hangs.set()
                    assert self.goes_on.wait(PATIENCE)
            return add(instance, path, mask)

        monkeypatch.setattr(Inotify, "add", add_late)

    async def until_it_hangs(self) -> None:
        assert await asyncio.to_thread(self.hangs.wait, PATIENCE)


def test_a_directory_that_hangs_keeps_no_other_from_being_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = tmp_path / "slow", tmp_path / "other"
    slow.mkdir()
    other.mkdir()
    hanging = Hanging(slow, monkeypatch)

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        begun = asyncio.Event()

        async def watch() -> None:
            async with notifier.watching([str(slow)], heard):
                begun.set()
                await asyncio.Event().wait()

        watching = asyncio.create_task(watch())
        await hanging.until_it_hangs()
        async with notifier.watching([str(other)], heard):
            (other / "a").touch()
            await heard.until(lambda: heard.changes == [(Change.added, f"{other}/a")])
        hanging.goes_on.set()
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
        (slow / "b").touch()
        await heard.until(lambda: heard.changes[-1] == (Change.added, f"{slow}/b"))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    in_a_loop(story)


def test_who_waits_for_a_directory_that_hangs_can_end_and_nothing_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = Hanging(tmp_path, monkeypatch)

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        async def watch() -> None:
            async with notifier.watching([str(tmp_path)], heard):
                raise AssertionError("it is watched")

        watching = asyncio.create_task(watch())
        await hanging.until_it_hangs()
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
        # Its number is nobody else's as long as the thread has it.
        assert any("inotify" in each for each in descriptors())
        hanging.goes_on.set()
        async with asyncio.timeout(PATIENCE):
            while any("inotify" in each for each in descriptors()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    in_a_loop(story)


@pytest.mark.parametrize("how", ["another listener ends", "the directory goes"])
def test_a_watch_that_ends_while_it_is_added_is_added_again(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number in the kernel is known to the thread, and not to the event loop yet."""
    logs, slow = tmp_path / "logs", tmp_path / "slow"
    logs.mkdir()
    slow.mkdir()
    hanging = Hanging(slow, monkeypatch)

    async def story(notifier: InotifyNotifier, heard: Heard) -> None:
        first = Heard()

        async def watch() -> None:
            async with notifier.watching([str(logs), str(slow)], heard):
                begun.set()
                await asyncio.Event().wait()

        begun = asyncio.Event()
        async with notifier.watching([str(tmp_path)], first), contextlib.AsyncExitStack() as stack:
            if how == "another listener ends":
                await stack.enter_async_context(notifier.watching([str(logs)], Heard()))
            watching = asyncio.create_task(watch())
            await hanging.until_it_hangs()
            if how == "another listener ends":
                await stack.aclose()
            else:
                logs.rmdir()
                await first.until(lambda: (Change.deleted, str(logs)) in first.changes)
                logs.mkdir()
            hanging.goes_on.set()
            async with asyncio.timeout(PATIENCE):
                await begun.wait()
            (logs / "a").touch()
            await heard.until(lambda: (Change.added, f"{logs}/a") in heard.changes)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    in_a_loop(story)


def test_one_read_gives_a_bounded_number_of_events(tmp_path: Path) -> None:
    instance = Inotify()
    try:
        watch = instance.add(str(tmp_path), inotify.CREATE)
        assert instance.read() == b""
        for number in range(5000):
            (tmp_path / f"{number:04d}").touch()
        found = []
        while events := events_in(instance.read()):
            assert len(events) <= 3000
            found += events
        assert [event.name for event in found] == [f"{number:04d}" for number in range(5000)]
        assert {(event.watch, event.mask) for event in found} == {(watch, inotify.CREATE)}
        instance.remove(watch)
        with pytest.raises(OSError, match="Invalid argument"):
            instance.remove(watch)
    finally:
        instance.close()
