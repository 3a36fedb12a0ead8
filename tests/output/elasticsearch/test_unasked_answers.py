"""An answer counts for the request that it answers, and for no other: lines that the host never got
would count as stored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from shipper.config.units import Seconds
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.transport import HttpTransport
from shipper.pipeline.batch import Body
from tests.output.elasticsearch.wire import BODY, output, response
from tests.support.clock import ManualClock
from tests.support.loop import in_a_loop

STORED = b'{"errors":false,"items":[{"create":{"status":201}}]}'

LARGE = Body.of([b'{"create":{}}\n', b'"' + b"x" * 8_000_000 + b'"\n'], gzip=False)


@dataclass
class TalkativeServer:
    """Answers each request with its number, and says something more on the connection then."""

    #: After each answer.
    extra: bytes = b""
    #: Instead of an answer, when only the head of the first request was read.
    early: bytes = b""
    connections: int = 0
    answered: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    #: When the client has enough.
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        serving: list[asyncio.Task[Any]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.append(task)
            self.connections += 1
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._answer(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self.over.set()
            server.close()
            await asyncio.gather(*serving)
            await server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if self.early and self.connections == 1:
            writer.write(self.early)
            await self.over.wait()
            raise ConnectionResetError
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(size)
        self.answered += 1
        writer.write(response(body=b'{"request":%d}' % self.answered, keep=True))
        if self.extra:
            # The client takes the answer from the connection before more comes.
            for _ in range(10):
                await asyncio.sleep(0)
            writer.write(self.extra)


async def post(transport: HttpTransport, url: str, body: Body = BODY) -> Answer:
    """Post, and let the client read whatever the server says afterwards."""
    answer = await transport.post(url, body)
    for _ in range(30):
        await asyncio.sleep(0)
    return answer


class TestBetweenTwoRequests:
    @pytest.mark.parametrize(
        "extra",
        [
            pytest.param(response(body=STORED, keep=True), id="the answer twice"),
            pytest.param(response(body=STORED, keep=True) * 3, id="four answers"),
            pytest.param(response("408 Request Time-out", b"<h1>408"), id="a 408 before it closes"),
            pytest.param(response("503 Service Unavailable", b"", keep=True), id="a 503"),
            pytest.param(response("204 No Content", b"", keep=True), id="a 204"),
            pytest.param(response(body=STORED, keep=True)[:-5], id="an answer that is cut"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n34\r\n" + STORED + b"\r\n",
                id="an answer without end",
            ),
            pytest.param(b"\r\n\r\n\0\0", id="no HTTP"),
            pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", id="an alert of TLS"),
        ],
    )
    @in_a_loop
    async def test_what_nobody_asked_for_answers_no_later_request(self, extra: bytes) -> None:
        server = TalkativeServer(extra)
        async with (
            server.listening() as url,
            HttpTransport(output(url, timeout=Seconds(5)), ManualClock()) as transport,
        ):
            for number in range(1, 5):
                answer = await post(transport, url)
                assert (answer.status, answer.body) == (200, b'{"request":%d}' % number)
        assert server.answered == server.connections == 4

    @in_a_loop
    async def test_a_host_that_says_nothing_more_keeps_its_connection(self) -> None:
        server = TalkativeServer()
        async with (
            server.listening() as url,
            HttpTransport(output(url, timeout=Seconds(5)), ManualClock()) as transport,
        ):
            for number in range(1, 5):
                assert (await post(transport, url)).body == b'{"request":%d}' % number
        assert (server.answered, server.connections) == (4, 1)


class TestBeforeTheBodyIsSent:
    @in_a_loop
    async def test_a_200_is_no_answer_to_it(self) -> None:
        server = TalkativeServer(early=response(body=STORED, keep=True))
        async with (
            server.listening() as url,
            HttpTransport(output(url, timeout=Seconds(5)), ManualClock()) as transport,
        ):
            with pytest.raises(TransportError) as raised:
                await transport.post(url, LARGE)
            assert raised.value.reason == "invalid_answer"
            assert str(raised.value) == "the host answered before the body was sent"
            assert (await post(transport, url)).body == b'{"request":1}'

    @pytest.mark.parametrize(
        "status", ["401 No", "403 No", "408 No", "413 No", "429 No", "503 No", "302 No"]
    )
    @in_a_loop
    async def test_a_refusal_is_and_the_connection_is_not_used_again(self, status: str) -> None:
        server = TalkativeServer(early=response(status, b"{}", keep=True))
        async with (
            server.listening() as url,
            HttpTransport(output(url, timeout=Seconds(5)), ManualClock()) as transport,
        ):
            answer = await transport.post(url, LARGE)
            assert str(answer.status) == status[:3]
            # The rest of the body is nothing that a second request may follow.
            assert (await post(transport, url)).body == b'{"request":1}'
        assert server.connections == 2


@in_a_loop
async def test_after_an_answer_that_was_not_that_to_its_request_connections_are_new() -> None:
    server = TalkativeServer()
    async with (
        server.listening() as url,
        HttpTransport(output(url, timeout=Seconds(5)), ManualClock()) as transport,
    ):
        await post(transport, url)
        await post(transport, url)
        assert server.connections == 1
        transport.answered_wrongly()
        await post(transport, url)
        await post(transport, url)
        assert server.connections == 2
