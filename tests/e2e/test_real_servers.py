"""The real daemon against the real Elasticsearch and OpenSearch, read back by search."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.e2e.documents import (
    BLANK,
    ID,
    MAX_LINE_BYTES,
    SAMPLES,
    ReadBetween,
    Shipped,
    expected_documents,
)
from tests.servers import SearchServer, client
from tests.servers.fixtures import StartSearchServer
from tests.servers.launcher import NAMES
from tests.servers.stream import Stream, new_stream
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

pytestmark = pytest.mark.real_server

FIELDS = {"cluster": "prod-1", "rack": {"row": 3, "spare": False}}
TAGS = ["edge", "tetragon"]


KILLS = 5
RATE = 1500.0
"""Lines per second that are written while the daemon is killed."""


def ship(daemon: ShipperProcess, stream: Stream, lines: int) -> None:
    """Wait for so many documents, and have the daemon end in good order."""
    daemon.wait_until(lambda: stream.count() >= lines, f"{lines} documents are there")
    assert daemon.sigterm() == 0


def assert_shipped_once(stream: Stream, written: int) -> None:
    """Each numbered line is a document, and there is no other."""
    audit = stream.audit(written)
    assert audit.passed, audit
    assert audit.delivered == written


def outcomes(daemon: ShipperProcess) -> dict[str, float]:
    """Return how the lines ended that a daemon read since its start, without what was not seen."""
    counted = daemon.metrics().by("shipper_events_total", "outcome")
    return {outcome: lines for outcome, lines in counted.items() if lines}


def dead_letters(daemon: ShipperProcess) -> Path:
    """Return the path of the file with what was refused for good."""
    return Path(daemon.config["data_dir"], "dead-letter.ndjson")


# Documents


def write_samples(log_directory: LogDirectory) -> None:
    """Write SAMPLES into two files, with lines among them of which no document is made."""
    lines = [sample.line for sample in SAMPLES]
    middle = len(lines) // 2
    log_directory.append(b"\n".join([*lines[:middle], *BLANK, b""]))
    log_directory.rotate()
    log_directory.append(b"\n".join([*BLANK, *lines[middle:], b""]))


def test_every_document_is_what_its_line_promises(
    stream: Stream, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    write_samples(log_directory)
    source = {
        "id": "tetragon",
        "paths": [log_directory.glob],
        "max_line_bytes": MAX_LINE_BYTES,
        "fields": FIELDS,
        "tags": TAGS,
    }
    daemon = shipper({"name": "worker-1", "inputs": [source], "output": stream.output})
    began = datetime.now(UTC).replace(microsecond=0)
    daemon.start()
    expected_outcomes = {"delivered": len(SAMPLES), "blank": 2 * len(BLANK)}
    daemon.wait_until(lambda: outcomes(daemon) == expected_outcomes, f"{expected_outcomes}")
    assert daemon.sigterm() == 0

    hits = stream.hits()
    shipped = Shipped(stream.name, "worker-1", FIELDS, TAGS, ReadBetween(began, datetime.now(UTC)))
    paths = sorted(log_directory.path.glob("*.log"))
    for path in paths:
        found = [hit for hit in hits if hit["_source"]["log"]["file"]["path"] == str(path)]
        expected = expected_documents(path, shipped)
        # Ids of a file sort as its lines do.
        assert [hit["_source"]["log"]["offset"] for hit in found] == list(expected)
        for hit in found:
            document = hit["_source"]
            offset = document["log"]["offset"]
            assert document == expected[offset]
            identity = document["log"]["file"]["fingerprint"]
            assert ID.fullmatch(hit["_id"])
            assert hit["_id"].startswith(f"{identity}-{offset:010x}-")
    assert len(hits) == len(SAMPLES)
    assert len({hit["_id"][:16] for hit in hits}) == len(paths) == 2
    assert len({json.dumps(hit["_source"]["agent"]) for hit in hits}) == 1
    assert all(hit["_index"].startswith(f".ds-{stream.name}-") for hit in hits)


def test_a_lost_registry_doubles_nothing(
    stream: Stream, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    log_directory.write(200)
    log_directory.rotate()
    log_directory.write(100)
    daemon = shipper({"output": stream.output})
    daemon.start()
    ship(daemon, stream, 300)
    before = stream.hits()

    shutil.rmtree(daemon.config["data_dir"])
    daemon.start()
    daemon.wait_until(
        lambda: outcomes(daemon) == {"already_delivered": 300}, "all are sent and known"
    )
    assert daemon.sigterm() == 0
    assert stream.hits() == before
    assert_shipped_once(stream, 300)


# Deaths


def test_kill_9_in_the_middle_loses_and_doubles_nothing(
    stream: Stream, tmp_path: Path, shipper: MakeShipper
) -> None:
    logs = LogDirectory(tmp_path / "busy", max_bytes=300_000)
    source = {"id": "tetragon", "paths": [logs.glob]}
    daemon = shipper({"inputs": [source], "output": {**stream.output, "bulk": {"max_events": 50}}})
    # Lines are written and files rotated all the time, so each kill is in the middle.
    with logs.writing(RATE):
        for _ in range(KILLS):
            daemon.start()
            daemon.wait_until(lambda: outcomes(daemon) != {}, "first lines are done")
            daemon.kill9()
    logs.close()
    assert logs.writer.rotations > KILLS
    daemon.start()
    ship(daemon, stream, logs.written)
    assert_shipped_once(stream, logs.written)


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_that_crashes_under_both_loses_and_doubles_nothing(
    name: str,
    start_search_server: StartSearchServer,
    log_directory: LogDirectory,
    shipper: MakeShipper,
) -> None:
    node = start_search_server(name)
    stream = new_stream(node)
    daemon = shipper({"output": {**stream.output, "bulk": {"max_events": 50}}})
    log_directory.write(3000)
    daemon.start()
    daemon.wait_until(lambda: outcomes(daemon) != {}, "first lines are done")
    node.kill()
    daemon.kill9()

    # The daemon is back before the node, and alive when the node goes a second time.
    daemon.start()
    log_directory.write(500)
    log_directory.rotate()
    daemon.wait_until(lambda: node.url in daemon.why_not_ready(), "the daemon says what is away")
    node = start_search_server(name, directory=node.directory, port=node.port)
    daemon.wait_until(lambda: outcomes(daemon) != {}, "lines are shipped again")
    log_directory.write(500)
    node.kill()
    start_search_server(name, directory=node.directory, port=node.port)
    daemon.wait_until(daemon.ready, "the daemon is ready again")
    ship(daemon, stream, 4000)
    assert_shipped_once(stream, 4000)


# Refusals


def test_a_refused_document_is_a_dead_letter_and_the_others_are_delivered(
    search_server: SearchServer, tmp_path: Path, shipper: MakeShipper
) -> None:
    # Mapped as a number, and one of the inputs gives a text.
    number = {"properties": {"x": {"type": "long"}}}
    properties = {**client.MAPPINGS["properties"], "fields": number}
    stream = new_stream(search_server, {**client.MAPPINGS, "properties": properties})
    good, bad = LogDirectory(tmp_path / "good", seed=1), LogDirectory(tmp_path / "bad", seed=2)
    good.write(20)
    bad.write(3)
    daemon = shipper(
        {
            "inputs": [
                {"id": "good", "paths": [good.glob], "fields": {"x": 1}},
                {"id": "bad", "paths": [bad.glob], "fields": {"x": "naïve"}},
            ],
            "output": stream.output,
        }
    )
    daemon.start()
    daemon.wait_until(
        lambda: outcomes(daemon) == {"delivered": 20, "dead_letter": 3}, "all lines have an outcome"
    )
    assert daemon.ready(), daemon.why_not_ready()
    assert daemon.sigterm() == 0
    assert_shipped_once(stream, 20)

    found = [json.loads(line) for line in dead_letters(daemon).read_text().splitlines()]
    lines = bad.log.read_bytes().split(b"\n")
    assert [dead_letter["line"].encode() for dead_letter in found] == lines[:-1]
    assert [dead_letter["offset"] for dead_letter in found] == [
        sum(len(line) + 1 for line in lines[:number]) for number in range(3)
    ]
    for dead_letter in found:
        assert ID.fullmatch(dead_letter["id"])
        assert (dead_letter["status"], dead_letter["path"]) == (400, str(bad.log))
        # Elasticsearch: document_parsing_exception; OpenSearch: mapper_parsing_exception.
        assert re.search(r"parsing_exception: .*field \[fields\.x\]", dead_letter["reason"])
    stream.delete()


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        pytest.param("index.blocks.read_only_allow_delete", "item_429", id="disk full"),
        pytest.param("index.blocks.write", "item_403", id="write block"),
    ],
)
def test_lines_wait_while_the_data_stream_is_blocked(
    stream: Stream, log_directory: LogDirectory, shipper: MakeShipper, block: str, reason: str
) -> None:
    daemon = shipper({"output": stream.output})
    daemon.start()
    log_directory.write(10)
    daemon.wait_until(lambda: stream.count() >= 10, "the first documents are there")
    stream.change_settings({block: True})
    log_directory.write(10)
    daemon.wait_until(
        lambda: daemon.metrics().value("shipper_retries_total", reason=reason) >= 20,
        "the lines are sent again",
    )
    assert not daemon.ready()
    assert "blocked" in daemon.why_not_ready()
    stream.change_settings({block: None})
    ship(daemon, stream, 20)
    assert_shipped_once(stream, 20)
    assert not dead_letters(daemon).exists()


def test_lines_wait_while_the_pipeline_does_not_exist(
    stream: Stream, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    log_directory.write(10)
    daemon = shipper({"output": {**stream.output, "pipeline": stream.name}})
    daemon.start()
    daemon.wait_until(
        lambda: daemon.metrics().value("shipper_retries_total", reason="item_400") >= 20,
        "the lines are sent again",
    )
    assert not daemon.ready()
    assert f"pipeline with id [{stream.name}] does not exist" in daemon.why_not_ready()
    path = f"/_ingest/pipeline/{stream.name}"
    client.request(stream.server.url, "PUT", path, {"processors": []}).expect(200)
    ship(daemon, stream, 10)
    assert_shipped_once(stream, 10)
    assert not dead_letters(daemon).exists()
    client.request(stream.server.url, "DELETE", path).expect(200)


@pytest.mark.parametrize("name", NAMES)
def test_a_node_under_pressure_gets_everything_in_the_end(
    name: str,
    start_search_server: StartSearchServer,
    log_directory: LogDirectory,
    shipper: MakeShipper,
) -> None:
    # Room for one of the requests at a time, not for two.
    stream = new_stream(
        start_search_server(name, settings={"indexing_pressure.memory.limit": "1mb"})
    )
    log_directory.write(3000)
    bulk = {"max_bytes": "512KiB"}
    daemon = shipper({"output": {**stream.output, "bulk": bulk, "max_in_flight": 8}})
    daemon.start()
    daemon.wait_until(lambda: stream.count() >= 3000, "all documents are there")
    retries = daemon.metrics().by("shipper_retries_total", "reason")
    assert retries.get("429", 0) + retries.get("item_429", 0) > 0
    assert daemon.sigterm() == 0
    assert_shipped_once(stream, 3000)
