"""HTTP requests to the hosts, with our credentials; complete answers, or errors that explain why
there is none.

A query parameter that a host does not know is omitted for that host from then on.
"""

import email.utils
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from shipper import __version__
from shipper.clock import Clock
from shipper.config.outputs import OutputConfig, header_values, uses_tls
from shipper.errors import ConfigError, OutputError
from shipper.logs import Log
from shipper.logs.events import HOST_NOT_RECOGNIZED
from shipper.offload import HangsError, TimedCalls, within
from shipper.option_names import OWN_NAMES, OptionNames
from shipper.output.elasticsearch import product
from shipper.output.elasticsearch.authorization import Authorization
from shipper.output.elasticsearch.chain import fetch_chain, find, is_ca
from shipper.output.elasticsearch.connections import Connections, Generation
from shipper.output.elasticsearch.credentials import Credentials
from shipper.output.elasticsearch.exchange import ANSWER_TOO_LONG, Answer, TransportError
from shipper.output.elasticsearch.failures import (
    explain,
    needs_tls,
    proxy_refuses,
    wrong_fingerprint,
)
from shipper.output.elasticsearch.overdue import most_requests
from shipper.output.elasticsearch.payload import BulkPayload
from shipper.output.elasticsearch.proxy import Proxies, Proxy
from shipper.output.elasticsearch.redaction import Redactor
from shipper.output.elasticsearch.tls import Tls
from shipper.pipeline.batch import Body

#: Limits the answer to the statuses of all items, and the errors of those that failed. It does not
#: apply to a request that is refused as a whole.
_FILTER = ",".join(
    (
        "errors",
        "items.*.status",
        "items.*.failure_store",
        # Not the causes and the stack: servers repeat the value in each.
        "items.*.error.type",
        "items.*.error.reason",
    )
)

#: With these no document is stored, whatever it is and whatever a pipeline makes of it: no shard
#: has so many active copies. The copies are counted after privileges, pipelines and blocks were
#: looked at, and before anything is indexed (Elasticsearch from 5.0 on, and OpenSearch).
COPIES_THAT_NO_SHARD_HAS = 1_000_000
_DRY_RUN = f"&wait_for_active_shards={COPIES_THAT_NO_SHARD_HAS}&timeout=1ms"

#: With it Elasticsearch (8.13 and later) creates no plain index if the template is missing.
_REQUIRE_DATA_STREAM = "require_data_stream"

#: The largest answer, in bytes: per event, and a constant part. For a single event also twice the
#: event, as an error may repeat it: it cannot be halved.
_ANSWER_PER_EVENT = 2048
_ANSWER_BASE = 256 * 1024
_ANSWER_FOR_SINGLE = 2

_CONNECT_SECONDS = 10.0
#: For files of secrets and certificates: a mount that works takes milliseconds.
_FILE_SECONDS = 5.0


