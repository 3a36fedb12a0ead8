"""Limits the requests in flight: a semaphore whose size adapts to the cluster's answers.

`Limiter` grants permits in the order of the requests for them, and loses none on cancellation.
`congestion.Controller` sets the limit.
"""

import asyncio
from collections import deque

from shipper.clock import Clock
from shipper.output.congestion import Controller, Feedback, Sample

__all__ = ["Feedback", "Limiter", "Permit"]


class Permit:
    """The right to have one request in flight."""

    def __init__(self, limiter: "Limiter", sent_at: float, in_flight: int) -> None:
        self._limiter = limiter
        self._sent_at = sent_at
        self._in_flight = in_flight
        self._released = False

    def restart(self) -> None:
        """Restarts its time: a permit that was kept during a pause is used for another request."""
        self._sent_at = self._limiter._now()

    def release(self, feedback: Feedback, events: int) -> None:
        """Releases the permit. `events`: number of documents in the request.

        Raises:
            RuntimeError: it was released before.
        """
        if self._released:
            raise RuntimeError("a permit was released twice")
        self._released = True
        self._limiter._ended(self._sent_at, self._in_flight, feedback, events)


class Limiter:
    """Grants permits in order."""

    def __init__(self, clock: Clock, *, most: int, adaptive: bool) -> None:
        """`most`: the upper bound of an adaptive limit, or the fixed limit."""
        self._clock = clock
        #: The upper bound.
        self.most = most
        self._controller = Controller(most) if adaptive else None
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return self._controller.limit if self._controller is not None else self.most

    @property
    def in_flight(self) -> int:
        """Permits that are in use."""
        return self._in_flight

    async def acquire(self) -> Permit:
        """Waits for a permit. If it is cancelled or fails, no permit is used."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except BaseException:
            # Mostly CancelledError; whatever it is, no permit may be lost.
            if turn in self._waiting:
                # `_admit` may have removed it between the cancellation and now.
                self._waiting.remove(turn)
            elif turn.done() and not turn.cancelled():
                # The permit was granted at the same moment: it goes to the next one.
                self._in_flight -= 1
                self._admit()
            raise
        return Permit(self, self._clock.monotonic(), self._in_flight)

    def _now(self) -> float:
        return self._clock.monotonic()

    def _ended(self, sent_at: float, in_flight: int, feedback: Feedback, events: int) -> None:
        self._in_flight -= 1
        try:
            if self._controller is not None:
                now = self._clock.monotonic()
                self._controller.add(Sample(sent_at, now, in_flight, events, feedback))
        finally:
            # Whatever becomes of the sample, the place is free.
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
