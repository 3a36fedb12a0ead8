"""Bulk requests in the words of the tests: `create` makes actions, `bulk` sends them."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.servers import SearchServer
from tests.servers.client import Answer, request

TIME = "2026-01-01T00:00:00.123456789Z"
"""The @timestamp of documents that are given none."""

FILTER = (
    "filter_path=errors,items.*.status,items.*.failure_store,"
    "items.*.error.type,items.*.error.reason"
)
"""The query that leaves out of an answer what the shipper does not look at."""


def create(identifier: str, **document: object) -> str:
    """Return the two lines of a create action; ``time`` replaces @timestamp."""
    source = {"@timestamp": document.pop("time", TIME)} | document
    action = json.dumps({"create": {"_id": identifier}})
    return f"{action}\n{json.dumps(source)}\n"


def bulk(server: SearchServer, data_stream: str, body: str, query: str = "") -> Answer:
    """Return what a bulk request to the data stream is answered."""
    return request(server.url, "POST", f"/{data_stream}/_bulk?{query}", body)


def items(answer: Answer) -> list[dict[str, Any]]:
    """Return the results of the actions, in their order."""
    return [item["create"] for item in answer.expect(200).json()["items"]]


def new_name() -> str:
    """Return the name of a data stream that nobody has."""
    return f"logs-cilium_tetragon.log-{uuid.uuid4().hex[:12]}"
