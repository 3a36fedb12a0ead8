"""Plain indices and aliases on the real Elasticsearch and OpenSearch, read back by search."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shipper.demo.audit import LineCounts
from shipper.demo.events import EventSource
from tests.conftest import MakeShipper
from tests.servers import SearchServer, client
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

pytestmark = pytest.mark.real_server


MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
LINES = 120
"""Half of them before midnight, half of them after."""


@dataclass(frozen=True, slots=True)
class Indices:
    """All indices of a server whose names begin with a prefix of the test's own."""

    server: SearchServer
    prefix: str

    def output(self, rest: str = "", **more: object) -> dict[str, object]:
        """The section of a configuration that ships to one of them, named PREFIX and the rest."""
        return {"hosts": [self.server.url], "index": f"{self.prefix}{rest}", **more}

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return what is answered to a request that has to succeed."""
        return client.request(self.server.url, method, path, body).expect(200).json()

    def count(self) -> int:
        """Return how many documents there are now in all of them."""
        client.refresh(self.server.url, f"{self.prefix}*")
        return client.count(self.server.url, f"{self.prefix}*")

    def hits(self) -> list[dict[str, Any]]:
        """Return all documents, by index and id."""
        client.refresh(self.server.url, f"{self.prefix}*")
        hits = client.search_all(self.server.url, f"{self.prefix}*")
        return sorted(hits, key=lambda hit: (hit["_index"], hit["_id"]))


@pytest.fixture
def indices(search_server: SearchServer) -> Iterator[Indices]:
    """Indices that nobody has; what becomes of them is deleted."""
    prefix = f"plain-{uuid.uuid4().hex[:12]}"
    yield Indices(search_server, prefix)
    found = client.request(search_server.url, "GET", f"/_resolve/index/{prefix}*").json()
    for index in found["indices"]:
        client.request(search_server.url, "DELETE", f"/{index['name']}").expect(200)


def write_two_days(log_directory: LogDirectory) -> None:
    """Write LINES numbered lines, a second each, with midnight in their middle."""
    source = EventSource(random.Random(5))
    begin = int(MIDNIGHT.timestamp()) - LINES // 2
    lines = [source.line(number, (begin + number) * 10**9 + 999_999_999) for number in range(LINES)]
    log_directory.append(b"".join(line + b"\n" for line in lines))


def outcomes(daemon: ShipperProcess) -> dict[str, float]:
    counted = daemon.metrics().by("shipper_events_total", "outcome")
    return {outcome: lines for outcome, lines in counted.items() if lines}


def wait_for(daemon: ShipperProcess, expected: dict[str, float]) -> None:
    daemon.wait_until(lambda: outcomes(daemon) == expected, f"{expected}")


def assert_each_line_is_there_once(hits: list[dict[str, Any]], written: int) -> None:
    counts = LineCounts()
    for hit in hits:
        # An id is unique within one index alone.
        counts.take(f"{hit['_index']}/{hit['_id']}", hit["_source"]["message"].encode())
    audit = counts.audit(written)
    assert audit.passed, audit
    assert audit.delivered == written == len(hits)


def test_lines_of_two_days_are_in_two_indices_and_nothing_is_doubled_by_a_lost_registry(
    indices: Indices, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    write_two_days(log_directory)
    daemon = shipper({"output": indices.output("-%{+yyyy.MM.dd}")})
    daemon.start()
    wait_for(daemon, {"delivered": LINES})
    assert daemon.sigterm() == 0

    hits = indices.hits()
    assert_each_line_is_there_once(hits, LINES)
    days = [hit["_source"]["@timestamp"][:10].replace("-", ".") for hit in hits]
    assert [hit["_index"] for hit in hits] == [f"{indices.prefix}-{day}" for day in days]
    assert Counter(days) == {"2026.11.24": LINES // 2, "2026.11.25": LINES // 2}
    assert not any("data_stream" in hit["_source"] for hit in hits)
    assert {hit["_source"]["event"]["dataset"] for hit in hits} == {"cilium_tetragon.log"}

    shutil.rmtree(daemon.config["data_dir"])
    daemon.start()
    wait_for(daemon, {"already_delivered": LINES})
    assert daemon.sigterm() == 0
    assert indices.hits() == hits


def test_each_input_has_the_index_that_its_fields_name(
    indices: Indices, tmp_path: Path, shipper: MakeShipper
) -> None:
    teams = {"one": "A-Team", "two": None}
    inputs = []
    for name, team in teams.items():
        logs = LogDirectory(tmp_path / name)
        logs.write(10)
        fields = {"fields": {"team": team}} if team else {}
        inputs.append({"id": name, "paths": [logs.glob], **fields})
    output = indices.output("-%{[fields.team]:nobody}", ids="auto")
    daemon = shipper({"inputs": inputs, "output": output})
    daemon.start()
    wait_for(daemon, {"delivered": 20})
    assert daemon.sigterm() == 0
    assert Counter(hit["_index"] for hit in indices.hits()) == {
        f"{indices.prefix}-a-team": 10,
        f"{indices.prefix}-nobody": 10,
    }


# What is the cluster's fault, and no event's


def test_lines_wait_while_an_alias_has_no_index_to_write_to(
    indices: Indices, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    one, two, alias = (f"{indices.prefix}-{name}" for name in ("1", "2", "alias"))
    for index in (one, two):
        indices.ask("PUT", f"/{index}", {"aliases": {alias: {}}})
    log_directory.write(10)
    daemon = shipper({"output": indices.output("-alias")})
    daemon.start()
    daemon.wait_until(lambda: "no write index" in daemon.why_not_ready(), "it says what is missing")
    action = {"add": {"index": two, "alias": alias, "is_write_index": True}}
    indices.ask("POST", "/_aliases", {"actions": [action]})
    wait_for(daemon, {"delivered": 10})
    assert daemon.sigterm() == 0
    hits = indices.hits()
    assert_each_line_is_there_once(hits, 10)
    assert {hit["_index"] for hit in hits} == {two}


def test_lines_wait_while_their_index_is_closed(
    indices: Indices, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    indices.ask("PUT", f"/{indices.prefix}")
    indices.ask("POST", f"/{indices.prefix}/_close")
    log_directory.write(10)
    daemon = shipper({"output": indices.output()})
    daemon.start()
    daemon.wait_until(lambda: "index_closed" in daemon.why_not_ready(), "it says what is closed")
    indices.ask("POST", f"/{indices.prefix}/_open")
    wait_for(daemon, {"delivered": 10})
    assert daemon.sigterm() == 0
    assert_each_line_is_there_once(indices.hits(), 10)


def test_lines_wait_while_the_cluster_takes_no_more_shards(
    indices: Indices, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    limit = "cluster.max_shards_per_node"
    # Else there is none yet, and a new index would be within the limit.
    indices.ask("PUT", f"/{indices.prefix}-first")
    indices.ask("PUT", "/_cluster/settings", {"persistent": {limit: 1}})
    try:
        log_directory.write(10)
        daemon = shipper({"output": indices.output("-%{+yyyy}")})
        daemon.start()
        daemon.wait_until(lambda: "shards" in daemon.why_not_ready(), "it says what is full")
    finally:
        indices.ask("PUT", "/_cluster/settings", {"persistent": {limit: None}})
    wait_for(daemon, {"delivered": 10})
    assert daemon.sigterm() == 0
    assert_each_line_is_there_once(indices.hits(), 10)


# shipper check


def check(tmp_path: Path, log_directory: LogDirectory, output: dict[str, object]) -> str:
    """Return what ``shipper check`` says, its exit code before it."""
    config = tmp_path / "check.yml"
    source = {"id": "tetragon", "paths": [log_directory.glob]}
    # JSON is YAML.
    data_dir = str(tmp_path / "data")
    content = {"inputs": [source], "data_dir": data_dir, "output": output}
    config.write_text(json.dumps({**content, "admin": {"enabled": False}}))
    done = subprocess.run(
        [sys.executable, "-m", "shipper", "check", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return f"{done.returncode} {done.stdout}"


def test_check_says_that_the_first_line_makes_the_index_of_today(
    indices: Indices, log_directory: LogDirectory, tmp_path: Path
) -> None:
    said = check(tmp_path, log_directory, indices.output("-%{+yyyy}"))
    assert said.startswith("0 ")
    assert re.search(
        rf"OK +index +the first event creates {indices.prefix}-20\d\d; no template", said
    )
    # Asking has made nothing.
    found = indices.ask("GET", f"/_resolve/index/{indices.prefix}*")
    assert found == {"indices": [], "aliases": [], "data_streams": []}


def test_check_writes_nothing_into_an_index_that_is_there(
    indices: Indices, log_directory: LogDirectory, tmp_path: Path
) -> None:
    indices.ask("PUT", f"/{indices.prefix}", {"aliases": {f"{indices.prefix}-alias": {}}})
    for rest in ("", "-alias"):
        said = check(tmp_path, log_directory, indices.output(rest))
        assert said.startswith("0 ")
        assert re.search(rf"OK +index +{indices.prefix}{rest}", said)
        assert re.search(r"OK +write permission", said)
    assert indices.count() == 0
    indices.ask("PUT", f"/{indices.prefix}/_settings", {"index.blocks.write": True})
    said = check(tmp_path, log_directory, indices.output())
    assert said.startswith("1 ")
    assert re.search(r"FAILED +write permission +status 403: .*blocked by", said)
    indices.ask("PUT", f"/{indices.prefix}/_settings", {"index.blocks.write": None})
    indices.ask("POST", f"/{indices.prefix}/_close")
    said = check(tmp_path, log_directory, indices.output())
    assert said.startswith("1 ")
    assert re.search(rf"FAILED +index +{indices.prefix} is closed", said)
    indices.ask("POST", f"/{indices.prefix}/_open")


def test_check_says_that_an_alias_has_no_index_to_write_to(
    indices: Indices, log_directory: LogDirectory, tmp_path: Path
) -> None:
    for number in (1, 2):
        aliases: dict[str, object] = {f"{indices.prefix}-alias": {}}
        indices.ask("PUT", f"/{indices.prefix}-{number}", {"aliases": aliases})
    said = check(tmp_path, log_directory, indices.output("-alias"))
    assert said.startswith("1 ")
    assert re.search(r"FAILED +index .* without a write index", said)


def test_check_says_that_a_template_makes_a_data_stream_instead(
    indices: Indices, log_directory: LogDirectory, tmp_path: Path
) -> None:
    client.put_data_stream_template(indices.server.url, indices.prefix, f"{indices.prefix}*")
    said = check(tmp_path, log_directory, indices.output("-%{+yyyy}"))
    client.request(indices.server.url, "DELETE", f"/_index_template/{indices.prefix}").expect(200)
    assert said.startswith("1 ")
    assert re.search(
        rf"FAILED +index +a template makes {indices.prefix}-20\d\d a data stream", said
    )
