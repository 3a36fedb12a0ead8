"""What stands before a cluster: a server of TLS that asks who is there, and hands requests on.

with TlsFront(certificates("127.0.0.1"), node=node.url, authorization="Basic …") as front:
    ...                       # front.url is https://127.0.0.1:PORT
    front.authorization = …   # from the next request on
    front.context = …         # from the next connection on
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
import threading
import urllib.parse
from dataclasses import dataclass

from tests.support.closing import Closing
from tests.support.listener import Listener

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came through TLS."""

    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    status: int
    """What it was answered."""


class TlsFront(Closing):
    """Serves from the start until `close`; a context manager."""

    def __init__(
        self, context: ssl.SSLContext, *, node: str = "", authorization: str | None = None
    ) -> None:
        """Without a ``node`` it answers 200 and `{}` itself."""
        self.context = context
        self.authorization = authorization
        """The header that every request must carry; 401 without it."""
        self.received: list[Received] = []
        self.server_names: list[str | None] = []
        """What the clients asked for (SNI)."""
        self.handshakes = 0
        """How many were completed."""
        self._node = node
        self._lock = threading.Lock()
        self._listener = Listener(self._serve, self._settings)

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def cut(self) -> None:
        """Cut all connections; new ones are taken."""
        self._listener.cut_all()

    def _settings(self) -> ssl.SSLContext:
        context = self.context
        context.sni_callback = lambda _, name, __: self.server_names.append(name)
        return context

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.handshakes += 1
        with connection.makefile("rb") as reader:
            while self._answer(reader, connection):
                pass

    def _answer(self, reader: io.BufferedReader, connection: socket.socket) -> bool:
        """Answer one request; False when the client has no more."""
        line = reader.readline(65536).decode().rstrip("\r\n")
        if not line:
            return False
        headers = {}
        while header := reader.readline(65536).decode().rstrip("\r\n"):
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", "0")))
        wanted = self.authorization
        if wanted is not None and headers.get("authorization") != wanted:
            error = {"type": "security_exception", "reason": "unable to authenticate"}
            status, given = 401, json.dumps({"error": error, "status": 401}).encode()
            more = {"Content-Type": "application/json"}
        elif self._node:
            status, given, more = self._forward(line, headers, body)
        else:
            status, given, more = 200, b"{}", {}
        with self._lock:
            self.received.append(Received(line, headers, body, status))
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(given)}"]
        lines += [f"{name}: {value}" for name, value in more.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + given)
        return True

    def _forward(
        self, line: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        method, path, _ = line.split(" ")
        node = urllib.parse.urlsplit(self._node)
        upstream = http.client.HTTPConnection(node.hostname or "", node.port, timeout=_PATIENCE)
        try:
            wanted = ("content-type", "content-encoding", "accept")
            kept = {name: value for name, value in headers.items() if name in wanted}
            upstream.request(method, path, body or None, kept)
            answer = upstream.getresponse()
            passed = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() in ("content-type", "x-elastic-product", "retry-after")
            }
            return answer.status, answer.read(), passed
        finally:
            upstream.close()
