"""Measures processes from outside: CPU time, switches and memory."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Timeout of a measurement, in seconds.
_PATIENCE = 300.0

_STOP_SECONDS = 20.0


class FailedRunError(Exception):
    """A process exited too early, or did not finish."""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU, time and memory of a process, including its start."""

    cpu_seconds: float
    wall_seconds: float
    peak_rss_bytes: int
    #: When it was told to stop.
    rss_bytes: int = 0


class Running:
    """A process that is measured."""

    def __init__(self, process: subprocess.Popen[bytes], began: float) -> None:
        self._process = process
        #: CLOCK_MONOTONIC when it was started.
        self.began = began

    def wait_until(self, done: Callable[[], bool], what: str, patience: float = _PATIENCE) -> None:
        """Waits for a condition. Raises FailedRunError if the process exits, or after a timeout."""
        while not done():
            if self._process.poll() is not None:
                raise FailedRunError(f"a process ended before {what}")
            if time.monotonic() - self.began > patience:
                raise FailedRunError(f"not {what} within {patience:g} s")
            time.sleep(0.1)

    def cpu_seconds(self) -> float:
        """CPU seconds of all threads so far, in nanosecond resolution, unlike /proc/PID/stat."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(_schedstat(task) for task in tasks.iterdir()) / 1e9

    def switches(self) -> int:
        """How often its threads were woken up or interrupted so far."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(_switches(task) for task in tasks.iterdir())

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/task"))

    def rss_bytes(self) -> int:
        """The memory that it uses now."""
        return _status(self._process.pid, "VmRSS:")

    def stop(self) -> Cost:
        """Sends SIGTERM, waits for the exit, and returns the cost."""
        wall = time.monotonic() - self.began
        # Not maxrss of wait4: it includes the parent's memory before the exec.
        peak, now = _status(self._process.pid, "VmHWM:"), self.rss_bytes()
        if self._process.poll() is not None:
            raise FailedRunError("a process ended by itself")
        self._process.send_signal(signal.SIGTERM)
        return self._end(wall, peak, now)

    def _end(self, wall: float, peak: int, now: int) -> Cost:
        deadline = time.monotonic() + _STOP_SECONDS
        while True:
            pid, _, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = 0
                return Cost(usage.ru_utime + usage.ru_stime, wall, peak, now)
            if time.monotonic() > deadline:
                self._process.kill()
            time.sleep(0.02)


@contextmanager
def running(
    command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A running process that is always ended at the exit. Its output goes to `log`."""
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
        )
    try:
        yield Running(process, began)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


def cost_of(command: Sequence[str], log: Path) -> Cost:
    """Runs a command until it exits."""
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise FailedRunError(f"{command} ended with status {process.returncode}")
    wall = time.monotonic() - began
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024)


def _schedstat(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0  # The thread has ended meanwhile.


def _switches(task: Path) -> int:
    try:
        status = (task / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)


def _status(pid: int, name: str) -> int:
    """A size of /proc/PID/status, in bytes; 0 if the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith(name)]
    return int(found[0]) * 1024 if found else 0
