"""When a request is full or old, what is in it, and what it takes of the byte budget."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from shipper.documents.encoded import Encoded, RefusedLine
from shipper.files.ack import AckTracker, Span
from shipper.files.identity import NO_MARK
from shipper.logs import Level
from shipper.pipeline.batch import BATCH_OVERHEAD, Batch, Batcher, Body
from shipper.pipeline.budget import ByteBudget
from tests.support.clock import ManualClock, settle
from tests.support.logs import RecordedLog

LINGER = 1.0


def event(number: int, size: int = 100) -> list[bytes]:
    """An action and a document line."""
    action = b'{"create":{"_id":"%06d"}}\n' % number
    return [action, b'{"message":"%s"}\n' % (b"%d " % number + b"x" * size)]


def encoded(*numbers: int, size: int = 100) -> Encoded:
    return Encoded(b"".join(b"".join(event(n, size)) for n in numbers), len(numbers))


@dataclass
class World:
    """A batcher, what it hands on, and whether there is a slot for it."""

    max_bytes: int = 1_000_000
    max_events: int = 1000
    gzip: bool = True
    batches: list[Batch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.recorded = RecordedLog(self.clock, Level.DEBUG)
        self.budget = ByteBudget(1_000_000)
        self.slot = asyncio.Event()
        self.slot.set()
        self.acks = AckTracker(0, NO_MARK, on_advance=lambda: None)
        self.batcher = Batcher(
            self.clock,
            self.budget,
            self._submit,
            max_bytes=self.max_bytes,
            max_events=self.max_events,
            linger=LINGER,
            gzip=self.gzip,
            log=self.recorded.log,
        )

    async def _submit(self, batch: Batch) -> None:
        await self.slot.wait()
        self.batches.append(batch)

    async def add(self, block: Encoded) -> Span:
        span = self.acks.open(self.acks.opened + 10, NO_MARK, 0.0)
        self.batcher.put(block, [span])
        await self.batcher.hand_on_if_full()
        return span

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        """The story, with the batcher running beside it."""

        async def both() -> None:
            running = asyncio.create_task(self.batcher.run())
            try:
                await story()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

        asyncio.run(both())


# Bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [True, False])
def test_a_body_gives_its_lines_back(compressed: bool) -> None:
    lines = [line for number in range(50) for line in event(number)]
    body = Body.of(lines, gzip=compressed)
    assert body.lines() == lines
    assert (body.events, body.gzip) == (50, compressed)
    plain = gzip.decompress(body.payload) if compressed else body.payload
    assert plain == b"".join(lines)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_body_of_only_some_events_has_them_in_that_order(compressed: bool) -> None:
    body = Body.of([line for n in range(10) for line in event(n)], gzip=compressed)
    some = body.only([1, 4, 9])
    assert some.lines() == [*event(1), *event(4), *event(9)]
    assert (some.events, some.gzip) == (3, compressed)
    assert some.only([2]).lines() == event(9)


def test_a_document_with_line_separators_of_unicode_is_one_line() -> None:
    document = '{"message":"a\u2028b\u2029c\u0085d\x0b\x0c"}\n'.encode()
    body = Body.of([b'{"create":{}}\n', document], gzip=True)
    assert body.only([0]).lines() == [b'{"create":{}}\n', document]


# When a batch is closed ---------------------------------------------------------------------------


def test_a_batch_is_closed_when_it_has_reached_its_events() -> None:
    world = World(max_events=3)

    async def story() -> None:
        await world.add(encoded(1, 2))
        assert world.batches == []
        await world.add(encoded(3, 4))
        (batch,) = world.batches
        assert batch.body.lines() == [line for n in range(1, 5) for line in event(n)]
        await world.add(encoded(5))
        assert len(world.batches) == 1

    world.run(story)


def test_with_debug_it_is_logged_why_a_batch_was_closed() -> None:
    world = World(max_events=3, max_bytes=10_000)

    async def story() -> None:
        await world.add(encoded(1, 2, 3))
        await world.add(encoded(4, size=20_000))
        await world.add(encoded(5))
        await world.clock.advance(LINGER)
        await world.add(encoded(6))
        await world.batcher.flush()

    world.run(story)
    entries = world.recorded.entries("debug")
    assert {entry["event.action"] for entry in entries} == {"batch-closed"}
    assert [(entry["event.reason"], entry["shipper.events"]) for entry in entries] == [
        ("max_events", 3),
        ("max_bytes", 1),
        ("linger", 1),
        ("flush", 1),
    ]


def test_a_batch_is_closed_when_it_has_reached_its_bytes_before_compression() -> None:
    world = World(max_bytes=10_000)

    async def story() -> None:
        added = 0
        while not world.batches:
            await world.add(encoded(added, size=1000))
            added += 1
        assert added == 10
        assert len(world.batches[0].body.payload) < 2000

    world.run(story)


def test_a_batch_is_closed_when_its_first_event_has_waited_long_enough() -> None:
    world = World()

    async def story() -> None:
        await world.add(encoded(1))
        await world.clock.advance(0.6)
        await world.add(encoded(2))
        await world.clock.advance(0.39)
        assert world.batches == []
        await world.clock.advance(0.01)
        assert [batch.body.events for batch in world.batches] == [2]
        # The next one has its own time.
        await world.clock.advance(5)
        await world.add(encoded(3))
        await world.clock.advance(0.99)
        assert len(world.batches) == 1
        await world.clock.advance(0.01)
        assert [batch.body.events for batch in world.batches] == [2, 1]

    world.run(story)


def test_the_time_of_a_batch_that_was_full_is_not_that_of_the_next() -> None:
    world = World(max_events=2)

    async def story() -> None:
        await world.add(encoded(1))
        await world.clock.advance(0.9)
        await world.add(encoded(2))
        await world.add(encoded(3))
        await world.clock.advance(0.9)
        assert [batch.body.events for batch in world.batches] == [2]
        await world.clock.advance(0.1)
        assert [batch.body.events for batch in world.batches] == [2, 1]

    world.run(story)


def test_nothing_is_handed_on_where_nothing_is() -> None:
    world = World()

    async def story() -> None:
        assert not await world.batcher.flush()
        await world.clock.advance(10)
        assert world.batches == []

    world.run(story)


# What is in it ------------------------------------------------------------------------------------


def test_a_batch_knows_its_spans_and_what_ended_on_the_way() -> None:
    world = World()
    refused = RefusedLine("/logs/a.log", 7, "id", "not JSON", b"a line of 21 bytes ..")

    async def story() -> None:
        first = await world.add(Encoded(encoded(1).body, 1, blank=2, dropped=3))
        filtered = {"exclude[0]": 4, "include": 1}
        second = await world.add(Encoded(b"", 0, blank=1, filtered=filtered, refused=(refused,)))
        assert await world.batcher.flush()
        (batch,) = world.batches
        assert batch.spans == [first, second]
        assert (batch.blank, batch.dropped, batch.filtered) == (3, 3, 5)
        assert batch.refused == [refused]
        assert batch.body.lines() == event(1)

    world.run(story)


def test_lines_that_are_no_documents_are_handed_on_too() -> None:
    # Or their bytes were never acknowledged.
    world = World()

    async def story() -> None:
        await world.add(Encoded(b"", 0, blank=4))
        await world.clock.advance(LINGER)
        (batch,) = world.batches
        assert (batch.body.events, batch.body.lines(), batch.blank) == (0, [], 4)

    world.run(story)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_batch_holds_its_bytes_of_the_budget(compressed: bool) -> None:
    world = World(gzip=compressed)
    refused = RefusedLine("/logs/a.log", 7, "id", "not JSON", b"x" * 5000, b"y" * 500)

    async def story() -> None:
        for number in range(100):
            await world.add(encoded(number))
        await world.add(Encoded(b"", 0, refused=(refused,)))
        await world.batcher.flush()
        (batch,) = world.batches
        size = len(batch.body.payload)
        assert batch.held == world.budget.held == size + 5500 + BATCH_OVERHEAD
        world.budget.release(batch.held)
        assert world.budget.held == 0

    world.run(story)


# Waiting for a slot -------------------------------------------------------------------------------


def test_who_adds_waits_while_too_much_is_under_way() -> None:
    world = World(max_events=1)

    async def story() -> None:
        world.slot.clear()
        adding = asyncio.create_task(world.add(encoded(1)))
        await settle()
        assert not adding.done()
        world.slot.set()
        await adding
        assert [batch.body.events for batch in world.batches] == [1]

    world.run(story)


def test_batches_are_handed_on_in_the_order_of_their_lines() -> None:
    world = World(max_events=2)

    async def story() -> None:
        world.slot.clear()
        await world.add(encoded(1))
        # This one is too old, and waits; the next fills up meanwhile, and waits behind it.
        await world.clock.advance(LINGER)
        adding = asyncio.create_task(world.add(encoded(2, 3)))
        await settle()
        assert world.batches == []
        world.slot.set()
        await adding
        assert [batch.body.lines()[0] for batch in world.batches] == [event(1)[0], event(2)[0]]

    world.run(story)


def test_a_batch_whose_hand_over_is_cancelled_is_handed_on_by_the_next_call() -> None:
    world = World(max_events=2)

    async def story() -> None:
        world.slot.clear()
        adding = asyncio.create_task(world.add(encoded(1, 2)))
        await settle()
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        world.slot.set()
        assert await world.batcher.flush()
        assert [batch.body.lines() for batch in world.batches] == [[*event(1), *event(2)]]
        assert not await world.batcher.flush()

    world.run(story)
