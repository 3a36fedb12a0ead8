"""What shows whether an event or the cluster is at fault: other requests that got through. A share
of rejected events is no evidence: a stranger may write nine lines of ten that are rejected, and a
template may break for nine events of ten.

An event that is *created* shows that its index, its template, the pipeline and our rights work:
those rejected for the same index in the same answer are at fault themselves, and so are those that
were rejected before the request was sent. A conflict, a dropped event and one in a failure store
show nothing, and neither do answers to requests that were under way when the first was rejected.

    created in the same answer, or by a request sent later -> the events are at fault: dead letters
    nothing is created                                     -> unclear: wait, and retry
        a few events, rejected repeatedly                  -> the events are at fault: dead letters
        many events                                        -> systemic: wait, and report it

Pure bookkeeping: it neither sends nor waits. Requests are numbered in the order in which they are
sent; a mark is the number of the last one.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

#: This number of events rejected in a row, with none created, is systemic; fewer events may be at
#: fault themselves.
_SYSTEMIC_EVENTS = 10

#: Tries before a few events become dead letters when no other request can be compared; and before a
#: request is split that fails while others get through.
ENOUGH_TRIES = 5

#: Seconds for which a single event must fail while others of its size get through, if it may have
#: been stored.
ENOUGH_SECONDS = 300.0

#: Index names that are remembered: with dates in them there is no end.
_MOST_INDICES = 64


@dataclass(slots=True)
class Suspicion:
    """How often a part failed, one time after the other in the same way."""

    way: str = ""
    tries: int = 0
    #: The number of the last request that was sent before it first failed.
    mark: int = 0
    #: When it first failed, in monotonic seconds.
    since: float = 0.0
    #: The hosts at which it failed.
    hosts: set[str] = field(default_factory=set)

    def again(self, way: str, host: str, mark: int, now: float) -> None:
        """Notes a failure; one in another way begins anew."""
        if way != self.way or not self.tries:
            self.way, self.tries, self.mark, self.since, self.hosts = way, 0, mark, now, set()
        self.tries += 1
        self.hosts.add(host)


@dataclass(slots=True)
class _Passed:
    """Requests that got through at one host."""

    #: The last one's number, by the bit length of its size in bytes.
    last: dict[int, int] = field(default_factory=dict)
    #: Of the largest, in bytes.
    largest: int = 0
    #: The mark when a single event was too large that may not be at fault; None otherwise.
    wall: int | None = None


class Suspected:
    """How many bytes wait in parts that fail while others get through."""

    def __init__(self) -> None:
        self._of: dict[object, int] = {}
        self.bytes = 0

    def note(self, delivery: object, size: int) -> None:
        """So many are a delivery's now."""
        self.bytes += size - self._of.pop(delivery, 0)
        if size:
            self._of[delivery] = size


class Evidence:
    """What got through at one output, and what was rejected since."""

    def __init__(self, *, rejections_are_final: bool = False) -> None:
        """`rejections_are_final`: every rejection is the event's own fault (a replay, whose events
        are dead letters already)."""
        self.rejections_are_final = rejections_are_final
        #: The number of the last request.
        self.mark = 0
        self._passed: dict[str, _Passed] = {}
        #: The last request that created an event, by index; the newest index last.
        self._created: dict[str, int] = {}
        #: When events last failed of which nothing shows whose fault it is; monotonic seconds.
        self._wanted_at = float("-inf")
        #: Of the series of rejections without a created event: where it began, events, requests,
        #: and the last reason.
        self._began = 0
        self._events = 0
        self._requests = 0
        self._reason = ""

    def sent(self) -> int:
        """The number of a request that is sent now."""
        self.mark += 1
        return self.mark

    # Whole requests

    def got_through(self, host: str, number: int, size: int) -> None:
        """Notes that a host processed a request of so many bytes."""
        passed = self._passed.setdefault(host, _Passed())
        kind = size.bit_length()
        passed.last[kind] = max(number, passed.last.get(kind, 0))
        passed.largest = max(size, passed.largest)
        if passed.wall is not None and number > passed.wall:
            passed.wall = None

    def others(self, host: str, suspicion: Suspicion, *, least: int = 0) -> bool:
        """Whether others got through at a host since a part first failed; `least`: of that size or
        about, in bytes."""
        passed = self._passed.get(host)
        return passed is not None and any(
            number > suspicion.mark
            for kind, number in passed.last.items()
            if kind >= least.bit_length()
        )

    def passed_since(self, host: str, number: int) -> bool:
        """Whether a request got through at a host that was sent after that one: while the one is
        under way, or when it just failed, the host is not at fault."""
        passed = self._passed.get(host)
        return passed is not None and any(last > number for last in passed.last.values())

    def is_largest(self, host: str, size: int) -> bool:
        """Whether requests got through at a host, and none of this size."""
        passed = self._passed.get(host)
        return passed is not None and 0 < passed.largest < size

    def too_large(self, host: str) -> None:
        """Notes that a single event was too large, and that it may not be at fault."""
        passed = self._passed.setdefault(host, _Passed())
        if passed.wall is None:
            passed.wall = self.mark

    def takes_nothing(self, host: str) -> bool:
        """Whether a single event was too large, and nothing got through since."""
        passed = self._passed.get(host)
        return passed is not None and passed.wall is not None

    # Items

    def is_wanted(self, now: float) -> bool:
        """Whether events wait for evidence: then the indices of created ones matter."""
        return now - self._wanted_at < ENOUGH_SECONDS

    def want(self, now: float) -> None:
        """Notes that events wait for evidence."""
        self._wanted_at = now

    def created(self, number: int, indices: Collection[str]) -> None:
        """Notes that a request created events in these indices."""
        for index in indices:
            before = self._created.pop(index, 0)
            self._created[index] = max(number, before)
        while len(self._created) > _MOST_INDICES:
            del self._created[next(iter(self._created))]
        if number > self._began:
            self._events = self._requests = 0

    def proves(self, index: str, suspicion: Suspicion) -> bool:
        """Whether an event was created in an index by a request that was sent after a part was
        first rejected."""
        return bool(suspicion.tries) and self._created.get(index, 0) > suspicion.mark

    def rejected(self, events: int, reason: str, now: float, *, first: bool) -> None:
        """Notes that so many events of a request were rejected, and that nothing shows yet whose
        fault it is. `first`: they were not rejected before."""
        self.want(now)
        if not self._requests:
            self._began = self.mark
        if first:
            self._events += events
        self._requests += 1
        self._reason = reason

    @property
    def are_few(self) -> bool:
        """Whether so few events were rejected that they may be at fault themselves."""
        return self._events < _SYSTEMIC_EVENTS

    @property
    def systemic(self) -> str | None:
        """Why no event is accepted, for messages; None if there is no systemic rejection."""
        if self.are_few or self._requests < 2:
            return None
        return f"all events are refused, and none is stored: {self._reason}"

    @property
    def requests_rejected(self) -> int:
        """Requests in a row that were rejected."""
        return self._requests
