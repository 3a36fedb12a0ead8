"""The real servers answer `_bulk`, and what `shipper check` asks, as the shipper takes for granted.

Where the two differ, or differ from what one would guess, a comment says what each one answers.
"""

from __future__ import annotations

import gzip
import http.client
import uuid

import pytest

from tests.servers import SearchServer
from tests.servers.bulk import FILTER, bulk, create, items, new_name
from tests.servers.client import request

pytestmark = pytest.mark.real_server


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
