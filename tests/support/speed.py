"""How fast good lines get through, with a stranger and without.

Phases of one run are compared, so that a busy machine is no failure: each with the shortest of its
kind. Where the server takes its time for an answer, it is permits that the speed depends on, and
not the processors.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory

LEAST = 0.8
"""Of the speed without a stranger."""

_SOME_LATER = 0.95
"""A few good lines may be in the same body as bad ones, and come later."""


class Speed:
    """The seconds that phases took."""

    def __init__(self, server: BulkServer, directory: LogDirectory, lines: int) -> None:
        """``lines``: of each phase."""
        self._server = server
        self._directory = directory
        self._lines = lines
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def measure(self, phase: str, during: Callable[[], object] = lambda: None) -> None:
        """Write good lines, and wait for nearly all; ``during`` is called when they are written."""
        wanted = self._server.lines_received + int(_SOME_LATER * self._lines)
        began = time.monotonic()
        self._directory.write(self._lines)
        during()
        self._server.wait_for_lines(wanted)
        self.seconds[phase].append(time.monotonic() - began)

    def ratio(self, phase: str, usual: str = "without") -> float:
        """The speed of a phase, as a share of the usual one."""
        return min(self.seconds[usual]) / min(self.seconds[phase])

    def assert_good(self, phase: str, usual: str = "without") -> None:
        """Raise AssertionError if the speed is not LEAST."""
        assert self.ratio(phase, usual) >= LEAST, f"{phase}: {self}"

    def __str__(self) -> str:
        phases = (
            f"{phase} {min(found):.2f} s ({self.ratio(phase):.0%})"
            for phase, found in self.seconds.items()
        )
        return f"{self._lines} lines: {', '.join(phases)}"
