"""Coverage-guided runs, where atheris is installed (`requirements-fuzz.lock`).

libFuzzer owns its process and ends it, so each target has one of its own: `python -m
tests.fuzz.guided TARGET DIRECTORY [libFuzzer's options]`. What breaks a promise is gathered, as
elsewhere, and does not end the run. Nothing of what is fuzzed may be imported before atheris
instruments it, so this module imports it late.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.driver import Report
    from tests.fuzz.target import Target

#: How libFuzzer ends.
_DONE = re.compile(r"^Done (\d{1,18}) runs", re.MULTILINE)

#: The longest entry of a dictionary of libFuzzer, in bytes.
_LONGEST_TOKEN = 60


def is_installed() -> bool:
    """Whether there is atheris for this Python."""
    return importlib.util.find_spec("atheris") is not None


def fuzz(
    target: Target, *, runs: int | None = None, seconds: float | None = None, seed: int = 0
) -> Report:
    """As `driver.fuzz`."""
    from tests.fuzz.driver import Finding, Report, failure_of, note, shortened
    from tests.fuzz.target import LONGEST, memory

    report = Report(target.name)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        place = Path(name)
        corpus, tokens = place / "corpus", place / "tokens"
        corpus.mkdir()
        for number, data in enumerate((*target.seeds, *target.kept().values())):
            (corpus / str(number)).write_bytes(data)
        tokens.write_text("".join(_entry(token) for token in target.tokens if token))
        command = [sys.executable, "-m", "tests.fuzz.guided", target.name, name]
        command += [f"-max_len={LONGEST}", f"-seed={seed + 1}"]
        command += [f"-dict={tokens}"] if target.tokens else []
        command += [f"-runs={runs}"] if runs is not None else []
        command += [f"-max_total_time={max(1, round(seconds))}"] if seconds is not None else []
        # libFuzzer ends the process as it is: what it leaves goes with this directory.
        environ = {**os.environ, "TMPDIR": name}
        with (place / "output").open("wb") as output:
            subprocess.run(
                [*command, str(corpus)], check=False, stdout=output, stderr=output, env=environ
            )
        told = (place / "output").read_text(errors="replace")
        done = _DONE.search(told)
        if done is None:
            raise RuntimeError(told)
        report.inputs = int(done[1])
        for path in sorted(place.glob("found-*")):
            data = path.read_bytes()
            error = failure_of(target, data)
            if error is not None:
                note(report, data, error, lambda words: None)
            else:
                report.findings[path.name] = Finding(data, "not seen without coverage")
    for at, finding in report.findings.items():
        finding.data = shortened(target, finding.data, at)
    report.seconds = time.monotonic() - began
    return report


def _entry(token: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in token[:_LONGEST_TOKEN]) + '"\n'


def _run(name: str, place: Path, options: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["shipper"], enable_loader_override=False):
        from tests.fuzz.table import TARGETS
    from tests.fuzz.driver import failure_of, place_of

    target = TARGETS[name]
    seen: set[str] = set()

    def one(data: bytes) -> None:
        error = failure_of(target, data)
        if error is not None and (at := place_of(error)) not in seen:
            seen.add(at)
            (place / f"found-{len(seen)}").write_bytes(data)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
