"""Shippers at a steady rate, and idle: all of them in the same window, each with a log, a writer
and a receiver of its own.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import Contestant, peers, shipper
from benchmarks.measure import FailedRunError, Running, running
from benchmarks.results import Steady
from benchmarks.sink import Sink, receiving
from benchmarks.throughput import Progress

#: Until all are started, and have looked around.
_SETTLE_SECONDS = 6.0
#: The parts of the time of writing before and after the window.
_BEFORE, _AFTER = 0.15, 0.1
#: Until what was written has arrived, and all are quiet.
_CALM_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class _One:
    """A shipper that runs."""

    name: str
    sink: Sink
    logs: Path
    process: Running


@dataclass(frozen=True, slots=True)
class _Moment:
    """What a process has used until then."""

    at: float
    cpu: float
    switches: int

    @classmethod
    def of(cls, process: Running) -> "_Moment":
        return cls(time.monotonic(), process.cpu_seconds(), process.switches())

    def until(self, later: "_Moment") -> tuple[float, float]:
        """The share of a core, and switches a second."""
        seconds = later.at - self.at
        return (later.cpu - self.cpu) / seconds, (later.switches - self.switches) / seconds


def measure(
    directory: Path,
    peers_directory: Path,
    *,
    rate: float,
    seconds: float,
    idle_seconds: float,
    progress: Progress,
) -> list[Steady]:
    """All at `rate` events a second for `seconds`, and then idle."""
    with ExitStack() as stack:
        every = list(_started(stack, directory, peers_directory))
        time.sleep(_SETTLE_SECONDS)
        writers = [_writer(one, rate, seconds) for one in every]
        time.sleep(seconds * _BEFORE)
        begin = [_Moment.of(one.process) for one in every]
        time.sleep(seconds * (1 - _BEFORE - _AFTER))
        end = [_Moment.of(one.process) for one in every]
        rss = [one.process.rss_bytes() for one in every]
        written = [_ended(writer) for writer in writers]
        time.sleep(_CALM_SECONDS)
        progress(f"{rate:g} events/s: done; idle for {idle_seconds:g} s")
        calm = [_Moment.of(one.process) for one in every]
        time.sleep(idle_seconds)
        idle = [_Moment.of(one.process) for one in every]
        return [
            *(
                _at_rate(one, rate, begin[number].until(end[number]), rss[number], written[number])
                for number, one in enumerate(every)
            ),
            *(_idle(one, calm[number].until(idle[number])) for number, one in enumerate(every)),
        ]


def _started(stack: ExitStack, directory: Path, peers_directory: Path) -> Iterator[_One]:
    names = ["shipper", *(each.name for each in peers(peers_directory, directory, "", directory))]
    for name in names:
        place = directory / name
        logs = place / "logs"
        logs.mkdir(parents=True)
        sink = stack.enter_context(receiving(place / "receiver.log"))
        contestant = _contestant(name, logs, sink, place, peers_directory)
        running_ = running(contestant.command, place / "output", contestant.environ)
        yield _One(name, sink, logs, stack.enter_context(running_))


def _contestant(
    name: str, logs: Path, sink: Sink, place: Path, peers_directory: Path
) -> Contestant:
    if name == "shipper":
        return shipper(logs, sink.url, place / "state")
    found = peers(peers_directory, logs, sink.url, place / "state")
    return next(each for each in found if each.name == name)


def _writer(one: _One, rate: float, seconds: float) -> "subprocess.Popen[bytes]":
    file = str(one.logs / "tetragon.log")
    command = [sys.executable, "-m", "benchmarks.writer", file, str(rate), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _ended(writer: "subprocess.Popen[bytes]") -> int:
    """Waits for it; returns how many lines it has written."""
    written, _ = writer.communicate()
    if writer.returncode:
        raise FailedRunError(f"the writer ended with status {writer.returncode}")
    return int(written)


def _at_rate(one: _One, rate: float, used: tuple[float, float], rss: int, written: int) -> Steady:
    arrived = one.sink.arrived()
    return Steady(
        rate,
        one.name,
        *used,
        rss,
        _percentiles(arrived.latencies),
        missing=written - arrived.different,
        doubled=arrived.doubled,
    )


def _idle(one: _One, used: tuple[float, float]) -> Steady:
    return Steady(0.0, one.name, *used, one.process.rss_bytes(), (0.0, 0.0, 0.0), 0, 0)


def _percentiles(latencies: Sequence[float]) -> tuple[float, float, float]:
    """Of sorted ones: the median, 99 of 100, and the longest."""
    if not latencies:
        return 0.0, 0.0, 0.0
    last = len(latencies) - 1
    return latencies[last // 2], latencies[int(last * 0.99)], latencies[last]
