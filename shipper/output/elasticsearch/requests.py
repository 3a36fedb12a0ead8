"""Sends one bulk request: chooses its host, measures it, and says what the answer was."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import HOST_AVAILABLE, REQUEST_FAILED, REQUEST_FINISHED
from shipper.metrics import Metrics
from shipper.output.elasticsearch.answers import (
    NOT_BULK,
    RequestFailed,
    Verdict,
    status_label,
    verdict_of,
)
from shipper.output.elasticsearch.decisions import HostAction
from shipper.output.elasticsearch.evidence import Evidence, Suspicion
from shipper.output.elasticsearch.exchange import Answer, Transport, TransportError
from shipper.output.elasticsearch.hosts import Host, Hosts
from shipper.output.elasticsearch.overdue import Overdue
from shipper.pipeline.batch import Body

#: The longest Retry-After that is respected, in seconds: an absurd value must not stop delivery.
_MAX_RETRY_AFTER = 300.0


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request."""

    host: Host
    verdict: Verdict
    #: The number of the request (`Evidence.sent`).
    number: int
    #: Seconds that the host asks to wait.
    retry_after: float = 0.0


class Requests:
    """The requests of one output."""

    def __init__(
        self,
        *,
        transport: Transport,
        hosts: Hosts,
        evidence: Evidence,
        overdue: Overdue,
        clock: Clock,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._transport = transport
        self._hosts = hosts
        self._evidence = evidence
        self._overdue = overdue
        self._clock = clock
        self._metrics = metrics
        self._log = log
        #: Requests in flight.
        self.in_flight = 0

    async def send(
        self,
        body: Body,
        suspicion: Suspicion,
        give_back: Callable[[], object] | None = None,
    ) -> Answered:
        """Sends a body, once a host takes requests; at another host than those at which it failed,
        if there is one. `give_back`: is called if it is overdue; None: it has all of its time."""
        if seconds := self._hosts.asked_to_wait():
            await self._clock.sleep(seconds)
        host = self._hosts.pick(avoid=suspicion.hosts)
        number, now = self._evidence.sent(), self._clock.monotonic()
        try:
            answer = await self._post_in_time(host, body, number, now, give_back)
        except TransportError as error:
            return Answered(host, RequestFailed(error.reason, str(error)), number)
        except TimeoutError:
            took = self._clock.monotonic() - now
            words = f"no answer within {took:.1f} s, while other requests got one"
            return Answered(host, RequestFailed("timeout", words), number)
        verdict = verdict_of(
            answer.status,
            answer.body,
            body.events,
            redact=answer.redact,
            location=answer.location,
        )
        if isinstance(verdict, RequestFailed) and verdict.reason == NOT_BULK:
            self._transport.answered_wrongly()
        return Answered(host, verdict, number, min(answer.retry_after, _MAX_RETRY_AFTER))

    async def _post_in_time(
        self,
        host: Host,
        body: Body,
        number: int,
        now: float,
        give_back: Callable[[], object] | None,
    ) -> Answer:
        """Raises TimeoutError if it was given up."""
        if give_back is None:
            return await self._post(host, body)
        async with asyncio.timeout(None) as limit:
            ended = self._overdue.watch(
                host,
                number,
                now,
                give_back=give_back,
                give_up=lambda: limit.reschedule(asyncio.get_running_loop().time()),
            )
            try:
                return await self._post(host, body)
            finally:
                ended()

    async def _post(self, host: Host, body: Body) -> Answer:
        self.in_flight += 1
        self._hosts.began(host)
        began = self._clock.monotonic()
        status: int | None = None
        took: float | None = None
        try:
            answer = await self._transport.post(host.url, body)
            status = answer.status
            took = self._clock.monotonic() - began
            return answer
        finally:
            self.in_flight -= 1
            self._hosts.ended(host, took)
            seconds = self._clock.monotonic() - began
            self._metrics.bulk_seconds.observe(seconds)
            label = "error" if status is None else status_label(status)
            self._metrics.count("shipper_bulk_requests_total", 1, label)
            self._metrics.count("shipper_bulk_bytes_total", len(body.payload))
            if self._log.debug_enabled:
                self._log.emit(
                    REQUEST_FINISHED,
                    url=host.url,
                    status=status,
                    events=body.events,
                    bytes=len(body.payload),
                    duration=seconds,
                )

    def note(self, action: HostAction, host: Host, why: str = "", retry_after: float = 0.0) -> None:
        """Notes what an answer says of its host; `why`: what is wrong."""
        why = f"{host.url}: {why}"
        match action:
            case HostAction.UNCHANGED:
                return
            case HostAction.SUCCEEDED:
                if host.trouble is not None:
                    self._log.emit(HOST_AVAILABLE, url=host.url)
                self._hosts.succeeded(host)
                return
            case HostAction.FAILED:
                self._hosts.failed(host, why)
        if retry_after:
            why = f"{why} (no request for {retry_after:.0f} s, as its Retry-After asks)"
        self._hosts.busy(host, why, retry_after)
        self._log.emit(REQUEST_FAILED, key="failed", url=host.url, error=why)
