"""When the files that are gone are forgotten: `forget_after` seconds after they went."""

from collections.abc import Iterable

from shipper.clock import Clock
from shipper.files.rows import FileRecord, RowId

#: Of so many files the time begins at once: after a start, none of tens of thousands is open yet,
#: and each is a row to be written.
MOST_BEGUN = 1000


class Departed:
    """The queue of one input's files that no tail holds."""

    def __init__(self, clock: Clock, forget_after: float, records: Iterable[FileRecord]) -> None:
        """`records`: what an earlier process remembered."""
        self._clock = clock
        self._forget_after = forget_after
        now, monotonic = clock.now(), clock.monotonic()
        ends: list[tuple[float, RowId]] = []
        # When each is forgotten (monotonic seconds), the first one first; None: when the next look
        # at them finds them removed, their time begins.
        self._ends: dict[RowId, float | None] = {}
        for record in records:
            if record.removed is None:
                self._ends[record.row] = None
            else:
                # A time in the future is now: the clock was wrong then, or is.
                age = max(0.0, now - record.removed)
                ends.append((monotonic + forget_after - age, record.row))
        self._ends.update({row: end for end, row in sorted(ends)})

    def begin(self, row: RowId) -> None:
        """Its time begins, at the end of the queue: nothing in it ends later."""
        self._ends.pop(row, None)
        self._ends[row] = self._clock.monotonic() + self._forget_after

    def wait(self, row: RowId) -> None:
        """Its time begins when the next look at it finds it removed."""
        self._ends[row] = None

    def __contains__(self, row: object) -> bool:
        return row in self._ends

    def stop(self, row: RowId) -> None:
        """It is followed again, or forgotten."""
        self._ends.pop(row, None)
        if not self._ends:
            self._ends = {}  # A dictionary keeps the room of what was in it.

    def due(self) -> tuple[list[RowId], list[RowId]]:
        """Those whose time has not begun, MOST_BEGUN of them, and those whose time is over."""
        begun: list[RowId] = []
        over: list[RowId] = []
        monotonic = self._clock.monotonic()
        for row, end in self._ends.items():
            if end is None:
                if len(begun) < MOST_BEGUN:
                    begun.append(row)
            elif end < monotonic:
                over.append(row)
            else:
                break
        return begun, over
