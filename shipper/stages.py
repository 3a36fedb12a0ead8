"""Builds the stages from a configuration, and connects them; the only module that knows them all.

Data flows from the files to the output: `tracker` finds files, `harvest` reads them, `batcher`
makes request bodies, `deliveries` has the output send them. Outcomes flow back: `harvest` is told
of them, and `commits` saves in the registry what was acknowledged.
"""

import asyncio
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shipper.admin.reporter import StatusReporter
from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import Ids
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
from shipper.files.rows import LoadedRecords
from shipper.files.tracked_input import TrackedInput
from shipper.files.tracker import FileTracker
from shipper.internal_errors import InternalErrors
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.output.backoff import Backoff
from shipper.output.dead_letter_file import FILE_NAME, DeadLetterFile
from shipper.output.dead_letter_losses import DeadLetterLosses
from shipper.output.deliveries import Deliveries
from shipper.output.destination import Destination
from shipper.output.loss_shipper import LossShipper
from shipper.output.outcomes import Outcomes
from shipper.pipeline.batch import Batcher
from shipper.pipeline.budget import ByteBudget
from shipper.pipeline.harvest import Harvester
from shipper.pipeline.inputs import Inputs


@dataclass(frozen=True, slots=True)
class Shared:
    """What many stages are given."""

    config: Config
    clock: Clock
    filesystem: FileSystem
    machine: Machine
    rng: random.Random
    metrics: Metrics
    log: Log
    errors: InternalErrors
    faults: FileErrors
    budget: ByteBudget
    #: Set when there is something that the registry does not know yet.
    unsaved: asyncio.Event
    on_disk: RegistryThread


