"""Requests that take much longer than others: who gives a permit back, and who is given up."""

from __future__ import annotations

import asyncio

import pytest

from shipper.output.elasticsearch import overdue
from shipper.output.elasticsearch.evidence import Evidence
from shipper.output.elasticsearch.hosts import Host
from shipper.output.elasticsearch.overdue import Overdue, most_requests, most_suspects
from tests.support.loop import in_a_loop

SECONDS = 0.02


class World:
    """Requests at one host, and what became of them."""

    def __init__(self, most: int, *, may_give_up: bool = True) -> None:
        self.evidence = Evidence()
        self.overdue = Overdue(self.evidence, most, may_give_up=may_give_up)
        self.host = Host("http://a:9200")
        self.given_back: list[int] = []
        self.given_up: list[int] = []

    def send(self) -> int:
        number = self.evidence.sent()
        self.overdue.watch(
            self.host,
            number,
            0.0,
            give_back=lambda: self.given_back.append(number),
            give_up=lambda: self.given_up.append(number),
        )
        return number

    def passes(self) -> None:
        self.evidence.got_through(self.host.url, self.evidence.sent(), 100)

    async def wait(self) -> None:
        await asyncio.sleep(4 * SECONDS)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "SECONDS", SECONDS)


@in_a_loop
async def test_an_overdue_request_gives_its_permit_back_when_later_ones_get_through() -> None:
    world = World(most=4)
    number = world.send()
    assert world.given_back == []
    world.passes()
    await world.wait()
    assert (world.given_back, world.given_up) == ([number], [])


@in_a_loop
async def test_while_nothing_gets_through_half_as_many_do() -> None:
    world = World(most=4)
    numbers = [world.send() for _ in range(8)]
    await world.wait()
    assert world.given_back == numbers[:2]
    assert world.given_up == []
    # One of those that were sent instead got through: now it is known whose fault it is.
    world.passes()
    await world.wait()
    assert sorted(world.given_back) == numbers
    assert len(world.given_up) == 4


@in_a_loop
async def test_bodies_that_hang_never_hold_all_permits_for_good() -> None:
    """However many there are in a row: two give their permits back each time."""
    world = World(most=4)
    for _ in range(5):
        for _ in range(4):
            world.send()
        before = len(world.given_back)
        await world.wait()
        assert len(world.given_back) >= before + 2
        world.passes()
    assert len(world.given_back) - len(world.given_up) <= 4


@in_a_loop
async def test_a_request_that_has_ended_is_left_alone() -> None:
    world, ended = World(most=1), list[object]()
    number = world.evidence.sent()
    over = world.overdue.watch(
        world.host, number, 0.0, give_back=lambda: ended.append(1), give_up=lambda: ended.append(2)
    )
    over()
    world.passes()
    await world.wait()
    assert ended == []


@in_a_loop
async def test_a_host_that_is_slow_for_all_has_its_time() -> None:
    world = World(most=4)
    world.host.round_trip = 1.0
    world.send()
    world.passes()
    await world.wait()
    assert world.given_back == []


@pytest.mark.parametrize(("permits", "suspects", "requests"), [(1, 1, 5), (4, 1, 11), (16, 4, 38)])
def test_there_are_connections_for_all(permits: int, suspects: int, requests: int) -> None:
    assert most_suspects(permits) == suspects
    assert most_requests(permits) == requests


@in_a_loop
async def test_events_without_ids_have_all_of_their_time() -> None:
    world = World(most=2, may_give_up=False)
    numbers = [world.send() for _ in range(4)]
    world.passes()
    await world.wait()
    # The others keep their permits: there is no room for more.
    assert (world.given_back, world.given_up) == (numbers[:2], [])
