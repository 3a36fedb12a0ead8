"""Identical files of two nodes, and files of two inputs: what is stored, and what is said."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

LINES = 20


def node(make: MakeShipper, number: int, logs: Path, ids: str) -> ShipperProcess:
    """Return a daemon of a node of its own, which reads the logs in that directory."""
    logs.mkdir(exist_ok=True)
    config: dict[str, Any] = {
        "name": f"node-{number}",
        "inputs": [{"id": "tetragon", "paths": [f"{logs}/*.log"], "scan_interval": "100ms"}],
        "output": {"ids": ids},
    }
    return make(config)


def stored(server: BulkServer) -> Counter[str]:
    """Return how many documents there are of each node."""
    return Counter(document["host"]["name"] for document in server.documents.values())


def outcomes(process: ShipperProcess) -> dict[str, float]:
    found = process.metrics().by("shipper_events_total", "outcome")
    return {name: count for name, count in found.items() if count}


def wait_until_all_ended(process: ShipperProcess, lines: int) -> None:
    process.wait_until(lambda: sum(outcomes(process).values()) >= lines, f"{lines} lines ended")
    process.wait_until_idle()


@pytest.mark.parametrize("ids", ["content", "node"])
def test_identical_files_of_two_nodes(
    ids: str,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    log_directory.write(LINES)
    for number in (1, 2):
        logs = tmp_path / f"logs-{number}"
        process = node(shipper, number, logs, ids)
        process.start()
        process.wait_until_ready()
        shutil.copyfile(log_directory.log, logs / "tetragon.log")
        wait_until_all_ended(process, LINES)
        warned = process.logged("new-file-already-stored")
        if number == 2 and ids == "content":
            assert outcomes(process) == {"already_delivered": LINES}
            (message,) = warned
            assert message["log.level"] == "warning"
            assert message["file.path"] == str(logs / "tetragon.log")
            assert "output.ids to node" in message["shipper.hint"]
        else:
            assert outcomes(process) == {"delivered": LINES}
            assert warned == []
        assert process.sigterm() == 0
    expected = {"node-1": LINES} if ids == "content" else {"node-1": LINES, "node-2": LINES}
    assert stored(bulk_server) == expected
    fingerprints = {d["log"]["file"]["fingerprint"] for d in bulk_server.documents.values()}
    assert len(fingerprints) == 1


@pytest.mark.parametrize("ids", ["content", "node"])
def test_files_that_are_read_again_after_a_lost_registry_are_ours(
    ids: str, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper({"output": {"ids": ids}})
    process.start()
    log_directory.write(LINES)
    assert_delivered_once(process, bulk_server, LINES)
    process.kill9()
    for file in Path(process.config["data_dir"]).glob("registry.db*"):
        file.unlink()
    process.start()
    wait_until_all_ended(process, LINES)
    assert outcomes(process) == {"already_delivered": LINES}
    assert len(bulk_server.documents) == LINES
    assert process.logged("new-file-already-stored") == []


def test_the_first_start_of_a_node_reports_files_that_are_there(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    """Nothing was ever sent from its empty data directory."""
    log_directory.write(LINES)
    first, second = (node(shipper, number, log_directory.path, "content") for number in (1, 2))
    first.start()
    assert_delivered_once(first, bulk_server, LINES)
    assert first.logged("new-file-already-stored") == []
    assert first.sigterm() == 0
    second.start()
    wait_until_all_ended(second, LINES)
    assert len(second.logged("new-file-already-stored")) == 1


@pytest.mark.parametrize("ids", ["content", "node"])
@pytest.mark.parametrize("form", ["documents", "bulk"])
def test_an_output_file_knows_its_lines_again_whatever_the_ids(
    ids: str, form: str, shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path
) -> None:
    out = tmp_path / "events.ndjson"
    process = shipper()
    output = {"ids": ids, "file": {"path": str(out), "format": form}}
    process.write_config({**process.config, "output": output})
    process.start()
    log_directory.write(LINES)
    wait_until_all_ended(process, LINES)
    assert process.sigterm() == 0
    written = out.read_bytes()
    for file in Path(process.config["data_dir"]).glob("registry.db*"):
        file.unlink()
    process.start()
    wait_until_all_ended(process, LINES)
    assert outcomes(process) == {"already_delivered": LINES}
    assert out.read_bytes() == written
    if form == "bulk":
        actions = [json.loads(line)["create"]["_id"] for line in written.splitlines()[::2]]
        document = json.loads(written.splitlines()[1])
        prefixes = {each.partition("-")[0] for each in actions}
        assert (prefixes == {document["log"]["file"]["fingerprint"]}) is (ids == "content")
        assert len(set(actions)) == LINES


def test_two_inputs_that_match_one_file_are_reported_once(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    """Under another name, too."""
    (tmp_path / "there").symlink_to(log_directory.path)
    log_directory.write(LINES)
    paths = {"one": log_directory.glob, "two": f"{tmp_path}/there/tetragon.log", "three": "/no/*"}
    inputs = [
        {"id": name, "paths": [path], "scan_interval": "50ms"} for name, path in paths.items()
    ]
    process = shipper({"inputs": inputs})
    process.start()
    wait_until_all_ended(process, 2 * LINES)
    log_directory.rotate()
    log_directory.write(1)
    wait_until_all_ended(process, 2 * LINES + 2)
    (message,) = process.logged("inputs-overlap")
    assert message["log.level"] == "warning"
    assert {message["shipper.input"], message["shipper.other_input"]} == {"one", "two"}
    assert message["file.path"].endswith("/tetragon.log")
    assert len(bulk_server.documents) == LINES + 1


def test_two_inputs_with_one_glob_are_reported_before_there_is_a_file(
    shipper: MakeShipper, tmp_path: Path
) -> None:
    glob = f"{tmp_path}/none/*.log"
    process = shipper({"inputs": [{"id": name, "paths": [glob]} for name in ("one", "two")]})
    process.start()
    process.wait_until(lambda: bool(process.logged("inputs-overlap")), "it is said")
    assert [each["file.path"] for each in process.logged("inputs-overlap")] == [glob]
