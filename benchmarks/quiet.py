"""shipper with files that nobody writes to: a node where nothing happens."""

import statistics
import time
from pathlib import Path

from benchmarks.contestants import shipper
from benchmarks.corpus import write_corpus
from benchmarks.measure import Running, running
from benchmarks.results import Quiet
from benchmarks.sink import Sink

_IDLE_SECONDS = 20.0
# Seconds until files that are read are closed, and freed memory is given back.
_SETTLE_SECONDS = 60.0

_STARTS = 5

MANY_FILES = (2_000, 20_000)


def one_file(sink: Sink, directory: Path) -> Quiet:
    """One log: how long a start takes to the first line, CPU, memory."""
    logs = directory / "idle-logs"
    logs.mkdir()
    write_corpus(logs / "tetragon.log", 100)
    firsts, cpu, rss = [], 0.0, 0
    for number in range(_STARTS):
        sink.reset()
        state = directory / f"idle-{number}"
        contestant = shipper(logs, sink.url, state)
        with running(contestant.command, state / "log") as process:
            process.wait_until(lambda: sink.events() > 0, "the first line came", patience=30)
            firsts.append(sink.first() - process.began)
            if not number:
                cpu, rss = _cpu_while_waiting(process), process.rss_bytes()
            process.stop()
    return Quiet(1, cpu, rss, statistics.median(firsts))


def many_files(sink: Sink, directory: Path, files: int) -> Quiet:
    """Very many of them."""
    logs = directory / f"{files}-logs"
    logs.mkdir()
    for number in range(files):
        (logs / f"{number}.log").write_bytes(b'{"number":%d}\n' % number)
    sink.reset()
    contestant = shipper(logs, sink.url, directory / f"{files}")
    with running(contestant.command, directory / f"{files}.log") as process:
        process.wait_until(lambda: sink.events() >= files, "all files are shipped")
        cpu = _cpu_while_waiting(process)
        return Quiet(files, cpu, process.rss_bytes())


def _cpu_while_waiting(process: Running) -> float:
    """The share of a core that an idle process uses."""
    time.sleep(_SETTLE_SECONDS)
    before = process.cpu_seconds()
    time.sleep(_IDLE_SECONDS)
    return (process.cpu_seconds() - before) / _IDLE_SECONDS
