"""Hosts take turns; one that fails rests and comes back; delays grow, are bounded, and vary."""

from __future__ import annotations

import asyncio
import random

from shipper.output.backoff import Backoff
from shipper.output.elasticsearch.hosts import Hosts
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
        some.failed(some.pick(), "away")
        assert some.paused == ("a",)
        assert picks(some, 4) == "bcbc"

    def test_it_comes_back_after_its_rest(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b")
        some.failed(some.pick(), "away")
        pass_seconds(clock, 2 * BACKOFF.initial)
        assert some.paused == ()
        assert sorted(picks(some, 2)) == ["a", "b"]

    def test_it_rests_longer_each_time_it_fails_and_is_well_again_after_one_success(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b")
        first = some.pick()
        for _ in range(20):
            some.failed(first, "away")
        rest = first.paused_until - clock.monotonic()
        assert BACKOFF.initial < rest <= BACKOFF.max + BACKOFF.initial
        some.succeeded(first)
        assert some.paused == ()
        some.failed(first, "away")
        assert first.paused_until - clock.monotonic() <= 2 * BACKOFF.initial

    def test_when_all_rest_the_one_that_is_due_first_is_asked(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b", "c")
        each = [some.pick(), some.pick(), some.pick()]
        for host in each:
            some.failed(host, "away")
        assert some.paused == ("a", "b", "c")
        assert some.pick() is min(each, key=lambda host: host.paused_until)

    def test_a_single_host_is_asked_also_while_it_rests(self) -> None:
        only = hosts(ManualClock(), "a")
        only.failed(only.pick(), "away")
        assert only.pick().url == "a"

    def test_the_urls_keep_their_order(self) -> None:
        assert hosts(ManualClock(), "b", "a").urls == ("b", "a")

    def test_the_next_request_goes_where_fewest_are_under_way(self) -> None:
        some = hosts(ManualClock(), "a", "b", "c")
        a, b, _ = some.pick(), some.pick(), some.pick()
        some.began(a)
        some.began(b)
        assert picks(some, 2) == "cc"

    def test_hosts_that_are_about_as_quick_get_as_much(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b")
        took = {"a": 0.010, "b": 0.015}
        served = {"a": 0, "b": 0}
        for _ in range(1000):
            host = some.pick()
            some.began(host)
            some.ended(host, took[host.url])
            served[host.url] += 1
            pass_seconds(clock, 0.01)
        assert served == {"a": 500, "b": 500}

    def test_a_slow_one_is_spared_and_found_out_when_it_is_quick_again(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b")
        took = {"a": 0.01, "b": 1.0}

        def serve(requests: int) -> float:
            slow = 0
            for _ in range(requests):
                host = some.pick()
                some.began(host)
                some.ended(host, took[host.url])
                slow += host.url == "b"
                pass_seconds(clock, 0.1)
            return slow / requests

        assert serve(1000) < 0.05
        took["b"] = 0.01
        serve(1000)
        assert serve(1000) > 0.45

    def test_one_that_has_failed_is_tried_by_one_request_at_a_time(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b")
        sick = some.pick()
        some.failed(sick, "away")
        pass_seconds(clock, 2 * BACKOFF.initial)
        well, trial = some.pick(), some.pick()
        assert (well.url, trial) == ("b", sick)
        some.began(trial)
        assert picks(some, 4) == "bbbb"
        some.ended(trial, 0.01)
        some.succeeded(trial)
        assert sorted(picks(some, 2)) == ["a", "b"]

    def test_one_that_asks_for_time_is_given_it(self) -> None:
        clock = ManualClock()
        some = hosts(clock, "a", "b")
        some.busy(some.pick(), "HTTP 429", 7.0)
        assert picks(some, 3) == "bbb"
        pass_seconds(clock, 7.0)
        assert "a" in picks(some, 2)

    def test_there_is_no_trouble_while_one_is_well(self) -> None:
        some = hosts(ManualClock(), "a", "b")
        said = [some.trouble]
        a, b = some.pick(), some.pick()
        some.succeeded(a)
        some.failed(b, "b: no connection")
        said.append(some.trouble)
        some.failed(a, "a: HTTP 503")
        said.append(some.trouble)
        some.succeeded(b)
        said.append(some.trouble)
        assert said == ["no host has answered yet", None, "a: HTTP 503", None]
