"""Reports of `shipper deadletter replay`: text while it runs, or one line of JSON at its end.

    {"total": N, "selected": N, "output": TEXT, "dry_run": BOOL, "reasons": [REASON…],
     "replayed": N, "already_there": N, "rejected_again": N, "kept": N,
     "status": "OK" | "FAILED", "warnings": [TEXT…]}

`reasons` summarises the selected dead letters; each entry has `count`, `status`, `first`, `last`,
`reason`.
"""

from typing import Protocol, TextIO

import msgspec

from shipper.dead_letters.files import Warn
from shipper.dead_letters.replayer import ReplayResult
from shipper.dead_letters.summary import Summary


class ReplayReport(Protocol):
    """The interface of reports."""

    def warn(self, message: str) -> None:
        """Reports a warning."""

    def selected(
        self, summary: Summary, total: int, directory: str, output: str, *, dry_run: bool
    ) -> None:
        """Reports the dead letters that will be sent to `output`, of `total` in a directory; with
        `dry_run` nothing is sent."""

    def finished(self, result: ReplayResult) -> None:
        """Reports the result."""


class TextReport:
    """A report as text."""

    def __init__(self, out: TextIO, warn: Warn) -> None:
        self._out = out
        self.warn = warn

    def selected(
        self, summary: Summary, total: int, directory: str, output: str, *, dry_run: bool
    ) -> None:
        """See ReplayReport."""
        if not total:
            self._out.write(f"no dead letters in {directory}\n")
            return
        verb = "would be sent" if dry_run else "are sent"
        self._out.write(f"{summary.count} of {total} dead letters {verb} to {output}\n")
        if dry_run and summary.count:
            self._out.writelines(f"{line}\n" for line in summary.lines())
            self._out.write("dry run: nothing was sent or changed\n")
        self._out.flush()

    def finished(self, result: ReplayResult) -> None:
        """See ReplayReport."""
        self._out.write(f"{result}\n")
        if result.failure:
            self.warn(result.failure)


class JsonReport:
    """A report as JSON."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._warnings: list[str] = []
        self._report: dict[str, object] = {}

    def warn(self, message: str) -> None:
        """See ReplayReport."""
        self._warnings.append(message)

    def selected(
        self, summary: Summary, total: int, directory: str, output: str, *, dry_run: bool
    ) -> None:
        """See ReplayReport."""
        self._report = {
            "total": total,
            "selected": summary.count,
            "output": output,
            "dry_run": dry_run,
            "reasons": summary.as_json(),
        }
        if dry_run or not summary.count:
            self._write(ReplayResult())

    def finished(self, result: ReplayResult) -> None:
        """See ReplayReport."""
        if result.failure:
            self.warn(result.failure)
        self._write(result)

    def _write(self, result: ReplayResult) -> None:
        counts = {
            "replayed": result.replayed,
            "already_there": result.already_there,
            "rejected_again": result.rejected_again,
            "kept": result.kept,
            "status": "OK" if result.succeeded else "FAILED",
            "warnings": self._warnings,
        }
        self._out.write(msgspec.json.encode(self._report | counts).decode() + "\n")
