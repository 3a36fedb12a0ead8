"""Delivers batches. A batch is finished when every one of its lines has an outcome.

batch -> its body: to the destination, which reports the outcome of each event
      -> its rejected lines: dead letters
      -> every line has an outcome: spans are finished, the budget is released

An exception that nobody foresaw ends the delivery of one body: what is left of it waits outside the
byte budget and without a permit, and is sent again. After some tries it is halved, down to a single
event. That becomes a dead letter once others got through since it failed first.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial

from shipper.clock import Clock
from shipper.internal_errors import InternalErrors, Where, cancelled_only_by_us
from shipper.output.dead_letter import DeadLetter, dead_letter_of_line, dead_letters_of_items
from shipper.output.destination import Condition, DeliveryInterruptedError, Destination
from shipper.output.limiter import Feedback, Permit
from shipper.output.outcomes import Outcomes
from shipper.pipeline.batch import Batch, Body
from shipper.pipeline.budget import ByteBudget

#: A body is sent so many times before it is halved, and a single event before it becomes a dead
#: letter.
TRIES, LAST_TRIES = 4, 10


#: Of a dead letter.
_REASON = "internal error of shipper at each try, while others got through; it may be stored"


@dataclass(slots=True)
class _Rest:
    """Events that are sent together, after an exception or for the first time."""

    body: Body
    failures: int = 0
    #: It failed, and waits before it is sent again.
    waits: bool = False
    #: How many bodies had got through when it failed first.
    delivered_before: int = 0

    def take_body(self) -> Body:
        """The body, which is the caller's alone from now on."""
        body, self.body = self.body, Body(b"", self.body.gzip, 0)
        return body


@dataclass(slots=True)
class _Delivery:
    """What is left to do of one batch. Wherever an exception comes, it can be gone on with."""

    rests: deque[_Rest]
    #: For the first of them.
    permit: Permit | None
    unwritten: list[DeadLetter] = field(default_factory=list)
    #: A destination lost a body: its events have no outcome in this life.
    is_lost: bool = False


