"""The real servers answer `_bulk`, and what `shipper check` asks, as the shipper takes for granted.

Where the two differ, or differ from what one would guess, a comment says what each one answers.
"""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from tests.servers import SearchServer, start
from tests.servers.bulk import FILTER, bulk, create, items, new_name
from tests.servers.client import MAPPINGS, backing_indices, request
from tests.servers.fixtures import on_elasticsearch, on_opensearch
from tests.servers.launcher import NAMES
from tests.servers.stream import Stream, new_stream

pytestmark = pytest.mark.real_server


class MakePipeline(Protocol):
    """Makes an ingest pipeline that is there until the test ends."""

    def __call__(self, processor: dict[str, Any]) -> str:
        """Return the name of the pipeline, whose only processor that is."""


@pytest.fixture
def opensearch_pipeline(search_server: SearchServer) -> Iterator[MakePipeline]:
    """Make pipelines of OpenSearch."""
    made: list[str] = []

    def make(processor: dict[str, Any]) -> str:
        made.append(f"/_ingest/pipeline/{uuid.uuid4().hex}")
        pipeline = {"processors": [processor]}
        request(search_server.url, "PUT", made[-1], pipeline).expect(200)
        return made[-1].rpartition("/")[2]

    yield make
    for path in made:
        request(search_server.url, "DELETE", path).expect(200)


def change_cluster(server: SearchServer, settings: dict[str, object]) -> None:
    """Change settings of the cluster; None puts one back to its default."""
    request(server.url, "PUT", "/_cluster/settings", {"persistent": settings}).expect(200)


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


@on_elasticsearch
def test_require_data_stream_on_a_plain_index(search_server: SearchServer) -> None:
    # An item 404 for all: "[require_data_stream] request flag is [true] and [...] is not a data
    # stream".
    name = new_name()
    bulk(search_server, name, create("a")).expect(200)
    answer = bulk(search_server, name, create("b"), "require_data_stream=true")
    request(search_server.url, "DELETE", f"/{name}").expect(200)
    item = items(answer)[0]
    assert (item["status"], item["error"]["type"]) == (404, "resource_not_found_exception")


# One event is at fault: its item is refused, and the others go in


LIMITS = {
    "index.mapping.total_fields.limit": 100,
    "index.mapping.nested_objects.limit": 2,
}


@pytest.mark.parametrize(
    ("document", "elasticsearch", "opensearch"),
    [
        pytest.param(
            {f"field_{number}": 1 for number in range(200)},
            "document_parsing_exception",
            "illegal_argument_exception",
            id="too many fields",
        ),
        pytest.param(
            {"deep": json.loads('{"a":' * 25 + "1" + "}" * 25)},
            "document_parsing_exception",
            "mapper_parsing_exception",
            id="too deep",
        ),
        pytest.param(
            {"a..b": 1}, "document_parsing_exception", "mapper_parsing_exception", id="two dots"
        ),
        pytest.param(
            {"_id": "x"},
            "document_parsing_exception",
            "mapper_parsing_exception",
            id="_id",
        ),
        pytest.param(
            {"nested": [{"n": 1}] * 3},
            "document_parsing_exception",
            "mapper_parsing_exception",
            id="too many nested objects",
        ),
        pytest.param(
            {"number": 10**30},
            "document_parsing_exception",
            "mapper_parsing_exception",
            id="a number that is too large",
        ),
        pytest.param(
            {"exact": "x" * 40_000},
            "document_parsing_exception",
            "illegal_argument_exception",
            id="a term that is too long",
        ),
    ],
)
def test_a_document_that_breaks_a_limit_is_an_item_400_and_the_others_go_in(
    search_server: SearchServer,
    document: dict[str, object],
    elasticsearch: str,
    opensearch: str,
) -> None:
    own = {"nested": {"type": "nested"}, "exact": {"type": "keyword"}}
    mappings = {**MAPPINGS, "properties": {**MAPPINGS["properties"], **own}}
    stream = new_stream(search_server, mappings, LIMITS)
    body = create("before") + create("bad", **document) + create("after")
    answer = bulk(search_server, stream.name, body, FILTER)
    stream.delete()
    assert [item["status"] for item in items(answer)] == [201, 400, 201]
    expected = {"elasticsearch": elasticsearch, "opensearch": opensearch}
    assert items(answer)[1]["error"]["type"] == expected[search_server.name]


def test_a_field_that_is_a_text_in_one_event_and_an_object_in_the_next_is_an_item_400(
    search_server: SearchServer, data_stream: str
) -> None:
    # Labels of pods: `app`, and `app.kubernetes.io/name`.
    body = create("a", labels={"app": "x"}) + create("b", labels={"app.kubernetes.io/name": "x"})
    first, second = items(bulk(search_server, data_stream, body))
    assert (first["status"], second["status"]) == (201, 400)


