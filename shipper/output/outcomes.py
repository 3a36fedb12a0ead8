"""Outcomes of events: each event is counted exactly once. Dead letters are on the disk before they
are counted.
"""

import random
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import (
    DEAD_LETTER_FILE_FULL,
    DEAD_LETTER_WRITE_FAILED,
    EVENTS_REJECTED,
    NEW_FILE_ALREADY_STORED,
)
from shipper.metrics import Metrics
from shipper.output.appending import write_failure
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import DeadLetter
from shipper.output.dead_letter_file import DeadLetterFile, DeadLettersFullError, NotRecordedError

#: Seconds in which a file that is filled is filled by a flood: a bad update of a template, say.
FLOOD_SECONDS = 24 * 3600.0

#: For so many seconds a flood deletes no dead letters: rejected events wait, so that somebody can
#: fix the cause, or replay. Not for ever, and not in all of the memory: a stranger who writes such
#: lines would stop shipping.
HOLD_SECONDS = 3600.0


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


class _Held:
    """Stands for dead letters that a flood holds back."""


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
        most_waiting: int = sys.maxsize,
    ) -> None:
        """`on_end` is called with the number of lines that have got their outcome. `most_waiting`:
        bytes of rejected events that wait at the most before earlier ones are deleted.
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
        #: When a flood was first held back; and until when the oldest may go. Monotonic seconds.
        self._held: set[_Held] = set()
        self._held_since: float | None = None
        self._most_waiting = most_waiting
        self._waiting = 0
        self._may_delete_until = float("-inf")
        metrics.gauge("shipper_dead_letter_bytes", lambda: dead_letters.size)
        metrics.gauge("shipper_dead_letter_limit_bytes", lambda: dead_letters.limit)

    def end(self, outcome: str, count: int) -> None:
        """Counts events with an outcome of `metrics.OUTCOMES`."""
        try:
            self._metrics.count("shipper_events_total", count, outcome)
        finally:
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
        or fails, and, for HOLD_SECONDS, while a flood would delete earlier ones."""
        if not dead_letters:
            return
        size = sum(len(dead_letter.line) for dead_letter in dead_letters)
        held = _Held()
        self._waiting += size
        try:
            await self._write_until_written(dead_letters, held)
        finally:
            self._waiting -= size
            self._held.discard(held)
            if not self._held:
                self._held_since = None

    async def _write_until_written(self, dead_letters: Sequence[DeadLetter], held: _Held) -> None:
        failures = 0
        while True:
            try:
                await self._dead_letters.write(dead_letters, keep_since=self._keep_since())
            except DeadLettersFullError:
                failures += 1
                self._hold(dead_letters, held)
                await self._clock.sleep(self._backoff.delay(failures, self._rng))
            except (OSError, NotRecordedError) as error:
                failures += 1
                self._cannot_write(error, dead_letters)
                await self._clock.sleep(self._backoff.delay(failures, self._rng))
            else:
                self._held.discard(held)
                if not self._held:
                    # Others may still wait for room, and this one was small enough.
                    self.trouble = None
                self.end("dead_letter", len(dead_letters))
                return

    async def finish_deletions(self) -> None:
        """Returns when the dead letters that an earlier process was about to delete are recorded as
        losses."""
        failures = 0
        while True:
            try:
                await self._dead_letters.finish_deletions()
                return
            except (OSError, NotRecordedError) as error:
                failures += 1
                self._cannot_write(error)
                await self._clock.sleep(self._backoff.delay(failures, self._rng))

    def _cannot_write(
        self, error: OSError | NotRecordedError, dead_letters: Sequence[DeadLetter] = ()
    ) -> None:
        path = self._dead_letters.path
        problem = write_failure(path, error) if isinstance(error, OSError) else str(error)
        if dead_letters:
            # What else is not recorded keeps nobody waiting.
            self.trouble = f"the dead letter file cannot be written: {problem}"
        self._log.emit(
            DEAD_LETTER_WRITE_FAILED,
            key="dead_letter",
            path=str(path),
            events=len(dead_letters),
            reason=dead_letters[0].reason if dead_letters else None,
            error=problem,
        )

    def _keep_since(self) -> float | None:
        """The time since which no dead letter is deleted; None while any may be."""
        now = self._clock.monotonic()
        if self._held_since is not None and (
            now - self._held_since >= HOLD_SECONDS or self._waiting > self._most_waiting
        ):
            self._may_delete_until = now + FLOOD_SECONDS
        if now < self._may_delete_until:
            return None
        return self._clock.now() - FLOOD_SECONDS

    def _hold(self, dead_letters: Sequence[DeadLetter], held: _Held) -> None:
        """Notes that dead letters wait, as they would delete recent ones."""
        self._held.add(held)
        if self._held_since is None:
            self._held_since = self._clock.monotonic()
        path = self._dead_letters.path
        self.trouble = (
            f"so many events are rejected that {path} is full; more of them wait: "
            f"{dead_letters[0].reason}"
        )
        self._log.emit(
            DEAD_LETTER_FILE_FULL,
            key="dead_letter_full",
            path=str(path),
            events=len(dead_letters),
            reason=dead_letters[0].reason,
        )
