"""What is a wall, and what a poison pill: requests, and what is done with the refused events."""

from __future__ import annotations

import random

import pytest

from shipper.output.elasticsearch.answers import Refusal
from shipper.output.elasticsearch.rejections import (
    ENOUGH_TRIES,
    RejectionDetector,
    RejectionVerdict,
    SuspectBody,
)


def refused(
    count: int, reason: str = "strict: introduction of [x] is not allowed"
) -> list[Refusal]:
    return [Refusal(index, 400, reason) for index in range(count)]


def wait_until_wall(guard: RejectionDetector) -> SuspectBody:
    """Have a guard see a wall; return the first of its suspects."""
    first = SuspectBody()
    assert guard.rule(first, 0, refused(500)) is RejectionVerdict.WAIT
    assert guard.rule(SuspectBody(), 0, refused(500)) is RejectionVerdict.WAIT
    assert guard.wall is not None
    return first


class TestPills:
    @pytest.mark.parametrize(("taken", "bad"), [(1999, 1), (1000, 1000), (3, 1), (1, 1), (12, 99)])
    def test_refused_among_taken_are_pills_at_once(self, taken: int, bad: int) -> None:
        guard = RejectionDetector()
        assert guard.rule(SuspectBody(), taken, refused(bad)) is RejectionVerdict.DEAD_LETTER
        assert guard.wall is None

    def test_a_lone_one_is_a_pill_at_the_next_refusal_when_others_get_through(self) -> None:
        guard, lone = RejectionDetector(), SuspectBody()
        assert guard.rule(lone, 0, refused(1)) is RejectionVerdict.WAIT
        guard.took()
        assert guard.rule(lone, 0, refused(1)) is RejectionVerdict.DEAD_LETTER

    def test_what_got_through_before_says_nothing_of_now(self) -> None:
        guard = RejectionDetector()
        guard.took()
        assert guard.rule(SuspectBody(), 0, refused(1)) is RejectionVerdict.WAIT

    def test_a_few_with_nothing_to_compare_are_pills_after_enough_tries(self) -> None:
        guard, lone = RejectionDetector(), SuspectBody()
        rulings = [guard.rule(lone, 0, refused(3)) for _ in range(ENOUGH_TRIES)]
        assert rulings == [RejectionVerdict.WAIT] * (ENOUGH_TRIES - 1) + [
            RejectionVerdict.DEAD_LETTER
        ]
        assert guard.wall is None

    def test_many_in_one_request_are_pills_too_when_others_get_through(self) -> None:
        guard, bad = RejectionDetector(), SuspectBody()
        assert guard.rule(bad, 0, refused(2000)) is RejectionVerdict.WAIT
        assert guard.rule(SuspectBody(), 2000, refused(1)) is RejectionVerdict.DEAD_LETTER
        assert guard.rule(bad, 0, refused(2000)) is RejectionVerdict.DEAD_LETTER

    def test_refusals_for_many_reasons_are_no_wall(self) -> None:
        guard = RejectionDetector()
        reasons = [f"{name}: it is bad" for name in "abcdefghij"]
        mixed = [Refusal(index, 400, reasons[index % 10]) for index in range(1000)]
        assert guard.rule(SuspectBody(), 0, mixed) is RejectionVerdict.DEAD_LETTER

    @pytest.mark.parametrize("seed", range(20))
    def test_a_few_bad_events_among_good_ones_are_never_a_wall(self, seed: int) -> None:
        rng, guard = random.Random(seed), RejectionDetector()
        waiting: list[SuspectBody] = []
        for _ in range(2000):
            events = rng.choice((1, 1, 2, 5, 100))
            bad = sum(rng.random() < 0.05 for _ in range(events))
            if not bad:
                guard.took()
            elif (
                guard.rule(suspect_body := SuspectBody(), events - bad, refused(bad))
                is RejectionVerdict.WAIT
            ):
                waiting.append(suspect_body)
            assert guard.wall is None
            waiting = [
                old for old in waiting if guard.rule(old, 0, refused(1)) is RejectionVerdict.WAIT
            ]
        assert len(waiting) <= 2


class TestWalls:
    def test_nearly_all_of_request_after_request_are_a_wall_that_is_waited_for(self) -> None:
        guard = RejectionDetector()
        first = wait_until_wall(guard)
        for _ in range(1000):
            assert guard.rule(first, 0, refused(500)) is RejectionVerdict.WAIT
        assert guard.wall == (
            "nearly all events are refused for the same reason: "
            "strict: introduction of [x] is not allowed"
        )

    def test_it_takes_more_than_one_request(self) -> None:
        guard = RejectionDetector()
        guard.rule(SuspectBody(), 0, refused(2000))
        assert guard.wall is None

    def test_a_few_that_are_taken_in_each_request_do_not_hide_it(self) -> None:
        guard = RejectionDetector()
        for _ in range(10):
            assert guard.rule(SuspectBody(), 50, refused(1950)) is RejectionVerdict.WAIT
        assert guard.wall is not None

    def test_reasons_that_differ_in_names_and_values_only_are_the_same(self) -> None:
        guard = RejectionDetector()
        for request in range(2):
            reasons = [
                f"document_parsing_exception: [1:{index}] failed to parse field [a.f{index}] of "
                f"type [long] in document with id 'ab-{request}-{index}'. Preview: 'x{index}'"
                for index in range(50)
            ]
            items = [Refusal(index, 400, reason) for index, reason in enumerate(reasons)]
            assert guard.rule(SuspectBody(), 0, items) is RejectionVerdict.WAIT
        assert guard.wall is not None

    def test_lines_that_trickle_in_one_by_one_meet_it_too(self) -> None:
        guard, buried = RejectionDetector(), 0
        for _ in range(100):
            line = SuspectBody()
            for _ in range(ENOUGH_TRIES):
                if guard.rule(line, 0, refused(1)) is RejectionVerdict.DEAD_LETTER:
                    buried += 1
                    break
        assert buried < 10
        assert guard.wall is not None

    def test_it_ends_when_something_gets_through(self) -> None:
        guard = RejectionDetector()
        wait_until_wall(guard)
        guard.took()
        assert guard.wall is None
        assert guard.requests_refused == 0


class TestWholeRequests:
    def test_one_is_to_blame_when_others_get_through_and_it_never_does(self) -> None:
        guard, bad = RejectionDetector(), SuspectBody()
        for _ in range(ENOUGH_TRIES - 1):
            assert not guard.blames(bad)
            guard.took()
        assert guard.blames(bad)

    def test_none_is_to_blame_while_no_other_gets_through(self) -> None:
        guard, bad = RejectionDetector(), SuspectBody()
        assert not any(guard.blames(bad) for _ in range(100))
