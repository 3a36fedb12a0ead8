"""Requests as they come over the wire: a server of bytes, and a transport that posts to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.transport import HttpTransport
from shipper.pipeline.batch import Body
from tests.support.clock import ManualClock

LINES = [b'{"create":{}}\n', b'{"message":"' + b"x" * 2000 + b'"}\n']
BODY = Body.of(LINES, gzip=True)

_TLS_HANDSHAKE = b"\x16"
"""The first byte of what a TLS client says."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A request as it came over the wire."""

    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class WireServer:
    """Answers each request with the same bytes and closes the connection."""

    def __init__(
        self,
        answer: bytes | Callable[[Heard], bytes] | None,
        *,
        reset: bool = False,
        keep: bool = False,
    ) -> None:
        """Without an answer it stays silent until the client has enough; with `keep` connections
        are kept for further requests."""
        self.heard: list[Heard] = []
        self.answer = answer
        self.heard_one = asyncio.Event()
        self.connections = 0
        self._keep = keep
        self._reset = reset
        self._serving: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def listening(
        self, tls: ssl.SSLContext | None = None, *, address: str = "127.0.0.1", port: int = 0
    ) -> AsyncIterator[str]:
        """Serve, and give the URL."""
        server = await asyncio.start_server(self._serve, address, port, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        host = f"[{address}]" if ":" in address else address
        try:
            yield f"http{'s' if tls else ''}://{host}:{port}"
        finally:
            server.close()
            await server.wait_closed()
            await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heard = await _hear(reader)
                self.heard.append(heard)
                self.heard_one.set()
                if self.answer is None:
                    await reader.read()
                    break
                writer.write(self.answer(heard) if callable(self.answer) else self.answer)
                await writer.drain()
                if not self._keep:
                    break
        if self._reset:
            # Closing with a linger time of 0 is a reset.
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _hear(reader: asyncio.StreamReader) -> Heard:
    first = await reader.readexactly(1)
    if first == _TLS_HANDSHAKE:
        return Heard("TLS", {}, b"")
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in rest)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Heard(line, headers, body)


def response(
    status: str = "200 OK", body: bytes = b"{}", *headers: str, keep: bool = False
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if not keep:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def output(host: str, **settings: Any) -> OutputConfig:
    return OutputConfig(HostList([host]), **settings)


async def post(config: OutputConfig, body: Body = BODY) -> Answer:
    async with HttpTransport(config, ManualClock()) as transport:
        return await transport.post(config.hosts[0], body)


async def failure(config: OutputConfig, body: Body = BODY) -> TransportError:
    with pytest.raises(TransportError) as raised:
        await post(config, body)
    return raised.value
