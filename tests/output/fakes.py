"""The world of a bulk sender without a network: hosts that answer by script, a clock that the test
moves, and batches of numbered lines.

    async with bulk_world(tmp_path) as world:
        world.transport.script(answer(201, 429), answer(201))
        await world.submit(batch := make_batch("a", "b"))
        await world.finish()
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipper.documents.encoded import RefusedLine
from shipper.files.ack import AckTracker
from shipper.files.identity import Mark
from shipper.files.losses import Loss
from shipper.internal_errors import InternalErrors
from shipper.metrics import Metrics
from shipper.output.backoff import Backoff
from shipper.output.dead_letter_file import DeadLetterFile
from shipper.output.dead_letter_losses import DeadLetterLosses
from shipper.output.deliveries import Deliveries
from shipper.output.elasticsearch.bulk import BulkSender
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.hosts import Hosts
from shipper.output.limiter import Limiter
from shipper.output.outcomes import Outcomes
from shipper.pipeline.batch import Batch, Body
from shipper.pipeline.budget import ByteBudget
from tests.support.clock import ManualClock
from tests.support.faults import PATIENCE
from tests.support.logs import RecordedLog

BACKOFF = Backoff(initial=0.5, max=30.0)

Reply = Answer | TransportError | Callable[[Body], Answer]
"""What comes back for one request; a callable decides on the body."""


def answer(*statuses: int, retry_after: float = 0.0) -> Answer:
    """Return the answer with these items' statuses."""
    items = [
        {"create": {"status": status, **({"error": _error(status)} if status > 201 else {})}}
        for status in statuses
    ]
    body = {"errors": any(status > 201 for status in statuses), "items": items}
    return Answer(200, json.dumps(body).encode(), retry_after)


def all_created(body: Body) -> Answer:
    return answer(*[201] * body.events)


def _error(status: int) -> dict[str, str]:
    return {"type": f"error_{status}", "reason": "by the script"}


@dataclass(frozen=True, slots=True)
class Post:
    """One bulk request, as it came to a host."""

    at: float
    """Monotonic seconds."""
    host: str
    body: Body

    @property
    def messages(self) -> list[str]:
        return [json.loads(line)["message"] for line in self.body.lines()[1::2]]


class ScriptedTransport:
    """Answers requests in turn with what the script says, and then with 201 for every item."""

    def __init__(self, clock: ManualClock) -> None:
        self.posts: list[Post] = []
        self.probes: list[str] = []
        self.times_refused = 0
        self.times_wrong = 0
        """How often it was told that the credentials were refused."""
        self.gate = asyncio.Event()
        """No answer is given while it is not set."""
        self.gate.set()
        self._clock = clock
        self._replies: deque[Reply] = deque()
        self.always: Callable[[Body], Answer] | None = None
        """Decides on every request, in place of the script."""

    def script(self, *replies: Reply) -> None:
        self._replies.extend(replies)

    def heal(self) -> None:
        """Forget what is left of the script."""
        self._replies.clear()

    async def post(self, host: str, body: Body) -> Answer:
        self.posts.append(Post(self._clock.monotonic(), host, body))
        await self.gate.wait()
        return self._reply(body)

    async def probe(self, host: str) -> Answer:
        self.probes.append(host)
        return self._reply(Body(b"", gzip=False, events=0))

    def answered_wrongly(self) -> None:
        self.times_wrong += 1

    def credentials_refused(self) -> None:
        self.times_refused += 1

    def _reply(self, body: Body) -> Answer:
        if self.always is not None:
            return self.always(body)
        reply = self._replies.popleft() if self._replies else all_created
        if isinstance(reply, TransportError):
            raise reply
        return reply if isinstance(reply, Answer) else reply(body)


