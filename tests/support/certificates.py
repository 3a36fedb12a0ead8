"""Authorities and certificates of the tests, as files that OpenSSL reads."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """A CA, and what it issues."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.last_issued = ""
        """The fingerprint of the last certificate of a server."""

    @property
    def pem(self) -> str:
        return self.ca.cert_pem.bytes().decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate, in hexadecimal."""
        return fingerprint_of(self.ca.cert_pem.bytes())

    def write(self, path: Path) -> str:
        self.ca.cert_pem.write_to_path(path)
        return str(path)

    def server(
        self,
        *names: str,
        expired: bool = False,
        with_ca: bool = False,
        carries: Authority | None = None,
        clients: Authority | None = None,
        newest: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        """The settings of a server of these names; ``with_ca``: its chain ends with the CA.

        ``carries``: whose certificate the chain has besides, with nothing to do with the others.
        ``clients``: who issues the certificates that it asks of its clients.
        """
        names = names or ("127.0.0.1", "localhost")
        issued = self.ca.issue_cert(*names, not_after=PAST if expired else None)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        if with_ca:
            chain += self.ca.cert_pem.bytes()
        if carries is not None:
            chain += carries.ca.cert_pem.bytes()
        self.last_issued = fingerprint_of(issued.cert_chain_pems[0].bytes())
        with trustme.Blob(issued.private_key_pem.bytes() + chain).tempfile() as path:
            context.load_cert_chain(path)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            clients.ca.configure_trust(context)
        if newest is not None:
            context.maximum_version = newest
        return context

    def client(self, directory: Path, name: str = "client", passphrase: str = "") -> Client:
        """A certificate and its key in files of that directory."""
        issued = self.ca.issue_cert(f"{name}.example")
        key = issued.private_key_pem.bytes()
        if passphrase:
            key = load_pem_private_key(key, None).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())
            )
        client = Client(directory / f"{name}.crt", directory / f"{name}.key")
        client.certificate.write_bytes(issued.cert_chain_pems[0].bytes())
        client.key.write_bytes(key)
        return client


class Client:
    """The files of a client's certificate."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate = certificate
        self.key = key


def fingerprint_of(pem: bytes) -> str:
    """SHA-256 of a certificate, in hexadecimal."""
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()
