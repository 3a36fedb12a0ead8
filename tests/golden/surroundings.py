"""What the daemon of a scenario meets: a clock that stands still, and a server that keeps all."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from dataclasses import dataclass

from aiohttp import web

from tests.support.bulk_server import BulkServer, Request
from tests.support.faults import PATIENCE

BEGIN = 1_795_500_000.0
"""Unix seconds at the beginning of each scenario."""

LINGER = 1.0
COMMIT = 60.0
SCAN = 700.0
"""The intervals of the configuration, in seconds. Each has a length that nothing else has."""


class StageClock:
    """A clock that stands still, and is moved from one sleeper's end to the next.

    Scans and commits are due when the scenario says so: time does not move for them.
    """

    def __init__(self) -> None:
        self._time = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._called: dict[float, list[asyncio.Future[None]]] = {SCAN: [], COMMIT: []}
        self.committed = threading.Event()
        """Whether nothing is being saved, and there was a commit in this life."""

    def monotonic(self) -> float:
        return self._time

    def now(self) -> float:
        return BEGIN + self._time - 1000.0

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        due = asyncio.get_running_loop().create_future()
        if seconds in self._called:
            self._called[seconds].append(due)
            if seconds == COMMIT:
                self.committed.set()
        else:
            heapq.heappush(self._sleepers, (self._time + seconds, next(self._order), due))
        await due

    def step(self, end: float) -> bool:
        """Wake up the next sleeper who is due by then; False, and the time is `end`, if none is."""
        while self._sleepers and self._sleepers[0][0] <= end:
            time, _, due = heapq.heappop(self._sleepers)
            if not due.done():
                self._time = time
                due.set_result(None)
                return True
        self._time = end
        return False

    def call(self, interval: float) -> None:
        """Wake up whoever waits for the next scan, or for the next commit."""
        if interval == COMMIT:
            self.committed.clear()
        due, self._called[interval] = self._called[interval], []
        for each in due:
            if not each.done():
                each.set_result(None)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A bulk request, and its body as NDJSON."""

    request: Request
    body: bytes


class RecordingServer(BulkServer):
    """Keeps the bodies of bulk requests, unpacked."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.may_answer: threading.Event | None = None
        """No request is worked off before that is set."""
        super().__init__()

    async def _handle_bulk(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.may_answer is not None and not self.may_answer.is_set():
            await asyncio.to_thread(self.may_answer.wait, PATIENCE)
        response = await super()._handle_bulk(request)
        # Nothing has happened since it was put there: there is one event loop.
        self.arrivals.append(Arrival(self.requests[-1], body))
        return response