class Deliveries:
    """Delivers batches to one destination."""

    def __init__(
        self,
        destination: Destination,
        outcomes: Outcomes,
        *,
        budget: ByteBudget,
        clock: Clock,
        errors: InternalErrors,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`tasks` owns the deliveries in flight."""
        self._destination = destination
        self._outcomes = outcomes
        self._budget = budget
        self._clock = clock
        self._errors = errors
        self._tasks = tasks
        self._in_flight: set[asyncio.Task[None]] = set()
        # Bodies of which every event has its outcome.
        self._delivered = 0

    @property
    def condition(self) -> Condition:
        """The condition of the destination; `trouble` also if dead letters cannot be written."""
        condition = self._destination.condition
        if condition.trouble is None:
            return replace(condition, trouble=self._outcomes.trouble)
        return condition

    async def submit(self, batch: Batch) -> None:
        """Starts the delivery of a batch; waits while the destination accepts no body."""
        permit = await self._destination.admit() if batch.body.events else None
        work = self._deliver(batch, permit)
        try:
            delivery = self._tasks.create_task(work)
        except RuntimeError:
            work.close()  # Another task failed, and the daemon ends: the next start sends it.
            raise
        self._in_flight.add(delivery)
        delivery.add_done_callback(self._in_flight.discard)

    async def drain(self) -> None:
        """Returns when nothing is in flight."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def abandon(self) -> int:
        """Cancels the deliveries in flight; the next start sends them again. Returns their
        number."""
        for delivery in self._in_flight:
            delivery.cancel()
        return len(self._in_flight)

    async def _deliver(self, batch: Batch, permit: Permit | None) -> None:
        held, delivery = batch.held, _Delivery(deque(), permit)
        if permit is not None:
            # The destination releases the bytes of the body as its events finish.
            held -= len(batch.body.payload)
            # No reference to the body is kept here: the events left may be a small part of it.
            delivery.rests.append(_Rest(batch.take_body()))
        kept = self._errors.kept_running
        await kept(Where.DELIVERY, partial(self._send, delivery))
        await kept(Where.DELIVERY, partial(self._write_refused, batch))
        # The one point where a batch ends: each step is taken, whatever another one raises.
        self._budget.release(held)
        if delivery.is_lost:
            return  # Its spans stay open: the next start reads and sends them again.
        for outcome, count in (
            ("blank", batch.blank),
            ("dropped", batch.dropped),
            ("filtered", batch.filtered),
        ):
            self._errors.guarded(Where.DELIVERY, partial(self._outcomes.end, outcome, count))
        for span in batch.spans:
            self._errors.guarded(Where.DELIVERY, span.finish)

    async def _send(self, delivery: _Delivery) -> None:
        """Returns when every event has its outcome."""
        rests = delivery.rests
        while rests or delivery.unwritten:
            if delivery.unwritten:
                await self._outcomes.refuse(delivery.unwritten)
                delivery.unwritten = []
            elif rests[0].waits:
                await self._pause(rests)
                rests[0].waits = False
                following = self._next(rests[0], delivery)
                rests.popleft()
                rests.extendleft(reversed(following))
            else:
                delivery.permit = delivery.permit or await self._destination.admit()
                await self._send_first(delivery)

    async def _send_first(self, delivery: _Delivery) -> None:
        rest, permit, delivery.permit = delivery.rests[0], delivery.permit, None
        assert permit is not None
        try:
            with cancelled_only_by_us():
                await self._destination.deliver(rest.take_body(), permit, self._outcomes)
        except DeliveryInterruptedError as interrupted:
            self._errors.report(Where.DELIVERY, interrupted.__cause__ or interrupted)
            delivery.rests.popleft()
            failed = [self._failed(rest, body) for body in interrupted.bodies]
            delivery.rests.extendleft(reversed(failed))
            delivery.unwritten += interrupted.dead_letters
        except Exception as error:
            self._errors.report(Where.DELIVERY, error)
            delivery.rests.popleft()
            if rest.body.events:  # It was not given away, and neither was the permit.
                delivery.rests.appendleft(self._failed(rest, rest.body))
                permit.release(Feedback.FAILED, 0)
            else:
                delivery.is_lost = True
        else:
            delivery.rests.popleft()
            self._delivered += 1

    def _failed(self, rest: _Rest, body: Body) -> _Rest:
        before = rest.delivered_before if rest.failures else self._delivered
        return _Rest(body, rest.failures + 1, waits=True, delivered_before=before)

    async def _pause(self, rests: deque[_Rest]) -> None:
        """Waits before the first one is sent again, without a permit and outside the budget."""
        aside = self._budget.set_aside(sum(len(each.body.payload) for each in rests))
        try:
            await self._errors.pause(rests[0].failures)
        finally:
            aside.take_back()

    def _next(self, rest: _Rest, delivery: _Delivery) -> list[_Rest]:
        """What is sent instead: halves of what failed often, or the same. A single event that
        failed often while others got through is a dead letter."""
        body = rest.body
        if rest.failures < TRIES:
            return [rest]
        try:
            if body.events > 1:
                return self._halves(rest)
            if rest.failures < LAST_TRIES or self._delivered == rest.delivered_before:
                return [rest]
            dead_letters = dead_letters_of_items(body, [(0, 0, _REASON)], self._clock.now())
        except Exception as error:
            self._errors.report(Where.DELIVERY, error)
            return [rest]
        delivery.unwritten += dead_letters
        self._budget.release(len(body.payload))
        return []

    def _halves(self, rest: _Rest) -> list[_Rest]:
        body = rest.body
        half = body.events // 2
        halves = body.only(list(range(half))), body.only(list(range(half, body.events)))
        self._budget.hold(sum(len(each.payload) for each in halves))
        self._budget.release(len(body.payload))
        # One more failure of a half is enough to halve it again.
        return [_Rest(each, TRIES - 1, False, rest.delivered_before) for each in halves]

    async def _write_refused(self, batch: Batch) -> None:
        now = self._clock.now()
        dead_letters = [dead_letter_of_line(refused, now) for refused in batch.refused]
        await self._outcomes.write_dead_letters(dead_letters)
