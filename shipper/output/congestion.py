"""How many requests at once a cluster works off without delay: sums over the ends of requests.

`Controller` looks at answers and their times only, and knows nothing of what waits or sends. It
promises a limit between 1 and `most` that grows while the cluster keeps up, shrinks when requests
are rejected or take much longer than they need to, and comes out about the same in all shippers
that share a cluster. The figures below were chosen with `tests/simulation/`.

Additive increase, multiplicative decrease: Chiu and Jain, "Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance in Computer Networks", 1989. The drain is that of BBR
(draft-cardwell-iccrg-bbr-congestion-control, ProbeRTT): one who came when the queue was full would
else take what it finds for what is usual, and never yield to those who know better.
"""

from dataclasses import dataclass
from enum import Enum

_START = 2

#: The fewest answers that a decision, or a mean that may become what is usual, is made of.
_ROUND = 8

#: How many times as long as usual requests may take: this at the least, so that many workers can
#: all be kept busy, and more for who has few under way (`_tolerance`). That makes those who share a
#: cluster alike, although each one's idea of what is usual is somewhat different.
_LEAST_TOLERANCE = 1.55
_SMALL = 20.0
#: Below this share of the tolerance it grows; in between, it stays.
_CALM = 0.9
#: A cut that leaves more than this of the delay was no help.
_NO_HELP = 0.85

#: The usual is the least of what was seen in the last one or two of these spans, in seconds, or of
#: the time from one drain to the next, if that is longer.
_SPAN = 10.0

#: After a rejection: the share of the room that is left to others, for how long (as the share of
#: the whole that this costs), and how many seconds after it one more is tried, by answers and room.
_YIELDED = 0.25
_COST = 0.045
_PACE, _PACE_ANSWERS, _PACE_ROOM, _SLOWEST = 0.7, 4.0, 3.5, 3.0

#: Drains: the limit is divided by this until there is a mean; seconds between them, and at the
#: least so many rounds. One joins another's when answers suddenly come faster than a standing queue
#: allows.
_DRAIN = 4.0
_DRAIN_FIRST, _DRAIN_LAST, _DRAIN_ROUNDS = 5.0, 10.0, 16
_JOIN, _STANDING = 0.85, 1.4


class Feedback(Enum):
    """What an answer says of the cluster's load."""

    #: The request was worked off.
    TAKEN = "taken"
    #: The cluster has too much to do: 429 or 503, for the request or for items; or no answer in
    #: time.
    REJECTED = "rejected"
    #: Says nothing of the load: no connection, 401, garbage.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, as its end is told to the controller. Times are monotonic seconds."""

    sent_at: float
    answered_at: float
    #: How many were under way when it was sent, itself among them.
    in_flight: int
    #: How many documents it had.
    events: int
    feedback: Feedback


class _Phase(Enum):
    """What the limit is doing.

    STARTING -> GROWING        at the first sign that it is enough
    any -> YIELDING -> GROWING a request was rejected
    GROWING -> DRAINING -> GROWING  now and then, for one round
    GROWING -> STARTING        requests take longer, and not because of ours
    """

    #: Doubles each round.
    STARTING = "starting"
    #: One more each round, up to the room that is known.
    GROWING = "growing"
    #: A little less than there was room for.
    YIELDING = "yielding"
    #: Much less, to see what requests take without a queue.
    DRAINING = "draining"


