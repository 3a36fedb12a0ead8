"""What waits to be written is bounded, and what was dropped is told of."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shipper.logs.events import Level
from shipper.logs.limits import REPEAT_SECONDS
from shipper.logs.queue import MAX_BYTES, MAX_LINES, DropReason, LogLine, LogQueue
from tests.support.clock import ManualClock


class World:
    """A queue, and the notices that it made."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.notices: list[Mapping[DropReason, int]] = []
        self.queue = LogQueue(self.clock, notice=self._notice)

    def _notice(self, dropped: Mapping[DropReason, int]) -> bytes:
        self.notices.append(dropped)
        return b"notice\n"

    def offer(self, level: Level, count: int = 1, size: int = 10) -> None:
        for _ in range(count):
            self.queue.offer(LogLine(level.value.encode().ljust(size), level))

    def take_all(self) -> list[bytes]:
        return list(iter(self.queue.take, None))


@pytest.fixture
def world() -> World:
    return World()


def test_lines_come_in_their_order(world: World) -> None:
    world.offer(Level.ERROR)
    world.offer(Level.INFO)
    assert [line.strip() for line in world.take_all()] == [b"error", b"info"]
    assert world.notices == []


@pytest.mark.parametrize(
    ("level", "share"),
    [(Level.DEBUG, 0.25), (Level.INFO, 0.5), (Level.WARNING, 0.75), (Level.ERROR, 1.0)],
)
@pytest.mark.parametrize("size", [10, 5000])
def test_a_level_has_its_share_of_lines_and_bytes(
    world: World, level: Level, share: float, size: int
) -> None:
    world.offer(level, 2 * MAX_LINES, size)
    fit = min(MAX_LINES * share, MAX_BYTES * share // size)
    assert world.queue.dropped()[DropReason.QUEUE_FULL] == 2 * MAX_LINES - fit


def test_information_leaves_room_for_errors(world: World) -> None:
    world.offer(Level.INFO, 10_000)
    world.offer(Level.ERROR)
    assert world.take_all()[-2].strip() == b"error"
    assert world.notices == [{DropReason.QUEUE_FULL: 10_000 - MAX_LINES / 2}]


def test_what_is_essential_takes_the_place_of_the_oldest(world: World) -> None:
    world.offer(Level.ERROR, MAX_LINES)
    world.queue.offer(LogLine(b"fatal\n", Level.ERROR, essential=True))
    assert world.queue.dropped()[DropReason.QUEUE_FULL] == 1
    lines = world.take_all()
    assert len(lines) == MAX_LINES + 1
    assert lines[-2:] == [b"fatal\n", b"notice\n"]


def test_essential_lines_are_bounded_too(world: World) -> None:
    for _ in range(100):
        world.queue.offer(LogLine(b"x" * 50_000, Level.ERROR, essential=True))
    assert sum(map(len, world.take_all())) <= MAX_BYTES


def test_the_notice_comes_once_there_is_room_and_then_not_all_the_time(world: World) -> None:
    world.offer(Level.INFO, MAX_LINES)
    assert world.notices == []
    world.take_all()
    assert world.notices == [{DropReason.QUEUE_FULL: MAX_LINES // 2}]
    for _ in range(100):
        world.queue.drop(DropReason.RATE_LIMIT)
        assert world.take_all() == []
    world.clock.pass_time(REPEAT_SECONDS)
    assert world.take_all() == [b"notice\n"]
    assert world.notices[1] == {DropReason.RATE_LIMIT: 100}
    world.clock.pass_time(REPEAT_SECONDS)
    assert world.take_all() == []


def test_whoever_writes_knows_whether_a_notice_will_be_due(world: World) -> None:
    states = [world.queue.has_notice]
    world.queue.drop(DropReason.RATE_LIMIT)
    states.append(world.queue.has_notice)
    world.take_all()
    states.append(world.queue.has_notice)
    assert states == [False, True, False]


def test_at_the_end_the_notice_does_not_wait(world: World) -> None:
    for _ in range(2):
        world.queue.drop(DropReason.RATE_LIMIT)
        assert world.queue.take_notice() == b"notice\n"
    assert world.queue.take_notice() is None


def test_dropped_messages_are_counted_by_reason_from_the_start(world: World) -> None:
    assert world.queue.dropped() == dict.fromkeys(DropReason, 0)
    world.queue.drop(DropReason.WRITE_ERROR)
    assert world.queue.dropped()[DropReason.WRITE_ERROR] == 1
