"""What ought to stay flat: CPU per event and memory over the number of files, the size of a
backlog, the latency of the cluster, and time.
"""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contestants import shipper
from benchmarks.corpus import distinct_lines, numbered, write_corpus
from benchmarks.measure import FailedRunError, Running, running
from benchmarks.results import Flat, Soak
from benchmarks.sink import Sink
from benchmarks.throughput import Progress

_FILES = (1, 20, 200, 1_000)
_LATENCIES = (0.0, 0.05, 0.2, 1.0)
_EVENTS = 200_000

_SAMPLE_SECONDS = 10.0
#: A soak's log rotates at this size.
_ROTATE_BYTES = 64 * 1024 * 1024
_PATIENCE = 3600.0


def files(sink: Sink, directory: Path, progress: Progress) -> list[Flat]:
    """The same lines in few files and in many."""
    rows = []
    for count in _FILES:
        logs = directory / f"files-{count}"
        logs.mkdir()
        each = _EVENTS // count
        for number in range(count):
            write_corpus(logs / f"{number}.log", each, first=number * each)
        rows.append(_catch_up(sink, directory, logs, "files", f"{count}", each * count))
        progress(f"{count} files: done")
    return rows


def latencies(sink: Sink, directory: Path, progress: Progress) -> list[Flat]:
    """A cluster that answers soon, and one that is slow."""
    logs = directory / "latency"
    logs.mkdir()
    write_corpus(logs / "tetragon.log", _EVENTS)
    rows = []
    for seconds in _LATENCIES:
        name = f"{seconds * 1000:g} ms"
        rows.append(_catch_up(sink, directory, logs, "latency", name, _EVENTS, delay=seconds))
        progress(f"answers after {name}: done")
    return rows


def backlogs(sink: Sink, directory: Path, sizes: Sequence[int], progress: Progress) -> list[Flat]:
    """Logs of these sizes in bytes, in files of at most 64 MiB as they rotate."""
    rows = []
    lines = distinct_lines()
    average = sum(map(len, lines)) / len(lines) + 1
    for size in sizes:
        logs = directory / f"backlog-{size}"
        logs.mkdir()
        events = int(size / average)
        each = int(_ROTATE_BYTES / average)
        for number, first in enumerate(range(0, events, each)):
            count = min(each, events - first)
            with (logs / f"{number:06d}.log").open("wb", buffering=1024 * 1024) as file:
                for line in range(first, first + count):
                    file.write(numbered(lines[line % len(lines)], line) + b"\n")
        name = f"{size / 1e9:g} GB"
        rows.append(_catch_up(sink, directory, logs, "backlog", name, events))
        progress(f"backlog of {name}: done")
    return rows


def _catch_up(
    sink: Sink,
    directory: Path,
    logs: Path,
    what: str,
    value: str,
    events: int,
    *,
    delay: float = 0.0,
) -> Flat:
    sink.reset(delay=delay)
    contestant = shipper(logs, sink.url, directory / f"{what}-{value}-state")
    with running(contestant.command, directory / f"{what}-{value}.log") as process:
        process.wait_until(lambda: sink.events() >= events, f"{what} {value}", patience=_PATIENCE)
        cost = process.stop()
    if (arrived := sink.arrived()).different != events or arrived.doubled:
        raise FailedRunError(f"{what} {value}: {arrived.different} of {events} lines arrived")
    return Flat(what, value, cost.cpu_seconds / events, events / cost.wall_seconds, cost.rss_bytes)


def soak(sink: Sink, directory: Path, minutes: float, rate: float, progress: Progress) -> Soak:
    """So many events a second into a log that rotates."""
    logs, state = directory / "soak-logs", directory / "soak"
    logs.mkdir()
    sink.reset()
    contestant = shipper(logs, sink.url, state)
    command = [sys.executable, "-m", "benchmarks.writer", str(logs / "tetragon.log")]
    command += [str(rate), str(minutes * 60), str(_ROTATE_BYTES)]
    samples: list[tuple[float, int, int, int, int]] = []
    with running(contestant.command, directory / "soak.log") as process:
        time.sleep(2)
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            begin = time.monotonic()
            while writer.poll() is None:
                time.sleep(_SAMPLE_SECONDS)
                samples.append(_sample(process, time.monotonic() - begin, state / "data"))
                progress(f"{samples[-1][0]:.0f} s: RSS {samples[-1][1] / 2**20:.1f} MiB")
            output, _ = writer.communicate()
        finally:
            if writer.returncode is None:
                writer.kill()
                writer.communicate()
        written = int(output)
        process.wait_until(lambda: sink.events() >= written, "all", patience=_PATIENCE)
    arrived = sink.arrived()
    late = samples[len(samples) // 3 :]
    slope = _slope([(at / 3600, rss / 2**20) for at, rss, *_ in late])
    return Soak(minutes, rate, samples, slope, written - arrived.different, arrived.doubled)


def _sample(process: Running, at: float, data: Path) -> tuple[float, int, int, int, int]:
    return at, process.rss_bytes(), process.descriptors(), process.threads(), _rows(data)


def _rows(data: Path) -> int:
    """How many files the registry remembers."""
    found = sqlite3.connect(f"file:{data / 'registry.db'}?mode=ro", uri=True)
    try:
        return int(found.execute("SELECT count(*) FROM files").fetchone()[0])
    finally:
        found.close()


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line of least squares."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
