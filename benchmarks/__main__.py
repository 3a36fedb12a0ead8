"""`./dev bench`: runs the benchmark, prints the table and the targets.

`./dev bench concurrency` is another benchmark: see `benchmarks/concurrency.py`.
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import concurrency
from benchmarks.contestants import Contestant, guide, peers, shipper, without_core
from benchmarks.corpus import write_corpus
from benchmarks.measure import Cost, FailedRunError, Running, cost_of, running
from benchmarks.report import Idle, Many, Row, report, report_ecs, report_guide, report_native
from shipper.demo.process import free_port

_IDLE_SECONDS = 20.0
# Seconds until files that are read are closed, and freed memory is given back.
_SETTLE_SECONDS = 60.0
_MANY_FILES = (2_000, 20_000)

#: Optional directory with the binaries of other shippers.
_PEERS = Path(__file__).resolve().parents[2] / "shared" / "lab" / "peers"


@dataclass(frozen=True, slots=True)
class Sink:
    """A client of the receiver."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        self._ask("POST", "/reset")

    def events(self) -> int:
        return int(json.loads(self._ask("GET", "/count"))["events"])

    def first(self) -> float:
        """CLOCK_MONOTONIC when the first request was answered; 0 before."""
        return float(json.loads(self._ask("GET", "/count"))["first"])

    def _ask(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()


def main() -> int:
    """Returns 1 if a target is missed, 2 if a run failed."""
    if sys.argv[1:2] == ["concurrency"]:
        return concurrency.main(sys.argv[2:])
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="shipper-bench-", dir=options.directory) as directory:
        try:
            return _run(options, Path(directory))
        except FailedRunError as error:
            sys.stderr.write(f"bench: {error}\n")
            if options.keep:
                shutil.copytree(directory, options.keep, dirs_exist_ok=True)
            return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    beside = parser.add_mutually_exclusive_group()
    beside.add_argument(
        "--format",
        choices=("raw", "ecs"),
        default="raw",
        help="ecs: what `format: ecs` costs beside raw, and nothing else (default: %(default)s)",
    )
    beside.add_argument(
        "--guide",
        action="store_true",
        help="what the filebeat.yml of Elastic's guide costs beside our own dialect, and nothing "
        "else",
    )
    beside.add_argument(
        "--native",
        action="store_true",
        help="what the native core saves: raw, ecs and plain with it and without, and nothing else",
    )
    parser.add_argument("--directory", help="for the log and the states (default: the system's)")
    parser.add_argument("--keep", type=Path, help="copy logs and states there if a run fails")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("SHIPPER_PEERS", _PEERS)),
        help="a directory with run-vector.sh and run-fluent-bit.sh",
    )
    return parser


def _run(options: argparse.Namespace, directory: Path) -> int:
    logs = directory / "logs"
    logs.mkdir()
    size = write_corpus(logs / "tetragon.log", options.events)
    sys.stdout.write(f"{options.events} events, {size // options.events} bytes each on average\n")
    rows: dict[str, list[Cost]] = {}
    with _sink(directory / "receiver.log") as sink:
        for number in range(options.rounds):
            state = directory / f"round-{number}"
            found = [shipper(logs, sink.url, state / "shipper", _free_address())]
            if options.native:
                found = list(_with_and_without_core(logs, sink.url, state))
            elif options.guide:
                found.append(guide(logs, sink.url, state / "guide", _free_address()))
            elif options.format == "ecs":
                found.append(shipper(logs, sink.url, state / "ecs", _free_address(), "ecs"))
            else:
                found += peers(options.peers, logs, sink.url, state)
            # Interleaved, so that other load on the machine affects all of them.
            floor = (sys.executable, "-m", "benchmarks.floor", str(logs / "tetragon.log"))
            rows.setdefault("floor", []).append(cost_of(floor, state / "floor.log"))
            for contestant in found:
                cost = _ship(contestant, sink, options.events, state / f"{contestant.name}.log")
                rows.setdefault(contestant.name, []).append(cost)
            _progress(f"round {number + 1} of {options.rounds} is done")
        table = [_median(name, costs, options.events) for name, costs in rows.items()]
        if options.native:
            return report_native(table, sys.stdout)
        if options.guide:
            return report_guide(table, sys.stdout)
        if options.format == "ecs":
            return report_ecs(table, sys.stdout)
        idle = _idle(sink, directory)
        many = [_many(sink, directory, files) for files in _MANY_FILES]
    return report(table, idle, many, sys.stdout)


def _with_and_without_core(logs: Path, url: str, state: Path) -> Iterator[Contestant]:
    for name, form, gzip in (("raw", "raw", True), ("ecs", "ecs", True), ("plain", "raw", False)):
        for core in ("native", "python"):
            directory = state / f"{name}-{core}"
            made = shipper(logs, url, directory, _free_address(), form, gzip=gzip)
            yield made if core == "native" else without_core(made)


def _ship(contestant: Contestant, sink: Sink, events: int, log: Path) -> Cost:
    sink.reset()
    with running(contestant.command, log) as process:
        process.wait_until(lambda: sink.events() >= events, f"{contestant.name}: all received")
        return process.stop()


def _idle(sink: Sink, directory: Path) -> Idle:
    """An idle node: time to the first line, and CPU."""
    logs = directory / "idle-logs"
    logs.mkdir()
    write_corpus(logs / "tetragon.log", 100)
    firsts, cpu, rss = [], 0.0, 0
    for number in range(5):
        sink.reset()
        state = directory / f"idle-{number}"
        contestant = shipper(logs, sink.url, state, _free_address())
        with running(contestant.command, state / "log") as process:
            process.wait_until(_seen(sink), "the first line is received", patience=30)
            firsts.append(sink.first() - process.began)
            if not number:
                cpu = _cpu_while_waiting(process)
            rss = process.stop().peak_rss_bytes
    return Idle(statistics.median(firsts), cpu, rss)


def _many(sink: Sink, directory: Path, files: int) -> Many:
    """An idle node with very many files."""
    logs = directory / f"{files}-logs"
    logs.mkdir()
    for number in range(files):
        (logs / f"{number}.log").write_bytes(b'{"number":%d}\n' % number)
    sink.reset()
    contestant = shipper(logs, sink.url, directory / f"{files}", _free_address())
    with running(contestant.command, directory / f"{files}.log") as process:
        process.wait_until(lambda: sink.events() >= files, "all files are shipped")
        cpu = _cpu_while_waiting(process)
        return Many(files, cpu, process.rss_bytes())


def _cpu_while_waiting(process: Running) -> float:
    """The share of a core that an idle process uses."""
    time.sleep(_SETTLE_SECONDS)
    before = process.cpu_seconds()
    time.sleep(_IDLE_SECONDS)
    return (process.cpu_seconds() - before) / _IDLE_SECONDS


def _seen(sink: Sink) -> Callable[[], bool]:
    return lambda: sink.events() > 0


def _median(name: str, costs: list[Cost], events: int) -> Row:
    return Row(
        name,
        statistics.median(cost.cpu_seconds for cost in costs) / events,
        statistics.median(events / cost.wall_seconds for cost in costs),
        int(statistics.median(cost.peak_rss_bytes for cost in costs)),
    )


@contextmanager
def _sink(log: Path) -> Iterator[Sink]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.receiver"], stdout=subprocess.PIPE, stderr=output
        )
    try:
        assert process.stdout is not None
        yield Sink(json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.communicate()


def _free_address() -> str:
    return f"127.0.0.1:{free_port()}"


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
