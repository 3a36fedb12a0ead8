"""The options of a proxy between us and the hosts."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from shipper.config.section import Section, SectionProblem, exclusive
from shipper.config.units import Secret
from shipper.config.urls import http_url
from shipper.option_names import option


class ProxyConfig(Section, frozen=True):
    """A proxy on the way to the hosts. To `https` hosts it is a tunnel (CONNECT): it sees neither
    what is sent nor the credentials. One with an `https` URL is verified as `tls` says."""

    url: Annotated[
        str, Meta(description="`http://HOST:PORT`, or `https` if TLS is spoken to the proxy too.")
    ] = ""
    username: Annotated[str, Meta(description="For basic authentication at the proxy.")] = ""
    password: Annotated[Secret, Meta(description="The password of `username`.")] = Secret()
    password_file: Annotated[
        str,
        Meta(description="A file that holds the password; read again when it changes, and on 407."),
    ] = ""
    from_environment: Annotated[
        bool,
        Meta(
            description="Whether the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` (or in "
            "small letters, which win) name the proxy. They are not looked at otherwise."
        ),
    ] = False

    def problems(self) -> Iterator[SectionProblem]:
        prefix = "output.proxy"
        if "@" in self.url:
            yield SectionProblem(
                "url",
                "the URL contains a user or a password",
                f"use {option('output.proxy.username')} and {option('output.proxy.password')}",
            )
        elif self.url and not is_proxy_url(self.url):
            yield SectionProblem(
                "url", "not the URL of an HTTP proxy", "use a URL such as http://proxy:3128"
            )
        yield from exclusive(
            "url",
            "from_environment",
            prefix=prefix,
            given=bool(self.url) and self.from_environment,
        )
        yield from exclusive(
            "password",
            "password_file",
            prefix=prefix,
            given=bool(self.password) and bool(self.password_file),
        )
        given = "password" if self.password else "password_file"
        has_password = bool(self.password) or bool(self.password_file)
        if self.username and not has_password:
            yield SectionProblem(
                "username",
                "set without a password",
                f"set {option('output.proxy.password', 'output.proxy.password_file')}",
                others=("password", "password_file"),
            )
        if has_password and not self.username:
            yield SectionProblem(
                given,
                "set without a user",
                f"set {option('output.proxy.username')}",
                others=("username",),
            )
        if self.username and not self.url:
            yield SectionProblem(
                "username",
                "set without a proxy",
                f"set {option('output.proxy.url')}",
                others=("url",),
            )


def is_proxy_url(text: str) -> bool:
    """Whether it is the URL of an http or https proxy: no path, no query."""
    url = http_url(text)
    return (
        url is not None
        and url.path in ("", "/")
        and not (url.query or url.fragment)
        and not any(character.isspace() for character in text)
    )
