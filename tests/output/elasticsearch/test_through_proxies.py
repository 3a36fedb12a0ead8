"""Requests through a forward proxy, and the words for each way in which that fails."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from shipper.config.outputs import OutputConfig
from shipper.config.proxy import ProxyConfig
from shipper.config.tls import TlsConfig
from shipper.config.units import Secret
from shipper.errors import ConfigError
from shipper.output.elasticsearch.exchange import TransportError
from shipper.output.elasticsearch.transport import HttpTransport
from tests.output.elasticsearch.wire import BODY, WireServer, failure, output, post, response
from tests.servers.launcher import free_port
from tests.support.certificates import Authority
from tests.support.clock import ManualClock
from tests.support.forward_proxy import ForwardProxy
from tests.support.loop import in_a_loop
from tests.support.tls_front import TlsFront

AUTHORIZATION = "Basic " + base64.b64encode(b"user:MARKER7proxy").decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def through(proxy: ForwardProxy, host: str, **settings: Any) -> OutputConfig:
    """Through a proxy that knows us."""
    known = ProxyConfig(url=proxy.url, username="user", password=Secret("MARKER7proxy"))
    secrets = {"api_key": Secret("id:MARKER7"), "headers": {"X-Key": Secret("MARKER7")}}
    return output(host, proxy=known, **{**secrets, **settings})


class TestWays:
    def test_https_goes_through_a_tunnel_which_sees_nothing(self, authority: Authority) -> None:
        with (
            ForwardProxy(authorization=AUTHORIZATION) as proxy,
            TlsFront(authority.server()) as front,
        ):
            config = through(proxy, front.url, tls=TlsConfig(ca=authority.pem))
            assert asyncio.run(post(config)).status == 200
        (head,) = proxy.heads
        assert head.startswith(f"CONNECT 127.0.0.1:{front.port} HTTP/1.1\r\n")
        (received,) = front.received
        assert received.headers["authorization"].startswith("ApiKey ")
        for secret in ("MARKER7", received.headers["authorization"], "x-key", "X-Key"):
            assert secret not in head
        assert "proxy-authorization" not in received.headers

    @in_a_loop
    async def test_http_goes_through_it_too(self) -> None:
        server = WireServer(response())
        async with server.listening() as url:
            with ForwardProxy(authorization=AUTHORIZATION) as proxy:
                assert (await post(through(proxy, f"{url}/prefix"))).status == 200
        (head,) = proxy.heads
        assert head.startswith(f"POST {url}/prefix/logs-")
        assert server.heard[0].line.startswith("POST /prefix/logs-")

    def test_the_tunnel_is_kept_for_further_requests(self, authority: Authority) -> None:
        async def story() -> None:
            config = through(proxy, front.url, tls=TlsConfig(ca=authority.pem))
            async with HttpTransport(config, ManualClock()) as transport:
                await transport.post(front.url, BODY)
                await transport.post(front.url, BODY)

        with ForwardProxy() as proxy, TlsFront(authority.server()) as front:
            asyncio.run(story())
        assert (len(front.received), len(proxy.heads)) == (2, 1)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_tls_is_spoken_to_the_proxy_if_its_url_says_so(
        self, authority: Authority, scheme: str
    ) -> None:
        async def story() -> None:
            server = WireServer(response())
            tls = TlsConfig(ca=authority.pem)
            if scheme == "https":
                with TlsFront(authority.server()) as front:
                    assert (await post(through(proxy, front.url, tls=tls))).status == 200
            else:
                async with server.listening() as url:
                    assert (await post(through(proxy, url, tls=tls))).status == 200

        with ForwardProxy(authorization=AUTHORIZATION, tls=authority.server()) as proxy:
            asyncio.run(story())
        assert len(proxy.heads) == 1

    def test_the_name_that_is_verified_is_that_of_the_host(self, authority: Authority) -> None:
        with ForwardProxy() as proxy, TlsFront(authority.server("es.example")) as front:
            named = TlsConfig(ca=authority.pem, server_name="es.example")
            assert asyncio.run(post(through(proxy, front.url, tls=named))).status == 200
            config = through(proxy, front.url, tls=TlsConfig(ca=authority.pem))
            error = asyncio.run(failure(config))
        assert error.reason == "tls_hostname"
        assert len(front.received) == 1

    def test_a_name_that_only_the_proxy_knows(self, authority: Authority) -> None:
        with (
            TlsFront(authority.server("es.internal.test")) as front,
            ForwardProxy(to=front.port) as proxy,
        ):
            config = through(
                proxy, "https://es.internal.test:9200", tls=TlsConfig(ca=authority.pem)
            )
            assert asyncio.run(post(config)).status == 200
        assert proxy.heads[0].startswith("CONNECT es.internal.test:9200 ")

    def test_a_fingerprint_is_looked_for_through_the_tunnel(self, authority: Authority) -> None:
        with (
            ForwardProxy(authorization=AUTHORIZATION) as proxy,
            TlsFront(authority.server(with_ca=True)) as front,
        ):
            right = TlsConfig(ca_trusted_fingerprint=authority.fingerprint)
            assert asyncio.run(post(through(proxy, front.url, tls=right))).status == 200
            wrong = TlsConfig(ca_trusted_fingerprint=Authority().fingerprint)
            error = asyncio.run(failure(through(proxy, front.url, tls=wrong)))
        assert error.reason == "tls_fingerprint"
        assert all("MARKER7" not in head and "X-Key" not in head for head in proxy.heads)

    def test_a_fingerprint_cannot_be_looked_for_through_a_proxy_of_tls(self) -> None:
        config = output(
            "https://es-1",
            proxy=ProxyConfig(url="https://proxy:3128"),
            tls=TlsConfig(ca_trusted_fingerprint="a1" * 32),
        )
        with pytest.raises(ConfigError, match="cannot be verified through a proxy") as raised:
            HttpTransport(config, ManualClock())
        assert raised.value.where == "output.tls.ca_trusted_fingerprint"


class TestEnvironment:
    def test_variables_do_not_count_unless_it_says_so(
        self, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def ask(url: str, **settings: Any) -> None:
            config = output(url, tls=TlsConfig(ca=authority.pem), **settings)
            async with HttpTransport(config, ManualClock()) as transport:
                assert (await transport.post(url, BODY)).status == 200

        with ForwardProxy() as proxy, TlsFront(authority.server()) as front:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
                monkeypatch.setenv(name, proxy.url)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            asyncio.run(ask(front.url))
            assert proxy.heads == []
            wanted = ProxyConfig(from_environment=True)
            asyncio.run(ask(front.url, proxy=wanted))
            assert len(proxy.heads) == 1
            monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,127.0.0.0/8")
            asyncio.run(ask(front.url, proxy=wanted))
            assert len(proxy.heads) == 1


class TestFailures:
    def test_a_proxy_that_is_away(self) -> None:
        away = ProxyConfig(url=f"http://127.0.0.1:{free_port()}")
        for host in ("http://es-1:9200", "https://es-1:9200"):
            error = asyncio.run(failure(output(host, proxy=away)))
            assert error.reason == "proxy"
            assert error.what == "no connection to the proxy: connection refused"
            assert "output.proxy.url" in error.what_to_do

    def test_a_proxy_whose_name_is_not_known(self) -> None:
        error = asyncio.run(
            failure(output("https://es-1:9200", proxy=ProxyConfig(url="http://nobody.invalid:1")))
        )
        assert error.reason == "proxy"
        assert "the name of the proxy cannot be resolved: " in error.what

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_proxy_that_does_not_know_us(self, scheme: str) -> None:
        with ForwardProxy(authorization="Basic another") as proxy:
            error = asyncio.run(failure(through(proxy, f"{scheme}://127.0.0.1:{free_port()}")))
        assert error.reason == "proxy_auth"
        assert "HTTP 407" in error.what
        assert "output.proxy.username" in error.what_to_do
        assert "MARKER7" not in str(error)

    def test_a_proxy_that_lets_nobody_through(self) -> None:
        with ForwardProxy(status=403) as proxy:
            error = asyncio.run(failure(through(proxy, "https://es-1:9200")))
        assert error.reason == "proxy_refused"
        assert "HTTP 403" in error.what

    def test_a_proxy_of_tls_that_is_not_trusted(self, authority: Authority) -> None:
        with ForwardProxy(tls=Authority().server()) as proxy:
            config = through(proxy, "https://es-1:9200", tls=TlsConfig(ca=authority.pem))
            error = asyncio.run(failure(config))
        assert error.reason == "tls_issuer"
        assert error.what.startswith("the TLS connection to the proxy failed")
        assert proxy.heads == []

    @in_a_loop
    async def test_a_password_is_read_again_after_407(self, tmp_path: Path) -> None:
        path = tmp_path / "password"
        path.write_text("wrong")
        server = WireServer(response())
        async with server.listening() as url:
            with ForwardProxy(authorization=AUTHORIZATION) as proxy:
                known = ProxyConfig(url=proxy.url, username="user", password_file=str(path))
                async with HttpTransport(output(url, proxy=known), ManualClock()) as transport:
                    with pytest.raises(TransportError, match="requires authentication"):
                        await transport.post(url, BODY)
                    path.write_text("MARKER7proxy")
                    assert (await transport.post(url, BODY)).status == 200
        assert len(server.heard) == 1

    @in_a_loop
    async def test_a_password_that_cannot_be_read_sends_nothing(self, tmp_path: Path) -> None:
        with ForwardProxy() as proxy:
            known = ProxyConfig(url=proxy.url, username="user", password_file=str(tmp_path / "no"))
            error = await failure(output("http://es-1:9200", proxy=known))
        assert error.reason == "credentials"
        assert proxy.heads == []
