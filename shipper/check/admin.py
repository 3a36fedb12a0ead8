"""What `shipper check` says of the address of the admin pages: it is tried."""

import asyncio
import errno
import socket
from functools import partial

from shipper.check.findings import Finding, Status
from shipper.config.model import Config
from shipper.errors import reason_of
from shipper.offload import within

#: For the name to be resolved, and for the daemon to answer, in seconds.
_PATIENCE = 5.0

#: The machine does not have the address, or has no addresses of the family.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


async def check_admin(config: Config, daemon: int | None) -> list[Finding]:
    """`daemon`: the process that has the data directory, if one has: that it listens there is
    right."""
    if not config.admin.enabled:
        return []
    name = config.option_names("admin.listen")
    listen = config.admin.listen
    subject = f"{name} {listen}"
    host, _, port = listen.rpartition(":")
    try:
        _bind(host.strip("[]"), int(port))
    except TimeoutError:
        detail = f"the name is not resolved within {_PATIENCE:g} s"
        return [Finding(subject, "admin", Status.FAILED, detail, "use an address")]
    except OSError as error:
        if error.errno == errno.EADDRINUSE and daemon is not None and await _is_alive(host, port):
            detail = f"the daemon that runs (process {daemon}) listens there"
            return [Finding(subject, "admin", Status.OK, detail)]
        advice = f"set {name} to a free address of this machine"
        return [Finding(subject, "admin", Status.FAILED, reason_of(error), advice)]
    return [Finding(subject, "admin", Status.OK)]


def _bind(host: str, port: int) -> None:
    """Takes the address, as the daemon would, for a moment. Raises OSError.

    As asyncio does, it leaves out an address of a family that this machine does not have, if the
    name has another one.
    """
    # In a thread of its own: one that waits for a resolver keeps the command from ending otherwise.
    found = within(
        _PATIENCE,
        partial(
            socket.getaddrinfo,
            host or None,
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        ),
    )
    missing: OSError | None = None
    is_bound = False
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(address)
            is_bound = True
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            missing = error
    if missing is not None and not is_bound:
        raise missing


async def _is_alive(host: str, port: str) -> bool:
    """Whether a daemon answers there."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
    address = host.strip("[]")
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(
                anywhere.get(address, address), int(port)
            )
            try:
                writer.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = await reader.read(4096)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
