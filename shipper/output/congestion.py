"""Congestion control: the number of concurrent requests that a cluster processes without delay.

`Controller` uses the results and durations of requests only. Its limit is between 1 and `most`. It
grows while the cluster keeps up, shrinks when requests are rejected or take much longer than usual,
and becomes about the same in all shippers that share a cluster. The constants below were chosen
with `tests/simulation/`.

Additive increase, multiplicative decrease: Chiu and Jain, "Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance in Computer Networks", 1989. A shipper with a higher limit gives
up more, and all add the same amount: over time the limits become equal. The drain is that of BBR
(draft-cardwell-iccrg-bbr-congestion-control, ProbeRTT): without it, a shipper that starts while the
queue is full would take that latency for the usual one, and never yield to the others.
"""

from enum import Enum

from msgspec import Struct

_START = 2

#: Minimum number of answers for a decision, or for a mean that may become the baseline.
_ROUND = 8

#: The limit grows by one after this number of rounds and at least this number of seconds, if
#: answers take no longer than usual: that gives a tenth of the rejections of a fixed number. With a
#: queue it grows faster, by this power of the ratio: that costs nothing, and the shares of several
#: shippers become equal sooner.
_GROWTH_ROUNDS, _GROWTH_SECONDS, _HASTE = 2.2, 0.9, 1.3

#: The share of the limit that is left after a rejection: the queue becomes about empty. The lowest
#: mean is a lucky one, so without any queue the ratio is about `_NO_QUEUE`.
_NO_QUEUE, _HARD, _GENTLE = 1.3, 0.6, 0.96

#: Tolerated latency as a multiple of the baseline: at least this, so that many workers can all be
#: kept busy, and more with few requests in flight (`_tolerance`). So shippers that share a cluster
#: get similar limits, although their baselines differ.
_LEAST_TOLERANCE, _SMALL = 1.7, 14.0
#: Below this share of the tolerance the limit grows; between the two it stays.
_CALM = 0.8
#: The share that is left when requests take longer: for a ratio of `_BEARABLE`, within these
#: bounds.
_BEARABLE, _LEAST_LEFT, _MOST_LEFT = 1.4, 0.5, 0.8
#: Cuts to the share `_FEW` of the limit that leave more than `_NO_HELP` of the latency had no
#: effect. A ratio below `_ENDED` of the tolerance ends a series of cuts.
_FEW, _NO_HELP, _ENDED = 0.6, 0.85, 0.9

#: The baseline is the lowest mean of the last one or two spans of this length, in seconds, or of
#: the time between two drains, if that is longer.
_SPAN = 10.0

#: Drains: the limit is divided by `_DRAIN` for one round; seconds and rounds between drains, at the
#: least. A shipper joins the drain of another when answers suddenly come faster than a standing
#: queue allows, except for some seconds after its own.
_DRAIN, _DRAIN_SECONDS, _DRAIN_ROUNDS = 4.0, 10.0, 16
_JOIN, _STANDING, _JOIN_SECONDS = 0.85, 1.4, 5.0

#: No answer counts as faster, in seconds.
_SHORTEST = 1e-6


class Feedback(Enum):
    """What an answer says of the cluster's load."""

    #: The request was processed.
    ACCEPTED = "taken"
    #: The cluster is overloaded: 429 or 503, for the request or for items; or a timeout.
    REJECTED = "rejected"
    #: Says nothing of the load: no connection, 401, an invalid answer.
    FAILED = "failed"


class Sample(Struct, frozen=True):
    """One finished request. Times are monotonic seconds."""

    sent_at: float
    answered_at: float
    #: Requests in flight when it was sent, including itself.
    in_flight: int
    #: Number of its documents.
    events: int
    feedback: Feedback


class _Phase(Enum):
    """The phase of the controller.

    STARTING -> GROWING             at the first rejection or increase of latency
    GROWING -> DRAINING -> GROWING  from time to time, for one round
    GROWING -> STARTING             latency has increased, and not because of our requests
    """

    #: The limit doubles each round.
    STARTING = "starting"
    #: The limit grows by one from time to time.
    GROWING = "growing"
    #: The limit is much lower for one round, to measure the latency without a queue.
    DRAINING = "draining"