def test_a_field_that_a_strict_mapping_does_not_know_is_an_item_400(
    search_server: SearchServer,
) -> None:
    stream = new_stream(search_server, {**MAPPINGS, "dynamic": "strict"})
    answer = bulk(search_server, stream.name, create("bad", unknown=1) + create("good"))
    stream.delete()
    bad, good = items(answer)
    assert (bad["status"], good["status"]) == (400, 201)
    assert bad["error"]["type"] == "strict_dynamic_mapping_exception"


def test_a_new_field_under_a_block_of_metadata_is_an_item_403(
    search_server: SearchServer, stream: Stream
) -> None:
    # The others go in: of all blocks the only one that some events pass.
    bulk(search_server, stream.name, create("first")).expect(200)
    stream.change_settings({"index.blocks.metadata": True})
    new, old = items(bulk(search_server, stream.name, create("new", field=1) + create("old")))
    stream.change_settings({"index.blocks.metadata": None})
    assert (new["status"], old["status"]) == (403, 201)
    assert new["error"]["type"] == "cluster_block_exception"


def test_an_id_of_more_than_512_bytes_is_a_400_for_the_request(
    search_server: SearchServer, data_stream: str
) -> None:
    # Not for the item: the good one beside it is not taken.
    answer = bulk(search_server, data_stream, create("x" * 513) + create("good")).expect(400)
    error = answer.json()["error"]
    assert error["type"] == "action_request_validation_exception"
    assert "must be no longer than 512 bytes" in error["reason"]
    assert items(bulk(search_server, data_stream, create("good")))[0]["status"] == 201


# The pipeline (OpenSearch alone: this Elasticsearch has no processors)


@on_opensearch
@pytest.mark.parametrize(
    ("processor", "status", "kind"),
    [
        pytest.param({"fail": {"message": "no"}}, 500, "fail_processor_exception", id="fail"),
        pytest.param({"script": {"source": "ctx.x.y = 1"}}, 400, "script_exception", id="script"),
        pytest.param(
            {"rename": {"field": "none", "target_field": "x"}},
            400,
            "illegal_argument_exception",
            id="rename",
        ),
        pytest.param(
            {"remove": {"field": "@timestamp"}}, 400, "mapper_parsing_exception", id="no @timestamp"
        ),
        pytest.param(
            {"set": {"field": "_index", "value": "UPPER"}},
            400,
            "invalid_index_name_exception",
            id="bad index",
        ),
    ],
)
def test_a_processor_that_fails_is_an_error_of_its_item(
    search_server: SearchServer,
    opensearch_pipeline: MakePipeline,
    processor: dict[str, dict[str, object]],
    status: int,
    kind: str,
) -> None:
    # `fail` is a 500 that no time heals.
    stream = new_stream(search_server)
    only = {name: {**how, "if": "ctx.bad == true"} for name, how in processor.items()}
    pipeline = opensearch_pipeline(only)
    body = create("bad", bad=True) + create("good")
    bad, good = items(bulk(search_server, stream.name, body, f"pipeline={pipeline}"))
    stream.delete()
    assert (bad["status"], good["status"]) == (status, 201)
    assert bad["error"]["type"] == kind


@on_opensearch
def test_a_pipeline_that_calls_one_that_is_not_there_is_an_item_500_for_all(
    search_server: SearchServer, opensearch_pipeline: MakePipeline
) -> None:
    stream = new_stream(search_server)
    pipeline = opensearch_pipeline({"pipeline": {"name": "none-such"}})
    answer = bulk(search_server, stream.name, create("a"), f"pipeline={pipeline}")
    assert items(answer)[0]["status"] == 500
    assert items(answer)[0]["error"] == {
        "type": "illegal_state_exception",
        "reason": "Pipeline processor configured for non-existent pipeline [none-such]",
    }


@on_opensearch
def test_what_a_pipeline_drops_is_a_200_and_no_document(
    search_server: SearchServer, opensearch_pipeline: MakePipeline
) -> None:
    stream = new_stream(search_server)
    pipeline = opensearch_pipeline({"drop": {"if": "ctx.bad == true"}})
    body = create("bad", bad=True) + create("good")
    answer = bulk(search_server, stream.name, body, f"pipeline={pipeline}")
    dropped, good = items(answer)
    assert answer.json()["errors"] is False
    assert (dropped["status"], dropped["result"], good["status"]) == (200, "noop", 201)
    assert [hit["_id"] for hit in stream.hits()] == ["good"]
    stream.delete()


