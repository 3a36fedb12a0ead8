"""From an answer to the next step of a delivery: what is known beside the answer, what the table of
`decisions` says of it, and the parts, the pause and the dead letters that follow.

Notes what the answer says of hosts and of other requests; changes nothing of a delivery.
"""

import random
from dataclasses import dataclass

from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import EVENTS_RETRIED
from shipper.metrics import Metrics
from shipper.option_names import OptionNames
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import NO_STATUS, DeadLetter, dead_letters_of_items
from shipper.output.elasticsearch.answers import (
    NOT_BULK,
    ItemResults,
    Rejection,
    RequestFailed,
    TooLarge,
    status_label,
)
from shipper.output.elasticsearch.decisions import (
    Decision,
    Fate,
    Kind,
    Pause,
    Situation,
    decide,
    kind_of_failure,
    kind_of_items,
)
from shipper.output.elasticsearch.evidence import (
    ENOUGH_SECONDS,
    ENOUGH_TRIES,
    Evidence,
    Suspected,
    Suspicion,
)
from shipper.output.elasticsearch.exchange import Transport
from shipper.output.elasticsearch.hosts import Hosts
from shipper.output.elasticsearch.parts import Part, Sorted, sort_rejected
from shipper.output.elasticsearch.requests import Answered, Requests
from shipper.output.limiter import Limiter
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget

#: The reasons of answers that say that the cluster, or what is before it, is overloaded.
_SAID_OVERLOAD = frozenset({"503", "504"})
#: Failures that may be due to the body, and say nothing of the host while others get through.
_OF_THE_BODY = frozenset({Kind.NOT_TAKEN, Kind.UNUSABLE, Kind.TOO_LONG})

#: How many events of a part are sent by themselves at the most.
_MOST_PROBES = 4


@dataclass(frozen=True, slots=True)
class Tools:
    """What the deliveries of one output share."""

    transport: Transport
    hosts: Hosts
    requests: Requests
    evidence: Evidence
    backoff: Backoff
    limiter: Limiter
    #: Of the requests with parts that failed while others got through: they may take long to fail
    #: again, and must neither hold the permits of the others nor count as overload.
    suspects: Limiter
    budget: ByteBudget
    #: What these parts have of it.
    suspected: Suspected
    clock: Clock
    rng: random.Random
    metrics: Metrics
    log: Log
    names: OptionNames


