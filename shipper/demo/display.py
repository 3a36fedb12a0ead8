"""The output of the demo: a live line on a terminal or plain lines, and the audit at the end."""

import os
import time
from collections.abc import Sequence
from typing import TextIO

from msgspec import Struct

from shipper.demo.audit import Audit, Lag

_BAR = 24
# Seconds between two plain lines.
_PLAIN_SECONDS = 2.0

_CLEAR_LINE = "\r\x1b[K"
_GREEN, _RED, _END = "\x1b[1;32m", "\x1b[1;31m", "\x1b[0m"


class Progress(Struct, frozen=True):
    """The progress of the demo."""

    #: 0 to 1.
    done: float
    seconds: float
    written: int
    delivered: int
    rotations: int
    kills: int


class DaemonReport(Struct, frozen=True):
    """The daemon's own counters at the end; they count lines since its last start."""

    exit_code: int
    lines_read: int
    #: Lines by outcome.
    outcomes: dict[str, int]
    #: Lines read without an outcome; should be 0.
    uncounted: int

    @property
    def passed(self) -> bool:
        """Whether it stopped with exit code 0, and its counters add up."""
        return self.exit_code == 0 and self.uncounted == 0


class Report(Struct, frozen=True):
    """The results of a run."""

    audit: Audit
    lag: Lag | None
    #: Seconds from the first write to the last receipt.
    seconds: float
    bytes_written: int
    rotations: int
    backups_deleted: int
    kills: int
    daemon: DaemonReport
    #: Notices of the receiver.
    notices: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether every line arrived exactly once, and the daemon's report has passed."""
        return self.audit.passed and self.daemon.passed


class Display:
    """Writes to one stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._colours = self._live and "NO_COLOR" not in os.environ
        self._said_at = time.monotonic()

    def say(self, text: str) -> None:
        """Prints a line in place of the live one."""
        self._stream.write(f"{_CLEAR_LINE if self._live else ''}{text}\n")
        self._stream.flush()

    def progress(self, progress: Progress) -> None:
        """Shows the progress: at once on a terminal, every two seconds elsewhere."""
        if self._live:
            # The size of a terminal may be 0 if it was never set.
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            text = _bar(progress.done) + progress_text(progress)
            self._stream.write(f"{_CLEAR_LINE}{text[: columns - 1]}")
            self._stream.flush()
        elif time.monotonic() - self._said_at >= _PLAIN_SECONDS:
            self._said_at = time.monotonic()
            self.say(progress_text(progress))

    def report(self, report: Report) -> None:
        """Prints the audit, and its result in one line."""
        self.say("")
        for name, text in report_rows(report):
            self.say(f"  {name:<10} {text}")
        verdict = "PASSED" if report.passed else "FAILED"
        if self._colours:
            verdict = f"{_GREEN if report.passed else _RED}{verdict}{_END}"
        self.say(f"\n  {verdict}: {meaning(report)}")


def progress_text(progress: Progress) -> str:
    """One line of progress."""
    return (
        f"{progress.seconds:5.1f} s  {progress.written:>9,} written  "
        f"{progress.delivered:>9,} delivered  {progress.written - progress.delivered:>7,} to go"
        f"  {_times(progress.rotations, 'rotation')}, {_times(progress.kills, 'kill')}"
    )


def report_rows(report: Report) -> list[tuple[str, str]]:
    """The rows of the audit as (name, text)."""
    audit, daemon = report.audit, report.daemon
    megabytes = report.bytes_written / 1e6
    rows = [
        (
            "written",
            f"{audit.written:>12,} lines ({megabytes:,.1f} MB), "
            f"{_times(report.rotations, 'rotation')}, "
            f"{_times(report.backups_deleted, 'old file')} deleted",
        ),
        (
            "delivered",
            f"{audit.delivered:>12,} lines, "
            f"{audit.delivered / max(report.seconds, 1e-9):,.0f} events/s",
        ),
        ("lost", f"{audit.lost:>12,}{_named(audit.lost_numbers)}"),
        ("doubled", f"{audit.doubled:>12,}{_named(audit.doubled_numbers)}"),
    ]
    if audit.strange:
        rows.append(("strange", f"{audit.strange:>12,} documents that nobody wrote"))
    if report.lag is not None:
        lag = f"median {report.lag.median:.2f} s, at most {report.lag.maximum:.2f} s"
        rows.append(("lag", f"{lag} from write to receipt"))
    if report.kills:
        rows.append(
            ("killed", f"{_times(report.kills, 'time')} with SIGKILL, and started again at once")
        )
    rows += [("", notice) for notice in report.notices]
    outcomes = " + ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in daemon.outcomes.items() if count
    )
    sign = "=" if daemon.uncounted == 0 else "!="
    rows.append(
        (
            "daemon",
            f"exit code {daemon.exit_code} on SIGTERM; {daemon.lines_read:,} lines read since its "
            f"last start {sign} {outcomes or 'none'}",
        )
    )
    return rows


def meaning(report: Report) -> str:
    """The result in one line."""
    audit = report.audit
    if not audit.passed:
        return f"{audit.lost:,} lost, {audit.doubled:,} doubled, {audit.strange:,} strange"
    if report.daemon.exit_code != 0:
        return f"every line is there once, but the daemon's exit code is {report.daemon.exit_code}"
    if report.daemon.uncounted:
        return "every line is there once, but the daemon's counters do not add up"
    return "0 lost, 0 doubled; every line that was written is there exactly once"


def _bar(done: float) -> str:
    filled = round(_BAR * min(max(done, 0.0), 1.0))
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] "


def _times(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _named(numbers: tuple[int, ...]) -> str:
    return f"  (numbers {', '.join(map(str, numbers))}, ...)" if numbers else ""
