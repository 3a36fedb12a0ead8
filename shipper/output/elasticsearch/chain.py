"""Reads the certificates that a server sends, before anything is sent to it.

Used to trust a CA by its fingerprint (`ca_trusted_fingerprint`), and to detect TLS on a port. The
handshake is aborted once the certificates are received, so that no request can follow it.
"""

import hashlib
import ssl
import sys
from typing import Any

import aiohttp
from yarl import URL


class ChainReceivedError(ssl.SSLError):
    """Aborts a handshake: the certificates were received."""

    def __init__(self, chain: list[bytes]) -> None:
        super().__init__(1, "the handshake was made for the certificates alone")
        #: DER; the server certificate first.
        self.chain = chain


class _ChainProbe(ssl.SSLObject):
    """Aborts its handshake once there are certificates."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        finally:
            # Also if the server rejects the handshake because we send no certificate.
            if chain := unverified_chain(self):
                raise ChainReceivedError(chain)


def unverified_chain(connection: ssl.SSLObject) -> list[bytes]:
    """The certificates that the peer has sent so far, in DER. Public API from Python 3.13 on."""
    if sys.version_info >= (3, 13):
        return connection.get_unverified_chain()
    from _ssl import ENCODING_DER

    private: Any = connection
    return [
        certificate.public_bytes(ENCODING_DER)
        for certificate in private._sslobj.get_unverified_chain() or ()
    ]


async def fetch_chain(session: aiohttp.ClientSession, url: URL, **route: Any) -> list[bytes]:
    """The certificate chain of a host. Nothing is verified, and no request is sent.

    `route`: arguments of aiohttp such as `proxy`. Raises what aiohttp raises.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = _ChainProbe
    try:
        async with session.head(url, ssl=context, allow_redirects=False, **route):
            raise RuntimeError("the handshake was not aborted")
    except aiohttp.ClientConnectorSSLError as error:
        if isinstance(error.os_error, ChainReceivedError):
            return error.os_error.chain
        raise


def find(chain: list[bytes], fingerprint: str) -> bytes | None:
    """The certificate with this SHA-256 (hexadecimal, with or without colons), or None."""
    wanted = fingerprint.replace(":", "").lower()
    for certificate in chain:
        if hashlib.sha256(certificate).hexdigest() == wanted:
            return certificate
    return None


def is_ca(certificate: bytes) -> bool:
    """Whether a certificate may sign others. Raises ssl.SSLError if it is not a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate)
    return context.cert_store_stats()["x509_ca"] == 1
