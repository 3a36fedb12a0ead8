"""What is acknowledged of each file: the spans that are in flight, and the offset up to which all
spans are acknowledged.

    opened (read, in this order) -> finished (in any order) -> acknowledged (in order again)

The acknowledged offset is the only one that the registry ever learns. It never passes a span that
is not finished, however many behind it are.
"""

from collections import deque
from collections.abc import Callable

from shipper.files.identity import Mark


class Span:
    """The bytes `start` to `end` of one file, which become done together."""

    __slots__ = ("_acks", "end", "finished", "mark", "read_at", "start")

    def __init__(
        self, acks: "AckTracker", start: int, end: int, mark: Mark, read_at: float
    ) -> None:
        self._acks = acks
        self.start = start
        self.end = end
        self.mark = mark
        self.read_at = read_at
        self.finished = False

    def finish(self) -> None:
        """Every line of the span has its final outcome: delivered, dead-lettered or dropped."""
        self.finished = True
        self._acks.advance()


class AckTracker:
    """The account of one file."""

    __slots__ = ("_in_flight", "_on_advance", "mark", "offset", "opened")

    def __init__(
        self, offset: int, mark: Mark, on_advance: Callable[[], None] = lambda: None
    ) -> None:
        """Begins at `offset`, up to which all is acknowledged; `on_advance` is called on change."""
        self.offset = offset
        self.mark = mark
        self.opened = offset
        # Made with the first span: most files have nothing in flight.
        self._in_flight: deque[Span] | None = None
        self._on_advance = on_advance

    @property
    def all_acknowledged(self) -> bool:
        """Whether nothing is under way."""
        return not self._in_flight

    @property
    def opened_mark(self) -> Mark:
        """The mark of the end of the last span."""
        return self._in_flight[-1].mark if self._in_flight else self.mark

    @property
    def oldest_read_at(self) -> float | None:
        """When the oldest span under way was read (monotonic seconds); None if there is none."""
        return self._in_flight[0].read_at if self._in_flight else None

    def open(self, end: int, mark: Mark, read_at: float) -> Span:
        """The span from where the last one ended to `end`."""
        if end <= self.opened:
            raise ValueError(f"a span must end past {self.opened}, not at {end}")
        span = Span(self, self.opened, end, mark, read_at)
        self.opened = end
        if self._in_flight is None:
            self._in_flight = deque()
        self._in_flight.append(span)
        return span

    def extend(self, end: int, mark: Mark) -> None:
        """Has the span that was opened last end there. It may not be finished."""
        assert self._in_flight is not None
        last = self._in_flight[-1]
        last.end, last.mark = end, mark
        self.opened = end

    def skip(self, end: int, mark: Mark) -> None:
        """Goes on at `end`, as if all before were acknowledged. Nothing may be under way."""
        if self._in_flight:
            raise ValueError(f"a span up to {self.opened} is under way")
        self.offset, self.mark, self.opened = end, mark, end
        self._on_advance()

    def advance(self) -> None:
        """Moves the acknowledged offset past every finished span at the front."""
        in_flight, moved = self._in_flight, False
        if in_flight is None:
            return
        while in_flight and in_flight[0].finished:
            done = in_flight.popleft()
            self.offset, self.mark, moved = done.end, done.mark, True
        if moved:
            self._on_advance()
