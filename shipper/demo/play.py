"""Runs the demo: writes logs, ships them, kills the daemon, waits, and audits.

A thread writes the logs, the daemon is a separate process, and the `Receiver` is the embedded one,
or a real server that is queried for its documents at the end.
Ctrl-C stops the writing, not the audit; a second one stops everything.
"""

import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from shipper.demo.audit import Audit, Lag
from shipper.demo.display import DaemonReport, Display, Progress, Report
from shipper.demo.generator import LogWriter
from shipper.demo.options import DemoOptions
from shipper.demo.process import DaemonProcess, free_port
from shipper.errors import ConfigError, ShipperError

#: Seconds of writing until a file is rotated, and number of backups: a killed daemon has about six
#: seconds to restart before a line is deleted that it has not read.
_ROTATE_SECONDS = 0.5
_BACKUPS = 12
_SMALLEST_FILE = 64_000
_BYTES_PER_EVENT = 2_000

_TICK = 0.1
# Seconds without a new line at the receiver after which missing lines count as lost. The second one
# is for a daemon that reports that all lines are acknowledged.
_PATIENCE = 20.0
_IDLE_PATIENCE = 2.0
# Seconds until the daemon has read its last answers, and until it has stopped.
_CALM_SECONDS = 10.0
_STOP_SECONDS = 20.0


class Receiver(Protocol):
    """The receiver of the lines."""

    @property
    def url(self) -> str:
        """The URL for `output.hosts`."""

    @property
    def description(self) -> str:
        """A short description."""

    @property
    def received(self) -> int:
        """Lines that have arrived so far."""

    def audit(self, written: int) -> Audit:
        """The audit of the lines 0 to `written` - 1."""

    def lag(self, written_at: Sequence[float]) -> Lag | None:
        """The lag from write (`time.monotonic`) to receipt; None if unknown."""

    def notices(self) -> list[str]:
        """Further lines for the report."""


class DemoError(ShipperError):
    """The demo failed: the daemon exited or does not stop, or the disk is full."""


def play(options: DemoOptions, receiver: Receiver) -> int:
    """Runs the demo; returns the exit code: 0 if every line arrived exactly once.

    Raises:
        ConfigError: the directory to keep the files in is not empty, or cannot be made.
        DemoError: the daemon exited or does not stop, or the logs cannot be written.
    """
    display = Display(sys.stdout)
    with _directory(options.keep) as directory:
        display.say(_programme(options, receiver))
        report = _Play(options, receiver, directory, display).run()
        display.report(report)
        if options.keep is not None:
            display.say(f"  the files are in {options.keep}")
    return 0 if report.passed else 1


