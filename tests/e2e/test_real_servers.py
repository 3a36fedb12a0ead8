"""The real daemon against the real Elasticsearch and OpenSearch; what it shipped is read by search."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shipper.demo.events import SEQUENCE
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
from tests.servers.bulk import new_name
from tests.servers.fixtures import StartSearchServer
from tests.servers.launcher import NAMES
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

pytestmark = pytest.mark.real_server

FIELDS = {"cluster": "prod-1", "rack": {"row": 3, "spare": False}}
TAGS = ["edge", "tetragon"]

KILLS = 5
RATE = 1500.0
"""Lines per second that are written while the daemon is killed."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A data stream of a server, as whoever searches it sees it."""

    server: SearchServer
    name: str

    @property
    def output(self) -> dict[str, object]:
        """The section of a configuration that ships to it."""
        return {"hosts": [self.server.url], "data_stream": self.name}

    def count(self) -> int:
        """Return how many documents there are now."""
        if not client.backing_indices(self.server.url, self.name):
            return 0
        client.refresh(self.server.url, self.name)
        return client.count(self.server.url, self.name)

    def hits(self) -> list[dict[str, Any]]:
        """Return all documents with their ids, those of a file in the order of its lines."""
        client.refresh(self.server.url, self.name)
        return sorted(client.search_all(self.server.url, self.name), key=lambda hit: hit["_id"])


@pytest.fixture
def stream(search_server: SearchServer, data_stream: str) -> Stream:
    """A new data stream on each of the shared nodes."""
    return Stream(search_server, data_stream)


def new_stream(server: SearchServer) -> Stream:
    """Return a new data stream of a node of the test's own."""
    name = new_name()
    client.put_data_stream_template(server.url, name, name)
    return Stream(server, name)


def assert_each_line_is_there_once(stream: Stream, written: int) -> None:
    """The documents are the numbered lines 0 to ``written`` - 1, none missing and none doubled."""
    found = Counter(
        int(number)
        for hit in stream.hits()
        for number in SEQUENCE.findall(hit["_source"]["message"].encode())
    )
    missing = set(range(written)) - set(found)
    doubled = {number for number, times in found.items() if times > 1}
    assert (missing, doubled, found.total()) == (set(), set(), written)


def outcomes(daemon: ShipperProcess) -> dict[str, float]:
    """Return how the lines ended that a daemon read since its start, without what was not seen."""
    counted = daemon.metrics().by("shipper_events_total", "outcome")
    return {outcome: lines for outcome, lines in counted.items() if lines}


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
    daemon.wait_until(lambda: stream.count() >= len(SAMPLES), "all documents are there")
    assert outcomes(daemon) == {"delivered": len(SAMPLES), "blank": 2 * len(BLANK)}
    assert daemon.sigterm() == 0

    hits = stream.hits()
    shipped = Shipped(stream.name, "worker-1", FIELDS, TAGS, ReadBetween(began, datetime.now(UTC)))
    for path in log_directory.files:
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
    assert len({hit["_id"][:16] for hit in hits}) == len(log_directory.files)
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
    daemon.wait_until(lambda: stream.count() >= 300, "all documents are there")
    assert daemon.sigterm() == 0
    before = stream.hits()

    shutil.rmtree(daemon.config["data_dir"])
    daemon.start()
    daemon.wait_until(
        lambda: outcomes(daemon) == {"already_delivered": 300}, "all are sent and known"
    )
    assert daemon.sigterm() == 0
    assert stream.hits() == before
    assert_each_line_is_there_once(stream, 300)


# Deaths


def test_kill_9_in_the_middle_loses_and_doubles_nothing(
    stream: Stream, tmp_path: Path, shipper: MakeShipper
) -> None:
    logs = LogDirectory(tmp_path / "busy", max_bytes=300_000)
    source = {"id": "tetragon", "paths": [logs.glob]}
    daemon = shipper({"inputs": [source], "output": {**stream.output, "bulk": {"max_events": 50}}})
    # Lines are written and files rotated all the time, so each kill is in the middle.
    with writing(logs):
        for _ in range(KILLS):
            more_are_there = grown(stream)
            daemon.start()
            daemon.wait_until(more_are_there, "more documents are there")
            daemon.kill9()
    assert logs.writer.rotations > KILLS
    daemon.start()
    daemon.wait_until(lambda: stream.count() >= logs.written, "all documents are there")
    assert daemon.sigterm() == 0
    assert_each_line_is_there_once(stream, logs.written)


