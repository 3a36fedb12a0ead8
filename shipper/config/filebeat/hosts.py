"""`hosts` of `output.elasticsearch`: Filebeat's short forms as URLs, and credentials in them, which
are taken out before anything can show them."""

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from shipper.config.filebeat.draft import Draft, Value, hidden
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import Reference

_SUCH_AS = "use such as https://es-1:9200"
_HOSTS = ("output", "hosts")


def translate(hosts: Value, found: Mapping[str, Value], draft: Draft) -> None:
    """Sets the URLs, without credentials.

    Raises ConfigError, which repeats nothing of a URL: it may hold a password.
    """
    assert isinstance(hosts.value, list)
    protocol = found.get("protocol")
    scheme = str(protocol.value).lower() if protocol and protocol.value else "http"
    if scheme not in ("http", "https"):
        assert protocol is not None
        raise protocol.error("unknown protocol", "use http or https")
    path = str(found["path"].value) if "path" in found else ""
    urls = [_url(host, scheme, path, hosts) for host in hosts.value]
    balanced = found.get("loadbalance")
    if balanced is not None and not balanced.value and len(set(urls)) > 1:
        raise balanced.error(
            "unsupported value; with several hosts only true is supported",
            "hosts are taken in turn; to use one, give one",
        )
    draft.put(_HOSTS, urls, hosts)


def translate_credentials(hosts: Value, found: Mapping[str, Value], draft: Draft) -> None:
    """Sets the user and the password of the URLs, which win over those of the options, as in
    Filebeat.

    Raises ConfigError if they are not the same for all hosts.
    """
    assert isinstance(hosts.value, list)
    of_hosts = [_credentials(host) for host in hosts.value]
    if not any(of_hosts):
        return
    set_ones = tuple(str(found[key].value) if key in found else "" for key in _OPTIONS)
    if len({of_host or set_ones for of_host in of_hosts}) > 1:
        raise hosts.error(
            "not the same user and password for all hosts",
            "take them out of the URLs, and set username and password for all hosts",
        )
    index = next(index for index, of_host in enumerate(of_hosts) if of_host)
    origin = _item(hosts, index)
    username, password = of_hosts[index] or ("", "")
    draft.put(("output", "username"), username, origin)
    kept = hidden(password, "ELASTICSEARCH_PASSWORD", origin, draft)
    draft.put(("output", "password"), kept, origin)
    for key in _OPTIONS:
        if key in found and of_hosts[index] != set_ones:
            what = "ignored: the user and the password in the URL of the host win, as in Filebeat"
            draft.notice(what, found[key], is_warning=True)


_OPTIONS = ("username", "password")


def _item(hosts: Value, index: int) -> Value:
    """One of the hosts, where it is written."""
    assert isinstance(hosts.value, list)
    content = hosts.node.content
    node: Node = content[index] if isinstance(content, list) else hosts.node
    return Value(hosts.value[index], node, hosts.key)


def _credentials(host: str) -> tuple[str, str] | None:
    """The user and the password in a host; None if there are none."""
    authority = host.partition("://")[2] or host
    login, at, _ = authority.partition("/")[0].rpartition("@")
    if not at:
        return None
    user, _, password = login.partition(":")
    return unquote(user), unquote(password)


def _url(host: str, scheme: str, path: str, hosts: Value) -> str:
    """As Filebeat makes URLs, without credentials."""
    url = host if "://" in host else f"{scheme}://{host}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise hosts.error("not a valid URL", _SUCH_AS) from None
    address = parts.netloc.rpartition("@")[2]
    if not address.strip(":"):
        raise hosts.error("not a valid URL", _SUCH_AS)
    authority = address if port is not None else f"{address.rstrip(':')}:9200"
    suffix = parts.path if parts.path.strip("/") else path
    suffix = f"/{suffix.strip('/')}" if suffix.strip("/") else ""
    query = f"?{parts.query}" if parts.query else ""
    made = f"{parts.scheme}://{authority}{suffix}{query}"
    return Reference(made, host.written) if isinstance(host, Reference) and made == host else made