class _Play:
    """One run of the demo."""

    def __init__(
        self, options: DemoOptions, receiver: Receiver, directory: Path, display: Display
    ) -> None:
        self._options = options
        self._receiver = receiver
        self._display = display
        logs = directory / "tetragon"
        logs.mkdir()
        self._writer = LogWriter(
            logs,
            random.Random(options.seed),
            max_bytes=_file_bytes(options.rate),
            backups=_BACKUPS,
        )
        self._daemon = DaemonProcess(_config(logs, receiver.url, directory), directory)
        self._stop = threading.Event()
        self._interrupted = False
        self._kills = 0
        self._began = time.monotonic()
        self._planned = _planned_seconds(options)

    def run(self) -> Report:
        """Runs all steps. Leaves no process and no thread behind."""
        with ThreadPoolExecutor(1, "generator") as threads, self._signals():
            try:
                self._daemon.start()
                writing = threads.submit(
                    self._writer.run, self._options.rate, self._stop, self._options.events
                )
                self._watch_writing(writing)
                last_receipt = self._wait_for_delivery()
                daemon = self._end_daemon()
                return self._report(last_receipt, daemon)
            finally:
                self._stop.set()
                self._daemon.kill()
                self._writer.close()

    def _watch_writing(self, writing: Future[None]) -> None:
        self._began = time.monotonic()
        while not writing.done():
            elapsed = time.monotonic() - self._began
            if elapsed >= self._options.seconds:
                self._stop.set()
            next_kill = self._planned * (self._kills + 1) / (self._options.kills + 1)
            if self._kills < self._options.kills and elapsed >= next_kill:
                self._kill_daemon()
            self._must_run()
            self._show()
            wait([writing], _TICK)
        try:
            writing.result()
        except OSError as error:
            raise DemoError(
                f"the logs cannot be written: {error}", where=str(self._writer.path)
            ) from error

    def _kill_daemon(self) -> None:
        self._daemon.kill()
        self._daemon.start()
        self._kills += 1

    def _wait_for_delivery(self) -> float:
        """Waits for all lines; returns the time of the last receipt (`time.monotonic`)."""
        received, changed_at = self._receiver.received, time.monotonic()
        while received < self._writer.written:
            self._must_run()
            self._show()
            time.sleep(_TICK)
            before, received = received, self._receiver.received
            if received != before:
                changed_at = time.monotonic()
            silence = time.monotonic() - changed_at
            if silence > _PATIENCE or (silence > _IDLE_PATIENCE and self._is_idle()):
                break
        return changed_at

    def _end_daemon(self) -> DaemonReport:
        """Reads the counters once the daemon is idle, and stops it."""
        deadline = time.monotonic() + _CALM_SECONDS
        while not self._is_idle() and time.monotonic() < deadline:
            self._must_run()
            time.sleep(_TICK)
        try:
            metrics = self._daemon.metrics()
        except OSError as error:
            raise self._failed(f"its counters cannot be read: {error}") from error
        self._daemon.send(signal.SIGTERM)
        try:
            code = self._daemon.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._failed(f"it has not stopped within {_STOP_SECONDS:g} s") from None
        outcomes = metrics.by("shipper_events_total", "outcome")
        return DaemonReport(
            exit_code=code,
            lines_read=int(metrics.value("shipper_lines_read_total")),
            outcomes={name: int(count) for name, count in outcomes.items()},
            uncounted=int(metrics.uncounted_lines),
        )

    def _report(self, last_receipt: float, daemon: DaemonReport) -> Report:
        writer = self._writer
        first_write = writer.written_at[0] if writer.written else last_receipt
        return Report(
            audit=self._receiver.audit(writer.written),
            lag=self._receiver.lag(writer.written_at),
            seconds=last_receipt - first_write,
            bytes_written=writer.bytes_written,
            rotations=writer.rotations,
            backups_deleted=writer.backups_deleted,
            kills=self._kills,
            daemon=daemon,
            notices=self._receiver.notices(),
        )

    def _show(self) -> None:
        elapsed = time.monotonic() - self._began
        delivered = self._receiver.received
        self._display.progress(
            Progress(
                done=elapsed / self._planned,
                seconds=elapsed,
                # Read after `delivered`: more lines may have been written meanwhile.
                written=max(self._writer.written, delivered),
                delivered=delivered,
                rotations=self._writer.rotations,
                kills=self._kills,
            )
        )

    def _must_run(self) -> None:
        if not self._daemon.running:
            raise self._failed("it ended by itself")

    def _is_idle(self) -> bool:
        """Whether the daemon reports that all lines are acknowledged."""
        try:
            metrics = self._daemon.metrics()
        except OSError:  # It is starting.
            return False
        return not (
            metrics.value("shipper_in_flight_events") or metrics.value("shipper_backlog_bytes")
        )

    def _failed(self, why: str) -> DemoError:
        return DemoError(f"{why}; the end of its log:\n{self._daemon.log_tail()}", where="daemon")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM stops the writing, the second one the demo."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True
            self._stop.set()

        before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def _config(logs: Path, url: str, directory: Path) -> dict[str, Any]:
    """The default configuration, with the paths of the demo and a shorter backoff."""
    return {
        "inputs": [{"id": "tetragon", "paths": [str(logs / "*.log")]}],
        "data_dir": str(directory / "data"),
        "output": {"hosts": [url], "backoff": {"initial": "100ms", "max": "2s"}},
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "logging": {"format": "json"},
    }


@contextlib.contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="shipper-demo-") as temporary:
            yield Path(temporary)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        empty = not any(keep.iterdir())
    except OSError as error:
        raise ConfigError(str(error.strerror), where=f"--keep {keep}") from error
    if not empty:
        raise ConfigError("the directory is not empty", where=f"--keep {keep}")
    yield keep.resolve()


def _file_bytes(rate: float) -> int:
    return max(_SMALLEST_FILE, int(rate * _BYTES_PER_EVENT * _ROTATE_SECONDS))


def _planned_seconds(options: DemoOptions) -> float:
    if options.events is None:
        return options.seconds
    return max(_TICK, min(options.seconds, options.events / options.rate))


def _programme(options: DemoOptions, receiver: Receiver) -> str:
    kills = {0: "never killed", 1: "killed once"}.get(
        options.kills, f"killed {options.kills} times"
    )
    return (
        f"{options.rate:,.0f} events/s for {_planned_seconds(options):.3g} s, rotated every "
        f"{_file_bytes(options.rate) / 1e6:.1f} MB ({_BACKUPS} backups); the daemon is {kills} on "
        f"the way\nto {receiver.description}\n"
    )
