"""The daemon as a child process: start, signals, metrics, and stop.

It runs `python -m shipper run -c FILE`, as on a node. Its log goes to a file, which keeps the
messages before a SIGKILL.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import shipper

#: Timeout of requests to the admin address, in seconds.
_ASK_SECONDS = 10.0


class MetricsPage:
    """The samples of a scrape of /metrics."""

    def __init__(self, text: str) -> None:
        self._samples: list[Sample] = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and these labels; 0 without samples."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """The samples with this name by the value of a label."""
        return {
            sample.labels[label]: sample.value for sample in self._samples if sample.name == name
        }

    @property
    def uncounted_lines(self) -> float:
        """Lines read minus lines that have an outcome or are in flight: always 0."""
        return (
            self.value("shipper_lines_read_total")
            - self.value("shipper_events_total")
            - self.value("shipper_in_flight_events")
        )


class DaemonProcess:
    """A daemon with a configuration; it may be started repeatedly."""

    def __init__(
        self,
        config: Mapping[str, Any],
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Writes `shipper.yml` into the directory; `shipper.log` will be there.

        `config` needs `admin.listen`. `environment` is added to ours.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.config_path = directory / "shipper.yml"
        self.log_path = directory / "shipper.log"
        self._environment = {**os.environ, **(environment or {})}
        # The directory of this package.
        roots = [str(Path(shipper.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, roots))
        self._process: subprocess.Popen[bytes] | None = None
        #: The program, with its arguments, that executes the next one.
        self.executed_by: tuple[str, ...] = ()
        self.write_config(config)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the configuration for the next start."""
        self.config = config
        self.config_path.write_text(yaml.safe_dump(dict(config), sort_keys=False))

    @property
    def admin_url(self) -> str:
        return f"http://{self.config['admin']['listen']}"

    @property
    def pid(self) -> int:
        """The process id of the last start. Raises RuntimeError before the first one."""
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, stderr: int | None = None) -> None:
        """Starts it; returns at once. `stderr`: a descriptor for its log instead of the file.

        Raises RuntimeError if it runs.
        """
        if self.running:
            raise RuntimeError("the daemon runs already")
        shipper = [sys.executable, "-m", "shipper", "run", "-c", str(self.config_path)]
        command = [*self.executed_by, *shipper]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log if stderr is None else stderr,
                env=self._environment,
                # Ctrl-C in the terminal is for the parent process, not for the daemon.
                start_new_session=True,
            )

    def send(self, kind: signal.Signals) -> None:
        """Sends a signal; does nothing if the daemon has exited."""
        self._started().send_signal(kind)

    def wait(self, timeout: float) -> int:
        """Waits for its exit code, negative for a signal. Raises subprocess.TimeoutExpired."""
        return self._started().wait(timeout)

    def kill(self) -> None:
        """Sends SIGKILL and waits for the exit. Does nothing if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the admin address. Raises OSError if it does not answer."""
        opener = build_opener(ProxyHandler({}))
        try:
            with opener.open(self.admin_url + path, timeout=_ASK_SECONDS) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> MetricsPage:
        """The current samples of /metrics. Raises OSError if it does not answer."""
        _, text = self.get("/metrics")
        return MetricsPage(text)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        try:
            text = self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:]) or "(no log)"

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the daemon was not started")
        return self._process


def free_port() -> int:
    """A loopback port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
