"""Connections are kept, are not kept for ever, and follow names and files that change."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from shipper.config.outputs import OutputConfig
from shipper.config.tls import TlsConfig
from shipper.config.units import Secret
from shipper.output.elasticsearch.connections import GENERATION_SECONDS
from shipper.output.elasticsearch.exchange import TransportError
from shipper.output.elasticsearch.transport import HttpTransport
from tests.output.elasticsearch.wire import BODY, WireServer, output, response
from tests.servers.launcher import free_port
from tests.support.certificates import Authority
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog
from tests.support.loop import in_a_loop
from tests.support.tls_front import TlsFront

KEPT = response(keep=True)


class Names(AbstractResolver):
    """Knows the addresses that the test gives to names."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError(None, "no such name")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses[host]
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def world(
    config: OutputConfig, names: Names | None = None
) -> AsyncIterator[tuple[HttpTransport, ManualClock, RecordedLog]]:
    clock = ManualClock()
    recorded = RecordedLog(clock)
    async with HttpTransport(config, clock, log=recorded.log, resolver=names) as transport:
        yield transport, clock, recorded


class TestAge:
    @in_a_loop
    async def test_two_requests_take_one_connection(self) -> None:
        server = WireServer(KEPT, keep=True)
        async with server.listening() as url, world(output(url)) as (transport, clock, _):
            await transport.post(url, BODY)
            await clock.advance(GENERATION_SECONDS / 2)
            await transport.post(url, BODY)
            await transport.probe(url)
            assert (len(server.heard), server.connections) == (3, 1)

    @in_a_loop
    async def test_after_minutes_a_connection_is_made_again(self) -> None:
        server = WireServer(KEPT, keep=True)
        async with server.listening() as url, world(output(url)) as (transport, clock, _):
            await transport.post(url, BODY)
            await clock.advance(GENERATION_SECONDS + 1)
            await transport.post(url, BODY)
            await transport.post(url, BODY)
            assert server.connections == 2

    @in_a_loop
    async def test_a_request_under_way_is_not_cut_for_it(self) -> None:
        silent = WireServer(None)
        async with (
            silent.listening() as slow,
            WireServer(KEPT, keep=True).listening() as url,
            world(output(url)) as (transport, clock, _),
        ):
            waiting = asyncio.create_task(transport.post(slow, BODY))
            await silent.heard_one.wait()
            await clock.advance(GENERATION_SECONDS + 1)
            assert (await transport.post(url, BODY)).status == 200
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


