"""What is lost is recorded, listed, and shipped as a document of its own, which is no line."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper.documents.loss import document_id, in_words
from shipper.files import agent_id
from shipper.files.losses import Loss
from shipper.files.registry import Registry, read_losses
from tests.conftest import MakeShipper
from tests.documents.test_loss import LOSS
from tests.e2e.shipping import assert_delivered_once
from tests.e2e.test_local_outputs import into
from tests.e2e.test_retention import links, lost, tracker
from tests.support.bulk_server import BulkServer, is_loss
from tests.support.faults import Items, LostAnswer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

QUOTA = {
    "retention": {"max_bytes": "500KB"},
    "output": {"bulk": {"max_events": 20}, "max_in_flight": 1},
}


@pytest.fixture
def rotating(tmp_path: Path) -> Iterator[LogDirectory]:
    """A log of which each file holds a hundred lines or so, and of which few backups are left."""
    directory = LogDirectory(tmp_path / "rotating", seed=5, max_bytes=200_000, backups=3)
    yield directory
    directory.close()


def data_of(process: ShipperProcess) -> Path:
    return Path(process.config["data_dir"])


def recorded(process: ShipperProcess) -> list[dict[str, Any]]:
    """What ``shipper registry losses --json`` lists."""
    command = [sys.executable, "-m", "shipper", "registry", "losses", "--json"]
    command += ["-c", str(process.config_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def states(process: ShipperProcess) -> set[str]:
    return {stored.state.name for stored in read_losses(data_of(process))}


def ids(process: ShipperProcess) -> set[str]:
    """The ids of the documents of all losses that are recorded."""
    agent = agent_id.read(data_of(process))
    assert agent is not None
    return {document_id(stored.loss, agent) for stored in read_losses(data_of(process))}


def give_up_some(process: ShipperProcess, rotating: LogDirectory) -> None:
    """Write more than the quota while nothing is taken, until the losses are recorded."""
    with rotating.writing(400):
        process.wait_until(lambda: lost(process)[1] > 300, "files are given up")

    def settled() -> bool:
        """Whether all is recorded, and has lost its link."""
        known = sum(stored.loss.lines or 0 for stored in read_losses(data_of(process)))
        kept = process.metrics().value("shipper_kept_files")
        there = len(list(rotating.path.glob("*.log")))
        return known == lost(process)[1] and len(links(rotating)) == kept + there

    process.wait_until(settled, "the losses are recorded")


def with_a_loss(process: ShipperProcess, *losses: Loss) -> ShipperProcess:
    """Have a registry in which something was lost before."""
    registry, _ = Registry.open(data_of(process))
    registry.save([], losses=losses or [LOSS], durable=True)
    registry.close()
    return process


def test_what_is_given_up_in_an_outage_is_listed_and_arrives_as_documents(
    shipper: MakeShipper, bulk_server: BulkServer, rotating: LogDirectory
) -> None:
    bulk_server.down()
    process = shipper(tracker(rotating, **QUOTA))
    process.start()
    give_up_some(process, rotating)
    bulk_server.up()
    process.wait_until_idle()
    process.wait_until(lambda: states(process) == {"SHIPPED"}, "all losses are shipped")

    audit = bulk_server.audit(rotating.written)
    listed = recorded(process)
    assert (audit.doubled, audit.strange) == (0, 0)
    assert sum(loss["lines"] for loss in listed) == audit.lost > 300
    assert sum(loss["bytes"] for loss in listed) == lost(process)[0]
    assert {loss["reason"] for loss in listed} == {"retention"}
    assert set(bulk_server.losses) == ids(process)
    messages = [json.loads(loss["message"]) for loss in bulk_server.losses.values()]
    assert sum(message["shipper_loss"]["lines"] for message in messages) == audit.lost

    # It is no line, and no event.
    page = process.metrics()
    assert page.value("shipper_losses_shipped_total") == len(listed)
    assert page.uncounted_lines == 0
    events = page.by("shipper_events_total", "outcome")
    lines = len(bulk_server.documents) - len(bulk_server.losses)
    assert events["delivered"] + events["already_delivered"] == lines
    assert page.value("shipper_lines_read_total") == lines


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("in_flight", ["little", "much"])
def test_an_outage_past_the_quota_and_a_restart_lose_what_is_recorded_and_nothing_else(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    tmp_path: Path,
    in_flight: str,
    seed: int,
    end: str,
) -> None:
    rng = random.Random(seed)
    options: dict[str, Any] = {
        "retention": {"max_bytes": "500KB"},
        "output": {"bulk": {"max_events": rng.choice((20, 100))}, "max_in_flight": 2},
        "shutdown_timeout": "1s",
    }
    if in_flight == "much":
        options["output"]["max_in_flight"] = 50
        options["memory"] = {"max_bytes": "1MiB"}
    log = LogDirectory(tmp_path / "rotating", seed=seed, max_bytes=200_000, backups=2)
    with contextlib.closing(log):
        config = tracker(log, **options)
        bulk_server.down()
        process = shipper(config, directory=tmp_path / "daemon")
        process.start()
        # A file lives for a second: one that comes and goes without a shipper is in no record.
        with log.writing(400):
            process.wait_until(lambda: lost(process)[1] > 100, "files are given up")
        time.sleep(rng.uniform(0, 0.8))  # Anywhere between a scan and a commit.
        if end == "SIGTERM":
            assert process.sigterm() == 0
        else:
            process.kill9()
        before = sum(stored.loss.lines or 0 for stored in read_losses(data_of(process)))
        assert before > 100
        bulk_server.up()
        process = shipper(config, directory=tmp_path / "daemon")
        process.start()
        process.wait_until_idle()
        listed = recorded(process)
        audit = bulk_server.audit(log.written)
        assert (audit.doubled, audit.strange) == (0, 0)
        assert sum(loss["lines"] for loss in listed) == audit.lost >= before
        assert {loss["reason"] for loss in listed} == {"retention"}
        assert sum(loss["lines"] for loss in listed) == before + lost(process)[1]
        assert process.metrics().uncounted_lines == 0


def test_a_kill_between_recording_and_shipping_changes_and_doubles_nothing(
    shipper: MakeShipper, bulk_server: BulkServer, rotating: LogDirectory, tmp_path: Path
) -> None:
    bulk_server.down()
    config = tracker(rotating, **QUOTA)
    process = shipper(config, directory=tmp_path / "daemon")
    process.start()
    give_up_some(process, rotating)
    process.kill9()
    before = ids(process)
    # Shipped, and killed before that is known.
    bulk_server.rates[LostAnswer()] = 1.0
    bulk_server.up()
    process = shipper(config, directory=tmp_path / "daemon")
    process.start()
    process.wait_until(lambda: bool(bulk_server.losses), "a document has arrived")
    process.kill9()
    bulk_server.heal()
    process = shipper(config, directory=tmp_path / "daemon")
    process.start()
    process.wait_until(lambda: states(process) == {"SHIPPED"}, "all losses are shipped")
    assert set(bulk_server.losses) == ids(process) == before


def test_losses_are_not_shipped_if_that_is_not_wanted(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = with_a_loss(shipper({"losses": {"ship": False}}))
    log_directory.write(10)
    process.start()
    assert_delivered_once(process, bulk_server, 10)
    assert process.sigterm() == 0
    assert bulk_server.losses == {}
    assert [loss["state"] for loss in recorded(process)] == ["new"]


def test_the_output_file_gets_losses_once(
    shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path
) -> None:
    out = tmp_path / "events.ndjson"
    process = into(with_a_loss(shipper()), out)

    def arrived() -> list[str]:
        lines = out.read_bytes().splitlines() if out.exists() else []
        found = [json.loads(line) for line in lines if not line.startswith(b'{"create"')]
        return [each["error"]["message"] for each in found if is_loss(each)]

    log_directory.write(10)
    process.start()
    process.wait_until(lambda: states(process) == {"SHIPPED"}, "the loss is shipped")
    process.wait_until_idle()
    assert process.metrics().by("shipper_events_total", "outcome")["delivered"] == 10
    assert process.metrics().uncounted_lines == 0
    assert process.metrics().value("shipper_in_flight_bytes") == 0
    process.kill9()
    process.start()
    process.wait_until_idle()
    assert arrived() == [in_words(LOSS)]


def test_a_loss_that_is_refused_stays_and_is_sent_again(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.refuse_items = Items(400, is_loss)
    process = with_a_loss(shipper())
    log_directory.write(10)
    process.start()
    assert_delivered_once(process, bulk_server, 10)
    bulk_server.wait_for(lambda: bulk_server.refused_items[400] > 0)
    process.wait_until(process.ready, "it says nothing about lines")
    assert process.sigterm() == 0
    assert not (data_of(process) / "dead-letter.ndjson").exists()
    assert [loss["state"] for loss in recorded(process)] == ["offered"]
    before = bulk_server.refused_items[400]

    process.start()
    bulk_server.wait_for(lambda: bulk_server.refused_items[400] > before)
    assert process.metrics().value("shipper_events_total", outcome="dead_letter") == 0
    assert process.sigterm() == 0
    bulk_server.heal()
    process.start()
    process.wait_until(lambda: states(process) == {"SHIPPED"}, "the loss is shipped")
    assert set(bulk_server.losses) == ids(process)
