"""Requests to `_bulk` with which nothing is stored, on the way and with the headers of those of
`run`: what stands between us and the host shows itself (a login page, a firewall, a limit of the
size, a proxy that removes headers), and whether the host would take a document.

1. An action without its document, as large as the bodies of `run`, shows the path, the method, the
   credentials, the encoding and the size.
2. One document, with `wait_for_active_shards`, shows privileges, the pipeline, and blocks of the
   index: no shard has so many active copies, which is seen last.

The second would create an index or data stream that is not there; who sends it looks first, and
may do so with `is_there`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from shipper.check.answers import Failure, Items, parse, reason
from shipper.check.findings import Status
from shipper.config.outputs import Compression, OutputConfig
from shipper.option_names import option
from shipper.output.elasticsearch.exchange import Answer
from shipper.output.elasticsearch.said import is_html
from shipper.output.elasticsearch.transport import COPIES_THAT_NO_SHARD_HAS, HttpTransport
from shipper.pipeline.batch import Body

#: What gzip makes of the documents of Tetragon, at the most: a body of `run` has
#: `output.bulk.max_bytes` before compression.
_RATIO = 8

#: In bytes, as sent: a larger one would test the patience of the network.
_LARGEST = 8 * 1024**2

#: `error.type` of a body without documents, in Elasticsearch and OpenSearch alike.
_NO_DOCUMENTS = "action_request_validation_exception"

#: Item 400: of a request whose pipeline does not exist.
_NO_PIPELINE = "pipeline with id ["

_GRANT = (
    "grant create_doc, or in OpenSearch indices:data/write/bulk on the cluster and "
    "indices:data/write/bulk* and indices:data/write/index on it; a write block of the index has "
    "the same effect"
)

_BY_STATUS = {
    401: f"check the credentials, and the credentials of a gateway ({option('output.headers')})",
    403: "something in front of the cluster (a gateway, a firewall, an access policy), or the "
    "cluster itself, refuses POST to `_bulk`: allow it for these credentials",
    404: "check the path of the URL: nothing answers `_bulk` there",
    405: "something in front of the cluster allows no POST: allow it for `_bulk`",
    429: "check the load of the cluster, and the limits of gateways in front of it",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What a request showed."""

    status: Status
    detail: str = ""
    what_to_do: str = ""
    #: Whether other requests make sense.
    goes_on: bool = True
    #: Whether the host has the `_bulk` of Elasticsearch or OpenSearch.
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether an index or data stream is there."""

    #: None: nobody knows.
    is_there: bool | None
    #: What is wrong, if we may send no `_bulk` at all.
    refused: Tried | None = None


async def try_body(
    transport: HttpTransport, host: str, output: OutputConfig, name: Callable[[str], str]
) -> Tried:
    """Sends a body without a document. `name`: what an option is called. Raises TransportError."""
    large = _without_document(output, _size(output))
    answer = await transport.post(host, large)
    if _is_taken(answer):
        form = "gzip" if large.gzip else "not compressed"
        return _taken(answer, f"{len(large.payload):,} bytes, {form}")
    if answer.status == 413:
        small = await transport.post(host, _without_document(output, 0))
        if _is_taken(small):
            size = f"a body of {len(large.payload):,} bytes is refused: HTTP 413{reason(answer)}"
            detail = f"{size}; shipper halves such bodies, and sends each twice"
            lower = name("output.bulk.max_bytes")
            advice = f"raise the limit in front of the cluster, or lower {lower}"
            return Tried(Status.WARNING, detail, advice, is_known=True)
    if large.gzip:
        plain = await transport.post(host, _plain(0))
        if _is_taken(plain):
            detail = (
                f"HTTP {answer.status}{reason(answer)}: a compressed body is refused, and the same "
                "is accepted without compression: something on the way removes Content-Encoding"
            )
            advice = f"set {name('output.compression')} to {_off(name)}, or repair the proxy"
            return Tried(Status.FAILED, detail, advice, is_known=True)
    return _refused(answer)


async def try_document(
    transport: HttpTransport, host: str, output: OutputConfig, index: str, document: bytes
) -> Tried:
    """Sends a document to `index`, an index or data stream that is there; where that takes it, it
    is one that is refused for what it is. Raises TransportError."""
    # As `run` does, which names the index where not all events have the same.
    target = {} if output.target else {"_index": index}
    action = msgspec.json.encode({"create": target})
    body = Body.of([b"%b\n" % action, b"%b\n" % document], gzip=False)
    answer = await transport.post(host, body, dry_run=True)
    status, refusal = parse(answer, Items).only
    refusal = answer.redact(refusal)
    if status in (401, 403) or answer.status in (401, 403):
        detail = (
            f"status {status}: {refusal}" if refusal else f"HTTP {answer.status}{reason(answer)}"
        )
        return Tried(Status.FAILED, detail, _GRANT)
    if status == 400 and refusal.startswith(_NO_PIPELINE):
        return Tried(Status.FAILED, refusal, "create the pipeline, or correct its name")
    if status == 400 or (status == 503 and f"[{COPIES_THAT_NO_SHARD_HAS}]" in refusal):
        return Tried(Status.OK)
    said = f", status {status}: {refusal}" if status else reason(answer)
    return Tried(Status.UNKNOWN, f"HTTP {answer.status}{said}")


async def is_there(
    transport: HttpTransport, host: str, output: OutputConfig, index: str
) -> Presence:
    """Whether an index or data stream is there, of which we may not ask in another way. Raises
    TransportError.

    The deletion of a document creates nothing: where there is nothing, the answer is 404. A data
    stream takes none, and in an index there is none of that id.
    """
    target = {"_id": f"shipper-check-{os.urandom(8).hex()}"}
    if not output.target:
        target["_index"] = index
    body = Body.of([msgspec.json.encode({"delete": target}) + b"\n"], gzip=False)
    answer = await transport.post(host, body, dry_run=True)
    if answer.status in (401, 403):
        detail = f"HTTP {answer.status}{reason(answer)}"
        return Presence(None, Tried(Status.FAILED, detail, _GRANT))
    status, _ = parse(answer, Items).only
    if status == 404:
        return Presence(False)
    # 503: no shard has so many copies; 403: it is there, and nothing may be deleted.
    return Presence(True if status in (400, 403, 503) else None)


def _size(output: OutputConfig) -> int:
    """How large a body of `run` may be, as sent."""
    ratio = _RATIO if output.compression is Compression.GZIP else 1
    return min(output.bulk.max_bytes // ratio, _LARGEST)


def _without_document(output: OutputConfig, size: int) -> Body:
    """An action without a document, of about `size` bytes as sent."""
    if output.compression is not Compression.GZIP:
        return _plain(size)
    # A hexadecimal digit takes half a byte.
    return Body.of([_action(2 * size)], gzip=True)


def _plain(size: int) -> Body:
    return Body.of([_action(size)], gzip=False)


def _action(size: int) -> bytes:
    return b'{"create":{"_id":"%b"}}\n' % os.urandom(size // 2 + 8).hex().encode()


def _is_taken(answer: Answer) -> bool:
    """Whether `_bulk` has read the body, or what is not Elasticsearch's says so."""
    if answer.status == 400:
        return parse(answer, Failure).kind == _NO_DOCUMENTS
    return answer.status == 200 and parse(answer, Items).errors is not None


