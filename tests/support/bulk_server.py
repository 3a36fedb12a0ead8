"""A `_bulk` server on loopback that keeps what it is sent, and misbehaves when it is told to.

It runs in a thread of its own; every method may be called by the test at any time. What it is told
comes first to last: `down`, `authorization`, `max_body_bytes`, `refuse_bodies`, the faults of
`next` (one request each, in their order), those of `rates` (drawn from a seeded generator, so the
same order of requests gives the same faults), and per item `refuse_items` and `item_rates`.

    server.next(Status(503), LostAnswer())          the next two requests
    server.rates[LostAnswer()] = 0.1                a tenth of the requests
    server.item_rates[429] = 0.1                    a tenth of the items
    server.refuse_items = Items(400, lambda document: "bad" in document["message"])
    server.down(); ...; server.up()                 connection refused, then the same port again
    server.wait_for(lambda: len(server.documents) == 3)

A known `_id` is answered 409 and changes nothing, as Elasticsearch does.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import trustme
from aiohttp import web

from shipper.demo import bulk_api
from shipper.demo.audit import Audit, LineCounts
from shipper.demo.bulk_api import Action, BulkSyntaxError, ItemResult
from shipper.demo.serving import ServerThread
from tests.servers.launcher import free_port
from tests.support.closing import Closing
from tests.support.faults import (
    PATIENCE,
    CutAnswer,
    CutBefore,
    Document,
    Fault,
    Garbage,
    Gate,
    Held,
    Items,
    LostAnswer,
    Slow,
    Status,
)

NAMES = ("127.0.0.1", "localhost")
"""Whom the server's certificate is for when not told otherwise."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came, and what it was answered."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body_bytes: int
    """As sent, compressed or not."""
    ids: tuple[str, ...]
    """Of the documents of a bulk request, in their order; empty for what was refused unread."""
    status: int | None
    """None where there was no whole answer."""
    fault: Fault | None
    ended: float
    """When it was answered, by ``time.monotonic``."""


