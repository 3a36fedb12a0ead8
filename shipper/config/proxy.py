"""The options of a proxy between us and the hosts."""

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from shipper.config.section import Section, require
from shipper.config.units import Secret


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

    def __post_init__(self) -> None:
        require("@" not in self.url, "url", "has credentials in it: use username and password")
        require(
            not self.url or is_proxy_url(self.url),
            "url",
            "is not the URL of a proxy such as http://proxy:3128",
        )
        require(
            not (self.url and self.from_environment),
            "url",
            "and from_environment: give one of the two",
        )
        require(
            not (self.password and self.password_file), "password", "and password_file: give one"
        )
        password = bool(self.password) or bool(self.password_file)
        require(password or not self.username, "username", "without password or password_file")
        require(bool(self.username) or not password, "password", "without username")
        require(bool(self.url) or not self.username, "username", "without url")


def is_proxy_url(text: str) -> bool:
    """Whether it is the URL of an http or https proxy: no path, no query."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    return (
        url.scheme in ("http", "https")
        and bool(url.hostname)
        and port != 0
        and url.path in ("", "/")
        and not (url.query or url.fragment)
        and not any(character.isspace() for character in text)
    )
