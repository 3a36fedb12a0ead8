"""The fixtures of all tests, the ``--long`` option, and a loud word on what could not be tested.

``bulk_server`` and ``log_directory`` are a server and a directory of the test's own; ``shipper``
makes daemons that follow the one and ship to the other. See ``tests.support`` for an example.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from shipper.documents.native import core
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess, overlay
from tests.support.workers import scheduler

pytest_plugins = ["tests.servers.fixtures", "tests.support.native"]

TOOLS = {"java": "real_server", "mvn": "real_server", "go": "helm", "valgrind": "valgrind"}
"""Programs that tests of these markers need."""


class MakeShipper(Protocol):
    """Makes a daemon that is killed when the test ends, if it still runs."""

    def __call__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ShipperProcess:
        """Return it, not started.

        ``config`` is laid over a quick one from ``log_directory`` to ``bulk_server``. Each has a
        directory of its own (data, log) when none is given; the same one gives the same data.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long variants too (minutes)")


@pytest.hookimpl(optionalhook=True)  # It is one of xdist's.
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return scheduler(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: chosen by --long"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    native, state = core({})
    if not absent and native is not None:
        return
    markers = sorted({TOOLS[tool] for tool in absent})
    terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
    if absent:
        terminalreporter.line(
            f"not installed: {', '.join(absent)}; tests marked {' and '.join(markers)} could not "
            "run",
            red=True,
        )
    if native is None:
        terminalreporter.line(
            f"native core: {state}; the encoder was tested without it (`./dev native`)", red=True
        )


@pytest.fixture
def bulk_server() -> Iterator[BulkServer]:
    """A bulk server that takes everything until it is told otherwise."""
    with BulkServer() as server:
        yield server


@pytest.fixture
def log_directory(tmp_path: Path) -> Iterator[LogDirectory]:
    """A log directory without lines."""
    directory = LogDirectory(tmp_path / "tetragon")
    yield directory
    directory.close()


@pytest.fixture
def shipper(
    tmp_path: Path, bulk_server: BulkServer, log_directory: LogDirectory
) -> Iterator[MakeShipper]:
    """Make daemons from ``log_directory`` to ``bulk_server``."""
    made: list[ShipperProcess] = []

    def make(
        config: Mapping[str, Any] | None = None,
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ShipperProcess:
        usual = {
            "inputs": [{"id": "tetragon", "paths": [log_directory.glob]}],
            "output": {"hosts": [bulk_server.url]},
        }
        where = tmp_path / f"shipper-{len(made)}" if directory is None else directory
        made.append(ShipperProcess(overlay(usual, config or {}), where, environment=environment))
        return made[-1]

    yield make
    try:
        for process in made:
            process.assert_event_loop_turned()
    finally:
        for process in made:
            process.kill()