class BulkServer(Closing):
    """Serves from the start until `close`; a context manager."""

    def __init__(
        self, *, seed: int = 0, tls: bool = False, tls_names: tuple[str, ...] = NAMES
    ) -> None:
        """``tls_names``: whom the certificate is for; ``ca_pem`` is whom it is from."""
        self.documents: dict[str, Document] = {}
        """By ``_id``, in the order of their arrival."""
        self.requests: list[Request] = []
        """Bulk requests that are over, in the order of their ends."""
        self.other_requests: list[Request] = []
        """All others, such as a probe's ``GET /``."""
        self.rates: dict[Fault, float] = {}
        self.item_rates: dict[int, float] = {}
        self.refused_items: Counter[int] = Counter()
        """How many items were refused as the test had it, by status."""
        self.refuse_items: Items | None = None
        self.is_there = True
        """Whether the data stream is there, as a deletion is told."""
        self.authorization: str | None = None
        """The header that every request must carry; 401 without it."""
        self.max_body_bytes: int | None = None
        """A larger body, as sent, is refused with 413."""
        self.refuse_bodies: tuple[bytes, int] | None = None
        """Bodies that hold these bytes are answered that status, as by a firewall in between."""
        self.poison: tuple[bytes, Fault] | None = None
        """Bodies that hold these bytes meet that fault; others those of `next` and `rates`."""
        self.poisoned = 0
        """How many of them came."""
        self.witness: str | None = None
        """A line that is no numbered one: it is created, and not kept."""
        self.pages: dict[str, tuple[int, object]] = {}
        """Status and JSON (or bytes) for paths other than ``_bulk``, by ``GET /path``; else as
        Elasticsearch."""
        self.ca_pem = b""
        self._scripted: deque[Fault] = deque()
        self._rng = random.Random(seed)
        self._gates: list[Gate] = []
        self._counts = LineCounts()
        self._changed = threading.Condition()
        self._tls = tls
        # A port that no outgoing connection can be given while the server is down.
        self._server = ServerThread(
            self._handle, port=free_port(), tls=self._context(tls_names) if tls else None
        )
        self.up()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._server.port}"

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def lines_received(self) -> int:
        """How many different numbered lines are there."""
        return self._counts.received

    @property
    def losses(self) -> dict[str, Document]:
        """The documents of losses, which are no lines, by ``_id``."""
        return {key: found for key, found in list(self.documents.items()) if is_loss(found)}

    def up(self) -> None:
        """Take connections (again, on the same port)."""
        self._server.listen()

    def down(self) -> None:
        """Cut all connections, and refuse new ones."""
        self._server.refuse()

    def close(self) -> None:
        """End the server's thread; answers that are still held are never given."""
        for gate in self._gates:
            gate.open()
        self._server.close()

    def next(self, *faults: Fault) -> None:
        """Add faults for the requests to come, one each; what is left of earlier ones comes first.

        Requests that are refused for their authorization or size use none up.
        """
        with self._changed:
            self._scripted.extend(faults)

    def heal(self) -> None:
        """Forget all faults: scripted ones, rates, refused items, limits."""
        with self._changed:
            self._scripted.clear()
            self.rates.clear()
            self.item_rates.clear()
            self.refuse_items = self.authorization = self.max_body_bytes = None
            self.refuse_bodies = self.poison = None

    def wait_for(self, predicate: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Return once the predicate is true; it is looked at when a request is applied, and at its
        end.

        Raises AssertionError after ``timeout`` seconds, with what the server has by then.
        """
        with self._changed:
            happened = self._changed.wait_for(predicate, timeout)
            assert happened, f"not within {timeout:g} s: {self._summary()}"

    def wait_for_lines(self, count: int, timeout: float = PATIENCE) -> None:
        """Return once ``count`` different numbered lines are there."""
        self.wait_for(lambda: self._counts.received >= count, timeout)

    def audit(self, written: int) -> Audit:
        """Say what became of the numbered lines 0 to ``written`` - 1."""
        with self._changed:
            return self._counts.audit(written)

    def messages(self) -> list[str]:
        """Return the ``message`` of every document, in the order of their arrival."""
        with self._changed:
            return [str(document["message"]) for document in self.documents.values()]

    def add_document(self, document_id: str, message: str) -> None:
        """Store a document that no request brought."""
        document = {"@timestamp": "2026-01-01T00:00:00Z", "message": message}
        with self._changed:
            self.documents[document_id] = document
            self._counts.take(document_id, orjson.dumps(document))

    def _summary(self) -> str:
        statuses = [request.status for request in self.requests[-10:]]
        return f"{len(self.documents)} documents; the last requests were answered {statuses}"

    def _context(self, names: tuple[str, ...]) -> ssl.SSLContext:
        authority = trustme.CA()
        self.ca_pem = authority.cert_pem.bytes()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        return context

    def write_ca(self, path: Path) -> Path:
        """Write the authority's certificate to a file, and return it."""
        path.write_bytes(self.ca_pem)
        return path

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/_bulk"):
            return await self._handle_bulk(request)
        found = self.pages.get(f"{request.method} {request.path}")
        if not self._authorized(request):
            status, body = 401, bulk_api.failure(401, "unable to authenticate")
        elif found is not None:
            status, page = found
            body = page if isinstance(page, bytes) else orjson.dumps(page)
        else:
            status, body = bulk_api.other_page(request.method, request.path)
        self._log(request, self.other_requests, status)
        return _json(status, body)

    async def _handle_bulk(self, request: web.Request) -> web.StreamResponse:
        size = request.content_length or 0
        if not self._authorized(request):
            return self._refuse(request, 401, "unable to authenticate")
        if self.max_body_bytes is not None and size > self.max_body_bytes:
            return self._refuse(request, 413, f"{size} bytes are too large")
        body = await request.read()
        if self.refuse_bodies is not None and self.refuse_bodies[0] in body:
            return self._refuse(request, self.refuse_bodies[1], "blocked by policy")
        fault = self._draw(body)
        try:
            actions = bulk_api.parse_actions(body)
        except BulkSyntaxError as error:
            return self._refuse(request, 400, str(error), error.kind)
        copies = bulk_api.active_copies_wanted(request.query)
        ids = tuple(action.id for action in actions)
        match fault:
            case Status():
                self._log(request, self.requests, fault.status, ids, fault)
                headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
                refusal = bulk_api.failure(fault.status, "injected by the test")
                return _json(fault.status, refusal if fault.body is None else fault.body, headers)
            case CutBefore():
                self._log(request, self.requests, None, ids, fault)
                return _cut(request)
        with self._changed:
            results = [self._apply(action, fault, copies) for action in actions]
            # The answer may be held or slow: who waits for a document has it now.
            self._changed.notify_all()
        answer = bulk_api.answer(
            results, request.path.split("/")[1], request.query.get("filter_path", "")
        )
        match fault:
            case LostAnswer():
                self._log(request, self.requests, None, ids, fault)
                return _cut(request)
            case Garbage():
                self._log(request, self.requests, 200, ids, fault)
                return _json(200, fault.body)
            case CutAnswer(framed=False):
                self._log(request, self.requests, 200, ids, fault)
                return _json(200, answer[: len(answer) // 2])
            case CutAnswer():
                self._log(request, self.requests, None, ids, fault)
                return await _send_half(request, answer)
            case Held():
                self._gates.append(fault.gate)
                await asyncio.to_thread(fault.gate.pass_through)
            case Slow():
                await asyncio.sleep(fault.seconds)
        self._log(request, self.requests, 200, ids, fault)
        return _json(200, answer)

    def _authorized(self, request: web.Request) -> bool:
        wanted = self.authorization
        return wanted is None or request.headers.get("Authorization") == wanted

    def _draw(self, body: bytes) -> Fault | None:
        """Choose the fault of a request that could be carried out."""
        with self._changed:
            if self.poison is not None and self.poison[0] in body:
                self.poisoned += 1
                self._changed.notify_all()
                return self.poison[1]
            if self._scripted:
                return self._scripted.popleft()
            for fault, rate in self.rates.items():
                if self._rng.random() < rate:
                    return fault
            return None

    def _apply(self, action: Action, fault: Fault | None, copies: int) -> ItemResult:
        if action.deletes:
            if self.is_there:
                return bulk_api.not_deleted(action.id)
            return ItemResult(action.id, 404, "no such index", deletes=True)
        try:
            document, is_json = orjson.loads(action.document), True
        except orjson.JSONDecodeError:
            document, is_json = {}, False
        for refusal in (fault, self.refuse_items):
            if isinstance(refusal, Items) and refusal.matches(document):
                self.refused_items[refusal.status] += 1
                return ItemResult(action.id, refusal.status, refusal.reason, type=refusal.type)
        for status, rate in self.item_rates.items():
            if self._rng.random() < rate:
                self.refused_items[status] += 1
                return ItemResult(action.id, status, "injected by the test")
        if copies > 1:
            return bulk_api.too_few_copies(action.id, copies)
        if not is_json:
            return ItemResult(action.id, 400, "failed to parse")
        if "@timestamp" not in document:
            return bulk_api.no_timestamp(action.id)
        document_id = action.id or uuid.uuid4().hex
        if self.witness is not None and document.get("message") == self.witness:
            return ItemResult(document_id, 201)
        if document_id in self.documents:
            return ItemResult(document_id, 409, "version conflict, document already exists")
        self.documents[document_id] = document
        if not is_loss(document):
            self._counts.take(document_id, action.document)
        return ItemResult(document_id, 201)

    def _refuse(
        self, request: web.Request, status: int, reason: str, kind: str = ""
    ) -> web.Response:
        self._log(request, self.requests, status)
        return _json(status, bulk_api.failure(status, reason, kind))

    def _log(
        self,
        request: web.Request,
        log: list[Request],
        status: int | None,
        ids: tuple[str, ...] = (),
        fault: Fault | None = None,
    ) -> None:
        entry = Request(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
            body_bytes=request.content_length or 0,
            ids=ids,
            status=status,
            fault=fault,
            ended=time.monotonic(),
        )
        with self._changed:
            log.append(entry)
            self._changed.notify_all()


def is_loss(document: Document) -> bool:
    """Whether it is one of a loss, and no line."""
    event = document.get("event")
    return isinstance(event, dict) and event.get("action") == "log-lines-lost"


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    product = {"X-Elastic-Product": "Elasticsearch"}
    return web.Response(
        status=status,
        body=body,
        content_type="application/json",
        headers=product | (headers or {}),
    )


def _cut(request: web.Request) -> web.Response:
    """Cut the connection; what is returned has nowhere to go."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _send_half(request: web.Request, answer: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(answer)
    await response.prepare(request)
    await response.write(answer[: len(answer) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