@dataclass(slots=True)
class World:
    """Deliveries through a bulk sender, and all that they touch."""

    sender: BulkSender
    deliveries: Deliveries
    transport: ScriptedTransport
    clock: ManualClock
    budget: ByteBudget
    metrics: Metrics
    dead_letters: Path
    log: RecordedLog
    dead_letter_file: DeadLetterFile
    ended: list[int] = field(default_factory=list)
    """What `on_end` was told."""

    async def submit(self, batch: Batch) -> None:
        self.budget.hold(batch.held)
        await self.deliveries.submit(batch)

    async def submit_and_pass(self, *messages: str) -> None:
        """Have lines sent while others wait for a permit, and let some time pass."""
        submitting = asyncio.create_task(self.submit(make_batch(*messages)))
        while not submitting.done():
            await self.pass_seconds(0.5)

    async def finish(self) -> None:
        """Return when every batch has ended; time passes as it has to."""
        drain = asyncio.create_task(self.deliveries.drain())
        while not drain.done():
            await self.pass_seconds(0.5)

    async def pass_seconds(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        # Writes of dead letters are in a thread, whose time is not the clock's.
        await asyncio.sleep(0.001)

    async def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Return when it is true, which a thread will make it. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while not predicate():  # noqa: ASYNC110 - a thread sets no event of this loop
                await asyncio.sleep(0.001)

    def trouble(self) -> str | None:
        return self.deliveries.condition.trouble

    @property
    def requests(self) -> int:
        return self.deliveries.condition.requests

    def events(self, outcome: str) -> float:
        return self.metrics.value("shipper_events_total", outcome)

    def retries(self, reason: str) -> float:
        return self.metrics.value("shipper_retries_total", reason)

    def logged(self) -> list[dict[str, Any]]:
        return self.log.entries()

    def actions(self) -> list[str]:
        return self.log.actions()

    def dead_lettered(self) -> list[dict[str, Any]]:
        """Return the letters in the dead letter file."""
        if not self.dead_letters.exists():
            return []
        return [json.loads(line) for line in self.dead_letters.read_text().splitlines()]


class MemoryLosses:
    """A registry for losses that are recorded once."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.names: list[str] = []

    async def record_once(self, name: str, losses: Sequence[Loss]) -> bool:
        if name in self.names[-1:]:
            return False
        self.names.append(name)
        self.losses += losses
        return True


@contextlib.asynccontextmanager
async def bulk_world(
    directory: Path,
    *hosts: str,
    seed: int = 1,
    max_in_flight: int = 4,
    most_waiting: int = sys.maxsize,
) -> AsyncIterator[World]:
    """`directory` gets the dead letter file; one host, if none is named."""
    clock, rng, metrics = ManualClock(), random.Random(seed), Metrics()
    transport, budget = ScriptedTransport(clock), ByteBudget(1 << 30)
    ended: list[int] = []
    dead_letters = directory / "dead-letter.ndjson"
    recorded = RecordedLog(clock)
    sender = BulkSender(
        transport=transport,
        hosts=Hosts(hosts or ("http://es",), BACKOFF, clock, rng),
        backoff=BACKOFF,
        limiter=Limiter(clock, most=max_in_flight, adaptive=False),
        budget=budget,
        clock=clock,
        rng=rng,
        metrics=metrics,
        log=recorded.log,
        gzip=True,
    )
    losses = MemoryLosses()
    dead_letter_file = DeadLetterFile(
        dead_letters,
        1 << 20,
        DeadLetterLosses(
            losses,
            input_of=lambda path: "tetragon",
            on_recorded=lambda: None,
            clock=clock,
            metrics=metrics,
            log=recorded.log,
        ),
    )
    outcomes = Outcomes(
        dead_letters=dead_letter_file,
        backoff=BACKOFF,
        clock=clock,
        rng=rng,
        metrics=metrics,
        log=recorded.log,
        on_end=ended.append,
        most_waiting=most_waiting,
    )
    async with asyncio.TaskGroup() as tasks:
        deliveries = Deliveries(
            sender,
            outcomes,
            budget=budget,
            clock=clock,
            errors=InternalErrors(metrics, recorded.log, clock),
            tasks=tasks,
        )
        yield World(
            sender,
            deliveries,
            transport,
            clock,
            budget,
            metrics,
            dead_letters,
            recorded,
            dead_letter_file,
            ended,
        )
        deliveries.abandon()


def make_batch(
    *messages: str,
    gzip: bool = True,
    refused: tuple[str, ...] = (),
    blank: int = 0,
    dropped: int = 0,
    filtered: int = 0,
    first: int = 0,
) -> Batch:
    """Return a batch of these lines in a file of its own, held at 100 bytes besides its body.

    The first line has that number.
    """
    lines = []
    for number, message in enumerate(messages, first):
        lines.append(b'{"create":{"_id":"id-%d"}}\n' % number)
        log = {"offset": number, "file": {"path": "/logs/a.log"}}
        lines.append(json.dumps({"log": log, "message": message}).encode() + b"\n")
    acks = AckTracker(0, Mark(0, ""), lambda: None)
    body = Body.of(lines, gzip=gzip)
    return Batch(
        body=body,
        spans=[acks.open(10, Mark(0, ""), 0.0), acks.open(20, Mark(0, ""), 0.0)],
        refused=[RefusedLine("/logs/a.log", 9, "id-9", "not JSON", r.encode()) for r in refused],
        blank=blank,
        dropped=dropped,
        filtered=filtered,
        held=100 + len(body.payload),
    )


def is_done(batch: Batch) -> bool:
    """Whether its bytes are acknowledged."""
    return all(span.finished for span in batch.spans)
