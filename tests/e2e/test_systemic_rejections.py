"""Refusals that are not an event's fault are waited for; those that are cost that event alone.

In a systemic rejection every event is refused with the status that a bad event has. The last part
holds it against the real servers.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.servers import SearchServer
from tests.servers.bulk import new_name
from tests.servers.client import backing_indices, put_data_stream_template, request
from tests.servers.fixtures import on_elasticsearch
from tests.servers.stream import Stream, new_stream
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE, Items
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

TRIES = 8
"""More than the five after which a few lone events are given up."""


def dead_letters(daemon: ShipperProcess) -> list[dict[str, Any]]:
    """Return what is in the dead letter file."""
    path = Path(daemon.config["data_dir"], "dead-letter.ndjson")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def outcomes(daemon: ShipperProcess) -> dict[str, float]:
    """Return how the lines ended, without what was not seen."""
    counted = daemon.metrics().by("shipper_events_total", "outcome")
    return {outcome: lines for outcome, lines in counted.items() if lines}


def retries(daemon: ShipperProcess, reason: str) -> float:
    """Return how many items, or requests, were sent again for that."""
    return daemon.metrics().value("shipper_retries_total", reason=reason)


def wait_for_refusals(server: BulkServer, count: int) -> None:
    """Return once so many more items were refused with 400."""
    wanted = server.refused_items[400] + count
    server.wait_for(lambda: server.refused_items[400] >= wanted)


QUICK = {"output": {"backoff": {"initial": "20ms", "max": "100ms"}, "bulk": {"max_events": 50}}}
REASON = "document_parsing_exception: mapping set to strict, introduction of [x] is not allowed"


# Items


def test_a_systemic_rejection_is_waited_for_and_nothing_is_a_dead_letter(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.refuse_items = Items(400, reason="this action would add [1] shards")
    daemon = shipper()
    daemon.start()
    log_directory.write(50)
    daemon.wait_until(lambda: bulk_server.refused_items[400] >= 50 * TRIES, "they were tried often")
    assert "this action would add [1] shards" in daemon.why_not_ready()
    assert not daemon.ready()
    assert dead_letters(daemon) == []
    bulk_server.heal()
    bulk_server.wait_for_lines(50)
    daemon.wait_until_idle()
    assert outcomes(daemon) == {"delivered": 50}
    assert daemon.ready()
    assert bulk_server.audit(50).passed


def test_a_systemic_rejection_outlives_the_daemon(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bulk_server.refuse_items = Items(400, reason="a systemic rejection")
    log_directory.write(50)
    for _ in range(2):
        daemon = shipper(directory=tmp_path / "one")
        daemon.start()
        wait_for_refusals(bulk_server, 50 * 4)
        daemon.kill9()
    bulk_server.heal()
    daemon = shipper(directory=tmp_path / "one")
    daemon.start()
    bulk_server.wait_for_lines(50)
    daemon.wait_until_idle()
    assert dead_letters(daemon) == []
    assert bulk_server.audit(50).passed


def test_a_few_lone_events_that_are_refused_again_and_again_are_dead_letters(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.refuse_items = Items(400, reason="failed to parse field [x]")
    daemon = shipper()
    daemon.start()
    log_directory.write(3)
    daemon.wait_until(lambda: outcomes(daemon) == {"dead_letter": 3}, "they are dead letters")
    assert bulk_server.refused_items[400] >= 3 * 5
    assert {dead_letter["status"] for dead_letter in dead_letters(daemon)} == {400}
    assert "failed to parse field [x]" in dead_letters(daemon)[0]["reason"]


def test_a_batch_of_bad_events_is_dead_letters_once_others_get_through(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bad = LogDirectory(tmp_path / "bad")
    bulk_server.refuse_items = Items(
        400, lambda document: document.get("fields") == {"bad": True}, "failed to parse field [x]"
    )
    inputs = [
        {"id": "good", "paths": [log_directory.glob]},
        {"id": "bad", "paths": [bad.glob], "fields": {"bad": True}},
    ]
    daemon = shipper({"inputs": inputs})
    daemon.start()
    bad.write(50)
    daemon.wait_until(
        lambda: bulk_server.refused_items[400] >= 50 * TRIES, "it may be a systemic rejection"
    )
    assert dead_letters(daemon) == []
    log_directory.write(20)
    daemon.wait_until(
        lambda: outcomes(daemon) == {"delivered": 20, "dead_letter": 50}, "all have an outcome"
    )
    assert len(dead_letters(daemon)) == 50
    bad.close()


def test_events_that_are_put_off_take_no_place_of_the_others(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    # As of one shard whose node has no room.
    log_directory.write(10)
    stuck = log_directory.log.stat().st_size
    bulk_server.refuse_items = Items(
        429, lambda document: document["log"]["offset"] < stuck, "the queue is full"
    )
    daemon = shipper({"output": {"max_in_flight": 1}})
    daemon.start()
    daemon.wait_until(lambda: bulk_server.refused_items[429] >= 20, "they were put off")
    log_directory.write(500)
    bulk_server.wait_for_lines(500)
    # They are not forgotten, and not dead letters.
    bulk_server.heal()
    bulk_server.wait_for_lines(510)
    daemon.wait_until_idle()
    assert outcomes(daemon) == {"delivered": 510}
    assert bulk_server.audit(510).passed


def ended(process: ShipperProcess, lines: int) -> bool:
    """Whether so many lines have their outcome."""
    return sum(process.metrics().by("shipper_events_total", "outcome").values()) == lines


def ended_or_stopped(process: ShipperProcess, lines: int) -> bool:
    """Whether so many lines are read, and all are dead letters or the rejection is systemic."""
    status = process.status()
    dead_lettered = status["events"]["dead_letter"] == lines
    return status["lines_read"] == lines and (
        dead_lettered or "none is stored" in process.why_not_ready()
    )


@pytest.mark.parametrize("concurrency", ["adaptive", "fixed"])
def test_a_systemic_rejection_is_waited_for_and_said_and_then_everything_is_delivered(
    concurrency: str, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(100)
    config = {"output": {**QUICK["output"], "concurrency": concurrency}}
    process = shipper(config)
    process.start()
    bulk_server.wait_for_lines(100)
    bulk_server.refuse_items = Items(400, reason=REASON)
    log_directory.write(400)
    process.wait_until(lambda: REASON in process.why_not_ready(), "the systemic rejection is said")
    assert process.why_not_ready().startswith("all events are refused, and none is stored")
    # Meanwhile it is tried again and again, files rotate away, and it is killed.
    process.wait_until(
        lambda: process.metrics().value("shipper_retries_total", reason="item_400") > 1000,
        "it is tried again",
    )
    log_directory.rotate()
    log_directory.write(100)
    process.kill9()
    process.start()
    process.wait_until(
        lambda: REASON in process.why_not_ready(), "the systemic rejection is still there"
    )
    assert dead_letters(process) == []
    assert process.metrics().by("shipper_events_total", "outcome")["dead_letter"] == 0

    bulk_server.heal()
    bulk_server.wait_for_lines(600)
    process.wait_until_ready()
    process.wait_until_idle()
    assert bulk_server.audit(600).passed
    assert process.metrics().uncounted_lines == 0
    assert dead_letters(process) == []


def test_a_systemic_rejection_from_the_first_line_on_gives_up_fewer_than_ten(
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
            "the line has ended, or a systemic rejection is seen",
        )
    events = process.metrics().by("shipper_events_total", "outcome")
    assert events["dead_letter"] < 10
    assert not process.ready()
    bulk_server.heal()
    bulk_server.wait_for_lines(30 - int(events["dead_letter"]))
    process.wait_until_ready()


def test_some_bad_events_among_good_ones_are_no_systemic_rejection(
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
    assert events["dead_letter"] == len(dead_letters(process)) > 20
    assert events["delivered"] + events["dead_letter"] == 500
    assert process.metrics().uncounted_lines == 0


# Requests


@pytest.mark.parametrize("status", [400, 403, 406])
def test_the_one_event_that_a_firewall_refuses_is_found_and_a_dead_letter(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, status: int
) -> None:
    bulk_server.refuse_bodies = (b"UNION SELECT", status)
    log_directory.write(40)
    log_directory.append(b'{"test":"1 UNION SELECT","time":"2026-01-01T00:00:00Z"}\n')
    log_directory.writer.reopen()
    daemon = shipper()
    daemon.start()
    daemon.wait_until(lambda: len(bulk_server.requests) >= 3, "it was refused")
    assert dead_letters(daemon) == []
    # Others get through while it is refused.
    total = 40
    while not dead_letters(daemon):
        log_directory.write(10)
        total += 10
        bulk_server.wait_for_lines(total - 40)
    bulk_server.wait_for_lines(total)
    daemon.wait_until_idle()
    [dead_letter] = dead_letters(daemon)
    assert (dead_letter["status"], "UNION SELECT" in dead_letter["line"]) == (status, True)
    assert outcomes(daemon) == {"delivered": total, "dead_letter": 1}
    assert bulk_server.audit(total).lost == 0


def test_while_no_request_gets_through_none_is_split(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.refuse_bodies = (b"", 406)
    log_directory.write(40)
    daemon = shipper()
    daemon.start()
    daemon.wait_until(lambda: retries(daemon, "406") >= TRIES, "it was tried often")
    assert "406" in daemon.why_not_ready()
    assert dead_letters(daemon) == []
    bulk_server.heal()
    bulk_server.wait_for_lines(40)
    daemon.wait_until_idle()
    assert outcomes(daemon) == {"delivered": 40}


# The real servers


@on_elasticsearch
@pytest.mark.real_server
def test_lines_wait_while_the_write_index_is_closed(
    search_server: SearchServer, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    stream = new_stream(search_server)
    daemon = shipper({"output": stream.output})
    daemon.start()
    log_directory.write(10)
    daemon.wait_until(lambda: stream.count() == 10, "the first documents are there")
    [index] = backing_indices(search_server.url, stream.name)
    request(search_server.url, "POST", f"/{index}/_close").expect(200)
    log_directory.write(20)
    daemon.wait_until(lambda: retries(daemon, "item_400") >= 20 * TRIES, "they were tried often")
    assert "index_closed_exception" in daemon.why_not_ready()
    assert dead_letters(daemon) == []
    request(search_server.url, "POST", f"/{index}/_open").expect(200)
    daemon.wait_until(lambda: stream.count() == 30, "all are there", PATIENCE)
    assert stream.audit(30).passed
    stream.delete()


@pytest.mark.real_server
def test_lines_wait_while_the_cluster_has_all_the_shards_it_may_have(
    search_server: SearchServer, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    def limit(shards: int | None) -> None:
        body = {"persistent": {"cluster.max_shards_per_node": shards}}
        request(search_server.url, "PUT", "/_cluster/settings", body).expect(200)

    there = new_name()
    request(search_server.url, "PUT", f"/{there}").expect(200)
    stream = new_stream(search_server)
    limit(1)
    try:
        log_directory.write(20)
        daemon = shipper({"output": stream.output})
        daemon.start()
        daemon.wait_until(lambda: retries(daemon, "item_400") >= 20 * TRIES, "they were tried")
        assert "shards" in daemon.why_not_ready()
        assert dead_letters(daemon) == []
    finally:
        limit(None)
    daemon.wait_until(lambda: stream.count() == 20, "all are there", PATIENCE)
    assert stream.audit(20).passed
    stream.delete()
    request(search_server.url, "DELETE", f"/{there}").expect(200)


@on_elasticsearch
@pytest.mark.real_server
def test_lines_wait_while_the_template_is_not_there(
    search_server: SearchServer, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    # OpenSearch does not know `require_data_stream`.
    stream = Stream(search_server, new_name())
    log_directory.write(20)
    daemon = shipper({"output": stream.output})
    daemon.start()
    daemon.wait_until(lambda: retries(daemon, "item_404") >= 20 * TRIES, "they were tried often")
    assert not daemon.ready()
    assert "no matching index template" in daemon.why_not_ready()
    found = request(search_server.url, "GET", f"/_resolve/index/{stream.name}*").expect(200)
    assert found.json() == {"indices": [], "aliases": [], "data_streams": []}
    put_data_stream_template(search_server.url, stream.name, stream.name)
    daemon.wait_until(lambda: stream.count() == 20, "all are there", PATIENCE)
    assert daemon.sigterm() == 0
    assert stream.audit(20).passed
    assert dead_letters(daemon) == []
    stream.delete()
