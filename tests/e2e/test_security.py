"""Credentials and certificates, and that no secret is shown anywhere."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.servers.launcher import free_port
from tests.support.bulk_server import BulkServer
from tests.support.certificates import Authority
from tests.support.faults import Items
from tests.support.forward_proxy import ForwardProxy
from tests.support.listener import Listener
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess
from tests.support.tls_front import TlsFront

SECRET = 'pa,ss:w$rd "quoted" é'


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def assert_nothing_shows(secret: str, process: ShipperProcess) -> None:
    """Neither the log nor any page has it, in any of its forms."""
    shown = process.log_path.read_text()
    for page in ("/metrics", "/status", "/readyz", "/healthz"):
        shown += process.get(page)[1]
    shown += Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
    assert secret not in shown
    assert base64.b64encode(secret.encode()).decode() not in shown
    assert base64.b64encode(f"shipper:{secret}".encode()).decode() not in shown


def test_a_password_may_have_any_character(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.authorization = basic("shipper", SECRET)
    log_directory.write(10)
    output = {"username": "shipper", "password": "${ES_PASSWORD}"}
    process = shipper({"output": output}, environment={"ES_PASSWORD": SECRET})
    process.start()
    bulk_server.wait_for_lines(10)
    assert_nothing_shows(SECRET, process)


@pytest.mark.parametrize("key", ["id:key", base64.b64encode(b"id:key").decode()])
def test_an_api_key_may_be_plain_or_encoded(
    key: str, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.authorization = "ApiKey " + base64.b64encode(b"id:key").decode()
    log_directory.write(10)
    process = shipper({"output": {"api_key": key}})
    process.start()
    bulk_server.wait_for_lines(10)
    assert_nothing_shows(key, process)


def test_a_secret_that_rotates_is_read_again(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("old-secret\n")
    bulk_server.authorization = basic("shipper", "old-secret")
    process = shipper({"output": {"username": "shipper", "password_file": str(file)}})
    process.start()
    log_directory.write(10)
    bulk_server.wait_for_lines(10)

    bulk_server.authorization = basic("shipper", "new-secret")
    log_directory.write(10)
    process.wait_until(lambda: not process.ready(), "it is refused")
    assert "401" in process.why_not_ready()
    assert process.metrics().value("shipper_bulk_requests_total", status="401") >= 1
    # As Kubernetes does it: another file is put in its place.
    new = tmp_path / "new"
    new.write_text("new-secret\n")
    new.rename(file)
    bulk_server.wait_for_lines(20)
    process.wait_until_ready()
    process.wait_until_idle()
    assert bulk_server.audit(20).passed
    assert_nothing_shows("new-secret", process)
    assert_nothing_shows("old-secret", process)


def test_a_secret_that_is_not_there_yet_is_waited_for(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    file = tmp_path / "api-key"
    bulk_server.authorization = "ApiKey aWQ6a2V5"
    process = shipper({"output": {"api_key_file": str(file)}})
    process.start()
    log_directory.write(10)
    process.wait_until(lambda: str(file) in process.why_not_ready(), "it says which file")
    file.write_text("id:key")
    bulk_server.wait_for_lines(10)
    process.wait_until_ready()


def test_a_server_of_the_given_authority_is_trusted(
    shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path
) -> None:
    with BulkServer(tls=True) as server:
        ca = server.write_ca(tmp_path / "ca.pem")
        log_directory.write(10)
        process = shipper({"output": {"hosts": [server.url], "tls": {"ca": str(ca)}}})
        process.start()
        server.wait_for_lines(10)


@pytest.mark.parametrize(
    ("verify", "names", "trusted"),
    [
        ("full", ("localhost", "127.0.0.1"), True),
        ("full", ("elsewhere.example",), False),
        ("certificate", ("elsewhere.example",), True),
    ],
)
def test_the_name_of_a_server_counts_as_it_is_told(
    verify: str,
    names: tuple[str, ...],
    trusted: bool,
    shipper: MakeShipper,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    with BulkServer(tls=True, tls_names=names) as server:
        tls = {"ca": str(server.write_ca(tmp_path / "ca.pem")), "verify": verify}
        log_directory.write(10)
        process = shipper({"output": {"hosts": [server.url], "tls": tls}})
        process.start()
        if trusted:
            server.wait_for_lines(10)
        else:
            process.wait_until(lambda: "TLS" in process.why_not_ready(), "it says why")
            assert not server.documents


def test_a_stranger_is_sent_nothing(shipper: MakeShipper, log_directory: LogDirectory) -> None:
    with BulkServer(tls=True) as server:
        log_directory.write(10)
        process = shipper(
            {"output": {"hosts": [server.url], "username": "shipper", "password": SECRET}}
        )
        process.start()
        process.wait_until(lambda: "TLS" in process.why_not_ready(), "it says why")
        assert not server.requests
        assert not server.other_requests
        assert_nothing_shows(SECRET, process)


def test_verification_that_is_off_is_warned_of(
    shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    with BulkServer(tls=True, tls_names=("elsewhere.example",)) as server:
        log_directory.write(10)
        output = {"hosts": [server.url], "tls": {"verify": "none"}}
        process = shipper({"output": output})
        process.start()
        server.wait_for_lines(10)
        assert len(process.logged("tls-not-verified")) == 1


# Every secret at once, while everything fails

PASSWORD, API_KEY, TOKEN = "MARKER7 pass/word", "id:MARKER7key", "MARKER7.token"
HEADER, PASSPHRASE, AT_PROXY = "MARKER7header", "MARKER7 passphrase", "MARKER7@proxy"


def forms(secret: str) -> set[str]:
    """A secret as it is, encoded, and as part of a header."""
    encoded = {secret, f"shipper:{secret}", f"user:{secret}"}
    return {
        secret,
        urllib.parse.quote(secret, safe=""),
        *(base64.b64encode(text.encode()).decode() for text in encoded),
    }


@pytest.mark.parametrize(
    ("kind", "place"), [("password", "inline"), ("api_key", "file"), ("bearer_token", "inline")]
)
def test_no_secret_is_shown_whatever_fails(
    kind: str,
    place: str,
    shipper: MakeShipper,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    authority = Authority()
    us = authority.client(tmp_path, passphrase=PASSPHRASE)
    secret = {"password": PASSWORD, "api_key": API_KEY, "bearer_token": TOKEN}[kind]
    output: dict[str, Any] = {"username": "shipper"} if kind == "password" else {}
    if place == "file":
        (tmp_path / "secret").write_text(secret)
        output[f"{kind}_file"] = str(tmp_path / "secret")
    else:
        output[kind] = "${ES_SECRET}"
    output["headers"] = {"X-Key": HEADER}
    output["tls"] = {
        "ca": authority.write(tmp_path / "ca.crt"),
        "certificate": us.certificate.read_text(),
        "key": us.key.read_text(),
        "key_passphrase": PASSPHRASE,
    }
    log_directory.write(10)

    def echo(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(data)

    known = "Basic " + base64.b64encode(f"user:{AT_PROXY}".encode()).decode()
    with (
        ForwardProxy(authorization=known) as proxy,
        Listener(echo) as mirror,
        TlsFront(authority.server(), authorization="none is right") as front,
        TlsFront(Authority().server()) as stranger,
        TlsFront(authority.server(clients=Authority())) as picky,
    ):
        output["proxy"] = {"url": proxy.url, "username": "user", "password": AT_PROXY}
        away = f"127.0.0.1:{free_port()}"
        output["hosts"] = [
            front.url,
            stranger.url,
            picky.url,
            f"http://127.0.0.1:{mirror.port}",
            f"http://{away}",
            f"https://{away}",
        ]
        config = {"output": output, "shutdown_timeout": "100ms"}
        daemon = shipper(config, environment={"ES_SECRET": secret})
        daemon.start()
        shown = ""

        def has_failed(*reasons: str) -> bool:
            nonlocal shown
            shown += _shown(daemon)
            failures = daemon.metrics().by("shipper_retries_total", "reason")
            return failures.keys() >= set(reasons)

        wanted = ("401", "tls_issuer", "tls_client_certificate", "invalid_answer", "disconnected")
        daemon.wait_until(lambda: has_failed(*wanted), "every host has failed in its way")
        proxy.authorization = "nobody"
        daemon.wait_until(lambda: has_failed("proxy_auth"), "the proxy refuses it")
        environment = {**os.environ, "ES_SECRET": secret}
        checked = subprocess.run(
            [sys.executable, "-m", "shipper", "check", "-c", str(daemon.config_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )
        assert checked.returncode == 1
        shown += checked.stdout + checked.stderr
        assert daemon.sigterm() == 0
        shown += daemon.log_path.read_text()
    key = us.key.read_text().splitlines()[1]
    for hidden in (PASSWORD, API_KEY, TOKEN, HEADER, PASSPHRASE, AT_PROXY):
        for form in forms(hidden):
            assert form not in shown
    assert "MARKER7" not in shown
    assert key not in shown


def _shown(daemon: ShipperProcess) -> str:
    """Everything that a daemon shows at this moment, and all that it has logged."""
    pages = "".join(daemon.get(page)[1] for page in ("/metrics", "/status", "/readyz", "/healthz"))
    command = Path(f"/proc/{daemon.pid}/cmdline").read_bytes().decode()
    return pages + command + daemon.log_path.read_text()


@pytest.mark.parametrize("umask", ["0", "777", "027"])
def test_all_that_is_created_is_this_users_alone_whatever_the_umask(
    umask: str, shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.refuse_items = Items(400, lambda document: "refused" in document["message"])
    log_directory.write(3)
    log_directory.append(b'{"a":"refused"}\n')
    process = shipper({"losses": {"ship": False}})
    process.executed_by = ("sh", "-c", f'umask {umask}; exec "$@"', "sh")
    process.start()
    process.wait_until(lambda: process.status()["events"]["dead_letter"] == 1, "it is refused")
    log_directory.rotate()
    process.wait_until_idle()
    data = Path(process.config["data_dir"])
    made = [data, *data.rglob("*"), *log_directory.path.glob(".shipper")]
    assert {"registry.db", "registry.db-wal", "shipper.lock", "dead-letter.ndjson"} <= {
        path.name for path in made
    }
    others = {str(path): oct(path.stat().st_mode) for path in made if path.stat().st_mode & 0o077}
    assert others == {}
    assert all(path.stat().st_mode & 0o600 == 0o600 for path in made)
    process.sigterm()
