"""The receiver of benchmarks: accepts everything, counts it, and answers as Elasticsearch does.

It runs as a separate process, so that its CPU time is not measured.

    python -m benchmarks.receiver        prints the port it listens on
    GET /count     {"events": documents so far, "first": CLOCK_MONOTONIC of the first request, or 0}
    POST /reset    forgets them
"""

import asyncio
import json
import sys
import time
import zlib

from aiohttp import web
from isal import isal_zlib

_FULL = (
    b'{"create":{"_index":".ds-logs-cilium_tetragon.log-default-2026.01.01-000001",'
    b'"_id":"0123456789abcdef-0000000000-0123456789abcdef","_version":1,"result":"created",'
    b'"_shards":{"total":1,"successful":1,"failed":0},"_seq_no":1,"_primary_term":1,"status":201}}'
)
_FILTERED = b'{"create":{"status":201}}'


class Receiver:
    """Counts documents."""

    def __init__(self) -> None:
        self._events = 0
        self._first = 0.0

    def application(self) -> web.Application:
        """The HTTP application."""
        application = web.Application(client_max_size=256 * 1024 * 1024)
        application.router.add_get("/count", self._count)
        application.router.add_post("/reset", self._reset)
        application.router.add_post("/{path:.*_bulk}", self._bulk)
        application.router.add_route("*", "/{path:.*}", self._anything)
        return application

    async def _bulk(self, request: web.Request) -> web.Response:
        payload = await _raw_body(request)
        if request.headers.get("Content-Encoding") == "gzip":
            payload = isal_zlib.decompress(payload, zlib.MAX_WBITS | 16)
        count = payload.count(b"\n") // 2
        self._first = self._first or time.monotonic()
        self._events += count
        # `filter_path` makes answers shorter, as in Elasticsearch.
        item = _FILTERED if "filter_path" in request.query else _FULL
        items = b",".join([item] * count)
        return web.Response(
            body=b'{"took":1,"errors":false,"items":[' + items + b"]}",
            content_type="application/json",
            headers={"X-Elastic-Product": "Elasticsearch"},
        )

    async def _count(self, request: web.Request) -> web.Response:
        return web.json_response({"events": self._events, "first": self._first})

    async def _reset(self, request: web.Request) -> web.Response:
        self._events, self._first = 0, 0.0
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
