"""The connections of the admin server: how many there are, how long each may take, and which one
goes when there are too many.

    accepted -> WAITING for a request head -> READY -> answered -> WAITING …
                                               | a page that takes time: QUEUED
                                               | the answer is not taken: UNTAKEN

A connection has `Limits.head_seconds` for a request head, from when it is accepted or answered, and
as long to take an answer. When all are taken, the oldest that has no complete request goes, then
the oldest that does not take its answer, then the oldest whose page is not made yet. A request that
has arrived with its connection is seen before that, so a probe is answered whatever others do.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from shipper.admin.descriptors import NO_DESCRIPTOR, Connection, DescriptorReserve
from shipper.admin.http import Page, Request, encode, parse, refusal
from shipper.clock import Clock
from shipper.internal_errors import cancelled_only_by_us

_HEAD_END = b"\r\n\r\n"

#: The first byte of a TLS connection: a handshake record. No method of HTTP begins with it.
_TLS_HANDSHAKE = b"\x16"

#: Of what a client sends after a request that is refused, so much is read, so that it gets the
#: answer before the connection is reset.
_DISCARDED_BYTES = 64 * 1024

#: After the machine had no descriptor, or no memory, for a connection, in seconds.
_ACCEPT_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What connections may take."""

    connections: int = 32
    #: At most so many are accepted, and dismissed, in one turn of the event loop.
    at_once: int = 8
    head_seconds: float = 5.0
    head_bytes: int = 8 * 1024
    #: Answers that take memory, and are not taken by their clients.
    untaken: int = 4

    def within(self, descriptors: int) -> "Limits":
        """For a process that may have so many descriptors: at most the eighth part."""
        most = max(4, min(self.connections, descriptors // 8))
        return replace(self, connections=most, at_once=min(self.at_once, most))

    @property
    def descriptors(self) -> int:
        """So many are needed: those that are dismissed take a turn to go."""
        return self.connections + self.at_once


class State(Enum):
    """What a connection does. The order is that in which they are dismissed."""

    WAITING = "no complete request"
    UNTAKEN = "its answer is not taken"
    QUEUED = "its page is not made yet"
    READY = "its request is complete"


class Peer:
    """One connection, as who answers its requests sees it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.state = State.WAITING
        self.is_tls = False
        #: Set as soon as it is served.
        self.task: asyncio.Task[None] | None = None
        #: A transport of asyncio closes the connection.
        self.has_transport = False
        #: It goes.
        self.is_dismissed = False


#: Answers a request.
Answer = Callable[[Request, Peer], Awaitable[Page]]


class _Protocol(asyncio.StreamReaderProtocol):
    """Also ends a connection whose TLS handshake succeeds when nobody waits for it any more."""

    is_abandoned = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.is_abandoned and isinstance(transport, asyncio.Transport):
            transport.abort()


class Connections:
    """Accepts connections, and serves them until they end."""

    def __init__(
        self,
        answer: Answer,
        *,
        limits: Limits,
        reserve: DescriptorReserve,
        tls: Callable[[], ssl.SSLContext | None],
        clock: Clock,
        on_error: Callable[[Exception], None],
    ) -> None:
        """`tls`: the settings of new TLS connections; None: there are none. `on_error` is told of
        what must not happen; it ends one connection."""
        self._answer = answer
        self._limits = limits
        self._reserve = reserve
        self._tls = tls
        self._clock = clock
        self._on_error = on_error
        # In the order in which they came.
        self._peers: dict[Peer, None] = {}

    def __len__(self) -> int:
        return len(self._peers)

    async def run(self, listeners: Sequence[socket.socket]) -> None:
        """Serves them until it is cancelled. Closes the listeners."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in listeners:
                    each.setblocking(False)
                    loop.add_reader(each, self._accept, each, tasks)
                await asyncio.Event().wait()
        finally:
            for each in listeners:
                loop.remove_reader(each)
                each.close()

    def dismiss_untaken(self) -> None:
        """Makes room for one more answer that takes memory."""
        untaken = [peer for peer in self._peers if peer.state is State.UNTAKEN]
        for peer in untaken[: max(0, len(untaken) + 1 - self._limits.untaken)]:
            self._dismiss(peer)

    def _accept(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        """Accepts what has come; the loop calls it again if that was not all."""
        for _ in range(self._limits.at_once):
            if len(self._peers) >= self._limits.connections:
                self._make_room()
                return
            try:
                connection = self._reserve.accept(listener)
            except OSError as error:
                if error.errno in (*NO_DESCRIPTOR, errno.ENOBUFS, errno.ENOMEM):
                    self._pause(listener, tasks)
                    return
                if isinstance(error, BlockingIOError):
                    return
                continue  # It has gone again: ECONNABORTED, or an error of its network.
            peer = Peer(connection)
            self._peers[peer] = None
            if _has_request(connection, self._limits.head_bytes):
                peer.state = State.READY
            peer.task = tasks.create_task(self._serve(peer))

    def _make_room(self) -> None:
        order = list(State)
        going = sum(peer.is_dismissed for peer in self._peers)
        there = [
            peer for peer in self._peers if peer.state is not State.READY and not peer.is_dismissed
        ]
        there.sort(key=lambda peer: order.index(peer.state))
        for peer in there[: max(0, self._limits.at_once - going)]:
            self._dismiss(peer)

    def _dismiss(self, peer: Peer) -> None:
        if peer.task is not None and not peer.is_dismissed:
            peer.is_dismissed = True
            peer.task.cancel()

    def _pause(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        self._make_room()

        def resume() -> None:
            if listener.fileno() >= 0:
                loop.add_reader(listener, self._accept, listener, tasks)

        loop.call_later(_ACCEPT_PAUSE, resume)

    async def _serve(self, peer: Peer) -> None:
        """Serves one connection to its end."""
        try:
            with cancelled_only_by_us():
                await self._converse(peer)
        except (TimeoutError, OSError, EOFError):
            pass  # Too slow, gone, or no TLS (ssl.SSLError is an OSError).
        except asyncio.CancelledError:
            if not peer.is_dismissed:
                raise
        except Exception as error:
            self._on_error(error)
        finally:
            del self._peers[peer]
            if not peer.has_transport:
                peer.connection.close()

    async def _converse(self, peer: Peer) -> None:
        deadline = asyncio.get_running_loop().time() + self._limits.head_seconds
        async with asyncio.timeout_at(deadline):
            first = await _first_byte(peer.connection)
        if not first:
            return
        peer.is_tls = first == _TLS_HANDSHAKE
        context = self._tls() if peer.is_tls else None
        if peer.is_tls and context is None:
            return
        reader, writer = await self._open(peer, context, deadline)
        try:
            while await self._exchange(peer, reader, writer, deadline):
                deadline = asyncio.get_running_loop().time() + self._limits.head_seconds
        finally:
            writer.transport.abort()

    async def _open(
        self, peer: Peer, context: ssl.SSLContext | None, deadline: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=self._limits.head_bytes, loop=loop)
        protocol = _Protocol(reader, loop=loop)
        peer.has_transport = True
        try:
            async with asyncio.timeout_at(deadline):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol,
                    peer.connection,
                    ssl=context,
                    ssl_handshake_timeout=self._limits.head_seconds if context else None,
                )
        except BaseException:
            protocol.is_abandoned = True
            raise
        # Who writes waits until all of it is with the kernel.
        transport.set_write_buffer_limits(0)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _exchange(
        self,
        peer: Peer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        deadline: float,
    ) -> bool:
        """One request and its answer; whether another one may follow."""
        seconds = self._limits.head_seconds
        request: Request | Page
        try:
            async with asyncio.timeout_at(deadline):
                head = await reader.readuntil(_HEAD_END)
        except asyncio.LimitOverrunError:
            page = refusal(431, f"a request head has at most {self._limits.head_bytes} bytes")
            request = replace(page, closes=True)
        else:
            peer.state = State.READY
            request = parse(head)
        page = request if isinstance(request, Page) else await self._answer(request, peer)
        closes = page.closes or isinstance(request, Page) or request.closes
        without_body = isinstance(request, Request) and request.method == "HEAD"
        peer.state = State.UNTAKEN
        async with asyncio.timeout(seconds):
            writer.write(
                encode(page, now=self._clock.now(), closes=closes, without_body=without_body)
            )
            await writer.drain()
        if not closes:
            peer.state = State.WAITING
            return True
        async with asyncio.timeout(seconds):
            await _close(reader, writer)
        return False


def _has_request(connection: Connection, most: int) -> bool:
    """Whether a request head without TLS has arrived with the connection."""
    try:
        return _HEAD_END in connection.recv(most, socket.MSG_PEEK)
    except OSError:
        return False


async def _first_byte(connection: Connection) -> bytes:
    """The first byte, which is not taken; empty if the client has closed the connection."""
    loop = asyncio.get_running_loop()
    descriptor = connection.fileno()
    while True:
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(descriptor, _tell, readable)
            try:
                await readable
            finally:
                loop.remove_reader(descriptor)


def _tell(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says that this was all, and reads what the client still sends: a connection that is closed
    with unread bytes is reset, and the client may lose the answer."""
    if not writer.can_write_eof():
        writer.close()
        await writer.wait_closed()
        return
    writer.write_eof()
    left = _DISCARDED_BYTES
    while left > 0 and (read := await reader.read(left)):
        left -= len(read)
