"""`shipper check` tries the address of the admin pages; that our own daemon has it is right."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import msgspec
import pytest

from shipper.check.admin import check_admin
from shipper.check.findings import Finding, Status
from shipper.config.admin import AdminConfig
from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList
from tests.servers.launcher import free_port
from tests.support.bulk_server import BulkServer


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that somebody has and does not answer at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def checked(listen: str, daemon: int | None = None, *, enabled: bool = True) -> list[Finding]:
    config = Config(
        inputs=(InputConfig("a", ("/logs/*.log",)),), output=OutputConfig(HostList(["http://es"]))
    )
    admin = AdminConfig(listen=listen, enabled=enabled)
    config = msgspec.structs.replace(config, admin=admin)
    return asyncio.run(check_admin(config, daemon))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_an_address_that_is_free_is_right(host: str) -> None:
    (found,) = checked(f"{host}:{free_port()}")
    assert found.status is Status.OK


def test_pages_that_are_off_have_no_address() -> None:
    assert checked("192.0.2.1:9479", enabled=False) == []


def test_an_address_of_another_machine_is_wrong() -> None:
    (found,) = checked("192.0.2.1:9479")
    assert (found.subject, found.status) == ("admin.listen 192.0.2.1:9479", Status.FAILED)
    assert found.detail == "cannot assign requested address"
    assert "admin.listen" in found.what_to_do


def test_a_name_that_is_none_is_wrong() -> None:
    (found,) = checked("no-such-name.invalid:9479")
    assert found.status is Status.FAILED


def test_an_address_that_another_program_has_is_wrong(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    (found,) = checked(f"127.0.0.1:{port}")
    assert (found.status, found.detail) == (Status.FAILED, "address already in use")
    listener.close()
    (found,) = checked(f"127.0.0.1:{port}")
    assert found.status is Status.OK


def test_an_address_that_our_own_daemon_has_is_right(bulk_server: BulkServer) -> None:
    bulk_server.pages["GET /healthz"] = (200, {})
    listen = bulk_server.url.removeprefix("http://")
    (found,) = checked(listen, daemon=7)
    assert (found.status, found.detail) == (
        Status.OK,
        "the daemon that runs (process 7) listens there",
    )
    # It is another program's if no daemon runs, or what answers is none.
    assert checked(listen)[0].status is Status.FAILED
    bulk_server.pages["GET /healthz"] = (404, {})
    assert checked(listen, daemon=7)[0].status is Status.FAILED