class _Baseline:
    """The latency of requests of similar size without a queue: the lowest recent mean."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0
        self._least: float | None = None
        self._least_before: float | None = None
        self._since = 0.0

    def ratio(self, seconds: float) -> float | None:
        """The duration as a multiple of the baseline; None without a baseline."""
        if self._least is None:
            return None
        return seconds / min(self._least, self._least_before or self._least)

    def restart(self) -> None:
        """Discards the answers so far from the next mean."""
        self._sum, self._count = 0.0, 0

    def add(self, seconds: float, now: float, answers: int, span: float) -> None:
        """Adds a duration. A mean has `answers` durations; the lowest is valid for one to two spans
        of `span` seconds."""
        self._sum += seconds
        self._count += 1
        if self._count < answers:
            return
        mean = self._sum / self._count
        self.restart()
        if self._least is None or now - self._since > span:
            self._least_before, self._least, self._since = self._least, mean, now
        else:
            self._least = min(self._least, mean)


class Controller:
    """Adapts the limit. Pure: no I/O, no clock, no randomness."""

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._limit = min(float(_START), self._most)
        self._phase = _Phase.STARTING
        #: Requests sent before the last cut say nothing of the limit after it.
        self._cut_at = 0.0
        #: By the bit length of the number of events: 64 to 127 events are compared, and so on.
        self._baseline: dict[int, _Baseline] = {}
        self._span = _SPAN
        #: The recent ratio, smoothed.
        self._ratio = 1.0
        #: The limit and the ratio when a series of cuts for latency began.
        self._cut_from: tuple[float, float] | None = None
        self._restore = self._limit
        self._drain_at = self._join_at = float("inf")
        #: The start of this round; the first round starts with the first request.
        self._began = float("inf")
        self._samples = 0
        self._ratios: list[float] = []

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return int(self._limit)

    def add(self, sample: Sample) -> None:
        """Adapts to a finished request."""
        if sample.feedback is Feedback.FAILED:
            return
        now = sample.answered_at
        if self._began == float("inf"):
            self._began = sample.sent_at
        is_new = sample.sent_at >= self._cut_at
        if sample.feedback is Feedback.REJECTED:
            if is_new:
                self._shrink_after_rejection(sample.in_flight, now)
            return
        # A clock that ticks in milliseconds gives 0, which nothing can be a multiple of.
        seconds = max(now - sample.sent_at, _SHORTEST)
        if self._phase is _Phase.GROWING and sample.in_flight >= self.limit:
            # Answers to requests sent before a cut count too. Otherwise a shipper with many
            # requests in flight would wait for them, and be cut less often than one with few.
            self._grow(seconds)
        if is_new:
            self._evaluate(sample, seconds, now)

    def _evaluate(self, sample: Sample, seconds: float, now: float) -> None:
        usual = self._baseline.setdefault(sample.events.bit_length(), _Baseline())
        ratio = usual.ratio(seconds)
        answers = max(_ROUND, self.limit)
        usual.add(seconds, now, answers, self._span)
        if sample.in_flight < self.limit:
            return  # The limit was not reached, so this says nothing about it.
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
                usual.restart()
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
        """Cuts the limit because requests take too long."""
        if self._cut_from is None:
            self._cut_from = (self._limit, ratio)
        limit, ratio_before = self._cut_from
        if self._limit <= _FEW * limit and ratio > _NO_HELP * ratio_before:
            # Fewer requests take as long: our requests are not the cause. This is the new baseline.
            self._baseline.clear()
            self._cut_from = None
            self._ratio = 1.0
            self._phase = _Phase.STARTING
            return
        self._phase = _Phase.GROWING
        left = min(max(_BEARABLE / ratio, _LEAST_LEFT), _MOST_LEFT)
        self._cut(self._limit * left, now)

    def _shrink_after_rejection(self, in_flight: int, now: float) -> None:
        """Cuts the limit because a request was rejected: there was room for one less."""
        self._phase = _Phase.GROWING
        self._cut_from = None
        left = min(max(_NO_QUEUE / self._ratio, _HARD), _GENTLE)
        self._cut((in_flight - 1) * left, now)

    def _cut(self, limit: float, now: float) -> None:
        self._limit = max(1.0, limit)
        self._cut_at = now
        self._new_round(now)


def _tolerance(limit: float) -> float:
    """The tolerated latency at this limit, as a multiple of the baseline."""
    return max(_LEAST_TOLERANCE, (_SMALL / limit) ** 2)
