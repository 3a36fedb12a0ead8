"""`./dev bench concurrency`: daemons with a receiver of limited capacity, with fixed and adaptive
concurrency; then three adaptive daemons that share the receiver.

Targets: 90 % of the speed of the best fixed number, a tenth of the rejections of the largest, and
shares of three daemons that differ by a fifth at most.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import yaml

from benchmarks.measure import FailedRunError, Running, running

_FIXED = (1, 2, 4, 8, 16, 32)
_MOST = _FIXED[-1]

#: About 1600 events a second: little CPU for the receiver and the daemons. A fixed 32 gets
#: rejections, and there is a queue, as in a real cluster.
_WORKERS, _QUEUE, _SECONDS, _EVENTS = 12, 16, 0.12, 16

#: The daemon reads blocks of `_BLOCK` bytes, so a request has `_EVENTS` lines of `_LINE` bytes.
_LINE, _BLOCK = 64, 1024

#: Seconds until a daemon has found its limit, and seconds of measuring.
_WARM_UP, _WATCHED = 4.0, 10.0
_APART, _TOGETHER, _WATCHED_TOGETHER = 4.0, 15.0, 60.0
#: More lines than any of them can deliver.
_LINES_OF_ONE, _LINES_OF_THREE = 60_000, 120_000

_SPEED, _REJECTIONS, _SHARES = 0.9, 0.1, 0.8


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one setting."""

    name: str
    events_per_second: float
    rejected: int


@dataclass(frozen=True, slots=True)
class Receiver:
    """A client of the receiver."""

    port: int

    def tally(self, name: str) -> tuple[int, int]:
        """Accepted documents and rejected requests of a shipper."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", "/tallies")
            taken, rejected = json.loads(connection.getresponse().read()).get(name, (0, 0))
            return taken, rejected
        finally:
            connection.close()


def main(arguments: list[str]) -> int:
    """Returns 1 if a target is missed, 2 if a run failed."""
    parser = argparse.ArgumentParser(prog="./dev bench concurrency", description=__doc__)
    parser.add_argument("--directory", help="for logs and states (default: the system's)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="shipper-bench-", dir=options.directory) as directory:
        try:
            rows = _one_at_a_time(Path(directory))
            together = _together(Path(directory))
        except FailedRunError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 2
    return report(rows, together, sys.stdout)


def report(rows: list[Row], together: list[Row], stream: TextIO) -> int:
    """Prints the tables and the targets; the last of `rows` is the adaptive one."""
    capacity = _WORKERS * _EVENTS / _SECONDS
    stream.write(
        f"{_WORKERS} requests are worked on at once and {_QUEUE} wait; one of {_EVENTS} events "
        f"takes {_SECONDS * 1000:g} ms: {capacity:.0f} events/s at the most.\n"
    )
    stream.write("\n| requests at once | events/s | rejected |\n|---|---|---|\n")
    for row in (*rows, *together):
        stream.write(f"| {row.name} | {row.events_per_second:.0f} | {row.rejected} |\n")
    stream.write("\n")
    *fixed, adaptive = rows
    best = max(row.events_per_second for row in fixed)
    most_rejected = fixed[-1].rejected
    each = [row.events_per_second for row in together]
    lines = [
        ("of the best fixed number's speed", adaptive.events_per_second / best, _SPEED),
        (
            f"rejections that a fixed {_MOST} has for each of its own",
            most_rejected / max(adaptive.rejected, 1),
            1 / _REJECTIONS,
        ),
        ("three together: the smallest share of the largest", min(each) / max(each), _SHARES),
        ("three together: of the best fixed number's speed", sum(each) / best, _SPEED),
    ]
    for what, value, least in lines:
        verdict = "met" if value >= least else "MISSED"
        stream.write(f"{verdict:<7} {what}: {value:.2f} (at least {least:g})\n")
    return int(any(value < least for _, value, least in lines))


def _one_at_a_time(directory: Path) -> list[Row]:
    log = directory / "one.log"
    _write_lines(log, _LINES_OF_ONE)
    rows = []
    settings = [(f"fixed {most}", "fixed", most) for most in _FIXED]
    for name, concurrency, most in (*settings, ("adaptive", "adaptive", _MOST)):
        state = directory / name.replace(" ", "-")
        with _receiver(directory / f"{state.name}-receiver.log") as receiver:
            command = _shipper("one", log, receiver, state, concurrency, most)
            with running(command, state / "output") as process:
                _until(receiver, process, "one")
                time.sleep(_WARM_UP)
                rows.append(_watch(receiver, name, ["one"], _WATCHED)[0])
                process.stop()
        _progress(f"{name} is done")
    return rows


def _together(directory: Path) -> list[Row]:
    names = ["first", "second", "third"]
    with ExitStack() as stack:
        receiver = stack.enter_context(_receiver(directory / "three-receiver.log"))
        for name in names:
            log = directory / f"{name}.log"
            _write_lines(log, _LINES_OF_THREE)
            command = _shipper(name, log, receiver, directory / name, "adaptive", _MOST)
            process = stack.enter_context(running(command, directory / name / "output"))
            _until(receiver, process, name)
            time.sleep(_APART)
        time.sleep(_TOGETHER)
        return _watch(receiver, "adaptive, {} of three", names, _WATCHED_TOGETHER)


def _watch(receiver: Receiver, title: str, names: list[str], seconds: float) -> list[Row]:
    """Rejections are counted from the daemon's start, events during the measurement."""
    began = time.monotonic()
    before = [receiver.tally(name)[0] for name in names]
    time.sleep(seconds)
    rows = []
    for name, events in zip(names, before, strict=True):
        taken, rejected = receiver.tally(name)
        speed = (taken - events) / (time.monotonic() - began)
        rows.append(Row(title.format(name), speed, rejected))
    return rows


def _until(receiver: Receiver, process: Running, name: str) -> None:
    process.wait_until(
        lambda: receiver.tally(name)[0] > 0, f"{name}: the first event is taken", patience=30
    )


def _shipper(
    name: str, log: Path, receiver: Receiver, state: Path, concurrency: str, most: int
) -> tuple[str, ...]:
    state.mkdir(parents=True)
    config = {
        "inputs": [{"id": name, "paths": [str(log)], "max_line_bytes": _BLOCK}],
        "data_dir": str(state / "data"),
        "output": {
            "hosts": [f"http://127.0.0.1:{receiver.port}/{name}"],
            "bulk": {"max_events": _EVENTS},
            "concurrency": concurrency,
            "max_in_flight": most,
        },
        "admin": {"enabled": False},
    }
    file = state / "shipper.yml"
    file.write_text(yaml.safe_dump(config))
    return (sys.executable, "-m", "shipper", "run", "-c", str(file))


def _write_lines(log: Path, count: int) -> None:
    with log.open("wb") as file:
        for number in range(count):
            start = b'{"log":"%s","number":%d,"pad":"' % (log.stem.encode(), number)
            file.write(start.ljust(_LINE - 3, b"-") + b'"}\n')


@contextmanager
def _receiver(log: Path) -> Iterator[Receiver]:
    shape = [str(value) for value in (_WORKERS, _QUEUE, _SECONDS, _EVENTS)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.capacity", *shape],
            stdout=subprocess.PIPE,
            stderr=output,
        )
    try:
        assert process.stdout is not None
        yield Receiver(json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.communicate()


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
