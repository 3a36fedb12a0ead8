"""The real servers start, restart and stop, and none outlives who started it."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import SearchServer, ServerError
from tests.servers.bulk import bulk, create, items
from tests.servers.client import put_data_stream_template, request
from tests.servers.fixtures import StartSearchServer
from tests.servers.launcher import NAMES, free_port

pytestmark = pytest.mark.real_server


def test_a_node_says_its_version(search_server: SearchServer) -> None:
    expected = {"elasticsearch": "8.15.3", "opensearch": "2.19.1"}
    assert search_server.version == expected[search_server.name]


@pytest.mark.parametrize("name", NAMES)
def test_a_node_starts_again_on_its_data_and_port_with_other_settings(
    name: str, start_search_server: StartSearchServer
) -> None:
    large = create("large", message="x " * 1_500_000)
    small = {"indexing_pressure.memory.limit": "2mb"}
    first = start_search_server(name, settings=small)
    put_data_stream_template(first.url, "restart", "restart")
    assert items(bulk(first, "restart", create("kept")))[0]["status"] == 201

    # The whole request, for its size. Elasticsearch: es_rejected_execution_exception.
    refused = bulk(first, "restart", large).expect(429).json()
    assert refused["error"]["type"].endswith("rejected_execution_exception")
    assert refused["status"] == 429

    first.stop()
    assert not first.running
    with pytest.raises(ConnectionRefusedError):
        request(first.url, "GET", "/_cluster/health")

    second = start_search_server(name, directory=first.directory, port=first.port)
    assert second.url == first.url
    assert items(bulk(second, "restart", create("kept")))[0]["status"] == 409
    assert items(bulk(second, "restart", large))[0]["status"] == 201


@pytest.mark.parametrize("name", NAMES)
def test_a_node_that_does_not_start_is_an_error_with_its_output(
    name: str, start_search_server: StartSearchServer
) -> None:
    with pytest.raises(ServerError, match=r"(?s)status 1.*no\.such\.setting"):
        start_search_server(name, settings={"no.such.setting": "1"})


def test_a_node_does_not_outlive_the_process_that_started_it(
    real_server_tools: None, tmp_path: Path
) -> None:
    port = free_port()
    arguments = ["elasticsearch", "--port", str(port), "--directory", str(tmp_path)]
    command = [sys.executable, "-m", "tests.servers", *arguments]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert any(f"http://127.0.0.1:{port}" in line for line in parent.stdout)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            request(f"http://127.0.0.1:{port}", "GET", "/_cluster/health")
        except ConnectionRefusedError:
            return
        except (OSError, http.client.HTTPException):
            pass  # in the middle of its end
        time.sleep(0.05)
    pytest.fail("the node is still there")
