"""Documents of losses on the real servers: taken as they are, by the pipeline of `shipper setup`,
and by one with the rules of Elastic's integration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper.documents.loss import in_words
from tests.conftest import MakeShipper
from tests.documents.test_loss import LOSS
from tests.e2e.test_losses import states, with_a_loss
from tests.e2e.test_real_servers_setup import matching, setup, stream, without_pipeline
from tests.servers import SearchServer
from tests.servers.client import request
from tests.servers.fixtures import on_opensearch
from tests.servers.stream import Stream, new_stream
from tests.support.logdir import LogDirectory

__all__ = ["stream"]

pytestmark = pytest.mark.real_server

NUMBERS = "cilium_tetragon.log.shipper_loss"

#: What the integration's pipeline does to a line that is none of Tetragon's types: its processors
#: and scripts for processes find nothing. Its `json` processors fail for what is no JSON, and its
#: last ones are the reason why a document without `node_name` or with `error.message` is special.
INTEGRATION = {
    "processors": [
        {"set": {"field": "ecs.version", "value": "8.11.0"}},
        {
            "rename": {
                "field": "message",
                "target_field": "event.original",
                "ignore_missing": True,
                "if": "ctx.event?.original == null",
            }
        },
        {"json": {"field": "event.original", "target_field": "cilium_tetragon.log"}},
        {
            "set": {
                "field": "event.action",
                "value": "executed",
                "if": "ctx.cilium_tetragon?.log?.process_exec != null",
            }
        },
        {
            "set": {
                "field": "event.action",
                "value": "end",
                "if": "ctx.cilium_tetragon?.log?.process_exit != null",
            }
        },
        {
            "set": {
                "field": "host.name",
                "value": "{{{cilium_tetragon.log.node_name}}}",
                "if": "ctx.cilium_tetragon?.log?.node_name != null",
            }
        },
        {
            "script": {
                "lang": "painless",
                "source": """
boolean dropEmptyFields(Object object) {
  if (object == null || object == '') { return true; }
  if (object instanceof Map) {
    ((Map) object).values().removeIf(value -> dropEmptyFields(value));
    return ((Map) object).size() == 0;
  }
  if (object instanceof List) {
    ((List) object).removeIf(value -> dropEmptyFields(value));
    return ((List) object).length == 0;
  }
  return false;
}
dropEmptyFields(ctx);
""",
            }
        },
        {
            "append": {
                "field": "tags",
                "value": "preserve_original_event",
                "allow_duplicates": False,
                "if": "ctx.error?.message != null",
            }
        },
    ],
    "on_failure": [{"set": {"field": "event.kind", "value": "pipeline_error"}}],
}


@pytest.fixture
def integration(search_server: SearchServer) -> Iterator[Stream]:
    """A data stream with a pipeline that has the integration's rules."""
    path = "/_ingest/pipeline/like-the-integration"
    request(search_server.url, "PUT", path, INTEGRATION).expect(200)
    made = new_stream(search_server, None, {"index.default_pipeline": "like-the-integration"})
    yield made
    made.delete()


def ship_one(make: MakeShipper, logs: LogDirectory, stream: Stream, form: str) -> dict[str, Any]:
    """Ship a loss beside some lines; return its document as it is stored."""
    logs.write(10)
    source = {"id": "tetragon", "paths": [logs.glob], "format": form}
    daemon = with_a_loss(make({"inputs": [source], "output": stream.output}))
    daemon.start()
    daemon.wait_until(lambda: states(daemon) == {"SHIPPED"}, "the loss is shipped")
    daemon.wait_until(lambda: stream.count() == 11, "all documents are there")
    daemon.wait_until_idle()
    assert daemon.metrics().value("shipper_events_total", outcome="delivered") == 10
    assert daemon.sigterm() == 0
    (found,) = [hit for hit in stream.hits() if hit["_id"].startswith("loss-")]
    source = found["_source"]
    assert isinstance(source, dict)
    return source


def assert_found(stream: Stream, document: dict[str, Any]) -> None:
    """It can be alerted on, and searched by its numbers."""
    event = document["event"]
    assert (event["action"], event["kind"], event["type"]) == ("log-lines-lost", "event", ["error"])
    assert document["error"]["message"] == in_words(LOSS)
    assert document["cilium_tetragon"]["log"]["shipper_loss"]["lines"] == 7
    assert matching(stream, {"term": {"event.action": "log-lines-lost"}}) == 1
    assert matching(stream, {"range": {f"{NUMBERS}.lines": {"gte": 7}}}) == 1
    assert matching(stream, {"range": {f"{NUMBERS}.lines": {"gt": 7}}}) == 0
    assert matching(stream, {"range": {f"{NUMBERS}.bytes": {"gte": 2000}}}) == 1
    assert matching(stream, {"term": {f"{NUMBERS}.reason": "retention"}}) == 1


@on_opensearch
def test_the_pipeline_of_setup_takes_a_loss(
    stream: Stream, tmp_path: Path, shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    without_pipeline(stream.server)
    setup(tmp_path, stream, "raw")
    document = ship_one(shipper, log_directory, stream, "raw")
    assert_found(stream, document)
    assert document.get("tags") is None


@on_opensearch
def test_the_rules_of_the_integration_take_a_loss(
    integration: Stream, shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    document = ship_one(shipper, log_directory, integration, "raw")
    assert_found(integration, document)
    assert document["tags"] == ["preserve_original_event"]


def test_with_format_ecs_a_loss_has_the_same_fields(
    stream: Stream, tmp_path: Path, shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    setup(tmp_path, stream, "ecs")
    assert_found(stream, ship_one(shipper, log_directory, stream, "ecs"))