@on_opensearch
def test_a_pipeline_that_sets_the_id_makes_a_409_of_another_event(
    search_server: SearchServer, opensearch_pipeline: MakePipeline
) -> None:
    # So a 409 proves that the event is there as long as no pipeline does that.
    stream = new_stream(search_server)
    pipeline = opensearch_pipeline({"set": {"field": "_id", "value": "same"}})
    answer = bulk(search_server, stream.name, create("a") + create("b"), f"pipeline={pipeline}")
    assert [item["status"] for item in items(answer)] == [201, 409]
    assert [hit["_id"] for hit in stream.hits()] == ["same"]
    stream.delete()


@pytest.mark.parametrize("which", ["default_pipeline", "final_pipeline"])
def test_a_pipeline_of_the_index_that_is_not_there_is_an_item_400_for_all(
    search_server: SearchServer, which: str
) -> None:
    stream = new_stream(search_server, settings={f"index.{which}": "none-such"})
    answer = bulk(search_server, stream.name, create("a") + create("b"))
    assert [item["status"] for item in items(answer)] == [400, 400]
    assert items(answer)[0]["error"] == {
        "type": "illegal_argument_exception",
        "reason": "pipeline with id [none-such] does not exist",
    }


# The cluster is at fault: all items are refused, many with the 400 that a bad event has


def test_a_closed_index_is_an_item_400_for_all(search_server: SearchServer) -> None:
    # Of a data stream only Elasticsearch lets one close the write index.
    name = new_name()
    bulk(search_server, name, create("a")).expect(200)
    request(search_server.url, "POST", f"/{name}/_close").expect(200)
    item = items(bulk(search_server, name, create("b")))[0]
    request(search_server.url, "DELETE", f"/{name}").expect(200)
    assert (item["status"], item["error"]["type"]) == (400, "index_closed_exception")


@on_elasticsearch
def test_a_closed_write_index_is_an_item_400_for_all(
    search_server: SearchServer,
) -> None:
    stream = new_stream(search_server)
    bulk(search_server, stream.name, create("a")).expect(200)
    [index] = backing_indices(search_server.url, stream.name)
    request(search_server.url, "POST", f"/{index}/_close").expect(200)
    item = items(bulk(search_server, stream.name, create("b")))[0]
    request(search_server.url, "POST", f"/{index}/_open").expect(200)
    stream.delete()
    assert (item["status"], item["error"]["type"]) == (400, "index_closed_exception")


def test_an_alias_without_a_write_index_is_an_item_400_for_all(
    search_server: SearchServer,
) -> None:
    alias = new_name()
    for number in (1, 2):
        path = f"/{alias}-{number}"
        request(search_server.url, "PUT", path, {"aliases": {alias: {}}}).expect(200)
    item = items(bulk(search_server, alias, create("a")))[0]
    for number in (1, 2):
        request(search_server.url, "DELETE", f"/{alias}-{number}").expect(200)
    assert (item["status"], item["error"]["type"]) == (400, "illegal_argument_exception")
    assert item["error"]["reason"].startswith(f"no write index is defined for alias [{alias}]")


def test_a_template_that_makes_no_index_is_an_item_400_for_all(
    search_server: SearchServer,
) -> None:
    stream = new_stream(search_server, settings={"index.sort.field": "none"})
    item = items(bulk(search_server, stream.name, create("a")))[0]
    assert (item["status"], item["error"]["type"]) == (400, "illegal_argument_exception")
    assert "sort field" in item["error"]["reason"]


def test_too_few_active_shards_are_an_item_503_for_all(
    search_server: SearchServer, stream: Stream
) -> None:
    # After `timeout`, a minute by default: it is the server that waits.
    bulk(search_server, stream.name, create("a")).expect(200)
    query = "wait_for_active_shards=2&timeout=10ms"
    item = items(bulk(search_server, stream.name, create("b"), query))[0]
    assert (item["status"], item["error"]["type"]) == (503, "unavailable_shards_exception")


@on_elasticsearch
def test_a_data_stream_that_makes_ids_itself_refuses_ours(
    search_server: SearchServer,
) -> None:
    # `index.mode: logsdb` takes them.
    dimension = {"type": "keyword", "time_series_dimension": True}
    series = {"@timestamp": {"type": "date"}, "host": {"properties": {"name": dimension}}}
    stream = new_stream(
        search_server,
        {"properties": series},
        {"index.mode": "time_series", "index.routing_path": ["host.name"]},
    )
    now = datetime.now(UTC).isoformat()
    answer = bulk(search_server, stream.name, create("a", time=now, host={"name": "h"}))
    item = items(answer)[0]
    assert (item["status"], item["error"]["type"]) == (400, "document_parsing_exception")
    assert "_id must be unset or set to" in item["error"]["reason"]

    logs = new_stream(search_server, MAPPINGS, {"index.mode": "logsdb"})
    answer = bulk(search_server, logs.name, create("a") + create("a"))
    assert [item["status"] for item in items(answer)] == [201, 409]


