"""The console: what was printed before an exception is not printed again."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
from collections.abc import Sequence

import pytest

from shipper.output.console import Console
from shipper.output.dead_letter import DeadLetter
from shipper.output.destination import DeliveryInterruptedError
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget
from tests.support.clock import ManualClock

ROOM = 4096
"""Of the pipe: the least that Linux has."""


class Counted:
    """An `OutcomeSink`."""

    delivered = 0

    def end(self, outcome: str, count: int) -> None:
        assert outcome == "delivered"
        self.delivered += count

    def already_stored(
        self, beginnings: Sequence[tuple[int, str]], conflicts: Sequence[int]
    ) -> None:
        raise AssertionError

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        raise AssertionError


class ShakyConsole(Console):
    """Fails now and then while it waits for room."""

    rng: random.Random

    async def _writable(self) -> None:
        if self.rng.random() < 0.3:
            raise RuntimeError("nobody foresaw this")
        await super()._writable()


@pytest.mark.parametrize("seed", range(20))
def test_each_document_is_printed_once_whatever_fails_in_between(seed: int) -> None:
    rng = random.Random(seed)
    documents = [
        b'{"n":%d,"x":"%b"}\n' % (n, b"x" * rng.choice([1, 500, 3000, 9000])) for n in range(60)
    ]
    bodies = []
    for begin in range(0, 60, 12):
        lines = [line for each in documents[begin : begin + 12] for line in (b"{}\n", each)]
        bodies.append(Body.of(lines, gzip=False))
    budget, outcomes = ByteBudget(1 << 30), Counted()
    budget.hold(sum(len(body.payload) for body in bodies))

    async def run() -> bytes:
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, ROOM)
        os.set_blocking(reading, False)
        console = ShakyConsole(writing, budget=budget, clock=ManualClock(), stop=lambda: None)
        console.rng = rng
        printed, is_complete = bytearray(), asyncio.Event()

        def read() -> None:
            printed.extend(os.read(reading, rng.randrange(1, ROOM)))
            if len(printed) >= sum(map(len, documents)):
                is_complete.set()

        loop = asyncio.get_running_loop()
        loop.add_reader(reading, read)
        left = list(bodies)
        while left:
            # Others may come in between.
            body = left.pop(rng.randrange(len(left)))
            try:
                await console.deliver(body, await console.admit(), outcomes)
            except DeliveryInterruptedError as interrupted:
                for each in interrupted.bodies:
                    half = each.events // 2
                    if half and rng.random() < 0.3:
                        halves = (
                            each.only(list(range(half))),
                            each.only(list(range(half, each.events))),
                        )
                        budget.hold(sum(len(part.payload) for part in halves))
                        budget.release(len(each.payload))
                        left += halves
                    else:
                        left.append(each)
        os.close(writing)
        await is_complete.wait()
        loop.remove_reader(reading)
        os.close(reading)
        return bytes(printed)

    printed = asyncio.run(asyncio.wait_for(run(), 20))
    assert sorted(printed.splitlines(keepends=True)) == sorted(documents)
    assert (outcomes.delivered, budget.held) == (60, 0)
