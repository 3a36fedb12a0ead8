"""An aiohttp server in a separate thread, for synchronous code."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

_T = TypeVar("_T")

#: Maximum size of a decompressed bulk request, in bytes.
_MAX_BODY = 1 << 30

# Timeout of calls in the thread, in seconds.
_PATIENCE = 30.0

# Seconds that running requests may take on shutdown. 0 means no limit to aiohttp: it would wait for
# ever for a connection that has just been accepted.
_GRACE = 2.0


class ServerThread:
    """Serves a handler on a loopback port; can stop listening and start again."""

    def __init__(
        self,
        handler: Any,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`handler` gets every request (`web.Request`) and returns a `web.StreamResponse`.

        Port 0: the system chooses one; a later `listen` uses the same port.
        """
        self._handler = handler
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._socket: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self._thread.start()
        self.port = port

    def listen(self) -> None:
        """Accepts connections. Raises OSError if the port is in use."""
        self.call(self._listen())

    def refuse(self) -> None:
        """Closes all connections and refuses new ones."""
        self.call(self._refuse())

    def close(self) -> None:
        """Ends the thread; running requests get no answer."""
        self.refuse()
        self.call(_end_all_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Runs a coroutine in the thread and returns its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        application = web.Application(client_max_size=_MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._handler)
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=_GRACE
        )
        await self._runner.setup()
        self._socket = socket.create_server(("127.0.0.1", self.port))
        site = web.SockSite(self._runner, self._socket, ssl_context=self._tls)
        await site.start()
        self.port = self._socket.getsockname()[1]

    async def _refuse(self) -> None:
        if self._socket is not None:
            # asyncio accepts in one turn of the loop and makes the transport in the next; the task
            # of aiohttp begins in the fourth. If the server closes before the second, the transport
            # is never closed; before the fourth, aiohttp waits for that task for the whole grace.
            asyncio.get_running_loop().remove_reader(self._socket)
            await _turns(4)
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = self._socket = None
        await _cut_what_is_left()


async def _end_all_others() -> None:
    """Ends tasks that aiohttp does not know: connections that are being accepted."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await _cut_what_is_left()


async def _cut_what_is_left() -> None:
    """Closes connections that aiohttp does not know, or no longer knows."""
    # A connection that was accepted during the shutdown has no task. A TLS connection whose client
    # left during the handshake waits for the TLS shutdown: aiohttp has dropped it, and asyncio has
    # no public list.
    for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    # A transport reports its close in the next turn of the loop, the TLS transport one turn later.
    await _turns(3)


async def _turns(count: int) -> None:
    """Lets the event loop run this number of turns."""
    for _ in range(count):
        await asyncio.sleep(0)
