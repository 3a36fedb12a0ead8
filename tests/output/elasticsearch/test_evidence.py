"""Whose fault a rejection is: what got through decides, never a share."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from shipper.output.elasticsearch.answers import ItemResults, Rejection
from shipper.output.elasticsearch.evidence import ENOUGH_SECONDS, ENOUGH_TRIES, Evidence, Suspicion
from shipper.output.elasticsearch.parts import Part, Sorted, sort_rejected
from shipper.pipeline.batch import Body

STRICT = "strict: introduction of [x] is not allowed"


def part_of(events: int, indices: Sequence[str] = ()) -> Part:
    """Return a part; `indices`: those of its events, if their actions name them."""
    lines: list[bytes] = []
    for number in range(events):
        index = f'"_index":"{indices[number]}",' if indices else ""
        lines += [f'{{"create":{{{index}"_id":"{number}"}}}}\n'.encode(), b"{}\n"]
    return Part(Body.of(lines, gzip=True))


def results(
    created: int, bad: int, reason: str = STRICT, *, conflicts: int = 0, dropped: int = 0
) -> ItemResults:
    """Return the results of so many events, in this order."""
    numbers = iter(range(10**6))
    for _ in range(created):
        next(numbers)
    rejected = [Rejection(next(numbers), 400, reason) for _ in range(bad)]
    there = [next(numbers) for _ in range(conflicts)]
    gone = [next(numbers) for _ in range(dropped)]
    return ItemResults(created + dropped, conflicts, [], {}, "", rejected, [], there, gone)


class Output:
    """The evidence of one output, and the numbers of its requests."""

    def __init__(self, *, final: bool = False) -> None:
        self.evidence = Evidence(rejections_are_final=final)
        self.now = 1000.0

    def answer(self, part: Part, found: ItemResults, number: int | None = None) -> Sorted:
        """Have a part answered; `number`: of a request that was sent before."""
        number = self.evidence.sent() if number is None else number
        return sort_rejected(part, found, self.evidence, "http://es", number, self.now)

    def create(self, number: int | None = None, indices: Sequence[str] = ()) -> None:
        """Have a request of created events answered."""
        self.answer(part_of(1, indices), results(1, 0), number)


def rejected(bad: int) -> tuple[Part, ItemResults]:
    return part_of(bad), results(0, bad)


class TestEventsAtFault:
    @pytest.mark.parametrize(
        ("created", "bad"), [(1999, 1), (1000, 1000), (1, 1), (1, 99), (1, 1999), (5, 95)]
    )
    def test_rejected_beside_a_created_one_are_dead_letters_whatever_their_share(
        self, created: int, bad: int
    ) -> None:
        output = Output()
        found = output.answer(part_of(created + bad), results(created, bad))
        assert (len(found.final), len(found.waiting)) == (bad, 0)
        assert output.evidence.systemic is None

    @pytest.mark.parametrize(("conflicts", "dropped"), [(50, 0), (0, 50)])
    def test_conflicts_and_dropped_events_beside_them_show_nothing(
        self, conflicts: int, dropped: int
    ) -> None:
        output = Output()
        found = output.answer(part_of(60), results(0, 10, conflicts=conflicts, dropped=dropped))
        assert (len(found.final), len(found.waiting)) == (0, 10)

    def test_a_lone_one_is_at_fault_at_the_next_rejection_when_others_are_created(self) -> None:
        output, (part, bad) = Output(), rejected(1)
        assert output.answer(part, bad).waiting
        output.create()
        assert output.answer(part, bad).final

    def test_what_was_created_before_says_nothing_of_now(self) -> None:
        output, (part, bad) = Output(), rejected(1)
        output.create()
        assert output.answer(part, bad).waiting

    def test_answers_that_were_under_way_when_a_template_broke_prove_nothing(self) -> None:
        output, (part, bad) = Output(), rejected(100)
        under_way = [output.evidence.sent() for _ in range(10)]
        assert output.answer(part, bad).waiting
        for number in under_way:
            output.create(number)
        assert output.answer(part, bad).waiting
        assert output.evidence.systemic is not None
        output.create()
        assert output.answer(part, bad).final

    def test_another_index_proves_nothing_for_this_one(self) -> None:
        output = Output()
        part = part_of(40, ["logs-1"] * 20 + ["logs-2"] * 20)
        found = output.answer(part, results(20, 20))
        assert (len(found.final), len(found.waiting)) == (0, 20)
        output.create(indices=["logs-3"])
        assert output.answer(part, results(20, 20)).waiting
        output.create(indices=["logs-2"])
        assert output.answer(part, results(20, 20)).final

    def test_of_two_indices_only_the_one_that_works_proves(self) -> None:
        output = Output()
        part = part_of(4, ["works", "works", "broken", "broken"])
        found = output.answer(part, results(1, 3))
        assert [each.index for each in found.final] == [1]
        assert [each.index for each in found.waiting] == [2, 3]

    def test_indices_that_are_remembered_have_a_bound(self) -> None:
        output, (part, bad) = Output(), rejected(1)
        output.answer(part, bad)
        for number in range(1000):
            output.create(indices=[f"logs-{number}"])
        assert len(output.evidence._created) < 100

    def test_a_few_with_nothing_to_compare_are_at_fault_after_enough_tries(self) -> None:
        output, (part, bad) = Output(), rejected(3)
        found = [bool(output.answer(part, bad).final) for _ in range(ENOUGH_TRIES)]
        assert found == [False] * (ENOUGH_TRIES - 1) + [True]
        assert output.evidence.systemic is None

    def test_many_in_one_request_are_at_fault_too_when_others_are_created(self) -> None:
        output, (part, bad) = Output(), rejected(2000)
        assert output.answer(part, bad).waiting
        output.create()
        assert len(output.answer(part, bad).final) == 2000

    @pytest.mark.parametrize("seed", range(20))
    def test_a_few_bad_events_among_good_ones_are_never_a_systemic_rejection(
        self, seed: int
    ) -> None:
        rng, output = random.Random(seed), Output()
        waiting: list[Part] = []
        for _ in range(2000):
            events = rng.choice((1, 1, 2, 5, 100))
            bad = sum(rng.random() < 0.05 for _ in range(events))
            part = part_of(events)
            if output.answer(part, results(events - bad, bad)).waiting:
                waiting.append(part)
            assert output.evidence.systemic is None
            waiting = [old for old in waiting if output.answer(old, results(0, 1)).waiting]
        assert len(waiting) <= 2

    def test_in_a_replay_all_are_final(self) -> None:
        output, (part, bad) = Output(final=True), rejected(500)
        assert len(output.answer(part, bad).final) == 500

    def test_a_500_is_final_after_enough_tries_while_others_are_created(self) -> None:
        output, part = Output(), part_of(1)
        failing = ItemResults(
            0, 0, [0], {"item_500": 1}, "", [], server_errors=[Rejection(0, 500, "x")]
        )
        assert not any(output.answer(part, failing).final for _ in range(20))
        output.create()
        assert output.answer(part, failing).final


class TestSystemicRejections:
    def test_all_of_request_after_request_are_one_that_is_waited_for(self) -> None:
        output, (first, bad) = Output(), rejected(500)
        for part in (first, part_of(500), *[first] * 1000):
            assert len(output.answer(part, bad).waiting) == 500
        assert output.evidence.systemic == f"all events are refused, and none is stored: {STRICT}"

    def test_it_takes_more_than_one_request(self) -> None:
        output = Output()
        output.answer(*rejected(2000))
        assert output.evidence.systemic is None

    def test_rejections_for_many_reasons_are_one_too_while_nothing_is_created(self) -> None:
        """A template that is broken is met by each kind of event in its own way."""
        output = Output()
        bad = results(0, 1000)
        bad.rejected[:] = [
            Rejection(index, 400, f"{'abcdefghij'[index % 10]}: it is bad") for index in range(1000)
        ]
        for _ in range(2):
            assert len(output.answer(part_of(1000), bad).waiting) == 1000
        assert output.evidence.systemic is not None

    def test_lines_that_trickle_in_one_by_one_meet_it_too(self) -> None:
        output, dead_lettered = Output(), 0
        for _ in range(100):
            part, bad = rejected(1)
            dead_lettered += any(output.answer(part, bad).final for _ in range(ENOUGH_TRIES))
        assert dead_lettered < 10
        assert output.evidence.systemic is not None

    def test_it_ends_when_something_is_created(self) -> None:
        output = Output()
        for _ in range(2):
            output.answer(*rejected(500))
        assert output.evidence.requests_rejected == 2
        output.create()
        assert output.evidence.systemic is None
        assert output.evidence.requests_rejected == 0


class TestRequests:
    HOST = "http://es"

    def test_others_count_from_when_a_part_first_failed(self) -> None:
        evidence, suspicion = Evidence(), Suspicion()
        before = evidence.sent()
        suspicion.again("timeout", self.HOST, evidence.mark, 0.0)
        evidence.got_through(self.HOST, before, 1000)
        assert not evidence.others(self.HOST, suspicion)
        evidence.got_through(self.HOST, evidence.sent(), 1000)
        assert evidence.others(self.HOST, suspicion)
        assert not evidence.others("http://another", suspicion)

    def test_others_of_its_size_are_no_smaller_ones(self) -> None:
        evidence, suspicion = Evidence(), Suspicion()
        suspicion.again("timeout", self.HOST, evidence.mark, 0.0)
        evidence.got_through(self.HOST, evidence.sent(), 1000)
        assert not evidence.others(self.HOST, suspicion, least=5000)
        evidence.got_through(self.HOST, evidence.sent(), 6000)
        assert evidence.others(self.HOST, suspicion, least=5000)

    def test_a_failure_in_another_way_begins_anew(self) -> None:
        suspicion = Suspicion()
        for _ in range(4):
            suspicion.again("timeout", self.HOST, 1, 10.0)
        suspicion.again("502", "http://another", 9, 20.0)
        assert suspicion == Suspicion("502", 1, 9, 20.0, {"http://another"})

    def test_a_wall_of_too_large_ends_when_something_gets_through(self) -> None:
        evidence = Evidence()
        under_way = evidence.sent()
        assert not evidence.takes_nothing(self.HOST)
        evidence.too_large(self.HOST)
        assert evidence.takes_nothing(self.HOST)
        evidence.got_through(self.HOST, under_way, 100)
        assert evidence.takes_nothing(self.HOST)
        evidence.got_through(self.HOST, evidence.sent(), 100)
        assert not evidence.takes_nothing(self.HOST)

    def test_larger_than_anything_that_passed_means_that_something_did(self) -> None:
        evidence = Evidence()
        assert not evidence.is_largest(self.HOST, 100)
        evidence.too_large(self.HOST)
        assert not evidence.is_largest(self.HOST, 100)
        evidence.got_through(self.HOST, evidence.sent(), 100)
        assert not evidence.is_largest(self.HOST, 100)
        assert evidence.is_largest(self.HOST, 101)

    def test_indices_matter_only_while_something_waits(self) -> None:
        evidence = Evidence()
        assert not evidence.is_wanted(1000.0)
        evidence.want(1000.0)
        assert evidence.is_wanted(1000.0 + ENOUGH_SECONDS / 2)
        assert not evidence.is_wanted(1000.0 + ENOUGH_SECONDS)
