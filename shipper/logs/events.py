"""Every message that the daemon logs, in one table: docs/logs.md is made from it. Each call of
`Log.emit` names a row. Longer than other modules because it is that table.

`action` is stable: dashboards and alerts are built on it. The words of `message` may change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How serious a message is; as an option: the least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One row: one kind of message."""

    #: `event.action` in ECS.
    action: str
    level: Level
    message: str
    #: When it is logged, and what to do about it.
    meaning: str
    #: Whether the limit of messages per second does not apply: it is logged once per process, or
    #: at an interval.
    essential: bool = False


# Start and stop

CONFIGURATION_READ = LogEvent(
    "configuration-read",
    Level.INFO,
    "read the configuration",
    "At the start, with the file.",
    essential=True,
)
CONFIGURATION_NOTICE = LogEvent(
    "configuration-notice",
    Level.WARNING,
    "configuration option has no effect, or a different one",
    "At the start, for options of Filebeat that are ignored or differ. Remove them, or see "
    "[filebeat.md](filebeat.md).",
)
CONFIGURATION_INVALID = LogEvent(
    "configuration-invalid",
    Level.ERROR,
    "configuration is invalid",
    "The process ends with exit code 2. `shipper.where` is the place; correct it as "
    "`shipper.hint` says. `shipper check` finds it, too.",
    essential=True,
)
CONFIGURATION_RELOADING = LogEvent(
    "configuration-reloading",
    Level.INFO,
    "read a new configuration; beginning again with it",
    "After SIGHUP, or with `config.reload` after a change. The daemon stops in order and starts in "
    "the same process.",
    essential=True,
)
CONFIGURATION_NOT_RELOADED = LogEvent(
    "configuration-not-reloaded",
    Level.ERROR,
    "new configuration cannot be used; going on with the former one",
    "After SIGHUP, or with `config.reload` after a change. `shipper.where` is the place; correct "
    "it as `shipper.hint` says.",
    essential=True,
)
RELOAD_WAITS = LogEvent(
    "reload-waits",
    Level.WARNING,
    "new configuration waits until the daemon can stop and begin again",
    "`event.reason`: removed files that have no hard link are kept by their descriptors only, and "
    "a stop would lose what is left of them; or the data directory cannot be written, and a start "
    "would fail.",
)
FATAL = LogEvent(
    "fatal",
    Level.ERROR,
    "stopped by an error",
    "The process ends with exit code 1: the data directory cannot be used, say. Do what "
    "`shipper.hint` says; started again, it continues where it was.",
    essential=True,
)
INTERNAL_ERROR = LogEvent(
    "internal-error",
    Level.ERROR,
    "stopped by an internal error",
    "A bug in shipper. The process ends with exit code 1; started again, it continues where it "
    "was. Please report it with `error.stack_trace`.",
    essential=True,
)
SERVICE_MANAGER_UNREACHABLE = LogEvent(
    "service-manager-unreachable",
    Level.WARNING,
    "service manager cannot be told of the daemon's state",
    "The socket of the variable `NOTIFY_SOCKET`, which systemd sets with `Type=notify`. Shipping "
    "goes on; systemd may take the start for failed.",
)
INTERNAL_ERROR_CONTAINED = LogEvent(
    "internal-error-contained",
    Level.ERROR,
    "internal error; shipping goes on",
    "A bug in shipper that stopped one request, batch, scan or file, which is tried again. "
    "`shipper.where` is the part of shipper, as in `shipper_internal_errors_total`. Please report "
    "it with `error.stack_trace`.",
)
UNHANDLED_EXCEPTION = LogEvent(
    "unhandled-exception",
    Level.ERROR,
    "unhandled exception",
    "A bug in shipper or a library that did not stop the process. Please report it with "
    "`error.stack_trace`.",
)
STARTED = LogEvent(
    "shipper-started",
    Level.INFO,
    "shipper started",
    "Everything is set up; reading begins.",
    essential=True,
)
STOPPING = LogEvent(
    "shipper-stopping",
    Level.INFO,
    "shipper is stopping: finishing requests",
    "After SIGTERM or SIGINT. Nothing more is read; requests in flight have "
    "`shutdown_timeout` to finish.",
    essential=True,
)
STOPPED = LogEvent(
    "shipper-stopped",
    Level.INFO,
    "shipper stopped",
    "The last message of an orderly stop. `shipper.in_flight_events` are sent again by the next "
    "start.",
    essential=True,
)
STOP_TIMED_OUT = LogEvent(
    "stop-timed-out",
    Level.ERROR,
    "stopping took too long; the process ends at once",
    "After `shutdown_timeout` and 5 seconds more: something hangs in the kernel, such as a disk or "
    "a mount. `error.stack_trace` shows where. Exit code 1. The next start sends again what was "
    "not acknowledged; documents are not duplicated.",
    essential=True,
)
EVENT_LOOP_STALLED = LogEvent(
    "event-loop-stalled",
    Level.ERROR,
    "the event loop does not turn; the process ends, to be started again",
    "For the time of the option `watchdog`. A bug in shipper: please report it with "
    "`error.stack_trace`. Exit code 1; started again, it continues where it was. Where Python "
    "itself cannot run, the stacks are written to standard error as text, and the process ends by "
    "SIGPROF.",
    essential=True,
)
REQUESTS_ABANDONED = LogEvent(
    "requests-abandoned",
    Level.WARNING,
    "requests did not finish within shutdown_timeout",
    "At a stop. The next start sends their events again; documents are not duplicated.",
    essential=True,
)
METRICS = LogEvent(
    "metrics",
    Level.INFO,
    "metrics of the last interval",
    "Every `logging.metrics_interval`: counters that changed, by how much, and gauges, under "
    "`shipper.metrics` by the names of [metrics.md](metrics.md). Watch `backlog_bytes` and "
    "`oldest_unacknowledged_seconds`.",
    essential=True,
)
LOG_MESSAGES_DROPPED = LogEvent(
    "log-messages-dropped",
    Level.WARNING,
    "log messages were dropped",
    "Once there is room again, at most every 30 s, with how many by reason, as in "
    "`shipper_log_messages_dropped_total`.",
)

