"""Which destinations there are: one row each. A new one is a module beside this one, the section
of its options in `config.outputs`, and its row here.
"""

import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from msgspec import UNSET

from shipper.budget import ByteBudget
from shipper.clock import Clock
from shipper.config.outputs import Compression, Concurrency, OutputConfig, OutputKind
from shipper.errors import ConfigError
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.output.bulk import BulkSender
from shipper.output.console import console
from shipper.output.destination import Destination
from shipper.output.file import file_sender
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
    #: Has the daemon stop in order.
    stop: Callable[[], None]


def destination(around: Surroundings) -> AbstractAsyncContextManager[Destination]:
    """The one that the configuration asks for; it is open within the context.

    Raises:
        ConfigError: it cannot be used as it is set up (no such CA file, say).
        OutputError: at the end of the context, if it had the daemon stop.
    """
    return DESTINATIONS[around.output.kind](around)


@asynccontextmanager
async def _elasticsearch(around: Surroundings) -> AsyncIterator[Destination]:
    output = around.output
    async with HttpTransport(output, around.clock, log=around.log) as transport:
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


@asynccontextmanager
async def _file(around: Surroundings) -> AsyncIterator[Destination]:
    settings = around.output.file
    if settings is UNSET:
        raise ConfigError("there is no output.file")
    async with file_sender(
        settings,
        backoff=around.backoff,
        budget=around.budget,
        clock=around.clock,
        rng=around.rng,
        metrics=around.metrics,
        log=around.log,
    ) as sender:
        yield sender


@asynccontextmanager
async def _console(around: Surroundings) -> AsyncIterator[Destination]:
    if sys.__stdout__ is None:
        raise ConfigError("standard output is closed", where="output.console")
    descriptor = sys.__stdout__.fileno()
    async with console(
        descriptor, budget=around.budget, clock=around.clock, stop=around.stop
    ) as printing:
        yield printing


DESTINATIONS: Mapping[
    OutputKind, Callable[[Surroundings], AbstractAsyncContextManager[Destination]]
] = {
    OutputKind.ELASTICSEARCH: _elasticsearch,
    OutputKind.FILE: _file,
    OutputKind.CONSOLE: _console,
}
