"""A bulk receiver of limited capacity: WORKERS concurrent requests, QUEUE waiting ones, and 429 for
all others. Processing is simulated by sleeping, so it takes little CPU.

    python -m benchmarks.capacity WORKERS QUEUE SECONDS EVENTS    prints the port it listens on

A request of EVENTS documents takes SECONDS, a smaller one less. The first part of the path names
the shipper: `http://127.0.0.1:PORT/NAME` is the host of the shipper NAME.

    GET /tallies   {NAME: [accepted documents, rejected requests], ...}
"""

import asyncio
import json
import sys
import zlib
from dataclasses import dataclass

from aiohttp import web
from isal import isal_zlib

#: Fixed share of the duration, independent of the size.
_FIXED = 0.1


@dataclass(slots=True)
class Tally:
    """Counts of one shipper."""

    events: int = 0
    rejected: int = 0


class Capacity:
    """Processes requests."""

    def __init__(self, workers: int, queue: int, seconds: float, events: int) -> None:
        self._workers = asyncio.Semaphore(workers)
        self._room = workers + queue
        self._seconds = seconds
        self._full = events
        self._inside = 0
        self._tallies: dict[str, Tally] = {}

    def application(self) -> web.Application:
        """The HTTP application."""
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_get("/tallies", self._report_once)
        application.router.add_post("/{name}/{path:.*_bulk}", self._bulk)
        application.router.add_route("*", "/{path:.*}", self._anything)
        return application

    async def _bulk(self, request: web.Request) -> web.Response:
        payload = isal_zlib.decompress(await request.read(), zlib.MAX_WBITS | 16)
        tally = self._tallies.setdefault(request.match_info["name"], Tally())
        if self._inside >= self._room:
            tally.rejected += 1
            return web.json_response(
                {"error": {"type": "es_rejected_execution_exception"}, "status": 429}, status=429
            )
        self._inside += 1
        try:
            count = payload.count(b"\n") // 2
            async with self._workers:
                share = _FIXED + (1 - _FIXED) * count / self._full
                await asyncio.sleep(self._seconds * share)
        finally:
            self._inside -= 1
        tally.events += count
        items = b",".join([b'{"create":{"status":201}}'] * count)
        return web.Response(
            body=b'{"took":1,"errors":false,"items":[' + items + b"]}",
            content_type="application/json",
        )

    async def _report_once(self, request: web.Request) -> web.Response:
        return web.json_response(
            {name: [tally.events, tally.rejected] for name, tally in self._tallies.items()}
        )

    async def _anything(self, request: web.Request) -> web.Response:
        return web.json_response({"version": {"number": "8.15.3"}})


async def _serve(workers: int, queue: int, seconds: float, events: int) -> None:
    application = Capacity(workers, queue, seconds, events).application()
    runner = web.AppRunner(application, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"port": runner.addresses[0][1]}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