class Stages:
    """The stages of one daemon; none of them runs yet."""

    def __init__(
        self,
        shared: Shared,
        registry: Registry,
        remembered: LoadedRecords,
        destination: Destination,
        *,
        backoff: Backoff,
        tasks: asyncio.TaskGroup,
        is_first_start: bool,
    ) -> None:
        """`remembered`: all files of the registry; it is not kept, for there may be many.
        `backoff`: that of the output. Requests become tasks of `tasks`. `is_first_start`: no
        earlier process has left anything in the data directory."""
        config, clock, log = shared.config, shared.clock, shared.log
        metrics, errors, budget = shared.metrics, shared.errors, shared.budget
        self.destination = destination
        recorded_losses = RecordedLosses(registry, shared.on_disk)
        self.dead_letters = DeadLetterFile(
            Path(config.data_dir, FILE_NAME),
            config.dead_letter.max_bytes,
            DeadLetterLosses(
                recorded_losses,
                input_of=lambda path: _input_of(path, tracked),
                on_recorded=self._wake_losses,
                clock=clock,
                metrics=metrics,
                log=log,
                names=config.option_names,
            ),
        )
        self.outcomes = Outcomes(
            dead_letters=self.dead_letters,
            backoff=backoff,
            clock=clock,
            rng=shared.rng,
            metrics=metrics,
            log=log,
            on_end=lambda count: self.harvest.ended(count),
            already_stored_hint=_already_stored_hint(config),
            # The other half is for lines that can be delivered.
            most_waiting=config.memory.max_bytes // 2,
        )
        self.deliveries = Deliveries(
            destination, self.outcomes, budget=budget, clock=clock, errors=errors, tasks=tasks
        )
        self.batcher = Batcher(
            clock,
            budget,
            self.deliveries.submit,
            max_bytes=config.output.bulk.max_bytes,
            max_events=config.output.bulk.max_events,
            linger=config.output.bulk.linger,
            gzip=destination.gzip,
            log=log,
        )
        self.links = LinkDirectories(shared.filesystem, clock, shared.faults.report)
        making = Inputs(
            config,
            clock=clock,
            filesystem=shared.filesystem,
            machine=shared.machine,
            faults=shared.faults,
            links=self.links,
            metrics=metrics,
            log=log,
        )
        inputs = making.make(registry, remembered, on_change=shared.unsaved.set)
        self.watches = list(making.watches(inputs))
        tracked = [each.files for each in inputs]
        configured = {source.id for source in config.inputs}
        former = former_inputs(
            remembered,
            configured,
            clock=clock,
            on_change=shared.unsaved.set,
            forget_after=config.registry.forget_after,
        )
        #: Whose records and losses the registry has.
        self.recorded: list[Recorded] = [*tracked, *former]
        self.commits = Commits(
            registry,
            shared.on_disk,
            unsaved=shared.unsaved,
            interval=config.registry.commit_interval,
            clock=clock,
            metrics=metrics,
            log=log,
            errors=errors,
            names=config.option_names,
        )
        #: None: losses are not shipped.
        self.losses = _loss_shipper(
            shared, recorded_losses, registry.agent_id, making.ephemeral_id, destination
        )
        self.tracker = FileTracker(
            tracked,
            filesystem=shared.filesystem,
            faults=shared.faults,
            metrics=metrics,
            log=log,
            max_kept_bytes=config.retention.max_bytes,
            clock=clock,
            commit=lambda source: self.commits.commit([source], self.committed),
            names=config.option_names,
            other_places={
                os.path.dirname(record.path)
                for record in remembered
                if record.input_id not in configured
            },
        )
        self.former_files = FormerFiles(
            [*former, *unmatched_files(tracked)],
            followed=[source.records for source in tracked],
            may_follow=self.tracker.may_follow,
            filesystem=shared.filesystem,
            clock=clock,
            log=log,
        )
        self.harvest = Harvester(
            inputs,
            tracker=self.tracker,
            faults=shared.faults,
            batcher=self.batcher,
            budget=budget,
            clock=clock,
            metrics=metrics,
            log=log,
            first_start=is_first_start,
            errors=errors,
        )
        self.status = StatusReporter(
            clock=clock,
            inputs=tracked,
            harvest=self.harvest,
            tracker=self.tracker,
            deliveries=self.deliveries,
            budget=budget,
            metrics=metrics,
            registry_trouble=lambda: self.commits.trouble,
            hanging={
                "read": lambda: shared.filesystem.reading.hanging,
                "stat": lambda: shared.filesystem.hanging,
                "inflate": lambda: shared.filesystem.inflating.hanging,
                "dead_letters": lambda: self.dead_letters.thread.hanging,
                "registry": lambda: shared.on_disk.hanging,
            },
            names=config.option_names,
        )

    def committed(self, source: Recorded, changes: Changes) -> None:
        """The registry has the `changes` of `source`."""
        self.tracker.committed(source)
        if changes.losses:
            self._wake_losses()

    def _wake_losses(self) -> None:
        if self.losses is not None:
            self.losses.wake()


def _loss_shipper(
    shared: Shared,
    recorded: RecordedLosses,
    agent_id: str,
    ephemeral_id: str,
    destination: Destination,
) -> LossShipper | None:
    """What ships the losses that are `recorded`; None if that is not wanted."""
    config = shared.config
    if not config.losses.ship:
        return None
    documents = LossDocuments(
        config,
        agent_id=agent_id,
        ephemeral_id=ephemeral_id,
        machine=shared.machine,
        now=shared.clock.now(),
    )
    return LossShipper(
        recorded,
        documents,
        destination.apart(),
        budget=shared.budget,
        clock=shared.clock,
        metrics=shared.metrics,
        log=shared.log,
        names=config.option_names,
    )


def _input_of(path: str, inputs: Iterable[TrackedInput]) -> str:
    """The id of an input with files at that path; empty if there is none."""
    return next((each.input_id for each in inputs if each.matches(path)), "")


def _already_stored_hint(config: Config) -> str:
    if config.output.ids is Ids.NODE:
        return f"give each node its own {config.option_names('name')}"
    return f"if another node has an identical file, set {config.option_names('output.ids')} to node"
