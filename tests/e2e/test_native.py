"""The native core in the real daemon: what it makes, and what is said of it."""

from __future__ import annotations

import random

import pytest

from shipper.demo.events import EventSource
from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.native import need_core

LINES = 400


def append(log_directory: LogDirectory) -> None:
    source = EventSource(random.Random(1))
    lines = [source.line(number, 1_795_000_000_123_456_789 + number) for number in range(LINES)]
    lines.append(b'{"time":"2026-11-24T04:32:37+01:00"}')
    log_directory.append(b"".join(line + b"\n" for line in lines))


@pytest.mark.parametrize("gzip", [True, False])
@pytest.mark.parametrize("form", ["raw", "ecs"])
def test_the_documents_are_the_same_with_the_core_and_without(
    form: str,
    gzip: bool,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
) -> None:
    need_core()
    append(log_directory)
    source = {"id": "tetragon", "paths": [log_directory.glob], "format": form}
    found = []
    for value, state in (("1", None), ("0", "turned off by SHIPPER_NATIVE=0")):
        config = {"inputs": [source], "output": {"compression": "gzip" if gzip else "none"}}
        process = shipper(config, environment={"SHIPPER_NATIVE": value})
        process.start()
        process.wait_until(lambda: len(bulk_server.documents) == LINES + 1, "all is stored")
        (said,) = process.logged("native-core")
        assert state is None or said["shipper.state"] == state
        metrics = process.metrics()
        assert metrics.value("shipper_native", input="tetragon") == float(value)
        declined = metrics.value("shipper_native_declined_lines_total", input="tetragon")
        assert (declined > 0) == (value == "1")
        assert process.sigterm() == 0
        # The ids of the agent are those of a data directory and a process.
        documents = bulk_server.documents.items()
        found.append({name: {**document, "agent": {}} for name, document in documents})
        bulk_server.documents.clear()
    assert found[0] == found[1]