# Files

FILE_OPENED = LogEvent(
    "file-opened",
    Level.INFO,
    "started reading file",
    "A file is read from `shipper.offset` on; `event.reason` says why from there.",
)
FILE_FINISHED = LogEvent(
    "file-finished",
    Level.INFO,
    "finished reading file",
    "The file is deleted or replaced, read to its end, and acknowledged to its last byte.",
)
FILE_REWRITTEN = LogEvent(
    "file-rewritten",
    Level.WARNING,
    "file content was replaced; reading it from the beginning",
    "The file was truncated or overwritten (copytruncate). Rotate by renaming to be sure that "
    "nothing is lost.",
)
UNREAD_DATA_LOST = LogEvent(
    "unread-data-lost",
    Level.ERROR,
    "file was truncated or replaced before it was read to its end",
    "`shipper.lost_bytes` are lost. Rotate by renaming, keep more or larger files, or find out "
    "why shipping was behind.",
)
FILE_VANISHED = LogEvent(
    "file-vanished",
    Level.ERROR,
    "file is gone before it was shipped to its end, and nothing kept it",
    "`shipper.lost_bytes` are lost; how many lines, nobody knows. It was deleted while shipper was "
    "not running, or could not be opened. Keep more or larger files, keep shipper running while "
    "they rotate, and look for errors of opening files.",
)
INPUT_NOT_CONFIGURED = LogEvent(
    "input-not-configured",
    Level.WARNING,
    "files of an input that is not configured any more are not shipped to their end",
    "Once after a start, for each such input, with the number of files that no other input follows "
    "(`shipper.files`), the bytes that are not acknowledged, and how many of the files are not in "
    "their directory (`shipper.missing`): those are recorded as lost a minute later. Configure an "
    "input that matches the logs until they are shipped.",
)
FILES_NOT_MATCHED = LogEvent(
    "files-not-matched",
    Level.WARNING,
    "files that no path of their input matches any more are not shipped to their end",
    "As `input-not-configured`, of files that an input followed before its paths, `exclude` or "
    "`compressed` were changed.",
)
DELETED_FILE_ABANDONED = LogEvent(
    "deleted-file-abandoned",
    Level.ERROR,
    "gave up a deleted file: unshipped deleted files exceed retention.max_bytes",
    "`shipper.lost_lines` are lost. Raise `retention.max_bytes`, or find out why shipping is "
    "behind.",
)
KEPT_FILE_ADOPTED = LogEvent(
    "kept-file-adopted",
    Level.INFO,
    "continuing with a file that was deleted",
    "The file was deleted before it was shipped, and a hard link kept it: at a start, or after "
    "`shipper registry adopt`.",
)
LINE_TRUNCATED = LogEvent(
    "line-truncated",
    Level.WARNING,
    "line is longer than max_line_bytes; shipped its beginning",
    "The rest is counted in `shipper_lost_bytes_total`. Raise `max_line_bytes`.",
)
PROCESSOR_FAILED = LogEvent(
    "processor-failed",
    Level.WARNING,
    "processor failed; shipped the event without its change",
    "`event.reason` says why. Correct the processor, or give it a `when` condition.",
)
DIRECTORY_MISSING = LogEvent(
    "directory-missing",
    Level.WARNING,
    "directory does not exist; waiting for it",
    "A path of an input leads there. Check the path and the mount.",
)
DIRECTORY_FOUND = LogEvent(
    "directory-found",
    Level.INFO,
    "directory exists now",
    "A directory that was missing can be read.",
)
INPUTS_OVERLAP = LogEvent(
    "inputs-overlap",
    Level.WARNING,
    "two inputs match the same file",
    "Once per pair of inputs, with a file that both match, or a glob that both have. Each reads "
    "the file; in one index its lines are stored once, with the fields of either input. Change "
    "`paths` or `exclude`.",
)
COMPRESSED_FILE_DAMAGED = LogEvent(
    "compressed-file-damaged",
    Level.ERROR,
    "compressed file is damaged; shipping what could be decompressed",
    "Once a file: it is cut, damaged, too large, empty or not a gzip; `event.reason` says which. "
    "The rest is recorded as lost, unless the file before compression was read further.",
)
SYMLINK_SKIPPED = LogEvent(
    "symlink-skipped",
    Level.WARNING,
    "symbolic link is not followed",
    "Once for each name that `paths` match and that is a symbolic link, as long as it is there. "
    "Set `symlinks` to true for the input if what it leads to is to be shipped.",
)
SYMLINKS_SKIPPED = LogEvent(
    "symlinks-skipped",
    Level.WARNING,
    "more symbolic links are not followed",
    "As `symlink-skipped`, after the first 20 of a scan: with how many more.",
)
FILES_LEFT_OUT = LogEvent(
    "files-left-out",
    Level.WARNING,
    "input has too many files or directories; following those that were written to last",
    "Files that are not followed are not shipped. Make the globs in `paths` narrower, or exclude "
    "what is no log.",
)
FILE_OPEN_FAILED = LogEvent(
    "file-open-failed",
    Level.WARNING,
    "file cannot be opened; retrying",
    "Check permissions and the limit of open files (EMFILE).",
)
FILE_READ_FAILED = LogEvent(
    "file-read-failed",
    Level.WARNING,
    "file cannot be read; retrying",
    "Check the disk. Nothing is skipped.",
)
FILE_READ_HANGS = LogEvent(
    "file-read-hangs",
    Level.WARNING,
    "reading a file hangs; other files are read meanwhile",
    "The disk or mount of the file does not answer. Files on it wait, others do not. Nothing "
    "is skipped: reading goes on when the mount answers. `shipper_hanging_calls` has the number of "
    "such reads.",
)
PATH_ACCESS_FAILED = LogEvent(
    "path-access-failed",
    Level.WARNING,
    "path cannot be accessed; retrying",
    "Check permissions of the directories that lead there.",
)
DIRECTORY_WATCH_FAILED = LogEvent(
    "directory-watch-failed",
    Level.WARNING,
    "directory cannot be watched; scanning it periodically",
    "Changes are found every `scan_interval` instead of at once. Raise "
    "`fs.inotify.max_user_watches` or `max_user_instances` if they are used up.",
)
COMPRESSED_FILE_READ_FAILED = LogEvent(
    "compressed-file-read-failed",
    Level.WARNING,
    "compressed file cannot be opened; retrying",
    "Check permissions and the limit of open files (EMFILE).",
)
KEPT_FILES_READ_FAILED = LogEvent(
    "kept-files-read-failed",
    Level.WARNING,
    "kept files cannot be read; retrying",
    "At a start: `.shipper` beside the logs cannot be read. Check its owner and permissions.",
)
FILE_LINK_FAILED = LogEvent(
    "file-link-failed",
    Level.WARNING,
    "files cannot be kept by hard links",
    "Once per directory. A file that is deleted before it is shipped is read through its open "
    "descriptor, and lost if shipper restarts meanwhile. Let shipper write to the log directory.",
)
LINKS_MISSING = LogEvent(
    "links-missing",
    Level.WARNING,
    "hard links in .shipper were removed by somebody else; making them again",
    "For each `.shipper`, with how many (`shipper.links`). Exclude `.shipper` from whatever cleans "
    "the directory of the logs: a file that is deleted before its link is there again is lost by a "
    "restart.",
)
LOG_REMOVED_UNDER_WRITER = LogEvent(
    "log-removed-under-writer",
    Level.WARNING,
    "log was removed while a process has it open to write; following it without a name",
    "Once per file. What the process writes is shipped as long as it has the file open, and is not "
    "to be seen in the directory. Find out who removed the log; have the process open it again.",
)
FOREIGN_LINKS = LogEvent(
    "foreign-links",
    Level.WARNING,
    "files in .shipper belong to no input and use space",
    "Once per directory, with their number and bytes, at a start and when there are more: links of "
    "another agent or input that does not run and whose files no glob matches, files that are no "
    "links, and links that others may have put there. `shipper registry adopt` lists them with the "
    "reason, and adopts them.",
)
LINK_DIRECTORY_ACCESS_FAILED = LogEvent(
    "link-directory-access-failed",
    Level.WARNING,
    "directory of kept files cannot be checked; retrying",
    "`.shipper` beside the logs cannot be looked at. Check its permissions, and the mount.",
)
LINK_DIRECTORY_REPLACED = LogEvent(
    "link-directory-replaced",
    Level.WARNING,
    "another directory took the place of .shipper; making hard links in the new one",
    "Somebody removed or moved `.shipper`, or mounted over it. Files that had no other name may be "
    "lost by a restart.",
)
LINK_DIRECTORY_EXPOSED = LogEvent(
    "link-directory-exposed",
    Level.WARNING,
    "others were allowed to write to .shipper; closed it to them",
    "The mode of `.shipper` was changed (an `fsGroup` does that). Of the links in it only those to "
    "files in the registry are used; the others are foreign links, see `shipper registry adopt`.",
)
LINK_REMOVE_FAILED = LogEvent(
    "link-remove-failed",
    Level.WARNING,
    "hard link in .shipper, or the empty directory, cannot be removed",
    "`file.path` is the one or the other. The file uses space until the next start removes the "
    "link.",
)
UNREAD_LINES_UNKNOWN = LogEvent(
    "unread-lines-unknown",
    Level.WARNING,
    "lines of an abandoned file cannot be counted",
    "The file that `deleted-file-abandoned` names cannot be read; its bytes are counted.",
)
SCAN_FINISHED = LogEvent(
    "scan-finished",
    Level.DEBUG,
    "scanned the directories of an input",
    "With how many files match, are new, and are gone.",
)
FILE_DISCOVERED = LogEvent(
    "file-discovered", Level.DEBUG, "found a new file", "A scan found it; reading begins later."
)
FILE_RENAMED = LogEvent(
    "file-renamed", Level.DEBUG, "file was renamed", "A scan found it under another name."
)
FILE_REMOVED = LogEvent(
    "file-removed",
    Level.DEBUG,
    "file was deleted",
    "No path leads to it any more. It is read to its end.",
)
FILE_STATE_CHANGED = LogEvent(
    "file-state-changed",
    Level.DEBUG,
    "file changed its state",
    "Between two scans: `waiting` for its first line, `reading`, `skipping` a long line, `done`.",
)

