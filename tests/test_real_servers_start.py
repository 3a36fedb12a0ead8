"""The real servers start, restart and stop, and answer as the output's code takes for granted.

Where the two differ, or differ from what one would guess, a comment says what each one answers.
"""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.servers import SearchServer, ServerError
from tests.servers.client import (
    Answer,
    count,
    delete_data_stream,
    put_data_stream_template,
    refresh,
    request,
    search_all,
)
from tests.servers.fixtures import StartSearchServer
from tests.servers.launcher import NAMES, free_port

pytestmark = pytest.mark.real_server

TIME = "2026-01-01T00:00:00.123456789Z"
FILTER = "filter_path=errors,items.*.status,items.*.error"


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


# The nodes themselves


def test_a_node_says_its_version(search_server: SearchServer) -> None:
    expected = {"elasticsearch": "8.15.3", "opensearch": "2.19.1"}
    assert search_server.version == expected[search_server.name]


@pytest.mark.parametrize("name", NAMES)
def test_a_node_starts_again_on_its_data_and_port_with_other_settings(
    name: str, start_search_server: StartSearchServer
) -> None:
    large = create("large", message="x " * 1_500_000)
    small = {"indexing_pressure.memory.limit": "2mb"}
    first = start_search_server(name, settings=small)
    put_data_stream_template(first.url, "restart", "restart")
    assert items(bulk(first, "restart", create("kept")))[0]["status"] == 201

    # The whole request, for its size. Elasticsearch: es_rejected_execution_exception.
    refused = bulk(first, "restart", large).expect(429).json()
    assert refused["error"]["type"].endswith("rejected_execution_exception")
    assert refused["status"] == 429

    first.stop()
    assert not first.running
    with pytest.raises(ConnectionRefusedError):
        request(first.url, "GET", "/_cluster/health")

    second = start_search_server(name, directory=first.directory, port=first.port)
    assert second.url == first.url
    assert items(bulk(second, "restart", create("kept")))[0]["status"] == 409
    assert items(bulk(second, "restart", large))[0]["status"] == 201


@pytest.mark.parametrize("name", NAMES)
def test_a_node_that_does_not_start_is_an_error_with_its_output(
    name: str, start_search_server: StartSearchServer
) -> None:
    with pytest.raises(ServerError, match=r"(?s)status 1.*no\.such\.setting"):
        start_search_server(name, settings={"no.such.setting": "1"})


def test_a_node_does_not_outlive_the_process_that_started_it(
    real_server_tools: None, tmp_path: Path
) -> None:
    port = free_port()
    arguments = ["elasticsearch", "--port", str(port), "--directory", str(tmp_path)]
    command = [sys.executable, "-m", "tests.servers", *arguments]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert any(f"http://127.0.0.1:{port}" in line for line in parent.stdout)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            request(f"http://127.0.0.1:{port}", "GET", "/_cluster/health")
        except ConnectionRefusedError:
            return
        except (OSError, http.client.HTTPException):
            pass  # in the middle of its end
        time.sleep(0.05)
    pytest.fail("the node is still there")


# What the output relies on


def test_a_known_id_is_an_item_409(search_server: SearchServer, data_stream: str) -> None:
    body = create("a") + create("b")
    assert [item["status"] for item in items(bulk(search_server, data_stream, body))] == [201, 201]
    again = items(bulk(search_server, data_stream, body))
    assert [item["status"] for item in again] == [409, 409]
    assert {item["error"]["type"] for item in again} == {"version_conflict_engine_exception"}


