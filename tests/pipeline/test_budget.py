"""One byte budget: who wants to read waits while it is taken."""

from __future__ import annotations

import asyncio

from shipper.pipeline.budget import ByteBudget
from tests.support.clock import settle
from tests.support.faults import PATIENCE


def test_there_is_room_until_the_limit_is_reached() -> None:
    async def run() -> None:
        budget = ByteBudget(100)
        budget.hold(99)
        await asyncio.wait_for(budget.room(), PATIENCE)
        budget.hold(1)
        waiting = asyncio.create_task(budget.room())
        await settle()
        assert not waiting.done()
        budget.release(1)
        await asyncio.wait_for(waiting, PATIENCE)
        assert budget.held == 99

    asyncio.run(run())


def test_what_was_read_is_held_even_beyond_the_limit_and_must_shrink_below_it() -> None:
    async def run() -> None:
        budget = ByteBudget(100)
        budget.hold(250)
        waiting = [asyncio.create_task(budget.room()) for _ in range(3)]
        budget.release(150)
        await settle()
        assert [task.done() for task in waiting] == [False] * 3
        budget.release(100)
        # Everyone who waited is woken.
        await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
        assert budget.held == 0

    asyncio.run(run())


def test_a_waiter_that_is_cancelled_holds_nothing() -> None:
    async def run() -> None:
        budget = ByteBudget(10)
        budget.hold(10)
        waiting = asyncio.create_task(budget.room())
        await settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        budget.release(10)
        assert budget.held == 0
        await asyncio.wait_for(budget.room(), PATIENCE)

    asyncio.run(run())
