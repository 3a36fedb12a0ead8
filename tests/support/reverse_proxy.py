"""A reverse proxy in front of a server. It does what such proxies are known to do: takes a header
away, limits the size of a body, answers in the place of the server."""

from __future__ import annotations

import http.client
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.closing import Closing

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered in the place of the server."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class ReverseProxy(Closing):
    """Serves from the start until `close`; a context manager."""

    def __init__(
        self,
        server: str,
        *,
        drop: frozenset[str] = frozenset(),
        limit: int | None = None,
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        """``server``: the URL behind it; ``drop``: headers, in lower case, that it takes away;
        ``limit``: a larger body is refused with 413; ``pages``: answers of its own, by the end of
        the path."""
        address = urllib.parse.urlsplit(server)
        answers = dict(pages or {})

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urllib.parse.urlsplit(self.path).path
                page = next((answers[end] for end in answers if path.endswith(end)), None)
                if page is None and limit is not None and len(body) > limit:
                    page = Page(413, b"<html>413 Request Entity Too Large</html>")
                self.answer(page or self.passed_on(body))

            do_POST = do_GET  # noqa: N815

            def passed_on(self, body: bytes) -> Page:
                kept = {k: v for k, v in self.headers.items() if k.lower() not in drop}
                connection = http.client.HTTPConnection(
                    address.hostname or "", address.port, timeout=_PATIENCE
                )
                try:
                    connection.request(self.command, self.path, body, kept)
                    answer = connection.getresponse()
                    # The length is that of what was read.
                    left = {"content-length", "transfer-encoding", "connection"}
                    headers = {k: v for k, v in answer.getheaders() if k.lower() not in left}
                    return Page(answer.status, answer.read(), headers)
                finally:
                    connection.close()

            def answer(self, page: Page) -> None:
                self.send_response(page.status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)

            def log_message(self, *arguments: object) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
