"""What `shipper check` says of the address of the admin pages: it is tried."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial

from shipper.admin.access import in_words, read_certificate, read_token
from shipper.check.bounded import bounded
from shipper.check.findings import Finding, Status
from shipper.check.listening import ports_of
from shipper.config.admin import split_address
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
    return [*_check_files(config), await _check_address(config, daemon)]


def _check_files(config: Config) -> list[Finding]:
    """A failure for each of `admin.token_file` and `admin.tls` that cannot be used."""
    admin, names = config.admin, config.option_names
    findings = []
    uses: list[tuple[str, str, Callable[[], object]]] = []
    if admin.token_file:
        uses.append(("admin.token_file", admin.token_file, lambda: read_token(admin.token_file)))
    if admin.tls.certificate:
        tls = admin.tls
        uses.append(
            (
                "admin.tls.certificate",
                tls.certificate,
                lambda: read_certificate(tls.certificate, tls.key),
            )
        )
    for name, path, use in uses:
        subject = f"{names(name)} {path}"
        findings += bounded(subject, "admin", partial(_use, subject, path, use), _PATIENCE)
    return findings


def _use(subject: str, path: str, use: Callable[[], object]) -> list[Finding]:
    try:
        use()
    except (OSError, ValueError) as error:
        file, words = in_words(error, path)
        detail = f"{file}: {words}; the pages that it protects are refused"
        advice = "let this user read the file, and check what is in it"
        return [Finding(subject, "admin", Status.FAILED, detail, advice)]
    return []


async def _check_address(config: Config, daemon: int | None) -> Finding:
    names = config.option_names
    name = names("admin.listen")
    listen = config.admin.listen
    subject = f"{name} {listen}"
    address = split_address(listen)
    assert address is not None
    host, port = address
    try:
        _bind(host, port)
    except TimeoutError:
        detail = f"the name is not resolved within {_PATIENCE:g} s"
        return Finding(subject, "admin", Status.FAILED, detail, "use an address")
    except OSError as error:
        if error.errno == errno.EADDRINUSE and daemon is not None:
            found = await _daemon_at(config, subject, daemon, host, port)
            if found is not None:
                return found
        advice = f"set {name} to a free address of this machine"
        return Finding(subject, "admin", Status.FAILED, reason_of(error), advice)
    if port == 0 and daemon is not None:
        for found_port in ports_of(daemon):
            found = await _daemon_at(config, subject, daemon, host, found_port)
            if found is not None:
                return found
        detail = f"where the daemon that runs (process {daemon}) listens cannot be seen"
        return Finding(subject, "admin", Status.UNKNOWN, detail, "see admin-listening in its log")
    return Finding(subject, "admin", Status.OK)


async def _daemon_at(
    config: Config, subject: str, daemon: int, host: str, port: int
) -> Finding | None:
    """What is said of a port at which a daemon answers; None: none does."""
    there = "there" if not config.admin.listen.endswith(":0") else f"at port {port}"
    if not config.admin.tls.certificate:
        if not await _is_alive(host, port):
            return None
        detail = f"the daemon that runs (process {daemon}) listens {there}"
        return Finding(subject, "admin", Status.OK, detail)
    # Its certificate is its own: it is not verified, and nothing secret is sent.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if await _is_alive(host, port, context):
        detail = f"the daemon that runs (process {daemon}) listens {there}, with TLS"
        return Finding(subject, "admin", Status.OK, detail)
    if not await _is_alive(host, port):
        return None
    detail = f"the daemon that runs (process {daemon}) listens {there} without TLS"
    advice = "see admin-files-unusable in its log; it may run with a former configuration"
    return Finding(subject, "admin", Status.FAILED, detail, advice)


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


async def _is_alive(host: str, port: int, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a daemon answers there."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(
                anywhere.get(host, host), port, ssl=tls, ssl_handshake_timeout=None
            )
            try:
                writer.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = await reader.read(4096)
            finally:
                # At once: a peer may never answer the end of TLS.
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return answer.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
