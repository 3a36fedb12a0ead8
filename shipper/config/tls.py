"""The options of TLS: whom we trust, and who we are to a server that asks for a certificate."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Annotated

from msgspec import Meta

from shipper.config.section import Section, SectionProblem, exclusive
from shipper.config.units import Secret
from shipper.option_names import option

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
        str | tuple[str, ...],
        Meta(
            description="A file of PEM certificates, or the PEM text itself, or a list of these, "
            "that servers' certificates are checked with, in place of the system's."
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

    @property
    def authorities(self) -> tuple[str, ...]:
        """The files and PEM texts of `ca`."""
        given = (self.ca,) if isinstance(self.ca, str) else self.ca
        return tuple(each for each in given if each)

    def problems(self) -> Iterator[SectionProblem]:
        fingerprint = self.ca_trusted_fingerprint
        if fingerprint and _FINGERPRINT.fullmatch(fingerprint) is None:
            yield SectionProblem(
                "ca_trusted_fingerprint",
                "not a SHA-256 fingerprint",
                "use 64 hexadecimal digits, with or without colons",
            )
        if fingerprint and self.verify is TlsVerify.NONE:
            yield SectionProblem(
                "ca_trusted_fingerprint",
                f"has no effect with {option('output.tls.verify')}: none, which verifies nothing",
                "remove one of the two",
                others=("verify",),
            )
        for given, missing in (("certificate", "key"), ("key", "certificate")):
            if getattr(self, given) and not getattr(self, missing):
                yield SectionProblem(
                    given,
                    f"set without its {missing}",
                    f"set {option(f'output.tls.{missing}')}",
                    others=(missing,),
                )
        yield from exclusive(
            "key_passphrase",
            "key_passphrase_file",
            prefix="output.tls",
            given=bool(self.key_passphrase) and bool(self.key_passphrase_file),
        )
        if (self.key_passphrase or self.key_passphrase_file) and not self.key:
            yield SectionProblem(
                "key_passphrase" if self.key_passphrase else "key_passphrase_file",
                "set without a key",
                f"set {option('output.tls.key')}",
                others=("key",),
            )
        if re.search(r"[\s/:@]", self.server_name):
            yield SectionProblem(
                "server_name", "not a host name", "use a name without a scheme and a port"
            )


def is_pem(text: str) -> bool:
    """Whether an option holds PEM text itself, and not the path of a file."""
    return _PEM in text
