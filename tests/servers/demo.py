"""The demo against a real server: ``python -m tests.servers.demo --server NAME``, or ``./dev
demo``.

The same play as ``shipper demo``. The audit reads every document back by search, so what it finds
is what a user of the server would find.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from shipper.demo.audit import Audit, Lag
from shipper.demo.play import play
from shipper.demo.run import add_arguments, options_from
from shipper.errors import ShipperError
from tests.servers import client
from tests.servers.launcher import NAMES, SearchServer, ServerError, missing_tools, start
from tests.servers.stream import Stream

DATA_STREAM = "logs-cilium_tetragon.log-default"
RATE = 1_000.0
"""Events per second: what a node with half a gigabyte takes while a generator runs beside it."""

ASK_AGAIN = 0.5
"""Seconds between two counts of the documents: each of them makes the node refresh."""


class RealServer:
    """A search server as the demo's receiver."""

    def __init__(self, server: SearchServer) -> None:
        self._server = server
        self._stream = Stream(server, DATA_STREAM)
        self._counts: list[tuple[float, int]] = [(float("-inf"), 0)]
        """When the documents were counted (``time.monotonic``), and how many there were."""
        client.put_data_stream_template(server.url, "demo", DATA_STREAM)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def description(self) -> str:
        return f"the real {self._server.name} {self._server.version}"

    @property
    def received(self) -> int:
        """Documents that are there, as of less than a second ago."""
        now = time.monotonic()
        if now - self._counts[-1][0] >= ASK_AGAIN:
            self._counts.append((now, self._stream.count()))
        return self._counts[-1][1]

    def audit(self, written: int) -> Audit:
        """Read all documents back and say what became of the lines 0 to ``written`` - 1."""
        return self._stream.audit(written)

    def lag(self, written_at: Sequence[float]) -> Lag | None:
        """Take the age of the oldest line that was not there, whenever documents were counted.

        The server does not say when a document came.
        """
        behind = [now - written_at[count] for now, count in self._counts if count < len(written_at)]
        ages = [age for age in behind if age > 0]
        return Lag(statistics.median(ages), max(ages)) if ages else None

    def notices(self) -> list[str]:
        indices = client.backing_indices(self.url, DATA_STREAM)
        return [f"audited by search: every document of {', '.join(indices)}"]


def main() -> int:
    """Return the exit code: 0, 1 when lines are lost or doubled or a server fails, 2 for usage."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--server", choices=NAMES, required=True, help="which server to start")
    add_arguments(parser, rate=RATE, lose_answers=False)
    arguments = parser.parse_args()
    if absent := missing_tools():
        print(f"demo: not installed: {', '.join(absent)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    print(f"starting {arguments.server} (the first time, Maven gets it) ...", flush=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="shipper-server-") as directory,
            start(arguments.server, directory=Path(directory)) as server,
        ):
            return play(options_from(arguments), RealServer(server))
    except (ServerError, ShipperError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
