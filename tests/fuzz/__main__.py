"""`./dev fuzz`: runs targets, one after the other, and keeps what it finds in their corpus."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz import guided
from tests.fuzz.driver import Report, fuzz
from tests.fuzz.table import TARGETS
from tests.fuzz.target import CORPUS, Target


def main(arguments: Sequence[str]) -> int:
    """Returns 1 if a promise was broken."""
    options = _options(arguments)
    chosen = [TARGETS[name] for name in options.targets or TARGETS]
    with_atheris = guided.is_installed() and not options.mutations
    print("coverage-guided, with atheris" if with_atheris else f"mutations, seed {options.seed}")
    print(f"{'TARGET':<26} {'INPUTS':>9} {'SECONDS':>8} {'FOUND':>6}")
    found = 0
    deadline = None if options.seconds is None else time.monotonic() + options.seconds
    for number, target in enumerate(chosen):
        # What one target leaves is the others'.
        share = deadline and max(0.0, deadline - time.monotonic()) / (len(chosen) - number)
        run = guided.fuzz if with_atheris else fuzz
        report = run(target, runs=options.runs, seconds=share, seed=options.seed)
        print(
            f"{report.target:<26} {report.inputs:>9} {report.seconds:>8.1f} "
            f"{len(report.findings):>6}",
            flush=True,
        )
        keep(target, report)
        found += len(report.findings)
    return int(found > 0)


def keep(target: Target, report: Report, corpus: Path = CORPUS) -> None:
    """Writes what was found to the corpus, and says what it is."""
    for place, finding in report.findings.items():
        path = corpus / target.name / f"found-{finding.digest}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(finding.data)
        print(
            f"\n{target.name}: {target.promise}\n{place} ({finding.count} times), kept as {path}:"
        )
        print(f"{finding.data[:300]!r}\n{finding.trace}")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--runs", type=int, help="inputs for each target (default: 100000)")
    parser.add_argument("--seconds", type=float, help="for all targets together, instead of --runs")
    parser.add_argument("--seed", type=int, default=0, help="other inputs (default: 0)")
    parser.add_argument(
        "--mutations", action="store_true", help="no coverage, also if atheris is installed"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if options.runs is None and options.seconds is None:
        options.runs = 100_000
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
