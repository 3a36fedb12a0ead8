"""Runs the stages of a configuration: owns their tasks, starts them and stops them in order.

On a signal: reading stops, what is read is sent, requests under way may finish within
`shutdown_timeout`, while files are still found and linked; the registry commits. None of that is
needed for any promise: kill -9 at any moment loses nothing either.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from shipper import __version__
from shipper.admin.metrics_log import MetricsLog
from shipper.admin.server import AdminServer
from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import OutputKind, uses_tls
from shipper.config.tls import TlsVerify
from shipper.documents.constants import index_names
from shipper.documents.processors.machine import Machine
from shipper.errors import reason_of
from shipper.files.commits import RegistryThread
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.registry import Registry
from shipper.files.write_probe import why_not_writable
from shipper.internal_errors import InternalErrors, Where, cancelled_only_by_us
from shipper.logs import Log
from shipper.logs.events import (
    REGISTRY_PROBLEM,
    REGISTRY_REPLACED,
    REQUESTS_ABANDONED,
    STARTED,
    STOPPED,
    STOPPING,
    TLS_NOT_VERIFIED,
)
from shipper.metrics import Metrics
from shipper.offload import in_a_thread
from shipper.output.backoff import Backoff
from shipper.output.destination import Destination
from shipper.output.destinations import OutputContext, destination
from shipper.pipeline.budget import ByteBudget
from shipper.reloading import Reloads
from shipper.service_manager import ServiceManager
from shipper.signals import Stops
from shipper.stages import Shared, Stages
from shipper.trimming import Trimming

#: What reading everything again does to what an output has already.
_DUPLICATES: Mapping[OutputKind, str] = {
    OutputKind.ELASTICSEARCH: "documents that Elasticsearch has are not duplicated",
    OutputKind.FILE: "documents at the end of the output file are not duplicated; older ones are",
    OutputKind.CONSOLE: "documents that were printed are printed again",
}


#: What is left to do after the last request: a commit, closing files, ending threads. In seconds.
_CLOSE_SECONDS = 5.0


class _Running(NamedTuple):
    """The tasks of the stages, by when they end."""

    #: As soon as nothing is read any more.
    batching: list[asyncio.Task[None]]
    #: When everything is sent.
    others: list[asyncio.Task[None]]


class Daemon:
    """One running shipper."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        filesystem: FileSystem,
        machine: Machine,
        rng: random.Random,
        log: Log,
        service_manager: ServiceManager | None = None,
        reloads: Reloads | None = None,
        stops: Stops | None = None,
        exit_within: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`service_manager`: who is told that it is ready, and stops. `reloads`: when it stops, to
        begin again with another configuration; None: never. `stops`: the signals that stop it, if
        a daemon before it has handled them. `exit_within`: has the process end in so many seconds,
        whatever still hangs then; nothing is waited for without end, but for a thread that hangs
        in the kernel."""
        self._service_manager = service_manager or ServiceManager(clock=clock, log=log)
        self._reloads = reloads
        self._stops = stops or Stops()
        #: Whether it was set up.
        self.has_started = False
        self._exit_within = exit_within
        self._config = config
        self._clock = clock
        self._filesystem = filesystem
        self._log = log
        self._metrics = metrics = Metrics()
        metrics.follow("shipper_log_messages_dropped_total", log.dropped)
        self._stop = asyncio.Event()
        self._on_disk = RegistryThread()
        backoff = config.output.backoff
        self._shared = Shared(
            config=config,
            clock=clock,
            filesystem=filesystem,
            machine=machine,
            rng=rng,
            metrics=metrics,
            log=log,
            errors=InternalErrors(
                metrics, log, clock, first_pause=backoff.initial, longest_pause=backoff.max
            ),
            faults=FileErrors(metrics, log),
            budget=ByteBudget(config.memory.max_bytes),
            unsaved=asyncio.Event(),
            on_disk=self._on_disk,
        )

    async def run(self) -> None:
        """Ships until a SIGTERM or SIGINT, or until it is cancelled.

        Raises:
            RegistryError: the data directory cannot be used.
            ConfigError: the TLS settings cannot be used, or `output.index` gives no name.
            OutputError: nothing can be shipped any more, and it stopped in order.
        """
        index_names(self._config)
        output = self._config.output
        context = OutputContext(
            output=output,
            names=self._config.option_names,
            backoff=Backoff(output.backoff.initial, output.backoff.max),
            budget=self._shared.budget,
            clock=self._clock,
            rng=self._shared.rng,
            metrics=self._metrics,
            log=self._log,
            stop=self._stop.set,
        )
        first_start = await self._on_disk(_is_empty, Path(self._config.data_dir))
        registry, aside = await self._on_disk(Registry.open, Path(self._config.data_dir))
        if aside is not None:
            self._log.emit(REGISTRY_REPLACED, put_aside=aside, reason=_DUPLICATES[output.kind])
        try:
            await self._take_over(registry)
            async with destination(context) as output_destination, asyncio.TaskGroup() as tasks:
                await self._ship(registry, context, output_destination, tasks, first_start)
        finally:
            self._exit_within(_CLOSE_SECONDS)
            await self._on_disk(registry.close)

    async def _take_over(self, registry: Registry) -> None:
        """At a first start: has each file go on where Filebeat was, if it was there."""
        place = self._config.import_directory
        if place is None or not registry.is_new:
            return
        is_automatic = self._config.registry.import_from == "auto"
        if is_automatic and not await self._on_disk(place.exists):
            return
        # Once in the life of a data directory, if at all.
        from shipper.filebeat_registry.importing import import_at_start

        await self._on_disk(
            import_at_start, registry, self._config, self._filesystem, self._clock, self._log
        )

    async def _ship(
        self,
        registry: Registry,
        context: OutputContext,
        output_destination: Destination,
        tasks: asyncio.TaskGroup,
        first_start: bool,
    ) -> None:
        config, output = self._config, self._config.output
        if output.tls.verify is not TlsVerify.FULL and uses_tls(output):
            self._log.emit(
                TLS_NOT_VERIFIED,
                verify=output.tls.verify.value,
                hint=f"set {config.option_names('output.tls.verify')} to full",
            )
        stages = Stages(
            self._shared,
            registry,
            await self._on_disk(registry.load),
            output_destination,
            backoff=context.backoff,
            tasks=tasks,
            is_first_start=first_start,
        )
        for problem in registry.problems:
            self._log.emit(REGISTRY_PROBLEM, reason=config.option_names.fill(problem))
        stages.status.publish()
        running = await self._start(stages, tasks)
        reloads = self._reloads
        on_hangup = reloads.on_hangup() if reloads else contextlib.nullcontext()
        with self._stops.handled(self._stop_for_good), on_hangup:
            self.has_started = True
            self._log.emit(STARTED, version=__version__, data_dir=config.data_dir)
            self._service_manager.ready()
            await self._stop.wait()
            self._exit_within(config.shutdown_timeout + _CLOSE_SECONDS)
            if reloads is None or reloads.accepted is None:
                self._service_manager.stopping()
            self._log.emit(STOPPING)
            await self._shut_down(stages, running)
            self._log.emit(STOPPED, in_flight_events=stages.harvest.in_flight_events)

    async def _start(self, stages: Stages, tasks: asyncio.TaskGroup) -> _Running:
        """Starts all tasks. Each goes on after an exception that nobody foresaw."""
        config, metrics, errors = self._config, self._metrics, self._shared.errors
        keep = partial(errors.keep_running, tasks)
        serving = []
        if config.admin.enabled:
            admin = AdminServer(
                config.admin,
                source=stages.status,
                metrics=metrics.exposition,
                clock=self._clock,
                log=self._log,
                errors=errors,
                names=config.option_names,
            )
            # Before logs are opened: its descriptors are its own from the start.
            serving.append(keep(Where.ADMIN, admin.run))
            await asyncio.sleep(0)
        finding = [
            *(keep(Where.WATCH, watch.run) for watch in stages.watches),
            keep(Where.FILE, stages.harvest.run),
        ]
        batching = [
            keep(Where.BATCH, stages.batcher.run),
            keep(Where.FORMER_FILES, stages.former_files.run),
        ]
        serving += [
            keep(Where.OUTPUT, stages.destination.run),
            keep(
                Where.COMMIT,
                partial(stages.commits.run, stages.recorded, stages.committed),
                on_error=self._shared.unsaved.set,
            ),
        ]
        if (losses := stages.losses) is not None:
            serving.append(keep(Where.LOSSES, losses.run, on_error=losses.wake))
        dead_letters = stages.dead_letters
        serving.append(keep(Where.LOSSES, stages.outcomes.finish_deletions))
        serving.append(keep(Where.UPKEEP, partial(dead_letters.keep_size_known, self._clock)))
        if config.logging.metrics_interval:
            metrics_log = MetricsLog(
                metrics,
                clock=self._clock,
                log=self._log,
                interval=config.logging.metrics_interval,
            )
            serving.append(keep(Where.UPKEEP, metrics_log.run))
        trimming = Trimming(self._clock, lambda: metrics.value("shipper_lines_read_total"))
        serving.append(keep(Where.UPKEEP, trimming.run))
        serving.append(keep(Where.UPKEEP, self._service_manager.run))
        if (reloads := self._reloads) is not None:
            why_not_stop = partial(self._why_not_stop, stages)
            serving.append(keep(Where.UPKEEP, partial(reloads.run, why_not_stop, self._stop.set)))
            serving.append(keep(Where.UPKEEP, reloads.watch))
        return _Running(batching, [*finding, *serving])

    async def _why_not_stop(self, stages: Stages) -> str:
        """As `reloading.WhyNotStop`."""
        if stages.tracker.kept_by(link=False):
            return "removed files that have no hard link are not shipped yet"
        if stages.commits.trouble is not None:
            return stages.commits.trouble
        directory = Path(self._config.data_dir)
        refused = await in_a_thread(lambda: why_not_writable(directory))
        return f"{directory}: {reason_of(refused)}" if refused else ""

    async def _shut_down(self, stages: Stages, running: _Running) -> None:
        """Reading stops, what is read is sent, and what is acknowledged is committed."""
        try:
            with cancelled_only_by_us():
                await stages.harvest.stop_reading()
        except Exception as error:  # It is cancelled with the rest.
            self._shared.errors.report(Where.FILE, error)
        await _cancel(running.batching)
        await self._drain(stages)
        await _cancel(running.others)
        await stages.commits.commit(stages.recorded, stages.committed)
        stages.tracker.close()
        stages.links.close_all()

    async def _drain(self, stages: Stages) -> None:
        """Sends what is read, within the time that stopping may take."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.shutdown_timeout):
                try:
                    with cancelled_only_by_us():
                        await stages.batcher.flush()
                except Exception as error:  # The next start reads it again.
                    self._shared.errors.report(Where.BATCH, error)
                try:
                    with cancelled_only_by_us():
                        await stages.deliveries.drain()
                except Exception as error:  # What is in flight is abandoned.
                    self._shared.errors.report(Where.DELIVERY, error)
        if abandoned := stages.deliveries.abandon():
            self._log.emit(REQUESTS_ABANDONED, requests=abandoned)

    def _stop_for_good(self) -> None:
        self._stop.set()
        if self._reloads is not None:
            self._reloads.cancel()


def _is_empty(directory: Path) -> bool:
    """Whether nothing is there: no earlier process has left anything."""
    try:
        return next(directory.iterdir(), None) is None
    except FileNotFoundError:
        return True
    except OSError:
        return False


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
