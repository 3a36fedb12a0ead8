"""The real daemon, TLS and authentication before the real Elasticsearch and OpenSearch: what is not
right is said in words of its own and ships nothing; what is right ships everything once."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.e2e.checks import check
from tests.servers import SearchServer, client
from tests.servers.bulk import new_name
from tests.servers.fixtures import on_opensearch
from tests.servers.stream import Stream
from tests.support.certificates import Authority
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess
from tests.support.tls_front import TlsFront

pytestmark = pytest.mark.real_server

RATE = 300.0
"""Lines per second that are written while a password changes."""


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"shipper:{password}".encode()).decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def front(search_server: SearchServer, authority: Authority) -> Iterator[TlsFront]:
    """TLS and a password before the node."""
    with TlsFront(
        authority.server(with_ca=True), node=search_server.url, authorization=basic("one")
    ) as front:
        yield front


@pytest.fixture
def output(front: TlsFront, stream: Stream, authority: Authority, tmp_path: Path) -> dict[str, Any]:
    """The settings that are right."""
    (tmp_path / "password").write_text("one\n")
    return {
        "hosts": [front.url],
        "data_stream": stream.name,
        "username": "shipper",
        "password_file": str(tmp_path / "password"),
        "tls": {"ca": authority.write(tmp_path / "ca.crt")},
    }


def whys(daemon: ShipperProcess) -> str:
    return "\n".join(str(entry.get("error.message", "")) for entry in daemon.logs())


FAULTS = {
    "ca": "is from a CA that is not trusted",
    "name": "the server certificate is for another name",
    "expired": "certificate has expired",
    "fingerprint": "no certificate that the server sends has the fingerprint",
    "password": "HTTP 401",
}
"""What is not right, and the words for it."""


@contextlib.contextmanager
def wrong(
    fault: str, front: TlsFront, output: dict[str, Any], authority: Authority, directory: Path
) -> Iterator[dict[str, Any]]:
    """Settings with which one thing is not right, or with which it is not right on the other side
    for as long as the block lasts."""
    context, authorization = front.context, front.authorization
    settings = dict(output)
    match fault:
        case "ca":
            settings["tls"] = {"ca": Authority().write(directory / "other.crt")}
        case "name":
            front.context = authority.server("es.example")
        case "expired":
            front.context = authority.server(expired=True)
        case "fingerprint":
            settings["tls"] = {"ca_trusted_fingerprint": Authority().fingerprint}
        case "password":
            front.authorization = basic("another")
    yield settings
    front.context, front.authorization = context, authorization


def test_what_is_not_right_is_said_and_what_is_right_ships_every_line_once(
    front: TlsFront,
    output: dict[str, Any],
    authority: Authority,
    stream: Stream,
    log_directory: LogDirectory,
    shipper: MakeShipper,
    tmp_path: Path,
) -> None:
    log_directory.write(50)
    for fault, words in FAULTS.items():
        with wrong(fault, front, output, authority, tmp_path) as settings:
            done = check(tmp_path, log_directory, settings)
            assert (fault, done.returncode) == (fault, 1)
            assert words in done.stdout
            assert "    -> " in done.stdout
            daemon = shipper({"output": settings}, directory=tmp_path / f"daemon-{fault}")
            daemon.start()
            daemon.wait_until(lambda: words in whys(daemon), f"the log says {words}")  # noqa: B023
            assert words in daemon.why_not_ready()
            daemon.kill9()
        # Who is not known to be the right one is told nothing; who is has refused it.
        assert {request.status for request in front.received} <= {401}
        assert bool(front.received) == (fault == "password")
    assert stream.count() == 0

    assert check(tmp_path, log_directory, output).returncode == 0
    # As the daemon would go on when somebody has put it right.
    daemon = shipper({"output": output}, directory=tmp_path / "daemon-password")
    daemon.start()
    daemon.wait_until(lambda: stream.count() >= 50, "all lines are there")
    assert daemon.sigterm() == 0
    assert stream.audit(50).passed
    assert stream.count() == 50


def test_a_password_and_a_ca_that_change_on_both_sides_while_lines_are_shipped(
    front: TlsFront,
    output: dict[str, Any],
    stream: Stream,
    log_directory: LogDirectory,
    shipper: MakeShipper,
    tmp_path: Path,
) -> None:
    daemon = shipper({"output": {**output, "bulk": {"max_events": 20}}})
    daemon.start()
    with log_directory.writing(RATE):
        daemon.wait_until(lambda: stream.count() > 0, "the first lines are there")
        front.authorization = basic("two")
        daemon.wait_until(
            lambda: any(request.status == 401 for request in front.received), "it is refused"
        )
        (tmp_path / "next").write_text("two\n")
        (tmp_path / "next").replace(output["password_file"])
        accepted = [request.headers["authorization"] for request in front.received]
        daemon.wait_until(
            lambda: any(
                request.status == 200 and request.headers["authorization"] == basic("two")
                for request in front.received[len(accepted) :]
            ),
            "the new password is used",
        )
        successor = Authority()
        front.context = successor.server()
        before = front.handshakes
        successor.write(tmp_path / "next")
        (tmp_path / "next").replace(output["tls"]["ca"])
        daemon.wait_until(lambda: front.handshakes > before, "the new CA is used")
    written = log_directory.written
    daemon.wait_until(lambda: stream.count() >= written, "all lines are there")
    assert daemon.sigterm() == 0
    assert stream.audit(written).passed
    assert stream.count() == written


def test_a_fingerprint_and_a_client_certificate_ship_every_line_once(
    search_server: SearchServer,
    authority: Authority,
    stream: Stream,
    log_directory: LogDirectory,
    shipper: MakeShipper,
    tmp_path: Path,
) -> None:
    log_directory.write(50)
    us = authority.client(tmp_path, passphrase="open sesame")
    context = authority.server("es.example", with_ca=True, clients=authority)
    with TlsFront(context, node=search_server.url, authorization="Bearer a-token") as front:
        tls = {
            "ca_trusted_fingerprint": authority.fingerprint,
            "certificate": str(us.certificate),
            "key": str(us.key),
            "key_passphrase": "open sesame",
            "server_name": "es.example",
        }
        output = {"data_stream": stream.name, "bearer_token": "a-token", "tls": tls}
        daemon = shipper({"output": {"hosts": [front.url], **output}})
        daemon.start()
        daemon.wait_until(lambda: stream.count() >= 50, "all lines are there")
        assert daemon.sigterm() == 0
    assert stream.audit(50).passed
    assert stream.count() == 50


@on_opensearch
def test_a_server_without_the_parameter_is_asked_once(
    search_server: SearchServer,
    authority: Authority,
    log_directory: LogDirectory,
    shipper: MakeShipper,
) -> None:
    stream = Stream(search_server, new_name())
    client.put_data_stream_template(search_server.url, stream.name, stream.name)
    with TlsFront(authority.server(), node=search_server.url) as front:
        output = {"hosts": [front.url], "data_stream": stream.name, "tls": {"ca": authority.pem}}
        daemon = shipper({"output": output})
        daemon.start()
        for written in (20, 40, 60):
            log_directory.write(20)
            daemon.wait_until(lambda: stream.count() >= written, "they are there")  # noqa: B023
        metrics = daemon.metrics()
        assert daemon.sigterm() == 0
    bulks = [request for request in front.received if "/_bulk" in request.line]
    assert "require_data_stream=true" in bulks[0].line
    assert bulks[0].status == 400
    assert len(bulks) >= 4
    for bulk in bulks[1:]:
        assert "require_data_stream" not in bulk.line
        assert bulk.status == 200
    assert metrics.value("shipper_retries_total") == 0
    assert metrics.by("shipper_bulk_requests_total", "status").keys() == {"200"}
    assert stream.audit(60).passed
    stream.delete()
