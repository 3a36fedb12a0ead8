"""What systemd is told: over a real socket, as sd_notify(3) has it."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.service_manager import ServiceManager
from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.clock import ManualClock, settle
from tests.support.faults import PATIENCE
from tests.support.logdir import LogDirectory
from tests.support.logs import RecordedLog
from tests.support.loop import in_a_loop


class Manager:
    """A service manager's socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0"))
        self._socket.settimeout(PATIENCE)

    def next(self) -> bytes:
        return self._socket.recv(4096)

    def waiting(self) -> list[bytes]:
        """What has come by now."""
        self._socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self._socket.recv(4096))
        except BlockingIOError:
            return found
        finally:
            self._socket.settimeout(PATIENCE)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@{secrets.token_hex(8)}"
    made = Manager(address)
    yield made
    made.close()


def of(environ: dict[str, str], clock: ManualClock) -> tuple[ServiceManager, RecordedLog]:
    recorded = RecordedLog(clock)
    return ServiceManager.of(environ, clock, recorded.log), recorded


def test_it_is_told_when_the_daemon_is_ready_and_when_it_stops(manager: Manager) -> None:
    told, recorded = of({"NOTIFY_SOCKET": manager.address}, ManualClock())
    told.ready()
    told.stopping()
    assert manager.waiting() == [b"READY=1", b"STOPPING=1"]
    assert recorded.entries() == []


@in_a_loop
async def test_signs_of_life_come_twice_as_often_as_they_are_expected(tmp_path: Path) -> None:
    manager, clock = Manager(str(tmp_path / "notify")), ManualClock()
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000000"}
    told, _ = of(environ | {"WATCHDOG_PID": str(os.getpid())}, clock)
    running = asyncio.create_task(told.run())
    await settle()
    assert manager.waiting() == [b"WATCHDOG=1"]
    await clock.advance(14)
    assert manager.waiting() == []
    await clock.advance(31)
    assert manager.waiting() == [b"WATCHDOG=1"] * 3
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    manager.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "9" * 5000},
    ],
)
@in_a_loop
async def test_no_sign_of_life_is_given_if_none_is_expected(environ: dict[str, str]) -> None:
    manager = Manager(f"@{secrets.token_hex(8)}")
    told, _ = of({"NOTIFY_SOCKET": manager.address, **environ}, ManualClock())
    await told.run()
    assert manager.waiting() == []
    manager.close()


@in_a_loop
async def test_without_a_service_manager_nothing_is_told() -> None:
    told, recorded = of({"WATCHDOG_USEC": "1000000"}, ManualClock())
    told.ready()
    await told.run()
    assert recorded.entries() == []


def test_a_socket_that_is_not_there_is_said_and_stops_nothing(tmp_path: Path) -> None:
    told, recorded = of({"NOTIFY_SOCKET": str(tmp_path / "nothing")}, ManualClock())
    told.ready()
    told.stopping()
    (entry,) = recorded.entries()
    assert entry["event.action"] == "service-manager-unreachable"
    assert entry["error.message"] == "no such file or directory"


def test_the_daemon_is_ready_without_a_cluster(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.down()
    log_directory.write(1)
    manager = Manager(f"@{secrets.token_hex(8)}")
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}
    process = shipper(environment=environment)
    process.start(wait=False)
    first, second = manager.next(), manager.next()
    assert {first, second} == {b"READY=1", b"WATCHDOG=1"}
    assert manager.next() == b"WATCHDOG=1"
    assert not process.ready()
    process.sigterm()
    assert b"STOPPING=1" in manager.waiting()
    manager.close()
