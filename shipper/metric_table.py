"""The table of all metrics. docs/metrics.md is generated from it; deploy/ may only use these
names."""

from enum import Enum

from msgspec import Struct

#: What somebody else did to a `.shipper`.
LINK_DIRECTORY_CHANGES = ("replaced", "exposed", "links_removed")

#: What is lost without a record in the registry: the rest of a line whose beginning is shipped.
_CUT = "line_too_long"

#: Why bytes are lost.
LOST_BYTES_REASONS = (
    "rewritten",
    "retention",
    "vanished",
    "damaged",
    "too_large",
    _CUT,
    "dead_letter_full",
)

#: Why lines are lost, as the registry records it (`files.losses.LossReason`).
LOSS_REASONS = tuple(reason for reason in LOST_BYTES_REASONS if reason != _CUT)


#: Labels whose values are the user's own.
CONFIGURED_LABELS = frozenset({"input", "rule", "processor"})

#: The last label of what is beyond the bound of a counter.
OTHER = "other"


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(Struct, frozen=True):
    """One row of the table."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    #: So many series at the most, besides OTHER, of a counter without CONFIGURED_LABELS: servers,
    #: proxies and kernels may say anything.
    most_series: int = 100


#: The outcomes of lines.
OUTCOMES = ("delivered", "already_delivered", "dead_letter", "dropped", "filtered", "blank")

METRICS = (
    Metric(
        "shipper_lines_read_total",
        Kind.COUNTER,
        "Lines read; each has one outcome in shipper_events_total, or is still in flight.",
        ("input",),
    ),
    Metric("shipper_bytes_read_total", Kind.COUNTER, "Bytes of the lines read.", ("input",)),
    Metric(
        "shipper_nul_bytes_skipped_total",
        Kind.COUNTER,
        "Bytes that are NUL and were skipped before lines: a log was truncated under a writer that "
        "does not append, or allocated in advance, or there was a power cut. They are no loss.",
        ("input",),
    ),
    Metric(
        "shipper_events_total",
        Kind.COUNTER,
        "Lines by outcome: delivered (stored as a document), already_delivered (the document "
        "existed: an answer was lost, or shipper was killed), dead_letter (in the dead letter "
        "file), dropped (not a JSON object, and on_invalid is drop), filtered (by a rule in "
        "inputs[].events, or by drop_event), blank (an empty line).",
        ("outcome",),
    ),
    Metric(
        "shipper_events_filtered_total",
        Kind.COUNTER,
        "Events that were read and not shipped, by rule: the name of a rule in "
        "inputs[].events.exclude, include (no include rule matched), or drop_event (the "
        "processor).",
        ("input", "rule"),
    ),
    Metric(
        "shipper_processor_failures_total",
        Kind.COUNTER,
        "Failures of processors, by processor; the event was shipped without the change of the "
        "processor. document: the result could not be written as JSON, and the document was "
        "shipped as it was before the processors.",
        ("processor",),
    ),
    Metric(
        "shipper_events_flagged_total",
        Kind.COUNTER,
        "Documents with an error.message, by the problem of their line.",
        ("problem",),
    ),
    Metric(
        "shipper_refused_events_total",
        Kind.COUNTER,
        "Events that were rejected for good and became dead letters, by error type; http_… if the "
        "whole request was rejected. Of 50 types; the others are counted as other.",
        ("type",),
        most_series=50,
    ),
    Metric(
        "shipper_dead_letter_bytes",
        Kind.GAUGE,
        "Bytes of the dead letter file and its predecessor.",
    ),
    Metric(
        "shipper_dead_letter_limit_bytes",
        Kind.GAUGE,
        "Bytes that the dead letter file and its predecessor may have: dead_letter.max_bytes.",
    ),
    Metric(
        "shipper_failure_store_events_total",
        Kind.COUNTER,
        "Events that Elasticsearch would have rejected, and put into the failure store of the data "
        "stream; they are counted as delivered, too.",
    ),
    Metric(
        "shipper_in_flight_events",
        Kind.GAUGE,
        "Lines read that have no outcome yet: shipper_lines_read_total minus shipper_events_total.",
    ),
    Metric(
        "shipper_in_flight_bytes",
        Kind.GAUGE,
        "Bytes in memory that wait for the output, compressed as soon as they are encoded; limited "
        "by memory.max_bytes.",
    ),
    Metric("shipper_in_flight_requests", Kind.GAUGE, "Bulk requests in flight."),
    Metric(
        "shipper_bulk_concurrency_limit",
        Kind.GAUGE,
        "Current limit of concurrent bulk requests: adapts to the cluster, at most "
        "output.max_in_flight.",
    ),
    Metric(
        "shipper_bulk_requests_total",
        Kind.COUNTER,
        "Bulk requests by HTTP status (4xx, 5xx, … for numbers without a name in HTTP); error if "
        "there was no answer.",
        ("status",),
    ),
    Metric("shipper_bulk_bytes_total", Kind.COUNTER, "Bytes of bulk request bodies, as sent."),
    Metric(
        "shipper_retries_total",
        Kind.COUNTER,
        "Retries by reason: requests without a valid answer, and items that were answered 429 "
        "or 5xx (item_…); with output.file, writes by error (ENOSPC, …).",
        ("reason",),
    ),
    Metric(
        "shipper_bulk_request_duration_seconds",
        Kind.HISTOGRAM,
        "Duration of bulk requests, from the first byte sent to the last byte of the answer.",
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    ),
    Metric(
        "shipper_backlog_bytes",
        Kind.GAUGE,
        "Bytes in the log files that are not acknowledged yet, without incomplete last lines.",
        ("input",),
    ),
    Metric(
        "shipper_incomplete_line_bytes",
        Kind.GAUGE,
        "Bytes at the end of log files that wait for the newline of their line. They are no "
        "backlog.",
        ("input",),
    ),
    Metric(
        "shipper_oldest_unacknowledged_seconds",
        Kind.GAUGE,
        "Seconds since shipper noticed the oldest line that is not acknowledged; 0 if there is "
        "none.",
    ),
    Metric("shipper_files_tracked", Kind.GAUGE, "Log files that are followed.", ("input",)),
    Metric(
        "shipper_input_files",
        Kind.GAUGE,
        "What the last walk of the directories of an input saw: found (files that paths match), "
        "unreadable (files, gzips and directories that are there and cannot be listed, opened or "
        "read), skipped (symbolic "
        "links, where symlinks is false), left_out (more than the limits).",
        ("input", "state"),
    ),
    Metric(
        "shipper_file_errors_total",
        Kind.COUNTER,
        "Failures to access, open or read a file or directory, by error (EACCES, EIO, …).",
        ("error",),
    ),
    Metric(
        "shipper_gzip_problems_total",
        Kind.COUNTER,
        "Compressed logs that could not be read to a proper end; what comes before it is shipped. "
        "cut (it breaks off), damaged, too_large (it holds more than 16 GiB), not_gzip, empty.",
        ("problem",),
    ),
    Metric(
        "shipper_files_rewritten_total",
        Kind.COUNTER,
        "Log files that were truncated or overwritten in place.",
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
        "Bytes that were lost, by reason: retention (deleted files exceeded retention.max_bytes), "
        "rewritten (a file was truncated or overwritten before it was read to its end), vanished "
        "(a file was deleted while nothing held it), damaged (the rest of a gzip cannot be "
        "decompressed; how much that is, nobody knows), too_large (a gzip holds more than is "
        "read), "
        "dead_letter_full (dead letters exceeded dead_letter.max_bytes, and the oldest were "
        "deleted; bytes of their lines), line_too_long (the part of a line beyond "
        "max_line_bytes). All but the last are counted when the registry has recorded them.",
        ("reason",),
    ),
    Metric(
        "shipper_lost_lines_total",
        Kind.COUNTER,
        "Lines that were lost, if they can be counted, by reason as in shipper_lost_bytes_total: "
        "those of retention can, if the files can be read, and those of dead_letter_full.",
        ("reason",),
    ),
    Metric(
        "shipper_output_deleted_bytes_total",
        Kind.COUNTER,
        "Bytes of rotated output files that were deleted because there were more than "
        "output.file.keep; their documents had been delivered.",
    ),
    Metric(
        "shipper_kept_files",
        Kind.GAUGE,
        "Deleted log files that are not finished, by what keeps them: link (a hard link in "
        ".shipper) or descriptor (no link is possible; a restart loses what is not acknowledged).",
        ("by",),
    ),
    Metric(
        "shipper_kept_bytes",
        Kind.GAUGE,
        "Bytes of deleted log files that are not finished; limited by retention.max_bytes.",
    ),
    Metric(
        "shipper_logs_removed_under_writer_total",
        Kind.COUNTER,
        "Log files that were removed while a process had them open to write. They are followed as "
        "long as it has.",
        ("input",),
    ),
    Metric(
        "shipper_foreign_links",
        Kind.GAUGE,
        "Hard links in .shipper that belong to no input and to no shipper that runs. "
        "`shipper registry adopt` lists and adopts them.",
    ),
    Metric(
        "shipper_link_directory_problems",
        Kind.GAUGE,
        "Directories of logs where no hard links can be made in .shipper, by problem: read_only, "
        "permission, no_space, unsupported (no hard links there), not_a_directory (something else "
        "has the name .shipper), locked (another process has it locked), other. Files that are "
        "deleted there are kept by their descriptors only.",
        ("input", "problem"),
    ),
    Metric(
        "shipper_link_directory_changes_total",
        Kind.COUNTER,
        "Changes of .shipper by somebody else, which shipper has undone: replaced (removed, moved "
        "or mounted over), exposed (others were allowed to write to it), links_removed.",
        ("change",),
    ),
    Metric("shipper_registry_commits_total", Kind.COUNTER, "Commits of offsets to the registry."),
    Metric(
        "shipper_registry_commit_failures_total",
        Kind.COUNTER,
        "Commits to the registry that failed; the offsets stay in memory and are saved later.",
    ),
    Metric(
        "shipper_log_messages_dropped_total",
        Kind.COUNTER,
        "Log messages that were not written: queue_full (standard error is not read, or not fast "
        "enough), rate_limit (too many messages per second), write_error (standard error is "
        "closed, or its disk is full). Logging never delays shipping.",
        ("reason",),
    ),
    Metric(
        "shipper_hanging_calls",
        Kind.GAUGE,
        "Calls of the system that have not returned for 5 seconds, by the work that needs them: "
        "read (of logs), stat (what else is done with logs), inflate (gzips), dead_letters, "
        "registry. The disk or the mount does not answer; other work goes on.",
        ("work",),
    ),
    Metric(
        "shipper_internal_errors_total",
        Kind.COUNTER,
        "Exceptions that are bugs in shipper, by the part that met them (admin, delivery, output, "
        "batch, file, scan, watch, quota, commit, losses, former_files, upkeep). What was affected "
        "is tried again, while all else goes on; the log has the trace.",
        ("where",),
    ),
    Metric(
        "shipper_native",
        Kind.GAUGE,
        "1 if the native core encodes the lines of an input, 0 if Python does; the message "
        "native-core in the log says why.",
        ("input",),
    ),
    Metric(
        "shipper_native_declined_lines_total",
        Kind.COUNTER,
        "Lines that the native core declined, as they are unusual, and Python encoded. Many of "
        "them cost CPU: a newer Tetragon may have fields that this version does not know.",
        ("input",),
    ),
    Metric("shipper_ready", Kind.GAUGE, "1 if shipper is ready (see /readyz), else 0."),
    Metric(
        "shipper_build_info",
        Kind.GAUGE,
        "Always 1; the labels have the versions of shipper and Python.",
        ("version", "python"),
    ),
)
