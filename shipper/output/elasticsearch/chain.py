"""The certificates that a server sends, looked at before anything is said to it.

What is found may be trusted (`ca_trusted_fingerprint`), or says that TLS is spoken at all. The
handshake with which it is found out is given up in its middle, so that no request can follow it.
"""

import hashlib
import ssl
import sys
from typing import Any

import aiohttp
from yarl import URL


class ChainSeenError(ssl.SSLError):
    """Ends a handshake, as what it was made for is known."""

    def __init__(self, chain: list[bytes]) -> None:
        super().__init__(1, "the handshake was made for the certificates alone")
        #: DER, the server's own first.
        self.chain = chain


class _Looking(ssl.SSLObject):
    """A connection that is never made."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        finally:
            # Also where the server gives up on us, as we show it no certificate of ours.
            if chain := unverified_chain(self):
                raise ChainSeenError(chain)


def unverified_chain(connection: ssl.SSLObject) -> list[bytes]:
    """What the peer has sent so far, in DER. Python has a public name for it from 3.13 on."""
    if sys.version_info >= (3, 13):
        return connection.get_unverified_chain()
    from _ssl import ENCODING_DER

    private: Any = connection
    return [
        certificate.public_bytes(ENCODING_DER)
        for certificate in private._sslobj.get_unverified_chain() or ()
    ]


async def look_at_chain(session: aiohttp.ClientSession, url: URL, **how: Any) -> list[bytes]:
    """The chain of a host. Nothing is verified, and nothing is sent after the handshake.

    `how` is what leads to the host: `proxy` and the like. Raises what aiohttp raises.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = _Looking
    try:
        async with session.head(url, ssl=context, allow_redirects=False, **how):
            raise RuntimeError("a handshake that was to be given up was not")
    except aiohttp.ClientConnectorSSLError as error:
        if isinstance(error.os_error, ChainSeenError):
            return error.os_error.chain
        raise


def find(chain: list[bytes], fingerprint: str) -> bytes | None:
    """The certificate with that SHA-256 (hexadecimal, colons or not); None if it is not there."""
    wanted = fingerprint.replace(":", "").lower()
    for certificate in chain:
        if hashlib.sha256(certificate).hexdigest() == wanted:
            return certificate
    return None


def is_ca(certificate: bytes) -> bool:
    """Whether it may sign others. Raises ssl.SSLError if it is no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate)
    return context.cert_store_stats()["x509_ca"] == 1
