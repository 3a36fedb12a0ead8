"""The ways in which a bulk server misbehaves: one frozen class each, given to `BulkServer`.

`Status`, `CutBefore`: nothing was applied. `LostAnswer`, `Garbage`, `CutAnswer`: all was applied.
`Held`, `Slow`: applied, and the answer waits until the test lets it go, or for a time. `Items`:
some items are refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]
"""A document as it is stored: parsed JSON."""

PATIENCE = 60.0
"""How long the tests wait for what must happen, in seconds; none of them waits so long in vain.

Seconds pass quickly on a machine whose processors are busy with something else."""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole request is refused with a status, and nothing is applied."""

    status: int
    retry_after: str | None = None
    """The header of that name, in either of its forms."""
    body: bytes | None = None
    """Elasticsearch's JSON for that status when not given."""


@dataclass(frozen=True, slots=True)
class CutBefore:
    """The connection is cut before anything is applied."""


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """All is applied, then the connection is cut without an answer."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """All is applied, and the answer is a 200 with a body that is no bulk answer."""

    body: bytes = b"<html><body>Bad Gateway</body></html>"


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """All is applied; the answer is cut after its first half."""

    framed: bool = True
    """Whether Content-Length says how long it should have been; else it is half a JSON text."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Holds an answer back until it is opened. Each of its methods may be called by any thread."""

    _reached: threading.Event = field(default_factory=threading.Event)
    _opened: threading.Event = field(default_factory=threading.Event)

    def wait_until_reached(self) -> None:
        """Return once an answer is held. Raises AssertionError when none comes."""
        assert self._reached.wait(PATIENCE), "no request came to the gate"

    def open(self) -> None:
        """Let the answer go, now and later."""
        self._opened.set()

    def pass_through(self) -> None:
        """Wait at the gate: for the server."""
        self._reached.set()
        self._opened.wait(PATIENCE)


@dataclass(frozen=True, slots=True)
class Held:
    """All is applied, and the answer waits at the gate."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Slow:
    """All is applied, and the answer comes late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Items:
    """Items whose document matches are refused with a status; the others are applied."""

    status: int
    matches: Callable[[Document], bool] = lambda document: True
    reason: str = "injected by the test"
    type: str = ""
    """The usual one of that status when not given."""


Fault = Status | CutBefore | LostAnswer | Garbage | CutAnswer | Held | Slow | Items
