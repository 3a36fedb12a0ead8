"""The real daemon as a process, for tests: ``DaemonProcess`` with its log and its pages parsed.

The configuration is the test's, laid over one in which nothing takes long (``QUICK``). Waiting is
always for a condition, with a deadline, and what the daemon logged is part of every failure. All
the while ``/healthz`` is watched: an answer that takes longer than a second is a failure, too.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shipper.demo.process import DaemonProcess
from tests.servers.launcher import free_port
from tests.support.faults import PATIENCE
from tests.support.health import HealthWatch
from tests.support.logs import flat

QUICK: dict[str, Any] = {
    "output": {
        "bulk": {"linger": "20ms"},
        "backoff": {"initial": "20ms", "max": "200ms"},
        "timeout": "5s",
    },
    "registry": {"commit_interval": "50ms"},
    "logging": {"format": "json"},
    "shutdown_timeout": "5s",
}
"""What the tests' configurations begin with. Inputs get a ``scan_interval`` of 100 ms."""

_LOOK_AGAIN = 0.02


class ShipperProcess(DaemonProcess):
    """One daemon with its configuration and its data directory; start, kill, start again."""

    def __init__(
        self,
        config: Mapping[str, Any],
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``config`` is laid over ``QUICK``; data directory and admin port are its own."""
        own = {
            "data_dir": str(directory / "data"),
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
        }
        merged = overlay(overlay(QUICK, own), config)
        merged["inputs"] = [{"scan_interval": "100ms", **each} for each in merged["inputs"]]
        super().__init__(merged, directory, environment=environment)
        self._health: HealthWatch | None = None

    def start(self, *, wait: bool = True, stderr: int | None = None) -> None:
        """Start it; with ``wait``, return when it answers on its admin address. ``stderr``: a
        descriptor for its log, in place of the file.

        Raises AssertionError when it ends or does not answer.
        """
        super().start(stderr=stderr)
        self._watch()
        if wait and self._health is not None:
            self.wait_until(self.alive, "the daemon answers on its admin address")

    def send(self, kind: signal.Signals) -> None:
        """As that of ``DaemonProcess``. A process that was sent SIGSTOP is not watched until
        SIGCONT."""
        if kind is signal.SIGSTOP:
            self.assert_event_loop_turned()
            self._stop_watching()
        super().send(kind)
        if kind is signal.SIGCONT:
            self._watch()

    def sigterm(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.send(signal.SIGTERM)
        code = self.wait(PATIENCE)
        if code:
            # pytest shows it if the test fails.
            print(self.log_tail())
        self.assert_event_loop_turned()
        return code

    def wait(self, timeout: float) -> int:
        """As that of ``DaemonProcess``."""
        code = super().wait(timeout)
        self._stop_watching()
        return code

    def kill(self) -> None:
        """As that of ``DaemonProcess``."""
        super().kill()
        self._stop_watching()

    def kill9(self) -> None:
        """SIGKILL, and wait for the end."""
        self.assert_event_loop_turned()
        self.kill()

    def assert_event_loop_turned(self) -> None:
        """Raise AssertionError, with the end of the log, if ``/healthz`` took longer than a second
        since the last start."""
        if self._health is not None:
            try:
                self._health.assert_fast()
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.log_tail()}") from None

    def _watch(self) -> None:
        has_admin = self.config["admin"].get("enabled", True)
        self._health = HealthWatch(self.pid, self.config["admin"]["listen"]) if has_admin else None

    def _stop_watching(self) -> None:
        if self._health is not None:
            self._health.stop()

    def alive(self) -> bool:
        """Whether /healthz answers."""
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def ready(self) -> bool:
        """Whether /readyz says so."""
        return self.get("/readyz")[0] == 200

    def why_not_ready(self) -> str:
        """What /readyz says."""
        return self.get("/readyz")[1]

    def status(self) -> dict[str, Any]:
        """What /status says."""
        parsed: dict[str, Any] = json.loads(self.get("/status")[1])
        return parsed

    def logs(self) -> list[dict[str, Any]]:
        """What it logged in all its starts, each ``flat``: ``entry["event.action"]``.

        A last line that a SIGKILL cut short is left out. Raises ValueError for a line that is not
        JSON.
        """
        text = self.log_path.read_text() if self.log_path.exists() else ""
        return [flat(json.loads(line)) for line in text[: text.rfind("\n") + 1].splitlines()]

    def logged(self, action: str) -> list[dict[str, Any]]:
        """The messages with that ``event.action``."""
        return [entry for entry in self.logs() if entry.get("event.action") == action]

    def wait_until_ready(self) -> None:
        """Return when /readyz says so."""
        self.wait_until(self.ready, "the daemon is ready")

    def wait_until_idle(self) -> None:
        """Return when all that it found is acknowledged: no backlog, nothing in flight."""

        def idle() -> bool:
            status = self.status()
            return not (status["backlog_bytes"] or status["in_flight_events"])

        self.wait_until(idle, "the daemon is idle")

    def wait_until(
        self, predicate: Callable[[], bool], what: str, timeout: float = PATIENCE
    ) -> None:
        """Return once the predicate is true; ``what`` says in words what is waited for.

        Raises AssertionError, with the end of the log, when the daemon ends first, ``timeout``
        seconds are over, or its event loop stands.
        """
        deadline = time.monotonic() + timeout
        while self.running and time.monotonic() < deadline:
            self.assert_event_loop_turned()
            if predicate():
                return
            time.sleep(_LOOK_AGAIN)
        why = f"within {timeout:g} s" if self.running else "before the daemon ended"
        raise AssertionError(f"not {why}: {what}\n{self.log_tail()}")


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``top``; mappings in both are laid over one another."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = overlay(below or {}, value) if both else value
    return merged
