"""What a running daemon is doing, as it is shown at /status and /readyz."""

from dataclasses import dataclass
from enum import Enum
from typing import Self

import msgspec


class TroubleKind(Enum):
    """Why the daemon is not ready, in words without paths and names: what `/readyz` shows to one
    without the token."""

    REGISTRY = "offsets cannot be saved"
    HANGS = "a disk does not answer"
    QUOTA = "removed files cannot be given up"
    OUTPUT = "events cannot be delivered"
    UNREADABLE = "a file or directory of an input cannot be read"
    NOT_SCANNED = "the directories of an input are not scanned yet"
    NO_FILES = "an input that needs files has none"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reason why the daemon is not ready."""

    kind: TroubleKind
    #: With paths, hosts, and others' words.
    details: str

    @classmethod
    def of(cls, kind: TroubleKind, words: str) -> Self:
        """With the words on one line, and as something that UTF-8 has: a proxy or the name of a
        file may have put anything into them."""
        text = words.encode("utf-8", "backslashreplace").decode()
        return cls(kind, "".join(each if each.isprintable() else " " for each in text))


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
    #: Bytes of a last line that waits for its newline.
    incomplete_line_bytes: int


class UnreadablePath(msgspec.Struct, frozen=True):
    """A file or directory that is there and cannot be read."""

    path: str
    error: str


class InputStatus(msgspec.Struct, frozen=True):
    """What the last look at the directories of an input saw."""

    input: str
    files: int
    #: Globs that no file matches, and directories of globs that do not exist.
    paths_without_files: tuple[str, ...]
    missing_directories: tuple[str, ...]
    #: The first of them, by name, and how many there are.
    unreadable: tuple[UnreadablePath, ...]
    unreadable_count: int
    #: Symbolic links that are not followed, and files and directories over the limits.
    symlinks_skipped: int
    left_out: int
    #: In how many directories of the logs no hard links can be made, by problem.
    link_directory_problems: dict[str, int]


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
    #: Last lines that wait for their newline: no backlog.
    incomplete_line_bytes: int
    oldest_unacknowledged_seconds: float
    inputs: tuple[InputStatus, ...]
    files: tuple[FileStatus, ...]
