"""The embedded receiver of the demo: accepts `_bulk` requests and counts the lines.

It stores ids and answers 409 for known ones, as Elasticsearch does. It can drop answers of
processed requests on purpose: without ids a shipper would duplicate these lines.
"""

import threading
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from shipper.demo import bulk_api
from shipper.demo.audit import Audit, Lag, LineCounts
from shipper.demo.bulk_api import Action, BulkSyntaxError, ItemResult
from shipper.demo.serving import ServerThread


class EmbeddedReceiver:
    """A context manager that serves while it is open."""

    def __init__(self, lose_every: int = 0) -> None:
        """`lose_every`: one of this number of answers is dropped; 0: none."""
        self._lose_every = lose_every
        self._counts = LineCounts()
        # The audit runs in another thread than the server.
        self._lock = threading.Lock()
        self._server = ServerThread(self._handle)
        self._requests = 0
        self.answers_lost = 0
        #: Documents that were sent again and recognised by their id.
        self.recognised = 0

    def __enter__(self) -> Self:
        self._server.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def description(self) -> str:
        if not self._lose_every:
            return "an embedded receiver"
        return f"an embedded receiver that loses one answer in {self._lose_every}"

    @property
    def received(self) -> int:
        """Lines that have arrived."""
        return self._counts.received

    def audit(self, written: int) -> Audit:
        """The audit of the lines 0 to `written` - 1."""
        with self._lock:
            return self._counts.audit(written)

    def lag(self, written_at: Sequence[float]) -> Lag | None:
        with self._lock:
            return self._counts.lag(written_at)

    def notices(self) -> list[str]:
        """The effects of dropped answers and kills."""
        return [
            f"{self.answers_lost:,} answers lost; {self.recognised:,} documents came again and "
            "were known by their ids"
        ]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("/_bulk"):
            return _respond(*bulk_api.other_page(request.method, request.path))
        body = await request.read()
        try:
            actions = bulk_api.parse_actions(body)
        except BulkSyntaxError as error:
            return _respond(400, bulk_api.failure(400, str(error), error.kind))
        copies = bulk_api.active_copies_wanted(request.query)
        if copies > 1 and not any(action.deletes for action in actions):
            results = [bulk_api.too_few_copies(action.id, copies) for action in actions]
        else:
            with self._lock:
                results = [self._apply(action) for action in actions]
        self._requests += 1
        if self._lose_every and self._requests % self._lose_every == 0:
            self.answers_lost += 1
            if request.transport is not None:
                request.transport.abort()
        index = request.path.split("/")[1]
        filter_path = request.query.get("filter_path", "")
        return _respond(200, bulk_api.answer(results, index, filter_path))

    def _apply(self, action: Action) -> ItemResult:
        if action.deletes:
            return bulk_api.not_deleted(action.id)
        return self._create(action.id, action.document)

    def _create(self, document_id: str, document: bytes) -> ItemResult:
        if b'"@timestamp":' not in document:
            return bulk_api.no_timestamp(document_id)
        document_id = document_id or uuid.uuid4().hex
        if self._counts.take(document_id, document):
            return ItemResult(document_id, 201)
        self.recognised += 1
        return ItemResult(document_id, 409, "version conflict, document already exists")


def _respond(status: int, body: bytes) -> web.Response:
    return web.Response(
        status=status,
        body=body,
        content_type="application/json",
        headers={"X-Elastic-Product": "Elasticsearch"},
    )
