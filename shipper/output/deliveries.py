"""Delivers batches. A batch is finished when every one of its lines has an outcome.

batch -> its body: to the destination, which reports the outcome of each event
      -> its rejected lines: dead letters
      -> every line has an outcome: spans are finished, the budget is released
"""

import asyncio
from dataclasses import replace

from shipper.clock import Clock
from shipper.output.dead_letter import dead_letter_of_line
from shipper.output.destination import Condition, Destination
from shipper.output.limiter import Permit
from shipper.output.outcomes import Outcomes
from shipper.pipeline.batch import Batch
from shipper.pipeline.budget import ByteBudget


class Deliveries:
    """Delivers batches to one destination."""

    def __init__(
        self,
        destination: Destination,
        outcomes: Outcomes,
        *,
        budget: ByteBudget,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`tasks` owns the deliveries in flight."""
        self._destination = destination
        self._outcomes = outcomes
        self._budget = budget
        self._clock = clock
        self._tasks = tasks
        self._in_flight: set[asyncio.Task[None]] = set()

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
        held = batch.held
        if permit is not None:
            # The destination releases the bytes of the body as its events finish.
            held -= len(batch.body.payload)
            # No reference to the body is kept here: the events left may be a small part of it.
            await self._destination.deliver(batch.take_body(), permit, self._outcomes)
        now = self._clock.now()
        await self._outcomes.write_dead_letters(
            [dead_letter_of_line(refused, now) for refused in batch.refused]
        )
        self._outcomes.end("blank", batch.blank)
        self._outcomes.end("dropped", batch.dropped)
        self._outcomes.end("filtered", batch.filtered)
        for span in batch.spans:
            span.finish()
        self._budget.release(held)
