"""`./dev bench profile`: where the CPU of one daemon goes that catches up with a log.

How to read it: the time of a line is its own, without what it calls. "built-in" are functions of C
or Rust, by their names: `compress` is gzip, `decode_lines` the validation, `preadv` the reading.
The profiler makes every call of a Python function dearer, so Python looks worse than it is: compare
profiles with profiles, and measure a change with `./dev bench`.
"""

import argparse
import pstats
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import shipper as package
from benchmarks.contestants import ECS_GZIP, RAW_GZIP, RAW_PLAIN, shipper
from benchmarks.corpus import write_corpus
from benchmarks.measure import FailedRunError, running
from benchmarks.sink import receiving

_MODES = {"raw": RAW_GZIP, "plain": RAW_PLAIN, "ecs": ECS_GZIP}
_ROOT = Path(package.__file__).parent
_MOST_LINES = 25


@dataclass(frozen=True, slots=True)
class Share:
    """What one module or function takes, in seconds, without what it calls."""

    name: str
    seconds: float
    calls: int


def main(arguments: Sequence[str]) -> int:
    """Returns 2 if the run failed."""
    parser = argparse.ArgumentParser(
        prog="./dev bench profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mode", choices=tuple(_MODES), default="raw", help="default: %(default)s")
    parser.add_argument("--events", type=int, default=200_000, help="default: %(default)s")
    parser.add_argument("--keep", type=Path, help="the profile for pstats or snakeviz")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="shipper-bench-") as directory:
        try:
            profile = run(Path(directory), options.mode, options.events)
        except FailedRunError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 2
        stats = pstats.Stats(str(profile))
        if options.keep:
            options.keep.write_bytes(profile.read_bytes())
    modules, functions = shares(stats)
    for title, rows in (("modules", modules), ("functions", functions)):
        sys.stdout.write(f"\n{'µs/event':>9} {'calls/event':>11}  {title}\n")
        for row in rows[:_MOST_LINES]:
            each, calls = row.seconds / options.events * 1e6, row.calls / options.events
            sys.stdout.write(f"{each:9.2f} {calls:11.3f}  {row.name}\n")
    return 0


def run(directory: Path, mode: str, events: int) -> Path:
    """Has a daemon catch up under the profiler; returns the file of the profile."""
    logs, state, profile = directory / "logs", directory / "state", directory / "profile"
    logs.mkdir()
    write_corpus(logs / "tetragon.log", events)
    with receiving(directory / "receiver.log") as sink:
        python, module, *rest = shipper(logs, sink.url, state, _MODES[mode]).command
        command = [python, "-m", "cProfile", "-o", str(profile), module, *rest]
        with running(command, directory / "output") as process:
            process.wait_until(lambda: sink.events() >= events, "all received")
            process.stop()
    if not profile.exists():
        raise FailedRunError("the profiler wrote nothing")
    return profile


def shares(stats: pstats.Stats) -> tuple[list[Share], list[Share]]:
    """By module and by function, the largest first."""
    modules: dict[str, tuple[float, int]] = {}
    functions = []
    for name, module, seconds, calls in _rows(stats.stats):  # type: ignore[attr-defined]
        functions.append(Share(name, seconds, calls))
        before = modules.get(module, (0.0, 0))
        modules[module] = before[0] + seconds, before[1] + calls
    by_module = [Share(name, seconds, calls) for name, (seconds, calls) in modules.items()]
    return (
        sorted(by_module, key=lambda share: -share.seconds),
        sorted(functions, key=lambda share: -share.seconds),
    )


def _rows(
    stats: Mapping[tuple[str, int, str], tuple[int, int, float, float, object]],
) -> Iterator[tuple[str, str, float, int]]:
    for (file, line, function), (_, calls, seconds, _, _) in stats.items():
        if file == "~":
            yield function, f"built-in {function}", seconds, calls
            continue
        path = Path(file)
        module = str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.stem
        yield f"{module}:{line} {function}", module, seconds, calls


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