@dataclass(frozen=True, slots=True)
class Step:
    """What an answer leads to."""

    decision: Decision
    #: Instead of the part that was sent; empty if every event has its outcome.
    parts: tuple[Part, ...] = ()
    #: Seconds to wait, and for what, in words.
    pause: float = 0.0
    reason: str = ""
    #: Events that were rejected for good, and how they are counted.
    rejected: tuple[Rejection, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    #: Whether the other parts have their turn first: they show who is at fault.
    others_first: bool = False


class Weighing:
    """Weighs the answers of one output."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def weigh(self, part: Part, answered: Answered) -> Step:
        """What an answer to the request with a part leads to."""
        match answered.verdict:
            case ItemResults():
                return self._weigh_items(part, answered, answered.verdict)
            case _:
                return self._weigh_failure(part, answered, answered.verdict)

    def _weigh_items(self, part: Part, answered: Answered, results: ItemResults) -> Step:
        tools, evidence, host = self._tools, self._tools.evidence, answered.host
        now = tools.clock.monotonic()
        events = part.body.events
        if len(results.retry) < events:
            evidence.got_through(host.url, answered.number, len(part.body.payload))
        found = sort_rejected(part, results, evidence, host.url, answered.number, now)
        kind = kind_of_items(
            results,
            events=events,
            final=len(found.final),
            waiting=len(found.waiting),
            systemic=evidence.systemic is not None,
            is_remainder=part.is_remainder,
        )
        others = False
        if kind in (Kind.DENIED, Kind.FAILING):
            part.request.again(kind.value, host.url, evidence.mark, now)
            others = evidence.others(host.url, part.request)
            if kind is Kind.FAILING and part.request.tries == 1:
                others |= evidence.passed_since(host.url, answered.number)
        else:
            # Whatever failed before has ended: the request got through.
            part.request = Suspicion()
        able = tools.hosts.others_able(host)
        decision = decide(Situation(kind, events == 1, others, able=able))
        if results.retry_counts.keys() & {"item_401", "item_403"}:
            tools.transport.credentials_refused()
        reason = results.retry_reason or (found.waiting[0].reason if found.waiting else "")
        tools.requests.note(decision.host, host, reason, answered.retry_after)
        dead_letters = self._dead_letters(part.body, found.final)
        if kind is Kind.FINISHED:
            return Step(decision, rejected=found.final, dead_letters=dead_letters)
        parts = _parts_left(part, results, found, 1 if kind is Kind.PROGRESS else part.failures + 1)
        left = sum(each.body.events for each in parts)
        tools.log.emit(EVENTS_RETRIED, key="again", url=host.url, events=left, reason=reason)
        pause = self._pause(decision, parts[0], answered.retry_after)
        why = f"{host.url}: {reason}"
        return Step(decision, parts, pause, why, found.final, dead_letters)

    def _weigh_failure(
        self, part: Part, answered: Answered, failure: RequestFailed | TooLarge
    ) -> Step:
        tools, host = self._tools, answered.host
        kind = kind_of_failure(failure)
        if isinstance(failure, RequestFailed) and failure.unauthorised:
            tools.transport.credentials_refused()
        situation = self._situation(part, answered, kind, failure)
        decision = decide(situation)
        why = self._why(part, failure, kind)
        tools.requests.note(decision.host, host, why, answered.retry_after)
        if kind is Kind.TOO_LARGE and situation.single and not situation.proven:
            tools.evidence.too_large(host.url)
        match decision.fate:
            case Fate.HALVE:
                return Step(decision, part.halves(same_way=_holds_for_halves(part, failure, kind)))
            case Fate.DEAD_LETTER:
                rejection = _rejection(part, failure, kind, why)
                return Step(
                    decision,
                    rejected=(rejection,),
                    dead_letters=self._dead_letters(part.body, (rejection,)),
                )
        part.failures += 1
        part.is_suspect = situation.others and kind not in (Kind.OVERLOADED, Kind.UNREACHABLE)
        pause = self._pause(decision, part, answered.retry_after)
        if decision.fate is Fate.PROBE:
            probe = part.probe(tools.rng.randrange(part.body.events))
            return Step(decision, probe, pause, f"{host.url}: {why}")
        return Step(decision, (part,), pause, f"{host.url}: {why}", others_first=part.failures > 1)

    def _situation(
        self, part: Part, answered: Answered, kind: Kind, failure: RequestFailed | TooLarge
    ) -> Situation:
        """What is known beside an answer without items; notes that it is one more."""
        tools, evidence, suspicion = self._tools, self._tools.evidence, part.request
        host = answered.host
        now = tools.clock.monotonic()
        if kind not in (Kind.OVERLOADED, Kind.UNREACHABLE):
            suspicion.again(_way(failure), host.url, evidence.mark, now)
        single, size = part.body.events == 1, len(part.body.payload)
        others = evidence.others(host.url, suspicion)
        if kind in _OF_THE_BODY and suspicion.tries == 1:
            # The first time nothing was sent since it failed.
            others |= evidence.passed_since(host.url, answered.number)
        match kind:
            case Kind.TOO_LARGE if not single:
                proven = not evidence.takes_nothing(host.url)
            case Kind.TOO_LARGE:
                proven = (
                    evidence.rejections_are_final or others or evidence.is_largest(host.url, size)
                )
            case _:
                proven = (
                    others
                    and suspicion.tries >= ENOUGH_TRIES
                    and len(suspicion.hosts) >= min(2, tools.hosts.healthy(host))
                )
        if single and kind in (Kind.UNUSABLE, Kind.TOO_LONG):
            # While such events take half of the memory, there is no time to be patient: what waits
            # behind them would be read by nobody.
            is_pressed = tools.suspected.bytes > tools.budget.limit // 2
            proven = (
                proven
                and (is_pressed or now - suspicion.since >= ENOUGH_SECONDS)
                and evidence.others(host.url, suspicion, least=size)
            )
        stuck = (
            part.probes < _MOST_PROBES
            and suspicion.tries > 0
            and suspicion.tries % ENOUGH_TRIES == 0
        )
        return Situation(kind, single, others, proven, tools.hosts.others_able(host), stuck)

    def _why(self, part: Part, failure: RequestFailed | TooLarge, kind: Kind) -> str:
        """What is wrong, in words."""
        size, events = len(part.body.payload), part.body.events
        if isinstance(failure, TooLarge):
            alone = " with this event alone" if events == 1 else ""
            return f"HTTP {failure.status}: the request is too large{alone} ({size} bytes)"
        if kind not in (Kind.UNUSABLE, Kind.TOO_LONG) or part.request.tries < ENOUGH_TRIES:
            return failure.message
        names = self._tools.names
        if isinstance(failure, RequestFailed) and failure.reason == NOT_BULK:
            advice = f"check that {names('output.hosts')} has the URL of the cluster"
        else:
            advice = (
                f"set {names('output.bulk.max_bytes')} lower, or {names('output.timeout')} higher"
            )
        return f"{failure.message} (a body of {size} bytes, {events} events; {advice})"

    def _pause(self, decision: Decision, part: Part, retry_after: float) -> float:
        tools, failures = self._tools, part.failures
        match decision.pause:
            case Pause.NONE:
                return 0.0
            case Pause.SYSTEMIC:
                failures = max(failures, tools.evidence.requests_rejected)
            case Pause.ASKED:
                return max(tools.backoff.delay(failures, tools.rng), retry_after)
        return tools.backoff.delay(failures, tools.rng)

    def _dead_letters(
        self, body: Body, rejections: tuple[Rejection, ...]
    ) -> tuple[DeadLetter, ...]:
        if not rejections:
            return ()
        found = [(each.index, each.status, each.reason) for each in rejections]
        return tuple(dead_letters_of_items(body, found, self._tools.clock.now()))


def _parts_left(part: Part, results: ItemResults, found: Sorted, failures: int) -> tuple[Part, ...]:
    """The events without an outcome. The rejected ones among them are a part of their own: what is
    created from now on says something of them, and nothing of those that are rejected later."""
    final = {rejection.index for rejection in found.final}
    rejected = [rejection.index for rejection in found.waiting]
    others = sorted({*results.retry} - final)
    accepted = part.is_remainder or results.delivered + results.already_delivered > 0
    made = []
    if rejected:
        body = part.body.only(rejected) if len(rejected) < part.body.events else part.body
        made.append(Part(body, failures, rejected=part.rejected, is_remainder=accepted))
    if others:
        body = part.body.only(others) if len(others) < part.body.events else part.body
        made.append(Part(body, failures, part.request, failing=part.failing, is_remainder=accepted))
    return tuple(made)


def _holds_for_halves(part: Part, failure: RequestFailed | TooLarge, kind: Kind) -> bool:
    """Whether a half that fails as its whole did needs no more tries to be halved in turn."""
    if kind is Kind.TOO_LARGE:
        # What is smaller shows whether a half is too large, too.
        return True
    # Single events have their own tries, as they become dead letters. A cluster that says that it
    # is overloaded is not sent more and more requests; without an answer, the timeouts see to it.
    return part.body.events > 3 and _way(failure) not in _SAID_OVERLOAD


def _way(failure: RequestFailed | TooLarge) -> str:
    """What makes two failures the same."""
    return "too large" if isinstance(failure, TooLarge) else failure.reason


def _rejection(part: Part, failure: RequestFailed | TooLarge, kind: Kind, why: str) -> Rejection:
    """Why a single event that no host takes is a dead letter."""
    if failure.status:
        label = f"http_{status_label(failure.status)}"
    else:
        label = failure.reason if isinstance(failure, RequestFailed) else ""
    if kind in (Kind.UNUSABLE, Kind.TOO_LONG):
        tries = part.request.tries
        why = f"{why}: {tries} times, while others got through; it may have been stored"
    return Rejection(0, failure.status or NO_STATUS, why, label)
