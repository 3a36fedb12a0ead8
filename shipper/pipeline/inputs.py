"""Makes the inputs of a configuration: for each the files that it follows, what is made of their
lines, and what keeps and watches them.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from shipper.clock import Clock
from shipper.config.inputs import InputConfig, StartAt
from shipper.config.model import Config
from shipper.config.outputs import Ids
from shipper.documents.constants import document_constants, index_name, processing_of
from shipper.documents.contributions import contributions_of
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import DROPPED
from shipper.documents.filters import EventFilter, filter_of
from shipper.documents.native import core
from shipper.documents.processors.machine import Machine
from shipper.files import inotify, timer
from shipper.files.catalog import Catalog
from shipper.files.compressed import CompressedLogs, gzips_of
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.inotify_notifier import InotifyNotifier
from shipper.files.lines import ReadBuffer
from shipper.files.link_directory import LinkDirectories
from shipper.files.link_names import LinkOwner
from shipper.files.mounts import MountChanges
from shipper.files.notifications import Notifier
from shipper.files.records import SUFFIX
from shipper.files.registry import Registry
from shipper.files.retention import Retention
from shipper.files.rows import LoadedRecords
from shipper.files.schedule import WalkSchedule
from shipper.files.tracked_input import TrackedInput
from shipper.files.watch import WakeUp, Watch
from shipper.libc import has_calls
from shipper.logs import Log
from shipper.logs.events import DIRECTORY_WATCH_FAILED, NATIVE_CORE
from shipper.metrics import Metrics
from shipper.pipeline.encoding import Input


class Inputs:
    """Makes the inputs of one configuration."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        filesystem: FileSystem,
        machine: Machine,
        faults: FileErrors,
        links: LinkDirectories,
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`links`: of the whole daemon."""
        self._links = links
        self._config = config
        self._clock = clock
        self._filesystem = filesystem
        self._machine = machine
        self._faults = faults
        self._metrics = metrics
        self._log = log
        #: `agent.ephemeral_id` of every document of this process.
        self.ephemeral_id = str(uuid.uuid4())

    def make(
        self,
        registry: Registry,
        remembered: LoadedRecords,
        *,
        on_change: Callable[[], None],
    ) -> list[Input]:
        """All of them. `remembered`: what the registry has; each takes its own. `on_change`: called
        when there is something that it does not know yet."""
        inputs = []
        for settings in self._config.inputs:
            # A gzip is no text: what is in it is read by `compressed`.
            exclude = (*settings.exclude, f"*{SUFFIX}")
            catalog = Catalog(
                settings.id,
                filesystem=self._filesystem,
                clock=self._clock,
                buffer=ReadBuffer(settings.max_line_bytes),
                remembered=remembered.take(settings.id),
                new_row=registry.new_row,
                on_change=on_change,
                forget_after=self._config.registry.forget_after,
                ignore_older=settings.ignore_older,
                start_at_end=settings.start_at is StartAt.END,
                exclude=exclude,
                symlinks=settings.symlinks,
                close_removed_after=settings.close_removed_after,
            )
            self._metrics.count("shipper_logs_removed_under_writer_total", 0, settings.id)
            constants = document_constants(
                self._config, settings, agent_id=registry.agent_id, ephemeral_id=self.ephemeral_id
            )
            processing = processing_of(
                self._config, settings, constants, self._machine, self._clock.now()
            )
            encoder = DocumentEncoder(
                constants,
                content_ids=self._config.output.ids is not Ids.AUTO,
                node=self._config.name if self._config.output.ids is Ids.NODE else "",
                on_invalid=settings.on_invalid,
                contributions=contributions_of(settings.format, constants),
                events=self._event_filter(
                    settings, drops=bool(processing and processing.drops_events)
                ),
                index=index_name(
                    self._config, settings, processing.constants if processing else constants
                ),
                processing=processing,
            )
            inputs.append(
                Input(
                    TrackedInput(
                        settings.id,
                        settings.paths,
                        catalog,
                        WakeUp(),
                        WalkSchedule(self._clock, settings.scan_interval),
                        exclude=exclude,
                        symlinks=settings.symlinks,
                        require_files=settings.require_files,
                        retention=self._retention(registry.agent_id, settings.id),
                        compressed=self._compressed(settings, catalog),
                    ),
                    encoder,
                )
            )
        self._report_native(inputs)
        return inputs

    def _report_native(self, inputs: Iterable[Input]) -> None:
        """Says which of them the native core encodes."""
        native, state = core()
        reasons = {}
        for each in inputs:
            input_id, way = each.files.input_id, each.encoder.native
            self._metrics.gauge("shipper_native", partial(getattr, way, "is_on"), input_id)
            self._metrics.count("shipper_native_declined_lines_total", 0, input_id)
            if native is not None and not way.is_on:
                reasons[input_id] = way.reason
        self._log.emit(NATIVE_CORE, state=state, python_inputs=reasons or None)

    def watches(self, inputs: Iterable[Input]) -> Iterator[Watch | MountChanges]:
        """The watch of each of them, and that of the mount table, which they share."""
        mounts, notifier = MountChanges(self._clock), _notifier(self._clock)
        yield mounts

        def report(directory: str, error: OSError) -> None:
            self._faults.report(DIRECTORY_WATCH_FAILED, error, directory)

        for settings, source in zip(self._config.inputs, inputs, strict=True):
            files = source.files
            patterns = [*settings.paths]
            if settings.compressed:
                patterns += gzips_of(settings.paths)
            yield Watch(
                self._clock, patterns, files.schedule, files.wake_up, report, notifier, mounts
            )

    def _event_filter(self, settings: InputConfig, *, drops: bool) -> EventFilter | None:
        """`drops`: whether processors may drop events, too."""
        events = filter_of(settings.events)
        rules = list(events.labels) if events else []
        if drops:
            rules.append(DROPPED)
        # A rule that has matched nothing is seen to be there.
        for rule in rules:
            self._metrics.count("shipper_events_filtered_total", 0, settings.id, rule)
        return events

    def _compressed(self, settings: InputConfig, catalog: Catalog) -> CompressedLogs | None:
        if not settings.compressed:
            return None
        return CompressedLogs(
            settings.paths,
            catalog,
            exclude=settings.exclude,
            symlinks=settings.symlinks,
            filesystem=self._filesystem,
            metrics=self._metrics,
            log=self._log,
        )

    def _retention(self, agent_id: str, input_id: str) -> Retention | None:
        if not self._config.retention.enabled:
            return None
        owner = LinkOwner(agent_id, input_id, self._config.data_dir)
        return Retention(self._filesystem, self._links, owner, self._faults.report)


def _notifier(clock: Clock) -> Notifier:
    """Who tells of changes in directories, for all inputs."""
    if has_calls((*inotify.CALLS, *timer.CALLS)):
        return InotifyNotifier(clock)
    # Imported where it is needed: it takes 2 MB.
    from shipper.files.watchfiles_notifier import WatchfilesNotifier

    return WatchfilesNotifier(clock)
