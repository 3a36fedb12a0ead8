"""When the configuration is read again, and whether it is used: without a daemon."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from shipper.config.load import LoadedConfig, read_config
from shipper.reloading import INTERVAL, Reloads
from shipper.service_manager import ServiceManager
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
async def world(tmp_path: Path, reload: bool = False) -> AsyncIterator[World]:
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
    )
    made = World(path, clock, recorded, reloads)
    tasks = [
        asyncio.create_task(
            reloads.run(lambda: made.may_stop, lambda: made.stops.append(reloads.accepted))
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