def test_after_a_rollover_a_known_id_is_taken_again(
    search_server: SearchServer, data_stream: str
) -> None:
    # The id is unique within a backing index, not within the data stream.
    assert items(bulk(search_server, data_stream, create("a")))[0]["status"] == 201
    request(search_server.url, "POST", f"/{data_stream}/_rollover").expect(200)
    assert items(bulk(search_server, data_stream, create("a")))[0]["status"] == 201


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"time": "12:00:00000Z"}, id="bad time"),
        pytest.param({"time": "2026-01-01T00:00:00.1234567891Z"}, id="ten digits"),
        pytest.param({"time": "2026-06-30T23:59:60Z"}, id="leap second"),
        pytest.param({"time": None}, id="no time"),
        pytest.param({"log": {"offset": "abc"}}, id="bad number"),
        pytest.param({"log": "text"}, id="text for an object"),
        pytest.param({"": 1}, id="empty name"),
    ],
)
def test_a_bad_document_is_an_item_400_and_the_others_go_in(
    search_server: SearchServer, data_stream: str, document: dict[str, object]
) -> None:
    body = create("before") + create("bad", **document) + create("after")
    answer = bulk(search_server, data_stream, body, FILTER)
    assert answer.json()["errors"] is True
    assert [item["status"] for item in items(answer)] == [201, 400, 201]
    # The cause is in error.caused_by, some levels deep.
    expected = {
        "elasticsearch": "document_parsing_exception",
        "opensearch": "mapper_parsing_exception",
    }
    assert items(answer)[1]["error"]["type"] == expected[search_server.name]


def test_a_document_that_is_no_object_is_an_item_500_on_elasticsearch(
    search_server: SearchServer, data_stream: str
) -> None:
    # So an item's 5xx is not always worth another try. OpenSearch has it as the cause of a 400.
    body = create("a") + '{"create":{"_id":"b"}}\n[1]\n'
    item = items(bulk(search_server, data_stream, body))[1]
    if search_server.name == "elasticsearch":
        assert (item["status"], item["error"]["type"]) == (500, "not_x_content_exception")
    else:
        assert (item["status"], item["error"]["type"]) == (400, "mapper_parsing_exception")


def test_a_full_disk_is_an_item_429(search_server: SearchServer, data_stream: str) -> None:
    # What the flood stage of the disk watermark sets. Both: cluster_block_exception.
    settings = f"/{data_stream}/_settings"
    assert items(bulk(search_server, data_stream, create("a")))[0]["status"] == 201
    block = {"index.blocks.read_only_allow_delete": True}
    request(search_server.url, "PUT", settings, block).expect(200)
    item = items(bulk(search_server, data_stream, create("b")))[0]
    unblock = {"index.blocks.read_only_allow_delete": None}
    request(search_server.url, "PUT", settings, unblock).expect(200)
    assert (item["status"], item["error"]["type"]) == (429, "cluster_block_exception")


def test_an_index_that_is_blocked_for_writes_is_an_item_403(
    search_server: SearchServer, data_stream: str
) -> None:
    settings = f"/{data_stream}/_settings"
    assert items(bulk(search_server, data_stream, create("a")))[0]["status"] == 201
    request(search_server.url, "PUT", settings, {"index.blocks.write": True}).expect(200)
    item = items(bulk(search_server, data_stream, create("b")))[0]
    request(search_server.url, "PUT", settings, {"index.blocks.write": None}).expect(200)
    assert (item["status"], item["error"]["type"]) == (403, "cluster_block_exception")


def test_an_action_other_than_create_is_an_item_400(
    search_server: SearchServer, data_stream: str
) -> None:
    body = create("a") + create("b").replace("create", "index", 1)
    answer = bulk(search_server, data_stream, body).expect(200).json()
    assert answer["items"][1]["index"]["status"] == 400
    assert answer["items"][1]["index"]["error"]["type"] == "illegal_argument_exception"


def test_a_pipeline_that_is_not_there_is_an_item_400_for_all(
    search_server: SearchServer, data_stream: str
) -> None:
    answer = bulk(search_server, data_stream, create("a") + create("b"), "pipeline=none-such")
    assert [item["status"] for item in items(answer)] == [400, 400]
    assert items(answer)[0]["error"] == {
        "type": "illegal_argument_exception",
        "reason": "pipeline with id [none-such] does not exist",
    }


