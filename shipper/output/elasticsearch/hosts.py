"""Chooses the host of each request. A host that fails is paused.

    healthy -> failed -> paused -> probing: one request at a time -> healthy, or paused for longer

The next request goes to the healthy host with the fewest requests in flight. A host that is much
slower than the fastest gets a request now and then, to notice when it is fast again.
"""

import random
from collections.abc import Collection, Sequence

from msgspec import Struct

from shipper.clock import Clock
from shipper.output.backoff import Backoff

#: A host with this multiple of the fastest round trip counts as slow.
_SLOW = 2.0

#: Seconds after which an old round trip counts half.
_HALF_LIFE = 10.0

#: The weight of the newest round trip in the average.
_WEIGHT = 0.3


class Host(Struct):
    """One URL to send to."""

    url: str
    #: What is wrong, for messages; None while it is healthy.
    trouble: str | None = "no host has answered yet"
    failures: int = 0
    #: Monotonic seconds.
    paused_until: float = 0.0
    #: Until then it asked us to send nothing (`Retry-After`); monotonic seconds.
    asked_until: float = 0.0
    in_flight: int = 0
    #: Average of its last requests in seconds, and when it was updated; None before the first.
    round_trip: float | None = None
    measured_at: float = 0.0

    def expected(self, now: float) -> float | None:
        """Seconds that a request probably takes; None if unknown."""
        if self.round_trip is None:
            return None
        # Old values fade, so that a slow host is tried again.
        return float(self.round_trip * 0.5 ** ((now - self.measured_at) / _HALF_LIFE))


class Hosts:
    """The hosts of an output."""

    def __init__(
        self, urls: Sequence[str], backoff: Backoff, clock: Clock, rng: random.Random
    ) -> None:
        self._hosts = [Host(url) for url in urls]
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._turn = 0
        #: The last problem of any host.
        self._last_trouble = self._hosts[0].trouble

    def anew(self) -> "Hosts":
        """The same hosts, of which nothing is known yet."""
        urls = [host.url for host in self._hosts]
        return Hosts(urls, self._backoff, self._clock, self._rng)

    def pick(self, avoid: Collection[str] = ()) -> Host:
        """The host for the next request; if all are paused, the one whose pause ends first.
        `avoid`: URLs of hosts that are taken only if there is no other.

        Does not wait: requests have their own backoff.
        """
        now = self._clock.monotonic()
        # A host that has failed is probed with one request: others must not fail there meanwhile.
        able = [
            host
            for host in self._in_turn()
            if host.paused_until <= now and not (host.failures and host.in_flight)
        ]
        if not able:
            return min(self._hosts, key=lambda host: host.paused_until)
        able = [host for host in able if host.url not in avoid] or able
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

    def asked_to_wait(self) -> float:
        """Seconds until a host can be asked; 0 unless every host asked us to send nothing."""
        until = min(host.asked_until for host in self._hosts)
        return max(0.0, until - self._clock.monotonic())

    def others_able(self, host: Host) -> bool:
        """Whether another host can take requests now."""
        now = self._clock.monotonic()
        return any(other.paused_until <= now for other in self._hosts if other is not host)

    def healthy(self, host: Host) -> int:
        """The number of hosts without trouble, and this one."""
        return sum(other is host or other.trouble is None for other in self._hosts)

    def began(self, host: Host) -> None:
        """Notes that a request was sent to a host."""
        host.in_flight += 1

    def ended(self, host: Host, seconds: float | None) -> None:
        """Notes the end of a request and its duration in seconds; None if there was no answer."""
        host.in_flight -= 1
        if seconds is None:
            return
        now = self._clock.monotonic()
        known = host.expected(now)
        host.round_trip = seconds if known is None else known + _WEIGHT * (seconds - known)
        host.measured_at = now

    def succeeded(self, host: Host) -> None:
        """Notes that a host accepted events: it is healthy."""
        host.trouble = None
        host.failures = 0
        # What it asked for holds, whatever comes to an end meanwhile.
        host.paused_until = host.asked_until

    def failed(self, host: Host, why: str) -> None:
        """Notes a failure: the host is paused."""
        self.busy(host, why)
        host.failures += 1
        rest = self._backoff.delay(host.failures, self._rng) + self._backoff.initial
        host.paused_until = self._clock.monotonic() + rest

    def busy(self, host: Host, why: str, seconds: float = 0.0) -> None:
        """Notes that a host answers but accepts nothing; pauses it for these seconds, as it asked
        for."""
        host.trouble = self._last_trouble = why
        until = self._clock.monotonic() + seconds
        if seconds:
            host.asked_until = max(host.asked_until, until)
        host.paused_until = max(host.paused_until, until)

    @property
    def trouble(self) -> str | None:
        """What is wrong, for messages; None if any host is healthy."""
        if any(host.trouble is None for host in self._hosts):
            return None
        return self._last_trouble

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of all hosts."""
        return tuple(host.url for host in self._hosts)

    @property
    def paused(self) -> tuple[str, ...]:
        """The URLs of paused hosts."""
        now = self._clock.monotonic()
        return tuple(host.url for host in self._hosts if host.paused_until > now)
