"""Where to send: a list of hosts, of which one that fails rests for a while.

    well -> fails -> rests -> on trial: one request at a time -> well again, or rests for longer

Among those that are well, the next request goes to one with the fewest under way; one that is much
slower than the quickest gets only so many that it is noticed when it is quick again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from shipper.clock import Clock
from shipper.output.backoff import Backoff

#: A host whose round trip takes so many times that of the quickest is spared.
_SLOW = 2.0

#: What is known of a round trip counts half after so many seconds without another one.
_HALF_LIFE = 10.0

#: The weight of the newest round trip in the average.
_WEIGHT = 0.3


@dataclass(slots=True)
class Host:
    """One URL to send to."""

    url: str
    #: What is wrong, in words; None while it is well.
    trouble: str | None = "no host has answered yet"
    failures: int = 0
    #: Monotonic seconds.
    paused_until: float = 0.0
    in_flight: int = 0
    #: The average of its last requests in seconds, and when it last changed; None before the first.
    round_trip: float | None = None
    measured_at: float = 0.0

    def expected(self, now: float) -> float | None:
        """Seconds that a request may take; None where nobody knows."""
        if self.round_trip is None:
            return None
        # Old news fades: a host that was slow is tried again.
        return float(self.round_trip * 0.5 ** ((now - self.measured_at) / _HALF_LIFE))


class Hosts:
    """Chooses a host for each request; if none is well, the one that has rested longest."""

    def __init__(
        self, urls: Sequence[str], backoff: Backoff, clock: Clock, rng: random.Random
    ) -> None:
        self._hosts = [Host(url) for url in urls]
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._turn = 0
        #: What was last said to be wrong with any of them.
        self._last_trouble = self._hosts[0].trouble

    def anew(self) -> "Hosts":
        """The same hosts, of which nothing is known yet."""
        urls = [host.url for host in self._hosts]
        return Hosts(urls, self._backoff, self._clock, self._rng)

    def pick(self) -> Host:
        """The host for the next request. Does not wait: a request has a backoff of its own."""
        now = self._clock.monotonic()
        # One that has failed is on trial: others do not run into it while one finds out.
        able = [
            host
            for host in self._in_turn()
            if host.paused_until <= now and not (host.failures and host.in_flight)
        ]
        if not able:
            return min(self._hosts, key=lambda host: host.paused_until)
        expected = {host.url: host.expected(now) for host in able}
        known = [seconds for seconds in expected.values() if seconds is not None]
        slowest = _SLOW * min(known, default=0.0)
        quick = [host for host in able if (expected[host.url] or 0.0) <= slowest]
        chosen = min(quick, key=lambda host: host.in_flight)
        self._turn = self._hosts.index(chosen) + 1
        return chosen

    def _in_turn(self) -> list[Host]:
        turn = self._turn % len(self._hosts)
        return self._hosts[turn:] + self._hosts[:turn]

    def began(self, host: Host) -> None:
        """A request is on its way there."""
        host.in_flight += 1

    def ended(self, host: Host, seconds: float | None) -> None:
        """It is over, and took so long; None if it had no answer."""
        host.in_flight -= 1
        if seconds is None:
            return
        now = self._clock.monotonic()
        known = host.expected(now)
        host.round_trip = seconds if known is None else known + _WEIGHT * (seconds - known)
        host.measured_at = now

    def succeeded(self, host: Host) -> None:
        """It answered, and took something."""
        host.trouble = None
        host.failures = 0
        host.paused_until = 0.0

    def failed(self, host: Host, why: str) -> None:
        """It could not be reached, or is not well: the others are asked for a while."""
        self.busy(host, why)
        host.failures += 1
        rest = self._backoff.delay(host.failures, self._rng) + self._backoff.initial
        host.paused_until = self._clock.monotonic() + rest

    def busy(self, host: Host, why: str, seconds: float = 0.0) -> None:
        """It answers, and takes nothing now: it is not asked for so many seconds."""
        host.trouble = self._last_trouble = why
        host.paused_until = max(host.paused_until, self._clock.monotonic() + seconds)

    @property
    def trouble(self) -> str | None:
        """What is wrong, in words; None if any of them is well."""
        if any(host.trouble is None for host in self._hosts):
            return None
        return self._last_trouble

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(host.url for host in self._hosts)

    @property
    def paused(self) -> tuple[str, ...]:
        """Those that rest now."""
        now = self._clock.monotonic()
        return tuple(host.url for host in self._hosts if host.paused_until > now)