def _taken(answer: Answer, detail: str) -> Tried:
    return Tried(Status.OK, detail, is_known=answer.status == 400)


def _refused(answer: Answer) -> Tried:
    detail = f"HTTP {answer.status}{reason(answer)}"
    if 300 <= answer.status < 400:
        return Tried(Status.FAILED, detail, "use the URL that it redirects to", goes_on=False)
    if answer.status == 413:
        advice = "raise the limit of the size of requests in front of the cluster"
        return Tried(Status.FAILED, detail, advice)
    if advice := _BY_STATUS.get(answer.status, ""):
        return Tried(Status.FAILED, detail, advice, goes_on=False)
    if is_html(answer.body) or answer.status < 400:
        detail = f"HTTP {answer.status}, not an answer of `_bulk`{reason(answer)}"
        advice = "check the URL: a login page, a proxy or another server answers"
        return Tried(Status.FAILED, detail, advice, goes_on=False)
    if answer.status == 400 and parse(answer, Failure).kind:
        # The words of another version, perhaps.
        return Tried(Status.UNKNOWN, detail)
    return Tried(Status.FAILED, detail, "check the cluster, and what is in front of it")


def _off(name: Callable[[str], str]) -> str:
    """How compression is turned off where its option has that name."""
    return "0" if name("output.compression").endswith("compression_level") else "none"
