"""A log whose messages a test reads: formatted as the daemon's, and written to a list.

``flat`` turns an ECS line into one level of keys: ``entry["event.action"]``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shipper.clock import Clock
from shipper.logs.ecs import EcsFormatter
from shipper.logs.events import Level
from shipper.logs.log import Formatter, Log, LogHandler
from shipper.logs.queue import DropReason, LogLine


class RecordedLog:
    """A ``Log`` and what came out of it."""

    def __init__(
        self, clock: Clock, level: Level = Level.INFO, formatter: Formatter | None = None
    ) -> None:
        """``formatter`` is that of ECS if none is given."""
        self._lines: list[bytes] = []
        self._dropped = dict.fromkeys(DropReason, 0)
        self.handler = LogHandler(clock, level, formatter or EcsFormatter(), self)
        self.log = Log(self.handler)

    def offer(self, line: LogLine) -> None:
        self._lines.append(line.data)

    def drop(self, reason: DropReason) -> None:
        self._dropped[reason] += 1

    def dropped(self) -> dict[DropReason, int]:
        return self._dropped

    @property
    def text(self) -> str:
        """All that was written."""
        return b"".join(self._lines).decode()

    def entries(self, level: str | None = None) -> list[dict[str, Any]]:
        """The messages, or those of one level, each ``flat``."""
        found = [flat(json.loads(line)) for line in self._lines]
        return [entry for entry in found if level in (None, entry["log.level"])]

    def actions(self) -> list[str]:
        """The ``event.action`` of each message."""
        return [entry["event.action"] for entry in self.entries()]


def flat(entry: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by their keys with dots between them."""
    found: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