# Registry

REGISTRY_REPLACED = LogEvent(
    "registry-replaced",
    Level.ERROR,
    "registry was unreadable; started a new one and reading files from the beginning",
    "`shipper.put_aside` is the damaged one; `event.reason` says what is sent twice. Check the "
    "disk.",
)
REGISTRY_PROBLEM = LogEvent(
    "registry-problem",
    Level.WARNING,
    "registry is used with a restriction",
    "At the start; `event.reason` says which: rows that are ignored, or a file system without "
    "shared memory maps.",
)
REGISTRY_COMMIT_FAILED = LogEvent(
    "registry-commit-failed",
    Level.ERROR,
    "offsets could not be saved; retrying",
    "Shipping goes on; after a crash, events since the last commit are sent again. Check space "
    "and permissions of `data_dir`.",
)
REGISTRY_COMMITTED = LogEvent(
    "registry-committed", Level.DEBUG, "saved offsets", "With the rows written and deleted."
)
FILEBEAT_REGISTRY_IMPORTED = LogEvent(
    "filebeat-registry-imported",
    Level.INFO,
    "imported Filebeat's registry",
    "Once, at the first start. Filebeat's files are unchanged.",
    essential=True,
)
FILEBEAT_REGISTRY_MISSING = LogEvent(
    "filebeat-registry-missing",
    Level.INFO,
    "found no registry of Filebeat; nothing to import",
    "At a first start with `registry.import_from`. Check the path if there should be one.",
)
FILEBEAT_REGISTRY_DAMAGED = LogEvent(
    "filebeat-registry-damaged",
    Level.WARNING,
    "Filebeat's registry is damaged; importing the rest",
    "`event.reason` says what is not read. Files without an entry are read from the beginning.",
)
FILEBEAT_OFFSET_IMPORTED = LogEvent(
    "filebeat-offset-imported",
    Level.INFO,
    "imported Filebeat's offset",
    "For each file that Filebeat knew; reading begins at `shipper.offset`.",
)
FILEBEAT_OFFSET_UNCERTAIN = LogEvent(
    "filebeat-offset-uncertain",
    Level.WARNING,
    "Filebeat's offset may be of another file",
    "Reading begins at `shipper.offset`; `event.reason` says what could not be proved.",
)

