"""How many requests may be under way at once: a semaphore whose size the cluster's answers set.

`Limiter` gives out permits in the order in which they are asked for, and loses none whoever is
cancelled; how many, `congestion.Controller` says.
"""

import asyncio
from collections import deque

from shipper.clock import Clock
from shipper.output.congestion import Controller, Feedback, Sample

__all__ = ["Feedback", "Limiter", "Permit"]


class Permit:
    """Leave to have one request under way."""

    def __init__(self, limiter: "Limiter", sent_at: float, in_flight: int) -> None:
        self._limiter = limiter
        self._sent_at = sent_at
        self._in_flight = in_flight
        self._released = False

    def restart(self) -> None:
        """Its time counts from here: one that is kept through a pause is for another request."""
        self._sent_at = self._limiter._now()

    def release(self, feedback: Feedback, events: int) -> None:
        """Gives it back, with what the answer says; `events` is how many documents it had.

        Raises:
            RuntimeError: it was given back before.
        """
        if self._released:
            raise RuntimeError("a permit was released twice")
        self._released = True
        self._limiter._ended(self._sent_at, self._in_flight, feedback, events)


class Limiter:
    """Gives out permits, first come, first served."""

    def __init__(self, clock: Clock, *, most: int, adaptive: bool) -> None:
        """`most` is the limit if not `adaptive`, else what it never exceeds."""
        self._clock = clock
        self._most = most
        self._controller = Controller(most) if adaptive else None
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may be under way now."""
        return self._controller.limit if self._controller is not None else self._most

    @property
    def in_flight(self) -> int:
        """How many permits are out."""
        return self._in_flight

    async def acquire(self) -> Permit:
        """Waits for its turn and for room. Cancelled, it has taken nothing."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                # It may be gone already: between the cancelling and this, others are let in.
                if turn in self._waiting:
                    self._waiting.remove(turn)
            else:
                # Its turn had come at the same moment, and is the next one's now.
                self._in_flight -= 1
                self._admit()
            raise
        return Permit(self, self._clock.monotonic(), self._in_flight)

    def _now(self) -> float:
        return self._clock.monotonic()

    def _ended(self, sent_at: float, in_flight: int, feedback: Feedback, events: int) -> None:
        self._in_flight -= 1
        if self._controller is not None:
            now = self._clock.monotonic()
            self._controller.add(Sample(sent_at, now, in_flight, events, feedback))
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
