"""What a replay does with each answer, in a time that the test moves."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shipper.dead_letters.sending import DeadLetterSender, ReplayItem, SendResult
from shipper.output.dead_letter import bulk_lines
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.hosts import Hosts
from shipper.pipeline.batch import Body
from tests.dead_letters.world import dead_letter
from tests.output.fakes import BACKOFF, Reply, ScriptedTransport, answer
from tests.support.clock import ManualClock
from tests.support.loop import in_a_loop


def sendable(number: int) -> ReplayItem:
    lines = bulk_lines(dead_letter(number))
    assert lines is not None
    return ReplayItem(dead_letter(number), lines)


@dataclass
class World:
    """A sender that gives up after 60 seconds, and what it said."""

    sending: asyncio.Task[SendResult]
    transport: ScriptedTransport
    clock: ManualClock
    waits: list[str] = field(default_factory=list)

    async def pass_time(self) -> SendResult:
        """Return what became of the letters; time passes as it has to."""
        while not self.sending.done():
            await self.clock.advance(0.5)
        return self.sending.result()

    def offsets(self) -> list[list[int]]:
        """Return which letters were in each request."""
        return [
            [json.loads(line)["log"]["offset"] for line in post.body.lines()[1::2]]
            for post in self.transport.posts
        ]


@asynccontextmanager
async def sending(dead_letters: int, *replies: Reply, hosts: int = 1) -> AsyncIterator[World]:
    clock, rng = ManualClock(), random.Random(3)
    transport = ScriptedTransport(clock)
    transport.script(*replies)
    waits: list[str] = []
    sender = DeadLetterSender(
        transport,
        Hosts([f"http://es-{number}" for number in range(hosts)], BACKOFF, clock, rng),
        BACKOFF,
        clock=clock,
        rng=rng,
        timeout=60.0,
        gzip=True,
        on_wait=waits.append,
    )
    task = asyncio.create_task(sender.send([sendable(number) for number in range(dead_letters)]))
    yield World(task, transport, clock, waits)
    assert task.done()


AWAY = TransportError("connect", "no connection: Connection refused")


@in_a_loop
async def test_each_letter_has_the_outcome_of_its_item() -> None:
    async with sending(4, answer(201, 409, 400, 201)) as world:
        sent = await world.pass_time()
        assert (sent.delivered, sent.already_there) == (2, 1)
        (refused,) = sent.rejected
        assert (refused.id, refused.status) == ("id-2", 400)
        assert (refused.reason, refused.type) == ("error_400: by the script", "error_400")
        assert refused.time == 1_764_000_000.0
        assert sent.unanswered == []


@in_a_loop
async def test_only_what_was_put_off_is_sent_again() -> None:
    async with sending(4, answer(201, 429, 400, 503), answer(503, 201)) as world:
        sent = await world.pass_time()
        assert world.offsets() == [[0, 1, 2, 3], [1, 3], [1]]
        assert (sent.delivered, len(sent.rejected)) == (3, 1)
        assert world.waits[0] == "http://es-0: item status 429: error_429: by the script"


@in_a_loop
async def test_a_request_that_fails_is_made_again_at_another_host() -> None:
    async with sending(2, AWAY, Answer(503, b""), Answer(200, b"<html>"), hosts=2) as world:
        sent = await world.pass_time()
        assert sent.delivered == 2
        assert [post.host for post in world.transport.posts[:2]] == ["http://es-0", "http://es-1"]
        assert world.waits[0] == "http://es-0: no connection: Connection refused"
        assert len(world.waits) == 3


@in_a_loop
async def test_without_progress_it_gives_up_and_gives_all_letters_back() -> None:
    async with sending(3, answer(201, 429, 429), *[AWAY] * 1000) as world:
        sent = await world.pass_time()
        assert sent.delivered == 1
        assert [each.offset for each in sent.unanswered] == [1, 2]
        # As they were: nobody has refused them.
        assert sent.unanswered == [dead_letter(1), dead_letter(2)]
        assert sent.reason == "http://es-0: no connection: Connection refused"
        took = world.transport.posts[-1].at - world.transport.posts[0].at
        assert 60 <= took < 61


@in_a_loop
async def test_any_progress_begins_the_time_anew() -> None:
    taken_at = [1000.0]

    def slow(body: Body) -> Answer:
        """Takes one document every 50 seconds or so."""
        now = world.clock.monotonic()
        if now - taken_at[-1] < 50:
            return answer(*[429] * body.events)
        taken_at.append(now)
        return answer(*[429] * (body.events - 1), 201)

    async with sending(4, *[slow] * 1000) as world:
        sent = await world.pass_time()
        assert (sent.delivered, sent.unanswered) == (4, [])
        assert taken_at[-1] >= 1200


@in_a_loop
async def test_what_a_host_asks_to_wait_is_waited() -> None:
    async with sending(1, answer(429, retry_after=20.0), Answer(503, b"", 1e9)) as world:
        sent = await world.pass_time()
        first, second, third = (post.at for post in world.transport.posts)
        assert second - first >= 20
        # No longer than there is time.
        assert third - first == 60
        assert sent.delivered == 1


@in_a_loop
async def test_what_is_too_large_is_halved_and_one_letter_alone_stays() -> None:
    def limited(body: Body) -> Answer:
        lines = body.lines()
        if body.events > 2 or any(b'"offset":4' in line for line in lines):
            return Answer(413, b"")
        return answer(*[201] * body.events)

    async with sending(6, *[limited] * 20) as world:
        sent = await world.pass_time()
        assert sent.delivered == 5
        (refused,) = sent.rejected
        assert (refused.offset, refused.status) == (4, 413)
        assert refused.reason.startswith("HTTP 413: the request is too large with this event alone")
        assert world.offsets()[:2] == [[0, 1, 2, 3, 4, 5], [0, 1, 2]]
        assert world.waits == []


@in_a_loop
async def test_credentials_that_are_refused_are_read_again() -> None:
    async with sending(2, Answer(401, b""), answer(403, 201)) as world:
        sent = await world.pass_time()
        assert sent.delivered == 2
        assert world.transport.times_refused == 2