# Elasticsearch and other outputs

REQUEST_FAILED = LogEvent(
    "request-failed",
    Level.WARNING,
    "bulk request failed; retrying",
    "`error.message` has the host and why. Nothing is lost while files are kept.",
)
EVENTS_RETRIED = LogEvent(
    "events-retried",
    Level.WARNING,
    "Elasticsearch did not accept some events; retrying them",
    "`event.reason` is its reason: a full queue, a missing index or right.",
)
EVENTS_IN_FAILURE_STORE = LogEvent(
    "events-in-failure-store",
    Level.WARNING,
    "Elasticsearch put events into the failure store of the data stream",
    "It would have rejected them: a mapping does not fit, or the ingest pipeline fails. They are "
    "in `DATA_STREAM::failures`, each with its error, and not in the data stream.",
)
EVENTS_REJECTED = LogEvent(
    "events-rejected",
    Level.ERROR,
    "Elasticsearch rejected events; they are in the dead letter file",
    "`event.reason` is the first reason: mostly a mapping that does not fit. Correct it, then "
    "`shipper deadletter replay`.",
)
LOSSES_REJECTED = LogEvent(
    "losses-rejected",
    Level.ERROR,
    "Elasticsearch rejected documents of losses; sending them again in 10 minutes",
    "`event.reason` is the first reason: mostly a mapping that does not fit. The losses stay in "
    "the registry: see `shipper registry losses`.",
)
LOSSES_READ_FAILED = LogEvent(
    "losses-read-failed",
    Level.ERROR,
    "losses cannot be sent: the registry cannot be used; retrying",
    "The registry has to note which losses are sent. Check space and permissions of `data_dir`.",
)
DEAD_LETTER_WRITE_FAILED = LogEvent(
    "dead-letter-write-failed",
    Level.ERROR,
    "dead letter file cannot be written; retrying",
    "Its events wait; `event.reason` is why the first was rejected. Check space and permissions "
    "of `data_dir`.",
)
DEAD_LETTER_FILE_FULL = LogEvent(
    "dead-letter-file-full",
    Level.ERROR,
    "dead letter file is full; rejected events wait",
    "Within a day so many events were rejected that the file is full, mostly after a bad update of "
    "a template or pipeline. Earlier dead letters are kept for an hour, and the events wait. Fix "
    "the cause and run `shipper deadletter replay`, or raise `dead_letter.max_bytes`. After that "
    "hour, or once they take half of `memory.max_bytes`, the oldest dead letters are deleted.",
)
DEAD_LETTERS_DELETED = LogEvent(
    "dead-letters-deleted",
    Level.ERROR,
    "the oldest dead letters were deleted, and are recorded as losses",
    "Dead letters took more than `dead_letter.max_bytes`. `shipper registry losses` shows of which "
    "logs they were. Fix the cause of the rejections, or raise `dead_letter.max_bytes`.",
)
NEW_FILE_ALREADY_STORED = LogEvent(
    "new-file-already-stored",
    Level.WARNING,
    "the first line of a new file was stored before it was sent",
    "Lines that are there already count as `already_delivered` and are not stored again. If "
    "another node has an identical file, set `output.ids` to `node` "
    "([documents.md](documents.md#document-ids)). Otherwise another input or shipper reads the "
    "same file, the data directory was replaced, or an old file came back. Files that are there "
    "when shipper starts are reported only if `data_dir` was empty.",
)
HOST_AVAILABLE = LogEvent(
    "host-available", Level.INFO, "host is available", "It answers, for the first time or again."
)
HOST_NOT_RECOGNIZED = LogEvent(
    "host-not-recognized",
    Level.WARNING,
    "host does not identify itself as Elasticsearch or OpenSearch; using it anyway",
    "Check the URL in `output.hosts` if that is unexpected.",
)
TLS_NOT_VERIFIED = LogEvent(
    "tls-not-verified",
    Level.WARNING,
    "server certificates are not fully verified",
    "At the start, with `tls.verify` other than `full`. Others on the network may be able to "
    "read what is sent.",
)
TLS_RELOADED = LogEvent(
    "tls-reloaded",
    Level.INFO,
    "TLS files changed; new connections use them",
    "After a certificate, key or CA file was renewed: `file.path` is the first, `shipper.files` "
    "says how many there are.",
)
TLS_RELOAD_FAILED = LogEvent(
    "tls-reload-failed",
    Level.ERROR,
    "TLS files changed and cannot be used; keeping the previous ones",
    "`error.message` says why. It is tried again when a file changes once more.",
)
TLS_FILE_HANGS = LogEvent(
    "tls-file-hangs",
    Level.WARNING,
    "TLS files do not answer; keeping what was read before",
    "Their mount hangs, or one of them is a FIFO. They are tried again.",
)
SECRET_FILE_HANGS = LogEvent(
    "secret-file-hangs",
    Level.WARNING,
    "the file of a secret does not answer; using the secret that was read before",
    "Its mount hangs, or it is a FIFO. It is tried again.",
)
REQUEST_FINISHED = LogEvent(
    "request-finished",
    Level.DEBUG,
    "bulk request finished",
    "Each request, with host, status (none without an answer), events, bytes and duration.",
)
BATCH_CLOSED = LogEvent(
    "batch-closed",
    Level.DEBUG,
    "closed a batch",
    "`event.reason`: `max_bytes`, `max_events`, `linger`, or `flush` (the first one, or a stop).",
)
OUTPUT_WRITE_FAILED = LogEvent(
    "output-write-failed",
    Level.ERROR,
    "output file cannot be written; retrying",
    "Its events wait. Check space and permissions of `output.file.path`.",
)
OUTPUT_WRITE_RECOVERED = LogEvent(
    "output-write-recovered",
    Level.INFO,
    "output file can be written again",
    "After `output-write-failed`.",
)
OUTPUT_FILES_DELETED = LogEvent(
    "output-files-deleted",
    Level.INFO,
    "deleted the oldest rotated output files",
    "There were more than `output.file.keep`.",
)
OUTPUT_LINES_UNKNOWN = LogEvent(
    "output-lines-unknown",
    Level.WARNING,
    "output file contains lines that are not documents; keeping them",
    "At a start, with `output.file`: something else wrote to it.",
)

