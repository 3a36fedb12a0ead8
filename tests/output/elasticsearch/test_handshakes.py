"""Handshakes as they happen: each way in which one fails has its own words, and before a server is
known nothing is sent to it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from shipper.config.outputs import OutputConfig
from shipper.config.tls import TlsConfig, TlsVerify
from shipper.config.units import Secret
from shipper.output.elasticsearch.exchange import TransportError
from shipper.output.elasticsearch.transport import HttpTransport
from tests.output.elasticsearch.wire import BODY, WireServer, failure, output, post, response
from tests.support.certificates import Authority, Client
from tests.support.clock import ManualClock
from tests.support.loop import in_a_loop
from tests.support.tls_front import TlsFront


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def secret_output(url: str, tls: TlsConfig) -> OutputConfig:
    return output(url, tls=tls, api_key=Secret("id:MARKER7"), headers={"X-Key": Secret("MARKER7")})


def refused(context: ssl.SSLContext, **tls: Any) -> TransportError:
    """Return why a server of that context was sent nothing."""
    with TlsFront(context) as front:
        error = asyncio.run(failure(secret_output(front.url, TlsConfig(**tls))))
    assert front.received == []
    assert "MARKER7" not in str(error)
    return error


def accepted(context: ssl.SSLContext, **tls: Any) -> TlsFront:
    """Return the server, which has had the request."""
    with TlsFront(context) as front:
        assert asyncio.run(post(secret_output(front.url, TlsConfig(**tls)))).status == 200
    assert [received.headers["x-key"] for received in front.received] == ["MARKER7"]
    return front


class TestServers:
    def test_an_unknown_authority(self, authority: Authority) -> None:
        error = refused(authority.server(), ca=Authority().pem)
        assert error.reason == "tls_issuer"
        assert "from a CA that is not trusted" in error.what
        assert "output.tls.ca" in error.what_to_do

    def test_another_name(self, authority: Authority) -> None:
        error = refused(authority.server("es.example"), ca=authority.pem)
        assert error.reason == "tls_hostname"
        assert "is for another name" in error.what
        assert "output.tls.server_name" in error.what_to_do

    def test_an_expired_certificate(self, authority: Authority) -> None:
        error = refused(authority.server(expired=True), ca=authority.pem)
        assert error.reason == "tls_expired"
        assert "has expired: certificate has expired" in error.what
        assert "clock" in error.what_to_do

    def test_a_port_without_tls(self, authority: Authority) -> None:
        async def story() -> TransportError:
            async with WireServer(response()).listening() as url:
                return await failure(
                    output(url.replace("http:", "https:"), tls=TlsConfig(ca=authority.pem))
                )

        error = asyncio.run(story())
        assert error.reason == "tls_not_spoken"
        assert "write http in place of https" in error.what_to_do

    def test_plain_http_to_a_port_of_tls(self, authority: Authority) -> None:
        with TlsFront(authority.server()) as front:
            url = front.url.replace("https", "http")
            error = asyncio.run(failure(output(url)))
        assert error.reason == "tls_needed"
        assert "the host speaks TLS" in error.what
        assert "write https in place of http" in error.what_to_do
        assert front.received == []

    def test_a_host_that_has_answered_without_tls_is_not_asked_whether_it_speaks_it(self) -> None:
        async def story() -> TransportError:
            server = WireServer(response())
            async with (
                server.listening() as url,
                HttpTransport(output(url), ManualClock()) as transport,
            ):
                await transport.post(url, BODY)
                server.answer = b""
                with pytest.raises(TransportError) as raised:
                    await transport.post(url, BODY)
                assert [heard.line[:4] for heard in server.heard] == ["POST", "POST"]
                return raised.value

        assert asyncio.run(story()).reason == "disconnected"

    def test_an_old_protocol(self, authority: Authority) -> None:
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            context = authority.server(newest=ssl.TLSVersion.TLSv1_1)
        with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")
        error = refused(context, ca=authority.pem)
        assert error.reason == "tls_version"
        assert "no TLS 1.2 or newer" in error.what

    @pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_server_of_today(self, authority: Authority, newest: ssl.TLSVersion) -> None:
        accepted(authority.server(newest=newest), ca=authority.pem)

    def test_an_intermediate_authority_can_be_trusted_by_itself(self) -> None:
        root = Authority()
        below = Authority()
        below.ca = root.ca.create_child_ca()
        accepted(below.server(), ca=below.pem)


class TestServerName:
    def test_it_is_asked_for_and_verified_in_place_of_the_hosts(self, authority: Authority) -> None:
        front = accepted(authority.server("es.example"), ca=authority.pem, server_name="es.example")
        assert front.server_names == ["es.example"]
        error = refused(authority.server(), ca=authority.pem, server_name="es.example")
        assert error.reason == "tls_hostname"

    def test_the_headers_are_those_of_the_url(self, authority: Authority) -> None:
        front = accepted(authority.server("es.example"), ca=authority.pem, server_name="es.example")
        assert front.received[0].headers["host"] == f"127.0.0.1:{front.port}"


class TestClientCertificates:
    @pytest.fixture
    def client(self, authority: Authority, tmp_path: Path) -> Client:
        return authority.client(tmp_path)

    @pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_one_is_shown_to_a_server_that_asks(
        self, authority: Authority, client: Client, newest: ssl.TLSVersion
    ) -> None:
        accepted(
            authority.server(clients=authority, newest=newest),
            ca=authority.pem,
            certificate=str(client.certificate),
            key=Secret(str(client.key)),
        )

    def test_none_where_one_is_asked_for(self, authority: Authority) -> None:
        error = refused(authority.server(clients=authority), ca=authority.pem)
        assert error.reason == "tls_client_certificate"
        assert "the server requires a client certificate" in error.what
        assert "set output.tls.certificate" in error.what_to_do

    def test_none_where_one_is_asked_for_in_tls_1_2(self, authority: Authority) -> None:
        context = authority.server(clients=authority, newest=ssl.TLSVersion.TLSv1_2)
        error = refused(context, ca=authority.pem)
        assert error.reason == "tls"
        assert "output.tls.certificate" in error.what_to_do

    @pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_one_that_the_server_does_not_trust(
        self, authority: Authority, client: Client, newest: ssl.TLSVersion
    ) -> None:
        error = refused(
            authority.server(clients=Authority(), newest=newest),
            ca=authority.pem,
            certificate=str(client.certificate),
            key=Secret(str(client.key)),
        )
        assert error.reason == "tls_client_certificate"
        assert "the server rejects the client certificate: unknown ca" in error.what


class TestFingerprint:
    def test_a_ca_in_the_chain_with_that_fingerprint_is_trusted(self, authority: Authority) -> None:
        front = accepted(
            authority.server(with_ca=True), ca_trusted_fingerprint=authority.fingerprint
        )
        # One to look, one for the request.
        assert len(front.server_names) == 2

    def test_no_such_ca_in_the_chain(self, authority: Authority) -> None:
        for context, given in (
            (authority.server(with_ca=True), Authority().fingerprint),
            # The server does not send its CA.
            (authority.server(), authority.fingerprint),
        ):
            error = refused(context, ca_trusted_fingerprint=given)
            assert error.reason == "tls_fingerprint"
            assert "no certificate that the server sends has the fingerprint" in error.what
            assert "output.tls.ca_trusted_fingerprint" in error.what_to_do

    def test_it_is_also_asked_for_where_the_ca_is_trusted(self, authority: Authority) -> None:
        error = refused(
            authority.server(with_ca=True),
            ca=authority.pem,
            ca_trusted_fingerprint=Authority().fingerprint,
        )
        assert error.reason == "tls_fingerprint"

    def test_a_certificate_that_is_no_cas(self) -> None:
        authority = Authority()
        error = refused(authority.server(), ca_trusted_fingerprint=authority.last_issued)
        assert error.reason == "tls_fingerprint"
        assert "is not a CA's" in error.what

    @pytest.mark.parametrize(
        ("names", "expired", "reason"),
        [(("es.example",), False, "tls_hostname"), (("127.0.0.1",), True, "tls_expired")],
    )
    def test_all_else_is_verified_as_usual(
        self, authority: Authority, names: tuple[str, ...], expired: bool, reason: str
    ) -> None:
        error = refused(
            authority.server(*names, expired=expired, with_ca=True),
            ca_trusted_fingerprint=authority.fingerprint,
        )
        assert error.reason == reason

    def test_a_chain_that_only_carries_the_ca_along_is_not_trusted(
        self, authority: Authority
    ) -> None:
        """Everybody has the certificate of the CA; the server's own has to be signed by it."""
        stranger = Authority()
        context = stranger.server(with_ca=True, carries=authority)
        error = refused(context, ca_trusted_fingerprint=authority.fingerprint)
        assert error.reason == "tls_issuer"

    @pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_server_that_asks_for_a_certificate_is_looked_at_without_one(
        self, authority: Authority, tmp_path: Path, newest: ssl.TLSVersion
    ) -> None:
        client = authority.client(tmp_path)
        front = accepted(
            authority.server(with_ca=True, clients=authority, newest=newest),
            ca_trusted_fingerprint=authority.fingerprint,
            certificate=str(client.certificate),
            key=Secret(str(client.key)),
        )
        assert front.handshakes == 1

    @in_a_loop
    async def test_the_chain_is_looked_at_once_and_again_after_a_failure(
        self,
    ) -> None:
        authority, successor = Authority(), Authority()
        tls = TlsConfig(ca_trusted_fingerprint=authority.fingerprint)
        with TlsFront(authority.server(with_ca=True)) as front:
            async with HttpTransport(output(front.url, tls=tls), ManualClock()) as transport:
                for _ in range(3):
                    await transport.post(front.url, BODY)
                assert len(front.server_names) == 2
                front.context = successor.server(with_ca=True)
                front.cut()
                reasons = [await _reason(transport, front.url) for _ in range(3)]
        # What was kept alive, the new CA, and then the look that tells why.
        assert reasons[-2:] == ["tls_issuer", "tls_fingerprint"]

    def test_without_it_a_chain_is_not_looked_at(self, authority: Authority) -> None:
        front = accepted(authority.server(with_ca=True), ca=authority.pem)
        assert len(front.server_names) == 1

    def test_a_name_that_does_not_count_makes_no_other_ca_count(self, authority: Authority) -> None:
        accepted(
            authority.server("es.example", with_ca=True),
            ca_trusted_fingerprint=authority.fingerprint,
            verify=TlsVerify.CERTIFICATE,
        )


async def _reason(transport: HttpTransport, url: str) -> str:
    try:
        await transport.post(url, BODY)
    except TransportError as error:
        return error.reason
    return "none"
