"""The metrics in the log: what changed in an interval, and how things stand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from shipper.admin.metrics_log import MetricsLog
from shipper.metric_table import METRICS, Kind
from shipper.metrics import Metrics
from tests.support.clock import ManualClock, settle
from tests.support.logs import RecordedLog

INTERVAL = 30.0


class World:
    """Metrics, and their log."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.recorded = RecordedLog(self.clock)
        self.metrics = Metrics()
        self.metrics_log = MetricsLog(
            self.metrics, clock=self.clock, log=self.recorded.log, interval=INTERVAL
        )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line)["shipper"] for line in self.recorded.text.splitlines()]

    def emit(self) -> dict[str, Any]:
        self.metrics_log.emit()
        found: dict[str, Any] = self.lines()[-1]["metrics"]
        return found


@pytest.fixture
def world() -> World:
    return World()


IDLE = {"backlog_bytes": 0, "oldest_unacknowledged_seconds": 0, "ready": 0}


def test_a_line_comes_at_each_interval(world: World) -> None:
    async def story() -> None:
        running = asyncio.create_task(world.metrics_log.run())
        await settle()
        for _ in range(3):
            await world.clock.advance(INTERVAL)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(story())
    assert world.recorded.actions() == ["metrics"] * 3
    assert world.lines()[0] == {"interval_seconds": 30, "metrics": IDLE}
    assert {entry["log.level"] for entry in world.recorded.entries()} == {"info"}


def test_counters_are_there_by_how_much_they_grew_and_if_they_did(world: World) -> None:
    world.metrics.count("shipper_lines_read_total", 5, "a")
    world.metrics.count("shipper_events_total", 4, "delivered")
    world.metrics.count("shipper_events_total", 1, "dropped")
    assert world.emit() == {
        "lines_read": 5,
        "events": {"delivered": 4, "dropped": 1},
        **IDLE,
    }
    world.metrics.count("shipper_events_total", 2, "delivered")
    assert world.emit() == {"events": {"delivered": 2}, **IDLE}
    assert world.emit() == IDLE


def test_gauges_are_there_as_they_are_with_the_backlog_and_its_age_in_any_case(
    world: World,
) -> None:
    world.metrics.gauge("shipper_backlog_bytes", lambda: 70, "a")
    world.metrics.gauge("shipper_backlog_bytes", lambda: 7, "b")
    world.metrics.gauge("shipper_oldest_unacknowledged_seconds", lambda: 1.23456)
    world.metrics.gauge("shipper_files_tracked", lambda: 2, "a")
    world.metrics.gauge("shipper_build_info", lambda: 1, "1.0", "3.11")
    assert world.emit() == {
        "backlog_bytes": 77,
        "oldest_unacknowledged_seconds": 1.235,
        "files_tracked": 2,
        "ready": 0,
    }


def test_requests_have_their_mean_duration(world: World) -> None:
    world.metrics.bulk_seconds.observe(0.1)
    world.metrics.bulk_seconds.observe(0.2)
    assert world.emit() == {"bulk_request_seconds_mean": 0.15, **IDLE}
    assert world.emit() == IDLE


def test_labels_that_strangers_choose_are_summed_and_the_line_is_bounded(world: World) -> None:
    for number in range(1000):
        world.metrics.count("shipper_lines_read_total", 1, f"input-{number}")
        world.metrics.count("shipper_refused_events_total", 1, f"type-{number}")
        world.metrics.count("shipper_retries_total", 1, f"reason-{number}")
        world.metrics.count("shipper_bulk_requests_total", 1, f"{number}")
    for row in METRICS:
        if row.kind is Kind.COUNTER and "reason" not in row.labels:
            world.metrics.count(row.name, 10**12, *("x" for _ in row.labels))
        if row.kind is Kind.GAUGE:
            world.metrics.gauge(row.name, lambda: 10**12, *("x" for _ in row.labels))
    found = world.emit()
    assert found["lines_read"] == 1000 + 10**12
    assert found["refused_events"] == 1000 + 10**12
    assert len(found["retries"]) == len(found["bulk_requests"]) == 20
    assert len(world.recorded.text) < 4000


def test_dropped_log_messages_are_among_them(world: World) -> None:
    dropped = {"queue_full": 0, "rate_limit": 3}
    world.metrics.follow("shipper_log_messages_dropped_total", lambda: dropped)
    assert world.emit() == {"log_messages_dropped": {"rate_limit": 3}, **IDLE}
