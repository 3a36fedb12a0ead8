"""/metrics, /healthz, /readyz and /status over HTTP.

/healthz   200 while the event loop answers at all: for a liveness probe
/readyz    200 when lines can get through, else 503 and the reasons, a line each
/status    what is being done, as JSON
/metrics   for Prometheus

The first two are answered at once. The others take time to make, more of it with more files: they
are made one after the other, and have at most the fifth part of the event loop.
"""

import asyncio
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shipper.admin.access import Access
from shipper.admin.connections import Connections, Limits, Peer, State
from shipper.admin.descriptors import DescriptorReserve
from shipper.admin.http import JSON, Page, Request, refusal
from shipper.admin.listeners import listen, text_of
from shipper.admin.status import Status, Trouble
from shipper.clock import Clock
from shipper.config.admin import AdminConfig
from shipper.internal_errors import (
    InternalErrors,
    Where,
    cancelled_only_by_us,
    unless_cancelled_by_nobody,
)
from shipper.logs import Log
from shipper.logs.events import ADMIN_LISTEN_FAILED, ADMIN_LISTENING
from shipper.option_names import OWN_NAMES, OptionNames

#: Between two tries to listen, in seconds.
_RETRY_SECONDS = 15.0

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: After a page that took a second to make, the next one is made so many seconds later.
_REST = 4.0


class StatusSource(Protocol):
    """What the pages show."""

    def status(self) -> Status: ...

    def troubles(self) -> Sequence[Trouble]: ...


class AdminServer:
    """Serves while its `run` does."""

    def __init__(
        self,
        config: AdminConfig,
        *,
        source: StatusSource,
        metrics: Callable[[], bytes],
        clock: Clock,
        log: Log,
        errors: InternalErrors,
        names: OptionNames = OWN_NAMES,
        limits: Limits | None = None,
    ) -> None:
        """`names`: what messages call the options."""
        self._listen = config.listen
        self._names = names
        self._source = source
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._errors = errors
        self._limits = limits or Limits().within(_descriptors())
        self._access = Access(config, clock=clock, log=log, names=names)
        self._making = asyncio.Lock()
        self._rests_until = 0.0
        self._connections: Connections | None = None
        #: Where it listens, as in `admin.listen`; empty while it does not.
        self.address = ""

    async def run(self) -> None:
        """Until it is cancelled. An address that is taken stops no line from being shipped: the
        fault is logged, and the address is tried again.

        The descriptors are taken before the first wait."""
        reserve = DescriptorReserve(self._limits.descriptors)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(unless_cancelled_by_nobody(self._access.run()))
                listeners = await self._open()
                connections = self._connections = Connections(
                    self._answer,
                    limits=self._limits,
                    reserve=reserve,
                    tls=lambda: self._access.context,
                    clock=self._clock,
                    on_error=lambda error: self._errors.report(Where.ADMIN, error),
                )
                await connections.run(listeners)
        finally:
            self.address = ""
            reserve.close()

    async def _open(self) -> list[socket.socket]:
        while True:
            try:
                listeners = await listen(self._listen)
            except OSError as error:
                self._log.emit(
                    ADMIN_LISTEN_FAILED,
                    key="admin",
                    listen=self._listen,
                    error=error.strerror or str(error),
                    hint=f"set {self._names('admin.listen')} to a free address of this machine",
                )
                await self._clock.sleep(_RETRY_SECONDS)
            else:
                self.address = text_of(listeners)
                self._log.emit(ADMIN_LISTENING, listen=self.address)
                return listeners

    async def _answer(self, request: Request, peer: Peer) -> Page:
        """Every request has an answer, whatever goes wrong with the page."""
        try:
            with cancelled_only_by_us():
                return await self._page(request, peer)
        except Exception as error:
            self._errors.report(Where.ADMIN, error, page=request.path)
            return refusal(500, "internal error; see the log")

    async def _page(self, request: Request, peer: Peer) -> Page:
        match request.path:
            case "/healthz":
                return Page(b"alive\n")
            case "/readyz":
                return self._readiness(self._access.shows_details(request, is_tls=peer.is_tls))
            case "/metrics":
                make = self._metrics_page
            case "/status":
                make = self._status_page
            case _:
                return refusal(404, "not found")
        refused = self._access.refusal(request, is_tls=peer.is_tls)
        return refused or await self._make(make, peer)

    def _readiness(self, with_details: bool) -> Page:
        troubles = self._source.troubles()
        if not troubles:
            return Page(b"ready\n")
        lines = [each.details if with_details else each.kind.value for each in troubles]
        return Page("".join(f"{line}\n" for line in dict.fromkeys(lines)).encode(), 503)

    def _metrics_page(self) -> Page:
        return Page(self._metrics(), kind=_METRICS_TYPE)

    def _status_page(self) -> Page:
        return Page(msgspec.json.encode(self._source.status()), kind=JSON)

    async def _make(self, page: Callable[[], Page], peer: Peer) -> Page:
        """A page that takes time, and memory until its client has taken it."""
        peer.state = State.QUEUED
        async with self._making:
            if (pause := self._rests_until - self._clock.monotonic()) > 0:
                await self._clock.sleep(pause)
            if self._connections is not None:
                self._connections.dismiss_untaken()
            began = self._clock.monotonic()
            try:
                return page()
            finally:
                now = self._clock.monotonic()
                self._rests_until = now + _REST * (now - began)


def _descriptors() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if limit == resource.RLIM_INFINITY else limit
