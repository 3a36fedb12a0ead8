"""/metrics, /healthz, /readyz and /status over HTTP.

/healthz   200 while the event loop answers at all: for a liveness probe
/readyz    200 when lines can get through, else 503 and the reasons, a line each
/status    what is being done, as JSON
/metrics   for Prometheus
"""

import asyncio
from collections.abc import Callable

import msgspec
from aiohttp import web

from shipper.admin.status import Status
from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import ADMIN_LISTEN_FAILED, ADMIN_LISTENING
from shipper.option_names import OWN_NAMES, OptionNames

#: Between two tries to listen, in seconds.
_RETRY_SECONDS = 15.0

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class AdminServer:
    """Serves while its `run` does."""

    def __init__(
        self,
        listen: str,
        *,
        status: Callable[[], Status],
        metrics: Callable[[], bytes],
        clock: Clock,
        log: Log,
        names: OptionNames = OWN_NAMES,
    ) -> None:
        """`listen`: HOST:PORT; `names`: what messages call the options."""
        self._names = names
        self._listen = listen
        self._status = status
        self._metrics = metrics
        self._clock = clock
        self._log = log

    async def run(self) -> None:
        """Until it is cancelled. An address that is taken stops no line from being shipped: the
        fault is logged, and the address is tried again."""
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False)
        await runner.setup()
        host, _, port = self._listen.rpartition(":")
        try:
            while True:
                try:
                    await web.TCPSite(runner, host.strip("[]"), int(port)).start()
                    break
                except OSError as error:
                    self._log.emit(
                        ADMIN_LISTEN_FAILED,
                        key="admin",
                        listen=self._listen,
                        error=error.strerror or str(error),
                        hint=f"set {self._names('admin.listen')} to a free address of this machine",
                    )
                    await self._clock.sleep(_RETRY_SECONDS)
            self._log.emit(ADMIN_LISTENING, listen=self._listen)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/metrics", self._get_metrics)
        application.router.add_get("/healthz", self._get_health)
        application.router.add_get("/readyz", self._get_ready)
        application.router.add_get("/status", self._get_status)
        return application

    async def _get_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": _METRICS_TYPE})

    async def _get_health(self, request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _get_ready(self, request: web.Request) -> web.Response:
        status = self._status()
        if status.ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="".join(f"{reason}\n" for reason in status.reasons))

    async def _get_status(self, request: web.Request) -> web.Response:
        return web.Response(
            body=msgspec.json.encode(self._status()), content_type="application/json"
        )
