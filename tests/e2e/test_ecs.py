"""`format: ecs` in the real daemon."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory


def test_events_are_taken_apart_and_bad_lines_are_marked(
    shipper: MakeShipper, log_directory: LogDirectory, bulk_server: BulkServer
) -> None:
    log_directory.write(500)
    log_directory.append(b"no JSON\n")
    log_directory.append(b'{"process_exec":{"process":{"pid":7}}}\n')
    log_directory.append(b'{"process_exec":{"process":{"pid":' + b"9" * 30 + b"}}}\n")
    source = {"id": "tetragon", "paths": [log_directory.glob], "format": "ecs", "tags": ["mine"]}
    daemon = shipper({"inputs": [source]})
    daemon.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 503)
    daemon.wait_until_idle()
    documents = sorted(bulk_server.documents.items())
    originals = [document["event"]["original"].encode() for _, document in documents]
    assert originals == log_directory.log.read_bytes().splitlines()
    for _, document in documents[:500]:
        assert document["host"]["name"] == "worker-1"
        assert document["data_stream"]["dataset"] == "cilium_tetragon.log"
        assert document["agent"]["type"] == "shipper"
        assert document["cilium_tetragon"]["log"]["time"] == document["@timestamp"]
        assert document["tags"] == ["mine"]
        assert "message" not in document
        assert "error" not in document
    for _, document in documents[500:]:
        assert document["event"]["kind"] == "pipeline_error"
        assert document["tags"] == ["mine", "preserve_original_event"]
        assert document["error"]["message"]
    assert documents[501][1]["process"] == {"pid": 7}
    assert "cilium_tetragon" not in documents[502][1]
    flagged = daemon.metrics().by("shipper_events_flagged_total", "problem")
    assert flagged == {"not_json": 1, "no_time": 2}
    assert daemon.metrics().uncounted_lines == 0
    assert daemon.sigterm() == 0


def test_another_format_is_no_other_document(
    shipper: MakeShipper, log_directory: LogDirectory, bulk_server: BulkServer, tmp_path: Path
) -> None:
    log_directory.write(200)
    raw = shipper(directory=tmp_path / "raw")
    raw.start()
    bulk_server.wait_for_lines(200)
    raw.wait_until_idle()
    assert raw.sigterm() == 0
    # With nothing that is remembered, all of it is sent again.
    source = {"id": "tetragon", "paths": [log_directory.glob], "format": "ecs"}
    ecs = shipper({"inputs": [source]}, directory=tmp_path / "ecs")
    ecs.start()
    ecs.wait_until(lambda: ecs.status()["lines_read"] == 200, "all lines are read again")
    ecs.wait_until_idle()
    assert ecs.metrics().value("shipper_events_total", outcome="already_delivered") == 200
    assert len(bulk_server.documents) == 200
    assert ecs.sigterm() == 0