def test_filter_path_keeps_the_positions_of_the_items(
    search_server: SearchServer, data_stream: str
) -> None:
    bulk(search_server, data_stream, create("known")).expect(200)
    body = create("a") + create("known") + create("bad", time="never") + create("b")
    answer = bulk(search_server, data_stream, body, FILTER)
    assert [item["status"] for item in items(answer)] == [201, 409, 400, 201]
    assert [sorted(item) for item in items(answer)] == [
        ["status"],
        ["error", "status"],
        ["error", "status"],
        ["status"],
    ]


def test_filter_path_without_the_status_loses_the_positions(
    search_server: SearchServer, data_stream: str
) -> None:
    bulk(search_server, data_stream, create("known")).expect(200)
    body = create("a") + create("known") + create("b")
    answer = bulk(search_server, data_stream, body, "filter_path=errors,items.*.error")
    assert len(items(answer)) == 1


def test_a_gzip_body_is_accepted(search_server: SearchServer, data_stream: str) -> None:
    answer = request(
        search_server.url,
        "POST",
        f"/{data_stream}/_bulk",
        gzip.compress((create("a") + create("b")).encode()),
        headers={"Content-Encoding": "gzip"},
    )
    assert [item["status"] for item in items(answer)] == [201, 201]


def test_a_gzip_body_that_is_cut_is_a_400(search_server: SearchServer, data_stream: str) -> None:
    # Not 5xx: the damage reads as a missing newline.
    body = gzip.compress("".join(create(uuid.uuid4().hex) for _ in range(50)).encode())
    answer = request(
        search_server.url,
        "POST",
        f"/{data_stream}/_bulk",
        body[:-12],
        headers={"Content-Encoding": "gzip"},
    )
    answer.expect(400)


def test_a_body_that_is_not_gzip_has_no_answer(
    search_server: SearchServer, data_stream: str
) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        request(
            search_server.url,
            "POST",
            f"/{data_stream}/_bulk",
            b"not gzip at all",
            headers={"Content-Encoding": "gzip"},
        )


def test_a_body_without_its_last_newline_is_a_400(
    search_server: SearchServer, data_stream: str
) -> None:
    answer = bulk(search_server, data_stream, create("a")[:-1]).expect(400).json()
    assert answer["error"]["type"] == "illegal_argument_exception"
    assert "must be terminated by a newline" in answer["error"]["reason"]


def test_without_a_template_a_plain_index_comes_into_being(search_server: SearchServer) -> None:
    # Both take the documents, and the data stream can then no longer be made under that name.
    name = new_name()
    assert items(bulk(search_server, name, create("a")))[0]["status"] == 201
    found = request(search_server.url, "GET", f"/_resolve/index/{name}").expect(200).json()
    assert [index["name"] for index in found["indices"]] == [name]
    assert found["data_streams"] == []
    request(search_server.url, "DELETE", f"/{name}").expect(200)


def test_require_data_stream_without_a_template(search_server: SearchServer) -> None:
    name = new_name()
    answer = bulk(search_server, name, create("a"), "require_data_stream=true")
    if search_server.name == "elasticsearch":
        # An item 404 for all: "no such index [...] and the index creation request requires a data
        # stream, but no matching index template with data stream template was found for it".
        item = items(answer)[0]
        assert (item["status"], item["error"]["type"]) == (404, "index_not_found_exception")
    else:
        # 400 for the request: "contains unrecognized parameter: [require_data_stream]".
        error = answer.expect(400).json()["error"]
        assert error["type"] == "illegal_argument_exception"
        assert "unrecognized parameter: [require_data_stream]" in error["reason"]
    # Nothing came into being.
    found = request(search_server.url, "GET", f"/_resolve/index/{name}*").expect(200).json()
    assert found == {"indices": [], "aliases": [], "data_streams": []}


def test_require_data_stream_with_a_template(search_server: SearchServer, data_stream: str) -> None:
    # OpenSearch knows the parameter in no case.
    answer = bulk(search_server, data_stream, create("a"), "require_data_stream=true")
    if search_server.name == "elasticsearch":
        assert items(answer)[0]["status"] == 201
    else:
        answer.expect(400)


