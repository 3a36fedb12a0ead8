"""The receiver, from outside: starts it, and asks what has arrived."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the receiver has."""

    events: int
    #: Different numbers among them.
    different: int
    requests: int
    #: Of bodies, as they were sent.
    wire_bytes: int
    #: From writing a line to the request that has it, in seconds; sorted.
    latencies: tuple[float, ...]

    @property
    def doubled(self) -> int:
        """Documents that came more than once."""
        return self.events - self.different


@dataclass(frozen=True, slots=True)
class Sink:
    """A client of the receiver."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self, *, delay: float = 0.0) -> None:
        """Forgets everything. `delay`: how many seconds each request takes from now on."""
        self._ask("POST", f"/reset?delay={delay}")

    def events(self) -> int:
        return int(json.loads(self._ask("GET", "/count"))["events"])

    def first(self) -> float:
        """CLOCK_MONOTONIC when the first request came; 0 before."""
        return float(json.loads(self._ask("GET", "/count"))["first"])

    def arrived(self) -> Arrived:
        tally = json.loads(self._ask("GET", "/tally"))
        tally["latencies"] = tuple(sorted(tally["latencies"]))
        return Arrived(**tally)

    def _ask(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def receiving(log: Path) -> Iterator[Sink]:
    """A receiver that is always ended at the exit. What it says goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.receiver"], stdout=subprocess.PIPE, stderr=output
        )
    try:
        assert process.stdout is not None
        yield Sink(json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.communicate()
