"""What was measured, as it is printed, plotted, and kept in a file."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of several rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def ratio(cls, ours: Sequence[float], theirs: Sequence[float]) -> "Spread":
        """Round by round: what slows the machine down affects both."""
        return cls.of([a / b for a, b in zip(ours, theirs, strict=True) if b > 0] or [0.0])


@dataclass(frozen=True, slots=True)
class Throughput:
    """One shipper that catches up with a log, in one mode. Whole processes."""

    scenario: str
    name: str
    #: Events of the larger size.
    events: int
    rounds: int
    #: With its start, at the larger size; in seconds.
    cpu_per_event: Spread
    #: By the difference of the two sizes; None where there was one size.
    marginal_cpu_per_event: Spread | None
    #: What a process costs besides, in seconds.
    start_cpu: Spread | None
    events_per_second: float
    rss_bytes: int
    peak_rss_bytes: int
    wire_bytes_per_event: float
    #: Of all rounds.
    missing: int
    doubled: int
    #: shipper's CPU per event as a multiple of this one's, with the start, and by the difference.
    ratio: Spread
    marginal_ratio: Spread | None


@dataclass(frozen=True, slots=True)
class Steady:
    """One shipper at a steady rate, beside the others in the same window."""

    #: Events a second; 0: idle.
    rate: float
    name: str
    #: Share of a core.
    cpu: float
    #: A second, of all threads.
    switches: float
    rss_bytes: int
    #: From writing to the request, in seconds: median, 99 of 100, most.
    latencies: tuple[float, float, float]
    missing: int
    doubled: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """shipper with files that nobody writes to."""

    files: int
    #: Share of a core.
    cpu: float
    rss_bytes: int
    #: Seconds from the start of the process to the first request; None if it was not measured.
    first_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Flat:
    """What ought not to depend on one quantity, at several values of it."""

    #: What varies: `files`, `backlog`, `latency`.
    what: str
    value: str
    cpu_per_event: float
    events_per_second: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Soak:
    """A long time at a steady rate."""

    minutes: float
    rate: float
    #: (seconds, RSS in bytes, descriptors, threads, rows of the registry)
    samples: list[tuple[float, int, int, int, int]]
    #: Of the RSS after the first third, in MiB an hour.
    slope: float
    missing: int
    doubled: int


@dataclass(slots=True)
class Results:
    """Everything that one run of the suite has measured."""

    machine: str
    date: str
    commit: str
    #: Peers that were looked for, and are not there.
    absent: list[str] = field(default_factory=list)
    throughput: list[Throughput] = field(default_factory=list)
    steady: list[Steady] = field(default_factory=list)
    quiet: list[Quiet] = field(default_factory=list)
    flat: list[Flat] = field(default_factory=list)
    soak: Soak | None = None

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def load(path: Path) -> Results:
    """Reads what `save` wrote.

    Raises msgspec.DecodeError, msgspec.ValidationError: it is something else; OSError.
    """
    return msgspec.json.decode(path.read_bytes(), type=Results)


def empty() -> Results:
    """Nothing measured yet, on this machine, now, of this commit."""
    linux = platform.release().split("-")[0]
    return Results(
        machine=f"{os.cpu_count()} cores, {_processor()}, Linux {linux}, "
        f"Python {platform.python_version()}",
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        commit=_commit(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    root = Path(__file__).resolve().parents[1]
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
