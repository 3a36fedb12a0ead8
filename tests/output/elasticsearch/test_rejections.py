"""Which rejections are systemic: requests, and what is done with their refused events."""

from __future__ import annotations

import random

import pytest

from shipper.output.elasticsearch.answers import Rejection
from shipper.output.elasticsearch.rejections import (
    ENOUGH_TRIES,
    RejectionDetector,
    RejectionVerdict,
    SuspectBody,
)


def rejections(
    count: int, reason: str = "strict: introduction of [x] is not allowed"
) -> list[Rejection]:
    return [Rejection(index, 400, reason) for index in range(count)]


def wait_until_systemic(detector: RejectionDetector) -> SuspectBody:
    """Have a guard see a systemic rejection; return the first of its suspects."""
    first = SuspectBody()
    assert detector.evaluate(first, 0, rejections(500)) is RejectionVerdict.WAIT
    assert detector.evaluate(SuspectBody(), 0, rejections(500)) is RejectionVerdict.WAIT
    assert detector.systemic is not None
    return first


class TestPills:
    @pytest.mark.parametrize(
        ("accepted", "bad"), [(1999, 1), (1000, 1000), (3, 1), (1, 1), (12, 99)]
    )
    def test_rejected_among_accepted_are_dead_letters_at_once(
        self, accepted: int, bad: int
    ) -> None:
        detector = RejectionDetector()
        assert (
            detector.evaluate(SuspectBody(), accepted, rejections(bad))
            is RejectionVerdict.DEAD_LETTER
        )
        assert detector.systemic is None

    def test_a_lone_one_is_a_pill_at_the_next_refusal_when_others_get_through(self) -> None:
        detector, lone = RejectionDetector(), SuspectBody()
        assert detector.evaluate(lone, 0, rejections(1)) is RejectionVerdict.WAIT
        detector.request_accepted()
        assert detector.evaluate(lone, 0, rejections(1)) is RejectionVerdict.DEAD_LETTER

    def test_what_got_through_before_says_nothing_of_now(self) -> None:
        detector = RejectionDetector()
        detector.request_accepted()
        assert detector.evaluate(SuspectBody(), 0, rejections(1)) is RejectionVerdict.WAIT

    def test_a_few_with_nothing_to_compare_are_pills_after_enough_tries(self) -> None:
        detector, lone = RejectionDetector(), SuspectBody()
        rulings = [detector.evaluate(lone, 0, rejections(3)) for _ in range(ENOUGH_TRIES)]
        assert rulings == [RejectionVerdict.WAIT] * (ENOUGH_TRIES - 1) + [
            RejectionVerdict.DEAD_LETTER
        ]
        assert detector.systemic is None

    def test_many_in_one_request_are_pills_too_when_others_get_through(self) -> None:
        detector, bad = RejectionDetector(), SuspectBody()
        assert detector.evaluate(bad, 0, rejections(2000)) is RejectionVerdict.WAIT
        assert detector.evaluate(SuspectBody(), 2000, rejections(1)) is RejectionVerdict.DEAD_LETTER
        assert detector.evaluate(bad, 0, rejections(2000)) is RejectionVerdict.DEAD_LETTER

    def test_rejections_for_many_reasons_are_not_systemic(self) -> None:
        detector = RejectionDetector()
        reasons = [f"{name}: it is bad" for name in "abcdefghij"]
        mixed = [Rejection(index, 400, reasons[index % 10]) for index in range(1000)]
        assert detector.evaluate(SuspectBody(), 0, mixed) is RejectionVerdict.DEAD_LETTER

    @pytest.mark.parametrize("seed", range(20))
    def test_a_few_bad_events_among_good_ones_are_never_a_systemic_rejection(
        self, seed: int
    ) -> None:
        rng, detector = random.Random(seed), RejectionDetector()
        waiting: list[SuspectBody] = []
        for _ in range(2000):
            events = rng.choice((1, 1, 2, 5, 100))
            bad = sum(rng.random() < 0.05 for _ in range(events))
            if not bad:
                detector.request_accepted()
            elif (
                detector.evaluate(suspect := SuspectBody(), events - bad, rejections(bad))
                is RejectionVerdict.WAIT
            ):
                waiting.append(suspect)
            assert detector.systemic is None
            waiting = [
                old
                for old in waiting
                if detector.evaluate(old, 0, rejections(1)) is RejectionVerdict.WAIT
            ]
        assert len(waiting) <= 2


class TestWalls:
    def test_nearly_all_of_request_after_request_are_a_systemic_rejection_that_is_waited_for(
        self,
    ) -> None:
        detector = RejectionDetector()
        first = wait_until_systemic(detector)
        for _ in range(1000):
            assert detector.evaluate(first, 0, rejections(500)) is RejectionVerdict.WAIT
        assert detector.systemic == (
            "nearly all events are refused for the same reason: "
            "strict: introduction of [x] is not allowed"
        )

    def test_it_takes_more_than_one_request(self) -> None:
        detector = RejectionDetector()
        detector.evaluate(SuspectBody(), 0, rejections(2000))
        assert detector.systemic is None

    def test_a_few_that_are_taken_in_each_request_do_not_hide_it(self) -> None:
        detector = RejectionDetector()
        for _ in range(10):
            assert detector.evaluate(SuspectBody(), 50, rejections(1950)) is RejectionVerdict.WAIT
        assert detector.systemic is not None

    def test_reasons_that_differ_in_names_and_values_only_are_the_same(self) -> None:
        detector = RejectionDetector()
        for request in range(2):
            reasons = [
                f"document_parsing_exception: [1:{index}] failed to parse field [a.f{index}] of "
                f"type [long] in document with id 'ab-{request}-{index}'. Preview: 'x{index}'"
                for index in range(50)
            ]
            items = [Rejection(index, 400, reason) for index, reason in enumerate(reasons)]
            assert detector.evaluate(SuspectBody(), 0, items) is RejectionVerdict.WAIT
        assert detector.systemic is not None

    def test_lines_that_trickle_in_one_by_one_meet_it_too(self) -> None:
        detector, dead_lettered = RejectionDetector(), 0
        for _ in range(100):
            line = SuspectBody()
            for _ in range(ENOUGH_TRIES):
                if detector.evaluate(line, 0, rejections(1)) is RejectionVerdict.DEAD_LETTER:
                    dead_lettered += 1
                    break
        assert dead_lettered < 10
        assert detector.systemic is not None

    def test_it_ends_when_something_gets_through(self) -> None:
        detector = RejectionDetector()
        wait_until_systemic(detector)
        detector.request_accepted()
        assert detector.systemic is None
        assert detector.requests_rejected == 0


class TestWholeRequests:
    def test_one_is_to_blame_when_others_get_through_and_it_never_does(self) -> None:
        detector, bad = RejectionDetector(), SuspectBody()
        for _ in range(ENOUGH_TRIES - 1):
            assert not detector.is_at_fault(bad)
            detector.request_accepted()
        assert detector.is_at_fault(bad)

    def test_none_is_to_blame_while_no_other_gets_through(self) -> None:
        detector, bad = RejectionDetector(), SuspectBody()
        assert not any(detector.is_at_fault(bad) for _ in range(100))
