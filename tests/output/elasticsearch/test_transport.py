"""HTTP as it happens: real connections on loopback, to servers that answer well, badly or never."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import gzip
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from msgspec.structs import replace

from shipper import __version__
from shipper.config.tls import TlsConfig, TlsVerify
from shipper.config.units import Seconds, Secret
from shipper.errors import ConfigError
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.payload import pieces
from shipper.output.elasticsearch.redaction import nothing_to_cut
from shipper.output.elasticsearch.said import said
from shipper.output.elasticsearch.tls import tls_context
from shipper.output.elasticsearch.transport import HttpTransport
from shipper.pipeline.batch import Body
from tests.output.elasticsearch.wire import (
    BODY,
    LINES,
    Heard,
    WireServer,
    failure,
    output,
    post,
    response,
)
from tests.servers.launcher import free_port
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog
from tests.support.loop import in_a_loop


async def ask(answer: bytes, body: Body = BODY, path: str = "", **settings: Any) -> Heard:
    """Post to a server that answers with these bytes; return what it heard."""
    server = WireServer(answer)
    async with server.listening() as url:
        await post(output(url + path, **settings), body)
    (heard,) = server.heard
    return heard


def without_cuts(answer: Answer) -> Answer:
    """To be compared: each transport has its own function that cuts secrets out."""
    return replace(answer, redact=nothing_to_cut)


class TestRequests:
    @in_a_loop
    async def test_a_body_goes_to_bulk_of_the_data_stream_compressed(self) -> None:
        heard = await ask(response())
        assert heard.line == (
            "POST /logs-cilium_tetragon.log-default/_bulk"
            "?filter_path=errors,items.*.status,items.*.failure_store,"
            "items.*.error.type,items.*.error.reason&timeout=30s"
            "&require_data_stream=true HTTP/1.1"
        )
        assert heard.headers["content-type"] == "application/x-ndjson"
        assert heard.headers["content-encoding"] == "gzip"
        assert heard.headers["user-agent"] == f"shipper/{__version__}"
        assert "authorization" not in heard.headers
        assert gzip.decompress(heard.body) == b"".join(LINES)

    @in_a_loop
    async def test_an_uncompressed_body_says_nothing_of_gzip(self) -> None:
        heard = await ask(response(), Body.of(LINES, gzip=False))
        assert "content-encoding" not in heard.headers
        assert heard.body == b"".join(LINES)

    @in_a_loop
    async def test_a_body_of_megabytes_arrives_whole(self) -> None:
        lines = [b'{"create":{}}\n', b'"' + bytes(range(48, 58)) * 300_000 + b'"\n']
        heard = await ask(response(), Body.of(lines, gzip=False))
        assert heard.body == b"".join(lines)

    @in_a_loop
    async def test_a_path_prefix_a_pipeline_and_headers_are_added(self) -> None:
        heard = await ask(
            response(),
            path="/proxy/es",
            data_stream="logs-a.b-c",
            pipeline="mine",
            headers={"X-Tenant": Secret("one")},
        )
        assert heard.line == (
            "POST /proxy/es/logs-a.b-c/_bulk"
            "?filter_path=errors,items.*.status,items.*.failure_store,"
            "items.*.error.type,items.*.error.reason&timeout=30s&pipeline=mine"
            "&require_data_stream=true HTTP/1.1"
        )
        assert heard.headers["x-tenant"] == "one"

    @pytest.mark.parametrize(
        ("index", "path"),
        [
            ("Tetragon", "/tetragon/_bulk"),
            ("näme-100%+", "/n%C3%A4me-100%25%2B/_bulk"),
            ("tetragon-%{+yyyy}", "/_bulk"),
            ("tetragon-%{[fields.team]}", "/_bulk"),
        ],
    )
    def test_the_path_has_the_index_if_that_is_always_the_same(self, index: str, path: str) -> None:
        heard = asyncio.run(ask(response(), index=index))
        assert heard.line.split("?")[0] == f"POST {path}"

    @in_a_loop
    async def test_a_user_is_sent_as_basic_authentication_and_a_key_as_api_key(self) -> None:
        user = await ask(response(), username="u", password=Secret("p:ä"))
        assert user.headers["authorization"] == f"Basic {_base64('u:p:ä')}"
        key = await ask(response(), api_key=Secret("id:key"))
        assert key.headers["authorization"] == f"ApiKey {_base64('id:key')}"

    @in_a_loop
    async def test_a_probe_asks_for_the_root_page_with_the_credentials(self) -> None:
        server = WireServer(response("403 Forbidden"))
        async with server.listening() as url:
            config = output(f"{url}/es", api_key=Secret("id:key"))
            async with HttpTransport(config, ManualClock()) as transport:
                answer = await transport.probe(config.hosts[0])
        (heard,) = server.heard
        assert answer.status == 403
        assert heard.line == "GET /es/ HTTP/1.1"
        assert heard.headers["authorization"].startswith("ApiKey ")

    @in_a_loop
    async def test_a_secret_that_cannot_be_read_sends_nothing(self, tmp_path: Path) -> None:
        server = WireServer(response())
        async with server.listening() as url:
            error = await failure(output(url, api_key_file=str(tmp_path / "no")))
        assert error.reason == "credentials"
        assert "the file of the secret cannot be read" in str(error)
        assert server.heard == []

    @in_a_loop
    async def test_refused_credentials_are_read_again_from_their_file(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text("id:old")
        server = WireServer(response("401 Unauthorized"))
        async with server.listening() as url:
            config = output(url, api_key_file=str(path))
            async with HttpTransport(config, ManualClock()) as transport:
                await transport.post(url, BODY)
                path.write_text("id:newer")
                transport.credentials_refused()
                await transport.post(url, BODY)
        sent = [heard.headers["authorization"] for heard in server.heard]
        assert sent == [f"ApiKey {_base64('id:old')}", f"ApiKey {_base64('id:newer')}"]


class TestDataStreamsThatAreRequired:
    @staticmethod
    def older(heard: Heard) -> bytes:
        """Answers as a server that does not know the parameter."""
        if "require_data_stream" not in heard.line:
            return response("200 OK", b"done")
        words = "contains unrecognized parameter: [require_data_stream]"
        body = '{"error":{"type":"illegal_argument_exception","reason":"request [/x/_bulk] %s"}}'
        return response("400 Bad Request", (body % words).encode())

    @in_a_loop
    async def test_a_host_that_does_not_know_the_parameter_is_asked_once(self) -> None:
        old, new = WireServer(self.older), WireServer(response("200 OK", b"new"))
        async with (
            old.listening() as older,
            new.listening() as newer,
            HttpTransport(output(older), ManualClock()) as transport,
        ):
            for _ in range(2):
                assert without_cuts(await transport.post(older, BODY)) == Answer(200, b"done")
                assert without_cuts(await transport.post(newer, BODY)) == Answer(200, b"new")
        asked = ["require_data_stream=true" in heard.line for heard in old.heard]
        assert asked == [True, False, False]
        assert [heard.body for heard in old.heard] == [BODY.payload] * 3
        assert all("require_data_stream=true" in heard.line for heard in new.heard)

    @in_a_loop
    async def test_any_other_400_is_handed_on(self) -> None:
        server = WireServer(response("400 Bad Request", b"unrecognized parameter: [pipeline]"))
        async with server.listening() as url:
            assert (await post(output(url))).status == 400
        assert len(server.heard) == 1

    @pytest.mark.parametrize(
        "words", [b"unrecognized parameter: ", b"[require_data_stream] ", b"["]
    )
    @in_a_loop
    async def test_a_400_that_is_made_to_be_slow_is_not(self, words: bytes) -> None:
        body = words * (250_000 // len(words))  # As large as an answer may be.
        server = WireServer(response("400 Bad Request", body))
        async with server.listening() as url:
            began = time.thread_time()
            assert (await post(output(url))).status == 400
        # A pattern with `.*` took four seconds.
        assert time.thread_time() - began < 0.5
        assert len(server.heard) == 1


class TestProducts:
    @pytest.mark.parametrize(
        ("answer", "warnings"),
        [
            (response("200 OK", b"{}"), 1),
            (response("200 OK", b"a page"), 1),
            (response("200 OK", b'{"version":{"distribution":"other"}}'), 1),
            (response("200 OK", b"{}", "X-Elastic-Product: Elasticsearch"), 0),
            (response("200 OK", b'{"version":{"distribution":"opensearch"}}'), 0),
            # Who may do nothing but write does not see the root page.
            (response("403 Forbidden", b"{}"), 0),
        ],
    )
    @in_a_loop
    async def test_a_host_that_is_something_else_is_warned_of_once(
        self, answer: bytes, warnings: int
    ) -> None:
        clock = ManualClock()
        recorded = RecordedLog(clock)
        async with (
            WireServer(answer).listening() as url,
            HttpTransport(output(url), clock, log=recorded.log) as transport,
        ):
            for _ in range(3):
                await transport.probe(url)
        assert recorded.actions() == ["host-not-recognized"] * warnings


class TestAnswers:
    @in_a_loop
    async def test_status_and_body_are_handed_on_whatever_they_are(self) -> None:
        for status in (200, 400, 401, 413, 429, 500, 503):
            async with WireServer(response(f"{status} X", b"words")).listening() as url:
                assert without_cuts(await post(output(url))) == Answer(status, b"words")

    @in_a_loop
    async def test_a_redirect_is_not_followed_and_takes_no_credentials_along(self) -> None:
        other = WireServer(response())
        async with other.listening() as elsewhere:
            for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
                moved = WireServer(response(status, b"", f"Location: {elsewhere}/"))
                async with moved.listening() as url:
                    answer = await post(output(url, api_key=Secret("id:key")))
                assert answer.status == int(status[:3])
                assert len(moved.heard) == 1
        assert other.heard == []

    @in_a_loop
    async def test_a_cookie_is_not_sent_back(self) -> None:
        server = WireServer(response("200 OK", b"{}", "Set-Cookie: a=b; Path=/"))
        async with server.listening() as url:
            # A cookie of an address would not be kept in any case.
            named = url.replace("127.0.0.1", "localhost")
            async with HttpTransport(output(named), ManualClock()) as transport:
                await transport.post(named, BODY)
                await transport.post(named, BODY)
        assert ["cookie" in heard.headers for heard in server.heard] == [False, False]

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0.0),
            ("7", 7.0),
            ("120", 120.0),
            ("9" * 400, float("inf")),
            ("+90 s", 90.0),
            ("-90 s", 0.0),
            ("", 0.0),
            ("-5", 0.0),
            ("1.5", 0.0),
            ("soon", 0.0),
            ("Wed, 99 Foo 2026 00:00:00 GMT", 0.0),
        ],
    )
    @in_a_loop
    async def test_retry_after_is_seconds_or_a_date(self, value: str, seconds: float) -> None:
        if value.endswith(" s"):
            date = ManualClock().now() + int(value[:-2])
            value = email.utils.formatdate(date, usegmt=True)
        server = WireServer(response("429 Too Many", b"", f"Retry-After: {value}"))
        async with server.listening() as url:
            assert (await post(output(url))).retry_after == seconds

    @in_a_loop
    async def test_an_answer_may_be_as_large_as_its_events_explain(self) -> None:
        many = Body.of([b"{}\n", b"{}\n"] * 1000, gzip=True)
        async with WireServer(response("200 OK", b"x" * 2_000_000)).listening() as url:
            assert len((await post(output(url), many)).body) == 2_000_000

    @pytest.mark.parametrize("compressed", [False, True])
    @in_a_loop
    async def test_an_answer_without_end_is_not_read_to_its_end(self, compressed: bool) -> None:
        endless = b"x" * 2_000_000
        if compressed:
            # Two kilobytes on the wire.
            answer = response("200 OK", gzip.compress(endless), "Content-Encoding: gzip")
        else:
            answer = response("200 OK", endless)
        async with WireServer(answer).listening() as url:
            error = await failure(output(url))
        assert error.reason == "answer_too_long"
        size = sum(map(len, LINES))
        assert f"the answer has more than {264192 + 2 * size} bytes" in str(error)

    @pytest.mark.parametrize(
        ("settings", "secrets"),
        [
            ({"api_key": Secret("c2VjcmV0LWtleQ==")}, ("c2VjcmV0LWtleQ", "secret-key")),
            ({"api_key": Secret("an-id:hunter2")}, ("hunter2", "YW4taWQ6aHVudGVyMg")),
            (
                {"username": "elastic", "password": Secret("hunter2")},
                ("hunter2", "ZWxhc3RpYzpodW50ZXIy"),
            ),
            ({"bearer_token": Secret("hunter2.x")}, ("hunter2.x",)),
            ({"headers": {"X-Token": Secret("tok-hunter2")}}, ("tok-hunter2",)),
        ],
        ids=["encoded key", "plain key", "password", "token", "header"],
    )
    @in_a_loop
    async def test_a_host_that_repeats_our_secret_gives_it_to_nobody(
        self, settings: dict[str, Any], secrets: tuple[str, ...]
    ) -> None:
        def echo(heard: Heard) -> str:
            sent = heard.headers.get("authorization", "") + heard.headers.get("x-token", "")
            return f"{sent} {' '.join(secrets)} who are you"

        def page(heard: Heard) -> bytes:
            return response("401 X", echo(heard).encode(), f"Location: http://a/?{secrets[0]}")

        async with WireServer(page).listening() as url:
            answer = await post(output(url, **settings))
        shown = said(answer.status, answer.body, answer.redact, answer.location)
        shown += said(302, b"", answer.redact, answer.location)
        assert "[secret]" in shown
        assert not any(secret in shown for secret in secrets)
        forms = ("HTTP/1.1 200 OK\r\nbad header %s\r\n\r\n", "HTTP/1.1 abc %s\r\n\r\n")
        for form in forms:

            def broken(heard: Heard, form: str = form) -> bytes:
                return (form % echo(heard)).encode()

            async with WireServer(broken).listening() as url:
                error = await failure(output(url, **settings))
            assert not any(secret in str(error) for secret in secrets)

    @in_a_loop
    async def test_an_error_that_repeats_a_single_large_event_is_read(self) -> None:
        lines = [b'{"create":{}}\n', b'{"message":"' + b"x" * 300_000 + b'"}\n']
        said = b"x" * 400_000
        async with WireServer(response("200 OK", said)).listening() as url:
            assert (await post(output(url), Body.of(lines, gzip=True))).body == said
            error = await failure(output(url), Body.of([lines[0], b"{}\n"], gzip=True))
        assert error.reason == "answer_too_long"


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (b"", "disconnected", "the connection was closed before the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-", "disconnected", "the connection was closed before"),
        (response()[:-1], "cut_answer", "the connection was closed in the middle of the answer"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
            "cut_answer",
            "the connection was closed in the middle of the answer",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "invalid_answer", "the answer is not valid HTTP"),
        (
            response("200 OK", b"no gzip", "Content-Encoding: gzip"),
            "invalid_answer",
            "the answer cannot be decompressed: Content-Encoding gzip (check proxies",
        ),
    ],
)
@in_a_loop
async def test_an_answer_that_is_none_is_an_error_with_a_reason(
    answer: bytes, reason: str, words: str
) -> None:
    async with WireServer(answer).listening() as url:
        error = await failure(output(url))
    assert error.reason == reason
    assert str(error).startswith(words)


@in_a_loop
async def test_a_connection_that_is_reset_was_cut() -> None:
    async with WireServer(b"", reset=True).listening() as url:
        error = await failure(output(url))
    assert error.reason == "disconnected"


@in_a_loop
async def test_a_port_that_nobody_listens_on() -> None:
    error = await failure(output(f"http://127.0.0.1:{free_port()}"))
    assert error.reason == "connect"
    assert str(error) == "no connection: connection refused"


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def story() -> TransportError:
        monkeypatch.setattr(socket, "getaddrinfo", fail)
        return await failure(output("http://es.example:9200"))

    error = asyncio.run(story())
    assert error.reason == "dns"
    assert str(error) == "the host name cannot be resolved: name or service not known"


@in_a_loop
async def test_a_server_that_never_answers_is_waited_for_until_the_timeout() -> None:
    async with WireServer(None).listening() as url:
        error = await failure(output(url, timeout=Seconds(0.2)))
    assert error.reason == "timeout"
    assert str(error) == "no answer within the timeout"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve(authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """The settings of a server whose certificate is for these names."""

    def make(*names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        return context

    return make


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return str(tmp_path / "ca.crt")


class TestTls:
    def test_a_server_is_verified_with_the_ca_from_a_file_or_inline(
        self, authority: trustme.CA, ca: str, serve: Callable[..., ssl.SSLContext]
    ) -> None:
        async def story() -> None:
            for given in (ca, authority.cert_pem.bytes().decode()):
                async with WireServer(response()).listening(serve("127.0.0.1")) as url:
                    assert (await post(output(url, tls=TlsConfig(ca=given)))).status == 200

        asyncio.run(story())

    @pytest.mark.parametrize(
        ("verify", "names", "trusted", "problem", "reason"),
        [
            (
                TlsVerify.FULL,
                "127.0.0.1",
                False,
                "unable to get local issuer certificate",
                "tls_issuer",
            ),
            (TlsVerify.FULL, "es.example", True, "IP address mismatch", "tls_hostname"),
            (
                TlsVerify.CERTIFICATE,
                "127.0.0.1",
                False,
                "unable to get local issuer certificate",
                "tls_issuer",
            ),
            (TlsVerify.CERTIFICATE, "es.example", True, None, ""),
            (TlsVerify.NONE, "es.example", False, None, ""),
        ],
    )
    def test_what_is_verified_is_what_the_option_says(
        self,
        ca: str,
        serve: Callable[..., ssl.SSLContext],
        verify: TlsVerify,
        names: str,
        trusted: bool,
        problem: str | None,
        reason: str,
    ) -> None:
        async def story() -> None:
            server = WireServer(response())
            async with server.listening(serve(names)) as url:
                tls = TlsConfig(ca=ca if trusted else "", verify=verify)
                config = output(url, tls=tls, api_key=Secret("id:key"))
                if problem is None:
                    assert (await post(config)).status == 200
                    return
                error = await failure(config)
                assert error.reason == reason
                assert problem in str(error)
                # A server that is not trusted is told nothing.
                assert server.heard == []

        asyncio.run(story())

    def test_a_server_that_speaks_no_tls(self, ca: str) -> None:
        async def story() -> TransportError:
            async with WireServer(response()).listening() as url:
                address = url.replace("http:", "https:")
                return await failure(output(address, tls=TlsConfig(ca=ca)))

        error = asyncio.run(story())
        assert error.reason == "tls_not_spoken"
        assert "TLS" in str(error)

    def test_old_tls_is_not_spoken(self, ca: str) -> None:
        assert tls_context(TlsConfig(ca=ca)).minimum_version is ssl.TLSVersion.TLSv1_2

    @pytest.mark.parametrize("kind", ["missing", "directory", "empty", "no certificate"])
    def test_a_ca_that_cannot_be_used_is_a_configuration_error(
        self, tmp_path: Path, kind: str
    ) -> None:
        path = tmp_path / "ca.crt"
        match kind:
            case "directory":
                path.mkdir()
            case "empty":
                path.touch()
            case "no certificate":
                path.write_text("-----KEY-----\n")
        with pytest.raises(ConfigError, match="the CA cannot be used") as raised:
            HttpTransport(output("https://es-1", tls=TlsConfig(ca=str(path))), ManualClock())
        assert raised.value.where == str(path)

    @pytest.mark.parametrize(
        "text",
        [
            "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nä\n-----END CERTIFICATE-----\n",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ],
    )
    def test_an_inline_ca_that_cannot_be_used_is_a_configuration_error(self, text: str) -> None:
        with pytest.raises(ConfigError, match="the CA cannot be used") as raised:
            tls_context(TlsConfig(ca=text))
        assert raised.value.where == "output.tls.ca"

    def test_without_https_no_ca_is_read(self, tmp_path: Path) -> None:
        HttpTransport(output("http://es-1", tls=TlsConfig(ca=str(tmp_path / "no"))), ManualClock())


def test_a_transport_outside_of_its_context_is_a_mistake() -> None:
    transport = HttpTransport(output("http://es-1"), ManualClock())
    with pytest.raises(RuntimeError, match="outside of its context"):
        asyncio.run(transport.probe("http://es-1"))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([], []),
        ([b""], []),
        ([b"abcd", b"efg"], [b"abcd", b"efg"]),
        ([b"a", b"", b"bc", b"d", b"ef"], [b"abcd", b"ef"]),
        ([b"a", b"bcdefghij", b"k"], [b"a", b"bcde", b"fghi", b"j", b"k"]),
        ([b"abcdefgh"], [b"abcd", b"efgh"]),
    ],
)
def test_a_body_is_written_in_pieces_that_are_neither_many_nor_large(
    chunks: list[bytes], expected: list[bytes]
) -> None:
    assert list(pieces(chunks, 4)) == expected


def test_a_piece_that_is_right_as_it_is_is_not_copied() -> None:
    chunk = bytes(1000)
    (piece,) = pieces([chunk])
    assert piece is chunk
