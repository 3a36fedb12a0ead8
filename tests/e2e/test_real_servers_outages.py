"""What operators do to a real cluster while it is shipped to: nothing is lost, nothing doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.servers import SearchServer
from tests.servers.client import request
from tests.servers.fixtures import StartSearchServer
from tests.servers.launcher import NAMES
from tests.servers.stream import Stream, new_stream
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

pytestmark = pytest.mark.real_server


RATE = 500.0
"""Lines a second that are written while a node stops and starts."""


def assert_counted(daemon: ShipperProcess, lines: int) -> None:
    """Every line that the daemon read was delivered by it, or was there already."""
    daemon.wait_until_idle()
    page = daemon.metrics()
    assert page.uncounted_lines == 0
    events = page.by("shipper_events_total", "outcome")
    assert events["delivered"] + events["already_delivered"] == sum(events.values()) == lines
    assert not list(Path(daemon.config["data_dir"]).glob("dead-letter*"))


@pytest.mark.parametrize("name", NAMES)
def test_a_node_that_is_stopped_and_started_while_lines_come(
    name: str, start_search_server: StartSearchServer, tmp_path: Path, shipper: MakeShipper
) -> None:
    node = start_search_server(name)
    stream = new_stream(node)
    logs = LogDirectory(tmp_path / "busy", max_bytes=300_000)
    daemon = shipper({"inputs": [{"id": "busy", "paths": [logs.glob]}], "output": stream.output})
    daemon.start()
    with logs.writing(RATE):
        daemon.wait_until(lambda: stream.count() > 0, "first documents are there")
        # In good order: requests that are under way are answered, or cut.
        node.stop()
        daemon.wait_until(lambda: node.url in daemon.why_not_ready(), "it says what is away")
        start_search_server(name, directory=node.directory, port=node.port)
        daemon.wait_until(daemon.ready, "the daemon is ready again")
    daemon.wait_until(lambda: stream.count() >= logs.written, "all are there")
    logs.close()
    assert_counted(daemon, logs.written)
    audit = stream.audit(logs.written)
    assert audit.passed, audit


def test_a_data_stream_that_is_deleted_while_lines_come_is_made_again(
    stream: Stream, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    daemon = shipper({"output": stream.output})
    daemon.start()
    log_directory.write(20)
    daemon.wait_until(lambda: stream.count() == 20, "the first documents are there")
    daemon.wait_until_idle()
    stream.delete()
    log_directory.write(30)
    daemon.wait_until(lambda: stream.count() == 30, "those that came later are there")
    assert_counted(daemon, 50)
    audit = stream.audit(50)
    # What the operator deleted is gone, and is not sent again.
    assert (audit.lost, audit.lost_numbers[:3]) == (20, (0, 1, 2))
    assert (audit.doubled, audit.strange) == (0, 0)


@pytest.mark.parametrize("block", ["read_only", "read_only_allow_delete"])
def test_lines_wait_while_the_whole_cluster_is_read_only(
    search_server: SearchServer,
    stream: Stream,
    log_directory: LogDirectory,
    shipper: MakeShipper,
    block: str,
) -> None:
    def set_block(value: bool | None) -> None:
        body = {"persistent": {f"cluster.blocks.{block}": value}}
        request(search_server.url, "PUT", "/_cluster/settings", body).expect(200)

    daemon = shipper({"output": stream.output})
    daemon.start()
    log_directory.write(10)
    daemon.wait_until(lambda: stream.count() == 10, "the first documents are there")
    set_block(True)
    try:
        log_directory.write(10)
        daemon.wait_until(
            lambda: daemon.metrics().value("shipper_retries_total", reason="403") >= 3,
            "the lines are sent again",
        )
        assert not daemon.ready()
        assert "cluster read-only" in daemon.why_not_ready()
    finally:
        set_block(None)
    daemon.wait_until(lambda: stream.count() == 20, "all are there")
    assert_counted(daemon, 20)
    audit = stream.audit(20)
    assert audit.passed, audit
