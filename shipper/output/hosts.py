"""Where to send: a list of hosts, of which one that fails rests for a while."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from shipper.clock import Clock


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with full jitter: what failed together does not come back together.

    (The formula and the reason for the jitter: "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015.)
    """

    #: Seconds.
    initial: float
    max: float

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after that many failures in a row (1 or more)."""
        ceiling = min(self.max, self.initial * 2.0 ** min(failures - 1, 32))
        return rng.uniform(0, ceiling)


@dataclass(slots=True)
class Host:
    """One URL to send to."""

    url: str
    failures: int = 0
    #: Monotonic seconds.
    rests_until: float = 0.0


class Hosts:
    """Takes turns among the hosts that are well; if none is, the one that has rested longest."""

    def __init__(
        self, urls: Sequence[str], backoff: Backoff, clock: Clock, rng: random.Random
    ) -> None:
        self._hosts = [Host(url) for url in urls]
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._turn = 0

    def pick(self) -> Host:
        """The host for the next request. Does not wait: a request has a backoff of its own."""
        now = self._clock.monotonic()
        count = len(self._hosts)
        for step in range(count):
            host = self._hosts[(self._turn + step) % count]
            if host.rests_until <= now:
                self._turn = (self._turn + step + 1) % count
                return host
        return min(self._hosts, key=lambda host: host.rests_until)

    def succeeded(self, host: Host) -> None:
        """It answered."""
        host.failures = 0
        host.rests_until = 0.0

    def failed(self, host: Host) -> None:
        """It could not be reached, or is not well: the others are asked for a while."""
        host.failures += 1
        rest = self._backoff.delay(host.failures, self._rng) + self._backoff.initial
        host.rests_until = self._clock.monotonic() + rest

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(host.url for host in self._hosts)

    @property
    def resting(self) -> tuple[str, ...]:
        """Those that rest now."""
        now = self._clock.monotonic()
        return tuple(host.url for host in self._hosts if host.rests_until > now)
