"""Servers of blocking sockets in threads: unlike asyncio's, their TLS side says with an alert why
it ends a handshake, as real servers do.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from tests.support.closing import Closing
from tests.support.faults import PATIENCE


class Listener(Closing):
    """Takes connections on loopback, each in a thread of its own; a context manager."""

    def __init__(
        self,
        serve: Callable[[socket.socket], None],
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        """``serve`` gets a connection, after its handshake where ``tls`` has settings for it; what
        it raises (OSError, ValueError) ends it, no more."""
        self._serve = serve
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._lock = threading.Lock()
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections, and cut those that are there."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut_all()
        self._thread.join(PATIENCE)

    def cut_all(self) -> None:
        """Cut the connections that are there, and take others."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            self.cut(connection)

    @staticmethod
    def cut(connection: socket.socket) -> None:
        """End a connection that a thread may be waiting on."""
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        threads = []
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                break
            with self._lock:
                if self._closed:
                    connection.close()
                    break
                self._connections.add(connection)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(PATIENCE)

    def _run(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError, ValueError):
                if context := self._tls():
                    connection = self._wrap(connection, context)
                self._serve(connection)
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)

    def _wrap(self, plain: socket.socket, context: ssl.SSLContext) -> socket.socket:
        wrapped = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._connections.discard(plain)
            self._connections.add(wrapped)
        try:
            wrapped.do_handshake()
        except OSError:
            with self._lock:
                self._connections.discard(wrapped)
            _end_after_alert(wrapped)
            raise
        return wrapped


def _end_after_alert(wrapped: ssl.SSLSocket) -> None:
    """Close when the client has had the alert: with something unread it would get a reset, which
    overtakes it."""
    with socket.socket(fileno=wrapped.detach()) as plain, contextlib.suppress(OSError):
        plain.settimeout(PATIENCE)
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(65536):
            pass
