"""How events end: each is counted exactly once, and those that are refused for good are on the disk
before they count.
"""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import DEAD_LETTER_WRITE_FAILED, EVENTS_REJECTED
from shipper.metrics import Metrics
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import DeadLetter, DeadLetterFile


class OutcomeSink(Protocol):
    """Where a destination says what became of its events."""

    def end(self, outcome: str, count: int) -> None:
        """So many events have this outcome of `metrics.OUTCOMES`."""

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        """These events will never be taken: returns once they are safe elsewhere."""


class Outcomes:
    """Where every destination says what became of its events."""

    def __init__(
        self,
        *,
        dead_letters: DeadLetterFile,
        backoff: Backoff,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        log: Log,
        on_end: Callable[[int], None],
    ) -> None:
        """`on_end` is told how many lines have just ended."""
        self._dead_letters = dead_letters
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._log = log
        self._on_end = on_end
        #: In words, while letters cannot be written; None otherwise.
        self.trouble: str | None = None

    def end(self, outcome: str, count: int) -> None:
        """So many events have this outcome of `metrics.OUTCOMES`."""
        self._metrics.count("shipper_events_total", count, outcome)
        self._on_end(count)

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Events that Elasticsearch will never take: returns once they are dead letters."""
        self._log.emit(
            EVENTS_REJECTED,
            key="refused",
            events=len(dead_letters),
            reason=dead_letters[0].reason,
            path=str(self._dead_letters.path),
        )
        await self.write_dead_letters(dead_letters)

    async def write_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Returns once the letters are on the disk, and their events counted. A disk that has no
        room is waited for."""
        failures = 0
        while dead_letters:
            try:
                written = await self._dead_letters.write(dead_letters)
            except OSError as error:
                failures += 1
                self.trouble = f"the dead letter file cannot be written: {error}"
                self._log.emit(
                    DEAD_LETTER_WRITE_FAILED,
                    key="dead_letter",
                    path=str(self._dead_letters.path),
                    error=str(error),
                )
                await self._clock.sleep(self._backoff.delay(failures, self._rng))
            else:
                self.trouble = None
                self._metrics.count("shipper_lost_bytes_total", written.lost, "dead_letter_full")
                self.end("dead_letter", len(dead_letters))
                return
