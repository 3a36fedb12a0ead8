"""A cluster of limited capacity and the shippers that share it, in virtual time.

A discrete-event simulation: no event loop, no waiting; everything random comes from one seed. The
shippers decide with the real ``Controller`` and the real ``Backoff``, and treat a rejection as the
sender does: the request waits for its backoff, and meanwhile others are sent in its place.

    world = World(seed=1)
    cluster = Cluster(world, Shape(workers=4, queue=10, seconds=0.05))
    shipper = Shipper(world, cluster, adaptive=True, most=32)
    world.run(60.0)
    shipper.throughput(10.0, 60.0), shipper.rejected
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shipper.output.backoff import Backoff
from shipper.output.congestion import Controller, Feedback, Sample

BACKOFF = Backoff(initial=0.5, max=30.0)

HELD = 64
"""Batches that a shipper has in its memory at the most, those that wait for their backoff too."""

FULL = 2000
"""Events in a full request."""


class World:
    """Virtual time."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have something happen then."""
        heapq.heappush(self._due, (when, next(self._order), what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen so many seconds from now."""
        self.at(self.now + seconds, what)

    def run(self, until: float) -> None:
        """Let time go on to there."""
        while self._due and self._due[0][0] <= until:
            self.now, _, what = heapq.heappop(self._due)
            what()
        self.now = until


@dataclass(frozen=True)
class Shape:
    """What a cluster is like."""

    workers: int
    queue: int
    """Parts that wait for a worker; what comes when so many wait is answered 429."""
    seconds: float
    """What a full request takes one worker, on average."""
    noise: float = 0.3
    """Of the logarithm of that time."""
    fixed: float = 0.1
    """The share of that time that even the smallest request takes."""
    network: float = 0.001
    """Seconds there and back."""
    shards: int = 1
    """A request is cut into so many parts, each of which is taken or rejected by itself."""


@dataclass(slots=True)
class _Request:
    events: int
    reply: Callable[[int], None]
    parts: int
    rejected: int = 0


class Cluster:
    """Workers that take parts of requests out of one queue."""

    def __init__(self, world: World, shape: Shape) -> None:
        self.world = world
        self.shape = shape
        self.workers = shape.workers
        self.network = shape.network
        self.stretch = 1.0
        """How many times as long as usual everything takes, however much there is to do."""
        self._busy = 0
        self._queue: deque[tuple[_Request, int]] = deque()

    def post(self, events: int, reply: Callable[[int], None]) -> None:
        """Send a request; ``reply`` is told how many of its events were rejected."""
        parts = min(self.shape.shards, events)
        request = _Request(events, reply, parts)
        share, more = divmod(events, parts)
        for number in range(parts):
            self._arrive(request, share + (number < more))

    def become(self, workers: int) -> None:
        """Have another number of workers from now on."""
        self.workers = workers
        self._work()

    def _arrive(self, request: _Request, events: int) -> None:
        if self._busy < self.workers:
            self._begin(request, events)
        elif len(self._queue) < self.shape.queue:
            self._queue.append((request, events))
        else:
            request.rejected += events
            self._end(request)

    def _begin(self, request: _Request, events: int) -> None:
        self._busy += 1
        shape = self.shape
        seconds = shape.seconds * (shape.fixed + (1 - shape.fixed) * events / FULL) * self.stretch
        if shape.noise:
            seconds *= self.world.rng.lognormvariate(-(shape.noise**2) / 2, shape.noise)

        def done() -> None:
            self._busy -= 1
            self._work()
            self._end(request)

        self.world.after(seconds, done)

    def _work(self) -> None:
        while self._queue and self._busy < self.workers:
            self._begin(*self._queue.popleft())

    def _end(self, request: _Request) -> None:
        request.parts -= 1
        if request.parts == 0:
            self.world.after(self.network, lambda: request.reply(request.rejected))


@dataclass(slots=True)
class _Batch:
    events: int
    failures: int = 0


@dataclass
class Shipper:
    """Sends batches as long as it has any; one that wants to send has an endless backlog."""

    world: World
    cluster: Cluster
    adaptive: bool = True
    most: int = 32
    starts: float = 0.0
    sizes: Callable[[], int] = lambda: FULL
    """Events of the next batch."""
    pause: Callable[[], float] = lambda: 0.0
    """Seconds until there is another batch; 0 if there is always one."""

    requests: int = 0
    rejected: int = 0
    """Requests of which something was rejected."""
    in_flight: int = 0
    limits: list[tuple[float, int]] = field(default_factory=list)
    """From when on the limit was what."""
    seconds: list[float] = field(default_factory=list)
    """What requests took that were worked off."""

    def __post_init__(self) -> None:
        self.controller = Controller(self.most) if self.adaptive else None
        self._ready: deque[_Batch] = deque()
        self._held = 0
        self._next_batch = self.starts
        self._times: list[float] = []
        self._totals: list[int] = []
        self.world.at(self.starts, self._pump)

    @property
    def limit(self) -> int:
        return self.most if self.controller is None else self.controller.limit

    def throughput(self, since: float, until: float) -> float:
        """Return the events a second that were delivered between these times."""
        return (self._delivered(until) - self._delivered(since)) / (until - since)

    def _delivered(self, until: float) -> int:
        count = bisect_left(self._times, until)
        return self._totals[count - 1] if count else 0

    def _pump(self) -> None:
        now = self.world.now
        while self.in_flight < self.limit:
            if self._ready:
                batch = self._ready.popleft()
            elif self._held < HELD and self._next_batch <= now:
                self._held += 1
                batch = _Batch(self.sizes())
                pause = self.pause()
                if pause:
                    self._next_batch = now + pause
                    self.world.at(self._next_batch, self._pump)
            else:
                return
            self._send(batch)

    def _send(self, batch: _Batch) -> None:
        self.in_flight += 1
        self.requests += 1
        sent_at, in_flight = self.world.now, self.in_flight

        def reply(rejected: int) -> None:
            self.in_flight -= 1
            now = self.world.now
            feedback = Feedback.REJECTED if rejected else Feedback.ACCEPTED
            if self.controller is not None:
                before = self.controller.limit
                self.controller.add(Sample(sent_at, now, in_flight, batch.events, feedback))
                if self.controller.limit != before:
                    self.limits.append((now, self.controller.limit))
            if rejected:
                self.rejected += 1
            else:
                self.seconds.append(now - sent_at)
            self._settle(batch, rejected)
            self._pump()

        self.cluster.post(batch.events, reply)

    def _settle(self, batch: _Batch, rejected: int) -> None:
        delivered = batch.events - rejected
        if delivered:
            self._times.append(self.world.now)
            self._totals.append(delivered + (self._totals[-1] if self._totals else 0))
            batch.failures = 0
        if not rejected:
            self._held -= 1
            return
        batch.events = rejected
        batch.failures += 1

        def again() -> None:
            self._ready.append(batch)
            self._pump()

        self.world.after(BACKOFF.delay(batch.failures, self.world.rng), again)


def mean(values: list[float]) -> float:
    """Return the mean, NaN of nothing."""
    return sum(values) / len(values) if values else math.nan
