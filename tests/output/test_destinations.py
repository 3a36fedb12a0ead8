"""The seam: what every destination owes to whoever gives it a body, one table for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shipper.clock import SystemClock
from shipper.config.file_output import ConsoleConfig, FileConfig
from shipper.config.outputs import OutputConfig, OutputKind
from shipper.config.units import HostList
from shipper.metrics import Metrics
from shipper.option_names import OWN_NAMES
from shipper.output.backoff import Backoff
from shipper.output.dead_letter_file import DeadLetterFile
from shipper.output.destination import Destination
from shipper.output.destinations import DESTINATIONS, OutputContext, destination
from shipper.output.outcomes import Outcomes
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE, Gate, Held
from tests.support.logs import RecordedLog
from tests.support.loop import in_a_loop

BACKOFF = Backoff(initial=0.01, max=0.02)


@dataclass(frozen=True, slots=True)
class Place:
    """Where events go in a test: how it is set up, and what is seen there."""

    output: OutputConfig
    block: Callable[[], None]
    """Nothing gets through from now on."""
    unblock: Callable[[], None]
    messages: Callable[[], list[str]]
    """What is there, in its order. For the console: since the last call."""


@contextlib.contextmanager
def elasticsearch(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    gate = Gate()
    with BulkServer() as server:
        yield Place(
            OutputConfig(HostList([server.url])),
            lambda: server.next(Held(gate)),
            gate.open,
            server.messages,
        )


@contextlib.contextmanager
def file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    path = directory / "events.ndjson"
    hindrance = directory / "hindrance"

    def block() -> None:
        # The file is gone, and a directory is where it would be made again.
        path.rename(hindrance)
        path.mkdir()

    def unblock() -> None:
        path.rmdir()
        hindrance.rename(path)

    yield Place(
        OutputConfig(file=FileConfig(str(path))),
        block,
        unblock,
        lambda: [json.loads(line)["message"] for line in path.read_text().splitlines()],
    )


@contextlib.contextmanager
def console(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    filling = 0

    def block() -> None:
        nonlocal filling
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filling += os.write(writing, b"\n" * 4096)
        os.set_blocking(writing, True)

    def unblock() -> None:
        nonlocal filling
        while filling:
            filling -= len(os.read(reading, filling))

    def messages() -> list[str]:
        text = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(reading, 1 << 16):
                text += piece
        return [json.loads(line)["message"] for line in text.splitlines()]

    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "__stdout__", stream)
        yield Place(OutputConfig(console=ConsoleConfig()), block, unblock, messages)


PLACES = {
    OutputKind.ELASTICSEARCH: elasticsearch,
    OutputKind.FILE: file,
    OutputKind.CONSOLE: console,
}


@dataclass(slots=True)
class World:
    """One destination and all that it touches."""

    output_destination: Destination
    budget: ByteBudget
    metrics: Metrics
    outcomes: Outcomes
    ended: list[int] = field(default_factory=list)

    def body(self, *messages: str) -> Body:
        """Return a body of these lines, held as a batch holds it."""
        lines = []
        for number, message in enumerate(messages):
            log = {"offset": number, "file": {"path": "/logs/a.log", "fingerprint": "f"}}
            document: dict[str, Any] = {"@timestamp": "2026-01-01T00:00:00Z", "log": log}
            lines.append(b'{"create":{"_id":"%b-%d"}}\n' % (message.encode(), number))
            lines.append(json.dumps({**document, "message": message}).encode() + b"\n")
        body = Body.of(lines, gzip=self.output_destination.gzip)
        self.budget.hold(len(body.payload))
        return body

    async def deliver(self, body: Body) -> None:
        permit = await self.output_destination.admit()
        await self.output_destination.deliver(body, permit, self.outcomes)


@contextlib.asynccontextmanager
async def world(place: Place, directory: Path) -> AsyncIterator[World]:
    clock, rng, metrics, budget = SystemClock(), random.Random(1), Metrics(), ByteBudget(1 << 30)
    log = RecordedLog(clock).log
    ended: list[int] = []
    outcomes = Outcomes(
        dead_letters=DeadLetterFile(directory / "dead-letter.ndjson", 1 << 20),
        backoff=BACKOFF,
        clock=clock,
        rng=rng,
        metrics=metrics,
        log=log,
        on_end=ended.append,
    )
    context = OutputContext(
        names=OWN_NAMES,
        output=place.output,
        backoff=BACKOFF,
        budget=budget,
        clock=clock,
        rng=rng,
        metrics=metrics,
        log=log,
        stop=lambda: None,
    )
    async with destination(context) as output_destination:
        yield World(output_destination, budget, metrics, outcomes, ended)


every_destination = pytest.mark.parametrize("kind", DESTINATIONS, ids=lambda kind: kind.value)


def test_every_destination_is_tested_here() -> None:
    assert set(PLACES) == set(DESTINATIONS) == set(OutputKind)


@every_destination
@in_a_loop
async def test_every_event_is_there_and_ends_exactly_once(
    kind: OutputKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PLACES[kind](tmp_path, monkeypatch) as place:
        async with world(place, tmp_path) as here, asyncio.timeout(PATIENCE):
            await here.deliver(here.body("a", "b", "c"))
            await here.deliver(here.body("d"))
            assert place.messages() == ["a", "b", "c", "d"]
            assert here.metrics.value("shipper_events_total", "delivered") == 4
            assert sum(here.ended) == here.metrics.value("shipper_events_total") == 4
            assert here.budget.held == 0
            assert here.output_destination.condition.trouble is None
            assert here.output_destination.condition.requests == 0


@every_destination
@in_a_loop
async def test_all_permits_can_be_had_again(
    kind: OutputKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PLACES[kind](tmp_path, monkeypatch) as place:
        async with world(place, tmp_path) as here, asyncio.timeout(PATIENCE):
            for _ in range(3 * here.output_destination.condition.limit):
                await here.deliver(here.body("a"))


@every_destination
@in_a_loop
async def test_what_does_not_get_through_is_waited_for_and_has_not_ended(
    kind: OutputKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PLACES[kind](tmp_path, monkeypatch) as place:
        async with world(place, tmp_path) as here, asyncio.timeout(PATIENCE):
            await here.deliver(here.body("a"))
            assert place.messages() == ["a"]
            place.block()
            body = here.body("b", "c")
            held = len(body.payload)
            delivery = asyncio.create_task(here.deliver(body))
            del body
            await asyncio.sleep(0.1)
            assert not delivery.done()
            assert sum(here.ended) == 1
            assert here.budget.held >= held
            place.unblock()
            await delivery
            assert place.messages()[-2:] == ["b", "c"]
            assert sum(here.ended) == 3
            assert here.budget.held == 0


@every_destination
@in_a_loop
async def test_cancelled_it_releases_the_permit_and_ends_no_event(
    kind: OutputKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PLACES[kind](tmp_path, monkeypatch) as place:
        async with world(place, tmp_path) as here, asyncio.timeout(PATIENCE):
            await here.deliver(here.body("a"))
            place.block()
            permit, *_ = [
                await here.output_destination.admit()
                for _ in range(here.output_destination.condition.limit)
            ]
            delivery = asyncio.create_task(
                here.output_destination.deliver(here.body("b", "c"), permit, here.outcomes)
            )
            waiting = asyncio.create_task(here.output_destination.admit())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            delivery.cancel()
            [outcome] = await asyncio.gather(delivery, return_exceptions=True)
            assert isinstance(outcome, asyncio.CancelledError)
            assert sum(here.ended) == 1
            # Its permit is the next one's.
            await waiting
            place.unblock()
