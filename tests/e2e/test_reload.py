"""The configuration is read again, on SIGHUP or when it changes: the process stays, every line is
there once, and a wrong configuration changes nothing."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.e2e.test_retention import links
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess, overlay
from tests.test_service_manager import Manager


def actions(process: ShipperProcess) -> list[str]:
    return [entry["event.action"] for entry in process.logs() if "event.action" in entry]


def reload_with(process: ShipperProcess, **changes: Any) -> None:
    """Write another configuration, and send SIGHUP."""
    process.write_config(overlay(process.config, changes))
    process.send(signal.SIGHUP)


def wait_for_start(process: ShipperProcess, number: int) -> None:
    """Return when it has started so many times."""
    process.wait_until(
        lambda: actions(process).count("shipper-started") == number, f"start {number}"
    )
    process.wait_until(process.alive, "its pages are there")


@pytest.fixture
def process(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> ShipperProcess:
    """A daemon that has shipped five lines."""
    made = shipper()
    log_directory.write(5)
    made.start()
    bulk_server.wait_for_lines(5)
    return made


def test_sighup_has_the_configuration_take_effect_in_the_same_process(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    pid = process.pid
    reload_with(process, name="another-name")
    wait_for_start(process, 2)
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    assert (process.pid, process.running) == (pid, True)
    names = [document["host"]["name"] for document in bulk_server.documents.values()]
    assert names.count("another-name") == 5
    assert bulk_server.audit(10).passed
    assert "configuration-reloading" in actions(process)
    assert process.sigterm() == 0
    assert actions(process)[-1] == "shipper-stopped"


def test_lines_that_are_written_meanwhile_are_there_once(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    with log_directory.writing(1000):
        for number in range(3):
            process.send(signal.SIGHUP)
            wait_for_start(process, number + 2)
    bulk_server.wait_for_lines(log_directory.written)
    process.wait_until_idle()
    assert bulk_server.audit(log_directory.written).passed
    assert process.metrics().uncounted_lines == 0


@pytest.mark.parametrize(
    "text",
    ["inputs: [", "inputs: []\n", "unknown: 1\n", "", "\x00"],
    ids=["no YAML", "no inputs", "unknown option", "empty", "NUL"],
)
def test_a_wrong_configuration_changes_nothing(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory, text: str
) -> None:
    process.config_path.write_text(text)
    process.send(signal.SIGHUP)
    process.wait_until(lambda: "configuration-not-reloaded" in actions(process), "it is said")
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    assert actions(process).count("shipper-started") == 1
    assert process.logged("configuration-not-reloaded")[0]["log.level"] == "error"


def test_a_configuration_that_cannot_be_started_with_is_given_up_for_the_former_one(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    reload_with(process, data_dir=str(tmp_path / "file"))
    wait_for_start(process, 2)
    assert "data directory" in process.logged("configuration-not-reloaded")[0]["error.message"]
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    assert bulk_server.audit(10).passed
    assert process.running


def test_an_input_that_went_keeps_its_links(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bulk_server.down()
    log_directory.write(5)
    process.wait_until(lambda: process.status()["lines_read"] == 10, "they are read")
    kept = len(links(log_directory))
    log_directory.rotate().unlink()
    other = {"id": "other", "paths": [str(tmp_path / "other" / "*.log")], "scan_interval": "100ms"}
    former = process.config["inputs"]
    reload_with(process, inputs=[other], shutdown_timeout="200ms")
    wait_for_start(process, 2)
    assert len(links(log_directory)) >= kept > 0
    bulk_server.up()
    reload_with(process, inputs=[other, *former])
    wait_for_start(process, 3)
    bulk_server.wait_for_lines(10)
    process.wait_until_idle()
    assert bulk_server.audit(10).passed


@pytest.mark.long
def test_with_reload_a_change_of_the_file_is_noticed(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    """Takes 20 seconds: a file has to stay as it is for one interval of ten."""
    process = shipper({"config": {"reload": True}})
    log_directory.write(5)
    process.start()
    bulk_server.wait_for_lines(5)
    process.write_config({**process.config, "name": "another-name"})
    wait_for_start(process, 2)
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    names = [document["host"]["name"] for document in bulk_server.documents.values()]
    assert names.count("another-name") == 5


def test_sighup_ends_no_process_whenever_it_comes(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(5)
    process = shipper()
    process.start(wait=False)
    process.wait_until(lambda: "configuration-read" in actions(process), "its log begins")
    for _ in range(200):
        process.send(signal.SIGHUP)
    bulk_server.wait_for_lines(5)
    process.wait_until(process.alive, "it runs")
    assert process.sigterm() in (0, -signal.SIGTERM)


def test_systemd_is_told(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    manager = Manager(f"@{secrets.token_hex(8)}")
    process = shipper(environment={"NOTIFY_SOCKET": manager.address})
    process.start()
    assert manager.next() == b"READY=1"
    process.send(signal.SIGHUP)
    assert manager.next().startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert manager.next() == b"READY=1"
    process.config_path.write_text("inputs: [")
    process.send(signal.SIGHUP)
    assert manager.next().startswith(b"RELOADING=1\n")
    assert manager.next() == b"READY=1"
    process.sigterm()
    assert manager.next() == b"STOPPING=1"
    manager.close()


def test_sigterm_ends_a_daemon_that_begins_again(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.down()
    log_directory.write(5)
    process.wait_until(lambda: process.status()["in_flight_events"] == 5, "they are in flight")
    process.send(signal.SIGHUP)
    process.wait_until(lambda: "shipper-stopping" in actions(process), "it stops")
    process.send(signal.SIGTERM)
    assert process.wait(30) == 0
    assert actions(process).count("shipper-started") == 1