class HttpTransport:
    """Posts bodies to `_bulk`. An asynchronous context manager."""

    def __init__(
        self,
        config: OutputConfig,
        clock: Clock,
        *,
        log: Log | None = None,
        resolver: AbstractResolver | None = None,
        environ: Mapping[str, str] = os.environ,
        names: OptionNames = OWN_NAMES,
        file_seconds: float = _FILE_SECONDS,
    ) -> None:
        """`resolver`: used instead of the system's; `environ`: may have the variables of proxies,
        if the configuration asks for them; `names`: option names in errors; `file_seconds`: time
        limit for reading files of secrets, and those of TLS.

        Raises:
            ConfigError: the TLS or proxy settings cannot be used (no such CA file, say).
        """
        self._clock = clock
        self._log = log
        self._names = names
        credentials = Credentials(config)
        calls = TimedCalls("files", file_seconds)
        try:
            self._proxies = Proxies(config.proxy, environ)
        except ConfigError as error:
            raise error.in_words_of(names) from None
        self._authorization = Authorization(credentials, self._proxies, calls, log)
        # The server's timeout for a shard must end before our timeout for the server.
        self._shard_timeout = f"&timeout={max(1, int(config.timeout / 2))}s"
        self._pipeline = f"&pipeline={config.pipeline}" if config.pipeline else ""
        target = f"/{quote(config.target, safe='')}" if config.target else ""
        self._bulk_path = f"{target}/_bulk?filter_path={_FILTER}"
        self._is_data_stream = config.is_data_stream
        self._headers = {
            "Content-Type": "application/x-ndjson",
            "User-Agent": f"shipper/{__version__}",
            **header_values(config.headers),
        }
        self._redact = Redactor()
        for value in header_values(config.headers).values():
            self._redact.add(value)
        self._tls_config = config.tls
        if config.tls.ca_trusted_fingerprint and self._proxies.use_tls:
            raise ConfigError(
                "a fingerprint cannot be verified through a proxy with an https URL",
                where=names("output.tls.ca_trusted_fingerprint"),
                what_to_do=f"set {names('output.tls.ca')} to the CA itself",
            )
        use_tls = uses_tls(config) or self._proxies.use_tls
        self._connections = Connections(
            tls=_tls(config, names, file_seconds) if use_tls else None,
            limit=most_requests(config.max_in_flight),
            timeout=aiohttp.ClientTimeout(total=config.timeout, connect=_CONNECT_SECONDS),
            calls=calls,
            clock=clock,
            resolver=resolver,
            log=log,
        )
        #: Hosts that have answered; that were checked for their product; that do not know
        #: `require_data_stream`.
        self._answered: set[str] = set()
        self._identified: set[str] = set()
        self._without_data_stream_check: set[str] = set()

    async def __aenter__(self) -> Self:
        self._connections.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connections.close()

    async def post(self, host: str, body: Body, *, dry_run: bool = False) -> Answer:
        """Sends a bulk request. Raises TransportError if there is no complete answer.

        `dry_run`: each item fails where it would be stored. An index or data stream that is not
        there yet is created all the same.
        """
        shards = _DRY_RUN if dry_run else self._shard_timeout
        url = f"{host}{self._bulk_path}{shards}{self._pipeline}"
        if self._is_data_stream and host not in self._without_data_stream_check:
            answer = await self._post(f"{url}&{_REQUIRE_DATA_STREAM}=true", body)
            if not _does_not_know_the_check(answer):
                return answer
            # An older Elasticsearch, or OpenSearch. It has processed none of the events.
            self._without_data_stream_check.add(host)
        return await self._post(url, body)

    async def _post(self, url: str, body: Body) -> Answer:
        headers = {"Content-Encoding": "gzip"} if body.gzip else {}
        limit = _ANSWER_BASE + body.events * _ANSWER_PER_EVENT
        if body.events == 1:
            limit += _ANSWER_FOR_SINGLE * sum(map(len, body.lines()))
        return await self.request("POST", url, limit, headers, BulkPayload(body))

    async def probe(self, host: str) -> Answer:
        """Requests the root page. Raises TransportError if there is no answer."""
        answer = await self.request("GET", f"{host}/", _ANSWER_BASE)
        if answer.status == 200 and host not in self._identified:
            self._identified.add(host)
            if self._log is not None and not product.is_known(answer.product, answer.body):
                self._log.emit(HOST_NOT_RECOGNIZED, url=host)
        return answer

    def credentials_refused(self) -> None:
        """Makes the next request read the credentials again."""
        self._authorization.refused()

    def answered_wrongly(self) -> None:
        """Makes the next request use a new connection."""
        self._connections.retire()

    async def request(
        self,
        method: str,
        url: str,
        limit: int = _ANSWER_BASE,
        headers: dict[str, str] | None = None,
        data: aiohttp.payload.Payload | bytes | None = None,
    ) -> Answer:
        """Sends any request, with our credentials; `limit`: bytes of the answer's body.

        Raises TransportError if there is no complete answer.
        """
        target = URL(url, encoded=True)
        try:
            authorized = await self._authorization.of(target)
        except OutputError as error:
            raise TransportError("credentials", str(error.in_words_of(self._names))) from error
        proxy = authorized.proxy
        self._redact.add_header(authorized.header)
        if proxy is not None:
            self._redact.add_header(proxy.authorization)
        headers = {**self._headers, **(headers or {})}
        if authorized.header:
            headers["Authorization"] = authorized.header
        if proxy is not None and proxy.authorization and target.scheme == "http":
            headers["Proxy-Authorization"] = proxy.authorization
        route = self._route(target, proxy)
        async with self._connections.use() as generation:
            try:
                if target.scheme == "https" and self._tls_config.ca_trusted_fingerprint:
                    await self._trust(generation, target, route)
                async with generation.session.request(
                    method,
                    target,
                    data=data,
                    headers=headers,
                    # A redirect would send the credentials and the logs to another host.
                    allow_redirects=False,
                    **route,
                ) as response:
                    if response.status == 407 and proxy is not None:
                        self._authorization.refused_by_proxy()
                        raise proxy_refuses(response.status).in_words_of(self._names)
                    if response.status == 200 and isinstance(data, BulkPayload):
                        data.check_sent()
                    answer = Answer(
                        response.status,
                        await _read(response, limit),
                        seconds_of_retry_after(
                            response.headers.get("Retry-After", ""), self._clock.now()
                        ),
                        response.headers.get(product.HEADER, ""),
                        response.headers.get("Location", ""),
                        self._redact,
                    )
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                failure = await self._failure(error, generation, target, proxy)
                raise failure.without_secrets(self._redact) from error
        self._answered.add(str(target.origin()))
        return answer

    def _route(self, target: URL, proxy: Proxy | None) -> dict[str, Any]:
        """Arguments of aiohttp for the route to a host: proxy and server name."""
        route: dict[str, Any] = {}
        if self._tls_config.server_name and target.scheme == "https":
            route["server_hostname"] = self._tls_config.server_name
        if proxy is not None:
            route["proxy"] = proxy.url
            if target.scheme == "https":
                # Headers of the CONNECT request; the host does not get them.
                route["proxy_headers"] = {"User-Agent": self._headers["User-Agent"]}
                if proxy.authorization:
                    route["proxy_headers"]["Proxy-Authorization"] = proxy.authorization
        return route

    async def _trust(self, generation: Generation, target: URL, route: dict[str, Any]) -> None:
        """Trusts the CA with the configured fingerprint, if the host sends it.

        Raises TransportError if it does not; what aiohttp raises if there is no chain.
        """
        host = str(target.origin())
        async with generation.chain_locks[host]:
            if host in generation.trusted_hosts or generation.context is None:
                return
            chain = await fetch_chain(generation.session, target.origin(), **route)
            found = find(chain, self._tls_config.ca_trusted_fingerprint)
            if found is None or not is_ca(found):
                raise wrong_fingerprint(is_there=found is not None).in_words_of(self._names)
            generation.context.load_verify_locations(cadata=found)
            generation.trusted_hosts.add(host)

    async def _failure(
        self, error: Exception, generation: Generation, target: URL, proxy: Proxy | None
    ) -> TransportError:
        """Explains why there was no answer."""
        failure = explain(
            error,
            proxy=proxy.url if proxy else None,
            shows_certificate=bool(self._tls_config.certificate),
        ).in_words_of(self._names)
        host = str(target.origin())
        if failure.reason == "proxy_auth":
            self._authorization.refused_by_proxy()
        if failure.reason.startswith("tls"):
            # The host may have a new CA now.
            generation.trusted_hosts.discard(host)
        # A server that requires TLS closes other connections, or answers with an alert.
        may_need_tls = (
            failure.reason in ("disconnected", "invalid_answer")
            and target.scheme == "http"
            and proxy is None
            and host not in self._answered
        )
        if may_need_tls and await _speaks_tls(generation.session, target):
            return needs_tls().in_words_of(self._names)
        return failure


