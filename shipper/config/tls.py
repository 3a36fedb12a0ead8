"""The options of TLS: whom we trust, and who we are to a server that asks for a certificate."""

import re
from enum import Enum
from typing import Annotated

from msgspec import Meta

from shipper.config.section import Section, require
from shipper.config.units import Secret

#: SHA-256 in hexadecimal, with or without colons, as `openssl x509 -fingerprint` prints it.
_FINGERPRINT = re.compile(r"[0-9a-f]{2}(:?[0-9a-f]{2}){31}", re.IGNORECASE)
_PEM = "-----BEGIN"


class TlsVerify(Enum):
    """What of a server's certificate has to be right."""

    FULL = "full"
    CERTIFICATE = "certificate"
    NONE = "none"


class TlsConfig(Section, frozen=True):
    """How `https` hosts are verified. TLS 1.2 is the least. Files are read again when they
    change."""

    ca: Annotated[
        str,
        Meta(
            description="A file of PEM certificates, or the PEM text itself, that servers' "
            "certificates are checked with, in place of the system's."
        ),
    ] = ""
    ca_trusted_fingerprint: Annotated[
        str,
        Meta(
            description="The SHA-256 of a CA's certificate in hexadecimal, with or without colons. "
            "A server has to send that certificate in its chain; then it is trusted, and all else "
            "is verified as usual. Without `ca` no other CA is."
        ),
    ] = ""
    certificate: Annotated[
        str,
        Meta(
            description="Our own certificate for a server that asks for one: a PEM file, or the "
            "PEM text itself; the CAs between it and the server's follow in it."
        ),
    ] = ""
    key: Annotated[
        Secret,
        Meta(description="The key of `certificate`: a PEM file, or the PEM text itself."),
    ] = Secret()
    key_passphrase: Annotated[Secret, Meta(description="What the key is encrypted with.")] = (
        Secret()
    )
    key_passphrase_file: Annotated[
        str, Meta(description="A file that holds the passphrase of the key.")
    ] = ""
    server_name: Annotated[
        str,
        Meta(
            description="The name that is asked for (SNI) and verified in place of the host's in "
            "the URL: for a tunnel, or a host that is given by its address."
        ),
    ] = ""
    verify: Annotated[
        TlsVerify,
        Meta(
            description="`full`: certificate and host name; `certificate`: any host name; `none`: "
            "nothing is checked, and anybody in between can read and change what is sent."
        ),
    ] = TlsVerify.FULL

    def __post_init__(self) -> None:
        fingerprint = self.ca_trusted_fingerprint
        require(
            not fingerprint or _FINGERPRINT.fullmatch(fingerprint) is not None,
            "ca_trusted_fingerprint",
            "is not a SHA-256 in hexadecimal: 64 digits, with or without colons",
        )
        require(
            not fingerprint or self.verify is not TlsVerify.NONE,
            "ca_trusted_fingerprint",
            "and verify: none, which checks nothing: give one of the two",
        )
        require(bool(self.key) or not self.certificate, "certificate", "without key")
        require(bool(self.certificate) or not self.key, "key", "without certificate")
        require(
            not (self.key_passphrase and self.key_passphrase_file),
            "key_passphrase",
            "and key_passphrase_file: give one",
        )
        passphrase = bool(self.key_passphrase) or bool(self.key_passphrase_file)
        require(bool(self.key) or not passphrase, "key_passphrase", "without key")
        require(
            re.search(r"[\s/:@]", self.server_name) is None,
            "server_name",
            "is the name of a host, without a scheme or a port",
        )


def is_pem(text: str) -> bool:
    """Whether an option holds PEM text itself, and not the path of a file."""
    return _PEM in text
