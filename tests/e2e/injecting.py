"""Runs of the daemon in which awaited calls raise (`tests.support.injection`)."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.processes import ShipperProcess

AFTER_THE_LAST_COMMIT = [
    "shipper.output.elasticsearch.transport:__aexit__:",
    "shipper.output.elasticsearch.connections:close:",
    "shipper.output.elasticsearch.connections:_end:",
    "shipper.output.elasticsearch.resolver:close:",
]
"""The beginnings of places that close connections: the exit code says that this failed."""

PAGES = ["shipper.admin."]
"""Pages that these tests wait for."""


def raised(report: Path) -> set[str]:
    return set(report.read_text().splitlines())


RAISED: dict[str, set[str]] = {}
"""The places that raised, by the test. The tests of this module run in one process."""

Inject = Callable[..., Path]


@pytest.fixture
def injected(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Inject]:
    """Has places of a process raise, as a plan says, and returns the report."""
    report, path = tmp_path / "report", tmp_path / "plan"
    report.touch()

    def inject(process: ShipperProcess, **plan: Any) -> Path:
        path.write_text(json.dumps({"times": 1, "report": str(report), **plan}))
        process.executed_by = (sys.executable, "-m", "tests.support.injection", str(path))
        return report

    yield inject
    RAISED.setdefault(request.function.__name__, set()).update(raised(report))


def names_of_tests(module: ModuleType, *, long: bool) -> set[str]:
    """The tests of a module in which places raise, those that are `long` or the others."""
    return {
        name
        for name, test in vars(module).items()
        if name.startswith("test_")
        and "injected" in inspect.signature(test).parameters
        and any(mark.name == "long" for mark in getattr(test, "pytestmark", ())) == long
    }


def assert_counted_once(process: ShipperProcess, lines: int, read_again: int = 0) -> None:
    """Each of so many lines was read once and has one outcome, and nothing is held for any.

    ``read_again``: so many may be read and sent twice, with an outcome for each time.
    """
    page = process.metrics()
    outcomes = page.by("shipper_events_total", "outcome")
    read = page.value("shipper_lines_read_total")
    assert sum(outcomes.values()) == read
    assert lines <= read <= lines + read_again
    assert outcomes["already_delivered"] >= read - lines
    for name in ("events", "bytes", "requests"):
        assert page.value(f"shipper_in_flight_{name}") == 0
    assert page.value("shipper_internal_errors_total") > 0
