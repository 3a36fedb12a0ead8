"""A server that goes away leaves nothing behind, whatever stage its connections are at."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest
from aiohttp import web

from shipper.demo.serving import ServerThread
from tests.support.certificates import Authority

TURNS = range(6)
"""Of the event loop, from a client's connect to the end of its handler's first step and beyond."""


async def handle(request: web.Request) -> web.Response:
    return web.Response()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("turns", TURNS)
def test_a_connection_that_is_just_being_accepted_is_closed(turns: int, tls: bool) -> None:
    server = ServerThread(handle, tls=Authority().server() if tls else None)
    server.listen()

    async def connect_and_refuse() -> bytes:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            # In the loop itself: only here is it certain which turn it is.
            await server._refuse()
            client.setblocking(False)
            try:
                return client.recv(1)
            except ConnectionResetError:
                return b""

    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert server.call(connect_and_refuse()) == b""
        server.close()
        gc.collect()
    assert [str(each.message) for each in caught] == []