class TestNames:
    @in_a_loop
    async def test_a_name_is_asked_for_again_with_the_next_connections(self) -> None:
        port = free_port()
        old, new = WireServer(KEPT, keep=True), WireServer(KEPT, keep=True)
        names = Names(es=["127.0.0.1"])
        url = f"http://es:{port}"
        async with (
            old.listening(port=port),
            new.listening(address="127.0.0.2", port=port),
            world(output(url), names) as (transport, clock, _),
        ):
            await transport.post(url, BODY)
            names.addresses["es"] = ["127.0.0.2"]
            await transport.post(url, BODY)
            assert (len(old.heard), len(new.heard)) == (2, 0)
            await clock.advance(GENERATION_SECONDS + 1)
            await transport.post(url, BODY)
            assert (len(old.heard), len(new.heard)) == (2, 1)
            assert names.asked == ["es", "es"]

    @in_a_loop
    async def test_a_name_is_asked_for_again_when_a_connection_failed(self) -> None:
        server = WireServer(KEPT, keep=True)
        async with server.listening(address="127.0.0.2") as there:
            port = int(there.rpartition(":")[2])
            names, url = Names(es=["127.0.0.1"]), f"http://es:{port}"
            async with world(output(url), names) as (transport, _, _):
                with pytest.raises(TransportError, match="connection refused"):
                    await transport.post(url, BODY)
                names.addresses["es"] = ["127.0.0.2"]
                assert (await transport.post(url, BODY)).status == 200

    @in_a_loop
    async def test_connections_begin_with_another_address_each(self) -> None:
        port = free_port()
        one, two = WireServer(response()), WireServer(response())
        url = f"http://es:{port}"
        async with (
            one.listening(port=port),
            two.listening(address="127.0.0.2", port=port),
            world(output(url), Names(es=["127.0.0.1", "127.0.0.2"])) as (transport, _, _),
        ):
            for _ in range(4):
                await transport.post(url, BODY)
            assert (len(one.heard), len(two.heard)) == (2, 2)

    @in_a_loop
    async def test_a_name_that_is_not_known(self) -> None:
        url = "http://es:9200"
        async with world(output(url), Names()) as (transport, _, _):
            with pytest.raises(TransportError, match="the host name cannot be resolved") as raised:
                await transport.post(url, BODY)
        assert raised.value.reason == "dns"

    @in_a_loop
    async def test_an_ipv6_address_and_a_path_prefix(self) -> None:
        server = WireServer(response())
        async with server.listening(address="::1") as url:
            assert url.startswith("http://[::1]:")
            for prefix in ("", "/prefix", "/a/b%20c"):
                async with world(output(url + prefix)) as (transport, _, _):
                    await transport.post(url + prefix, BODY)
                    await transport.probe(url + prefix)
        lines = [heard.line for heard in server.heard]
        assert [line.partition("/logs-")[0] for line in lines[::2]] == [
            "POST ",
            "POST /prefix",
            "POST /a/b%20c",
        ]
        assert lines[1::2] == [
            "GET / HTTP/1.1",
            "GET /prefix/ HTTP/1.1",
            "GET /a/b%20c/ HTTP/1.1",
        ]


class TestFiles:
    @in_a_loop
    async def test_a_ca_that_changes_is_used_without_a_restart(self, tmp_path: Path) -> None:
        old, new = Authority(), Authority()
        ca = tmp_path / "ca.crt"
        config = TlsConfig(ca=old.write(ca))
        with TlsFront(old.server()) as front:
            async with world(output(front.url, tls=config)) as (transport, _, log):
                await transport.post(front.url, BODY)
                front.context = new.server()
                new.write(tmp_path / "next")
                (tmp_path / "next").replace(ca)
                await transport.post(front.url, BODY)
                await transport.post(front.url, BODY)
        assert front.handshakes == 2
        (reloaded,) = log.entries()
        assert reloaded["event.action"] == "tls-reloaded"
        assert (reloaded["file.path"], reloaded["shipper.files"]) == (str(ca), 1)

    @in_a_loop
    async def test_a_client_certificate_that_changes_is_shown_without_a_restart(
        self, tmp_path: Path
    ) -> None:
        servers, old, new = Authority(), Authority(), Authority()
        client = old.client(tmp_path)
        config = TlsConfig(
            ca=servers.pem, certificate=str(client.certificate), key=Secret(str(client.key))
        )
        with TlsFront(servers.server(clients=old)) as front:
            async with world(output(front.url, tls=config)) as (transport, _, _):
                await transport.post(front.url, BODY)
                front.context = servers.server(clients=new)
                new.client(tmp_path)
                await transport.post(front.url, BODY)
        assert [received.status for received in front.received] == [200, 200]

    @in_a_loop
    async def test_a_half_written_file_keeps_the_old_one_in_use_and_is_told_once(
        self, tmp_path: Path
    ) -> None:
        authority = Authority()
        ca = tmp_path / "ca.crt"
        config = TlsConfig(ca=authority.write(ca))
        with TlsFront(authority.server()) as front:
            async with world(output(front.url, tls=config)) as (transport, clock, log):
                await transport.post(front.url, BODY)
                ca.write_text(authority.pem[:100])
                for _ in range(3):
                    await transport.post(front.url, BODY)
                    await clock.advance(GENERATION_SECONDS + 1)
                ca.write_text(authority.pem + "\n")
                await transport.post(front.url, BODY)
        assert log.actions() == ["tls-reload-failed", "tls-reloaded"]
        assert str(ca) in log.entries()[0]["error.message"]
