"""Sends dead letters until each has a result, or there was no progress for some time."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shipper.clock import Clock
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import DeadLetter, rejected_again
from shipper.output.elasticsearch.answers import (
    ItemResults,
    RequestFailed,
    TooLarge,
    Verdict,
    verdict_of,
)
from shipper.output.elasticsearch.exchange import Transport, TransportError
from shipper.output.elasticsearch.hosts import Host, Hosts
from shipper.pipeline.batch import Body


@dataclass(frozen=True, slots=True)
class ReplayItem:
    """A dead letter, and its action and document lines."""

    dead_letter: DeadLetter
    lines: tuple[bytes, bytes]


@dataclass(slots=True)
class SendResult:
    """Results of some dead letters."""

    delivered: int = 0
    #: The document existed.
    already_there: int = 0
    #: Rejected again, with the new status and reason.
    rejected: list[DeadLetter] = field(default_factory=list)
    #: Without a result: there was no progress until the timeout.
    unanswered: list[DeadLetter] = field(default_factory=list)
    #: Why these have no result, for messages.
    reason: str = ""


class DeadLetterSender:
    """Sends one request after the other."""

    def __init__(
        self,
        transport: Transport,
        hosts: Hosts,
        backoff: Backoff,
        *,
        clock: Clock,
        rng: random.Random,
        timeout: float,
        gzip: bool,
        on_wait: Callable[[str], None],
    ) -> None:
        """`timeout`: seconds without any progress; `on_wait` is called with the reason of a
        wait."""
        self._transport = transport
        self._hosts = hosts
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._timeout = timeout
        self._gzip = gzip
        self._on_wait = on_wait

    async def send(self, dead_letters: Sequence[ReplayItem]) -> SendResult:
        """Returns when every dead letter has a result, or after `timeout` without progress."""
        sent = SendResult()
        #: A stack: the next part is the last one. Parts that are too large are split.
        parts = [list(dead_letters)]
        failures = 0
        progress_at = self._clock.monotonic()
        while parts:
            part = parts.pop()
            host = self._hosts.pick()
            verdict, retry_after = await self._post(host, part)
            match verdict:
                case ItemResults():
                    reason = f"{host.url}: {verdict.retry_reason}"
                    retry = self._count(sent, part, verdict)
                case TooLarge(status):
                    reason, retry = "", []
                    if len(part) == 1:
                        sent.rejected.append(self._too_large(part[0], status))
                    else:
                        half = len(part) // 2
                        parts += [part[half:], part[:half]]
                case RequestFailed():
                    reason, retry = f"{host.url}: {verdict.message}", part
            if len(retry) < len(part):
                self._hosts.succeeded(host)
                failures, progress_at = 0, self._clock.monotonic()
            else:
                self._hosts.failed(host, reason)
            if not retry:
                continue
            parts.append(retry)
            failures += 1
            left = progress_at + self._timeout - self._clock.monotonic()
            if left <= 0:
                sent.unanswered = [each.dead_letter for waiting in parts for each in waiting]
                sent.reason = reason
                break
            self._on_wait(reason)
            delay = max(self._backoff.delay(failures, self._rng), retry_after)
            await self._clock.sleep(min(delay, left))
        return sent

    async def _post(self, host: Host, part: Sequence[ReplayItem]) -> tuple[Verdict, float]:
        body = Body.of([line for each in part for line in each.lines], gzip=self._gzip)
        try:
            answer = await self._transport.post(host.url, body)
        except TransportError as error:
            return RequestFailed(error.reason, str(error)), 0.0
        verdict = verdict_of(answer.status, answer.body, body.events)
        match verdict:
            case RequestFailed(unauthorised=True):
                self._transport.credentials_refused()
            case ItemResults() if verdict.retry_counts.keys() & {"item_401", "item_403"}:
                self._transport.credentials_refused()
        return verdict, answer.retry_after

    def _count(
        self, sent: SendResult, part: Sequence[ReplayItem], results: ItemResults
    ) -> list[ReplayItem]:
        """Counts the results; returns the items to send again."""
        sent.delivered += results.delivered
        sent.already_there += results.already_delivered
        now = self._clock.now()
        sent.rejected += [
            rejected_again(
                part[rejection.index].dead_letter, rejection.status, rejection.reason, now
            )
            for rejection in results.rejected
        ]
        return [part[index] for index in results.retry]

    def _too_large(self, item: ReplayItem, status: int) -> DeadLetter:
        size = sum(map(len, item.lines))
        reason = f"HTTP {status}: the request is too large with this event alone ({size} bytes)"
        return rejected_again(item.dead_letter, status, reason, self._clock.now())
