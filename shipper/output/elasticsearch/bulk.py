"""Sends bodies to `_bulk` until each event has an outcome: delivered, or a dead letter.

    permit -> request -> answer -> every event has an outcome
      ^          ^          |
      |          +----------+-> too large: one half, then the other half
      +--- wait <-----------+-> retry: the whole body, or the events without an outcome

Events are never dropped: without a valid answer they are retried without limit. The ids of the
documents prevent duplicates.

While only some events of a body wait, the permit is released: one slow or failing shard does not
stop the others. While no event is accepted, the permit is kept, so that nothing new is read.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import EVENTS_RETRIED, HOST_AVAILABLE, REQUEST_FAILED, REQUEST_FINISHED
from shipper.metrics import Metrics
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import DeadLetter, dead_letters_of_items
from shipper.output.destination import Condition
from shipper.output.elasticsearch.answers import (
    ItemResults,
    Rejection,
    RequestFailed,
    TooLarge,
    Verdict,
    status_label,
    verdict_of,
)
from shipper.output.elasticsearch.exchange import Answer, Transport, TransportError
from shipper.output.elasticsearch.feedback import feedback_of, without_time
from shipper.output.elasticsearch.hosts import Host, Hosts
from shipper.output.elasticsearch.rejections import RejectionDetector, RejectionVerdict, SuspectBody
from shipper.output.limiter import Feedback, Limiter, Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget

#: The longest Retry-After that is respected, in seconds: an absurd value must not stop delivery.
_MAX_RETRY_AFTER = 300.0

#: Statuses of whole requests that the events in them may cause. Without those for authentication,
#: timeouts, request size and rate.
_CAUSED_BY_EVENTS = frozenset(range(400, 500)) - {401, 408, 413, 429}


@dataclass(slots=True)
class _Part:
    """Events that are sent together until each has its outcome."""

    body: Body
    #: Consecutive failures without progress.
    failures: int = 0
    #: Counts rejected events, events with a 500, and rejections of the whole request.
    rejected: SuspectBody = field(default_factory=SuspectBody)
    server_errors: SuspectBody = field(default_factory=SuspectBody)
    request: SuspectBody = field(default_factory=SuspectBody)
    request_status: int = 0
    #: Whether other events of its request were accepted: then its failures say nothing of the host.
    is_remainder: bool = False


class _PermitAction(Enum):
    """What happens to the permit after an answer."""

    #: Released at once: other requests continue while this part waits.
    RELEASE = "release"
    #: Kept: no event is accepted, so nothing new is read.
    KEEP = "keep"
    #: Kept while this part waits, then released: another request shows which side is at fault.
    RELEASE_LATER = "release later"


@dataclass(frozen=True, slots=True)
class _NextStep:
    """What to do after an answer."""

    #: Sent next, in this order; empty if every event has an outcome.
    parts: tuple[_Part, ...]
    permit: _PermitAction
    #: Seconds to wait.
    pause: float = 0.0
    #: Events that were rejected for good.
    dead_letters: tuple[DeadLetter, ...] = ()


class BulkSender:
    """Sends bodies to `_bulk`; a `Destination`."""

    def __init__(
        self,
        *,
        transport: Transport,
        hosts: Hosts,
        backoff: Backoff,
        limiter: Limiter,
        budget: ByteBudget,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        log: Log,
        gzip: bool,
    ) -> None:
        self.gzip = gzip
        self._transport = transport
        self._hosts = hosts
        self._backoff = backoff
        self._limiter = limiter
        self._budget = budget
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._log = log
        self._rejections = RejectionDetector()
        #: Requests in flight.
        self._requests = 0

    @property
    def condition(self) -> Condition:
        """Its current condition."""
        return Condition(
            trouble=self._rejections.systemic or self._hosts.trouble,
            requests=self._requests,
            limit=self._limiter.limit,
            hosts=self._hosts.urls,
            hosts_resting=self._hosts.paused,
        )

    async def admit(self) -> Permit:
        """Waits until another request may be in flight."""
        return await self._limiter.acquire()

    def apart(self) -> "BulkSender":
        """A sender with its own hosts' states, one request at a time, and its own evidence. Its
        requests are not counted among those of events."""
        return BulkSender(
            transport=self._transport,
            hosts=self._hosts.anew(),
            backoff=self._backoff,
            limiter=Limiter(self._clock, most=1, adaptive=False),
            budget=self._budget,
            clock=self._clock,
            rng=self._rng,
            metrics=Metrics(),
            log=self._log,
            gzip=self.gzip,
        )

    async def run(self) -> None:
        """Probes the hosts until one answers, or a request succeeded."""
        failures = 0
        while self._hosts.trouble is not None:
            host = self._hosts.pick()
            try:
                answer = await self._transport.probe(host.url)
            except TransportError as error:
                self._failed(host, str(error))
            else:
                # An API key with write privileges only gets a 403 here: the key is valid.
                if 200 <= answer.status < 300 or answer.status in (403, 404, 405):
                    self._succeeded(host)
                    return
                self._failed(host, f"HTTP {answer.status}")
                if answer.status == 401:
                    self._transport.credentials_refused()
            failures += 1
            await self._clock.sleep(self._backoff.delay(failures, self._rng))

    async def deliver(self, body: Body, permit: Permit, outcomes: OutcomeSink) -> None:
        """Returns when every event of the body has its outcome."""
        parts = deque([_Part(body)])
        # Parts replace the body: no reference keeps the whole in memory.
        del body
        held: Permit | None = permit
        try:
            while parts:
                held = held or await self._limiter.acquire()
                part = parts.popleft()
                events = part.body.events
                held.restart()
                host, verdict, retry_after = await self._send(part.body)
                step = self._decide(part, host, verdict, retry_after, outcomes)
                del part
                if step.permit is _PermitAction.RELEASE:
                    held.release(feedback_of(verdict), events)
                    held = None
                parts.extendleft(reversed(step.parts))
                if step.dead_letters:
                    await self._write_dead_letters(step.dead_letters, outcomes)
                if step.pause:
                    await self._clock.sleep(step.pause)
                if held and step.permit is _PermitAction.RELEASE_LATER:
                    held.release(without_time(verdict), 0)
                    held = None
        finally:
            if held:
                held.release(Feedback.FAILED, 0)

    async def _send(self, body: Body) -> tuple[Host, Verdict, float]:
        """Sends one request; returns the host, the verdict, and the Retry-After in seconds."""
        host = self._hosts.pick()
        try:
            answer = await self._post(host, body)
        except TransportError as error:
            return host, RequestFailed(error.reason, str(error)), 0.0
        verdict = verdict_of(answer.status, answer.body, body.events)
        return host, verdict, min(answer.retry_after, _MAX_RETRY_AFTER)

    async def _post(self, host: Host, body: Body) -> Answer:
        self._requests += 1
        self._hosts.began(host)
        began = self._clock.monotonic()
        status: int | None = None
        took = None
        try:
            answer = await self._transport.post(host.url, body)
            status = answer.status
            took = self._clock.monotonic() - began
            return answer
        finally:
            self._requests -= 1
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

    def _decide(
        self, part: _Part, host: Host, verdict: Verdict, retry_after: float, outcomes: OutcomeSink
    ) -> _NextStep:
        """Counts finished events; returns the next step for the others."""
        match verdict:
            case ItemResults():
                return self._apply_results(part, host, verdict, outcomes)
            case TooLarge(status):
                self._succeeded(host)
                self._count_retries(str(status))
                size = len(part.body.payload)
                return self._split(
                    part,
                    status,
                    f"HTTP {status}: the request is too large with this event alone ({size} bytes)",
                )
            case RequestFailed():
                return self._retry(part, host, verdict, retry_after)

    def _apply_results(
        self, part: _Part, host: Host, results: ItemResults, outcomes: OutcomeSink
    ) -> _NextStep:
        delivered = results.delivered + results.already_delivered
        outcomes.end("delivered", results.delivered)
        outcomes.end("already_delivered", results.already_delivered)
        # At the first attempt only: what is sent again may have been stored by us.
        if not part.failures:
            outcomes.already_stored(part.body.beginnings, results.conflicts)
        for reason, count in results.retry_counts.items():
            self._count_retries(reason, count)
        if results.retry_counts.keys() & {"item_401", "item_403"}:
            self._transport.credentials_refused()

        if delivered and not results.rejected:
            self._rejections.request_accepted()
        waiting, final = self._classify(part, delivered, results)
        dead_letters = self._dead_letters(part.body, final)
        dead_lettered = {rejection.index for rejection in final}
        left = sorted({*results.retry, *(rejection.index for rejection in waiting)} - dead_lettered)

        none_accepted = len(results.retry) == part.body.events
        overload = feedback_of(results) is Feedback.REJECTED
        if not none_accepted or dead_letters:
            self._succeeded(host)
        elif not part.is_remainder:
            # The host answers and accepts nothing: a full queue, privileges, a write block.
            (self._busy if overload else self._failed)(host, results.retry_reason)
        if not left:
            self._budget.release(len(part.body.payload))
            return _NextStep((), _PermitAction.RELEASE, dead_letters=dead_letters)
        self._log.emit(
            EVENTS_RETRIED,
            key="again",
            url=host.url,
            events=len(left),
            reason=results.retry_reason or (waiting[0].reason if waiting else ""),
        )
        part.failures = 1 if delivered or dead_letters else part.failures + 1
        if len(left) < part.body.events:
            part.body = self._remainder(part.body, left)
        part.is_remainder = part.is_remainder or delivered > 0
        if waiting and self._rejections.systemic:
            pause = self._pause(max(part.failures, self._rejections.requests_rejected))
            return _NextStep((part,), _PermitAction.RELEASE_LATER, pause, dead_letters)
        permit = _PermitAction.RELEASE
        if none_accepted and not overload and not part.is_remainder:
            # These events may cause the 500: other requests show whether they do.
            permit = _PermitAction.RELEASE_LATER if results.server_errors else _PermitAction.KEEP
        return _NextStep((part,), permit, self._pause(part.failures), dead_letters)

    def _classify(
        self, part: _Part, delivered: int, results: ItemResults
    ) -> tuple[Sequence[Rejection], Sequence[Rejection]]:
        """The rejected events that wait, as the rejection may be systemic; and the dead letters."""
        waiting: Sequence[Rejection] = ()
        final: list[Rejection] = []
        if results.rejected:
            verdict = self._rejections.evaluate(part.rejected, delivered, results.rejected)
            if verdict is RejectionVerdict.WAIT:
                waiting = results.rejected
            else:
                final += results.rejected
        for rejection in waiting:
            self._count_retries(f"item_{rejection.status}")
        if results.server_errors and self._rejections.is_at_fault(part.server_errors):
            final += results.server_errors
        return waiting, final

    def _retry(
        self, part: _Part, host: Host, failure: RequestFailed, retry_after: float
    ) -> _NextStep:
        self._count_retries(failure.reason)
        if failure.unauthorised:
            self._transport.credentials_refused()
        overload = feedback_of(failure) is Feedback.REJECTED
        if overload and failure.reason == "429":
            self._busy(host, failure.message, retry_after)
        else:
            self._failed(host, failure.message, retry_after)
        part.failures += 1
        pause = max(self._pause(part.failures), retry_after)
        status = failure.status
        if failure.reason == "429":
            return _NextStep((part,), _PermitAction.RELEASE, pause)
        if status not in _CAUSED_BY_EVENTS:
            # While a host is unreachable nothing new is read; a slow one gets fewer requests.
            return _NextStep(
                (part,), _PermitAction.RELEASE_LATER if overload else _PermitAction.KEEP, pause
            )
        if status != part.request_status:
            part.request, part.request_status = SuspectBody(), status
        if self._rejections.is_at_fault(part.request):
            # The host works: other requests succeed.
            self._succeeded(host)
            return self._split(part, status, failure.message)
        return _NextStep((part,), _PermitAction.RELEASE_LATER, pause)

    def _split(self, part: _Part, status: int, message: str) -> _NextStep:
        """Splits a part that a host does not accept; a single event becomes a dead letter."""
        body = part.body
        if body.events == 1:
            rejection = Rejection(0, status, message, f"http_{status_label(status)}")
            dead_letters = self._dead_letters(body, [rejection])
            self._budget.release(len(body.payload))
            return _NextStep((), _PermitAction.RELEASE, dead_letters=dead_letters)
        half = body.events // 2
        halves = body.only(list(range(half))), body.only(list(range(half, body.events)))
        self._budget.hold(sum(len(each.payload) for each in halves))
        self._budget.release(len(body.payload))
        return _NextStep(tuple(_Part(each) for each in halves), _PermitAction.KEEP)

    def _remainder(self, body: Body, left: list[int]) -> Body:
        """A body of the events at `left`; the budget gets the other bytes back."""
        rest = body.only(left)
        self._budget.hold(len(rest.payload))
        self._budget.release(len(body.payload))
        return rest

    def _dead_letters(self, body: Body, rejections: Sequence[Rejection]) -> tuple[DeadLetter, ...]:
        if not rejections:
            return ()
        for rejection in rejections:
            self._metrics.count("shipper_refused_events_total", 1, rejection.type)
        found = [(rejection.index, rejection.status, rejection.reason) for rejection in rejections]
        return tuple(dead_letters_of_items(body, found, self._clock.now()))

    async def _write_dead_letters(
        self, dead_letters: Sequence[DeadLetter], outcomes: OutcomeSink
    ) -> None:
        held = sum(len(dead_letter.line) for dead_letter in dead_letters)
        self._budget.hold(held)
        await outcomes.refuse(dead_letters)
        self._budget.release(held)

    def _pause(self, failures: int) -> float:
        return self._backoff.delay(failures, self._rng)

    def _count_retries(self, reason: str, count: int = 1) -> None:
        self._metrics.count("shipper_retries_total", count, reason)

    def _succeeded(self, host: Host) -> None:
        if host.trouble is not None:
            self._log.emit(HOST_AVAILABLE, url=host.url)
        self._hosts.succeeded(host)

    def _busy(self, host: Host, why: str, seconds: float = 0.0) -> None:
        why = f"{host.url}: {why}"
        self._hosts.busy(host, why, seconds)
        self._log.emit(REQUEST_FAILED, key="failed", url=host.url, error=why)

    def _failed(self, host: Host, why: str, seconds: float = 0.0) -> None:
        why = f"{host.url}: {why}"
        self._hosts.failed(host, why)
        self._hosts.busy(host, why, seconds)
        self._log.emit(REQUEST_FAILED, key="failed", url=host.url, error=why)
