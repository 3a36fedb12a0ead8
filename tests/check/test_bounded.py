"""A path that hangs is a failure of its check, and does not keep the others waiting."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shipper.check.bounded import bounded, bounded_result
from shipper.check.findings import Finding, Status
from shipper.check.secret_files import check_secrets
from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.config.proxy import ProxyConfig
from shipper.config.tls import TlsConfig
from shipper.config.units import HostList, Secret

FOUND = Finding("a", "b", Status.OK)


@pytest.fixture
def hung() -> Iterator[threading.Event]:
    """An event that a call waits for, as long as the test takes."""
    event = threading.Event()
    yield event
    event.set()


def test_what_is_found_in_time_is_passed_on() -> None:
    assert bounded("a", "b", lambda: iter([FOUND]), 60) == [FOUND]
    assert bounded_result("a", "b", lambda: ([FOUND], 7), 0, 60) == ([FOUND], 7)


def test_what_hangs_is_a_failure_with_advice(hung: threading.Event) -> None:
    def hang() -> tuple[list[Finding], int]:
        hung.wait()
        return [], 7

    found, result = bounded_result("input a", "readable", hang, 0, 0.01)
    assert result == 0
    assert [(each.subject, each.check, each.status) for each in found] == [
        ("input a", "readable", Status.FAILED)
    ]
    assert found == bounded(
        "input a", "readable", lambda: (FOUND for _ in iter(hung.wait, 1)), 0.01
    )
    assert found[0].detail == "the file system does not answer within 0.01 s"
    assert "mounts" in found[0].what_to_do


def configuration(**output: object) -> Config:
    config = Config(
        inputs=(InputConfig("a", ("/logs/*.log",)),), output=OutputConfig(HostList(["https://es"]))
    )
    return msgspec.structs.replace(config, output=msgspec.structs.replace(config.output, **output))


def outputs(path: str) -> dict[str, dict[str, object]]:
    """By option, an output with the file of a secret there."""
    return {
        "output.password_file": {"username": "u", "password_file": path},
        "output.api_key_file": {"api_key_file": path},
        "output.bearer_token_file": {"bearer_token_file": path},
        "output.proxy.password_file": {
            "proxy": ProxyConfig(url="http://proxy:1", username="u", password_file=path)
        },
        "output.tls.key_passphrase_file": {
            "tls": TlsConfig(certificate="/c", key=Secret("/k"), key_passphrase_file=path)
        },
    }


@pytest.mark.parametrize("name", outputs("/x"))
def test_the_file_of_a_secret_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    config = configuration(**outputs(str(path))[name])
    (found,) = check_secrets(config)
    assert (found.subject, found.check, found.status) == (f"{name} {path}", "secret", Status.FAILED)
    assert "no such file or directory" in found.detail
    path.write_bytes(b"")
    (found,) = check_secrets(config)
    assert found.detail == "the file of the secret is empty"
    path.write_bytes(b"MARKER7\xff")
    (found,) = check_secrets(config)
    assert "not UTF-8" in found.detail
    assert "MARKER7" not in f"{found}"
    path.write_bytes(b"MARKER7\n")
    assert check_secrets(config) == []


def test_files_that_hang_are_left_behind(tmp_path: Path) -> None:
    # To open a FIFO takes until somebody writes to it.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for config, check in (
        (configuration(api_key_file=str(fifo)), "secret"),
        (configuration(tls=TlsConfig(ca=("-----BEGIN", str(fifo)))), "certificate"),
        (configuration(tls=TlsConfig(certificate="/c", key=Secret(str(fifo)))), "certificate"),
    ):
        (found,) = check_secrets(config, 0.01)
        assert (found.check, found.status) == (check, Status.FAILED)
        assert found.subject.endswith(f" {fifo}")
        # Whoever waits for it goes on.
        os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))
