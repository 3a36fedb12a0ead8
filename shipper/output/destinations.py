"""Which destinations there are: one row each. A new one is a module beside this one, the section
of its options in `config.outputs`, and its row here.
"""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from shipper.budget import ByteBudget
from shipper.clock import Clock
from shipper.config.outputs import Compression, Concurrency, OutputConfig, OutputKind
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.output.bulk import BulkSender
from shipper.output.destination import Destination
from shipper.output.hosts import Backoff, Hosts
from shipper.output.limiter import Limiter
from shipper.output.transport import HttpTransport


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a destination is made with."""

    output: OutputConfig
    backoff: Backoff
    budget: ByteBudget
    clock: Clock
    rng: random.Random
    metrics: Metrics
    log: Log


def destination(around: Surroundings) -> AbstractAsyncContextManager[Destination]:
    """The one that the configuration asks for; it is open within the context.

    Raises:
        ConfigError: its options cannot be used (no such CA file, say).
    """
    return DESTINATIONS[around.output.kind](around)


@asynccontextmanager
async def _elasticsearch(around: Surroundings) -> AsyncIterator[Destination]:
    output = around.output
    async with HttpTransport(output, around.clock) as transport:
        yield BulkSender(
            transport=transport,
            hosts=Hosts(output.hosts, around.backoff, around.clock, around.rng),
            backoff=around.backoff,
            limiter=Limiter(
                around.clock,
                most=output.max_in_flight,
                adaptive=output.concurrency is Concurrency.ADAPTIVE,
            ),
            budget=around.budget,
            clock=around.clock,
            rng=around.rng,
            metrics=around.metrics,
            log=around.log,
            gzip=output.compression is Compression.GZIP,
        )


DESTINATIONS: Mapping[
    OutputKind, Callable[[Surroundings], AbstractAsyncContextManager[Destination]]
] = {
    OutputKind.ELASTICSEARCH: _elasticsearch,
}