class _Usual:
    """What requests of about one size take when there is no queue: the least mean of late."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0
        self._least: float | None = None
        self._least_before: float | None = None
        self._since = 0.0

    def ratio(self, seconds: float) -> float | None:
        """How many times as long as usual that is; None as long as nothing is."""
        if self._least is None:
            return None
        return seconds / min(self._least, self._least_before or self._least)

    def start_anew(self) -> None:
        """Lets no answer from before into the next mean."""
        self._sum, self._count = 0.0, 0

    def add(self, seconds: float, now: float, span: float) -> None:
        """`span` is how long a least counts, in seconds; then that of the next such span does."""
        self._sum += seconds
        self._count += 1
        if self._count < _ROUND:
            return
        mean = self._sum / self._count
        self.start_anew()
        if self._least is None or now - self._since > span:
            self._least_before, self._least, self._since = self._least, mean, now
        else:
            self._least = min(self._least, mean)


class Controller:
    """Moves the limit. No input, no output, no time and no chance of its own."""

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._limit = min(float(_START), self._most)
        self._phase = _Phase.STARTING
        #: What was sent before the last cut says nothing new of what comes after it.
        self._cut_at = 0.0
        #: Requests of 64 to 127 events are compared with each other, and so on.
        self._usual: dict[int, _Usual] = {}
        self._span = _SPAN
        #: What answers took of late, smoothed.
        self._seconds = 0.0
        #: How many were not rejected when one more was, and when that is tried again.
        self._room: float | None = None
        self._back_at = self._probe_at = 0.0
        #: The limit and the ratio when a row of cuts for latency began.
        self._cut_from: tuple[float, float] | None = None
        self._restore = self._limit
        self._drain_wait = _DRAIN_FIRST
        self._drain_at = self._join_at = float("inf")
        #: The ratio of late, smoothed; 0 if none is known.
        self._late_ratio = 0.0
        #: Of this round. The first one begins with the first request, whatever the clock says then.
        self._began = float("inf")
        self._samples = 0
        self._ratios: list[float] = []

    @property
    def limit(self) -> int:
        """How many may be under way now."""
        return int(self._limit)

    def add(self, sample: Sample) -> None:
        """Learns from the end of a request."""
        if sample.feedback is Feedback.FAILED or sample.sent_at < self._cut_at:
            return
        now = sample.answered_at
        if self._began == float("inf"):
            self._began = sample.sent_at
        if sample.feedback is Feedback.REJECTED:
            self._yield(sample.in_flight, now)
            return
        if self._phase is _Phase.YIELDING and now >= self._back_at:
            self._phase = _Phase.GROWING
            self._limit = self._room or self._limit
            self._new_round(now)
        seconds = now - sample.sent_at
        self._seconds += (seconds - self._seconds) / _ROUND if self._seconds else seconds
        usual = self._usual.setdefault(sample.events.bit_length(), _Usual())
        ratio = usual.ratio(seconds)
        usual.add(seconds, now, self._span)
        if sample.in_flight < self.limit:
            return  # The limit was not what held it back, and is not judged by it.
        self._samples += 1
        if ratio is not None:
            self._ratios.append(ratio)
        if self._samples >= _ROUND and sample.sent_at >= self._began:
            self._end_round(now)

    def _new_round(self, now: float) -> None:
        self._began = now
        self._samples = 0
        self._ratios.clear()

    def _end_round(self, now: float) -> None:
        known = len(self._ratios) >= _ROUND / 2
        ratio = sum(self._ratios) / len(self._ratios) if known else 0.0
        took = now - self._began
        self._new_round(now)
        if self._phase is _Phase.YIELDING:
            return
        if self._phase is _Phase.DRAINING:
            self._end_drain(ratio, took, now)
        elif self._should_drain(ratio, took, now):
            self._phase = _Phase.DRAINING
            self._restore = self._limit
            for usual in self._usual.values():
                usual.start_anew()
            self._cut(self._limit / _DRAIN, now)
        else:
            self._late_ratio += (ratio - self._late_ratio) / 4 if self._late_ratio else ratio
            tolerance = _tolerance(self._limit)
            if ratio > tolerance:
                self._shrink(ratio, tolerance, now)
            elif ratio < _CALM * tolerance:
                self._cut_from = None
                self._grow(now)

    def _should_drain(self, ratio: float, took: float, now: float) -> bool:
        if self._drain_at == float("inf"):
            self._drain_at = now + max(self._drain_wait, _DRAIN_ROUNDS * took)
            self._join_at = now
        if self._phase is not _Phase.GROWING or self.limit <= 2:
            return False
        another = self._late_ratio > _STANDING and 0 < ratio < _JOIN * self._late_ratio
        return now >= self._drain_at or (another and now >= self._join_at)

    def _end_drain(self, ratio: float, took: float, now: float) -> None:
        self._phase = _Phase.GROWING
        self._limit = self._restore
        # What is known to be usual needs no proof so soon again.
        told_news = 0 < ratio < _CALM
        self._drain_wait = _DRAIN_FIRST if told_news else min(2 * self._drain_wait, _DRAIN_LAST)
        until_drain = max(self._drain_wait, _DRAIN_ROUNDS * took)
        self._drain_at = now + until_drain
        self._span = max(_SPAN, until_drain)
        self._join_at = now + max(_DRAIN_FIRST, _DRAIN_ROUNDS * took)
        self._late_ratio = 0.0

    def _grow(self, now: float) -> None:
        wanted = self._limit * 2 if self._phase is _Phase.STARTING else self._limit + 1
        if self._room is not None:
            if self._limit > self._room:
                self._room = None  # A round with more than that, and nothing was rejected.
            elif now >= self._probe_at:
                wanted = min(wanted, self._room + 1)
            else:
                wanted = min(wanted, self._room)
        self._limit = min(wanted, self._most)

    def _shrink(self, ratio: float, tolerance: float, now: float) -> None:
        """Requests take too long."""
        if self._cut_from is None:
            self._cut_from = (self._limit, ratio)
        limit, ratio_before = self._cut_from
        if self._limit <= limit / 2 and ratio > _NO_HELP * ratio_before:
            # Half as many take as long: it is not our doing, and is what is usual from now on.
            self._usual.clear()
            self._cut_from = None
            self._late_ratio = 0.0
            self._phase = _Phase.STARTING
            return
        self._phase = _Phase.GROWING
        self._cut(min(self._limit * max(0.5, tolerance / ratio), self._limit - 1), now)

    def _yield(self, in_flight: int, now: float) -> None:
        """A request was rejected: goes back, and leaves some room to others for a moment.

        Else one that is rejected always would never find any: those whose requests follow one
        another without a gap keep all of it, and never hear that somebody else needs it.
        """
        room = max(1, in_flight - 1)
        less = min(max(1, round(room * _YIELDED)), room - 1)
        pace = max(_PACE, _PACE_ANSWERS * self._seconds)
        epoch = pace * min(max(room / _PACE_ROOM, 1.0), _SLOWEST)
        self._room = float(room)
        self._back_at = now + (_COST * epoch * room / less if less else 0.0)
        self._probe_at = now + epoch
        self._phase = _Phase.YIELDING
        self._cut(room - less, now)
        self._new_round(now)

    def _cut(self, limit: float, now: float) -> None:
        self._limit = max(1.0, limit)
        self._cut_at = now


def _tolerance(limit: float) -> float:
    """How many times as long as usual requests may take with so many under way."""
    return max(_LEAST_TOLERANCE, (_SMALL / limit) ** 3)
