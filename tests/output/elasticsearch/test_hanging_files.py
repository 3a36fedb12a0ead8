"""Files of secrets and certificates that hang, as on a mount whose server is gone; a FIFO that
nobody writes hangs alike. And name servers that do not answer.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from shipper.config.proxy import ProxyConfig
from shipper.config.tls import TlsConfig
from shipper.errors import ConfigError
from shipper.offload import TimedCalls
from shipper.output.elasticsearch.exchange import TransportError
from shipper.output.elasticsearch.resolver import system_resolver
from shipper.output.elasticsearch.transport import HttpTransport
from tests.output.elasticsearch.wire import BODY, Heard, WireServer, output, response
from tests.support.clock import ManualClock
from tests.support.faults import PATIENCE
from tests.support.logs import RecordedLog
from tests.support.loop import in_a_loop

_T = TypeVar("_T")

LIMIT = 0.1
"""For a file that hangs, in seconds."""

READABLE = 1.0
"""The same where the file is read first, which may take a while on a busy machine."""


@pytest.fixture
def hang() -> Iterator[Callable[[Path], None]]:
    """Puts something that hangs when it is opened at a path, whatever is there; lets whoever waits
    go at the end."""
    made: list[Path] = []

    def put(path: Path) -> None:
        new = path.with_suffix(".new")
        os.mkfifo(new)
        new.replace(path)
        made.append(path)

    yield put
    for path in made:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


class Turning:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> Turning:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        assert self.longest < PATIENCE / 10, "the event loop stood"

    async def _run(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - before)


def transport(
    url: str, log: RecordedLog | None = None, limit: float = READABLE, **settings: Any
) -> HttpTransport:
    return HttpTransport(
        output(url, **settings),
        ManualClock(),
        file_seconds=limit,
        log=log.log if log else None,
    )


def password_of(heard: Heard, header: str = "authorization") -> str:
    return base64.b64decode(heard.headers[header].split()[1]).decode().partition(":")[2]


SECRETS = {
    "password_file": lambda path: {"username": "u", "password_file": path},
    "api_key_file": lambda path: {"api_key_file": path},
    "bearer_token_file": lambda path: {"bearer_token_file": path},
    "proxy.password_file": lambda path: {
        "proxy": ProxyConfig(url="http://127.0.0.1:1", username="u", password_file=path)
    },
}


@pytest.mark.parametrize("settings", SECRETS.values(), ids=SECRETS)
@in_a_loop
async def test_a_secret_that_was_never_read_is_an_error_that_says_what_to_do(
    settings: Callable[[str], dict[str, Any]],
    hang: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    path = tmp_path / "secret"
    hang(path)
    async with (
        Turning(),
        transport("http://127.0.0.1:1", limit=LIMIT, **settings(str(path))) as sending,
    ):
        for _ in range(3):
            with pytest.raises(TransportError) as raised:
                await sending.post("http://127.0.0.1:1", BODY)
            assert raised.value.reason == "credentials"
            text = str(raised.value)
            assert "the file of a secret cannot be read: no answer within 0.1 s" in text
            assert str(path) in text
            assert "check the mount that it is on, and whether it is a FIFO" in text


@in_a_loop
async def test_a_secret_that_was_read_is_used_while_its_file_hangs(
    hang: Callable[[Path], None], tmp_path: Path
) -> None:
    path, log = tmp_path / "secret", RecordedLog(ManualClock())
    path.write_text("first")
    server = WireServer(response())
    async with server.listening() as url:
        made = transport(url, log, username="u", password_file=str(path))
        async with Turning(), made as sending:
            await sending.post(url, BODY)
            hang(path)
            for _ in range(3):
                await sending.post(url, BODY)
    assert [password_of(heard) for heard in server.heard] == ["first"] * 4
    assert "secret-file-hangs" in log.text
    assert str(path) in log.text
    assert "first" not in log.text


@in_a_loop
async def test_a_secret_that_was_refused_is_not_used_again_while_its_file_hangs(
    hang: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text("first")
    server = WireServer(response("401 Unauthorized"))
    async with (
        server.listening() as url,
        transport(url, username="u", password_file=str(path)) as sending,
    ):
        await sending.post(url, BODY)
        sending.credentials_refused()
        hang(path)
        with pytest.raises(TransportError, match="no answer within"):
            await sending.post(url, BODY)
    assert len(server.heard) == 1


@in_a_loop
async def test_a_file_that_answers_again_is_read(
    hang: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    hang(path)
    server = WireServer(response())
    async with (
        server.listening() as url,
        transport(url, username="u", password_file=str(path)) as sending,
    ):
        with pytest.raises(TransportError, match="no answer within"):
            await sending.post(url, BODY)
        fifo = os.open(path, os.O_WRONLY)
        path.unlink()
        path.write_text("second")
        os.close(fifo)  # Who waits reads an empty file.
        async with asyncio.timeout(PATIENCE):
            while not server.heard:
                with contextlib.suppress(TransportError):
                    await sending.post(url, BODY)
    assert password_of(server.heard[0]) == "second"


@in_a_loop
async def test_tls_settings_are_kept_while_their_files_hang(
    hang: Callable[[Path], None], tmp_path: Path
) -> None:
    authority = trustme.CA()
    path, log = tmp_path / "ca.crt", RecordedLog(ManualClock())
    authority.cert_pem.write_to_path(str(path))
    server = WireServer(response())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with (
        server.listening(context) as url,
        Turning(),
        transport(url, log, tls=TlsConfig(ca=str(path))) as sending,
    ):
        await sending.post(url, BODY)
        hang(path)
        for _ in range(3):
            await sending.post(url, BODY)
    assert len(server.heard) == 4
    assert "tls-file-hangs" in log.text
    assert str(path) in log.text


def test_tls_files_that_hang_at_the_start_are_an_error_of_the_configuration(
    hang: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "ca.crt"
    hang(path)
    with pytest.raises(ConfigError) as raised:
        transport("https://localhost:1", limit=LIMIT, tls=TlsConfig(ca=str(path)))
    (problem,) = raised.value.problems
    assert problem.what == "a file of the TLS settings cannot be read: no answer within 0.1 s"
    assert str(problem.location) == str(path)
    assert problem.what_to_do == "check the mount that it is on, and whether it is a FIFO"


class Silent(TimedCalls):
    """Lookups that hang."""

    def __init__(self, seconds: float) -> None:
        super().__init__("resolver", seconds, most=64)
        self.let_go = threading.Event()
        self.names: set[Hashable] = set()

    async def __call__(self, key: Hashable, call: Callable[[], _T]) -> _T:
        self.names.add(key)

        def hung() -> _T:
            assert self.let_go.wait(PATIENCE)
            return call()

        return await super().__call__(key, hung)


@in_a_loop
async def test_a_name_server_that_does_not_answer_is_named_as_the_reason() -> None:
    lookups = Silent(LIMIT)
    url = "http://elastic.invalid:9200"
    made = HttpTransport(output(url), ManualClock(), resolver=system_resolver(lookups))
    async with Turning(), made as sending:
        with pytest.raises(TransportError) as raised:
            await sending.post(url, BODY)
    assert raised.value.reason == "dns"
    assert "the name server gives no answer within 0.1 s" in str(raised.value)
    lookups.let_go.set()


@in_a_loop
async def test_lookups_that_hang_take_no_thread_of_those_that_read_logs() -> None:
    lookups = Silent(PATIENCE)
    resolver = system_resolver(lookups)
    # More than the event loop's own pool has, with which logs are read.
    count = min(32, (os.cpu_count() or 1) + 4) + 4
    waiting = [
        asyncio.create_task(resolver.resolve(f"host-{number}.invalid", 9200))
        for number in range(count)
    ]
    async with asyncio.timeout(PATIENCE):
        await asyncio.sleep(0)
        assert len(lookups.names) == count
        assert await asyncio.to_thread(lambda: "read") == "read"
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    lookups.let_go.set()


@in_a_loop
async def test_names_are_resolved_as_by_the_system() -> None:
    found = await system_resolver().resolve("localhost", 9200, socket.AF_INET)
    assert {each["host"] for each in found} == {"127.0.0.1"}
    assert {each["port"] for each in found} == {9200}
    with pytest.raises(socket.gaierror):
        await system_resolver().resolve("no such name.invalid", 9200)