@contextmanager
def writing(logs: LogDirectory) -> Iterator[None]:
    """Write RATE lines a second for as long as the block lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=logs.writer.run, args=(RATE, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def grown(stream: Stream) -> Callable[[], bool]:
    """Return what says whether there are more documents than now."""
    there = stream.count()
    return lambda: stream.count() > there


@pytest.mark.parametrize("name", NAMES)
def test_a_node_that_crashes_and_comes_back_loses_and_doubles_nothing(
    name: str,
    start_search_server: StartSearchServer,
    log_directory: LogDirectory,
    shipper: MakeShipper,
) -> None:
    node = start_search_server(name)
    stream = new_stream(node)
    daemon = shipper({"output": {**stream.output, "bulk": {"max_events": 50}}})
    daemon.start()
    log_directory.write(1000)
    daemon.wait_until(lambda: stream.count() > 0, "the first documents are there")
    node.kill()
    log_directory.write(500)
    log_directory.rotate()
    log_directory.write(500)
    daemon.wait_until(lambda: not daemon.ready(), "the daemon is not ready")
    assert node.url in daemon.why_not_ready()

    start_search_server(name, directory=node.directory, port=node.port)
    daemon.wait_until(lambda: stream.count() >= 2000, "all documents are there")
    daemon.wait_until_ready()
    assert daemon.sigterm() == 0
    assert_each_line_is_there_once(stream, 2000)


# Refusals


def test_a_refused_document_is_a_dead_letter_and_the_others_are_delivered(
    search_server: SearchServer, tmp_path: Path, shipper: MakeShipper
) -> None:
    stream = Stream(search_server, new_name())
    # Mapped as a number, and one of the inputs gives a text.
    number = {"properties": {"x": {"type": "long"}}}
    mappings = {
        **client.MAPPINGS,
        "properties": {**client.MAPPINGS["properties"], "fields": number},
    }
    client.put_data_stream_template(search_server.url, stream.name, stream.name, mappings)
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
    assert_each_line_is_there_once(stream, 20)

    file = Path(daemon.config["data_dir"], "dead-letter.ndjson")
    letters = [json.loads(line) for line in file.read_text().splitlines()]
    lines = bad.log.read_bytes().split(b"\n")
    assert [letter["line"].encode() for letter in letters] == lines[:-1]
    assert [letter["offset"] for letter in letters] == [
        sum(len(line) + 1 for line in lines[:number]) for number in range(3)
    ]
    for letter in letters:
        assert ID.fullmatch(letter["id"])
        assert (letter["status"], letter["path"]) == (400, str(bad.log))
        # Elasticsearch: document_parsing_exception; OpenSearch: mapper_parsing_exception.
        assert re.search(r"parsing_exception: .*field \[fields\.x\]", letter["reason"])
    client.delete_data_stream(search_server.url, stream.name)


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
    assert_each_line_is_there_once(stream, 3000)


# shipper check


def check(
    tmp_path: Path, log_directory: LogDirectory, output: dict[str, object]
) -> subprocess.CompletedProcess[str]:
    """Return what ``shipper check`` said and ended with."""
    config = tmp_path / "check.yml"
    # JSON is YAML.
    source = {"id": "tetragon", "paths": [log_directory.glob]}
    config.write_text(
        json.dumps({"inputs": [source], "data_dir": str(tmp_path / "data"), "output": output})
    )
    return subprocess.run(
        [sys.executable, "-m", "shipper", "check", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_check_finds_nothing_wrong_where_there_is_a_template(
    stream: Stream, log_directory: LogDirectory, tmp_path: Path
) -> None:
    done = check(tmp_path, log_directory, stream.output)
    assert (done.returncode, done.stderr) == (0, "")
    assert stream.server.url in done.stdout
    assert f"there is one for {stream.name}" in done.stdout
    assert done.stdout.endswith("nothing wrong\n")
    # Asking has made nothing.
    assert client.backing_indices(stream.server.url, stream.name) == []


def test_check_finds_nothing_wrong_where_lines_were_shipped(
    stream: Stream, log_directory: LogDirectory, shipper: MakeShipper, tmp_path: Path
) -> None:
    log_directory.write(5)
    daemon = shipper({"output": stream.output})
    daemon.start()
    daemon.wait_until(lambda: stream.count() >= 5, "all documents are there")
    assert daemon.sigterm() == 0
    done = check(tmp_path, log_directory, stream.output)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"may write +ok", done.stdout)
    assert stream.count() == 5


def test_check_says_that_the_template_is_missing_and_what_to_do(
    search_server: SearchServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    stream = Stream(search_server, new_name())
    done = check(tmp_path, log_directory, stream.output)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(rf"template +WRONG +there is none for {stream.name}", done.stdout)
    assert "-> install the Tetragon integration" in done.stdout
    assert done.stdout.endswith("1 wrong\n")
    assert client.count(search_server.url, stream.name) == 0


def test_check_says_that_the_data_stream_is_a_plain_index(
    search_server: SearchServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    stream = Stream(search_server, new_name())
    client.request(search_server.url, "PUT", f"/{stream.name}").expect(200)
    done = check(tmp_path, log_directory, stream.output)
    client.request(search_server.url, "DELETE", f"/{stream.name}").expect(200)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(rf"data stream +WRONG +{stream.name} is a plain index", done.stdout)
