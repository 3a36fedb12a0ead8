"""Explains why there was no answer, and what to do about it: pure functions of the exception.

| label | cause |
|---|---|
| `dns` | the host name cannot be resolved |
| `connect` | connection refused, or no route |
| `timeout` | no answer in time |
| `disconnected`, `cut_answer` | the connection was closed before the answer, or during it |
| `invalid_answer` | not HTTP, compressed in a way that cannot be read, or before the request |
| `answer_too_long` | longer than is read; the request was executed |
| `tls_issuer`, `tls_hostname`, `tls_expired` | the server certificate is not valid |
| `tls_fingerprint` | no CA of the chain has the fingerprint |
| `tls_client_certificate` | the server requires a client certificate, or another one |
| `tls_version`, `tls_not_spoken`, `tls_needed` | TLS version, or TLS on one side only |
| `tls` | the handshake failed in another way |
| `proxy`, `proxy_auth`, `proxy_refused` | proxy unreachable, authentication, connection rejected |
| `credentials` | a secret's file cannot be read |
"""

import ssl

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from shipper.errors import reason_of
from shipper.option_names import option
from shipper.output.elasticsearch.exchange import TransportError

#: X509_V_ERR_… of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_NAMES = frozenset({62, 63, 64})
_ISSUER = frozenset({2, 18, 19, 20, 21})

_ALERTS_OF_CERTIFICATES = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
)
_OTHER_VERSIONS = ("UNSUPPORTED_PROTOCOL", "ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION")
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")

_PROXY_CREDENTIALS = (
    f"check {option('output.proxy.username')} and {option('output.proxy.password')}"
)


def explain(
    error: Exception, *, proxy: URL | None = None, shows_certificate: bool = False
) -> TransportError:
    """The TransportError for an exception of aiohttp. Here and below, its `what_to_do` may contain
    option names (`shipper.option_names`).

    `proxy`: the URL of the proxy, if any; `shows_certificate`: we have a client certificate.
    """
    if found := _ssl_error(error):
        return _explain_tls(found, _subject(error, proxy), shows_certificate=shows_certificate)
    if encoding := _encoding_error(error):
        return TransportError(
            "invalid_answer",
            f"the answer cannot be decompressed: Content-Encoding {encoding}",
            "check proxies in between; shipper reads gzip and deflate",
        )
    match error:
        case aiohttp.ClientHttpProxyError():
            return proxy_refuses(error.status, error.message)
        case aiohttp.ClientProxyConnectionError():
            return TransportError(
                "proxy",
                f"no connection to the proxy: {reason_of(error.os_error)}",
                f"check {option('output.proxy.url')}, and that the proxy runs",
            )
        case aiohttp.ClientConnectorDNSError():
            if proxy is not None and error.host == proxy.host:
                return TransportError(
                    "proxy",
                    f"the name of the proxy cannot be resolved: {reason_of(error.os_error)}",
                    f"check {option('output.proxy.url')}",
                )
            return TransportError(
                "dns", f"the host name cannot be resolved: {reason_of(error.os_error)}"
            )
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionResetError):
            return TransportError("tls", "the connection was closed during the TLS handshake")
        case aiohttp.ClientConnectorError():
            return TransportError("connect", f"no connection: {reason_of(error.os_error)}")
        case TimeoutError():
            return TransportError("timeout", "no answer within the timeout")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return TransportError("disconnected", "the connection was closed before the answer")
        case aiohttp.ClientPayloadError():
            return TransportError(
                "cut_answer", "the connection was closed in the middle of the answer"
            )
        case aiohttp.ClientResponseError(message=why):
            # Its text has our URL, and a status that is not the host's.
            return _invalid(why.rstrip("^ \n"))
        case _:
            return _invalid(str(error))


def _invalid(why: str) -> TransportError:
    return TransportError(
        "invalid_answer", ": ".join(filter(None, ("the answer is not valid HTTP", why)))
    )


def proxy_refuses(status: int, message: str = "") -> TransportError:
    """An answer of the proxy instead of the host."""
    if status == 407:
        return TransportError(
            "proxy_auth", "the proxy requires authentication: HTTP 407", _PROXY_CREDENTIALS
        )
    return TransportError(
        "proxy_refused",
        f"the proxy refuses the connection to the host: HTTP {status} {message}".rstrip(),
        "allow CONNECT to this host and port at the proxy",
    )


def needs_tls() -> TransportError:
    """An `http` URL of a host that requires TLS."""
    return TransportError(
        "tls_needed",
        "the connection was closed before the answer: the host speaks TLS",
        f"write https in place of http in {option('output.hosts')}",
    )


