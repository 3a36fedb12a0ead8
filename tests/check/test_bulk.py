"""What `shipper check` sends to `_bulk`: a body that stores nothing, on the way of those of `run`;
what stands in that way is named with what to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shipper.check.command import check
from shipper.check.findings import Finding, Status
from shipper.clock import SystemClock
from shipper.config.admin import AdminConfig
from shipper.config.filebeat.translate import NAMES
from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.config.outputs import Compression, OutputConfig
from shipper.config.units import HostList, Secret
from tests.support.bulk_server import BulkServer
from tests.support.faults import Fault, Garbage, Items
from tests.support.faults import Status as HttpStatus
from tests.support.logdir import LogDirectory
from tests.support.reverse_proxy import Page, ReverseProxy

STREAM = "logs-cilium_tetragon.log-default"
RESOLVE = f"GET /_resolve/index/{STREAM}*"
NOTHING_THERE: dict[str, object] = {"indices": [], "aliases": [], "data_streams": []}


@pytest.fixture
def config(bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path) -> Config:
    return Config(
        name="node-1",
        inputs=(InputConfig("tetragon", (log_directory.glob,)),),
        data_dir=str(tmp_path / "data"),
        output=OutputConfig(HostList([bulk_server.url])),
        admin=AdminConfig(enabled=False),
    )


def with_output(config: Config, **settings: Any) -> Config:
    return msgspec.structs.replace(
        config, output=msgspec.structs.replace(config.output, **settings)
    )


def of_host(config: Config) -> dict[str, Finding]:
    """What was found of the host, by what was looked at."""
    found = asyncio.run(check(config, SystemClock()))
    return {each.check: each for each in found if each.subject == config.output.hosts[0]}


def behind(config: Config, proxy: ReverseProxy) -> Config:
    return with_output(config, hosts=HostList([proxy.url]))


@pytest.mark.parametrize("compression", list(Compression))
def test_a_body_is_sent_as_run_sends_it_and_stores_nothing(
    config: Config, bulk_server: BulkServer, compression: Compression
) -> None:
    config = with_output(config, compression=compression, pipeline="mine")
    found = of_host(config)["bulk request"]
    assert found.status is Status.OK
    large, item = bulk_server.requests
    assert found.detail.startswith(f"{large.body_bytes:,} bytes, ")
    most = config.output.bulk.max_bytes
    is_gzip = compression is Compression.GZIP
    assert large.headers.get("content-encoding") == ("gzip" if is_gzip else None)
    assert large.body_bytes == pytest.approx(most / 8 if is_gzip else most, rel=0.2)
    for request in (large, item):
        assert request.path == f"/{STREAM}/_bulk"
        assert request.query["pipeline"] == "mine"
        assert request.query["require_data_stream"] == "true"
        assert "items.*.status" in request.query["filter_path"]
    # No document at all; one that no shard takes.
    assert (large.ids, large.status) == ((), 400)
    assert (len(item.ids), item.status) == (1, 200)
    assert item.query["wait_for_active_shards"] == "1000000"
    assert bulk_server.documents == {}


def test_where_nothing_is_there_yet_no_document_is_sent(
    config: Config, bulk_server: BulkServer
) -> None:
    # It would make the data stream.
    bulk_server.pages[RESOLVE] = (200, NOTHING_THERE)
    assert of_host(config)["bulk request"].status is Status.OK
    assert [request.ids for request in bulk_server.requests] == [()]


def test_a_document_that_a_pipeline_would_mend_is_not_stored_either(
    config: Config, bulk_server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orjson.loads", lambda text: {"@timestamp": "2026-01-01T00:00:00Z"})
    assert of_host(config)["write permission"].status is Status.OK
    assert bulk_server.documents == {}


def test_a_proxy_that_takes_content_encoding_away_is_found(config: Config) -> None:
    with ReverseProxy(config.output.hosts[0], drop=frozenset({"content-encoding"})) as proxy:
        config = behind(config, proxy)
        found = of_host(config)["bulk request"]
        assert found.status is Status.FAILED
        assert "something on the way removes Content-Encoding" in found.detail
        assert found.what_to_do == "set output.compression to none, or repair the proxy"
        in_filebeat = msgspec.structs.replace(config, option_names=NAMES)
        found = of_host(in_filebeat)["bulk request"]
        assert "set output.elasticsearch.compression_level to 0" in found.what_to_do
        found = of_host(with_output(config, compression=Compression.NONE))["bulk request"]
        assert found.status is Status.OK


def test_a_limit_of_the_size_is_a_warning_where_smaller_bodies_pass(config: Config) -> None:
    with ReverseProxy(config.output.hosts[0], limit=100_000) as proxy:
        found = of_host(behind(config, proxy))
        assert found["bulk request"].status is Status.WARNING
        assert "bytes is refused: HTTP 413: 413 Request Entity Too Large" in (
            found["bulk request"].detail
        )
        assert "lower output.bulk.max_bytes" in found["bulk request"].what_to_do
        assert found["write permission"].status is Status.OK
    with ReverseProxy(config.output.hosts[0], limit=1) as proxy:
        found = of_host(behind(config, proxy))
        assert found["bulk request"].status is Status.FAILED


@pytest.mark.parametrize(
    ("page", "detail", "advice"),
    [
        (
            Page(200, b"<html><h1>Sign in</h1></html>"),
            "HTTP 200, not an answer of `_bulk`: Sign in",
            "a login page",
        ),
        (
            Page(200, b'{"errors":[]}'),
            'HTTP 200, not an answer of `_bulk`: {"errors":[]}',
            "another server",
        ),
        (Page(204), "HTTP 204, not an answer of `_bulk`", "another server"),
        (
            Page(301, headers={"Location": "https://es.example/x"}),
            "HTTP 301: it redirects to https://es.example/x",
            "use the URL that it redirects to",
        ),
        (
            Page(401, b"no"),
            "HTTP 401: no",
            "check the credentials, and the credentials of a gateway (output.headers)",
        ),
        (
            Page(
                403,
                b'{"Message":"User: anonymous is not authorized to perform: es:ESHttpPost"}',
            ),
            "HTTP 403: User: anonymous is not authorized to perform: es:ESHttpPost",
            "refuses POST to `_bulk`: allow it",
        ),
        (
            Page(404, b"default backend - 404"),
            "HTTP 404: default backend - 404",
            "check the path of the URL",
        ),
        (Page(405, b""), "HTTP 405", "allow it for `_bulk`"),
        (
            Page(429, b"slow down"),
            "HTTP 429: slow down",
            "the limits of gateways",
        ),
        (
            Page(406, b"<html>Request rejected. Support ID: 123</html>"),
            "HTTP 406, not an answer of `_bulk`: Request rejected. Support ID: 123",
            "check the URL",
        ),
        (Page(502, b"Bad Gateway"), "HTTP 502: Bad Gateway", "what is in front of it"),
        (Page(400, b"malformed"), "HTTP 400: malformed", "what is in front of it"),
    ],
)
def test_what_answers_in_place_of_the_cluster_is_named_with_what_to_do(
    config: Config, page: Page, detail: str, advice: str
) -> None:
    with ReverseProxy(config.output.hosts[0], pages={"/_bulk": page}) as proxy:
        found = of_host(behind(config, proxy))
    assert found["reachable"].status is Status.OK
    assert (found["bulk request"].status, found["bulk request"].detail) == (
        Status.FAILED,
        detail,
    )
    assert advice in found["bulk request"].what_to_do
    # Nothing is said of rights by who is not the cluster.
    assert found.get("write permission", found["bulk request"]).status is not Status.OK


def test_a_400_in_other_words_is_unknown_and_no_failure(config: Config) -> None:
    page = Page(400, b'{"error":{"type":"parse_exception","reason":"an empty request"}}')
    with ReverseProxy(config.output.hosts[0], pages={"/_bulk": page}) as proxy:
        found = of_host(behind(config, proxy))
    assert found["bulk request"].status is Status.UNKNOWN
    assert found["write permission"].status is Status.UNKNOWN


def test_to_another_product_no_document_is_sent(config: Config, bulk_server: BulkServer) -> None:
    # Who takes a body without documents for a right one may not know `wait_for_active_shards`.
    page = Page(200, b'{"took":0,"errors":false,"items":[]}')
    with ReverseProxy(config.output.hosts[0], pages={"/_bulk": page}) as proxy:
        found = of_host(behind(config, proxy))
    assert found["bulk request"].status is Status.OK
    assert found["write permission"].detail == "it is not tried where `_bulk` is not known"
    assert bulk_server.requests == []


@pytest.mark.parametrize(
    ("fault", "status", "detail"),
    [
        (
            Items(400, reason="pipeline with id [mine] does not exist"),
            Status.FAILED,
            "pipeline with id [mine] does not exist",
        ),
        (
            Items(403, reason="index [x] blocked by: [FORBIDDEN/8/index write (api)];"),
            Status.FAILED,
            "status 403: index [x] blocked by: [FORBIDDEN/8/index write (api)];",
        ),
        (
            Items(429, reason="flood-stage watermark"),
            Status.UNKNOWN,
            "HTTP 200, status 429: flood-stage watermark",
        ),
        (
            Items(503, reason="[x][0] primary shard is not active"),
            Status.UNKNOWN,
            "HTTP 200, status 503: [x][0] primary shard is not active",
        ),
        (HttpStatus(403), Status.FAILED, "HTTP 403: security_exception: injected by the test"),
        (HttpStatus(503), Status.UNKNOWN, "HTTP 503: unavailable_shards_exception: injected by"),
        (Garbage(), Status.UNKNOWN, "HTTP 200: Bad Gateway"),
        (Garbage(b'{"items":null}'), Status.UNKNOWN, "HTTP 200"),
    ],
)
def test_what_becomes_of_the_document_says_whether_one_would_be_stored(
    config: Config, bulk_server: BulkServer, fault: Fault, status: Status, detail: str
) -> None:
    # The first one is for the body without documents.
    bulk_server.next(Items(599, lambda document: False), fault)
    found = of_host(config)["write permission"]
    assert found.status is status
    assert found.detail.startswith(detail)


def test_a_secret_that_is_repeated_is_not_shown(config: Config) -> None:
    page = Page(403, b"who is se:cret-key?")
    with ReverseProxy(config.output.hosts[0], pages={"/_bulk": page}) as proxy:
        found = of_host(with_output(behind(config, proxy), api_key=Secret("se:cret-key")))
    assert found["bulk request"].detail == "HTTP 403: who is [secret]?"


DENIED = {"error": {"type": "security_exception", "reason": "no permissions"}}


@pytest.fixture
def sees_nothing(bulk_server: BulkServer) -> None:
    """We may write at the most: as with the security of OpenSearch."""
    bulk_server.pages |= {
        "GET /": (403, DENIED),
        RESOLVE: (403, DENIED),
        f"POST /_index_template/_simulate_index/{STREAM}": (403, DENIED),
        "GET /_index_template": (403, DENIED),
        "POST /_security/user/_has_privileges": (405, DENIED),
    }


@pytest.mark.usefixtures("sees_nothing")
def test_who_may_only_write_is_told_whether_that_works(
    config: Config, bulk_server: BulkServer
) -> None:
    found = of_host(config)
    assert (found["data stream"].status, found["write permission"].status) == (
        Status.OK,
        Status.OK,
    )
    bulk_server.refuse_items = Items(403, reason="no permissions for [indices:data/write/index]")
    refused = of_host(config)["write permission"]
    assert (refused.status, refused.detail) == (
        Status.FAILED,
        "status 403: no permissions for [indices:data/write/index]",
    )
    assert "indices:data/write/bulk" in refused.what_to_do
    assert bulk_server.documents == {}


@pytest.mark.usefixtures("sees_nothing")
def test_where_nothing_is_there_or_nobody_says_no_document_is_sent(
    config: Config, bulk_server: BulkServer
) -> None:
    bulk_server.is_there = False
    found = of_host(config)
    assert "data stream" not in found
    assert found["write permission"].detail.startswith("unknown until the first event")
    # An action without a document, and a deletion.
    assert [len(request.ids) for request in bulk_server.requests] == [0, 1]
    assert all(request.ids[0].startswith("shipper-check-") for request in bulk_server.requests[1:])


@pytest.mark.usefixtures("sees_nothing")
def test_who_may_not_even_send_bulk_requests_is_told_so(
    config: Config, bulk_server: BulkServer
) -> None:
    # The first one is for the body without documents.
    bulk_server.next(Items(599, lambda document: False), HttpStatus(403))
    found = of_host(config)["write permission"]
    assert found.status is Status.FAILED
    assert found.detail == "HTTP 403: security_exception: injected by the test"


@pytest.mark.usefixtures("sees_nothing")
def test_the_same_of_a_plain_index(config: Config, bulk_server: BulkServer) -> None:
    bulk_server.pages["GET /_resolve/index/tetragon*"] = (403, DENIED)
    found = of_host(with_output(config, index="tetragon"))
    assert found["index"].detail == "tetragon"
    assert found["write permission"].status is Status.OK
    assert bulk_server.documents == {}
