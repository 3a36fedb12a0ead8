"""Asks a search server questions, in the words of the tests. Synchronous, standard library only.

Everything here works on Elasticsearch and on OpenSearch, also on the Elasticsearch of these tests,
which has no ``_data_stream`` endpoints.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TIMEOUT = 60.0
PAGE = 5_000

KEYWORD = {"type": "keyword", "ignore_above": 1024}
# match_only_text and constant_keyword, which the integration uses, are in modules that the
# Elasticsearch of these tests does not have.
TEXT = {"type": "text"}

MAPPINGS: dict[str, Any] = {
    "dynamic": True,
    "dynamic_templates": [
        {"strings_as_keyword": {"match_mapping_type": "string", "mapping": KEYWORD}}
    ],
    "properties": {
        "@timestamp": {"type": "date"},
        "message": TEXT,
        "tags": KEYWORD,
        "ecs": {"properties": {"version": KEYWORD}},
        "data_stream": {
            "properties": {"type": KEYWORD, "dataset": KEYWORD, "namespace": KEYWORD},
        },
        "event": {
            "properties": {
                "dataset": KEYWORD,
                "module": KEYWORD,
                "kind": KEYWORD,
                "action": KEYWORD,
                "created": {"type": "date"},
                "ingested": {"type": "date"},
                "original": {"type": "keyword", "index": False, "doc_values": False},
            }
        },
        "error": {"properties": {"message": TEXT}},
        "input": {"properties": {"type": KEYWORD}},
        "log": {
            "properties": {
                "offset": {"type": "long"},
                "file": {
                    "properties": {
                        "path": KEYWORD,
                        "inode": KEYWORD,
                        "device_id": KEYWORD,
                        "fingerprint": KEYWORD,
                    }
                },
            }
        },
        "agent": {
            "properties": {
                "id": KEYWORD,
                "ephemeral_id": KEYWORD,
                "name": KEYWORD,
                "type": KEYWORD,
                "version": KEYWORD,
            }
        },
        "host": {"properties": {"name": KEYWORD}},
    },
}
"""What ``put_data_stream_template`` installs when not told otherwise."""


class UnexpectedAnswerError(Exception):
    """A server refused what the test needed of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: header names in lower case, the body as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the parsed body. Raises ValueError when it is not JSON."""
        return json.loads(self.body)

    def expect(self, *statuses: int) -> Answer:
        """Return this answer. Raises UnexpectedAnswerError when its status is not a given one."""
        if self.status not in statuses:
            raise UnexpectedAnswerError(f"{self.status}: {self.body[:2000]!r}")
        return self


def request(
    url: str,
    method: str,
    path: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request on a connection of its own and return the answer, whatever its status.

    ``body``: bytes and str go as they are (str as UTF-8), anything else but None as JSON.
    Raises OSError or http.client.HTTPException when there is no answer.
    """
    address = urllib.parse.urlsplit(url)
    data = body.encode() if isinstance(body, str) else body
    if data is not None and not isinstance(data, bytes):
        data = json.dumps(data).encode()
    kind = "application/x-ndjson" if "_bulk" in path else "application/json"
    sent = ({} if data is None else {"Content-Type": kind}) | dict(headers or {})
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT)
    try:
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, received, response.read())
    finally:
        connection.close()


def put_data_stream_template(
    url: str,
    name: str,
    data_stream: str,
    mappings: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Install the index template ``name``, which makes ``data_stream`` a data stream.

    No replicas unless ``settings`` say so, so that one node makes it green. ``mappings`` is
    MAPPINGS when not given.
    """
    usual = {"index.number_of_shards": 1, "index.number_of_replicas": 0}
    template = {
        "index_patterns": [data_stream],
        "priority": 500,
        "data_stream": {},
        "template": {
            "settings": usual | (settings or {}),
            "mappings": MAPPINGS if mappings is None else mappings,
        },
    }
    request(url, "PUT", f"/_index_template/{name}", template).expect(200)


def backing_indices(url: str, data_stream: str) -> list[str]:
    """Return the indices of the data stream, oldest first; none when it does not exist."""
    answer = request(url, "GET", f"/_resolve/index/{data_stream}")
    if answer.status == 404:
        return []
    streams = answer.expect(200).json()["data_streams"]
    return [index for stream in streams for index in stream["backing_indices"]]


def refresh(url: str, index: str) -> None:
    """Make what was written so far visible to searches."""
    request(url, "POST", f"/{index}/_refresh").expect(200)


def count(url: str, index: str) -> int:
    """Return the number of documents; call ``refresh`` first. 0 when there is no such index."""
    answer = request(url, "GET", f"/{index}/_count").expect(200, 404)
    return int(answer.json()["count"]) if answer.status == 200 else 0


def search_all(url: str, index: str) -> list[dict[str, Any]]:
    """Return every hit (``_index``, ``_id``, ``_source``), in no particular order.

    Call ``refresh`` first. Scrolls, so that there may be more than the 10,000 of one search, and
    raises UnexpectedAnswerError when the hits are not as many as the server counts.
    """
    body: dict[str, Any] = {"size": PAGE, "sort": ["_doc"], "track_total_hits": True}
    page = request(url, "POST", f"/{index}/_search?scroll=1m", body).expect(200).json()
    total, hits = page["hits"]["total"]["value"], []
    while found := page["hits"]["hits"]:
        hits += found
        more = {"scroll": "1m", "scroll_id": page["_scroll_id"]}
        page = request(url, "POST", "/_search/scroll", more).expect(200).json()
    request(url, "DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]}).expect(200, 404)
    if len(hits) != total:
        raise UnexpectedAnswerError(f"{total} documents, but {len(hits)} hits")
    return hits


def delete_data_stream(url: str, data_stream: str) -> None:
    """Delete the data stream, or empty it where it cannot be deleted; none there is fine.

    The Elasticsearch of these tests has no endpoint for deleting one. There it gets a new write
    index and loses the others, with every document and every ``_id``; its template stays in use.
    """
    if not backing_indices(url, data_stream):
        return
    answer = request(url, "DELETE", f"/_data_stream/{data_stream}").expect(200, 404, 405)
    if answer.status == 405:
        request(url, "POST", f"/{data_stream}/_rollover").expect(200)
        for index in backing_indices(url, data_stream)[:-1]:
            request(url, "DELETE", f"/{index}").expect(200)