def test_a_template_without_data_stream_makes_a_plain_index(search_server: SearchServer) -> None:
    name = new_name()
    template = {"index_patterns": [name], "priority": 500, "template": {}}
    request(search_server.url, "PUT", f"/_index_template/{name}", template).expect(200)
    assert items(bulk(search_server, name, create("a")))[0]["status"] == 201
    assert backing_indices(search_server.url, name) == []
    request(search_server.url, "DELETE", f"/{name}").expect(200)
    answer = bulk(search_server, name, create("a"), "require_data_stream=true")
    if search_server.name == "elasticsearch":
        item = items(answer)[0]
        assert (item["status"], item["error"]["type"]) == (404, "index_not_found_exception")
    else:
        answer.expect(400)


def test_an_index_that_may_not_be_made_is_an_item_404(search_server: SearchServer) -> None:
    # OpenSearch refuses a data stream too, although its template is there.
    stream = new_stream(search_server)
    change_cluster(search_server, {"action.auto_create_index": "false"})
    plain = items(bulk(search_server, new_name(), create("a")))[0]
    with_template = items(bulk(search_server, stream.name, create("a")))[0]
    change_cluster(search_server, {"action.auto_create_index": None})
    assert (plain["status"], plain["error"]["type"]) == (404, "index_not_found_exception")
    assert with_template["status"] == (201 if search_server.name == "elasticsearch" else 404)


def test_a_cluster_with_all_the_shards_it_may_have_is_an_item_400_for_all(
    search_server: SearchServer,
) -> None:
    stream = new_stream(search_server)
    change_cluster(search_server, {"cluster.max_shards_per_node": 1})
    # One that is there already, so that the next is too many.
    answer = bulk(search_server, stream.name, create("a") + create("b"))
    if not answer.json()["errors"]:
        request(search_server.url, "POST", f"/{stream.name}/_rollover").expect(400)
        stream = new_stream(search_server)
        answer = bulk(search_server, stream.name, create("a") + create("b"))
    change_cluster(search_server, {"cluster.max_shards_per_node": None})
    assert [item["status"] for item in items(answer)] == [400, 400]
    error = items(answer)[0]["error"]
    assert error["type"] == "validation_exception"
    assert "this action would add [1]" in error["reason"]


@pytest.mark.parametrize("block", ["read_only", "read_only_allow_delete"])
def test_a_cluster_that_is_read_only_is_a_403_for_the_request(
    search_server: SearchServer, data_stream: str, block: str
) -> None:
    # The status of bad credentials, but cluster_block_exception where those are
    # security_exception.
    bulk(search_server, data_stream, create("a")).expect(200)
    change_cluster(search_server, {f"cluster.blocks.{block}": True})
    answer = bulk(search_server, data_stream, create("b"))
    change_cluster(search_server, {f"cluster.blocks.{block}": None})
    assert answer.expect(403).json()["error"]["type"] == "cluster_block_exception"


# The request is at fault


def test_a_query_that_is_not_known_is_a_400(search_server: SearchServer, data_stream: str) -> None:
    error = bulk(search_server, data_stream, create("a"), "none=1").expect(400).json()["error"]
    assert error["type"] == "illegal_argument_exception"
    assert "unrecognized parameter: [none]" in error["reason"]


@pytest.mark.parametrize("kind", ["text/plain", "application/xml"])
def test_a_content_type_that_is_not_known_is_a_406(
    search_server: SearchServer, data_stream: str, kind: str
) -> None:
    headers = {"Content-Type": kind}
    path = f"/{data_stream}/_bulk"
    answer = request(search_server.url, "POST", path, create("a"), headers=headers)
    # A text, not an object as usual.
    expected = f"Content-Type header [{kind}] is not supported"
    assert answer.expect(406).json()["error"] == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("", "request body is required", id="nothing"),
        pytest.param("\n", "no requests added", id="an empty line"),
        pytest.param("[1]\n{}\n", "expected START_OBJECT but found [START_ARRAY]", id="an array"),
        pytest.param('{"make":{}}\n{}\n', "but found [make]", id="no such action"),
        pytest.param('{"create":{"x":1}}\n{}\n', "unknown parameter [x]", id="no such parameter"),
        pytest.param("hello\n", "Unrecognized token 'hello'", id="a text"),
    ],
)
def test_a_body_that_is_no_bulk_request_is_a_400(
    search_server: SearchServer, data_stream: str, body: str, reason: str
) -> None:
    answer = bulk(search_server, data_stream, body).expect(400)
    assert reason in answer.json()["error"]["reason"]


