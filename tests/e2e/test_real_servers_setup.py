"""`shipper setup` on the real Elasticsearch and OpenSearch, and what is then shipped there.

The Elasticsearch of these tests has no ingest processors: the pipeline is OpenSearch's alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper.setup.ingest import PIPELINE_NAME
from tests.conftest import MakeShipper
from tests.servers import SearchServer
from tests.servers.client import request
from tests.servers.stream import Stream
from tests.support.logdir import LogDirectory
from tests.support.odd_events import NAMED, TIME

pytestmark = pytest.mark.real_server


@pytest.fixture
def stream(search_server: SearchServer) -> Iterator[Stream]:
    """A data stream of a dataset of its own, for which there is no template yet."""
    dataset = f"tetragon_{uuid.uuid4().hex[:12]}"
    made = Stream(search_server, f"logs-{dataset}-default")
    yield made
    made.delete()
    request(search_server.url, "DELETE", template_path(made))


def template_path(stream: Stream) -> str:
    return f"/_index_template/shipper-{stream.name.removesuffix('-default')}"


def without_pipeline(server: SearchServer) -> None:
    if server.name == "opensearch":
        request(server.url, "DELETE", f"/_ingest/pipeline/{PIPELINE_NAME}").expect(200, 404)


def setup(tmp_path: Path, stream: Stream, form: str, *arguments: str) -> str:
    """Return what ``shipper setup`` says; it ends with 0."""
    config = tmp_path / "setup.yml"
    source = {"id": "tetragon", "paths": [f"{tmp_path}/*.log"], "format": form}
    # JSON is YAML.
    config.write_text(json.dumps({"inputs": [source], "output": stream.output}))
    command = [sys.executable, "-m", "shipper", "setup", "-c", str(config), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def field_types(stream: Stream) -> dict[str, str]:
    """Return the types of all fields of the data stream, by their names."""
    answer = request(stream.server.url, "GET", f"/{stream.name}/_mapping").expect(200).json()
    (mapping,) = answer.values()
    found: dict[str, str] = {}

    def walk(prefix: str, properties: dict[str, Any]) -> None:
        for name, field in properties.items():
            if "properties" in field:
                walk(f"{prefix}{name}.", field["properties"])
            else:
                found[prefix + name] = field["type"]

    walk("", mapping["mappings"]["properties"])
    return found


def matching(stream: Stream, query: dict[str, Any]) -> int:
    path = f"/{stream.name}/_search"
    answer = request(stream.server.url, "POST", path, {"query": query}).expect(200).json()
    return int(answer["hits"]["total"]["value"])


def test_what_is_missing_is_made_once_and_takes_events_of_all_kinds(
    stream: Stream, tmp_path: Path, shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    assert "  created" in setup(tmp_path, stream, "ecs")
    assert setup(tmp_path, stream, "ecs").strip().endswith("  unchanged")
    log_directory.write(2000)
    # Both labels that the guide's list has, of which one is the beginning of the other's name.
    for name in ("all of it", "usdt", "a loader", "labels of a node"):
        log_directory.append(NAMED[name] + b"\n")
    # No term of an index has more than 32 kB.
    log_directory.append(
        b'{"process_exec":{"process":{"arguments":"%b","flags":"%b"}},"time":"%b"}\n'
        % (b"a" * 100_000, b"b" * 100_000, TIME.encode())
    )
    source = {"id": "tetragon", "paths": [log_directory.glob], "format": "ecs"}
    daemon = shipper({"inputs": [source], "output": stream.output})
    daemon.start()
    daemon.wait_until(lambda: stream.count() >= 2005, "all documents are there")
    daemon.wait_until_idle()
    assert daemon.metrics().value("shipper_events_total", outcome="dead_letter") == 0
    assert daemon.sigterm() == 0

    labels = "flattened" if stream.server.name == "elasticsearch" else "flat_object"
    types = field_types(stream)
    pod = "cilium_tetragon.log.process_exec.process.pod"
    assert types[f"{pod}.pod_labels"] == labels
    assert types["cilium_tetragon.log.process_usdt.parent.pod.pod_labels"] == labels
    assert types["process.pid"] == "long"
    assert types["process.start"] == "date"
    assert types["process.args"] == "keyword"
    assert types["cilium_tetragon.log.process_exit.status"] == "float"
    assert types[f"{pod}.container.start_time"] == "keyword"
    assert types["cilium_tetragon.log.process_tracepoint.subsys"] == "keyword"

    assert matching(stream, {"term": {f"{pod}.pod_labels.app.kubernetes.io/name": "y"}}) == 1
    assert matching(stream, {"term": {f"{pod}.pod_labels.app": "x"}}) == 1
    assert matching(stream, {"term": {"process.executable": "/usr/bin/curl"}}) > 100
    said = setup(tmp_path, stream, "ecs").splitlines()
    assert said[-1].endswith("  unchanged")


def test_an_operator_s_settings_stay_when_the_template_is_updated(
    stream: Stream, tmp_path: Path
) -> None:
    setup(tmp_path, stream, "ecs")
    url, path = stream.server.url, template_path(stream)
    (found,) = request(url, "GET", path).expect(200).json()["index_templates"]
    body = found["index_template"]
    body["template"]["settings"]["index"]["refresh_interval"] = "7s"
    body["_meta"]["digest"] = "of an older one"
    request(url, "PUT", path, body).expect(200)
    assert "  updated" in setup(tmp_path, stream, "ecs")
    (found,) = request(url, "GET", path).expect(200).json()["index_templates"]
    body = found["index_template"]
    assert body["template"]["settings"]["index"]["refresh_interval"] == "7s"
    assert body["_meta"]["digest"] != "of an older one"
    assert "  unchanged" in setup(tmp_path, stream, "ecs")


def test_what_others_made_is_left(stream: Stream, tmp_path: Path) -> None:
    url, path = stream.server.url, template_path(stream)
    theirs = {"index_patterns": [f"{stream.name}*"], "priority": 7, "data_stream": {}}
    request(url, "PUT", path, theirs).expect(200)
    assert "  skipped: " in setup(tmp_path, stream, "ecs")
    (found,) = request(url, "GET", path).expect(200).json()["index_templates"]
    assert found["index_template"]["priority"] == 7


def test_a_dry_run_makes_nothing(stream: Stream, tmp_path: Path) -> None:
    assert f"PUT {template_path(stream)}\n" in setup(tmp_path, stream, "ecs", "--dry-run")
    request(stream.server.url, "GET", template_path(stream)).expect(404)


@pytest.mark.parametrize("search_server", ["opensearch"], indirect=True)
def test_raw_documents_are_taken_apart_by_the_pipeline_that_setup_makes(
    stream: Stream, tmp_path: Path, shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    without_pipeline(stream.server)
    assert setup(tmp_path, stream, "raw").count("  created") == 2
    assert setup(tmp_path, stream, "raw").count("  unchanged") == 2
    log_directory.write(300)
    log_directory.append(b"no JSON\n")
    daemon = shipper({"output": stream.output})
    daemon.start()
    daemon.wait_until(lambda: stream.count() >= 301, "all documents are there")
    assert daemon.sigterm() == 0
    documents = [hit["_source"] for hit in stream.hits()]
    originals = [document["event"]["original"].encode() for document in documents]
    assert originals == log_directory.log.read_bytes().splitlines()
    assert all(document["host"]["name"] == "worker-1" for document in documents[:300])
    assert sum("executable" in document.get("process", {}) for document in documents) > 200
    assert documents[300]["event"]["kind"] == "pipeline_error"
    # The data stream is there now: what is new would hold from its next index on.
    said = setup(tmp_path, stream, "raw")
    assert "data stream" in said
    assert "rollover" not in said
