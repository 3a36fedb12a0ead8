"""The table and the targets: ratios, or limits that do not depend on the load of the machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

#: Maximum CPU per event, as a multiple of these.
_TARGETS = {"floor": 1.8, "vector": 0.45, "fluent-bit": 0.30}

#: Maximum CPU per event of `format: ecs`, as a multiple of raw.
_ECS_TARGET = 2.5

#: Maximum CPU per event with the guide's filebeat.yml, as a multiple of shipper's own dialect.
_GUIDE_TARGET = 1.1

#: Maximum CPU per event with the native core, as a multiple of that without it; whole processes,
#: including their start.
_NATIVE_TARGETS = {"shipper": 0.75, "shipper, ecs": 0.55, "shipper, plain": 0.7}

_HEAD = """
| | CPU per event | shipper's CPU is | events/s | peak RSS |
|---|---|---|---|---|
"""

_PEAK_RSS = 72 * 1024 * 1024
_IDLE_CPU = 0.005
_FIRST_SECONDS = 0.7
#: Of 2,000 quiet files, and of 20,000: the share of a core.
_MANY_CPU = {2_000: 0.01, 20_000: 0.02}
#: The same, in bytes.
_MANY_RSS = 80 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of one shipper; whole processes, including their start."""

    name: str
    cpu_seconds_per_event: float
    events_per_second: float
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Idle:
    """shipper on an idle node."""

    #: Seconds from the start of the process to the first request.
    first_seconds: float
    #: Share of a core.
    cpu: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Many:
    """shipper with very many idle files."""

    files: int
    #: Share of a core.
    cpu: float
    rss_bytes: int


def report(rows: Sequence[Row], idle: Idle, many: Sequence[Many], stream: TextIO) -> int:
    """Prints everything; returns 1 if a target is missed, else 0."""
    ours = _table(rows, stream)
    lines = [
        (
            f"CPU per event, times {row.name}'s",
            ours.cpu_seconds_per_event / row.cpu_seconds_per_event,
            _TARGETS[row.name],
        )
        for row in rows
        if row.name in _TARGETS
    ]
    lines.append(("peak RSS, MiB", ours.peak_rss_bytes / 2**20, _PEAK_RSS / 2**20))
    lines.append(("idle, % of a core", idle.cpu * 100, _IDLE_CPU * 100))
    lines.append(("first line received, s after the start", idle.first_seconds, _FIRST_SECONDS))
    for each in many:
        what = f"{each.files} quiet files"
        lines.append((f"{what}: idle, % of a core", each.cpu * 100, _MANY_CPU[each.files] * 100))
        lines.append((f"{what}: RSS, MiB", each.rss_bytes / 2**20, _MANY_RSS / 2**20))
    return _verdicts(lines, stream)


def report_ecs(rows: Sequence[Row], stream: TextIO) -> int:
    """Prints the CPU of `format: ecs`; returns 1 if the target is missed, else 0."""
    what = "CPU per event of format ecs, times raw's"
    return _report_beside(rows, "shipper, ecs", what, _ECS_TARGET, stream)


def report_guide(rows: Sequence[Row], stream: TextIO) -> int:
    """Prints the CPU of the guide's filebeat.yml; returns 1 if the target is missed, else 0."""
    what = "CPU per event with the guide's filebeat.yml, times our own dialect's"
    return _report_beside(rows, "shipper, guide", what, _GUIDE_TARGET, stream)


def report_native(rows: Sequence[Row], stream: TextIO) -> int:
    """Prints the CPU with the native core and without; returns 1 if a target is missed, else 0."""
    _table(rows, stream)
    cpu = {row.name: row.cpu_seconds_per_event for row in rows}
    lines = [
        (f"CPU per event of {name}, times that without the core", cpu[name] / cpu[python], most)
        for name, most in _NATIVE_TARGETS.items()
        if (python := f"{name}, Python") in cpu
    ]
    return _verdicts(lines, stream)


def _report_beside(rows: Sequence[Row], name: str, what: str, target: float, stream: TextIO) -> int:
    ours = _table(rows, stream)
    other = next(row for row in rows if row.name == name)
    ratio = other.cpu_seconds_per_event / ours.cpu_seconds_per_event
    return _verdicts([(what, ratio, target)], stream)


def _table(rows: Sequence[Row], stream: TextIO) -> Row:
    """Prints a line for each shipper; returns the row of shipper itself."""
    ours = next(row for row in rows if row.name == "shipper")
    stream.write(_HEAD)
    for row in rows:
        ratio = ours.cpu_seconds_per_event / row.cpu_seconds_per_event
        stream.write(
            f"| {row.name} | {row.cpu_seconds_per_event * 1e6:.2f} µs | {ratio:.2f} times that "
            f"| {row.events_per_second / 1000:.0f} k | {row.peak_rss_bytes / 2**20:.0f} MiB |\n"
        )
    stream.write("\n")
    return ours


def _verdicts(lines: Sequence[tuple[str, float, float]], stream: TextIO) -> int:
    """Prints measured values and targets; returns 1 if any target is missed."""
    for what, value, most in lines:
        verdict = "met" if value <= most else "MISSED"
        stream.write(f"{verdict:<7} {what}: {value:.2f} (at most {most:.2f})\n")
    return int(any(value > most for _, value, most in lines))
