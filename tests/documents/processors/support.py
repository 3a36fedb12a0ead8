"""A chain of processors made of YAML, and an event through it."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml

from shipper.config.processors import parse
from shipper.documents.processors.chain import Chain
from shipper.documents.processors.event import DroppedError, Event, Fields, Time
from shipper.documents.processors.machine import Machine

NOW = 1_764_000_000.25
READ_AT = "2025-11-24T16:00:00.250Z"

MACHINE = Machine(
    {"NODE_NAME": "node-of-environment"},
    lambda netinfo: {
        "name": "machine",
        "architecture": "x86_64",
        **({"ip": ["192.0.2.1"], "mac": ["02-FC-00-00-00-01"]} if netinfo else {}),
    },
)


class Result:
    """What became of an event."""

    def __init__(self, event: Event, failures: list[tuple[str, str]], *, dropped: bool) -> None:
        self.fields: Any = event.fields
        self.timestamp = event.timestamp.text
        self.failures = failures
        self.dropped = dropped

    @property
    def failed(self) -> list[str]:
        """The names of the processors that failed."""
        return [name for name, _ in self.failures]


def run(processors: str, fields: Fields, line: bytes = b"{}", machine: Machine = MACHINE) -> Result:
    """Return what the processors make of an event with these fields."""
    event = Event(Time(READ_AT), copy.deepcopy(fields), line, NOW)
    try:
        failures = Chain(parse(yaml.safe_load(processors)), machine).run(event)
    except DroppedError:
        return Result(event, [], dropped=True)
    return Result(event, failures, dropped=False)


def meets(condition: str, fields: Fields) -> bool:
    """Return whether an event with these fields meets a condition, given as YAML."""
    when = yaml.safe_load(condition)
    return run(json.dumps([{"drop_event": {"when": when}}]), fields).dropped
