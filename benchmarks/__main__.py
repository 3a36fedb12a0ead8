"""`./dev bench`: shipper beside other shippers, with the same logs and the same receiver.

Without a command it measures everything that fits into half an hour, prints the report, and says
which targets are met.
"""

import argparse
import compileall
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import concurrency, flat, profile, quiet, stages, steady, throughput
from benchmarks.contestants import PEERS
from benchmarks.measure import FailedRunError
from benchmarks.plots import plots
from benchmarks.report import markdown
from benchmarks.results import Results, empty, load
from benchmarks.sink import receiving
from benchmarks.targets import verdicts
from benchmarks.throughput import SCENARIOS, Surroundings

#: Optional directory with the binaries of other shippers.
_PEERS = Path(__file__).resolve().parents[2] / "shared" / "lab" / "peers"

_ROOT = Path(__file__).resolve().parents[1]

_RATES = (50.0, 1000.0)
_GB = 10**9

#: Commands with options of their own.
_OWN: dict[str, Callable[[Sequence[str]], int]] = {
    "concurrency": lambda arguments: concurrency.main(list(arguments)),
    "stages": stages.main,
    "profile": profile.main,
}

_COMMANDS = """commands (several are run one after the other):
  throughput   catching up with a log: raw and ecs, compressed and not, three sizes of
               events, 200 files
  steady       50 and 1,000 events a second: CPU, time to the request; and idle
  quiet        files that nobody writes to: 1, 2,000 and 20,000
  flat         over the number of files and the latency of the cluster
  ecs, guide   what format ecs, and the filebeat.yml of Elastic's guide, cost beside our own format
  backlog      a backlog of 0.5 and of 5 GB (needs the space)
  soak         20,000 events a second for --minutes
  report       only prints the report of --results; --into DIRECTORY: writes it there, with plots
  stages, profile, concurrency
               have options of their own: ./dev bench stages --help
Without a command: throughput, steady, quiet, flat."""

_DEFAULT = ("throughput", "steady", "quiet", "flat")


def main() -> int:
    """Returns 1 if a target is missed, 2 if a run failed."""
    # As in the image: no start has to compile.
    compileall.compile_dir(_ROOT / "shipper", quiet=2)
    if (own := _OWN.get(sys.argv[1] if len(sys.argv) > 1 else "")) is not None:
        return own(sys.argv[2:])
    options = parser().parse_args()
    if options.commands == ["report"]:
        return _report(load(options.results), options.into)
    with tempfile.TemporaryDirectory(prefix="shipper-bench-", dir=options.directory) as directory:
        results = load(options.results) if options.add else empty()
        try:
            for command in options.commands or _DEFAULT:
                place = Path(directory, command)
                place.mkdir()
                _run(command, options, place, results)
                if options.results:
                    results.save(options.results)
                shutil.rmtree(place)
        except FailedRunError as error:
            sys.stderr.write(f"bench: {error}\n")
            if options.keep:
                shutil.copytree(directory, options.keep, dirs_exist_ok=True)
            return 2
    return _report(results, options.into)


def parser() -> argparse.ArgumentParser:
    """The options of all commands that have none of their own."""
    result = argparse.ArgumentParser(
        prog="./dev bench",
        description=__doc__,
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ("throughput", "steady", "quiet", "flat", "ecs", "guide", "backlog", "soak", "report")
    result.add_argument("commands", nargs="*", metavar="COMMAND", choices=(*known, []))
    result.add_argument("--events", type=int, default=300_000, help="default: %(default)s")
    result.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    result.add_argument(
        "--scenario", action="append", help="of throughput: those whose name has this text"
    )
    result.add_argument(
        "--seconds", type=float, default=40.0, help="at each steady rate (default: %(default)s)"
    )
    result.add_argument(
        "--minutes", type=float, default=30.0, help="of a soak (default: %(default)s)"
    )
    result.add_argument("--directory", help="for logs and states (default: the system's)")
    result.add_argument("--keep", type=Path, help="copy logs and states there if a run fails")
    result.add_argument("--results", type=Path, help="a file for the results, as JSON")
    result.add_argument("--add", action="store_true", help="keep what --results has, and add to it")
    result.add_argument("--into", type=Path, help="write the report and its plots there")
    result.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("SHIPPER_PEERS", _PEERS)),
        help="a directory with run-vector.sh and run-fluent-bit.sh",
    )
    return result


def _run(command: str, options: argparse.Namespace, place: Path, results: Results) -> None:
    results.absent = [name for name in PEERS if not (options.peers / f"run-{name}.sh").exists()]
    if command == "steady":
        for rate in _RATES:
            results.steady += steady.measure(
                place / f"{rate:g}",
                options.peers,
                rate=rate,
                seconds=options.seconds,
                idle_seconds=options.seconds,
                progress=_progress,
            )
        return
    with receiving(place / "receiver.log") as sink:
        if command == "throughput":
            where = Surroundings(sink, place, options.peers, _progress)
            for scenario in SCENARIOS:
                if options.scenario and not any(text in scenario.name for text in options.scenario):
                    continue
                results.throughput += throughput.measure(
                    scenario, where, events=options.events, rounds=options.rounds
                )
        elif command in ("ecs", "guide"):
            where = Surroundings(sink, place, options.peers, _progress)
            results.throughput += throughput.measure_own(
                command, where, events=options.events, rounds=options.rounds
            )
        elif command == "quiet":
            results.quiet.append(quiet.one_file(sink, place))
            for files in quiet.MANY_FILES:
                results.quiet.append(quiet.many_files(sink, place, files))
        elif command == "flat":
            results.flat += flat.files(sink, place, _progress)
            results.flat += flat.latencies(sink, place, _progress)
        elif command == "backlog":
            results.flat += flat.backlogs(sink, place, (_GB // 2, 5 * _GB), _progress)
        elif command == "soak":
            results.soak = flat.soak(sink, place, options.minutes, 20_000.0, _progress)


def _report(results: Results, into: Path | None) -> int:
    """Returns 1 if a target is missed."""
    if into is None:
        sys.stdout.write(markdown(results))
    else:
        into.mkdir(parents=True, exist_ok=True)
        pictures = plots(results)
        for plot in pictures:
            (into / plot.file).write_text(plot.svg)
        text = f"# Benchmarks\n\n{markdown(results, pictures)}"
        (into / "README.md").write_text(text)
        sys.stdout.write("\n".join(each.line() for each in verdicts(results)) + "\n")
    return int(not all(each.is_met for each in verdicts(results)))


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
