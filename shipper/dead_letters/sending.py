"""Sends dead letters until each has a result, or there was no progress for some time.

They go through the daemon's own sender, with one difference: whatever is rejected again is a dead
letter already, so nothing has to show that it is its own fault.
"""

import random
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from shipper.clock import Clock
from shipper.logs.nowhere import log_to_nowhere
from shipper.metrics import Metrics
from shipper.option_names import OWN_NAMES, OptionNames
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import DeadLetter, rejected_again
from shipper.output.elasticsearch.bulk import BulkSender
from shipper.output.elasticsearch.delivery import Delivery
from shipper.output.elasticsearch.exchange import Transport
from shipper.output.elasticsearch.hosts import Hosts
from shipper.output.limiter import Limiter
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget


class ReplayItem(Struct, frozen=True):
    """A dead letter, and its action and document lines."""

    dead_letter: DeadLetter
    lines: tuple[bytes, bytes]


class SendResult(Struct):
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


class _NoProgressError(Exception):
    """The time is over."""


class _Patience:
    """The clock of a replay, on which all waiting ends once there was no progress for some time;
    a `Clock`."""

    def __init__(self, clock: Clock, timeout: float, on_wait: Callable[[], None]) -> None:
        self.monotonic = clock.monotonic
        self.now = clock.now
        self._clock = clock
        self._timeout = timeout
        self._on_wait = on_wait
        self.progress()

    def progress(self) -> None:
        """Begins the time anew."""
        self._until = self._clock.monotonic() + self._timeout
        self._is_last_try = False

    async def sleep(self, seconds: float) -> None:
        """Waits, but no longer than there is time. At its end there is one more try.

        Raises _NoProgressError after that.
        """
        left = self._until - self._clock.monotonic()
        if left > 0:
            self._on_wait()
            await self._clock.sleep(min(seconds, left))
        elif self._is_last_try:
            raise _NoProgressError
        else:
            self._is_last_try = True


class _Results:
    """Takes the results of one body; an `OutcomeSink`."""

    def __init__(self, items: Sequence[ReplayItem], patience: _Patience) -> None:
        self.sent = SendResult()
        self._patience = patience
        #: By what is known of a rejected one; some may be there twice.
        self._by_id: dict[str, list[ReplayItem]] = defaultdict(list)
        self._by_place: dict[tuple[str, int, str], list[ReplayItem]] = defaultdict(list)
        for item in items:
            self._by_id[item.dead_letter.id].append(item)
            self._by_place[_place(item.dead_letter)].append(item)

    def end(self, outcome: str, count: int) -> None:
        """Counts results."""
        if count:
            self._patience.progress()
        if outcome == "delivered":
            self.sent.delivered += count
        else:
            self.sent.already_there += count

    def already_stored(
        self, beginnings: Sequence[tuple[int, str]], conflicts: Sequence[int]
    ) -> None:
        """An earlier replay may have stored it."""

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        """They stay dead letters, as they were, with the new status and reason."""
        self._patience.progress()
        for found in dead_letters:
            # One without an id was given one on its way.
            items = self._by_id.get(found.id) or self._by_place.get(_place(found))
            before = items.pop(0).dead_letter if items else found
            self.sent.rejected.append(
                rejected_again(before, found.status, found.reason, found.time)
            )


def _place(dead_letter: DeadLetter) -> tuple[str, int, str]:
    return dead_letter.path, dead_letter.offset, dead_letter.line


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
        names: OptionNames = OWN_NAMES,
    ) -> None:
        """`timeout`: seconds without any progress; `on_wait` is called with the reason of a
        wait; `names`: what messages call the options."""
        self._on_wait = on_wait
        self._patience = _Patience(clock, timeout, self._waits)
        self._delivery: Delivery | None = None
        self._sender = BulkSender(
            transport=transport,
            hosts=hosts,
            backoff=backoff,
            limiter=Limiter(clock, most=1, adaptive=False),
            budget=ByteBudget(sys.maxsize),
            clock=self._patience,
            rng=rng,
            metrics=Metrics(),
            log=log_to_nowhere(clock),
            gzip=gzip,
            names=names,
            rejections_are_final=True,
        )

    async def send(self, dead_letters: Sequence[ReplayItem]) -> SendResult:
        """Returns when every dead letter has a result, or after `timeout` without progress."""
        body = Body.of(
            [line for each in dead_letters for line in each.lines], gzip=self._sender.gzip
        )
        self._patience.progress()
        results = _Results(dead_letters, self._patience)
        self._delivery = delivery = self._sender.delivery(body, results)
        try:
            await delivery.run(await self._sender.admit())
        except _NoProgressError:
            results.sent.unanswered = _of_lines(dead_letters, delivery.left)
            results.sent.reason = delivery.reason
        return results.sent

    def _waits(self) -> None:
        if self._delivery is not None:
            self._on_wait(self._delivery.reason)


def _of_lines(items: Sequence[ReplayItem], bodies: Sequence[Body]) -> list[DeadLetter]:
    """The dead letters of the lines of these bodies, in their order."""
    by_lines: dict[tuple[bytes, bytes], list[ReplayItem]] = defaultdict(list)
    for item in items:
        by_lines[item.lines].append(item)
    found = []
    for body in bodies:
        lines = body.lines()
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            found.append(by_lines[action, document].pop(0).dead_letter)
    return found
