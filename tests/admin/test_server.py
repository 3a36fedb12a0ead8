"""The admin pages over HTTP, and an address that somebody else has."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import pytest

from shipper.admin.connections import Limits
from shipper.admin.server import AdminServer
from shipper.admin.status import FileStatus, InputStatus, Status, Trouble, TroubleKind
from shipper.config.admin import AdminConfig
from shipper.internal_errors import InternalErrors
from shipper.metrics import Metrics
from tests.servers.launcher import free_port
from tests.support.clock import ManualClock, settle
from tests.support.logs import RecordedLog
from tests.support.loop import in_a_loop

TROUBLES = (
    Trouble(TroubleKind.REGISTRY, "registry.db: disk full"),
    Trouble(TroubleKind.OUTPUT, "http://a: no connection"),
)
READY = Status(
    version="1.2.3",
    ready=True,
    reasons=(),
    uptime_seconds=12.5,
    hosts=("http://a", "http://b"),
    hosts_resting=("http://b",),
    lines_read=10,
    events={"delivered": 9},
    in_flight_events=1,
    in_flight_bytes=100,
    in_flight_requests=1,
    concurrency_limit=4,
    backlog_bytes=50,
    incomplete_line_bytes=7,
    oldest_unacknowledged_seconds=0.5,
    inputs=(InputStatus("tetragon", 1, ("/logs/*.txt",), (), (), 0, 2, 0, {}),),
    files=(FileStatus("tetragon", "/logs/a.log", "0011", "open", 150, 150, 100, 7),),
)


@dataclass(slots=True)
class Pages:
    """A running admin server, and what it shows."""

    address: str
    session: aiohttp.ClientSession
    clock: ManualClock
    recorded: RecordedLog
    counts: Metrics
    shown: Status = READY
    reasons: Sequence[Trouble] = ()
    text: bytes = b"# HELP x y\nx 1.0\n"
    #: Makes `text` instead, if it is set.
    make_text: Callable[[], bytes] | None = None
    #: Raised by all pages that show something.
    fault: Exception | None = None

    def status(self) -> Status:
        if self.fault is not None:
            raise self.fault
        return self.shown

    def troubles(self) -> Sequence[Trouble]:
        if self.fault is not None:
            raise self.fault
        return self.reasons

    def metrics(self) -> bytes:
        return self.make_text() if self.make_text else self.text

    async def get(
        self, path: str, method: str = "GET", *, token: str = "", url: str = "", **options: Any
    ) -> tuple[int, str, str]:
        """Return status, content type and body of an answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(
            method, f"{url or f'http://{self.address}'}{path}", headers=headers, **options
        ) as answer:
            return answer.status, answer.headers["Content-Type"], await answer.text()

    async def can_connect(self) -> bool:
        try:
            await self.get("/healthz")
        except aiohttp.ClientConnectionError:
            return False
        return True

    def logged(self) -> list[dict[str, Any]]:
        return self.recorded.entries()


@contextlib.asynccontextmanager
async def admin_pages(
    address: str = "", limits: Limits | None = None, **options: Any
) -> AsyncIterator[Pages]:
    """Serve at the address, or at a free one; a server that is to wait for it does so.
    ``options`` are those of the configuration."""
    address = address or f"127.0.0.1:{free_port()}"
    clock = ManualClock()
    recorded = RecordedLog(clock)
    async with aiohttp.ClientSession() as session:
        pages = Pages(address, session, clock, recorded, Metrics())
        server = AdminServer(
            AdminConfig(listen=address, **options),
            source=pages,
            metrics=pages.metrics,
            clock=clock,
            log=recorded.log,
            errors=InternalErrors(pages.counts, recorded.log, clock),
            limits=limits,
        )
        running = asyncio.create_task(server.run())
        await settle()
        pages.address = server.address or address
        yield pages
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert not await pages.can_connect()


@in_a_loop
async def test_metrics_are_served_for_prometheus() -> None:
    async with admin_pages() as pages:
        status, kind, body = await pages.get("/metrics")
        assert (status, body) == (200, "# HELP x y\nx 1.0\n")
        assert kind == "text/plain; version=0.0.4; charset=utf-8"


@in_a_loop
async def test_health_is_that_the_process_answers_whatever_else_is_wrong() -> None:
    async with admin_pages() as pages:
        pages.fault = ValueError("whatever")
        assert (await pages.get("/healthz"))[::2] == (200, "alive\n")


