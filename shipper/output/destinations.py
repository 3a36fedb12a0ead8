"""The table of destinations. A new one needs a module beside this one, the section of its options
in `config.outputs`, and a row here.
"""

import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from msgspec import UNSET

from shipper.clock import Clock
from shipper.config.outputs import Compression, Concurrency, Ids, OutputConfig, OutputKind
from shipper.errors import ConfigError
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.option_names import OptionNames
from shipper.output.backoff import Backoff
from shipper.output.console import console
from shipper.output.destination import Destination
from shipper.output.elasticsearch.bulk import BulkSender
from shipper.output.elasticsearch.hosts import Hosts
from shipper.output.elasticsearch.transport import HttpTransport
from shipper.output.file.sender import file_sender
from shipper.output.limiter import Limiter
from shipper.pipeline.budget import ByteBudget


@dataclass(frozen=True, slots=True)
class OutputContext:
    """The dependencies of a destination."""

    output: OutputConfig
    #: Names of options in errors.
    names: OptionNames
    backoff: Backoff
    budget: ByteBudget
    clock: Clock
    rng: random.Random
    metrics: Metrics
    log: Log
    #: Stops the daemon gracefully.
    stop: Callable[[], None]


def destination(context: OutputContext) -> AbstractAsyncContextManager[Destination]:
    """The configured destination; it is open within the context.

    Raises:
        ConfigError: its settings cannot be used (a missing CA file, for example).
        OutputError: at the end of the context, if the destination stopped the daemon.
    """
    return DESTINATIONS[context.output.kind](context)


@asynccontextmanager
async def _elasticsearch(context: OutputContext) -> AsyncIterator[Destination]:
    output = context.output
    async with HttpTransport(
        output, context.clock, log=context.log, names=context.names
    ) as transport:
        yield BulkSender(
            transport=transport,
            hosts=Hosts(output.hosts, context.backoff, context.clock, context.rng),
            backoff=context.backoff,
            limiter=Limiter(
                context.clock,
                most=output.max_in_flight,
                adaptive=output.concurrency is Concurrency.ADAPTIVE,
            ),
            budget=context.budget,
            clock=context.clock,
            rng=context.rng,
            metrics=context.metrics,
            log=context.log,
            gzip=output.compression is Compression.GZIP,
            names=context.names,
            has_ids=output.ids is not Ids.AUTO,
        )


@asynccontextmanager
async def _file(context: OutputContext) -> AsyncIterator[Destination]:
    settings = context.output.file
    if settings is UNSET:
        raise ConfigError("there is no output.file")
    async with file_sender(
        settings,
        backoff=context.backoff,
        budget=context.budget,
        clock=context.clock,
        rng=context.rng,
        metrics=context.metrics,
        log=context.log,
    ) as sender:
        yield sender


@asynccontextmanager
async def _console(context: OutputContext) -> AsyncIterator[Destination]:
    if sys.__stdout__ is None:
        raise ConfigError("standard output is closed", where=context.names("output.console"))
    descriptor = sys.__stdout__.fileno()
    async with console(
        descriptor, budget=context.budget, clock=context.clock, stop=context.stop
    ) as printing:
        yield printing


DESTINATIONS: Mapping[
    OutputKind, Callable[[OutputContext], AbstractAsyncContextManager[Destination]]
] = {
    OutputKind.ELASTICSEARCH: _elasticsearch,
    OutputKind.FILE: _file,
    OutputKind.CONSOLE: _console,
}