def test_require_data_stream_on_a_plain_index(elasticsearch_server: SearchServer) -> None:
    # An item 404 for all: "[require_data_stream] request flag is [true] and [...] is not a data
    # stream".
    name = new_name()
    bulk(elasticsearch_server, name, create("a")).expect(200)
    answer = bulk(elasticsearch_server, name, create("b"), "require_data_stream=true")
    request(elasticsearch_server.url, "DELETE", f"/{name}").expect(200)
    item = items(answer)[0]
    assert (item["status"], item["error"]["type"]) == (404, "resource_not_found_exception")


# What `shipper check` can ask


def test_simulate_index_tells_whether_a_template_matches(
    search_server: SearchServer, data_stream: str
) -> None:
    # Both: 200 and {} when none does. The answer does not say whether it makes a data stream.
    simulate = "/_index_template/_simulate_index"
    with_one = request(search_server.url, "POST", f"{simulate}/{data_stream}").expect(200).json()
    assert "template" in with_one
    without = request(search_server.url, "POST", f"{simulate}/{new_name()}").expect(200).json()
    assert without == {}


def test_resolve_index_tells_data_streams_from_indices(
    search_server: SearchServer, data_stream: str
) -> None:
    bulk(search_server, data_stream, create("a")).expect(200)
    path = f"/_resolve/index/{data_stream}"
    found = request(search_server.url, "GET", path).expect(200).json()
    assert [stream["name"] for stream in found["data_streams"]] == [data_stream]
    assert found["indices"] == []

    # A name that is not there is a 404 on Elasticsearch alone; with a wildcard on neither.
    path = f"/_resolve/index/{new_name()}"
    absent = request(search_server.url, "GET", path)
    assert absent.status == (404 if search_server.name == "elasticsearch" else 200)
    nothing: dict[str, list[str]] = {"indices": [], "aliases": [], "data_streams": []}
    assert request(search_server.url, "GET", f"{path}*").expect(200).json() == nothing


def test_what_is_not_there_answers_400_or_405(search_server: SearchServer) -> None:
    # This Elasticsearch lacks the modules of these endpoints. It takes the first part of a path
    # for an index name, hence its 405. Only Elasticsearch has the header, on every answer.
    root = request(search_server.url, "GET", "/")
    product = root.headers.get("x-elastic-product")
    asked = {
        path: request(search_server.url, "GET", path).status
        for path in ("/_data_stream/none-such", "/_security/_authenticate")
    }
    privileges = request(search_server.url, "POST", "/_security/user/_has_privileges", {}).status
    if search_server.name == "elasticsearch":
        assert (root.status, product) == (405, "Elasticsearch")
        assert asked == {"/_data_stream/none-such": 405, "/_security/_authenticate": 405}
    else:
        assert (root.status, product) == (200, None)
        assert root.json()["version"]["distribution"] == "opensearch"
        assert asked == {"/_data_stream/none-such": 404, "/_security/_authenticate": 400}
    assert privileges == 400


# The client of these tests


def test_search_all_returns_more_than_one_search_can(
    search_server: SearchServer, data_stream: str
) -> None:
    body = "".join(create(str(number), log={"offset": number}) for number in range(12_345))
    assert not bulk(search_server, data_stream, body).expect(200).json()["errors"]
    refresh(search_server.url, data_stream)
    hits = search_all(search_server.url, data_stream)
    assert {(hit["_id"], hit["_source"]["log"]["offset"]) for hit in hits} == {
        (str(number), number) for number in range(12_345)
    }
    assert count(search_server.url, data_stream) == len(hits)


def test_delete_data_stream_leaves_no_documents(
    search_server: SearchServer, data_stream: str
) -> None:
    bulk(search_server, data_stream, create("a")).expect(200)
    delete_data_stream(search_server.url, data_stream)
    assert count(search_server.url, data_stream) == 0
    assert items(bulk(search_server, data_stream, create("a")))[0]["status"] == 201
