"""Connections to the hosts, in generations: the connections of a generation have the same TLS
settings, and a limited lifetime.

    current -> retired -> closed
       |          |
       |          +- its last request has finished
       +- TLS files changed, it is too old, or an answer was not that to its request: the next
          request starts a new one

So a renewed certificate is used without a restart and without interrupting requests, and names are
resolved again regularly: new nodes behind a name get connections.
"""

import asyncio
import contextlib
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from shipper.clock import Clock
from shipper.errors import ConfigError
from shipper.logs import Log
from shipper.logs.events import TLS_FILE_HANGS, TLS_RELOAD_FAILED, TLS_RELOADED
from shipper.offload import HangsError, TimedCalls
from shipper.output.elasticsearch.authorization import MOUNT_HANGS
from shipper.output.elasticsearch.resolver import RoundRobinResolver, system_resolver
from shipper.output.elasticsearch.tls import Tls

#: Lifetime of a generation, in seconds.
GENERATION_SECONDS = 300.0

# Less than the idle timeout of proxies and load balancers (60 s and more).
_KEEPALIVE_SECONDS = 30.0


class _Connector(aiohttp.TCPConnector):
    """Uses no connection again on which a host said something that nobody asked for, such as an
    answer twice, or a 408 before it closes: that would count as the answer to the next request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seen: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> Connection:
        """As its base class."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or protocol not in self._seen or not protocol.should_close:
                break
            connection.close()
        if protocol is not None:
            self._seen.add(protocol)
        return connection


class Generation:
    """Connections with the same settings."""

    def __init__(
        self, session: aiohttp.ClientSession, context: ssl.SSLContext | None, created_at: float
    ) -> None:
        self.session = session
        self.context = context
        self.created_at = created_at
        self.requests = 0
        #: Per host: one check of its chain at a time; hosts whose CA is trusted.
        self.chain_locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.trusted_hosts: set[str] = set()


class Connections:
    """The current generation, and retired ones with requests in flight."""

    def __init__(
        self,
        *,
        tls: Tls | None,
        limit: int,
        timeout: aiohttp.ClientTimeout,
        calls: TimedCalls,
        clock: Clock,
        resolver: AbstractResolver | None,
        log: Log | None,
    ) -> None:
        """`limit`: concurrent connections of a generation; `tls`: None if no host uses TLS;
        `calls`: who reads its files."""
        self._tls = tls
        self._limit = limit
        self._timeout = timeout
        self._calls = calls
        self._clock = clock
        self._given_resolver = resolver
        self._log = log
        self._resolver: RoundRobinResolver | None = None
        self._current: Generation | None = None
        self._alive: set[Generation] = set()
        #: Whether the next request begins a new generation.
        self._is_over = False
        #: One request at a time looks for changed files, and begins a generation.
        self._renewing = asyncio.Lock()

    def open(self) -> None:
        """Creates the first generation, without connections."""
        self._resolver = RoundRobinResolver(self._given_resolver or system_resolver())
        self._begin()

    def retire(self) -> None:
        """Makes the next request begin a new generation."""
        self._is_over = True

    async def close(self) -> None:
        """Closes all connections."""
        self._current = None
        for generation in list(self._alive):
            await self._end(generation)
        if self._resolver is not None:
            await self._resolver.close()

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[Generation]:
        """The generation for a request; it stays open until the request has finished."""
        generation = await self._renew()
        generation.requests += 1
        try:
            await self._end_idle()
            yield generation
        finally:
            generation.requests -= 1
            await self._end_idle()

    async def _renew(self) -> Generation:
        """The current generation, or a new one if that is due."""
        async with self._renewing:
            await self._refresh_tls()
            current = self._current
            if current is None:
                raise RuntimeError("the transport is used outside of its context")
            if self._tls is not None and self._tls.context is not current.context:
                return self._begin()
            is_old = self._clock.monotonic() - current.created_at > GENERATION_SECONDS
            if is_old or self._is_over:
                return self._begin()
            return current

    async def _refresh_tls(self) -> None:
        """Reads changed TLS files. What cannot be read, or not in time, changes nothing."""
        if self._tls is None or not self._tls.files:
            return
        try:
            changed = await self._calls("tls", self._tls.refresh)
        except ConfigError as error:
            if self._log is not None:
                self._log.emit(TLS_RELOAD_FAILED, error=str(error))
            return
        except HangsError as error:
            if self._log is not None:
                files = ", ".join(self._tls.files)
                self._log.emit(
                    TLS_FILE_HANGS, key=files, path=files, error=str(error), hint=MOUNT_HANGS
                )
            return
        if changed and self._log is not None:
            self._log.emit(TLS_RELOADED, path=changed[0], files=len(changed))

    def _begin(self) -> Generation:
        context = self._tls.context if self._tls is not None else None
        connector = _Connector(
            limit=self._limit,
            ssl=context or True,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            # New connections are rare; each resolves the name, so that no stale address is used.
            use_dns_cache=False,
            resolver=self._resolver,
        )
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=self._timeout
        )
        self._is_over = False
        self._current = Generation(session, context, self._clock.monotonic())
        self._alive.add(self._current)
        return self._current

    async def _end_idle(self) -> None:
        for generation in list(self._alive):
            if generation is not self._current and not generation.requests:
                await self._end(generation)

    async def _end(self, generation: Generation) -> None:
        self._alive.discard(generation)
        await generation.session.close()
