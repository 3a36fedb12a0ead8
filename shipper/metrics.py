"""Every metric, in one table. The reference page is made from it, and deploy/ may name no other."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


#: How a line can end.
OUTCOMES = ("delivered", "already_delivered", "dead_letter", "dropped", "filtered", "blank")

METRICS = (
    Metric(
        "shipper_lines_read_total",
        Kind.COUNTER,
        "Lines read. Each ends in one outcome of shipper_events_total, or is still in flight.",
        ("input",),
    ),
    Metric("shipper_bytes_read_total", Kind.COUNTER, "Bytes of these lines.", ("input",)),
    Metric(
        "shipper_events_total",
        Kind.COUNTER,
        "Lines by how they ended: delivered (a document was made), already_delivered (it was there "
        "from before: an answer was lost, or we were killed), dead_letter (refused; it is in the "
        "dead letter file), dropped (not a JSON object, and on_invalid is drop), filtered (by a "
        "rule of the input's events, or by drop_event), blank (an empty line).",
        ("outcome",),
    ),
    Metric(
        "shipper_events_filtered_total",
        Kind.COUNTER,
        "Events that were read and are not shipped, by the rule of the input's events: the name of "
        "one in exclude, or include, where none of those matches; drop_event: a processor.",
        ("input", "rule"),
    ),
    Metric(
        "shipper_processor_failures_total",
        Kind.COUNTER,
        "Processors that could not do what they are to do to an event, by processor; the event "
        "went on without that. document: what processors left cannot be written as JSON, and the "
        "document was shipped as it was before them.",
        ("processor",),
    ),
    Metric(
        "shipper_events_flagged_total",
        Kind.COUNTER,
        "Documents that carry an error.message, by what is wrong with their line.",
        ("problem",),
    ),
    Metric(
        "shipper_refused_events_total",
        Kind.COUNTER,
        "Events that were refused for good and are dead letters, by the type of the error; "
        "http_… where the whole request was refused.",
        ("type",),
    ),
    Metric(
        "shipper_in_flight_events",
        Kind.GAUGE,
        "Lines read that have no outcome yet. lines_read = the sum of events + this, always.",
    ),
    Metric(
        "shipper_in_flight_bytes",
        Kind.GAUGE,
        "Bytes held in memory for Elasticsearch, compressed; memory.max_bytes bounds them.",
    ),
    Metric("shipper_in_flight_requests", Kind.GAUGE, "Bulk requests under way."),
    Metric(
        "shipper_bulk_concurrency_limit",
        Kind.GAUGE,
        "How many bulk requests may be under way now: it follows what the cluster can take, up to "
        "output.max_in_flight.",
    ),
    Metric(
        "shipper_bulk_requests_total",
        Kind.COUNTER,
        "Bulk requests by HTTP status; `error` where there was no usable answer.",
        ("status",),
    ),
    Metric("shipper_bulk_bytes_total", Kind.COUNTER, "Bytes of request bodies, as sent."),
    Metric(
        "shipper_retries_total",
        Kind.COUNTER,
        "What was sent again, by reason: requests without a usable answer, and items that were "
        "answered 429 or 5xx (item_…); with output.file what was written again, by the error "
        "(ENOSPC, …).",
        ("reason",),
    ),
    Metric(
        "shipper_bulk_request_duration_seconds",
        Kind.HISTOGRAM,
        "From the first byte sent to the last byte of the answer.",
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    ),
    Metric(
        "shipper_backlog_bytes",
        Kind.GAUGE,
        "Bytes in the files that are not acknowledged yet.",
        ("input",),
    ),
    Metric(
        "shipper_oldest_unacknowledged_seconds",
        Kind.GAUGE,
        "How long the oldest line that is not acknowledged has been known of; 0 if there is none.",
    ),
    Metric("shipper_files_tracked", Kind.GAUGE, "Files that are followed.", ("input",)),
    Metric(
        "shipper_file_errors_total",
        Kind.COUNTER,
        "Failures to look at, open or read a file or directory, by error (EACCES, EIO, …).",
        ("error",),
    ),
    Metric(
        "shipper_files_rewritten_total",
        Kind.COUNTER,
        "Files whose content was truncated or replaced under their name.",
        ("input",),
    ),
    Metric(
        "shipper_losses_shipped_total",
        Kind.COUNTER,
        "Documents of losses that were acknowledged (event.action: log-lines-lost).",
    ),
    Metric(
        "shipper_lost_bytes_total",
        Kind.COUNTER,
        "Bytes that are in no document and no dead letter: rewritten (a file was cut before it was "
        "read to its end), retention (deleted files took more than retention.max_bytes), "
        "line_too_long (past max_line_bytes), dead_letter_full (the oldest dead "
        "letters made room).",
        ("reason",),
    ),
    Metric(
        "shipper_lost_lines_total",
        Kind.COUNTER,
        "Lines that are in no document and no dead letter, where they can be counted: retention "
        "(deleted files took more than retention.max_bytes).",
        ("reason",),
    ),
    Metric(
        "shipper_output_deleted_bytes_total",
        Kind.COUNTER,
        "Bytes of rotated output files that were deleted, as there were more than "
        "output.file.keep. Their documents were delivered; whether anybody read them is not known.",
    ),
    Metric(
        "shipper_kept_files",
        Kind.GAUGE,
        "Files that are deleted and not done; a link in .shipper or an open descriptor keeps them.",
    ),
    Metric(
        "shipper_kept_bytes", Kind.GAUGE, "Bytes of these files; retention.max_bytes bounds them."
    ),
    Metric("shipper_registry_commits_total", Kind.COUNTER, "Commits of offsets to the registry."),
    Metric(
        "shipper_registry_commit_failures_total",
        Kind.COUNTER,
        "Commits that failed; the offsets stay in memory and are tried again.",
    ),
    Metric("shipper_ready", Kind.GAUGE, "1 if /readyz says ready, else 0."),
    Metric(
        "shipper_build_info",
        Kind.GAUGE,
        "Always 1; the labels say what runs.",
        ("version", "python"),
    ),
)


class Metrics:
    """The metrics of one daemon, in a registry of their own."""

    def __init__(self) -> None:
        # A second series beside each counter, which says when it was made, is of use to nobody.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for row in METRICS:
            match row.kind:
                case Kind.COUNTER:
                    self._counters[row.name] = Counter(
                        row.name, row.help, row.labels, registry=self._registry
                    )
                case Kind.GAUGE:
                    self._gauges[row.name] = Gauge(
                        row.name, row.help, row.labels, registry=self._registry
                    )
                case Kind.HISTOGRAM:
                    self._histograms[row.name] = Histogram(
                        row.name, row.help, row.labels, registry=self._registry, buckets=row.buckets
                    )
        self.bulk_seconds = self._histograms["shipper_bulk_request_duration_seconds"]
        # What an alert is made on is there from the start, at 0.
        for outcome in OUTCOMES:
            self.count("shipper_events_total", 0, outcome)
        self.count("shipper_lost_lines_total", 0, "retention")
        for reason in ("rewritten", "retention", "line_too_long", "dead_letter_full"):
            self.count("shipper_lost_bytes_total", 0, reason)

    def count(self, name: str, amount: float = 1, *labels: str) -> None:
        """Adds to a counter. Raises KeyError for a name that is not in the table."""
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(amount)

    def gauge(self, name: str, value: Callable[[], float], *labels: str) -> None:
        """Has a gauge ask `value` whenever it is scraped."""
        gauge = self._gauges[name]
        (gauge.labels(*labels) if labels else gauge).set_function(value)

    def value(self, name: str, *labels: str) -> float:
        """What a counter or gauge stands at; with fewer labels than it has, the sum over them."""
        return sum(
            sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == name and tuple(sample.labels.values())[: len(labels)] == labels
        )

    def exposition(self) -> bytes:
        """All of them in the text format of Prometheus."""
        return generate_latest(self._registry)
