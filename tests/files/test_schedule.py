"""When directories are walked again: soon after a change, and rarely while nothing happens."""

from __future__ import annotations

import asyncio

from shipper.files.facts import Inode
from shipper.files.schedule import SLOWEST, SPACING, WalkSchedule
from tests.support.clock import ManualClock


def walked(clock: ManualClock, cost: float, interval: float = 2.0) -> WalkSchedule:
    schedule = WalkSchedule(clock, interval)
    schedule.begin()
    schedule.end(cost, {})
    return schedule


def test_the_first_walk_is_due_at_once() -> None:
    schedule = WalkSchedule(ManualClock(), 2.0)
    assert schedule.is_due
    assert schedule.pause == 0.0


def test_walks_that_are_asked_for_keep_their_distance() -> None:
    async def story() -> None:
        clock = ManualClock()
        schedule = walked(clock, 0.001)
        assert schedule.pause == SPACING
        await clock.advance(0.3)
        assert round(schedule.pause, 6) == SPACING - 0.3
        await clock.advance(0.3)
        assert schedule.pause == 0.0

    asyncio.run(story())


def test_expensive_walks_take_a_tenth_of_a_core_at_the_most() -> None:
    assert walked(ManualClock(), 0.3).pause == 3.0
    assert walked(ManualClock(), 300.0).pause == SLOWEST


def test_without_inotify_directories_are_walked_each_interval() -> None:
    schedule = walked(ManualClock(), 10.0)
    schedule.watched("/logs", completely=True)
    schedule.watched("/others", completely=False)
    assert not schedule.in_force
    assert schedule.period == 2.0


def test_what_is_watched_is_walked_the_less_often_the_more_it_costs() -> None:
    def period(cost: float, interval: float = 2.0) -> float:
        schedule = walked(ManualClock(), cost, interval)
        schedule.watched("/logs", completely=True)
        return round(schedule.period, 6)

    assert period(0.001) == 2.0
    assert period(0.05) == 10.0
    assert period(1.0) == SLOWEST
    # Who asks for less gets less.
    assert period(1.0, interval=60.0) == 60.0


def test_a_walk_is_due_when_its_time_is_over_though_it_began_a_little_late() -> None:
    async def story() -> None:
        clock = ManualClock()
        schedule = WalkSchedule(clock, 2.0)
        await clock.advance(0.1)
        schedule.begin()
        schedule.end(0.001, {})
        assert not schedule.is_due
        await clock.advance(1.9)
        assert schedule.is_due

    asyncio.run(story())


def test_other_directories_than_before_are_told_of() -> None:
    async def story() -> None:
        schedule = walked(ManualClock(), 0.0)
        schedule.watched("/logs", completely=True)
        assert not schedule.moved.is_set()
        schedule.end(0.0, {"/logs": Inode(1, 2)})
        assert schedule.moved.is_set()
        # What is new is not watched yet.
        assert not schedule.in_force
        schedule.moved.clear()
        schedule.end(0.0, {"/logs": Inode(1, 2)})
        assert not schedule.moved.is_set()
        # The same path, and another directory.
        schedule.end(0.0, {"/logs": Inode(1, 3)})
        assert schedule.moved.is_set()

    asyncio.run(story())