def test_an_empty_line_between_actions_is_passed_over(
    search_server: SearchServer, data_stream: str
) -> None:
    answer = bulk(search_server, data_stream, create("a") + "\n" + create("b"))
    assert [item["status"] for item in items(answer)] == [201, 201]


def test_an_empty_line_for_a_document_is_an_item_400(
    search_server: SearchServer, data_stream: str
) -> None:
    body = '{"create":{"_id":"a"}}\n\n' + create("b")
    answer = bulk(search_server, data_stream, body)
    assert [item["status"] for item in items(answer)] == [400, 201]


def test_a_request_line_of_more_than_4096_bytes_is_a_400(
    search_server: SearchServer, data_stream: str
) -> None:
    answer = bulk(search_server, data_stream, create("a"), f"pipeline={'x' * 5000}").expect(400)
    assert answer.json()["error"]["type"] == "too_long_http_line_exception"


def test_a_body_whose_checksum_is_wrong_has_no_answer(
    search_server: SearchServer, data_stream: str
) -> None:
    body = gzip.compress(create("a").encode())[:-8] + bytes(8)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        request(
            search_server.url,
            "POST",
            f"/{data_stream}/_bulk",
            body,
            headers={"Content-Encoding": "gzip"},
        )


# The node has no room


SMALL = {
    "http.max_content_length": "100kb",
    "indexing_pressure.memory.limit": "50kb",
    "network.breaker.inflight_requests.limit": "140kb",
    "node.processors": "1",
    "thread_pool.write.queue_size": "1",
}
"""A node that has no room for much."""


@pytest.fixture(scope="module", params=NAMES)
def small_server(
    request: pytest.FixtureRequest,
    real_server_tools: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SearchServer]:
    """A node with the settings of SMALL."""
    with start(request.param, directory=tmp_path_factory.mktemp("small"), settings=SMALL) as server:
        yield server


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_a_body_over_max_content_length_is_a_413_without_a_body(
    small_server: SearchServer, compressed: bool
) -> None:
    # What counts is the body after decompression.
    body = create("a", message="x " * 100_000).encode()
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    answer = request(
        small_server.url,
        "POST",
        f"/{new_name()}/_bulk",
        gzip.compress(body) if compressed else body,
        headers=headers,
    )
    assert (answer.status, answer.body) == (413, b"")


def test_a_body_over_the_limit_of_indexing_pressure_is_a_429_however_idle_the_node(
    small_server: SearchServer,
) -> None:
    answer = bulk(small_server, new_name(), create("a", message="x " * 30_000)).expect(429)
    error = answer.json()["error"]
    # Elasticsearch: es_rejected_execution_exception.
    assert error["type"].endswith("rejected_execution_exception")
    assert "all_bytes=0, coordinating_operation_bytes=6" in error["reason"]
    assert "retry-after" not in answer.headers


def test_a_body_over_the_limit_of_the_breaker_is_a_429(small_server: SearchServer) -> None:
    answer = bulk(small_server, new_name(), create("a", message="x " * 46_500)).expect(429)
    error = answer.json()["error"]
    assert (error["type"], error["durability"]) == ("circuit_breaking_exception", "TRANSIENT")


def test_a_full_queue_is_a_429_for_some_items(small_server: SearchServer) -> None:
    # Elasticsearch answers 429 for whole requests as well, OpenSearch for items alone.
    stream = new_stream(small_server, settings={"index.number_of_shards": 4})
    bulk(small_server, stream.name, create("a")).expect(200)
    seen: set[tuple[int, int, str]] = set()

    def send(number: int) -> None:
        for turn in range(200):
            body = "".join(create(f"{number}-{turn}-{each}") for each in range(40))
            answer = bulk(small_server, stream.name, body).expect(200, 429)
            if answer.status == 429:
                continue
            refused = [item for item in items(answer) if item["status"] == 429]
            seen.update((200, item["status"], item["error"]["type"]) for item in refused)
            if seen:
                return

    threads = [threading.Thread(target=send, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kind = "rejected_execution_exception"
    expected = f"es_{kind}" if small_server.name == "elasticsearch" else kind
    assert seen == {(200, 429, expected)}


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
