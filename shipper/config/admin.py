"""The options of the admin server: where it listens, and who may see what it shows."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, field

from shipper.config.section import Section, SectionProblem
from shipper.option_names import option


class AdminTlsConfig(Section, frozen=True):
    """With a certificate, `/metrics` and `/status` are served over TLS only. `/healthz` and
    `/readyz` are served with and without TLS, on the same port. The files are read again when they
    change."""

    certificate: Annotated[
        str,
        Meta(
            description="The server's certificate, a PEM file; the CAs between it and the clients' "
            "follow in it."
        ),
    ] = ""
    key: Annotated[
        str, Meta(description="The key of `certificate`, a PEM file that is not encrypted.")
    ] = ""

    def problems(self) -> Iterator[SectionProblem]:
        for given, missing in (("certificate", "key"), ("key", "certificate")):
            if getattr(self, given) and not getattr(self, missing):
                yield SectionProblem(
                    given,
                    f"set without its {missing}",
                    f"set {option(f'admin.tls.{missing}')}",
                    others=(missing,),
                )


class AdminConfig(Section, frozen=True):
    """`/metrics`, `/healthz`, `/readyz` and `/status`, read-only."""

    enabled: Annotated[bool, Meta(description="Whether they are served.")] = True
    listen: Annotated[
        str,
        Meta(
            description="HOST:PORT. Use an address that Prometheus reaches to have it scraped; "
            "nothing secret is shown, and nothing can be changed. `:9479` is every address of the "
            "machine. Port 0 is a free port; the log says which."
        ),
    ] = "127.0.0.1:9479"
    token_file: Annotated[
        str,
        Meta(
            description="A file with a token: `/metrics` and `/status` need "
            "`Authorization: Bearer TOKEN` then. `/healthz` and `/readyz` need none; without it "
            "`/readyz` shows reasons without paths and host names. The file is read again when it "
            "changes."
        ),
    ] = ""
    tls: AdminTlsConfig = field(default_factory=AdminTlsConfig)

    def problems(self) -> Iterator[SectionProblem]:
        if split_address(self.listen) is None:
            yield SectionProblem(
                "listen",
                f"`{self.listen}` is not an address with a port",
                "use HOST:PORT, such as 127.0.0.1:9479 or [::1]:9479, or :9479 for every address",
            )


def split_address(listen: str) -> tuple[str, int] | None:
    """Host and port of `admin.listen`; the host is empty for every address of the machine. None if
    it is no address with a port."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5:
        return None
    bracketed = len(host) > 2 and host.startswith("[") and host.endswith("]")
    if int(port) > 65535 or ((":" in host or "[" in host) and not bracketed):
        return None
    return (host[1:-1] if bracketed else host), int(port)
