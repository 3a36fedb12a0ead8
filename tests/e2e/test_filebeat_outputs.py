"""Filebeat's other ways out with the real daemon: TLS through a proxy, a file, standard output."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_filebeat import PASSWORD, Sidecar, told
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE
from tests.support.forward_proxy import ForwardProxy
from tests.support.logdir import LogDirectory

LINES = 20


@pytest.mark.parametrize("with_text", [False, True])
def test_tls_and_a_proxy_with_credentials_in_its_url(
    tmp_path: Path, log_directory: LogDirectory, with_text: bool
) -> None:
    known = "Basic " + base64.b64encode(b"user:p@ss/word").decode()
    with BulkServer(tls=True) as server, ForwardProxy(authorization=known) as proxy:
        sidecar = Sidecar(tmp_path, server, log_directory)
        sidecar.in_our_places()
        authority = json.dumps(server.ca_pem.decode()) if with_text else str(tmp_path / "ca.pem")
        server.write_ca(tmp_path / "ca.pem")
        with sidecar.config.open("a") as file:
            file.write(
                f"\n  ssl.certificate_authorities: [{authority}]\n"
                "  ssl.supported_protocols: [TLSv1.2, TLSv1.3]\n"
                f"  proxy_url: {proxy.url.replace('://', '://user:p%40ss%2Fword@')}\n"
            )
        log_directory.write(LINES)
        try:
            sidecar.start()
            with told(sidecar):
                server.wait_for_lines(LINES)
            assert sidecar.stop() == 0
        finally:
            sidecar.kill()
        assert server.audit(LINES).passed
        assert all(head.startswith("CONNECT 127.0.0.1:") for head in proxy.heads)
        assert proxy.heads
        log = sidecar.log.read_text()
        assert [secret for secret in (PASSWORD, "p@ss/word", "p%40ss") if secret in log] == []


@pytest.mark.parametrize("name", ["file", "console"])
def test_documents_go_to_a_file_or_to_standard_output(
    tmp_path: Path, bulk_server: BulkServer, log_directory: LogDirectory, name: str
) -> None:
    sidecar = Sidecar(tmp_path, bulk_server, log_directory)
    sidecar.in_our_places()
    before, _, _ = sidecar.config.read_text().partition("output.elasticsearch:")
    output = {"file": f"{{path: {tmp_path}, filename: events}}", "console": "{enabled: true}"}[name]
    sidecar.config.write_text(f"{before}output.{name}: {output}\n")
    # What is printed goes where the log goes, here.
    out = {"file": tmp_path / "events.ndjson", "console": sidecar.log}[name]
    log_directory.write(LINES)
    lines = log_directory.log.read_text().splitlines()
    try:
        sidecar.start()
        with told(sidecar):
            wait_for(lambda: messages(out) == lines, "all lines are there")
        assert sidecar.stop() == 0
    finally:
        sidecar.kill()
    assert messages(out) == lines
    assert bulk_server.requests == []


def messages(out: Path) -> list[str]:
    """The lines whose documents are there as a whole; a log's own entries are no documents."""
    whole = out.read_text().rpartition("\n")[0].splitlines() if out.exists() else []
    found = [json.loads(line) for line in whole]
    return [each["message"] for each in found if "data_stream" in each]


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.02)
