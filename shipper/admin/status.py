"""What a running daemon is doing, as it is shown at /status."""

import msgspec


class FileStatus(msgspec.Struct, frozen=True):
    """One file that is followed."""

    input: str
    path: str
    identity: str
    state: str
    size: int
    #: Read up to here, and acknowledged up to there; bytes.
    offset: int
    acknowledged: int


class Status(msgspec.Struct, frozen=True):
    """The daemon as a whole."""

    version: str
    ready: bool
    #: Why it is not ready, in words; empty if it is.
    reasons: tuple[str, ...]
    uptime_seconds: float
    hosts: tuple[str, ...]
    hosts_resting: tuple[str, ...]
    lines_read: int
    #: Lines by outcome since the start; with those in flight they add up to those read.
    events: dict[str, int]
    in_flight_events: int
    in_flight_bytes: int
    in_flight_requests: int
    #: How many requests may be under way now.
    concurrency_limit: int
    backlog_bytes: int
    oldest_unacknowledged_seconds: float
    files: tuple[FileStatus, ...]
