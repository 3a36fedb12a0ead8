"""What the presets do: how soon events are there, and in how many requests."""

from __future__ import annotations

import time
from functools import partial

from shipper.config.outputs import BulkConfig
from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

LINES = 10


def started(make: MakeShipper, preset: str) -> ShipperProcess:
    """Return a daemon that has sent what there was at its start, with the preset's own numbers."""
    process = make({"output": {"preset": preset}})
    # The quick ones of the tests would win.
    output = process.config["output"]
    own = {key: value for key, value in output.items() if key not in ("bulk", "backoff")}
    process.write_config({**process.config, "output": own})
    process.start()
    return process


def write_one_by_one(process: ShipperProcess, log_directory: LogDirectory) -> None:
    """Write lines, each once the one before has been read."""
    read = process.metrics().value("shipper_lines_read_total")
    for number in range(LINES):
        log_directory.write(1)
        expected = read + number + 1
        process.wait_until(partial(has_read, process, expected), f"{expected} lines are read")


def are_done(process: ShipperProcess, lines: float) -> bool:
    return process.metrics().value("shipper_events_total") == lines


def has_read(process: ShipperProcess, lines: float) -> bool:
    return process.metrics().value("shipper_lines_read_total") == lines


def test_latency_sends_each_event_soon(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(1)
    process = started(shipper, "latency")
    bulk_server.wait_for_lines(1)
    began = time.monotonic()
    for number in range(LINES):
        # No other line comes that could make the request full.
        log_directory.write(1)
        bulk_server.wait_for_lines(2 + number)
    assert [len(request.ids) for request in bulk_server.requests] == [1] * (1 + LINES)
    # By default each would have waited longer than this on the average.
    assert time.monotonic() - began < LINES * BulkConfig().linger
    assert process.sigterm() == 0


def test_scale_waits_for_more(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(1)
    process = started(shipper, "scale")
    # The first request waits for nothing, by whatever preset.
    bulk_server.wait_for_lines(1)
    write_one_by_one(process, log_directory)
    assert process.metrics().value("shipper_in_flight_events") == LINES
    assert len(bulk_server.requests) == 1
    # The end of the daemon is the end of the wait.
    assert process.sigterm() == 0
    assert [len(request.ids) for request in bulk_server.requests] == [1, LINES]


def test_a_burst_goes_in_small_requests_with_latency_and_in_one_with_scale(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(500)
    sizes = {}
    for preset in ("latency", "scale"):
        before = len(bulk_server.requests)
        process = started(shipper, preset)
        process.wait_until(partial(are_done, process, 500), "all lines are done")
        assert process.sigterm() == 0
        sizes[preset] = [len(request.ids) for request in bulk_server.requests[before:]]
    assert sum(sizes["latency"]) == sum(sizes["scale"]) == 500
    assert len(sizes["scale"]) == 1
    assert len(sizes["latency"]) > 2
