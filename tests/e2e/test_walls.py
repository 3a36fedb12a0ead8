"""Nearly everything is refused: a wall is waited for. A little is: it is a dead letter."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import Items
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

QUICK = {"output": {"backoff": {"initial": "20ms", "max": "100ms"}, "bulk": {"max_events": 50}}}
REASON = "document_parsing_exception: mapping set to strict, introduction of [x] is not allowed"


def dead_letters(process: ShipperProcess) -> Path:
    return Path(process.config["data_dir"], "dead-letter.ndjson")


def ended(process: ShipperProcess, lines: int) -> bool:
    """Whether so many lines have their outcome."""
    return sum(process.metrics().by("shipper_events_total", "outcome").values()) == lines


def ended_or_stopped(process: ShipperProcess, lines: int) -> bool:
    """Whether so many lines are read, and all of them are dead letters or a wall is said."""
    status = process.status()
    buried = status["events"]["dead_letter"] == lines
    return status["lines_read"] == lines and (buried or "same reason" in process.why_not_ready())


@pytest.mark.parametrize("concurrency", ["adaptive", "fixed"])
def test_a_wall_is_waited_for_and_said_and_then_everything_is_delivered(
    concurrency: str, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(100)
    config = {"output": {**QUICK["output"], "concurrency": concurrency}}
    process = shipper(config)
    process.start()
    bulk_server.wait_for_lines(100)
    bulk_server.refuse_items = Items(400, reason=REASON)
    log_directory.write(400)
    process.wait_until(lambda: REASON in process.why_not_ready(), "the wall is said")
    assert process.why_not_ready().startswith("nearly all events are refused for the same reason")
    # Meanwhile it is tried again and again, files rotate away, and it is killed.
    process.wait_until(
        lambda: process.metrics().value("shipper_retries_total", reason="item_400") > 1000,
        "it is tried again",
    )
    log_directory.rotate()
    log_directory.write(100)
    process.kill9()
    process.start()
    process.wait_until(lambda: REASON in process.why_not_ready(), "the wall is still there")
    assert not dead_letters(process).exists()
    assert process.metrics().by("shipper_events_total", "outcome")["dead_letter"] == 0

    bulk_server.heal()
    bulk_server.wait_for_lines(600)
    process.wait_until_ready()
    process.wait_until_idle()
    assert bulk_server.audit(600).passed
    assert process.metrics().uncounted_lines == 0
    assert not dead_letters(process).exists()


def test_a_wall_from_the_first_line_on_gives_up_fewer_than_ten(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    """One line at a time, with nothing to compare it with: at first it may be the line's fault."""
    bulk_server.refuse_items = Items(400, reason=REASON)
    process = shipper({"output": {**QUICK["output"], "bulk": {"linger": "0s"}}})
    process.start()
    for number in range(1, 31):
        log_directory.write(1)
        process.wait_until(
            partial(ended_or_stopped, process, number),
            "the line has ended, or a wall is seen",
        )
    events = process.metrics().by("shipper_events_total", "outcome")
    assert events["dead_letter"] < 10
    assert not process.ready()
    bulk_server.heal()
    bulk_server.wait_for_lines(30 - int(events["dead_letter"]))
    process.wait_until_ready()


def test_some_bad_events_among_good_ones_are_no_wall(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.refuse_items = Items(400, lambda document: document["log"]["offset"] % 7 == 0)
    process = shipper(QUICK)
    process.start()
    for number in range(1, 21):
        log_directory.write(25)
        process.wait_until(
            partial(ended, process, 25 * number),
            "all have an outcome",
        )
        assert process.ready(), process.why_not_ready()
    events = process.metrics().by("shipper_events_total", "outcome")
    assert events["dead_letter"] == len(dead_letters(process).read_text().splitlines()) > 20
    assert events["delivered"] + events["dead_letter"] == 500
    assert process.metrics().uncounted_lines == 0
