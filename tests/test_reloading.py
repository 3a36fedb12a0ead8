"""When the configuration is read again, and whether it is used: without a daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shipper.config.load import LoadedConfig, read_config
from shipper.logs.problems import MOST
from shipper.reloading import INTERVAL, Reloads
from shipper.service_manager import ServiceManager
from shipper.signals import Hangups
from tests.support.clock import ManualClock, settle
from tests.support.faults import PATIENCE
from tests.support.logs import RecordedLog
from tests.support.loop import in_a_loop

TEXT = """
inputs: [{id: a, paths: [/logs/*.log]}]
output: {hosts: ["http://es"]}
config: {reload: %s}
"""


@dataclass
class World:
    """A file, and what becomes of it."""

    path: Path
    clock: ManualClock
    log: RecordedLog
    reloads: Reloads
    stops: list[LoadedConfig | None] = field(default_factory=list)
    may_stop: bool = True
    reads: int = 0

    async def why_not_stop(self) -> str:
        return "" if self.may_stop else "not shipped yet"

    async def looks(self, count: int) -> None:
        """Let it look at the file so many times; a thread does that."""
        for _ in range(count):
            await self.clock.advance(INTERVAL)
            await self.threads()

    async def threads(self) -> None:
        """Let threads tell what they found."""
        for _ in range(5):
            await asyncio.to_thread(lambda: None)
            await settle()
            await asyncio.sleep(0.005)

    async def until_stopped(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.stops:
                await self.threads()


@contextlib.asynccontextmanager
async def world(
    tmp_path: Path, reload: bool = False, seconds: float = PATIENCE
) -> AsyncIterator[World]:
    """`seconds`: for the file to be read."""
    path, clock = tmp_path / "shipper.yml", ManualClock()
    path.write_text(TEXT % str(reload).lower())
    recorded = RecordedLog(clock)

    def read() -> LoadedConfig:
        made.reads += 1
        return read_config([path], {})

    reloads = Reloads(
        read_config([path], {}),
        read,
        clock=clock,
        log=recorded.log,
        service_manager=ServiceManager(clock=clock, log=recorded.log),
        hangups=Hangups(),
        seconds=seconds,
    )
    made = World(path, clock, recorded, reloads)
    tasks = [
        asyncio.create_task(
            reloads.run(made.why_not_stop, lambda: made.stops.append(reloads.accepted))
        ),
        asyncio.create_task(reloads.watch()),
    ]
    await made.threads()
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@in_a_loop
async def test_what_is_wanted_and_right_stops_the_daemon(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        assert made.reads == 0
        made.reloads.want()
        await made.until_stopped()
        assert made.stops == [made.reloads.accepted]
        assert made.log.actions() == ["configuration-reloading"]


@in_a_loop
async def test_what_is_wrong_is_said_and_may_be_wanted_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await asyncio.to_thread(made.path.write_text, "inputs: []\nunknown: 1\n")
        made.reloads.want()
        async with asyncio.timeout(PATIENCE):
            while not made.log.entries():
                await made.threads()
        assert set(made.log.actions()) == {"configuration-not-reloaded"}
        assert len(made.log.entries()) > 1, "each problem"
        assert made.stops == []
        await asyncio.to_thread(made.path.write_text, TEXT % "false")
        made.reloads.want()
        await made.until_stopped()


@in_a_loop
async def test_of_many_problems_a_number_is_said_and_how_many_more_there_are(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        text = "".join(f"unknown{number}: 1\n" for number in range(MOST + 9)) + TEXT % "false"
        await asyncio.to_thread(made.path.write_text, text)
        made.reloads.want()
        async with asyncio.timeout(PATIENCE):
            while len(made.log.entries()) <= MOST:
                await made.threads()
        *_, last = made.log.entries()
        assert len(made.log.entries()) == MOST + 1
        assert last["error.message"] == "9 more problems in the configuration"


@in_a_loop
async def test_it_waits_until_nothing_is_lost_by_a_stop(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.may_stop = False
        made.reloads.want()
        await made.threads()
        await made.clock.advance(5)
        assert made.log.actions() == ["reload-waits"]
        assert made.stops == []
        made.may_stop = True
        await made.clock.advance(2)
        assert len(made.stops) == 1


@in_a_loop
async def test_a_change_is_noticed_when_the_file_stays_as_it_is(tmp_path: Path) -> None:
    async with world(tmp_path, reload=True) as made:
        await made.looks(3)
        assert made.reads == 0
        await asyncio.to_thread(made.path.write_text, (TEXT % "true") + "# half\n")
        await made.looks(1)
        await asyncio.to_thread(made.path.write_text, (TEXT % "true") + "name: n\n")
        await made.looks(1)
        assert made.reads == 0, "it has just changed"
        await made.looks(1)
        await made.until_stopped()
        assert made.reloads.accepted is not None
        assert made.reloads.accepted.config.name == "n"


@in_a_loop
async def test_without_the_option_no_change_is_noticed(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await asyncio.to_thread(made.path.write_text, (TEXT % "true") + "name: n\n")
        await made.looks(4)
        assert (made.reads, made.stops) == (0, [])


@in_a_loop
async def test_a_wrong_change_is_read_once(tmp_path: Path) -> None:
    async with world(tmp_path, reload=True) as made:
        await asyncio.to_thread(made.path.unlink)
        await made.looks(6)
        assert made.reads == 1
        assert set(made.log.actions()) == {"configuration-not-reloaded"}


@in_a_loop
async def test_a_stop_for_good_cancels_it(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.reloads.want()
        await made.until_stopped()
        made.reloads.cancel()
        assert made.reloads.accepted is None


@in_a_loop
async def test_what_is_wanted_after_a_stop_for_good_begins_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.reloads.cancel()
        made.reloads.want()
        while made.reads == 0:
            await made.threads()
        await made.threads()
        assert made.reloads.accepted is None
        assert made.stops == []


@in_a_loop
async def test_why_it_waits_is_said_and_a_later_change_is_the_one_that_counts(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        made.may_stop = False
        made.reloads.want()
        async with asyncio.timeout(PATIENCE):
            while not made.log.entries():
                await made.threads()
        (entry,) = made.log.entries()
        assert (entry["event.action"], entry["event.reason"]) == (
            "reload-waits",
            "not shipped yet",
        )
        await asyncio.to_thread(made.path.write_text, (TEXT % "false") + "name: later\n")
        made.reloads.want()
        await made.clock.advance(1)
        async with asyncio.timeout(PATIENCE):
            while made.reads < 2:
                await made.threads()
        made.may_stop = True
        await made.clock.advance(1)
        await made.until_stopped()
        assert made.reloads.accepted is not None
        assert made.reloads.accepted.config.name == "later"


@in_a_loop
async def test_what_is_wanted_after_it_was_accepted_is_wanted_of_the_next_one(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        made.reloads.want()
        await made.until_stopped()
        assert not made.reloads.is_wanted
        made.reloads.want()
        assert made.reloads.is_wanted


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def unreadable(path: Path) -> None:
    path.symlink_to("/proc/self/mem")


def loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (fifo, "the file cannot be read: no answer within 0.2 s"),
        (endless, "the file has more than 1048576 bytes"),
        (too_large, "the file has more than 1048576 bytes"),
        (unreadable, "the file cannot be read: input/output error"),
        (loop, "the file cannot be read: too many levels of symbolic links"),
        (Path.mkdir, "the file cannot be read: is a directory"),
        (lambda path: path.write_bytes(bytes(range(256)) * 64), "the file is not UTF-8"),
        (lambda path: path.write_bytes(b"\0" * 4096), "invalid YAML"),
        (lambda path: path.write_bytes(b""), "the file has no options"),
        (lambda path: path.write_bytes(b"[" * 5_000), "invalid YAML"),
        (lambda path: path.write_bytes(b"a: " + b"[" * 300 + b"]" * 300), "a: unknown option"),
        (lambda path: path.write_bytes(b"a: &a [*a]"), "a[0]: the value contains itself"),
        (lambda path: None, "the file cannot be read: no such file or directory"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_whatever_the_file_is_nothing_changes_and_it_is_said(
    put: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    @in_a_loop
    async def check() -> None:
        seconds = 0.2 if put is fifo else PATIENCE
        async with world(tmp_path, reload=True, seconds=seconds) as made:
            made.path.unlink()
            put(made.path)
            made.reloads.want()
            async with asyncio.timeout(PATIENCE):
                while not made.log.entries():
                    await made.threads()
            first, *_ = made.log.entries()
            assert first["event.action"] == "configuration-not-reloaded"
            assert words in first["error.message"]
            assert made.stops == []
            # It is looked at, too, and what it is does no harm there.
            await made.looks(1)
            with contextlib.suppress(OSError):
                os.close(os.open(made.path, os.O_WRONLY | os.O_NONBLOCK))
            if made.path.is_dir():
                made.path.rmdir()
            else:
                made.path.unlink(missing_ok=True)
            made.path.write_text(TEXT % "true")
            async with asyncio.timeout(PATIENCE):
                while not made.stops:
                    # One that hung is over a moment after it was released.
                    made.reloads.want()
                    await made.threads()

    check()
