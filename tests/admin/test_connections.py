"""Strangers that hold connections of the admin server, on real sockets. A probe is answered within
a second whatever they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shipper.admin.connections import Limits
from shipper.admin.descriptors import DescriptorReserve
from tests.admin.test_access import certificate_of
from tests.admin.test_server import Pages, admin_pages
from tests.support.certificates import Authority
from tests.support.faults import PATIENCE
from tests.support.loop import in_a_loop

PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK = Limits(head_seconds=0.2)


async def say(pages: Pages, *pieces: bytes) -> Stranger:
    """A connection that has sent these pieces."""
    host, _, port = pages.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    return Stranger(reader, writer)


class Stranger:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def rest(self) -> bytes:
        """What comes until the server closes the connection."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.reader.read()
        except ConnectionResetError:
            return b""
        finally:
            self.close()

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def strangers(pages: Pages, count: int, *pieces: bytes) -> AsyncIterator[list[Stranger]]:
    """So many connections that have sent these pieces and wait."""
    made: list[Stranger] = []
    try:
        while len(made) < count:
            made.append(await say(pages, *pieces))
        yield made
    finally:
        for each in made:
            each.close()


async def probed(pages: Pages) -> float:
    """The seconds until a probe is answered."""
    began = time.monotonic()
    probe = await say(pages, PROBE)
    async with asyncio.timeout(PATIENCE):
        assert (await probe.reader.readuntil(b"alive\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    probe.close()
    return time.monotonic() - began


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"\r\n",),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n",),
        (b"\x16",),
        (b"\x16\x03\x01\x02\x00",),
        (PROBE, b"GET /status"),
    ],
    ids=["silent", "empty line", "half a head", "TLS", "half a handshake", "idle after a request"],
)
@pytest.mark.parametrize("count", [40, 1000])
@in_a_loop
async def test_a_probe_gets_in_while_strangers_hold_connections(
    pieces: tuple[bytes, ...], count: int, tmp_path: Path
) -> None:
    tls = certificate_of(Authority(), tmp_path)
    async with admin_pages(tls=tls) as pages, strangers(pages, count, *pieces):
        assert await probed(pages) < 1.0


@in_a_loop
async def test_a_probe_gets_in_while_strangers_connect_again_and_again() -> None:
    async with admin_pages() as pages:

        async def flood() -> None:
            while True:
                async with strangers(pages, 50, b"GET"):
                    await asyncio.sleep(0)

        floods = [asyncio.create_task(flood()) for _ in range(4)]
        try:
            took = [await probed(pages) for _ in range(20)]
        finally:
            for each in floods:
                each.cancel()
            await asyncio.gather(*floods, return_exceptions=True)
        assert max(took) < 1.0


@in_a_loop
async def test_strangers_that_take_no_answer_hold_few_of_them_and_stop_no_probe() -> None:
    size = 8_000_000
    async with admin_pages() as pages:
        pages.text = b"x" * size
        host, _, port = pages.address.rpartition(":")
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as closing:
            held = [closing.enter_context(socket.socket()) for _ in range(60)]
            for each in held:
                each.setblocking(False)
                await loop.sock_connect(each, (host, int(port)))
                await loop.sock_sendall(each, b"GET /metrics HTTP/1.0\r\n\r\n")
                await asyncio.sleep(0)
            assert await probed(pages) < 1.0
            complete = 0
            for each in held:
                read = 0
                with contextlib.suppress(ConnectionError):
                    async with asyncio.timeout(PATIENCE):
                        while data := await loop.sock_recv(each, 1 << 20):
                            read += len(data)
                complete += read > size
            assert 1 <= complete <= Limits().untaken + 1, "one may have been made meanwhile"
        last = await say(pages, b"GET /metrics HTTP/1.0\r\n\r\n")
        assert len(await last.rest()) > size


@in_a_loop
async def test_the_oldest_without_a_complete_request_goes_first() -> None:
    limits = Limits(connections=4, at_once=1)
    async with admin_pages(limits=limits) as pages:
        first = await say(pages, PROBE)
        await first.reader.readuntil(b"alive\n")
        halves = [await say(pages, b"GET /") for _ in range(3)]
        newest = await say(pages)
        assert b"alive" not in await first.rest(), "it was the oldest, and idle"
        first.close()
        await probed(pages)
        assert await halves[0].rest() == b""
        for each in (*halves, newest):
            each.close()


@pytest.mark.parametrize(
    "pieces",
    [(), (b"GET / HTTP/1.1\r\n",), (PROBE,), (b"\x16\x03\x01",), (b"\r\n\r",)],
    ids=["silent", "half a head", "idle after a request", "half a handshake", "empty lines"],
)
@in_a_loop
async def test_a_connection_without_a_request_is_closed(
    pieces: tuple[bytes, ...], tmp_path: Path
) -> None:
    tls = certificate_of(Authority(), tmp_path)
    async with admin_pages(limits=QUICK, tls=tls) as pages:
        stranger = await say(pages, *pieces)
        began = time.monotonic()
        await stranger.rest()
        assert time.monotonic() - began < 5.0, "not after the default"
        stranger.close()


@in_a_loop
async def test_a_head_that_comes_byte_by_byte_has_one_deadline() -> None:
    async with admin_pages(limits=QUICK) as pages:
        stranger = await say(pages, b"GET /healthz HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while not stranger.reader.at_eof():
                    stranger.writer.write(b"x:y\r\n")
                    await stranger.writer.drain()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stranger.reader.read(1), 0.02)
        stranger.close()


