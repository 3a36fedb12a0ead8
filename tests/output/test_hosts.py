"""Hosts take turns; one that fails rests and comes back; delays grow, are bounded, and vary."""

from __future__ import annotations

import asyncio
import random

from shipper.output.hosts import Backoff, Hosts
from tests.support.clock import ManualClock

BACKOFF = Backoff(initial=0.5, max=30.0)


def hosts(clock: ManualClock, *urls: str) -> Hosts:
    return Hosts(urls, BACKOFF, clock, random.Random(1))


def pass_seconds(clock: ManualClock, seconds: float) -> None:
    asyncio.run(clock.advance(seconds))


def picks(of: Hosts, count: int) -> str:
    return "".join(of.pick().url for _ in range(count))


class TestBackoff:
    def test_the_longest_delay_doubles_up_to_the_maximum(self) -> None:
        rng = random.Random(7)
        for failures, longest in ((1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (9, 30.0)):
            delays = [BACKOFF.delay(failures, rng) for _ in range(2000)]
            assert 0.95 * longest < max(delays) <= longest
            assert 0 <= min(delays) < 0.05 * longest

    def test_delays_are_spread_evenly_so_that_shippers_do_not_come_back_together(self) -> None:
        rng = random.Random(7)
        delays = [BACKOFF.delay(4, rng) for _ in range(4000)]
        quarters = [sum(low <= delay < low + 1 for delay in delays) for low in range(4)]
        assert all(900 < count < 1100 for count in quarters)

    def test_a_night_of_failures_overflows_nothing(self) -> None:
        assert 0 <= BACKOFF.delay(10**9, random.Random(1)) <= 30.0


class TestHosts:
    def test_all_take_turns(self) -> None:
        assert picks(hosts(ManualClock(), "a", "b", "c"), 6) == "abcabc"

    def test_one_that_fails_rests_and_the_others_serve(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b", "c")
        some.failed(some.pick())
        assert some.resting == ("a",)
        assert picks(some, 4) == "bcbc"

    def test_it_comes_back_after_its_rest(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b")
        some.failed(some.pick())
        pass_seconds(clock, 2 * BACKOFF.initial)
        assert some.resting == ()
        assert sorted(picks(some, 2)) == ["a", "b"]

    def test_it_rests_longer_each_time_it_fails_and_is_well_again_after_one_success(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b")
        first = some.pick()
        for _ in range(20):
            some.failed(first)
        rest = first.rests_until - clock.monotonic()
        assert BACKOFF.initial < rest <= BACKOFF.max + BACKOFF.initial
        some.succeeded(first)
        assert some.resting == ()
        some.failed(first)
        assert first.rests_until - clock.monotonic() <= 2 * BACKOFF.initial

    def test_when_all_rest_the_one_that_is_due_first_is_asked(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b", "c")
        each = [some.pick(), some.pick(), some.pick()]
        for host in each:
            some.failed(host)
        assert some.resting == ("a", "b", "c")
        assert some.pick() is min(each, key=lambda host: host.rests_until)

    def test_a_single_host_is_asked_also_while_it_rests(self) -> None:
        only = hosts(ManualClock(), "a")
        only.failed(only.pick())
        assert only.pick().url == "a"

    def test_the_urls_keep_their_order(self) -> None:
        assert hosts(ManualClock(), "b", "a").urls == ("b", "a")
