"""The server side of Elasticsearch's `_bulk`, without a socket: parses bodies, and builds answers.

The answers are those of Elasticsearch 8 for shippers (`create` only, into a data stream), including
`filter_path`; tests compare them with a real server.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import orjson

#: The answer of `GET /`.
BANNER = {
    "name": "receiver",
    "cluster_name": "receiver",
    "cluster_uuid": "k1N4mAyCTI2vVn0KyE2QvQ",
    "version": {
        "number": "8.15.3",
        "build_flavor": "default",
        "build_type": "tar",
        "build_hash": "0000000000000000000000000000000000000000",
        "build_date": "2024-10-09T22:08:00.328917561Z",
        "build_snapshot": False,
        "lucene_version": "9.11.1",
        "minimum_wire_compatibility_version": "7.17.0",
        "minimum_index_compatibility_version": "7.0.0",
    },
    "tagline": "You Know, for Search",
}

#: The `error.type` of a status, for items and requests.
ERROR_TYPES = {
    400: "document_parsing_exception",
    401: "security_exception",
    403: "security_exception",
    404: "index_not_found_exception",
    409: "version_conflict_engine_exception",
    413: "content_too_large_exception",
    429: "es_rejected_execution_exception",
    500: "internal_server_error",
    503: "unavailable_shards_exception",
}


class BulkSyntaxError(ValueError):
    """The body is not valid for `_bulk`: the answer is 400."""

    def __init__(self, message: str, kind: str = "illegal_argument_exception") -> None:
        super().__init__(message)
        #: The `error.type`.
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Action:
    """A document to create, or one to delete, which no data stream does."""

    #: Empty if the server chooses it.
    id: str
    #: The document as it was sent.
    document: bytes
    deletes: bool = False


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The result of an action."""

    id: str
    status: int
    #: The reason of an error, and its type if it is not that of the status.
    reason: str = ""
    deletes: bool = False
    type: str = ""


def no_timestamp(document_id: str) -> ItemResult:
    """The result for a document without `@timestamp`, which data streams reject."""
    reason = "data stream timestamp field [@timestamp] is missing"
    return ItemResult(document_id, 400, reason)


def not_deleted(document_id: str) -> ItemResult:
    """The result of a deletion: data streams reject it."""
    reason = "only write ops with an op_type of create are allowed in data streams"
    return ItemResult(document_id, 400, reason, deletes=True)


def active_copies_wanted(query: Mapping[str, str]) -> int:
    """How many copies of a shard have to be active; of the server, each shard has one."""
    wanted = query.get("wait_for_active_shards", "")
    return int(wanted) if wanted.isdecimal() else 1


def too_few_copies(document_id: str, needed: int) -> ItemResult:
    """The result where `wait_for_active_shards` asks for more copies than the one that there is."""
    reason = (
        f"[{_backing_index('stream')}][0] Not enough active copies to meet shard count of "
        f"[{needed}] (have 1, needed {needed})"
    )
    return ItemResult(document_id, 503, reason)


class _Target(msgspec.Struct):
    id: str = msgspec.field(default="", name="_id")


class _ActionLine(msgspec.Struct):
    create: _Target | None = None
    delete: _Target | None = None


_decode_action = msgspec.json.Decoder(_ActionLine).decode


def parse_actions(body: bytes) -> list[Action]:
    """The actions of a body, decompressed; the last one is ignored if it has no document. Raises
    BulkSyntaxError, also if there are none."""
    if not body:
        raise BulkSyntaxError("request body is required", "parse_exception")
    if not body.endswith(b"\n"):
        raise BulkSyntaxError("The bulk request must be terminated by a newline [\\n]")
    lines = iter(body.split(b"\n")[:-1])
    actions = []
    try:
        for line in lines:
            found = _decode_action(line)
            if found.delete is not None:
                actions.append(Action(found.delete.id, b"", deletes=True))
            elif found.create is None:
                raise BulkSyntaxError("Malformed action/metadata line: neither create nor delete")
            elif (document := next(lines, None)) is not None:
                actions.append(Action(found.create.id, document))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BulkSyntaxError(f"Malformed action/metadata line: {error}") from error
    if not actions:
        raise BulkSyntaxError(
            "Validation Failed: 1: no requests added;", "action_request_validation_exception"
        )
    return actions


def answer(results: Sequence[ItemResult], index: str, filter_path: str = "") -> bytes:
    """The body of the answer with status 200, filtered as the request asked."""
    whole = {
        "errors": any(result.status >= 400 for result in results),
        "took": 1,
        "items": [
            {"delete" if result.deletes else "create": _item(result, index)} for result in results
        ],
    }
    if filter_path:
        filtered = _only(whole, [path.split(".") for path in filter_path.split(",")])
        return orjson.dumps(filtered or {})
    return orjson.dumps(whole)


def other_page(method: str, path: str) -> tuple[int, bytes]:
    """Status and body of the answer to requests other than `_bulk`.

    Every data stream and its template exist.
    """
    match method, path.strip("/").split("/"):
        case "GET" | "HEAD", [""]:
            return 200, orjson.dumps(BANNER)
        case "GET", ["_resolve", "index", pattern]:
            name = pattern.rstrip("*")
            stream = {"name": name, "backing_indices": [_backing_index(name)]}
            return 200, orjson.dumps({"indices": [], "aliases": [], "data_streams": [stream]})
        case "POST", ["_index_template", "_simulate_index", _]:
            return 200, orjson.dumps({"template": {"settings": {}, "mappings": {}, "aliases": {}}})
    return 404, failure(404, f"no handler found for uri [{path}] and method [{method}]")


def failure(status: int, reason: str, kind: str = "") -> bytes:
    """The body of an answer that rejects the whole request; `kind`: the `error.type`, if it is not
    that of the status."""
    error = {"type": kind or ERROR_TYPES.get(status, "exception"), "reason": reason}
    return orjson.dumps({"error": {"root_cause": [error], **error}, "status": status})


def _backing_index(data_stream: str) -> str:
    return f".ds-{data_stream}-000001"


def _item(result: ItemResult, index: str) -> dict[str, Any]:
    if result.status < 400:
        return {
            "_index": _backing_index(index),
            "_id": result.id,
            "_version": 1,
            "result": "created",
            "_shards": {"total": 1, "successful": 1, "failed": 0},
            "_seq_no": 0,
            "_primary_term": 1,
            "status": result.status,
        }
    return {
        "_index": _backing_index(index),
        "_id": result.id,
        "status": result.status,
        "error": {
            "type": result.type or ERROR_TYPES.get(result.status, "exception"),
            "reason": result.reason,
        },
    }


def _only(value: Any, paths: Iterable[list[str]]) -> Any:
    """The part of a value that `filter_path` selects; None if that is nothing.

    Elements of lists have the path of their list. Empty objects are omitted; that does not change
    positions as long as every item has its status.
    """
    if isinstance(value, list):
        kept = [_only(element, paths) for element in value]
        return [element for element in kept if element is not None] or None
    if not isinstance(value, dict):
        return None
    result = {}
    for key, inner in value.items():
        rests = [path[1:] for path in paths if fnmatchcase(key, path[0])]
        if [] in rests:
            result[key] = inner
        elif rests and (found := _only(inner, rests)) is not None:
            result[key] = found
    return result or None
