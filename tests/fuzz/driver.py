"""Runs targets on many mutated inputs, in this process, and gathers what breaks a promise."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Target


@dataclass(slots=True)
class Finding:
    """A way in which a promise is broken, and the shortest input that is known for it."""

    data: bytes
    #: The exception with its trace.
    trace: str
    count: int = 1

    @property
    def digest(self) -> str:
        """A name for the input."""
        return sha256(self.data).hexdigest()[:12]


@dataclass(slots=True)
class Report:
    """What a run of one target came to."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    #: By kind and place of the exception.
    findings: dict[str, Finding] = field(default_factory=dict)


def place_of(error: BaseException) -> str:
    """Kind and place of an exception: where it left our code, and how that was called."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if "/shipper/" in each.filename or "/tests/" in each.filename]
    at = " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(ours[-2:]))
    return f"{type(error).__name__} at {at}"


def failure_of(target: Target, data: bytes) -> BaseException | None:
    """What an input raises; None if the promise holds."""
    try:
        target.run(data)
    except Exception as error:
        return error
    return None


def fuzz(
    target: Target,
    *,
    runs: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda words: None,
) -> Report:
    """Runs the seeds, the corpus and then mutations of them: so many inputs, or as long as that."""
    report = Report(target.name)
    pool = (*target.seeds, *target.kept().values())
    mutator = Mutator(seed, pool, target.tokens)
    began = time.monotonic()
    while (runs is None or report.inputs < runs) and (
        seconds is None or time.monotonic() - began < seconds or report.inputs < len(pool)
    ):
        data = pool[report.inputs] if report.inputs < len(pool) else mutator.next()
        report.inputs += 1
        error = failure_of(target, data)
        if error is not None:
            note(report, data, error, say)
    report.seconds = time.monotonic() - began
    for place, finding in report.findings.items():
        finding.data = shortened(target, finding.data, place)
    return report


def note(report: Report, data: bytes, error: BaseException, say: Callable[[str], None]) -> None:
    """Adds what an input raised to a report."""
    place = place_of(error)
    known = report.findings.get(place)
    if known is None:
        # Of a recursion the beginning and the end.
        trace = "".join(traceback.format_exception(error, limit=-8))
        report.findings[place] = Finding(data, trace)
        say(f"{report.target}: {place}: {str(error)[:200]}")
        return
    known.count += 1
    if len(data) < len(known.data):
        known.data = data


def shortened(target: Target, data: bytes, place: str, tries: int = 2000) -> bytes:
    """A shorter input that fails in the same place: parts are left out as long as it does."""
    size = len(data) // 2
    while size and tries > 0:
        at = 0
        while at < len(data) and tries > 0:
            tries -= 1
            shorter = data[:at] + data[at + size :]
            error = failure_of(target, shorter)
            if error is not None and place_of(error) == place:
                data = shorter
            else:
                at += size
        size //= 2
    return data
