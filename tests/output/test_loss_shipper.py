"""Losses are sent until they are acknowledged, and count for nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from shipper.errors import RegistryError
from shipper.files.losses import Loss, LossId, LossState, StoredLoss
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.loss_shipper import PAUSE, PAUSE_AFTER_FAILURE, LossShipper
from tests.documents.test_loss import LOSS, documents
from tests.output.fakes import World, answer, bulk_world, make_batch
from tests.support.loop import in_a_loop


class Store:
    """A registry's losses, in memory."""

    def __init__(self, *losses: Loss) -> None:
        self.losses = dict(enumerate(losses, start=1))
        self.fails = False

    def add(self, loss: Loss) -> None:
        self.losses[max(self.losses, default=0) + 1] = loss

    async def unshipped(self, limit: int) -> Sequence[StoredLoss]:
        if self.fails:
            raise RegistryError("the disk is full")
        found = [StoredLoss(LossId(i), each, LossState.NEW) for i, each in self.losses.items()]
        return found[:limit]

    async def losses_shipped(self, ids: Sequence[LossId]) -> None:
        for each in ids:
            del self.losses[each]


@contextlib.asynccontextmanager
async def shipping(world: World, store: Store) -> AsyncIterator[LossShipper]:
    shipper = LossShipper(
        store,
        documents(),
        world.sender.apart(),
        budget=world.budget,
        clock=world.clock,
        metrics=world.metrics,
        log=world.log.log,
    )
    task = asyncio.create_task(shipper.run())
    await world.pass_seconds(0)
    yield shipper
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def numbered(count: int) -> list[Loss]:
    return [replace(LOSS, start=number) for number in range(count)]


def actions(world: World) -> list[str]:
    lines = [line for post in world.transport.posts for line in post.body.lines()[1::2]]
    return [json.loads(line)["event"]["action"] for line in lines]


@in_a_loop
async def test_what_is_recorded_is_sent_once_and_counted(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        store = Store(LOSS)
        async with shipping(world, store) as shipper:
            assert (len(world.transport.posts), store.losses) == (1, {})
            store.add(replace(LOSS, start=5))
            shipper.wake()
            await world.pass_seconds(PAUSE)
            await world.pass_seconds(PAUSE)
            assert actions(world) == ["log-lines-lost"] * 2
            assert world.metrics.value("shipper_losses_shipped_total") == 2
        assert world.budget.held == 0


@in_a_loop
async def test_it_is_no_event_of_a_log(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world, shipping(world, Store(LOSS)):
        for outcome in ("delivered", "already_delivered", "dead_letter"):
            assert world.events(outcome) == 0
        assert world.metrics.value("shipper_bulk_requests_total", "200") == 0
        assert world.ended == []


@in_a_loop
async def test_many_are_sent_a_few_at_a_time(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        store = Store(*numbered(250))
        async with shipping(world, store):
            sizes = []
            for _ in range(4):
                sizes.append([post.body.events for post in world.transport.posts])
                await world.pass_seconds(PAUSE)
            assert sizes == [[100], [100, 100], [100, 100, 50], [100, 100, 50]]


@in_a_loop
async def test_what_has_no_answer_is_sent_again_with_the_same_id(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.script(TransportError("timeout", "no answer"), answer(503))
        store = Store(LOSS)
        async with shipping(world, store):
            await world.pass_seconds(60)
            assert store.losses == {}
        ids = {post.body.lines()[0] for post in world.transport.posts}
        assert (len(world.transport.posts), len(ids)) == (3, 1)


@in_a_loop
async def test_an_answer_of_409_acknowledges_it(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.script(answer(409))
        store = Store(LOSS)
        async with shipping(world, store):
            assert store.losses == {}


@in_a_loop
async def test_what_is_refused_stays_recorded_and_is_no_dead_letter(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.script(*[answer(400)] * 20)
        store = Store(LOSS)
        async with shipping(world, store):
            await world.pass_seconds(300)
            assert list(store.losses) == [1]
            assert not world.dead_letters.exists()
            assert "losses-rejected" in world.log.actions()
            world.transport.heal()
            await world.pass_seconds(PAUSE_AFTER_FAILURE)
            assert store.losses == {}


@in_a_loop
async def test_that_losses_are_refused_is_no_evidence_against_events(tmp_path: Path) -> None:
    def refuse_losses(body: Any) -> Answer:
        refused = b"log-lines-lost" in b"".join(body.lines())
        return answer(*[400 if refused else 201] * body.events)

    async with bulk_world(tmp_path) as world:
        world.transport.script(*[refuse_losses] * 100)
        async with shipping(world, Store(*numbered(50))):
            await world.pass_seconds(30)
            assert world.trouble() in (None, "no host has answered yet")
            await world.submit(make_batch("a", "b"))
            await world.finish()
            assert world.events("delivered") == 2
            assert world.trouble() is None


@in_a_loop
async def test_a_registry_that_cannot_be_read_is_asked_again(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        store = Store(LOSS)
        store.fails = True
        async with shipping(world, store):
            await world.pass_seconds(PAUSE)
            assert world.transport.posts == []
            assert world.log.actions().count("losses-read-failed") == 1
            store.fails = False
            await world.pass_seconds(PAUSE_AFTER_FAILURE)
            assert store.losses == {}
