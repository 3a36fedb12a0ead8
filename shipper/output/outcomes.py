"""Outcomes of events: each event is counted exactly once. Dead letters are on the disk before they
are counted.
"""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import (
    DEAD_LETTER_WRITE_FAILED,
    EVENTS_REJECTED,
    NEW_FILE_ALREADY_STORED,
)
from shipper.metrics import Metrics
from shipper.output.appending import write_failure
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import DeadLetter, DeadLetterFile


class OutcomeSink(Protocol):
    """Where a destination says what became of its events."""

    def end(self, outcome: str, count: int) -> None:
        """So many events have this outcome of `metrics.OUTCOMES`."""

    def already_stored(
        self, beginnings: Sequence[tuple[int, str]], conflicts: Sequence[int]
    ) -> None:
        """The first attempt of a body has these conflicts. `beginnings`: those of `Body`."""

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        """These events will never be taken: returns once they are safe elsewhere."""


class CountedOutcomes:
    """Outcomes of a step that may still fail: they are reported when all of it is done.

    An `OutcomeSink` but for dead letters, which are no matter of a step.
    """

    def __init__(self) -> None:
        self._ended: list[tuple[str, int]] = []
        self._stored: list[tuple[Sequence[tuple[int, str]], Sequence[int]]] = []

    def end(self, outcome: str, count: int) -> None:
        """As `OutcomeSink.end`."""
        self._ended.append((outcome, count))

    def already_stored(
        self, beginnings: Sequence[tuple[int, str]], conflicts: Sequence[int]
    ) -> None:
        """As `OutcomeSink.already_stored`."""
        self._stored.append((beginnings, conflicts))

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Raises RuntimeError: dead letters are written after a step."""
        raise RuntimeError("dead letters are written after a step")

    def report(self, outcomes: OutcomeSink) -> None:
        """Reports all of it."""
        for outcome, count in self._ended:
            outcomes.end(outcome, count)
        for beginnings, conflicts in self._stored:
            outcomes.already_stored(beginnings, conflicts)


class Outcomes:
    """Destinations report the outcomes of events here."""

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
        already_stored_hint: str = "",
    ) -> None:
        """`on_end` is called with the number of lines that have got their outcome.
        `already_stored_hint`: what to do if a new file is stored already; may be empty."""
        self._dead_letters = dead_letters
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._log = log
        self._on_end = on_end
        self._already_stored_hint = already_stored_hint
        #: For messages, while dead letters cannot be written; None otherwise.
        self.trouble: str | None = None

    def end(self, outcome: str, count: int) -> None:
        """Counts events with an outcome of `metrics.OUTCOMES`."""
        self._metrics.count("shipper_events_total", count, outcome)
        self._on_end(count)

    def already_stored(
        self, beginnings: Sequence[tuple[int, str]], conflicts: Sequence[int]
    ) -> None:
        """Logs new files whose first event was stored before this process sent it. `beginnings`:
        those of `Body`; `conflicts`: indexes of the events that were there already."""
        known = frozenset(conflicts) if beginnings else frozenset()
        if paths := [path for index, path in beginnings if index in known]:
            self._log.emit(
                NEW_FILE_ALREADY_STORED,
                key="already_stored",
                path=paths[0],
                files=len(paths),
                hint=self._already_stored_hint or None,
            )

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Writes rejected events as dead letters, and logs it once they are on the disk."""
        await self.write_dead_letters(dead_letters)
        self._log.emit(
            EVENTS_REJECTED,
            key="refused",
            events=len(dead_letters),
            reason=dead_letters[0].reason,
            path=str(self._dead_letters.path),
        )

    async def write_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Returns once the dead letters are on the disk and counted. Retries while the disk is full
        or fails."""
        failures = 0
        while dead_letters:
            try:
                written = await self._dead_letters.write(dead_letters)
            except OSError as error:
                failures += 1
                problem = write_failure(self._dead_letters.path, error)
                self.trouble = f"the dead letter file cannot be written: {problem}"
                self._log.emit(
                    DEAD_LETTER_WRITE_FAILED,
                    key="dead_letter",
                    path=str(self._dead_letters.path),
                    events=len(dead_letters),
                    reason=dead_letters[0].reason,
                    error=problem,
                )
                await self._clock.sleep(self._backoff.delay(failures, self._rng))
            else:
                self.trouble = None
                self._metrics.count("shipper_lost_bytes_total", written.lost, "dead_letter_full")
                self.end("dead_letter", len(dead_letters))
                return
