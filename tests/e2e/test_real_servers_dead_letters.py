"""Dead letters of the real Elasticsearch and OpenSearch: refused by a mapping, and sent again once
it is mended.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.servers import SearchServer, client
from tests.servers.stream import Stream, new_stream
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

pytestmark = pytest.mark.real_server

LINES = 8
"""Fewer than would be a wall, which is waited for."""


def mappings(kind: str) -> dict[str, Any]:
    """Return the usual ones, with a type for the field that is in the way."""
    field = {"properties": {"x": {"type": kind}}}
    return {**client.MAPPINGS, "properties": {**client.MAPPINGS["properties"], "fields": field}}


def deadletter(daemon: ShipperProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what a command said and ended with."""
    return subprocess.run(
        [sys.executable, "-m", "shipper", "deadletter", *arguments, "-c", str(daemon.config_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def mend(stream: Stream) -> None:
    """Have new documents go to an index that takes them."""
    url, name = stream.server.url, stream.name
    client.put_data_stream_template(url, name, name, mappings("keyword"))
    client.request(url, "POST", f"/{name}/_rollover").expect(200)


@pytest.fixture
def stream(search_server: SearchServer) -> Stream:
    """A data stream that takes no text for a field of the test's."""
    return new_stream(search_server, mappings("long"))


@pytest.fixture
def refused(stream: Stream, log_directory: LogDirectory, shipper: MakeShipper) -> ShipperProcess:
    """A daemon whose lines, LINES of them, are all refused for that field."""
    log_directory.write(LINES)
    source = {"id": "tetragon", "paths": [log_directory.glob], "fields": {"x": "naïve"}}
    daemon = shipper({"inputs": [source], "output": stream.output})
    daemon.start()
    daemon.wait_until(
        lambda: daemon.metrics().value("shipper_events_total", outcome="dead_letter") == LINES,
        "all are refused",
    )
    return daemon


def test_what_a_mapping_refused_is_replayed_once_the_mapping_is_mended(
    refused: ShipperProcess, stream: Stream
) -> None:
    daemon = refused
    assert stream.count() == 0
    dead_letters = [
        json.loads(line) for line in deadletter(daemon, "show", "--json").stdout.splitlines()
    ]
    assert {dead_letter["type"] for dead_letter in dead_letters} <= {
        "document_parsing_exception",
        "mapper_parsing_exception",
    }
    # Elasticsearch names the document and the value in each reason; they are one all the same.
    table = deadletter(daemon, "show", "--limit", "1").stdout.split("REASON\n")[1]
    assert table.startswith(f"{LINES:>8}  400 ")
    assert table.count("failed to parse field [fields.x] of type [long] in document with id …") == 1

    # Not mended yet: rejected again, and kept.
    done = deadletter(daemon, "replay")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith(f"replayed 0, already there 0, rejected again {LINES}, kept 0\n")

    mend(stream)
    done = deadletter(daemon, "replay", "--reason", "fields.x")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"replayed {LINES}, already there 0, rejected again 0, kept 0\n")
    assert deadletter(daemon, "show", "--json").stdout == ""
    audit = stream.audit(LINES)
    assert audit.passed, audit
    by_id = {dead_letter["id"]: dead_letter for dead_letter in dead_letters}
    for hit in stream.hits():
        dead_letter = by_id.pop(hit["_id"])
        assert hit["_source"] == {**dead_letter["document"], "message": dead_letter["line"]}
        assert hit["_source"]["fields"] == {"x": "naïve"}
    assert by_id == {}
    assert daemon.sigterm() == 0
    stream.delete()


def test_what_is_there_already_is_answered_so_and_not_doubled(
    refused: ShipperProcess, stream: Stream
) -> None:
    daemon = refused
    assert daemon.sigterm() == 0
    file = daemon.config_path.parent / "data" / "dead-letter.ndjson"
    dead_letters = file.read_bytes()
    mend(stream)
    assert deadletter(daemon, "replay").returncode == 0
    # As after a kill that came before anything was deleted.
    file.write_bytes(dead_letters)
    done = deadletter(daemon, "replay")
    assert done.stdout.endswith(f"replayed 0, already there {LINES}, rejected again 0, kept 0\n")
    assert stream.audit(LINES).passed
    stream.delete()
