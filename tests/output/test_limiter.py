"""Permits: in turn, no more than the limit, and none is lost, whoever is cancelled when."""

from __future__ import annotations

import asyncio
import random

import pytest

from shipper.output.limiter import Feedback, Limiter, Permit
from tests.support.clock import ManualClock, settle
from tests.support.loop import in_a_loop


def fixed(most: int) -> Limiter:
    return Limiter(ManualClock(), most=most, adaptive=False)


class Asking:
    """Tasks that ask for a permit, by number, in the order in which they got it."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self.got: list[int] = []
        self.permits: dict[int, Permit] = {}

    def ask(self, number: int) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(self._ask(number))

    async def _ask(self, number: int) -> None:
        self.permits[number] = await self._limiter.acquire()
        self.got.append(number)

    def release(self, number: int) -> None:
        self.permits.pop(number).release(Feedback.ACCEPTED, 1)


@in_a_loop
async def test_no_more_than_the_limit_have_a_permit_and_who_asked_first_is_first() -> None:
    limiter = fixed(2)
    asking = Asking(limiter)
    tasks = [asking.ask(number) for number in range(5)]
    await settle()
    assert (asking.got, limiter.in_flight) == ([0, 1], 2)
    asking.release(1)
    await settle()
    assert (asking.got, limiter.in_flight) == ([0, 1, 2], 2)
    asking.release(0)
    asking.release(2)
    await settle()
    assert all(task.done() for task in tasks)
    assert (asking.got, limiter.in_flight) == ([0, 1, 2, 3, 4], 2)


@in_a_loop
async def test_nobody_overtakes_one_whose_turn_has_come_but_who_has_not_run_yet() -> None:
    limiter = fixed(1)
    asking = Asking(limiter)
    asking.ask(0)
    await settle()
    waiting = asking.ask(1)
    await settle()
    asking.release(0)
    late = asking.ask(2)
    await settle()
    assert waiting.done()
    assert (asking.got, limiter.in_flight) == ([0, 1], 1)
    late.cancel()


@in_a_loop
async def test_a_cancelled_waiter_takes_nothing_and_the_next_one_is_next() -> None:
    limiter = fixed(1)
    asking = Asking(limiter)
    tasks = [asking.ask(number) for number in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    asking.release(0)
    await settle()
    assert (asking.got, limiter.in_flight) == ([0, 2], 1)


@in_a_loop
async def test_one_that_is_cancelled_when_its_turn_has_come_hands_it_on() -> None:
    limiter = fixed(1)
    asking = Asking(limiter)
    tasks = [asking.ask(number) for number in range(3)]
    await settle()
    asking.release(0)
    tasks[1].cancel()
    await settle()
    assert (asking.got, limiter.in_flight) == ([0, 2], 1)


@in_a_loop
async def test_a_turn_that_comes_right_after_the_cancelling_is_handed_on() -> None:
    limiter = fixed(1)
    asking = Asking(limiter)
    tasks = [asking.ask(number) for number in range(3)]
    await settle()
    tasks[1].cancel()
    asking.release(0)
    await settle()
    assert (asking.got, limiter.in_flight) == ([0, 2], 1)


@in_a_loop
async def test_cancelling_and_releasing_in_any_order_loses_no_permit() -> None:
    rng = random.Random(3)
    limiter = fixed(3)
    asking = Asking(limiter)
    tasks: list[asyncio.Task[None]] = []
    for number in range(600):
        tasks.append(asking.ask(number))
        for _ in range(rng.randrange(3)):
            if rng.random() < 0.5:
                rng.choice([task for task in tasks if not task.done()] or tasks).cancel()
            elif asking.permits:
                asking.release(rng.choice(list(asking.permits)))
            if rng.random() < 0.5:
                await asyncio.sleep(0)
        assert limiter.in_flight <= 3
    for _ in tasks:
        await settle()
        for number in list(asking.permits):
            asking.release(number)
    assert all(task.done() for task in tasks)
    assert limiter.in_flight == 0
    assert len(asking.got) > 100


@in_a_loop
async def test_a_permit_is_released_once() -> None:
    limiter = fixed(2)
    permit = await limiter.acquire()
    permit.release(Feedback.FAILED, 0)
    with pytest.raises(RuntimeError, match="twice"):
        permit.release(Feedback.ACCEPTED, 1)
    assert limiter.in_flight == 0


@in_a_loop
async def test_the_pause_before_a_permit_is_used_again_is_no_time_of_the_clusters() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, most=12, adaptive=True)
    await _work(clock, limiter, 100, Feedback.ACCEPTED)
    for _ in range(8):
        permits = [await limiter.acquire() for _ in range(limiter.limit)]
        await clock.advance(60)
        for permit in permits:
            permit.restart()
        await clock.advance(1)
        for permit in permits:
            permit.release(Feedback.ACCEPTED, 10)
    assert limiter.limit == 12


@in_a_loop
async def test_a_fixed_limit_stays_whatever_the_cluster_says() -> None:
    limiter = fixed(7)
    for feedback in (*Feedback, *Feedback):
        (await limiter.acquire()).release(feedback, 10)
        assert limiter.limit == 7


async def _work(clock: ManualClock, limiter: Limiter, requests: int, answer: Feedback) -> None:
    """Each takes a second; all ask at once."""

    async def request() -> None:
        permit = await limiter.acquire()
        await clock.sleep(1)
        permit.release(answer, 10)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(requests):
            tasks.create_task(request())
        await clock.advance(requests)


@in_a_loop
async def test_an_adaptive_limit_grows_as_long_as_answers_come_in_time_up_to_the_most() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, most=12, adaptive=True)
    assert limiter.limit == 2
    await _work(clock, limiter, 100, Feedback.ACCEPTED)
    assert (limiter.limit, limiter.in_flight) == (12, 0)


@in_a_loop
async def test_an_adaptive_limit_shrinks_when_requests_are_rejected() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, most=12, adaptive=True)
    await _work(clock, limiter, 100, Feedback.ACCEPTED)
    await _work(clock, limiter, 12, Feedback.REJECTED)
    assert limiter.limit < 12


@in_a_loop
async def test_when_the_limit_shrinks_those_that_are_under_way_stay_and_others_wait() -> None:
    limiter = Limiter(ManualClock(), most=2, adaptive=True)
    first, second = await limiter.acquire(), await limiter.acquire()
    first.release(Feedback.REJECTED, 10)
    assert (limiter.limit, limiter.in_flight) == (1, 1)
    waiting = asyncio.ensure_future(limiter.acquire())
    await settle()
    assert not waiting.done()
    second.release(Feedback.ACCEPTED, 10)
    await settle()
    assert waiting.done()
    assert limiter.in_flight == 1
