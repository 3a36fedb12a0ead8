"""How Elasticsearch is reached: `ssl.*`, `proxy_*` and what else stands between."""

from urllib.parse import unquote

from shipper.config.filebeat.draft import Draft, Path, Value, hidden
from shipper.config.filebeat.options import Option, fixed, honoured, ignored, refused
from shipper.config.filebeat.values import boolean, duration, text, text_map, texts

_OURS = "shipper needs TLS 1.2 at least, and takes what Python's OpenSSL holds for secure"


def _same(name: str, to: str) -> Option:
    return honoured(name, text, f"As `{to}`.", to)


OPTIONS: tuple[Option, ...] = (
    honoured(
        "ssl.enabled",
        boolean,
        "With `false` the other options of `ssl` count for nothing, as in Filebeat. TLS is spoken "
        "to hosts whose URLs begin with https, whatever it says.",
    ),
    honoured(
        "ssl.verification_mode",
        text,
        "As `output.tls.verify`; `strict` is `full`, which looks at no common name either.",
    ),
    honoured(
        "ssl.certificate_authorities",
        texts,
        "As `output.tls.ca`: files, or PEM texts.",
    ),
    _same("ssl.certificate", "output.tls.certificate"),
    _same("ssl.key", "output.tls.key"),
    _same("ssl.key_passphrase", "output.tls.key_passphrase"),
    _same("ssl.key_passphrase_path", "output.tls.key_passphrase_file"),
    _same("ssl.ca_trusted_fingerprint", "output.tls.ca_trusted_fingerprint"),
    honoured(
        "ssl.supported_protocols",
        texts,
        "A list with `TLSv1.2`; both it and `TLSv1.3` are spoken, and older ones in the list are "
        "not. A list that leaves out `TLSv1.2` is refused.",
    ),
    fixed(
        "ssl.restart_on_cert_change.enabled",
        boolean,
        (True, False),
        "Changed files are always used, without a restart.",
    ),
    honoured(
        "ssl.restart_on_cert_change.period",
        duration,
        "The files are looked at before each request.",
    ),
    fixed(
        "ssl.certificate_reload.enabled",
        boolean,
        (True, False),
        "Changed files are always used, without a restart.",
    ),
    honoured(
        "ssl.certificate_reload.reload_interval",
        duration,
        "The files are looked at before each request.",
    ),
    fixed("ssl.renegotiation", text, ("never",), "There is none."),
    refused("ssl.ca_sha256", "`ssl.ca_trusted_fingerprint` has the CA's fingerprint"),
    refused("ssl.cipher_suites", f"leave it out: {_OURS}"),
    refused("ssl.curve_types", f"leave it out: {_OURS}"),
    honoured("proxy_url", text, "As `output.proxy.url`, with its user and password, if any."),
    honoured(
        "proxy_disable",
        boolean,
        "`true`: `proxy_url` and the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` count "
        "for nothing. They do otherwise, as in Filebeat.",
    ),
    refused("proxy_headers", "`proxy_url` may have a user and a password"),
    honoured("headers", text_map, "As `output.headers`.", "output.headers"),
    fixed("kerberos.enabled", boolean, (False,), "Use a password or an API key."),
    refused("kerberos.*", "use `api_key`, or `username` and `password`"),
    ignored("idle_connection_timeout", "connections are kept as long as hosts keep them"),
)

#: Filebeat takes an empty one for the default.
_VERIFY = {
    "": "full",
    "full": "full",
    "strict": "full",
    "certificate": "certificate",
    "none": "none",
}
_PROTOCOLS = frozenset({"TLSv1", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"})
_PROXY: Path = ("output", "proxy")


def translate(found: dict[str, Value], draft: Draft) -> None:
    """Sets what one option alone does not decide. What is wrong is reported."""
    if mode := found.get("ssl.verification_mode"):
        verify = _VERIFY.get(str(mode.value))
        if verify is None:
            advice = f"use one of: {', '.join(filter(None, _VERIFY))}"
            draft.problems.report(mode.error("not a valid value", advice))
            draft.spoil(("output", "tls", "verify"))
        else:
            draft.put(("output", "tls", "verify"), verify, mode)
    if authorities := found.get("ssl.certificate_authorities"):
        with draft.problems:
            _authorities(authorities, draft)
    protocols = found.get("ssl.supported_protocols")
    if protocols is not None and protocols.value:
        with draft.problems:
            _protocols(protocols, draft)
    _proxy(found, draft)


def _authorities(value: Value, draft: Draft) -> None:
    assert isinstance(value.value, list)
    entries = value.value
    if not entries:
        return
    ca: object = entries
    if len(entries) == 1:
        ca = entries[0]
    elif all("-----BEGIN" in entry for entry in entries):
        ca = "\n".join(entries)
    draft.put(("output", "tls", "ca"), ca, value)


def _protocols(value: Value, draft: Draft) -> None:
    assert isinstance(value.value, list)
    for protocol in value.value:
        if protocol not in _PROTOCOLS:
            raise value.error(f"unknown protocol `{protocol}`", "use TLSv1.2 and TLSv1.3")
    if not {"TLSv1.2", "TLSv1.3"} & set(value.value):
        raise value.error("shipper needs TLS 1.2 or newer", "use TLSv1.2 and TLSv1.3")
    if "TLSv1.2" not in value.value:
        raise value.error(
            "TLS 1.2 cannot be turned off",
            "add TLSv1.2; with a host that has TLS 1.3, that is used",
        )
    if set(value.value) != {"TLSv1.2", "TLSv1.3"}:
        draft.notice("TLS 1.2 and 1.3 are spoken, and no other", value)


def _proxy(found: dict[str, Value], draft: Draft) -> None:
    """The environment names a proxy where the file does not, unless the file says otherwise."""
    disabled = found.get("proxy_disable")
    if disabled and disabled.value:
        return
    url = found.get("proxy_url")
    if url is None or not url.value:
        draft.assume((*_PROXY, "from_environment"), True)
        return
    if "@" not in str(url.value):
        draft.put((*_PROXY, "url"), _with_scheme(url.value), url)
        return
    for key, value in _without_credentials(str(url.value)).items():
        is_secret = key == "password"
        kept = hidden(value, "PROXY_PASSWORD", url, draft) if is_secret else value
        draft.put((*_PROXY, key), kept, url)


def _with_scheme(url: object) -> object:
    return url if "://" in str(url) else f"http://{url}"


def _without_credentials(url: str) -> dict[str, str]:
    """A URL's user and password are options of their own here."""
    scheme, _, rest = str(_with_scheme(url)).partition("://")
    login, _, host = rest.rpartition("@")
    user, _, password = login.partition(":")
    return {
        "url": f"{scheme}://{host.rstrip('/')}",
        "username": unquote(user),
        "password": unquote(password),
    }