@pytest.mark.parametrize("size", [8300, 20_000, 1_000_000])
@in_a_loop
async def test_large_headers_are_refused_with_an_answer(size: int) -> None:
    async with admin_pages() as pages:
        stranger = await say(pages, b"GET /healthz HTTP/1.1\r\nCookie: " + b"x" * 8200)
        with contextlib.suppress(ConnectionError):
            stranger.writer.write(b"x" * (size - 8200) + b"\r\n\r\n")
        answer = await stranger.rest()
        if size <= 64 * 1024:
            assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
            assert answer.endswith(b"a request head has at most 8192 bytes\n")
        stranger.close()


@in_a_loop
async def test_headers_of_almost_8_kib_are_fine() -> None:
    async with admin_pages() as pages:
        pages_of = await say(pages, b"GET /healthz HTTP/1.0\r\nCookie: " + b"x" * 8100, b"\r\n\r\n")
        assert (await pages_of.rest()).endswith(b"\r\n\r\nalive\n")


@in_a_loop
async def test_requests_that_are_sent_at_once_are_answered_in_turn() -> None:
    async with admin_pages() as pages:
        last = b"HEAD /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"
        stranger = await say(pages, PROBE + b"GET /readyz HTTP/1.1\r\n\r\n" + last + PROBE)
        answers = (await stranger.rest()).split(b"HTTP/1.1 ")
        assert [each.rpartition(b"\r\n\r\n")[2] for each in answers[1:]] == [
            b"alive\n",
            b"ready\n",
            b"",
        ]
        assert b"Content-Length: 17\r\n" in answers[3]
        assert not any(b"server:" in each.lower() for each in answers)


@in_a_loop
async def test_a_request_with_a_body_is_refused_and_what_follows_is_no_request() -> None:
    async with admin_pages() as pages:
        body = b"POST /status HTTP/1.1\r\nContent-Length: 40\r\n\r\n" + PROBE
        answer = await (await say(pages, body)).rest()
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert answer.count(b"HTTP/1.1 ") == 1


@in_a_loop
async def test_pages_that_take_time_leave_the_event_loop_to_others() -> None:
    async with admin_pages() as pages:
        made: list[float] = []

        def slow() -> bytes:
            made.append(pages.clock.monotonic())
            pages.clock.pass_time(0.5)
            return b"x"

        pages.make_text = slow
        asking = [asyncio.create_task(pages.get("/metrics")) for _ in range(3)]
        assert await probed(pages) < 1.0
        async with asyncio.timeout(PATIENCE):
            while not all(each.done() for each in asking):
                await asyncio.sleep(0.001)
                await pages.clock.advance(0.1)
        pauses = [later - earlier for earlier, later in itertools.pairwise(made)]
        assert len(pauses) == 2
        assert min(pauses) >= 2.5


@contextlib.contextmanager
def no_descriptor_left(spare: int = 0) -> Iterator[None]:
    """All descriptors are taken, but for so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for each in taken[len(taken) - spare :]:
            os.close(each)
        del taken[len(taken) - spare :]
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def client(pages: Pages) -> socket.socket:
    """A client's socket, made while there are descriptors, that does not block."""
    made = socket.socket()
    made.setblocking(False)
    return made


@in_a_loop
async def test_a_probe_is_answered_when_the_process_has_no_descriptor_left() -> None:
    async with admin_pages() as pages:
        loop = asyncio.get_running_loop()
        host, _, port = pages.address.rpartition(":")
        clients = [client(pages) for _ in range(60)]
        with no_descriptor_left():
            for each in clients:
                await loop.sock_connect(each, (host, int(port)))
                await loop.sock_sendall(each, PROBE)
                answer = b""
                async with asyncio.timeout(1.0):
                    while not answer.endswith(b"alive\n"):
                        answer += await loop.sock_recv(each, 4096)
        for each in clients:
            each.close()


def test_a_descriptor_of_the_reserve_stays_in_it() -> None:
    reserve = DescriptorReserve(3)
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
    with no_descriptor_left():
        accepted = [reserve.accept(server) for _ in range(3)]
        assert len(reserve) == 0
        with pytest.raises(OSError, match=r"Too many open files|unavailable"):
            reserve.accept(server)
        numbers = {each.fileno() for each in accepted}
        for connection in accepted:
            connection.close()
            connection.close()
        assert len(reserve) == 3
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
        assert all(other.recv(1) == b"" for other in clients), "they are told at once"
        assert all(os.readlink(f"/proc/self/fd/{each}") == os.devnull for each in numbers)
        assert not any(os.get_inheritable(each) for each in numbers)
    reserve.close()
    server.close()
    for each in clients:
        each.close()


def test_a_limit_that_is_lowered_takes_no_connection_away() -> None:
    reserve = DescriptorReserve(3)
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
    accepted = [reserve.accept(server) for _ in range(2)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Below the numbers of all of them.
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, hard))
    try:
        accepted[0].close()
        with pytest.raises(OSError, match="Too many open files"):
            reserve.accept(server)
        accepted[1].send(b"x")
        assert clients[1].recv(1) == b"x"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    accepted.append(reserve.accept(server))
    for each in accepted:
        each.close()
    assert len(reserve) == 3
    reserve.close()
    server.close()
    for other in clients:
        other.close()


def test_a_reserve_that_was_short_is_filled_when_there_are_descriptors() -> None:
    with no_descriptor_left(spare=2):
        reserve = DescriptorReserve(3)
        assert len(reserve) == 1
    reserve.refill()
    assert len(reserve) == 3
    reserve.close()


def test_few_descriptors_are_few_connections() -> None:
    assert Limits().within(1024).connections == 32
    assert Limits().within(300).connections == 32
    assert Limits().within(64) == Limits(connections=8, at_once=8)
    assert Limits().within(10).connections == 4
