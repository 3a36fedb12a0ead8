"""The receiver of benchmarks: accepts everything, checks it, and answers as Elasticsearch does.

It runs as a separate process, so that its CPU time is not measured.

    python -m benchmarks.receiver    prints the port it listens on
    GET /count     documents so far, and when the first request came (CLOCK_MONOTONIC, or 0)
    GET /tally     the whole tally: documents, different and doubled numbers, bytes, latencies
    POST /reset    forgets it; `?delay=SECONDS`: how long each following request takes
"""

import asyncio
import json
import re
import sys
import time
import zlib
from dataclasses import dataclass, field

from aiohttp import web
from isal import isal_zlib

_FULL = (
    b'{"create":{"_index":".ds-logs-cilium_tetragon.log-default-2026.01.01-000001",'
    b'"_id":"0123456789abcdef-0000000000-0123456789abcdef","_version":1,"result":"created",'
    b'"_shards":{"total":1,"successful":1,"failed":0},"_seq_no":1,"_primary_term":1,"status":201}}'
)
_FILTERED = b'{"create":{"status":201}}'

_NUMBER = re.compile(rb"--seq=(\d{9})")
#: When a line was written, in nanoseconds of CLOCK_MONOTONIC; only `benchmarks.writer` says it.
_WRITTEN = re.compile(rb"--at=(\d{18})")


@dataclass(slots=True)
class Tally:
    """What has arrived."""

    events: int = 0
    requests: int = 0
    wire_bytes: int = 0
    first: float = 0.0
    #: A byte for each number that arrived.
    seen: bytearray = field(default_factory=bytearray)
    #: Seconds from writing to the request, of each event.
    latencies: list[float] = field(default_factory=list)

    def take(self, payload: bytes, size: int) -> int:
        """One request; returns the number of its documents."""
        now = time.monotonic()
        self.first = self.first or now
        self.requests += 1
        self.wire_bytes += size
        count = payload.count(b"\n") // 2
        self.events += count
        numbers = list(map(int, _NUMBER.findall(payload)))
        if numbers and (missing := max(numbers) + 1 - len(self.seen)) > 0:
            self.seen += bytes(missing + 100_000)
        for number in numbers:
            self.seen[number] = 1
        # A document may have the text of its line twice; the first is enough of each.
        stamps = dict.fromkeys(_WRITTEN.findall(payload))
        self.latencies += [now - int(stamp) / 1e9 for stamp in stamps]
        return count


class Receiver:
    """Counts documents."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._delay = 0.0

    def application(self) -> web.Application:
        """The HTTP application."""
        application = web.Application(client_max_size=256 * 1024 * 1024)
        application.router.add_get("/count", self._count)
        application.router.add_get("/tally", self._report)
        application.router.add_post("/reset", self._reset)
        application.router.add_post("/{path:.*_bulk}", self._bulk)
        application.router.add_route("*", "/{path:.*}", self._anything)
        return application

    async def _bulk(self, request: web.Request) -> web.Response:
        payload = await _raw_body(request)
        size = len(payload)
        if request.headers.get("Content-Encoding") == "gzip":
            payload = isal_zlib.decompress(payload, zlib.MAX_WBITS | 16)
        count = self._tally.take(payload, size)
        if self._delay:
            await asyncio.sleep(self._delay)
        # `filter_path` makes answers shorter, as in Elasticsearch.
        item = _FILTERED if "filter_path" in request.query else _FULL
        items = b",".join([item] * count)
        return web.Response(
            body=b'{"took":1,"errors":false,"items":[' + items + b"]}",
            content_type="application/json",
            headers={"X-Elastic-Product": "Elasticsearch"},
        )

    async def _count(self, request: web.Request) -> web.Response:
        return web.json_response({"events": self._tally.events, "first": self._tally.first})

    async def _report(self, request: web.Request) -> web.Response:
        tally = self._tally
        different = sum(tally.seen)
        return web.json_response(
            {
                "events": tally.events,
                "different": different,
                "requests": tally.requests,
                "wire_bytes": tally.wire_bytes,
                "latencies": tally.latencies,
            }
        )

    async def _reset(self, request: web.Request) -> web.Response:
        self._tally = Tally()
        self._delay = float(request.query.get("delay", "0"))
        return web.Response()

    async def _anything(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"version": {"number": "8.15.3"}, "tagline": "You Know, for Search"},
            headers={"X-Elastic-Product": "Elasticsearch"},
        )


async def _raw_body(request: web.Request) -> bytes:
    return b"".join([chunk async for chunk in request.content.iter_any()])


async def _serve() -> None:
    runner = web.AppRunner(Receiver().application(), access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"port": runner.addresses[0][1]}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
