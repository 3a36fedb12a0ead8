"""The sockets that `admin.listen` stands for."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence

from shipper.config.admin import split_address

#: Connections that wait to be accepted: more than a flood of a second, so that a probe's first
#: packet is not dropped. The kernel's limit is net.core.somaxconn.
_BACKLOG = 1024


async def listen(address: str) -> list[socket.socket]:
    """Sockets that listen at HOST:PORT. A host that is a number is not looked up, and this does not
    wait.

    Raises:
        OSError: the address is taken, is no address of this machine, or is not known.
    """
    split = split_address(address)
    if split is None:
        raise OSError(errno.EINVAL, "not an address with a port")
    host, port = split
    if not host:
        return [_every_address(port)]
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST
        )
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with _closed_on_error() as listeners:
        for family, _, _, _, where in dict.fromkeys(found):
            # A name with addresses of both kinds and port 0: the same port for all.
            if listeners:
                port = int(listeners[0].getsockname()[1])
            bound = (where[0], port, *where[2:])
            listeners.append(socket.create_server(bound, family=family, backlog=_BACKLOG))
    return listeners


def text_of(listeners: Sequence[socket.socket]) -> str:
    """Where they listen, as in `admin.listen`."""
    names = [each.getsockname()[:2] for each in listeners]
    return ", ".join(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in names
    )


def _every_address(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # No IPv6 on this machine.
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
            )
    return socket.create_server(("", port), backlog=_BACKLOG)


@contextlib.contextmanager
def _closed_on_error() -> Iterator[list[socket.socket]]:
    listeners: list[socket.socket] = []
    try:
        yield listeners
    except BaseException:
        for each in listeners:
            each.close()
        raise
