"""One body's life at Elasticsearch: send, read the answer, and decide for each event: done, again,
dead letter.

    permit -> request -> answer -> every event done
      ^          ^          |
      |          +----------+-> too large: half of it, and the other half
      +--- wait <-----------+-> all of it, or what is cut out of the body that was kept

A body ends only when each of its events has an outcome. Nothing is given up: what has no usable
answer is sent again without end, and the ids of the documents make that harmless.

While only some events of a body wait, its permit is another's: one shard that is slow or refuses
does not stop the rest. While nothing gets through at all, the permit is kept, and so nothing new is
read.
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
    OTHER_TYPE,
    Again,
    Refusal,
    Taken,
    TooLarge,
    Verdict,
    judge,
)
from shipper.output.elasticsearch.exchange import Answer, Transport, TransportError
from shipper.output.elasticsearch.feedback import feedback_of, without_time
from shipper.output.elasticsearch.hosts import Host, Hosts
from shipper.output.elasticsearch.rejections import RejectionDetector, RejectionVerdict, SuspectBody
from shipper.output.limiter import Feedback, Limiter, Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget

#: How long a host's Retry-After is heeded at the most, in seconds: an absurd one stops no delivery.
_LONGEST_PAUSE = 300.0

#: So many types of errors have a label of their own: they are a server's words, and may be any.
_MOST_TYPES = 50

#: Statuses of whole requests that may be the fault of what is in them. Not those that are about
#: who we are, the pace, or the size.
_BLAMEABLE = frozenset(range(400, 500)) - {401, 408, 413, 429}


@dataclass(slots=True)
class _Part:
    """Events that are sent together, until each has its outcome."""

    body: Body
    #: In a row, without any progress.
    failures: int = 0
    #: Refused events, events that failed with a 500, and the whole request with its last status.
    suspect: SuspectBody = field(default_factory=SuspectBody)
    failing: SuspectBody = field(default_factory=SuspectBody)
    blamed: SuspectBody = field(default_factory=SuspectBody)
    blamed_status: int = 0
    #: Whether other events of its request were taken: then it says nothing of its host.
    is_rest: bool = False


class _Permit(Enum):
    """What becomes of the permit after an answer."""

    #: Given back at once: others go on while this part waits, if it does.
    BACK = "back"
    #: Kept: nothing gets through, so nothing new is read.
    KEPT = "kept"
    #: Kept while this part waits, and then the next one's: whoever gets through tells what is wrong
    #: with the others.
    PASSED_ON = "passed on"


@dataclass(frozen=True, slots=True)
class _Next:
    """What comes after an answer."""

    #: Sent next, in this order; none if no event is left.
    parts: tuple[_Part, ...]
    permit: _Permit
    #: Seconds.
    pause: float = 0.0
    #: Of events that are refused for good.
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
        #: Of errors, as labels.
        self._types: set[str] = set()
        #: Requests that are at a host now.
        self._requests = 0

    @property
    def condition(self) -> Condition:
        """How it is now."""
        return Condition(
            trouble=self._rejections.systemic or self._hosts.trouble,
            requests=self._requests,
            limit=self._limiter.limit,
            hosts=self._hosts.urls,
            hosts_resting=self._hosts.paused,
        )

    async def admit(self) -> Permit:
        """Waits until one more request may be under way."""
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
        """Asks a host whether it is there, until one is or a request got through."""
        failures = 0
        while self._hosts.trouble is not None:
            host = self._hosts.pick()
            try:
                answer = await self._transport.probe(host.url)
            except TransportError as error:
                self._failed(host, str(error))
            else:
                # An API key that may do nothing but write is answered 403 here: it is known.
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
        # What is cut out of it takes its place: nobody holds on to the whole.
        del body
        held: Permit | None = permit
        try:
            while parts:
                held = held or await self._limiter.acquire()
                part = parts.popleft()
                events = part.body.events
                held.restart()
                host, verdict, asked = await self._ask(part.body)
                step = self._decide(part, host, verdict, asked, outcomes)
                del part
                if step.permit is _Permit.BACK:
                    held.release(feedback_of(verdict), events)
                    held = None
                parts.extendleft(reversed(step.parts))
                if step.dead_letters:
                    await self._refuse(step.dead_letters, outcomes)
                if step.pause:
                    await self._clock.sleep(step.pause)
                if held and step.permit is _Permit.PASSED_ON:
                    held.release(without_time(verdict), 0)
                    held = None
        finally:
            if held:
                held.release(Feedback.FAILED, 0)

    async def _ask(self, body: Body) -> tuple[Host, Verdict, float]:
        """One request: whom it went to, what the answer means, and how long it asks to wait."""
        host = self._hosts.pick()
        try:
            answer = await self._post(host, body)
        except TransportError as error:
            return host, Again(error.reason, str(error)), 0.0
        verdict = judge(answer.status, answer.body, body.events)
        return host, verdict, min(answer.retry_after, _LONGEST_PAUSE)

    async def _post(self, host: Host, body: Body) -> Answer:
        self._requests += 1
        self._hosts.began(host)
        began = self._clock.monotonic()
        status = "error"
        took = None
        try:
            answer = await self._transport.post(host.url, body)
            status = str(answer.status)
            took = self._clock.monotonic() - began
            return answer
        finally:
            self._requests -= 1
            self._hosts.ended(host, took)
            seconds = self._clock.monotonic() - began
            self._metrics.bulk_seconds.observe(seconds)
            self._metrics.count("shipper_bulk_requests_total", 1, status)
            self._metrics.count("shipper_bulk_bytes_total", len(body.payload))
            if self._log.debug_enabled:
                self._log.emit(
                    REQUEST_FINISHED,
                    url=host.url,
                    status=int(status) if took is not None else None,
                    events=body.events,
                    bytes=len(body.payload),
                    duration=seconds,
                )

    def _decide(
        self, part: _Part, host: Host, verdict: Verdict, asked: float, outcomes: OutcomeSink
    ) -> _Next:
        """Counts what has ended, and says how the rest goes on."""
        match verdict:
            case Taken():
                return self._carry_out(part, host, verdict, outcomes)
            case TooLarge(status):
                self._succeeded(host)
                self._count_again(str(status))
                size = len(part.body.payload)
                return self._split(
                    part,
                    status,
                    f"HTTP {status}: the request is too large with this event alone ({size} bytes)",
                )
            case Again():
                return self._try_again(part, host, verdict, asked)

    def _carry_out(self, part: _Part, host: Host, taken: Taken, outcomes: OutcomeSink) -> _Next:
        done = taken.delivered + taken.already_delivered
        outcomes.end("delivered", taken.delivered)
        outcomes.end("already_delivered", taken.already_delivered)
        for reason, count in taken.reasons.items():
            self._count_again(reason, count)
        if taken.reasons.keys() & {"item_401", "item_403"}:
            self._transport.credentials_refused()

        if done and not taken.refused:
            self._rejections.took()
        waits, given_up = self._rule(part, done, taken)
        dead_letters = self._dead_letters(part.body, given_up)
        dead_lettered = {refusal.index for refusal in given_up}
        left = sorted({*taken.again, *(refusal.index for refusal in waits)} - dead_lettered)

        nothing = len(taken.again) == part.body.events
        overload = feedback_of(taken) is Feedback.REJECTED
        if not nothing or dead_letters:
            self._succeeded(host)
        elif not part.is_rest:
            # The host answers, and takes nothing: its queue is full, or rights, a write block.
            (self._busy if overload else self._failed)(host, taken.why_again)
        if not left:
            self._budget.release(len(part.body.payload))
            return _Next((), _Permit.BACK, dead_letters=dead_letters)
        self._log.emit(
            EVENTS_RETRIED,
            key="again",
            url=host.url,
            events=len(left),
            reason=taken.why_again or (waits[0].reason if waits else ""),
        )
        part.failures = 1 if done or dead_letters else part.failures + 1
        if len(left) < part.body.events:
            part.body = self._cut(part.body, left)
        part.is_rest = part.is_rest or done > 0
        if waits and self._rejections.systemic:
            pause = self._pause(max(part.failures, self._rejections.requests_refused))
            return _Next((part,), _Permit.PASSED_ON, pause, dead_letters)
        permit = _Permit.BACK
        if nothing and not overload and not part.is_rest:
            # A 500 may be these events' own fault, which others have to show.
            permit = _Permit.PASSED_ON if taken.failed else _Permit.KEPT
        return _Next((part,), permit, self._pause(part.failures), dead_letters)

    def _rule(
        self, part: _Part, done: int, taken: Taken
    ) -> tuple[Sequence[Refusal], Sequence[Refusal]]:
        """Which of the refused wait, as that may be systemic; and which are given up for good."""
        waits: Sequence[Refusal] = ()
        given_up: list[Refusal] = []
        if taken.refused:
            if self._rejections.rule(part.suspect, done, taken.refused) is RejectionVerdict.WAIT:
                waits = taken.refused
            else:
                given_up += taken.refused
        for refusal in waits:
            self._count_again(f"item_{refusal.status}")
        if taken.failed and self._rejections.blames(part.failing):
            given_up += taken.failed
        return waits, given_up

    def _try_again(self, part: _Part, host: Host, again: Again, asked: float) -> _Next:
        self._count_again(again.reason)
        if again.unauthorised:
            self._transport.credentials_refused()
        overload = feedback_of(again) is Feedback.REJECTED
        if overload and again.reason == "429":
            self._busy(host, again.why, asked)
        else:
            self._failed(host, again.why, asked)
        part.failures += 1
        pause = max(self._pause(part.failures), asked)
        status = int(again.reason) if again.reason.isdigit() else 0
        if again.reason == "429":
            return _Next((part,), _Permit.BACK, pause)
        if status not in _BLAMEABLE:
            # Nothing new is read while a host is away; a slow one is asked for less.
            return _Next((part,), _Permit.PASSED_ON if overload else _Permit.KEPT, pause)
        if status != part.blamed_status:
            part.blamed, part.blamed_status = SuspectBody(), status
        if self._rejections.blames(part.blamed):
            # The host is well: others get through.
            self._succeeded(host)
            return self._split(part, status, again.why)
        return _Next((part,), _Permit.PASSED_ON, pause)

    def _split(self, part: _Part, status: int, why: str) -> _Next:
        """Half of it at a time: a host cannot or will not take it. A single event is refused."""
        body = part.body
        if body.events == 1:
            refusal = Refusal(0, status, why, f"http_{status}")
            dead_letters = self._dead_letters(body, [refusal])
            self._budget.release(len(body.payload))
            return _Next((), _Permit.BACK, dead_letters=dead_letters)
        half = body.events // 2
        halves = body.only(list(range(half))), body.only(list(range(half, body.events)))
        self._budget.hold(sum(len(each.payload) for each in halves))
        self._budget.release(len(body.payload))
        return _Next(tuple(_Part(each) for each in halves), _Permit.KEPT)

    def _cut(self, body: Body, left: list[int]) -> Body:
        """What is left of a body; the budget gets the rest."""
        rest = body.only(left)
        self._budget.hold(len(rest.payload))
        self._budget.release(len(body.payload))
        return rest

    def _dead_letters(self, body: Body, refusals: Sequence[Refusal]) -> tuple[DeadLetter, ...]:
        if not refusals:
            return ()
        for refusal in refusals:
            if len(self._types) < _MOST_TYPES:
                self._types.add(refusal.type)
            kind = refusal.type if refusal.type in self._types else OTHER_TYPE
            self._metrics.count("shipper_refused_events_total", 1, kind)
        found = [(refusal.index, refusal.status, refusal.reason) for refusal in refusals]
        return tuple(dead_letters_of_items(body, found, self._clock.now()))

    async def _refuse(self, dead_letters: Sequence[DeadLetter], outcomes: OutcomeSink) -> None:
        held = sum(len(dead_letter.line) for dead_letter in dead_letters)
        self._budget.hold(held)
        await outcomes.refuse(dead_letters)
        self._budget.release(held)

    def _pause(self, failures: int) -> float:
        return self._backoff.delay(failures, self._rng)

    def _count_again(self, reason: str, count: int = 1) -> None:
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
