"""The pytest plugin: real search servers as fixtures.

The nodes are shared by the whole session: use a data stream of your own (``data_stream`` is the
name of one, ``stream`` answers questions).
``search_server`` runs the test on both, and with ``on_elasticsearch`` or ``on_opensearch`` on one.
``start_search_server`` starts nodes of the test's own, for other settings and for restarts.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.servers import client
from tests.servers.launcher import NAMES, SearchServer, missing_tools, start
from tests.servers.stream import Stream

on_elasticsearch = pytest.mark.parametrize("search_server", ["elasticsearch"], indirect=True)
on_opensearch = pytest.mark.parametrize("search_server", ["opensearch"], indirect=True)


class StartSearchServer(Protocol):
    """Starts a node that is stopped when the test ends."""

    def __call__(
        self,
        name: str,
        *,
        directory: Path | None = None,
        settings: dict[str, str] | None = None,
        port: int | None = None,
    ) -> SearchServer:
        """Return the running node; without ``directory``, in a new one."""


@pytest.fixture(scope="session")
def real_server_tools() -> None:
    """Skip, or fail in CI, where the programs that real servers need are not installed."""
    absent = missing_tools()
    if not absent:
        return
    reason = f"NOT TESTED AGAINST REAL SERVERS: not installed: {', '.join(absent)}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def elasticsearch_server(
    real_server_tools: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SearchServer]:
    """An Elasticsearch node, shared by the session."""
    with start("elasticsearch", directory=tmp_path_factory.mktemp("elasticsearch")) as server:
        yield server


@pytest.fixture(scope="session")
def opensearch_server(
    real_server_tools: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SearchServer]:
    """An OpenSearch node, shared by the session."""
    with start("opensearch", directory=tmp_path_factory.mktemp("opensearch")) as server:
        yield server


@pytest.fixture(params=NAMES)
def search_server(request: pytest.FixtureRequest) -> SearchServer:
    """Each of the two shared nodes in turn."""
    server = request.getfixturevalue(f"{request.param}_server")
    assert isinstance(server, SearchServer)
    assert server.running, server.output()
    return server


@pytest.fixture
def start_search_server(
    real_server_tools: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartSearchServer]:
    """Start nodes of the test's own."""
    started: list[SearchServer] = []

    def run(
        name: str,
        *,
        directory: Path | None = None,
        settings: dict[str, str] | None = None,
        port: int | None = None,
    ) -> SearchServer:
        where = tmp_path_factory.mktemp(name) if directory is None else directory
        started.append(start(name, directory=where, settings=settings, port=port))
        return started[-1]

    yield run
    for server in started:
        server.kill()


@pytest.fixture
def data_stream(search_server: SearchServer) -> Iterator[str]:
    """A new data stream of the shared node, with a template and without documents."""
    name = f"logs-cilium_tetragon.log-{uuid.uuid4().hex[:12]}"
    client.put_data_stream_template(search_server.url, name, name)
    yield name
    client.delete_data_stream(search_server.url, name)


@pytest.fixture
def stream(search_server: SearchServer, data_stream: str) -> Stream:
    """The same as something that can be asked."""
    return Stream(search_server, data_stream)
