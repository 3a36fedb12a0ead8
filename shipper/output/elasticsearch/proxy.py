"""The proxy for a host, if any, and its credentials.

Environment variables are read once, and only if the configuration asks for it.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from shipper.config.proxy import ProxyConfig, is_proxy_url
from shipper.config.urls import http_url
from shipper.errors import ConfigError
from shipper.option_names import option
from shipper.output.elasticsearch.credentials import basic
from shipper.output.elasticsearch.secrets import StoredSecret


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy of a request."""

    url: URL
    #: Value of the Proxy-Authorization header; empty if there is none.
    authorization: str


class Proxies:
    """The proxies of an output."""

    def __init__(self, config: ProxyConfig, environ: Mapping[str, str]) -> None:
        """
        Raises:
            ConfigError: a variable is not the URL of a proxy.
        """
        self._username = config.username
        self._password = StoredSecret(
            config.password, config.password_file, option("output.proxy.password")
        )
        self._by_scheme: dict[str, Proxy] = {}
        self._excluded: list[str] = []
        if config.url:
            proxy = Proxy(URL(config.url), "")
            self._by_scheme = {"http": proxy, "https": proxy}
        elif config.from_environment:
            for scheme in ("http", "https"):
                if named := _variable(environ, f"{scheme}_proxy"):
                    self._by_scheme[scheme] = _parse(named, f"{scheme.upper()}_PROXY")
            self._excluded = _variable(environ, "no_proxy").replace(",", " ").split()

    @property
    def use_tls(self) -> bool:
        """Whether any proxy has an https URL."""
        return any(proxy.url.scheme == "https" for proxy in self._by_scheme.values())

    @property
    def files(self) -> tuple[str, ...]:
        """The files that `to` reads."""
        return (self._password.file,) if self._password.file else ()

    def to(self, host: URL) -> Proxy | None:
        """The proxy for a host; None if the host is reached directly.

        Raises:
            OutputError: the file of the password cannot be read.
        """
        proxy = self.without_password(host)
        if proxy is None or not self._username:
            return proxy
        return Proxy(proxy.url, self.authorization())

    def without_password(self, host: URL) -> Proxy | None:
        """As `to`; reads no file, and omits what `authorization` has."""
        proxy = self._by_scheme.get(host.scheme)
        return None if proxy is None or is_excluded(host, self._excluded) else proxy

    def authorization(self) -> str:
        """The value of the Proxy-Authorization header, if the configuration has a user name.

        Raises:
            OutputError: the file of the password cannot be read.
        """
        return basic(self._username, self._password.reveal()) if self._username else ""

    def forget(self) -> None:
        """Makes the next request read the password again."""
        self._password.forget()


def is_excluded(host: URL, excluded: list[str]) -> bool:
    """Whether NO_PROXY excludes a host: by its name, its domain, its address or its network, each
    with or without a port; `*` is every host."""
    name = (host.host or "").lower().rstrip(".")
    return any(_covers(entry.lower(), name, host.port) for entry in excluded)


def _covers(entry: str, name: str, port: int | None) -> bool:
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    bare, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        return wanted == str(port) and _covers(bare, name, port)
    domain = entry.removeprefix("*").strip(".")
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _parse(text: str, variable: str) -> Proxy:
    """A proxy from a variable. Errors do not contain its text: it may have credentials."""
    named = text.strip() if "://" in text else f"http://{text.strip()}"
    scheme, _, rest = named.partition("://")
    credentials, _, address = rest.rpartition("@")
    if not is_proxy_url(f"{scheme}://{address}") or http_url(named) is None:
        raise ConfigError(
            f"the variable {variable} is not the URL of an HTTP proxy",
            where=option("output.proxy.from_environment"),
            what_to_do="set it to a URL such as http://proxy:3128, or set "
            f"{option('output.proxy.url')}",
        )
    url = URL(named)
    authorization = basic(url.user or "", url.password or "") if credentials else ""
    return Proxy(URL(f"{scheme}://{address}"), authorization)