# Admin server

ADMIN_LISTENING = LogEvent(
    "admin-listening", Level.INFO, "admin server is listening", "At `admin.listen`."
)
ADMIN_LISTEN_FAILED = LogEvent(
    "admin-listen-failed",
    Level.ERROR,
    "admin server cannot listen; retrying",
    "Shipping goes on. Set `admin.listen` to a free address of this machine.",
)
ADMIN_FILES_READ = LogEvent(
    "admin-files-read",
    Level.INFO,
    "read the changed token or certificate of the admin server",
    "The file of `admin.token_file`, or the files of `admin.tls`, changed.",
)
ADMIN_FILES_UNUSABLE = LogEvent(
    "admin-files-unusable",
    Level.ERROR,
    "token or certificate of the admin server cannot be used; retrying",
    "What was read before stays in use. If nothing was, `/metrics` and `/status` are refused; "
    "`/healthz` and `/readyz` are served. Mount the file, and let this user read it.",
)

#: All of them, in the order of this module.
EVENTS: tuple[LogEvent, ...] = tuple(
    each for each in list(vars().values()) if isinstance(each, LogEvent)
)

#: The first event of each section of the docs, and its title.
SECTIONS: Mapping[LogEvent, str] = {
    CONFIGURATION_READ: "Start and stop",
    FILE_OPENED: "Files",
    REGISTRY_REPLACED: "Registry",
    REQUEST_FAILED: "Outputs",
    ADMIN_LISTENING: "Admin server",
}
