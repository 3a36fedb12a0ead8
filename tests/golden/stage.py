"""One scenario's world: clock, files, server, and the daemon's lives, one after the other.

    await stage.start()                  the daemon, with `stage.config`
    stage.append("tetragon.log", lines)
    await stage.ship(3)                  read, sent and answered: three lines in this life
    await stage.stop()                   in order, as on SIGTERM

Files are changed between two turns of the event loop: the daemon sees all of a change or nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.golden import world
from tests.golden.surroundings import BEGIN, COMMIT, LINGER, SCAN, RecordingServer, StageClock
from tests.servers.launcher import free_port
from tests.support.clock import settle
from tests.support.faults import PATIENCE
from tests.support.logs import RecordedLog
from tests.support.processes import overlay

_POLL = 0.004
_RUNNING = ("lines_read_total", "events_total", "in_flight_events")


@dataclass(frozen=True, slots=True)
class Moment:
    """How it is at one moment of a scenario."""

    label: str
    metrics: str
    """What /metrics shows; empty when no daemon runs."""
    files: tuple[str, ...]
    """All below the root, but the logs themselves."""


class Stage:
    """A directory, a server, a clock, and at most one daemon at a time."""

    def __init__(self, root: Path, server: RecordingServer) -> None:
        self.root = root
        self.logs = root / "logs"
        self.data = root / "data"
        self.logs.mkdir()
        self.server = server
        self.port = free_port()
        self.clock = StageClock()
        # What a commit of several inputs has is not to depend on when an answer comes.
        server.may_answer = self.clock.committed
        self.files = world.FixedFiles()
        self.moments: list[Moment] = []
        self.config: Mapping[str, Any] = {
            "inputs": [self.input("tetragon", "*.log")],
            "data_dir": str(self.data),
            "output": {"hosts": [server.url], "bulk": {"linger": f"{LINGER:g}s"}},
            "registry": {"commit_interval": f"{COMMIT:g}s"},
            "admin": {"listen": f"127.0.0.1:{self.port}"},
        }
        self._log = RecordedLog(self.clock)
        self._task: asyncio.Task[None] | None = None

    def input(self, name: str, *patterns: str, **more: Any) -> dict[str, Any]:
        """Return an input of shipper's own dialect."""
        return {
            "id": name,
            "paths": [str(self.logs / pattern) for pattern in patterns],
            "exclude": [str(self.logs / pattern) for pattern in more.pop("exclude", ())],
            "scan_interval": f"{SCAN:g}s",
            **more,
        }

    def configure(self, more: Mapping[str, Any]) -> None:
        """Lay options over those that there are."""
        self.config = overlay(copy.deepcopy(dict(self.config)), more)

    # Files

    def append(self, name: str, lines: Iterable[bytes], end: bytes = b"\n") -> Path:
        """Append lines to a log, in one write. `end`: after the last one."""
        path = self.logs / name
        path.parent.mkdir(exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(b"\n".join(lines) + end)
        return path

    def date(self, path: Path, seconds: float) -> None:
        """Say when a file was written to last: so long before the beginning."""
        os.utime(path, (BEGIN - seconds, BEGIN - seconds))

    # The daemon's life

    async def start(self) -> None:
        """Start the daemon; return once it can be asked how it is."""
        path = self.root / "config.yml"
        path.write_text(yaml.safe_dump(dict(self.config), sort_keys=False), "utf-8")
        self._log = RecordedLog(self.clock)
        self.clock.committed.clear()
        self.files.scans.clear()
        run = world.daemon(path, clock=self.clock, files=self.files, log=self._log.log)
        self._task = asyncio.create_task(run)
        await self.until(lambda samples: "shipper_build_info" in str(samples))

    async def stop(self, label: str = "at the end") -> None:
        """End the daemon as SIGTERM does, and note how it was just before."""
        await self.note(label)
        kinds = (signal.SIGTERM, signal.SIGINT)
        handlers = {kind: signal.getsignal(kind) for kind in kinds}
        os.kill(os.getpid(), signal.SIGTERM)
        await self._end()
        for kind, handler in handlers.items():
            signal.signal(kind, handler)
        await self.note(f"{label}, stopped")

    async def kill(self, label: str) -> None:
        """End the daemon without any order: nothing is sent or saved any more."""
        await self.note(label)
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._end()
        await self.note(f"{label}, killed")

    async def _end(self) -> None:
        assert self._task is not None
        try:
            await asyncio.wait_for(self._task, PATIENCE)
        finally:
            self._task = None

    # Steps

    async def look(self) -> None:
        """Have all inputs look at their directories, from beginning to end."""
        before = self.files.scans.copy()

        def has_looked(_: Mapping[str, float]) -> bool:
            # That a second scan has begun is the end of the first.
            self.clock.call(SCAN)
            now = self.files.scans
            return bool(now) and all(now[number] >= before[number] + 2 for number in now)

        await self.until(has_looked)
        await settle()

    async def read(self, lines: int) -> None:
        """Return once so many lines were read in this life."""
        await self.look()

        def is_read(now: Mapping[str, float]) -> bool:
            # Some things take a second look: one gzip after the other.
            self.clock.call(SCAN)
            return total(now, "shipper_lines_read_total") == lines

        await self.until(is_read)

    async def ended(self, lines: int) -> None:
        """Return once so many lines have their outcome, and none has not."""

        def is_over(now: Mapping[str, float]) -> bool:
            return (
                total(now, "shipper_events_total") == lines
                and total(now, "shipper_in_flight_events") == 0
            )

        await self.until(is_over)

    async def ship(self, lines: int) -> None:
        """Have all that is written read and sent: so many lines in this life."""
        await self.read(lines)
        await self.pass_time(LINGER)
        await self.ended(lines)

    async def rest(self) -> None:
        """Return once no request is under way, and no commit."""

        def is_at_rest(now: Mapping[str, float]) -> bool:
            # The first commit is made as soon as a file is known.
            committed = self.clock.committed.is_set() or not total(now, "shipper_files_tracked")
            return committed and total(now, "shipper_in_flight_requests") == 0

        await settle()
        while True:
            await self.until(is_at_rest)
            # The end of one request may be the beginning of the next.
            await settle()
            if is_at_rest(await self._samples()):
                return

    async def pass_time(self, seconds: float) -> None:
        """Move the time; it stops for as long as a request is under way."""
        end = self.clock.monotonic() + seconds
        # What there is to see is seen before that.
        await self.rest()
        await self.look()
        await self.rest()
        while self.clock.step(end):
            await self.rest()

    async def sent_again(self) -> None:
        """Move the time until something is sent again and answered."""
        name = "shipper_bulk_requests_total"
        await self.rest()
        before = now = total(await self._samples(), name)
        while now == before:
            assert self.clock.step(self.clock.monotonic() + 10 * COMMIT), "nothing waits"
            await self.rest()
            now = total(await self._samples(), name)

    async def retried(self, times: int) -> None:
        """Return once that much was to be sent again in this life."""
        await self.until(lambda now: total(now, "shipper_retries_total") == times)

    async def commit(self) -> None:
        """Have the registry learn what changed since it was told last; something did."""
        await self.rest()
        await self.until(lambda _: self.clock.committed.is_set())
        self.clock.call(COMMIT)
        await self.until(lambda _: self.clock.committed.is_set())

    async def note(self, label: str) -> None:
        """Note how it is now, once there is nothing new to see."""
        if self._task:
            await self.rest()
            await self.look()
            await self.rest()
        metrics = await self._get("/metrics") if self._task else ""
        found = sorted(
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if path.is_file() and (path.parent.name == ".shipper" or path.parent != self.logs)
        )
        self.moments.append(Moment(label, metrics, tuple(found)))

    async def until(self, predicate: Callable[[Mapping[str, float]], bool]) -> None:
        """Return once the predicate is true of what /metrics shows.

        Raises AssertionError when that takes too long, or the daemon has ended.
        """
        samples: Mapping[str, float] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    with contextlib.suppress(aiohttp.ClientConnectionError):
                        samples = await self._samples()
                        if predicate(samples):
                            return
                    if self._task is None or self._task.done():
                        break
                    await asyncio.sleep(_POLL)
        counted = {name: found for name, found in samples.items() if any(map(name.count, _RUNNING))}
        if self._task is not None and self._task.done() and (error := self._task.exception()):
            raise error
        raise AssertionError(f"it did not happen; {counted}\n{self._log.text}")

    async def _samples(self) -> dict[str, float]:
        return samples_of(await self._get("/metrics"))

    async def _get(self, path: str) -> str:
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return await answer.text()


def samples_of(text: str) -> dict[str, float]:
    """Return the samples of an exposition, by name and labels."""
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


def total(samples: Mapping[str, float], name: str) -> float:
    """Return the sum over all labels of a metric."""
    return sum(value for row, value in samples.items() if row.partition("{")[0] == name)
