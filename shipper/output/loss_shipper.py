"""Sends a document of each recorded loss, until it is acknowledged.

A loss is no line: it is not counted among events, becomes no dead letter, and says nothing about
whether lines get through. Losses are sent by a sender of their own (`Destination.apart`), a few at
a time, and stay in the registry until they are acknowledged.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from shipper.clock import Clock
from shipper.documents.loss import LossDocuments
from shipper.errors import RegistryError
from shipper.files.losses import LossId, StoredLoss
from shipper.internal_errors import cancelled_only_by_us
from shipper.logs import Log
from shipper.logs.events import LOSSES_READ_FAILED, LOSSES_REJECTED
from shipper.metrics import Metrics
from shipper.option_names import OWN_NAMES, OptionNames
from shipper.output.dead_letter import DeadLetter
from shipper.output.destination import DeliveryInterruptedError, Destination
from shipper.output.limiter import Feedback
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget

#: Losses in one request, and seconds between two requests.
LOSSES_A_REQUEST = 100
PAUSE = 1.0

#: Seconds until losses are sent again that were refused, or could not be read from the registry.
PAUSE_AFTER_FAILURE = 600.0


class LossStore(Protocol):
    """Where losses are recorded; as `files.registry.Registry` does, off the event loop."""

    def unshipped(self, limit: int) -> Coroutine[Any, Any, Sequence[StoredLoss]]: ...

    def losses_shipped(self, ids: Sequence[LossId]) -> Coroutine[Any, Any, None]: ...


class _Answers:
    """Takes the outcomes of one request; an `OutcomeSink`."""

    def __init__(self) -> None:
        self.refused: Sequence[DeadLetter] = ()

    def end(self, outcome: str, count: int) -> None:
        """Nothing is counted: a loss is no event."""

    def already_stored(
        self, beginnings: Sequence[tuple[int, str]], conflicts: Sequence[int]
    ) -> None:
        """It was acknowledged before, and the answer was lost."""

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        """They stay in the registry."""
        self.refused = (*self.refused, *dead_letters)


class LossShipper:
    """Ships the losses of one registry."""

    def __init__(
        self,
        store: LossStore,
        documents: LossDocuments,
        destination: Destination,
        *,
        budget: ByteBudget,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        names: OptionNames = OWN_NAMES,
    ) -> None:
        """`destination`: what `Destination.apart` gave; `names`: what messages call the options."""
        self._names = names
        self._store = store
        self._documents = documents
        self._destination = destination
        self._budget = budget
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._recorded = asyncio.Event()
        self._recorded.set()

    def wake(self) -> None:
        """Losses were recorded."""
        self._recorded.set()

    async def run(self) -> None:
        """Sends what was not acknowledged before, and then each loss that is recorded, until it is
        cancelled."""
        while True:
            await self._recorded.wait()
            self._recorded.clear()
            while await self._send_some():
                await self._clock.sleep(PAUSE)

    async def _send_some(self) -> bool:
        """Sends a request's worth; returns whether there may be more."""
        try:
            stored = await self._store.unshipped(LOSSES_A_REQUEST)
            if not stored:
                return False
            refused = await self._send(stored)
            if refused:
                self._log.emit(
                    LOSSES_REJECTED, key="losses", losses=len(refused), reason=refused[0].reason
                )
                await self._clock.sleep(PAUSE_AFTER_FAILURE)
                return True
            await self._store.losses_shipped([each.id for each in stored])
        except RegistryError as error:
            words = str(error.in_words_of(self._names))
            self._log.emit(LOSSES_READ_FAILED, key="losses", error=words)
            await self._clock.sleep(PAUSE_AFTER_FAILURE)
            return True
        self._metrics.count("shipper_losses_shipped_total", len(stored))
        return True

    async def _send(self, stored: Sequence[StoredLoss]) -> Sequence[DeadLetter]:
        lines = self._documents.lines([each.loss for each in stored])
        body = Body.of(lines, gzip=self._destination.gzip)
        answers = _Answers()
        permit = await self._destination.admit()
        self._budget.hold(len(body.payload))
        try:
            with cancelled_only_by_us():
                await self._destination.deliver(body, permit, answers)
        except DeliveryInterruptedError as interrupted:
            # They are sent again as a whole.
            self._budget.release(sum(len(left.payload) for left in interrupted.bodies))
            raise
        except Exception:
            # The destination has not begun: it raises nothing else.
            self._budget.release(len(body.payload))
            permit.release(Feedback.FAILED, 0)
            raise
        return answers.refused
