"""How many requests at once a cluster works off without delay: sums over the ends of requests.

`Controller` looks at answers and their times only, and knows nothing of what waits or sends. It
promises a limit between 1 and `most` that grows while the cluster keeps up, shrinks when requests
are rejected or take much longer than they need to, and comes out about the same in all shippers
that share a cluster. The figures below were chosen with `tests/simulation/`.

Additive increase, multiplicative decrease: Chiu and Jain, "Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance in Computer Networks", 1989. Who has more under way gives up
more of it, and all add the same: often enough, that makes them equal. The drain is that of BBR
(draft-cardwell-iccrg-bbr-congestion-control, ProbeRTT): one who came when the queue was full would
else take what it finds for what is usual, and never yield to those who know better.
"""

from dataclasses import dataclass
from enum import Enum

_START = 2

#: The fewest answers that a decision, or a mean that may become what is usual, is made of.
_ROUND = 8

#: One more is tried after so many rounds, and so many seconds at the least, if answers take no
#: longer than usual: rejections are a tenth of those with a fixed number. Where there is a queue,
#: nothing is lost by trying sooner, and shares become equal sooner: by that power of the ratio.
_GROWTH_ROUNDS, _GROWTH_SECONDS, _HASTE = 2.2, 0.9, 1.3

#: What is left after a rejection: so much that the queue is about empty. The least mean is a lucky
#: one, so that with no queue at all the ratio is about `_NO_QUEUE`.
_NO_QUEUE, _HARD, _GENTLE = 1.3, 0.6, 0.96

#: How many times as long as usual requests may take: this at the least, so that many workers can
#: all be kept busy, and more for who has few under way (`_tolerance`). That makes those who share a
#: cluster alike, although each one's idea of what is usual is somewhat different.
_LEAST_TOLERANCE, _SMALL = 1.7, 14.0
#: Below this share of the tolerance it grows; in between, it stays.
_CALM = 0.8
#: What is left when they take longer: what would take `_BEARABLE` times as long, within these.
_BEARABLE, _LEAST_LEFT, _MOST_LEFT = 1.4, 0.5, 0.8
#: Cuts to this share of the limit that leave more than this of the delay were no help. Less than
#: this share of the tolerance ends a row of cuts.
_FEW, _NO_HELP, _ENDED = 0.6, 0.85, 0.9

#: The usual is the least of what was seen in the last one or two of these spans, in seconds, or of
#: the time from one drain to the next, if that is longer.
_SPAN = 10.0

#: Drains: the limit is divided by this for one round; seconds between them, and at the least so
#: many rounds. One joins another's when answers suddenly come faster than a standing queue allows,
#: but for some seconds after its own.
_DRAIN, _DRAIN_SECONDS, _DRAIN_ROUNDS = 4.0, 10.0, 16
_JOIN, _STANDING, _JOIN_SECONDS = 0.85, 1.4, 5.0


