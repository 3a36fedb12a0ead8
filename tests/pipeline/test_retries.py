"""Files that met an internal error are tried again, whatever goes wrong with that."""

from __future__ import annotations

import asyncio
from typing import cast

from shipper.files.tail import Tail
from shipper.internal_errors import InternalErrors
from shipper.metrics import Metrics
from shipper.pipeline.retries import Retries
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog
from tests.support.loop import in_a_loop


class File:
    """As much of a tail as is needed."""

    path = "/logs/a.log"


@in_a_loop
async def test_a_file_that_cannot_be_handed_on_is_tried_again_and_others_go_on() -> None:
    clock = ManualClock()
    errors = InternalErrors(Metrics(), RecordedLog(clock).log, clock)
    bad, good = cast(Tail, File()), cast(Tail, File())
    handed: list[Tail] = []
    fails = 2

    def again(source: str, tail: Tail) -> None:
        nonlocal fails
        if tail is bad and fails:
            fails -= 1
            raise MemoryError
        handed.append(tail)

    retries = Retries[str](errors, clock, again)
    running = asyncio.create_task(retries.run())
    for tail in (bad, good):
        retries.failed("input", tail, RuntimeError("the first"))
    await clock.advance(10.0)
    assert handed == [good, bad]
    assert retries.failures(bad) == 3
    running.cancel()
