"""Batches on their way: each ends only when every one of its lines has an outcome, and then its
spans are finished.

    batch -> what was refused unread: dead letters
          -> its body: the destination, which tells the outcome of each event
          -> every line has ended: spans finished, budget given back
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
    """Takes batches for one destination."""

    def __init__(
        self,
        destination: Destination,
        outcomes: Outcomes,
        *,
        budget: ByteBudget,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`tasks` owns what is under way."""
        self._destination = destination
        self._outcomes = outcomes
        self._budget = budget
        self._clock = clock
        self._tasks = tasks
        self._in_flight: set[asyncio.Task[None]] = set()

    @property
    def condition(self) -> Condition:
        """How the destination is now; that letters cannot be written is a trouble, too."""
        condition = self._destination.condition
        if condition.trouble is None:
            return replace(condition, trouble=self._outcomes.trouble)
        return condition

    async def submit(self, batch: Batch) -> None:
        """Takes a batch; waits while the destination takes none."""
        permit = await self._destination.admit() if batch.body.events else None
        delivery = self._tasks.create_task(self._deliver(batch, permit))
        self._in_flight.add(delivery)
        delivery.add_done_callback(self._in_flight.discard)

    async def drain(self) -> None:
        """Returns when nothing is under way."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def abandon(self) -> int:
        """Gives up waiting; what is under way is sent again by the next start. Returns how many."""
        for delivery in self._in_flight:
            delivery.cancel()
        return len(self._in_flight)

    async def _deliver(self, batch: Batch, permit: Permit | None) -> None:
        held = batch.held
        if permit is not None:
            # What the body takes is given back as its events end.
            held -= len(batch.body.payload)
            # Nothing here holds on to the body: what is left to be sent may be a small part of it.
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