class Feedback(Enum):
    """What an answer says of the cluster's load."""

    #: The request was worked off.
    ACCEPTED = "taken"
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

    STARTING -> GROWING             at the first sign that it is enough
    GROWING -> DRAINING -> GROWING  now and then, for one round
    GROWING -> STARTING             requests take longer, and not because of ours
    """

    #: Doubles each round.
    STARTING = "starting"
    #: One more now and then.
    GROWING = "growing"
    #: Much less, to see what requests take without a queue.
    DRAINING = "draining"


class _Baseline:
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

    def add(self, seconds: float, now: float, answers: int, span: float) -> None:
        """A mean is of so many `answers`, and a least counts for `span` seconds, and the next."""
        self._sum += seconds
        self._count += 1
        if self._count < answers:
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
        self._baseline: dict[int, _Baseline] = {}
        self._span = _SPAN
        #: The ratio of late, smoothed.
        self._ratio = 1.0
        #: The limit and the ratio when a row of cuts for latency began.
        self._cut_from: tuple[float, float] | None = None
        self._restore = self._limit
        self._drain_at = self._join_at = float("inf")
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
        if sample.feedback is Feedback.FAILED:
            return
        now = sample.answered_at
        if self._began == float("inf"):
            self._began = sample.sent_at
        is_news = sample.sent_at >= self._cut_at
        if sample.feedback is Feedback.REJECTED:
            if is_news:
                self._give_up_some(sample.in_flight, now)
            return
        seconds = now - sample.sent_at
        if self._phase is _Phase.GROWING and sample.in_flight >= self.limit:
            # Answers to what was sent before a cut count too: who has many under way would else
            # wait for them, and be cut less often than who has few.
            self._grow(seconds)
        if is_news:
            self._look_at(sample, seconds, now)

    def _look_at(self, sample: Sample, seconds: float, now: float) -> None:
        usual = self._baseline.setdefault(sample.events.bit_length(), _Baseline())
        ratio = usual.ratio(seconds)
        answers = max(_ROUND, self.limit)
        usual.add(seconds, now, answers, self._span)
        if sample.in_flight < self.limit:
            return  # The limit was not what held it back, and is not judged by it.
        self._samples += 1
        if ratio is not None:
            self._ratios.append(ratio)
            if self._phase is not _Phase.DRAINING:
                self._ratio += (ratio - self._ratio) / (2 * _ROUND)
        if self._samples >= answers and sample.sent_at >= self._began:
            self._end_round(now)

    def _new_round(self, now: float) -> None:
        self._began = now
        self._samples = 0
        self._ratios.clear()

    def _end_round(self, now: float) -> None:
        known = len(self._ratios) >= _ROUND / 2
        ratio = sum(self._ratios) / len(self._ratios) if known else 0.0
        rounds = _DRAIN_ROUNDS * (now - self._began)
        self._new_round(now)
        if self._drain_at == float("inf"):
            self._drain_at, self._join_at = now + max(_DRAIN_SECONDS, rounds), now
        tolerance = _tolerance(self._limit)
        if self._phase is _Phase.DRAINING:
            self._end_drain(rounds, now)
        elif self._should_drain(ratio, now):
            self._phase = _Phase.DRAINING
            self._restore = self._limit
            for usual in self._baseline.values():
                usual.start_anew()
            self._cut(self._limit / _DRAIN, now)
        elif ratio > tolerance:
            self._shrink(ratio, now)
        elif ratio < _ENDED * tolerance:
            self._cut_from = None
            if self._phase is _Phase.STARTING:
                self._limit = min(2 * self._limit, self._most)

    def _should_drain(self, ratio: float, now: float) -> bool:
        if self._phase is not _Phase.GROWING or self.limit <= 2:
            return False
        another = self._ratio > _STANDING and 0 < ratio < _JOIN * self._ratio
        return now >= self._drain_at or (another and now >= self._join_at)

    def _end_drain(self, rounds: float, now: float) -> None:
        self._phase = _Phase.GROWING
        self._limit = self._restore
        until_drain = max(_DRAIN_SECONDS, rounds)
        self._drain_at = now + until_drain
        self._span = max(_SPAN, rounds)
        self._join_at = now + max(_JOIN_SECONDS, rounds)
        self._ratio = 1.0

    def _grow(self, seconds: float) -> None:
        if self._ratio < _CALM * _tolerance(self._limit):
            share = min(1 / _GROWTH_ROUNDS, seconds / _GROWTH_SECONDS) * self._ratio**_HASTE
            self._limit = min(self._limit + share / self._limit, self._most)

    def _shrink(self, ratio: float, now: float) -> None:
        """Requests take too long."""
        if self._cut_from is None:
            self._cut_from = (self._limit, ratio)
        limit, ratio_before = self._cut_from
        if self._limit <= _FEW * limit and ratio > _NO_HELP * ratio_before:
            # So few take as long: it is not our doing, and is what is usual from now on.
            self._baseline.clear()
            self._cut_from = None
            self._ratio = 1.0
            self._phase = _Phase.STARTING
            return
        self._phase = _Phase.GROWING
        left = min(max(_BEARABLE / ratio, _LEAST_LEFT), _MOST_LEFT)
        self._cut(self._limit * left, now)

    def _give_up_some(self, in_flight: int, now: float) -> None:
        """A request was rejected: there was room for one less, and others may need some of it."""
        self._phase = _Phase.GROWING
        self._cut_from = None
        left = min(max(_NO_QUEUE / self._ratio, _HARD), _GENTLE)
        self._cut((in_flight - 1) * left, now)

    def _cut(self, limit: float, now: float) -> None:
        self._limit = max(1.0, limit)
        self._cut_at = now
        self._new_round(now)


def _tolerance(limit: float) -> float:
    """How many times as long as usual requests may take with so many under way."""
    return max(_LEAST_TOLERANCE, (_SMALL / limit) ** 2)
