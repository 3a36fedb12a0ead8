"""SIGHUP ends no process: in no state of the daemon, and of no other command."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.e2e.test_reload import actions, wait_for_start
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE, Gate, Held
from tests.support.listener import Listener
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess
from tests.test_service_manager import Manager

HANGUPS = 1000
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")


def hang_up(pid: int, count: int = HANGUPS) -> None:
    for _ in range(count):
        os.kill(pid, signal.SIGHUP)


@contextmanager
def hanging_up(process: ShipperProcess) -> Iterator[None]:
    """Have SIGHUP come all the time meanwhile."""
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.001):
            try:
                os.kill(process.pid, signal.SIGHUP)
            except ProcessLookupError:
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join()


def test_while_it_starts_runs_begins_again_and_stops(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(20)
    process = shipper()
    process.start(wait=False)
    process.wait_until(lambda: process.log_path.stat().st_size > 0, "its log begins")
    with hanging_up(process):
        process.wait_until(
            lambda: actions(process).count("shipper-started") >= 3, "it begins again"
        )
        assert process.running
    bulk_server.wait_for_lines(20)
    with hanging_up(process):
        again = actions(process).count("shipper-started") + 2
        process.wait_until(
            lambda: actions(process).count("shipper-started") >= again, "it begins again"
        )
        process.send(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert bulk_server.audit(20).passed
    assert actions(process)[-1] == "shipper-stopped"


def test_a_thousand_at_once_have_it_read_once_more_and_no_more(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    log_directory.write(5)
    process.start()
    bulk_server.wait_for_lines(5)
    hang_up(process.pid)
    wait_for_start(process, 2)
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    assert bulk_server.audit(10).passed
    assert process.sigterm() == 0
    assert actions(process).count("shipper-started") < 10


def test_while_it_stops_for_good_it_does_not_begin_again(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    gate = Gate()
    bulk_server.next(Held(gate))
    manager = Manager(f"@{secrets.token_hex(8)}")
    process = shipper(environment={"NOTIFY_SOCKET": manager.address})
    log_directory.write(5)
    process.start()
    gate.wait_until_reached()
    process.send(signal.SIGTERM)
    process.wait_until(lambda: "shipper-stopping" in actions(process), "it stops")
    hang_up(process.pid)
    while not manager.next().startswith(b"RELOADING=1"):
        pass
    # Enough for the file to be read, of which nothing tells.
    assert all(process.alive() for _ in range(50))
    gate.open()
    manager.close()
    assert process.wait(PATIENCE) == 0
    assert actions(process).count("shipper-started") == 1
    assert actions(process)[-1] == "shipper-stopped"
    assert bulk_server.audit(5).passed


def test_a_change_during_a_reload_is_read_after_it(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    gate = Gate()
    bulk_server.next(Held(gate))
    process = shipper()
    log_directory.write(5)
    process.start()
    gate.wait_until_reached()
    process.send(signal.SIGHUP)
    process.wait_until(lambda: "shipper-stopping" in actions(process), "it stops")
    process.write_config({**process.config, "name": "the-last-one"})
    process.send(signal.SIGHUP)
    gate.open()
    wait_for_start(process, 3)
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    names = [document["host"]["name"] for document in bulk_server.documents.values()]
    assert names[-1] == "the-last-one"
    assert bulk_server.audit(10).passed


def test_while_the_data_disk_is_full_it_waits_and_goes_on(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    data = tmp_path / "disk"
    data.mkdir()
    mount = f'mount -t tmpfs -o size=1m none {data} && exec "$@"'
    allowed = [*UNSHARE, "sh", "-c", mount, "sh", "true"]
    if shutil.which("nsenter") is None or shutil.which("unshare") is None:
        pytest.skip("unshare and nsenter (util-linux) are not installed")
    if subprocess.run(allowed, capture_output=True, check=False).returncode:
        pytest.skip("no mount in a namespace of our own is allowed")
    process = shipper({"data_dir": str(data / "data")})
    process.executed_by = (*UNSHARE, "sh", "-c", mount, "sh")
    log_directory.write(5)
    process.start()
    bulk_server.wait_for_lines(5)
    process.wait_until_idle()

    def inside(command: str) -> None:
        enter = ["nsenter", "--target", str(process.pid), "--user", "--mount"]
        subprocess.run(
            [*enter, "--preserve-credentials", "sh", "-c", command], capture_output=True, check=True
        )

    inside(f"dd if=/dev/zero of={data}/fill bs=4k; sync; true")
    process.write_config({**process.config, "name": "another-name"})
    hang_up(process.pid)
    process.wait_until(lambda: "reload-waits" in actions(process), "it waits")
    reason = process.logged("reload-waits")[0]["event.reason"]
    assert str(data / "data") in reason
    assert "no space left on device" in reason
    log_directory.write(5)
    bulk_server.wait_for_lines(10)
    assert actions(process).count("shipper-started") == 1
    inside(f"rm {data}/fill")
    wait_for_start(process, 2)
    log_directory.write(5)
    bulk_server.wait_for_lines(15)
    assert bulk_server.audit(15).passed
    assert process.sigterm() == 0


COMMANDS = {
    "check": ("-m", "shipper", "check", "-c", "{own}"),
    "setup": ("-m", "shipper", "setup", "-c", "{own}"),
    "filebeat test output": (
        "-c",
        "import sys; from shipper.__main__ import filebeat; sys.exit(filebeat())",
        "test",
        "output",
        "-c",
        "{filebeat}",
    ),
    "the image's": (
        "-c",
        "import sys; from shipper.__main__ import image; sys.exit(image())",
        "check",
        "-c",
        "{own}",
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_while_another_command_waits_for_a_host(
    command: str, log_directory: LogDirectory, tmp_path: Path
) -> None:
    asked, go_on = threading.Event(), threading.Event()
    with Waiting(asked, go_on) as server:
        url = f"http://127.0.0.1:{server.port}"
        own: dict[str, Any] = {
            "inputs": [{"id": "a", "paths": [log_directory.glob]}],
            "output": {"hosts": [url]},
            "data_dir": str(tmp_path / "data"),
            "admin": {"enabled": False},
        }
        theirs = {
            "filebeat.inputs": [{"type": "filestream", "id": "a", "paths": [log_directory.glob]}],
            "output.elasticsearch": {"hosts": [url], "index": "logs-a.b-c"},
            "path.data": str(tmp_path / "data"),
            "http.enabled": False,
        }
        files = {"own": tmp_path / "shipper.yml", "filebeat": tmp_path / "filebeat.yml"}
        files["own"].write_text(json.dumps(own))
        files["filebeat"].write_text(json.dumps(theirs))
        arguments = [each.format(**files) for each in COMMANDS[command]]
        with subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert asked.wait(PATIENCE)
            hang_up(process.pid)
            go_on.set()
            out, err = process.communicate(timeout=PATIENCE)
    # What the host said is a failure, which the command lived to tell.
    assert process.returncode == 1, err
    assert b"HTTP 503" in out + err


class Waiting:
    """A host that answers 503 when it is told to."""

    def __init__(self, asked: threading.Event, go_on: threading.Event) -> None:
        self._asked, self._go_on = asked, go_on
        self._listener = Listener(self._serve)

    @property
    def port(self) -> int:
        return self._listener.port

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *error: object) -> None:
        self._go_on.set()
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        while client.recv(65536):
            self._asked.set()
            self._go_on.wait(PATIENCE)
            client.sendall(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n")
