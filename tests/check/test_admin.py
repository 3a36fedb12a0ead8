"""`shipper check` tries the address of the admin pages; that our own daemon has it is right."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shipper.check.admin import check_admin
from shipper.check.findings import Finding, Status
from shipper.check.listening import ports_of
from shipper.config.admin import AdminConfig, AdminTlsConfig
from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList
from tests.servers.launcher import free_port
from tests.support.bulk_server import BulkServer
from tests.support.certificates import Authority


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that somebody has and does not answer at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def checked(
    listen: str, daemon: int | None = None, *, enabled: bool = True, **more: Any
) -> list[Finding]:
    config = Config(
        inputs=(InputConfig("a", ("/logs/*.log",)),), output=OutputConfig(HostList(["http://es"]))
    )
    admin = AdminConfig(listen=listen, enabled=enabled, **more)
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


@pytest.fixture
def tls(tmp_path: Path) -> AdminTlsConfig:
    """A certificate with its key."""
    issued = Authority().ca.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    issued.private_key_pem.write_to_path(tmp_path / "tls.key")
    return AdminTlsConfig(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))


def test_a_daemon_with_tls_is_asked_with_tls(tls: AdminTlsConfig) -> None:
    with BulkServer(tls=True) as server:
        server.pages["GET /healthz"] = (200, {})
        (found,) = checked(server.url.removeprefix("https://"), 7, tls=tls)
    assert (found.status, found.detail) == (
        Status.OK,
        "the daemon that runs (process 7) listens there, with TLS",
    )


def test_a_daemon_that_does_not_serve_the_tls_that_is_asked_for_is_wrong(
    tls: AdminTlsConfig, bulk_server: BulkServer
) -> None:
    bulk_server.pages["GET /healthz"] = (200, {})
    (found,) = checked(bulk_server.url.removeprefix("http://"), 7, tls=tls)
    assert (found.status, found.detail) == (
        Status.FAILED,
        "the daemon that runs (process 7) listens there without TLS",
    )
    assert "admin-files-unusable" in found.what_to_do


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (None, "no such file or directory; the pages that it protects are refused"),
        (b"", "it has to hold a token: one word of printable ASCII characters; the pages"),
        (b"two words", "it has to hold a token"),
    ],
)
def test_a_token_file_that_cannot_be_used_is_wrong(
    content: bytes | None, detail: str, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    found, _ = checked("127.0.0.1:0", token_file=str(path))
    assert (found.subject, found.status) == (f"admin.token_file {path}", Status.FAILED)
    assert found.detail.startswith(f"{path}: {detail}")
    path.write_bytes(b"token\n")
    assert [each.status for each in checked("127.0.0.1:0", token_file=str(path))] == [Status.OK]


def test_a_certificate_that_cannot_be_used_is_wrong(tls: AdminTlsConfig) -> None:
    assert [each.status for each in checked("127.0.0.1:0", tls=tls)] == [Status.OK]
    other = Authority().ca.issue_cert("127.0.0.1")
    other.private_key_pem.write_to_path(tls.key)
    found, _ = checked("127.0.0.1:0", tls=tls)
    assert (found.subject, found.status) == (
        f"admin.tls.certificate {tls.certificate}",
        Status.FAILED,
    )
    assert "key values mismatch" in found.detail
    Path(tls.key).unlink()
    found, _ = checked("127.0.0.1:0", tls=tls)
    assert found.detail.startswith(f"{tls.key}: no such file or directory")


def test_port_0_is_right_and_where_the_daemon_listens_is_looked_for() -> None:
    assert [each.status for each in checked(":0")] == [Status.OK]
    # A process that listens nowhere as a daemon does.
    (found,) = checked(":0", daemon=os.getppid())
    assert found.status is Status.UNKNOWN
    assert "admin-listening" in found.what_to_do


def test_where_a_process_listens_is_read(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert port in ports_of(os.getpid())
    listener.close()
    assert port not in ports_of(os.getpid())
    assert ports_of(2**22 + 1) == []


def test_every_address_is_tried_with_ipv6_and_ipv4(bulk_server: BulkServer) -> None:
    bulk_server.pages["GET /healthz"] = (200, {})
    (found,) = checked(f":{bulk_server.port}", daemon=7)
    assert found.status is Status.OK
    assert found.detail == "the daemon that runs (process 7) listens there"
