"""The results of `shipper setup`, as text and as JSON.

    {"status": "OK" | "FAILED", "results": [RESULT…]}

A RESULT has `kind` (`template`, `pipeline`, `data stream`, `host`), `name`, `status` (`OK`,
`FAILED`), `action` (`created`, `updated`, `unchanged`, `skipped`, `none`), `detail`, `what_to_do`.
"""

from collections.abc import Sequence
from enum import Enum
from typing import TextIO

import msgspec


class Action(Enum):
    """The action for a resource."""

    CREATED = "created"
    UPDATED = "updated"
    #: It existed and is up to date.
    UNCHANGED = "unchanged"
    #: It was not created by shipper, and was not changed.
    SKIPPED = "skipped"
    #: It failed.
    NONE = "none"


class SetupResult(msgspec.Struct, frozen=True):
    """One line of the report."""

    kind: str
    name: str
    action: Action
    detail: str = ""
    what_to_do: str = ""

    @property
    def status(self) -> str:
        """OK or FAILED."""
        return "FAILED" if self.action is Action.NONE else "OK"


def exit_code(results: Sequence[SetupResult]) -> int:
    """1 if anything failed, else 0."""
    return int(any(result.action is Action.NONE for result in results))


def print_text(results: Sequence[SetupResult], stream: TextIO) -> None:
    """Prints the results as text."""
    for result in results:
        done = "" if result.action is Action.NONE else result.action.value
        words = ": ".join(part for part in (done, result.detail) if part)
        stream.write(f"{result.status:<8} {result.kind:<12} {result.name}  {words}".rstrip() + "\n")
        if result.what_to_do:
            stream.write(f"    -> {result.what_to_do}\n")


def print_json(results: Sequence[SetupResult], stream: TextIO) -> None:
    """Prints the results as JSON."""
    report = {
        "status": "FAILED" if exit_code(results) else "OK",
        "results": [
            {
                "kind": result.kind,
                "name": result.name,
                "status": result.status,
                "action": result.action,
                "detail": result.detail,
                "what_to_do": result.what_to_do,
            }
            for result in results
        ],
    }
    stream.write(msgspec.json.encode(report).decode() + "\n")
