"""How fast good lines get through, with a stranger and without.

Two phases of one run are compared, one after the other. On a busy machine the second may be slower
for that reason alone: then both are measured again, a few times. What a stranger holds he holds
each time.

Where the server takes its time for an answer, it is permits that the speed depends on, and not the
processors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory

LEAST = 0.8
"""Of the speed without a stranger."""

TRIES = 4

_SOME_LATER = 0.95
"""A few good lines may be in the same body as bad ones, and come later."""


class Speed:
    """That of one daemon."""

    def __init__(self, server: BulkServer, directory: LogDirectory, lines: int) -> None:
        """``lines``: of each phase."""
        self._server = server
        self._directory = directory
        self._lines = lines
        self.phase()  # Everything is slower the first time.

    def phase(self) -> float:
        """Write good lines, and wait for nearly all; return the seconds."""
        wanted = self._server.lines_received + int(_SOME_LATER * self._lines)
        began = time.monotonic()
        self._directory.write(self._lines)
        self._server.wait_for_lines(wanted)
        return time.monotonic() - began

    def compare(self, name: str, stranger: Callable[[], AbstractContextManager[object]]) -> None:
        """Raise AssertionError if the speed is less than LEAST while the stranger is there."""
        found: list[str] = []
        while len(found) < TRIES:
            without = self.phase()
            with stranger():
                beside = self.phase()
            found.append(f"{without:.2f} s without, {beside:.2f} s with ({without / beside:.0%})")
            if without / beside >= LEAST:
                break
        print(f"{name}: {self._lines} lines: {'; '.join(found)}")
        assert without / beside >= LEAST, f"{name}: {'; '.join(found)}"