@in_a_loop
async def test_readiness_says_why_not_a_reason_a_line() -> None:
    async with admin_pages() as pages:
        assert (await pages.get("/readyz"))[::2] == (200, "ready\n")
        pages.reasons = TROUBLES
        status, _, body = await pages.get("/readyz")
        assert (status, body) == (503, "registry.db: disk full\nhttp://a: no connection\n")
        pages.reasons = ()
        assert (await pages.get("/readyz"))[0] == 200


@in_a_loop
async def test_a_reason_is_one_line_whatever_a_proxy_or_a_file_name_has_in_it() -> None:
    async with admin_pages() as pages:
        words = "http://a: HTTP 502 \udcff\x00\r\nX-Evil: 1\u2028ready"
        pages.reasons = (Trouble.of(TroubleKind.OUTPUT, words),)
        status, _, body = await pages.get("/readyz")
        assert (status, body) == (503, "http://a: HTTP 502 \\udcff   X-Evil: 1 ready\n")


@pytest.mark.parametrize("page", ["/readyz", "/status"])
@in_a_loop
async def test_a_page_that_fails_is_an_answer_and_is_logged_and_counted(page: str) -> None:
    async with admin_pages() as pages:
        pages.fault = UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
        for _ in range(3):
            assert (await pages.get(page))[::2] == (500, "internal error; see the log\n")
        assert pages.counts.value("shipper_internal_errors_total", "admin") == 3
        (entry,) = (each for each in pages.logged() if each["log.level"] == "error")
        assert entry["event.action"] == "internal-error-contained"
        assert (entry["shipper.where"], entry["shipper.page"]) == ("admin", page)
        assert "UnicodeEncodeError" in entry["error.stack_trace"]
        pages.fault = None
        assert (await pages.get(page))[0] == 200


@in_a_loop
async def test_the_status_is_json() -> None:
    async with admin_pages() as pages:
        status, kind, body = await pages.get("/status")
        assert (status, kind.partition(";")[0]) == (200, "application/json")
        assert msgspec.json.decode(body, type=Status) == READY


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/x", 404),
        ("POST", "/status", 405),
        ("PUT", "/readyz", 405),
        ("DELETE", "/metrics", 405),
    ],
)
@in_a_loop
async def test_there_is_nothing_else_and_nothing_can_be_changed(
    method: str, path: str, status: int
) -> None:
    async with admin_pages() as pages:
        assert (await pages.get(path, method))[0] == status


@in_a_loop
async def test_an_address_that_is_taken_is_logged_and_tried_again_until_it_is_free() -> None:
    port = free_port()
    taken = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    async with admin_pages(f"127.0.0.1:{port}") as pages:
        (entry,) = pages.logged()
        assert entry["log.level"] == "error"
        assert entry["event.action"] == "admin-listen-failed"
        assert entry["shipper.listen"] == pages.address
        assert "address already in use" in entry["error.message"].lower()
        await pages.clock.advance(40)
        assert "admin-listening" not in [entry["event.action"] for entry in pages.logged()]

        taken.close()
        await taken.wait_closed()
        await pages.clock.advance(20)
        assert pages.logged()[-1]["event.action"] == "admin-listening"
        assert await pages.can_connect()


@in_a_loop
async def test_an_address_of_another_machine_is_logged_in_words_that_fit() -> None:
    async with admin_pages("192.0.2.1:9479") as pages:
        (entry,) = pages.logged()
        assert "192.0.2.1" in entry["error.message"]
        assert entry["shipper.hint"] == "set admin.listen to a free address of this machine"
        # That nobody answers is looked at on loopback: nothing leaves this machine.
        pages.address = f"127.0.0.1:{free_port()}"


def has_ipv6_loopback() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@in_a_loop
async def test_port_0_is_a_free_port_which_the_log_names() -> None:
    async with admin_pages("127.0.0.1:0") as pages:
        (entry,) = pages.logged()
        assert entry["event.action"] == "admin-listening"
        assert entry["shipper.listen"] == pages.address
        assert not pages.address.endswith(":0")
        assert await pages.can_connect()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
@in_a_loop
async def test_without_a_host_every_address_of_the_machine_is_served(host: str) -> None:
    async with admin_pages(f":{free_port()}") as pages:
        pages.address = f"{host}:{pages.address.rpartition(':')[2]}"
        assert await pages.can_connect()


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")
@in_a_loop
async def test_an_address_of_ip_version_6_is_written_in_brackets() -> None:
    async with admin_pages(f"[::1]:{free_port()}") as pages:
        assert await pages.can_connect()
