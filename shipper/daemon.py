"""Builds the stages from a configuration, owns their tasks, starts them and stops them in order.

The only module that knows all stages. On a signal: reading stops, what is read is sent, requests
under way may finish within `shutdown_timeout`, while files are still found and linked; the registry
commits. None of that is needed for any promise: kill -9 at any moment loses nothing either.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from shipper import __version__
from shipper.admin.metrics_log import MetricsLog
from shipper.admin.reporter import StatusReporter
from shipper.admin.server import AdminServer
from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import Ids, OutputKind, uses_tls
from shipper.config.tls import TlsVerify
from shipper.documents.constants import index_names
from shipper.documents.loss import LossDocuments
from shipper.documents.processors.machine import Machine
from shipper.files.changes import Changes
from shipper.files.commits import Commits, RecordedLosses, RegistryThread
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.former_inputs import FormerFiles, former_inputs, unmatched_files
from shipper.files.link_directory import LinkDirectories
from shipper.files.records import Recorded
from shipper.files.registry import Registry
from shipper.files.tracker import FileTracker
from shipper.internal_errors import InternalErrors, Where
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
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import FILE_NAME, DeadLetterFile
from shipper.output.deliveries import Deliveries
from shipper.output.destination import Destination
from shipper.output.destinations import OutputContext, destination
from shipper.output.loss_shipper import LossShipper
from shipper.output.outcomes import Outcomes
from shipper.pipeline.batch import Batcher
from shipper.pipeline.budget import ByteBudget
from shipper.pipeline.harvest import Harvester
from shipper.pipeline.inputs import Inputs
from shipper.reloading import Reloads
from shipper.service_manager import ServiceManager
from shipper.signals import handled_signals
from shipper.trimming import Trimming

#: What reading everything again does to what an output has already.
_DUPLICATES: Mapping[OutputKind, str] = {
    OutputKind.ELASTICSEARCH: "documents that Elasticsearch has are not duplicated",
    OutputKind.FILE: "documents at the end of the output file are not duplicated; older ones are",
    OutputKind.CONSOLE: "documents that were printed are printed again",
}


#: What is left to do after the last request: a commit, closing files, ending threads. In seconds.
_CLOSE_SECONDS = 5.0


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
        exit_within: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`service_manager`: who is told that it is ready, and stops. `reloads`: when it stops, to
        begin again with another configuration; None: never. `exit_within`: has the process end in
        so many seconds, whatever still hangs then; nothing is waited for without end, but for a
        thread that hangs in the kernel."""
        self._service_manager = service_manager or ServiceManager(clock=clock, log=log)
        self._reloads = reloads
        #: Whether it was set up.
        self.has_started = False
        self._exit_within = exit_within
        self._config = config
        self._machine = machine
        self._clock = clock
        self._filesystem = filesystem
        self._rng = rng
        self._log = log
        self._metrics = Metrics()
        self._metrics.follow("shipper_log_messages_dropped_total", log.dropped)
        self._errors = InternalErrors(
            self._metrics,
            log,
            clock,
            first_pause=config.output.backoff.initial,
            longest_pause=config.output.backoff.max,
        )
        self._faults = FileErrors(self._metrics, log)
        self._budget = ByteBudget(config.memory.max_bytes)
        self._stop = asyncio.Event()
        # There is something that the registry does not know yet.
        self._unsaved = asyncio.Event()
        self._on_disk = RegistryThread()

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
            budget=self._budget,
            clock=self._clock,
            rng=self._rng,
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
        dead_letters = DeadLetterFile(
            Path(config.data_dir, FILE_NAME), config.dead_letter.max_bytes
        )
        outcomes = Outcomes(
            dead_letters=dead_letters,
            backoff=context.backoff,
            clock=self._clock,
            rng=self._rng,
            metrics=self._metrics,
            log=self._log,
            on_end=lambda count: harvest.ended(count),
            already_stored_hint=_already_stored_hint(config),
            # The other half is for lines that can be delivered.
            most_waiting=config.memory.max_bytes // 2,
        )
        deliveries = Deliveries(
            output_destination,
            outcomes,
            budget=self._budget,
            clock=self._clock,
            errors=self._errors,
            tasks=tasks,
        )
        batcher = Batcher(
            self._clock,
            self._budget,
            deliveries.submit,
            max_bytes=output.bulk.max_bytes,
            max_events=output.bulk.max_events,
            linger=output.bulk.linger,
            gzip=output_destination.gzip,
            log=self._log,
        )
        links = LinkDirectories(self._filesystem, self._clock, self._faults.report)
        making = Inputs(
            config,
            clock=self._clock,
            filesystem=self._filesystem,
            machine=self._machine,
            faults=self._faults,
            links=links,
            metrics=self._metrics,
            log=self._log,
        )
        remembered = await self._on_disk(registry.load)
        inputs = making.make(registry, remembered, on_change=self._unsaved.set)
        configured = {source.id for source in config.inputs}
        other_places = {
            os.path.dirname(record.path)
            for record in remembered
            if record.input_id not in configured
        }
        former = former_inputs(
            remembered,
            configured,
            clock=self._clock,
            on_change=self._unsaved.set,
            forget_after=config.registry.forget_after,
        )
        # Nothing else holds the records: there may be many.
        del remembered
        for problem in registry.problems:
            self._log.emit(REGISTRY_PROBLEM, reason=config.option_names.fill(problem))
        tracked = [each.files for each in inputs]
        recorded: list[Recorded] = [*tracked, *former]
        commits = Commits(
            registry,
            self._on_disk,
            unsaved=self._unsaved,
            interval=config.registry.commit_interval,
            clock=self._clock,
            metrics=self._metrics,
            log=self._log,
            errors=self._errors,
            names=config.option_names,
        )
        losses = self._loss_shipper(registry, making.ephemeral_id, output_destination)

        def committed(source: Recorded, changes: Changes) -> None:
            tracker.committed(source)
            if changes.losses and losses is not None:
                losses.wake()

        tracker = FileTracker(
            tracked,
            filesystem=self._filesystem,
            faults=self._faults,
            metrics=self._metrics,
            log=self._log,
            max_kept_bytes=config.retention.max_bytes,
            clock=self._clock,
            commit=lambda source: commits.commit([source], committed),
            names=config.option_names,
            other_places=other_places,
        )
        former_files = FormerFiles(
            [*former, *unmatched_files(tracked)],
            followed=[source.records for source in tracked],
            may_follow=tracker.may_follow,
            filesystem=self._filesystem,
            clock=self._clock,
            log=self._log,
        )
        harvest = Harvester(
            inputs,
            tracker=tracker,
            faults=self._faults,
            batcher=batcher,
            budget=self._budget,
            clock=self._clock,
            metrics=self._metrics,
            log=self._log,
            first_start=first_start,
            errors=self._errors,
        )
        view = StatusReporter(
            clock=self._clock,
            inputs=tracked,
            harvest=harvest,
            tracker=tracker,
            deliveries=deliveries,
            budget=self._budget,
            metrics=self._metrics,
            registry_trouble=lambda: commits.trouble,
            hanging={
                "read": lambda: self._filesystem.reading.hanging,
                "stat": lambda: self._filesystem.hanging,
                "inflate": lambda: self._filesystem.inflating.hanging,
                "dead_letters": lambda: dead_letters.thread.hanging,
                "registry": lambda: self._on_disk.hanging,
            },
            names=config.option_names,
        )

        view.publish()
        # Each task goes on after an exception that nobody foresaw.
        keep = partial(self._errors.keep_running, tasks)
        serving = []
        if config.admin.enabled:
            admin = AdminServer(
                config.admin,
                source=view,
                metrics=self._metrics.exposition,
                clock=self._clock,
                log=self._log,
                errors=self._errors,
                names=config.option_names,
            )
            # Before logs are opened: its descriptors are its own from the start.
            serving.append(keep(Where.ADMIN, admin.run))
            await asyncio.sleep(0)
        finding = [
            *(keep(Where.WATCH, watch.run) for watch in making.watches(inputs)),
            keep(Where.FILE, harvest.run),
        ]
        batching = [
            keep(Where.BATCH, batcher.run),
            keep(Where.FORMER_FILES, former_files.run),
        ]
        serving += [
            keep(Where.OUTPUT, output_destination.run),
            keep(
                Where.COMMIT,
                partial(commits.run, recorded, committed),
                on_error=self._unsaved.set,
            ),
        ]
        if losses is not None:
            serving.append(keep(Where.LOSSES, losses.run, on_error=losses.wake))
        if config.logging.metrics_interval:
            metrics_log = MetricsLog(
                self._metrics,
                clock=self._clock,
                log=self._log,
                interval=config.logging.metrics_interval,
            )
            serving.append(keep(Where.UPKEEP, metrics_log.run))
        trimming = Trimming(self._clock, lambda: self._metrics.value("shipper_lines_read_total"))
        serving.append(keep(Where.UPKEEP, trimming.run))
        serving.append(keep(Where.UPKEEP, self._service_manager.run))
        if (reloads := self._reloads) is not None:

            def may_stop() -> bool:
                return not tracker.kept_by(link=False)

            serving.append(keep(Where.UPKEEP, partial(reloads.run, may_stop, self._stop.set)))
            serving.append(keep(Where.UPKEEP, reloads.watch))
        with handled_signals(self._stop_for_good, reloads.want if reloads else None):
            self.has_started = True
            self._log.emit(STARTED, version=__version__, data_dir=config.data_dir)
            self._service_manager.ready()
            await self._stop.wait()
            self._exit_within(config.shutdown_timeout + _CLOSE_SECONDS)
            if reloads is None or reloads.accepted is None:
                self._service_manager.stopping()
            self._log.emit(STOPPING)
            try:
                await harvest.stop_reading()
            except Exception as error:  # It is cancelled with the rest.
                self._errors.report(Where.FILE, error)
            await _cancel(batching)
            await self._drain(batcher, deliveries)
            await _cancel([*finding, *serving])
            await commits.commit(recorded, committed)
            tracker.close()
            links.close_all()
            self._log.emit(STOPPED, in_flight_events=harvest.in_flight_events)

    def _loss_shipper(
        self, registry: Registry, ephemeral_id: str, output_destination: Destination
    ) -> LossShipper | None:
        """What ships the losses that the registry has; None if that is not wanted."""
        if not self._config.losses.ship:
            return None
        documents = LossDocuments(
            self._config,
            agent_id=registry.agent_id,
            ephemeral_id=ephemeral_id,
            machine=self._machine,
            now=self._clock.now(),
        )
        return LossShipper(
            RecordedLosses(registry, self._on_disk),
            documents,
            output_destination.apart(),
            budget=self._budget,
            clock=self._clock,
            metrics=self._metrics,
            log=self._log,
            names=self._config.option_names,
        )

    async def _drain(self, batcher: Batcher, deliveries: Deliveries) -> None:
        """Sends what is read, within the time that stopping may take."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.shutdown_timeout):
                try:
                    await batcher.flush()
                except Exception as error:  # The next start reads it again.
                    self._errors.report(Where.BATCH, error)
                await deliveries.drain()
        if abandoned := deliveries.abandon():
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


def _already_stored_hint(config: Config) -> str:
    if config.output.ids is Ids.NODE:
        return f"give each node its own {config.option_names('name')}"
    return f"if another node has an identical file, set {config.option_names('output.ids')} to node"


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
