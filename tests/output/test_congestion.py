"""The sums of the limit, sample by sample. How they fare with clusters: tests/simulation."""

from __future__ import annotations

import itertools

import pytest

from shipper.output.congestion import Controller, Feedback, Sample


class Rounds:
    """Gives a controller rounds of requests: always as many at once as are allowed."""

    def __init__(self, most: int = 32) -> None:
        self.controller = Controller(most)
        self.now = 1000.0

    @property
    def limit(self) -> int:
        return self.controller.limit

    def play(
        self,
        rounds: int,
        seconds: float = 1.0,
        *,
        events: int = 1000,
        in_flight: int | None = None,
    ) -> list[int]:
        """Send eight requests or as many as allowed, whichever is more; return the limits."""
        limits = []
        for _ in range(rounds):
            for _ in range(max(1, 8 // self.limit)):
                sent, count = self.now, self.limit
                self.now += seconds
                for _ in range(count):
                    self.end(sent, Feedback.ACCEPTED, in_flight or count, events)
            limits.append(self.limit)
        return limits

    def end(self, sent: float, feedback: Feedback, in_flight: int, events: int = 1000) -> None:
        self.controller.add(Sample(sent, self.now, in_flight, events, feedback))

    def reject(self, in_flight: int | None = None, count: int = 1) -> None:
        sent = self.now
        self.now += 0.001
        most = self.limit if in_flight is None else in_flight
        for _ in range(count):
            self.end(sent, Feedback.REJECTED, most)


def grown(most: int = 32) -> Rounds:
    rounds = Rounds(most)
    rounds.play(12)
    return rounds


def test_it_begins_small_and_doubles() -> None:
    rounds = Rounds()
    limits = [rounds.limit, *rounds.play(12)]
    assert list(dict.fromkeys(limits)) == [2, 4, 8, 16, 32]


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_it_never_exceeds_the_most(most: int) -> None:
    rounds = Rounds(most)
    rounds.play(20)
    assert rounds.limit == most


def test_it_does_not_grow_when_fewer_are_under_way_than_may_be() -> None:
    rounds = Rounds()
    rounds.play(50, in_flight=1)
    assert rounds.limit == 2


def test_several_rejections_of_one_round_are_one_sign() -> None:
    one, many = grown(), grown()
    one.reject()
    many.reject(count=20)
    assert one.limit == many.limit < 32


def test_it_is_one_at_the_least() -> None:
    rounds = grown()
    for _ in range(50):
        rounds.reject()
        assert rounds.limit >= 1
    assert rounds.limit == 1


def test_after_a_rejection_it_goes_below_what_there_was_room_for_and_adds_one_at_a_time() -> None:
    rounds = grown(16)
    rounds.reject(in_flight=13)
    assert rounds.limit == 11
    limits = list(dict.fromkeys(rounds.play(100, seconds=0.2)))
    assert limits[:5] == [11, 12, 13, 14, 15]


def test_a_rejection_where_requests_wait_long_takes_more_away() -> None:
    quick, slow = grown(16), grown(16)
    slow.play(2, seconds=1.6)
    quick.reject(in_flight=13)
    slow.reject(in_flight=13)
    assert slow.limit < quick.limit


def test_what_was_sent_before_a_cut_says_nothing_new() -> None:
    rounds = grown(16)
    sent = rounds.now
    rounds.now += 1
    rounds.end(sent, Feedback.REJECTED, 16)
    limit = rounds.limit
    rounds.now += 60
    for in_flight in range(16):
        rounds.end(sent, Feedback.REJECTED, in_flight)
    assert rounds.limit == limit


def test_a_failure_says_nothing_of_the_load() -> None:
    rounds = grown(16)
    for _ in range(100):
        rounds.now += 1
        rounds.end(rounds.now - 1, Feedback.FAILED, 16)
    assert rounds.limit == 16


def test_answers_within_one_tick_of_the_clock_are_no_trouble() -> None:
    rounds = Rounds()
    for seconds in [*(20 * [0.0]), *(100 * [0.0, 0.001])]:
        rounds.now += seconds
        rounds.end(rounds.now - seconds, Feedback.ACCEPTED, rounds.limit)
    assert rounds.limit >= 1


def test_requests_that_take_much_longer_than_usual_make_it_shrink() -> None:
    rounds = grown(16)
    rounds.play(2, seconds=5)
    assert rounds.limit == 8


def test_requests_are_compared_with_others_of_their_size() -> None:
    rounds = Rounds(16)
    for _ in range(8):
        rounds.play(3, seconds=0.1, events=3)
        rounds.play(3, seconds=2.0, events=2000)
    assert rounds.limit == 16


def test_answers_that_take_longer_whatever_the_limit_become_the_usual() -> None:
    rounds = grown(16)
    limits = rounds.play(20, seconds=5)
    assert min(limits) <= 8
    assert limits[-1] == 16


def test_now_and_then_a_round_is_small_so_that_a_queue_of_ones_own_making_shows() -> None:
    rounds = grown(16)
    rounds.reject(in_flight=17)
    limits = rounds.play(1000, seconds=0.1)
    drains = [size for size, _ in itertools.groupby(limits) if size == 4]
    assert 3 <= len(drains) <= 10
    assert limits.count(16) > 900
