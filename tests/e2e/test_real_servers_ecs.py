"""`format: ecs` at the edge, and raw documents through our ingest pipeline on the real OpenSearch,
are the same documents."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from shipper.config.inputs import OnInvalid
from shipper.demo.events import KINDS
from shipper.documents.ecs import EcsDocuments
from shipper.documents.ecs_rules import NOT_MAPPED
from shipper.documents.encode import DocumentEncoder
from shipper.files.facts import Inode
from shipper.files.identity import Identity
from shipper.setup.ingest import PIPELINE_NAME, pipeline
from tests.documents.test_encode import AWKWARD
from tests.documents.test_encode import FILE as FILE_FIELDS
from tests.servers import SearchServer
from tests.servers.bulk import bulk, items
from tests.servers.client import request
from tests.servers.fixtures import on_opensearch
from tests.servers.stream import Stream, new_stream
from tests.support.odd_events import NAMED, odd_events

pytestmark = pytest.mark.real_server

CONSTANTS: dict[str, object] = {
    "input": {"type": "filestream"},
    "agent": {"id": "a", "name": "shipper-1", "type": "shipper"},
    "ecs": {"version": "8.11.0"},
    "host": {"name": "shipper-1"},
    "event": {"dataset": "cilium_tetragon.log", "module": "cilium_tetragon"},
    "data_stream": {"type": "logs", "dataset": "cilium_tetragon.log", "namespace": "default"},
    "fields": {"team": "röd", "nothing": "", "deep": {"er": [None, {}]}},
    "tags": ["a", ""],
}
NOW = 1_764_000_000.25
BLOCK_LINES = 500

#: Where the two differ: a key that is there twice. See docs/ecs.md.
DOUBLE_KEYS = [name for name in AWKWARD if "duplicate" in name]


@pytest.fixture
def stream(search_server: SearchServer) -> Iterator[Stream]:
    """A data stream that takes documents of any form, with our pipeline."""
    path = f"/_ingest/pipeline/{PIPELINE_NAME}"
    request(search_server.url, "PUT", path, pipeline()).expect(200)
    # What is compared is what is stored: nothing is refused for its type.
    mappings = {"dynamic": False, "properties": {"@timestamp": {"type": "date"}}}
    made = new_stream(search_server, mappings, {"index.default_pipeline": PIPELINE_NAME})
    yield made
    made.delete()


def blocks(lines: Sequence[bytes], *, ecs: bool) -> Iterator[tuple[bytes, int]]:
    """Bodies of bulk requests, and how many documents are in each."""
    contributions = EcsDocuments(CONSTANTS) if ecs else None
    made = DocumentEncoder(
        CONSTANTS, content_ids=True, on_invalid=OnInvalid.SHIP, contributions=contributions
    )
    # Two files, so that both are in one data stream with the ids that they have.
    identity = Identity(f"{int(ecs):016x}")
    template = made.template(identity, FILE_FIELDS["path"], Inode(1, 2))
    offset = 0
    for start in range(0, len(lines), BLOCK_LINES):
        block = b"".join(line + b"\n" for line in lines[start : start + BLOCK_LINES])
        encoded = made.encode(template, offset, block, NOW)
        offset += len(block)
        yield bytes(encoded.body), encoded.events


def ship(stream: Stream, lines: Sequence[bytes], *, ecs: bool) -> list[int]:
    """Ship lines in one of the formats; return the status of each document."""
    statuses: list[int] = []
    for body, events in blocks(lines, ecs=ecs):
        answered = items(bulk(stream.server, stream.name, body.decode()))
        assert len(answered) == events
        statuses += [item["status"] for item in answered]
    return statuses


def stored(stream: Stream) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the raw documents and those of ecs, each in the order of their lines."""
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for hit in stream.hits():
        source = hit["_source"]
        # The identities of the two files are what tells them apart.
        identity, _, rest = hit["_id"].partition("-")
        assert source["log"]["file"].pop("fingerprint") == identity
        found[int(identity, 16)].append({"id": rest, **source})
    return found


def text_of(document: dict[str, Any]) -> str:
    """JSON in which 1, 1.0 and true are three things."""
    return json.dumps(document, sort_keys=True)


@on_opensearch
def test_ecs_at_the_edge_is_raw_through_the_pipeline_for_20_000_events(stream: Stream) -> None:
    lines = list(odd_events(42, 20_000))
    lines += NAMED.values()
    lines += [line for name, line in AWKWARD.items() if name not in DOUBLE_KEYS]
    assert all(any(b'"%b"' % kind.encode() in line for line in lines) for kind in KINDS)
    before, after = ship(stream, lines, ecs=False), ship(stream, lines, ecs=True)
    assert before == after
    raw, ecs = stored(stream)
    assert len(raw) == len(ecs) == before.count(201) > 20_000
    for through_pipeline, at_the_edge in zip(raw, ecs, strict=True):
        if text_of(through_pipeline) != text_of(at_the_edge):
            assert through_pipeline == at_the_edge
            pytest.fail(f"other types in {text_of(at_the_edge)}")
    assert sum("error" in document for document in ecs) > 50


@on_opensearch
def test_a_key_that_is_there_twice_is_where_the_two_differ(stream: Stream) -> None:
    lines = [b'{"process_exec":{"process":{"pid":1,"pid":2}},"time":"2026-11-24T04:32:37Z"}']
    ship(stream, lines, ecs=False)
    ship(stream, lines, ecs=True)
    (raw,), (ecs,) = stored(stream)
    assert ecs["process"]["pid"] == 2
    assert raw["error"]["message"] == NOT_MAPPED
    assert raw["event"]["kind"] == "pipeline_error"
    assert raw["event"]["original"] == ecs["event"]["original"] == lines[0].decode()


@on_opensearch
def test_the_pipeline_takes_documents_of_other_shippers(stream: Stream) -> None:
    event = {"process_exec": {"process": {"pid": 7}}, "time": "2026-11-24T04:32:37Z"}
    documents: list[dict[str, Any]] = [
        {"message": json.dumps(event), "container": {"runtime": "x"}, "tags": "one"},
        {"message": "no JSON", "tags": "one"},
        {"message": "other", "event": {"original": json.dumps(event)}},
        {"other": "without a message"},
    ]
    time = "2026-11-24T04:32:37Z"
    for number, document in enumerate(documents):
        action = json.dumps({"create": {"_id": str(number)}})
        source = json.dumps({"@timestamp": time, **document})
        (item,) = items(bulk(stream.server, stream.name, f"{action}\n{source}\n"))
        assert item["status"] == 201
    good, bad, kept, other = (hit["_source"] for hit in stream.hits())
    assert (good["process"], good["container"]) == ({"pid": 7}, {"runtime": "x"})
    assert good["event"]["action"] == "executed"
    assert good["tags"] == "one"
    assert bad["error"]["message"] == NOT_MAPPED
    assert bad["tags"] == ["one", "preserve_original_event"]
    assert bad["event"] == {"original": "no JSON", "kind": "pipeline_error"}
    assert kept["event"]["original"] == json.dumps(event)
    assert "message" not in kept
    assert other == {"@timestamp": time, "other": "without a message"}


def test_documents_of_both_formats_have_the_same_ids() -> None:
    lines = list(itertools.islice(odd_events(1, 100), 100))
    ids = [
        [json.loads(line)["create"]["_id"][16:] for line in body.split(b"\n")[:-1:2]]
        for ecs in (False, True)
        for body, _ in blocks(lines, ecs=ecs)
    ]
    assert ids[0] == ids[1]
