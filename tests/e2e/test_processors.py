"""Processors in the real daemon: what arrives, what is counted, and what is said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from tests.config.test_processors import GUIDE
from tests.conftest import MakeShipper
from tests.e2e.test_filters import (
    EXITS,
    NOISE,
    NOT_JSON,
    SHIPPED,
    append,
    by_rule,
    filtering,
    outcomes,
    wait_for_lines,
)
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

LINES = [*SHIPPED, *NOISE, *EXITS]


def with_processors(text: str, log_directory: LogDirectory, of_input: str = "") -> dict[str, Any]:
    """Return a configuration with these processors at the top, and those in its only input."""
    config: dict[str, Any] = {"processors": yaml.safe_load(text)}
    if of_input:
        processors = yaml.safe_load(of_input)
        paths = [log_directory.glob]
        config["inputs"] = [{"id": "tetragon", "paths": paths, "processors": processors}]
    return config


def failures(process: ShipperProcess) -> dict[str, float]:
    return process.metrics().by("shipper_processor_failures_total", "processor")


def test_the_guides_processors_ship_the_documents_as_they_are(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper(with_processors(GUIDE, log_directory))
    process.start()
    append(log_directory, LINES)
    wait_for_lines(process, len(LINES))
    assert sorted(bulk_server.messages()) == sorted(LINES)
    for document in bulk_server.documents.values():
        if document["message"] != NOT_JSON:
            assert document["@timestamp"] == json.loads(document["message"])["time"]
    # The line that is no JSON has no time; a document is made of it all the same.
    assert failures(process) == {"timestamp": 1}


def test_what_is_done_once_and_what_is_done_to_each_event_arrives(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    top = """
- add_host_metadata: {netinfo.enabled: false, cache.ttl: -1s}
- add_fields: {target: '', fields: {team: platform, kind: exit}, when.contains.message: _exit}
- decode_json_fields: {fields: [message], target: tetragon}
- drop_fields: {fields: [log.offset, agent.ephemeral_id]}
"""
    process = shipper(with_processors(top, log_directory, "- add_tags: {tags: [mine]}"))
    process.start()
    append(log_directory, LINES)
    wait_for_lines(process, len(LINES))
    assert sorted(bulk_server.messages()) == sorted(LINES)
    for document in bulk_server.documents.values():
        message = document["message"]
        assert document["host"]["hostname"] == os.uname().nodename.lower()
        assert document["host"]["os"]["type"] == "linux"
        assert document["tags"] == ["mine"]
        assert document.get("kind") == ("exit" if "_exit" in message else None)
        assert "ephemeral_id" not in document["agent"]
        assert "offset" not in document["log"]
        if message != NOT_JSON:
            assert document["tetragon"] == json.loads(message)
    assert failures(process) == {"decode_json_fields": 1}
    (said,) = process.logged("processor-failed")
    assert (said["shipper.processor"], said["shipper.events"]) == ("decode_json_fields", 1)
    assert said["event.reason"].startswith("`message` is not JSON: ")


def test_events_that_are_dropped_are_counted_and_done_with(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    text = "- drop_event.when.contains.message: kube-system"
    config = {**filtering(log_directory, {"exclude": [{"type": ["process_exit"]}]})}
    process = shipper({**config, **with_processors(text, log_directory)})
    process.start()
    assert by_rule(process) == {"exclude[0]": 0, "drop_event": 0}
    append(log_directory, [*LINES, ""])
    wait_for_lines(process, len(LINES) + 1)
    kept = [line for line in SHIPPED if "process_exit" not in line]
    exits = len(EXITS) + len(SHIPPED) - len(kept)
    assert sorted(bulk_server.messages()) == sorted(kept)
    assert by_rule(process) == {"exclude[0]": exits, "drop_event": len(NOISE)}
    filtered = exits + len(NOISE)
    assert outcomes(process) == {"delivered": len(kept), "filtered": filtered, "blank": 1}
    (file,) = process.status()["files"]
    assert file["acknowledged"] == log_directory.log.stat().st_size


def test_a_configuration_that_changes_processors_doubles_nothing(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    append(log_directory, LINES)
    plain = shipper({}, directory=tmp_path / "plain")
    plain.start()
    wait_for_lines(plain, len(LINES))
    plain.sigterm()
    text = (
        "- drop_fields: {fields: [log, agent]}\n"
        "- truncate_fields: {fields: [message], max_bytes: 9}\n"
    )
    other = shipper(with_processors(text, log_directory), directory=tmp_path / "other")
    other.start()
    wait_for_lines(other, len(LINES))
    # The ids are of the lines: what another configuration sends again is there already.
    assert outcomes(other) == {"already_delivered": len(LINES)}
    assert sorted(bulk_server.messages()) == sorted(LINES)


def test_a_processor_that_is_wrong_stops_the_start_with_the_place(
    shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    layouts = "- timestamp: {field: time, layouts: ['2006-01-02'], test: ['24.11.2026']}"
    process = shipper(with_processors(layouts, log_directory))
    process.start(wait=False)
    assert process.wait(PATIENCE) == 2
    said = process.logged("configuration-invalid")[0]["error.message"]
    assert "processors[0].timestamp.test[0]: `24.11.2026` does not match any" in said


def test_a_line_that_is_made_for_a_regular_expression_stops_nothing(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    hard = '"arguments": ?"(/?[a-z0-9]+)+ --quiet"'
    drop = {"drop_event": {"when": {"regexp": {"message": hard}}}}
    process = shipper(
        {
            "inputs": [
                {"id": "tetragon", "paths": [log_directory.glob], "processors": [drop]},
            ]
        }
    )
    process.start()
    for length in (40, 4000, 400_000):
        arguments = "a" * length
        log_directory.append(b'{"arguments":"%b"}\n' % arguments.encode())
        log_directory.append(b'{"arguments":"%b --quiet"}\n' % arguments.encode())
    log_directory.write(50)
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 53)
    process.wait_until_idle()
    assert outcomes(process) == {"delivered": 53, "filtered": 3}
    assert process.sigterm() == 0