def seconds_of_retry_after(value: str, now: float) -> float:
    """Seconds, from either form of the header (RFC 9110, 10.2.3); 0 if it is not valid. `now`: Unix
    seconds."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, until - now)


def _tls(config: OutputConfig, names: OptionNames, seconds: float) -> Tls:
    """The TLS settings from their files. Raises ConfigError, also if that takes too long."""
    try:
        return within(seconds, lambda: Tls(config.tls, names))
    except HangsError as error:
        raise ConfigError(
            f"a file of the TLS settings cannot be read: {error}",
            where=", ".join(Tls.files_of(config.tls)),
            what_to_do="check the mount that it is on, and whether it is a FIFO",
        ) from error


def _does_not_know_the_check(answer: Answer) -> bool:
    """Whether a host refuses `require_data_stream` as a parameter that it does not know."""
    if answer.status != 400:
        return False
    # As `unrecognized parameter: [require_data_stream]`; no pattern, whose work would be quadratic.
    _, words, rest = answer.body.partition(b"unrecognized parameter")
    return bool(words) and b"[%b]" % _REQUIRE_DATA_STREAM.encode() in rest


async def _speaks_tls(session: aiohttp.ClientSession, target: URL) -> bool:
    address = target.origin().with_scheme("https").with_port(target.port)
    try:
        return bool(await fetch_chain(session, address))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return False


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise TransportError(ANSWER_TOO_LONG, f"the answer has more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
