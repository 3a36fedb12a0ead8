"""The daemon's state as it looks from outside: the gauges, readiness, and /status."""

import functools
import platform
from collections.abc import Callable, Mapping, Sequence

from shipper import __version__
from shipper.admin.status import (
    FileStatus,
    InputStatus,
    Status,
    Trouble,
    TroubleKind,
    UnreadablePath,
)
from shipper.clock import Clock
from shipper.files.link_problems import LinkProblem
from shipper.files.tracked_input import TrackedInput
from shipper.files.tracker import FileTracker
from shipper.foreign import path_text
from shipper.metric_table import OUTCOMES
from shipper.metrics import Metrics
from shipper.offload import HANGS_SECONDS
from shipper.option_names import OWN_NAMES, OptionNames
from shipper.output.deliveries import Deliveries
from shipper.pipeline.budget import ByteBudget
from shipper.pipeline.harvest import Harvester

#: Work that waits for the data directory: labels of `shipper_hanging_calls`.
IN_DATA_DIRECTORY = ("registry", "dead_letters")


class StatusReporter:
    """Looks at the stages when it is asked; changes nothing."""

    def __init__(
        self,
        *,
        clock: Clock,
        inputs: Sequence[TrackedInput],
        harvest: Harvester,
        tracker: FileTracker,
        deliveries: Deliveries,
        budget: ByteBudget,
        metrics: Metrics,
        registry_trouble: Callable[[], str | None],
        hanging: Mapping[str, Callable[[], int]],
        names: OptionNames = OWN_NAMES,
    ) -> None:
        """`registry_trouble`: why offsets cannot be saved at the moment, if they cannot; `hanging`:
        how many calls hang, by the work that waits for them (`ThreadPool.hanging`); `names`: what
        messages call the options."""
        self._clock = clock
        self._inputs = inputs
        self._harvest = harvest
        self._tracker = tracker
        self._deliveries = deliveries
        self._budget = budget
        self._metrics = metrics
        self._registry_trouble = registry_trouble
        self._hanging = hanging
        self._names = names
        self._began = clock.monotonic()

    def publish(self) -> None:
        """Connects the gauges to the state."""
        gauge = self._metrics.gauge
        gauge("shipper_in_flight_events", lambda: self._harvest.in_flight_events)
        gauge("shipper_in_flight_bytes", lambda: self._budget.held)
        gauge("shipper_in_flight_requests", lambda: self._deliveries.condition.requests)
        gauge("shipper_bulk_concurrency_limit", lambda: self._deliveries.condition.limit)
        gauge("shipper_oldest_unacknowledged_seconds", self._oldest)
        gauge("shipper_ready", lambda: not self.troubles())
        gauge("shipper_build_info", lambda: 1, __version__, platform.python_version())
        gauge("shipper_kept_files", lambda: self._tracker.kept_by(link=True), "link")
        gauge("shipper_kept_files", lambda: self._tracker.kept_by(link=False), "descriptor")
        gauge("shipper_foreign_links", lambda: self._tracker.foreign_links)
        gauge("shipper_kept_bytes", lambda: self._tracker.quota.kept_bytes)
        for work, count in self._hanging.items():
            gauge("shipper_hanging_calls", count, work)
        for source in self._inputs:
            self._publish_input(source)

    def _publish_input(self, source: TrackedInput) -> None:
        gauge, catalog = self._metrics.gauge, source.catalog
        gauge("shipper_backlog_bytes", lambda: catalog.backlog, source.input_id)
        gauge("shipper_incomplete_line_bytes", lambda: _incomplete(source), source.input_id)
        gauge(
            "shipper_files_tracked",
            lambda: len(catalog.tails) + len(catalog.parked),
            source.input_id,
        )
        summary, name = self._tracker.summary, "shipper_input_files"
        gauge(name, lambda: summary(source).files, source.input_id, "found")
        gauge(name, lambda: summary(source).unreadable_count, source.input_id, "unreadable")
        gauge(name, lambda: summary(source).skipped, source.input_id, "skipped")
        gauge(name, lambda: summary(source).left_out, source.input_id, "left_out")
        for problem in LinkProblem:
            count = functools.partial(self._link_problems, source, problem)
            gauge("shipper_link_directory_problems", count, source.input_id, problem.value)

    def _link_problems(self, source: TrackedInput, problem: LinkProblem) -> int:
        return self._tracker.link_problems(source).get(problem, 0)

    def troubles(self) -> tuple[Trouble, ...]:
        """Why lines cannot be read or get through, or offsets not be saved; empty when all is
        well."""
        general = (
            (TroubleKind.REGISTRY, self._registry_trouble()),
            (TroubleKind.QUOTA, self._tracker.quota.trouble),
            (TroubleKind.OUTPUT, self._deliveries.condition.trouble),
            (TroubleKind.HANGS, self._data_directory_hangs()),
        )
        troubles = [Trouble.of(kind, words) for kind, words in general if words is not None]
        for source in self._inputs:
            found = self._unreadable(source), self._without_files(source)
            troubles += [trouble for trouble in found if trouble is not None]
        return tuple(troubles)

    def _data_directory_hangs(self) -> str | None:
        """That its disk does not answer. Files of inputs are named with their input."""
        works = [work for work in IN_DATA_DIRECTORY if self._hanging[work]()]
        if not works:
            return None
        what = " and ".join(works).replace("_", " ")
        return (
            f"the disk of {self._names('data_dir')} does not answer: writing to the {what} has "
            f"hung for more than {HANGS_SECONDS:g} s"
        )

    def _unreadable(self, source: TrackedInput) -> Trouble | None:
        """What of an input is there and cannot be read."""
        summary = self._tracker.summary(source)
        if not summary.unreadable:
            return None
        (path, error), others = summary.unreadable[0], summary.unreadable_count - 1
        more = f" (and {others} more)" if others else ""
        words = f"input {source.input_id}: {path_text(path)} cannot be read: {error}{more}"
        return Trouble.of(TroubleKind.UNREADABLE, words)

    def _without_files(self, source: TrackedInput) -> Trouble | None:
        """That no file of an input is there, if it has to have one."""
        summary = self._tracker.summary(source)
        if not source.require_files or summary.files:
            return None
        if not summary.scanned:
            words = f"input {source.input_id}: its directories are not scanned yet"
            return Trouble.of(TroubleKind.NOT_SCANNED, words)
        patterns = ", ".join(map(path_text, source.patterns))
        option = self._names("inputs[].require_files")
        words = f"input {source.input_id}: no file matches {patterns} ({option} is true)"
        return Trouble.of(TroubleKind.NO_FILES, words)

    def _input_status(self, source: TrackedInput) -> InputStatus:
        summary = self._tracker.summary(source)
        return InputStatus(
            input=source.input_id,
            files=summary.files,
            paths_without_files=summary.without_files,
            missing_directories=summary.missing,
            unreadable=tuple(
                UnreadablePath(path_text(path), error) for path, error in summary.unreadable
            ),
            unreadable_count=summary.unreadable_count,
            symlinks_skipped=summary.skipped,
            left_out=summary.left_out,
            link_directory_problems={
                problem.value: count
                for problem, count in self._tracker.link_problems(source).items()
                if count
            },
        )

    def status(self) -> Status:
        """All that /status shows."""
        troubles, condition = self.troubles(), self._deliveries.condition
        value = self._metrics.value
        return Status(
            version=__version__,
            ready=not troubles,
            reasons=tuple(trouble.details for trouble in troubles),
            uptime_seconds=round(self._clock.monotonic() - self._began, 3),
            hosts=condition.hosts,
            hosts_resting=condition.hosts_resting,
            lines_read=int(value("shipper_lines_read_total")),
            events={name: int(value("shipper_events_total", name)) for name in OUTCOMES},
            in_flight_events=self._harvest.in_flight_events,
            in_flight_bytes=self._budget.held,
            in_flight_requests=condition.requests,
            concurrency_limit=condition.limit,
            backlog_bytes=sum(source.catalog.backlog for source in self._inputs),
            incomplete_line_bytes=sum(_incomplete(source) for source in self._inputs),
            oldest_unacknowledged_seconds=round(self._oldest(), 3),
            inputs=tuple(self._input_status(source) for source in self._inputs),
            files=tuple(
                FileStatus(
                    input=source.input_id,
                    path=path_text(tail.path),
                    identity=tail.identity,
                    state=tail.state.value,
                    size=tail.size,
                    offset=tail.offset,
                    acknowledged=tail.acks.offset,
                    incomplete_line_bytes=tail.incomplete_line,
                )
                for source in self._inputs
                for tail in source.catalog.tails
            ),
        )

    def _oldest(self) -> float:
        """Seconds since the oldest line that is not acknowledged was seen."""
        now = self._clock.monotonic()
        tails = [tail for source in self._inputs for tail in source.catalog.tails]
        seen = [tail.behind_since for tail in tails if tail.behind_since is not None]
        return max(0.0, now - min(seen)) if seen else 0.0


def _incomplete(source: TrackedInput) -> int:
    return sum(tail.incomplete_line for tail in source.catalog.tails)
