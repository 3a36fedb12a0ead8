"""Exceptions that nobody foresaw in the delivery of a batch: it is sent again, others go on, and
each event is counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from shipper.output.deliveries import LAST_TRIES, TRIES
from shipper.output.elasticsearch.exchange import Answer
from shipper.pipeline.batch import Body
from tests.output.fakes import Reply, World, all_created, answer, bulk_world, is_done, make_batch
from tests.support.clock import settle
from tests.support.loop import in_a_loop

KIB = 1024


class BugError(Exception):
    """Nothing that any code expects."""


def bug(body: Body) -> Answer:
    raise BugError


def bug_with(*messages: str) -> Callable[[Body], Answer]:
    """A bug in requests with one of these messages; others are taken."""

    def reply(body: Body) -> Answer:
        text = b"".join(body.lines())
        if any(f'"{message}"'.encode() in text for message in messages):
            raise BugError
        return all_created(body)

    return reply


def errors(world: World) -> float:
    return world.metrics.value("shipper_internal_errors_total", "delivery")


@pytest.mark.parametrize("times", [1, 3, 6])
@in_a_loop
async def test_a_batch_is_sent_again_and_counted_once(tmp_path: Path, times: int) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.script(*[bug] * times)
        batch = make_batch("a", "b", "c", "d", refused=("no",), blank=2)
        await world.submit(batch)
        await world.finish()
        assert is_done(batch)
        assert (world.events("delivered"), world.events("blank")) == (4, 2)
        assert sum(world.ended) == 7
        assert (world.budget.held, world.budget.aside, world.requests) == (0, 0, 0)
        assert errors(world) == times
        assert len(world.dead_lettered()) == 1, "the refused line"


@in_a_loop
async def test_it_is_logged_once_with_its_trace(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.script(*[bug] * 3)
        await world.submit(make_batch("a"))
        await world.finish()
        (entry,) = [
            each for each in world.logged() if each["event.action"] == "internal-error-contained"
        ]
        assert entry["shipper.where"] == "delivery"
        assert "BugError" in entry["error.stack_trace"]


@in_a_loop
async def test_it_keeps_no_permit_and_no_budget_while_it_waits(tmp_path: Path) -> None:
    """As many as there are permits, and more: others go on."""
    async with bulk_world(tmp_path, max_in_flight=4) as world:
        world.transport.script(*[bug] * 16)
        failed = []
        for number in range(16):
            failed.append(make_batch(f"failed {number}"))
            await world.submit(failed[-1])
            await settle()
        assert not any(map(is_done, failed))
        assert world.budget.held == 16 * 100, "what a batch takes besides its body"
        assert world.budget.aside > 0
        good = make_batch("good")
        await world.submit(good)
        await settle()
        assert is_done(good)
        await world.finish()
        assert all(map(is_done, failed))
        assert (world.budget.held, world.budget.aside) == (0, 0)
        assert world.events("delivered") == 17


@in_a_loop
async def test_what_waits_outside_the_budget_has_a_bound(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        world.budget.limit = 8 * KIB
        world.transport.script(*[bug] * 8)
        batches = [make_batch("x" * KIB, gzip=False) for _ in range(8)]
        for batch in batches:
            await world.submit(batch)
            await settle()
        assert 0 < world.budget.aside <= 4 * KIB
        assert world.budget.held > 4 * KIB
        await world.finish()
        assert (world.budget.held, world.budget.aside) == (0, 0)


@in_a_loop
async def test_an_answer_that_cannot_be_applied_counts_nothing(tmp_path: Path) -> None:
    """The answer is there, and what is made of it raises: the events are sent again as a whole."""
    async with bulk_world(tmp_path) as world:
        world.transport.script(answer(201, 429, 201), answer(409, 201, 409))
        # What is left of the body cannot be made: it is no gzip.
        batch = make_batch("a", "b", "c")
        batch.body, batch.held = Body(b"damaged", True, 3), 100 + len(b"damaged")
        await world.submit(batch)
        await settle()
        assert errors(world) == 1
        assert (world.events("delivered"), world.ended) == (0, [])
        assert world.budget.held + world.budget.aside == 100 + len(b"damaged")
        await world.finish()
        assert (world.events("delivered"), world.events("already_delivered")) == (1, 2)
        assert sum(world.ended) == 3
        assert (world.budget.held, world.budget.aside) == (0, 0)


@in_a_loop
async def test_a_body_that_fails_again_and_again_is_halved_until_the_event_is_alone(
    tmp_path: Path,
) -> None:
    async with bulk_world(tmp_path) as world:
        messages = [f"m{number}" for number in range(16)]
        world.transport.always = bug_with("m5")
        batch = make_batch(*messages)
        await world.submit(batch)
        await world.finish()
        assert is_done(batch)
        assert (world.events("delivered"), world.events("dead_letter")) == (15, 1)
        (letter,) = world.dead_lettered()
        assert (letter["line"], letter["status"]) == ("m5", 0)
        assert "it may be stored" in letter["reason"]
        sizes = [post.body.events for post in world.transport.posts]
        assert sizes[:TRIES] == [16] * TRIES
        assert sizes.count(1) >= LAST_TRIES - TRIES
        assert (world.budget.held, world.budget.aside) == (0, 0)
        assert sum(world.ended) == 16


@in_a_loop
async def test_while_nothing_gets_through_no_event_is_given_up(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.always = bug
        batch = make_batch("a", "b")
        await world.submit(batch)
        await world.pass_seconds(3600)
        assert world.dead_lettered() == []
        assert not is_done(batch)
        world.transport.always = None
        await world.finish()
        assert is_done(batch)
        assert world.events("delivered") == 2


@in_a_loop
async def test_dead_letters_that_cannot_be_written_for_another_reason_are_written_later(
    tmp_path: Path,
) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.script(answer(201, 400, 201))
        written = world.dead_letter_file.write
        # Whatever this raises, it is no OSError.
        world.dead_letter_file.write = None  # type: ignore[method-assign, assignment]
        batch = make_batch("a", "bad", "c")
        await world.submit(batch)
        await world.pass_seconds(1)
        assert errors(world) >= 1
        assert not is_done(batch)
        assert world.events("delivered") == 2
        world.dead_letter_file.write = written  # type: ignore[method-assign]
        await world.finish()
        assert is_done(batch)
        assert (world.events("delivered"), world.events("dead_letter")) == (2, 1)
        assert [each["line"] for each in world.dead_lettered()] == ["bad"]
        assert world.budget.held == 0


@in_a_loop
async def test_a_span_that_cannot_be_finished_keeps_no_other_one(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        batch = make_batch("a")

        class Broken:
            def finish(self) -> None:
                raise BugError

        batch.spans.insert(0, Broken())  # type: ignore[arg-type]
        await world.submit(batch)
        await world.finish()
        assert all(span.finished for span in batch.spans[1:])
        assert world.budget.held == 0
        assert errors(world) == 1


@in_a_loop
async def test_an_outcome_that_cannot_be_counted_keeps_no_span_open(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        batch = make_batch("a", blank=1, dropped=2, filtered=3)

        def end(outcome: str, count: int) -> None:
            if outcome == "blank":
                raise BugError
            count_it(outcome, count)

        outcomes = world.deliveries._outcomes
        count_it, outcomes.end = outcomes.end, end  # type: ignore[method-assign]
        await world.submit(batch)
        await world.finish()
        assert is_done(batch)
        assert (world.events("delivered"), world.events("filtered")) == (1, 3)
        assert world.budget.held == 0
        assert errors(world) == 1


@pytest.mark.parametrize("reply", [bug, answer(429), answer(503)])
@in_a_loop
async def test_a_batch_that_waits_is_given_up_at_a_stop(tmp_path: Path, reply: Reply) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.script(*[reply] * 5)
        batch = make_batch("a")
        await world.submit(batch)
        await settle()
        assert world.deliveries.abandon() == 1
        async with asyncio.timeout(5):
            await world.deliveries.drain()
        assert not is_done(batch)
        assert world.budget.aside == 0
