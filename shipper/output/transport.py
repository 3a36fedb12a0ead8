"""HTTP to the hosts: the one place that knows aiohttp's client."""

import email.utils
import os
import ssl
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from shipper import __version__
from shipper.batch import Body
from shipper.clock import Clock
from shipper.config.outputs import OutputConfig, TlsConfig, TlsVerify, header_values, uses_tls
from shipper.errors import ConfigError, OutputError
from shipper.output.credentials import Credentials
from shipper.output.exchange import Answer, TransportError

#: What we ask of the answer: positions and statuses of all items, reasons of those that failed.
_FILTER = "errors,items.*.status,items.*.error"

#: An answer is read up to this size, in bytes: so much for each event, and so much besides.
_ANSWER_PER_EVENT = 2048
_ANSWER_BESIDES = 256 * 1024

_CONNECT_SECONDS = 10.0
# Less than the idle time after which proxies and load balancers cut (60 s and more).
_KEEPALIVE_SECONDS = 30.0
_WRITE_BYTES = 256 * 1024


class HttpTransport:
    """Posts bodies to `_bulk`. An asynchronous context manager."""

    def __init__(self, config: OutputConfig, clock: Clock) -> None:
        """
        Raises:
            ConfigError: the TLS settings cannot be used (no such CA file, say).
        """
        self._clock = clock
        self._credentials = Credentials(config)
        query = f"?filter_path={_FILTER}"
        if config.pipeline:
            query += f"&pipeline={config.pipeline}"
        target = f"/{quote(config.target, safe='')}" if config.target else ""
        self._bulk_path = f"{target}/_bulk{query}"
        self._headers = {
            "Content-Type": "application/x-ndjson",
            "User-Agent": f"shipper/{__version__}",
            **header_values(config.headers),
        }
        self._tls: ssl.SSLContext | bool = tls_context(config.tls) if uses_tls(config) else True
        self._timeout = aiohttp.ClientTimeout(total=config.timeout, connect=_CONNECT_SECONDS)
        self._connections = config.max_in_flight
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                # One more than the requests: a probe needs no place of theirs.
                limit=self._connections + 1,
                ssl=self._tls,
                keepalive_timeout=_KEEPALIVE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=self._timeout,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, host: str, body: Body) -> Answer:
        """Sends a bulk request. Raises TransportError if there is no whole answer."""
        headers = {"Content-Encoding": "gzip"} if body.gzip else {}
        limit = _ANSWER_BESIDES + body.events * _ANSWER_PER_EVENT
        return await self.request(
            "POST", host + self._bulk_path, limit, headers, _BulkPayload(body.payload)
        )

    async def probe(self, host: str) -> Answer:
        """Asks for the root page. Raises TransportError if there is no answer."""
        return await self.request("GET", f"{host}/", _ANSWER_BESIDES)

    def credentials_refused(self) -> None:
        """Has the next request read the credentials again."""
        self._credentials.forget()

    async def request(
        self,
        method: str,
        url: str,
        limit: int = _ANSWER_BESIDES,
        headers: dict[str, str] | None = None,
        data: aiohttp.payload.Payload | bytes | None = None,
    ) -> Answer:
        """Any request, with our credentials; the answer's body may have `limit` bytes.

        Raises TransportError if there is no whole answer.
        """
        if self._session is None:
            raise RuntimeError("the transport is used outside of its context")
        try:
            authorization = self._credentials.header()
        except OutputError as error:
            raise TransportError("credentials", str(error)) from error
        headers = dict(headers or {})
        if authorization:
            headers["Authorization"] = authorization
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=data,
                headers=headers,
                # A redirect would carry the credentials and the logs to another host.
                allow_redirects=False,
            ) as response:
                return Answer(
                    response.status,
                    await _read(response, limit),
                    self._retry_after(response.headers.get("Retry-After", "")),
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise TransportError(*_explain(error)) from error

    def _retry_after(self, value: str) -> float:
        """Seconds, from either form of the header (RFC 9110, 10.2.3); 0 if it is neither."""
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            until = email.utils.parsedate_to_datetime(value).timestamp()
        except (ValueError, OverflowError):
            return 0.0
        return max(0.0, until - self._clock.now())


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """The TLS settings of all connections.

    Raises:
        ConfigError: the CA cannot be read, or holds no certificate.
    """
    inline = "-----BEGIN" in config.ca
    try:
        context = ssl.create_default_context(
            cafile=None if inline or not config.ca else config.ca,
            cadata=config.ca if inline else None,
        )
    except (OSError, TypeError, ValueError) as error:
        # OSError is the parent of ssl.SSLError; the others are for text that is not ASCII.
        raise ConfigError(
            f"the CA cannot be used: {error}",
            where="output.tls.ca" if inline or not config.ca else config.ca,
            what_to_do="give a file of PEM certificates that this user may read",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.verify is not TlsVerify.FULL:
        context.check_hostname = False
    if config.verify is TlsVerify.NONE:
        context.verify_mode = ssl.CERT_NONE
    return context


class _BulkPayload(aiohttp.payload.Payload):
    """Bytes, written piece by piece, so that a large body does not hold the event loop."""

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self._size = len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a bulk body is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        with memoryview(self._value) as view:
            for start in range(0, len(view), _WRITE_BYTES):
                await writer.write(bytes(view[start : start + _WRITE_BYTES]))

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self.write(writer)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise ValueError(f"the answer has more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _explain(error: Exception) -> tuple[str, str]:
    """A metric's label, and words, for what aiohttp raises."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return "tls", f"the TLS connection failed: {_root(error)}"
        case aiohttp.ClientConnectorDNSError():
            return "dns", f"the host's name is not known: {error.os_error}"
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            return "connect", f"no connection: {os.strerror(number) if number else error.os_error}"
        case TimeoutError():
            return "timeout", "no answer within the timeout"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return "disconnected", "the connection was cut before the answer"
        case aiohttp.ClientPayloadError():
            return "cut_answer", "the answer was cut short"
        case _:
            return "invalid_answer", f"the answer is not HTTP as it should be: {error}"


def _root(error: BaseException) -> Any:
    return getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