def wrong_fingerprint(*, is_there: bool) -> TransportError:
    """No CA of the chain has the configured fingerprint."""
    return TransportError(
        "tls_fingerprint",
        "the TLS connection was not made: the certificate with the fingerprint is not a CA's"
        if is_there
        else "the TLS connection was not made: no certificate that the server sends has the "
        "fingerprint",
        f"compare {option('output.tls.ca_trusted_fingerprint')} with the CA of the cluster; if the "
        f"server does not send that CA in its chain, set {option('output.tls.ca')}",
    )


def _subject(error: Exception, proxy: URL | None) -> str:
    at_proxy = (
        proxy is not None
        and isinstance(
            error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorError
        )
        and (error.host, error.port) == (proxy.host, proxy.port)
    )
    return "the TLS connection to the proxy failed" if at_proxy else "the TLS connection failed"


def _explain_tls(error: ssl.SSLError, failed: str, *, shows_certificate: bool) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error, failed)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return TransportError("tls", f"{failed}: it was closed", "check the log of the server")
    reason = error.reason or ""
    if reason.endswith(_ALERTS_OF_CERTIFICATES):
        if shows_certificate:
            return TransportError(
                "tls_client_certificate",
                f"{failed}: the server rejects the client certificate: {_alert(reason)}",
                f"set {option('output.tls.certificate')} to one of a CA that the server trusts, "
                "and check its dates",
            )
        return TransportError(
            "tls_client_certificate",
            f"{failed}: the server requires a client certificate: {_alert(reason)}",
            f"set {option('output.tls.certificate')} and {option('output.tls.key')}",
        )
    if reason.endswith(_OTHER_VERSIONS):
        return TransportError(
            "tls_version",
            f"{failed}: the server speaks no TLS 1.2 or newer",
            "have the server speak TLS 1.2 or 1.3",
        )
    if reason.endswith(_NO_TLS):
        return TransportError(
            "tls_not_spoken",
            f"{failed}: the port does not speak TLS",
            f"check the port, or write http in place of https in {option('output.hosts')}",
        )
    if reason.endswith("ALERT_HANDSHAKE_FAILURE"):
        return TransportError(
            "tls",
            f"{failed}: the server refused the TLS handshake",
            "check the log of the server: it may require a client certificate "
            f"({option('output.tls.certificate')}), or have no cipher in common with shipper",
        )
    return TransportError(
        "tls", f"{failed}: {_alert(reason) or error}", "check the log of the server"
    )


def _explain_certificate(error: ssl.SSLCertVerificationError, failed: str) -> TransportError:
    reason = error.verify_message.rstrip(".")
    if error.verify_code in _NAMES:
        return TransportError(
            "tls_hostname",
            f"{failed}: the server certificate is for another name: {reason}",
            f"use a name of the certificate in {option('output.hosts')}, or set "
            f"{option('output.tls.server_name')} to one",
        )
    if error.verify_code == _EXPIRED:
        return TransportError(
            "tls_expired",
            f"{failed}: a certificate of the server has expired: {reason}",
            "renew it on the server, and check the clock of this machine",
        )
    if error.verify_code == _NOT_YET_VALID:
        return TransportError(
            "tls_expired",
            f"{failed}: a certificate of the server is not valid yet: {reason}",
            "check the clock of this machine",
        )
    if error.verify_code in _ISSUER:
        return TransportError(
            "tls_issuer",
            f"{failed}: the server certificate is from a CA that is not trusted: {reason}",
            f"set {option('output.tls.ca')} to the CA of the cluster",
        )
    return TransportError(
        "tls",
        f"{failed}: the server certificate is not valid: {reason}",
        "check the certificates that the server sends",
    )


def _ssl_error(error: BaseException) -> ssl.SSLError | None:
    """The error of OpenSSL in an exception of aiohttp: an alert after the handshake is the cause of
    a closed connection."""
    seen: BaseException | None = error
    while seen is not None:
        # Some errors of aiohttp are ssl errors too, with less detail than the ones they contain.
        for name in ("certificate_error", "os_error"):
            if isinstance(held := getattr(seen, name, None), ssl.SSLError):
                return held
        if isinstance(seen, ssl.SSLError):
            return seen
        seen = seen.__cause__
    return None


def _encoding_error(error: BaseException) -> str:
    """The Content-Encoding that could not be read; empty if that is not the reason."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ContentEncodingError):
            # Without the advice to install a package.
            return seen.message.partition(": ")[2].partition(".")[0] or "unknown"
        seen = seen.__cause__
    return ""


def _alert(reason: str) -> str:
    """`TLSV13_ALERT_CERTIFICATE_REQUIRED` as `certificate required`."""
    return reason.rpartition("ALERT_")[2].replace("_", " ").lower()
