"""Sends letters again until each has an answer, or nothing has moved for a while."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shipper.clock import Clock
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import DeadLetter, refused_again
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
    """A letter, and the action and document line that are sent for it."""

    dead_letter: DeadLetter
    lines: tuple[bytes, bytes]


@dataclass(slots=True)
class SendResult:
    """What became of some letters."""

    delivered: int = 0
    #: It was there from before.
    already_there: int = 0
    #: Letters with what was answered this time.
    refused: list[DeadLetter] = field(default_factory=list)
    #: Nobody knows; nothing has moved for too long.
    unanswered: list[DeadLetter] = field(default_factory=list)
    #: In words, why these are without an answer.
    why: str = ""


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
        """`timeout`: seconds without any progress; `on_wait` is told in words why it waits."""
        self._transport = transport
        self._hosts = hosts
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._timeout = timeout
        self._gzip = gzip
        self._on_wait = on_wait

    async def send(self, dead_letters: Sequence[ReplayItem]) -> SendResult:
        """Returns when every letter has an answer, or there was no progress for `timeout`."""
        sent = SendResult()
        #: What is too large together is sent in halves: the next part is the last one.
        parts = [list(dead_letters)]
        failures = 0
        moved_at = self._clock.monotonic()
        while parts:
            part = parts.pop()
            host = self._hosts.pick()
            verdict, asked_to_wait = await self._ask(host, part)
            match verdict:
                case ItemResults():
                    why = f"{host.url}: {verdict.retry_reason}"
                    again = self._settle(sent, part, verdict)
                case TooLarge(status):
                    why, again = "", []
                    if len(part) == 1:
                        sent.refused.append(self._too_large(part[0], status))
                    else:
                        half = len(part) // 2
                        parts += [part[half:], part[:half]]
                case RequestFailed():
                    why, again = f"{host.url}: {verdict.message}", part
            if len(again) < len(part):
                self._hosts.succeeded(host)
                failures, moved_at = 0, self._clock.monotonic()
            else:
                self._hosts.failed(host, why)
            if not again:
                continue
            parts.append(again)
            failures += 1
            left = moved_at + self._timeout - self._clock.monotonic()
            if left <= 0:
                sent.unanswered = [each.dead_letter for waiting in parts for each in waiting]
                sent.why = why
                break
            self._on_wait(why)
            delay = max(self._backoff.delay(failures, self._rng), asked_to_wait)
            await self._clock.sleep(min(delay, left))
        return sent

    async def _ask(self, host: Host, part: Sequence[ReplayItem]) -> tuple[Verdict, float]:
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

    def _settle(
        self, sent: SendResult, part: Sequence[ReplayItem], taken: ItemResults
    ) -> list[ReplayItem]:
        """Counts what has its answer; returns what has not."""
        sent.delivered += taken.delivered
        sent.already_there += taken.already_delivered
        now = self._clock.now()
        sent.refused += [
            refused_again(part[refusal.index].dead_letter, refusal.status, refusal.reason, now)
            for refusal in taken.rejected
        ]
        return [part[index] for index in taken.retry]

    def _too_large(self, sendable: ReplayItem, status: int) -> DeadLetter:
        size = sum(map(len, sendable.lines))
        reason = f"HTTP {status}: the request is too large with this event alone ({size} bytes)"
        return refused_again(sendable.dead_letter, status, reason, self._clock.now())
