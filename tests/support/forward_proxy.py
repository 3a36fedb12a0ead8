"""A forward proxy: tunnels (CONNECT) and plain requests, with a password if it is told so."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import urllib.parse

from tests.support.closing import Closing
from tests.support.listener import Listener

_PATIENCE = 60.0


class ForwardProxy(Closing):
    """Serves from the start until `close`; a context manager."""

    def __init__(
        self,
        *,
        authorization: str | None = None,
        status: int | None = None,
        tls: ssl.SSLContext | None = None,
        to: int | None = None,
    ) -> None:
        """``status``: what every request is answered, in place of a way to the host. ``to`` is the
        port of loopback where every way leads, whatever host is asked for."""
        self.authorization = authorization
        """The Proxy-Authorization that every request must carry; 407 without it."""
        self.heads: list[str] = []
        """The first line and headers of each request, as they came."""
        self._status = status
        self._tls = tls
        self._to = to
        self._listener = Listener(self._serve, lambda: tls)

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._listener.port}"

    def close(self) -> None:
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            more = client.recv(65536)
            if not more:
                return
            received += more
        head, _, rest = received.partition(b"\r\n\r\n")
        self.heads.append(head.decode())
        method, target, *_ = head.decode().split(" ")
        wanted = self.authorization
        if wanted is not None and f"proxy-authorization: {wanted}" not in _lower(head):
            self._refuse(client, 407)
        elif self._status is not None:
            self._refuse(client, self._status)
        elif method == "CONNECT":
            self._tunnel(client, target, b"")
        else:
            url = urllib.parse.urlsplit(target)
            path = target[len(f"{url.scheme}://{url.netloc}") :]
            line = head.replace(target.encode(), path.encode(), 1)
            self._tunnel(client, url.netloc, line + b"\r\n\r\n" + rest)

    def _refuse(self, client: socket.socket, status: int) -> None:
        client.sendall(
            f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )

    def _tunnel(self, client: socket.socket, target: str, first: bytes) -> None:
        host, _, port = target.rpartition(":")
        address = ("127.0.0.1", self._to) if self._to else (host.strip("[]"), int(port))
        with socket.create_connection(address, _PATIENCE) as upstream:
            if first:
                upstream.sendall(first)
            else:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(upstream, client), daemon=True)
            back.start()
            _copy(client, upstream)
            back.join(_PATIENCE)


def _lower(head: bytes) -> str:
    """The head with the names of headers in small letters, and their values as they are."""
    lines = head.decode().split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    return "\n".join(f"{name.lower()}:{value}" for name, _, value in pairs)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes, until either side has enough."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for side in (source, target):
        Listener.cut(side)
