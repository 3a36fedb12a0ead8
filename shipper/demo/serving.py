"""An HTTP server of aiohttp in a thread of its own, for code that is not asynchronous itself."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

_T = TypeVar("_T")

#: A bulk request may be this large when it is decompressed; bytes.
_MAX_BODY = 1 << 30

# How long to wait for what the thread is asked to do, in seconds.
_PATIENCE = 30.0

# How long requests that are under way may take when the server goes away, in seconds. To aiohttp 0
# means no limit: it would wait for ever for a connection that was made a moment before.
_GRACE = 2.0


class ServerThread:
    """Serves one handler on a port of the loopback interface; can stop listening and come back."""

    def __init__(
        self,
        handler: Any,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`handler` takes every request (`web.Request`) and returns a `web.StreamResponse`.

        Port 0 is one that the system chooses; a later `listen` takes the same again.
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
        """Takes connections. Raises OSError if the port is taken."""
        self.call(self._listen())

    def refuse(self) -> None:
        """Cuts all connections and refuses new ones."""
        self.call(self._refuse())

    def close(self) -> None:
        """Ends the thread; what is asked of it is left unanswered."""
        self.refuse()
        self.call(_end_all_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Runs a coroutine in the thread and returns what it does."""
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
    """Ends what aiohttp knows nothing of: connections in the middle of being accepted."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await _cut_what_is_left()


async def _cut_what_is_left() -> None:
    """Cuts connections that aiohttp does not know of, or knows no more."""
    # One that was accepted as the server went away is known to no task. A TLS connection whose
    # client went away in the handshake waits for its end of the shutdown: aiohttp has forgotten it,
    # and asyncio has no public list.
    for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    # A transport that is closed says so in the loop's next turn, and the one around it (TLS) then.
    await _turns(3)


async def _turns(count: int) -> None:
    """Lets the loop do what is due now, and what that makes due, so many times."""
    for _ in range(count):
        await asyncio.sleep(0)
