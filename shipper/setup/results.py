"""What `shipper setup` did, a line for each thing, and its exit code."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TextIO


class Outcome(Enum):
    """What became of a thing that the cluster is to have."""

    THERE = "there"
    MADE = "made"
    UPDATED = "updated"
    LEFT = "left"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Done:
    """One line of the report."""

    what: str
    name: str
    outcome: Outcome
    detail: str = ""
    what_to_do: str = ""


def report(done: Sequence[Done], stream: TextIO) -> int:
    """Prints what was done; returns the exit code."""
    for one in done:
        detail = f"  {one.detail}" if one.detail else ""
        stream.write(f"{one.what:<12} {one.name}  {one.outcome.value}{detail}\n")
        if one.what_to_do:
            stream.write(f"    -> {one.what_to_do}\n")
    return int(any(one.outcome is Outcome.FAILED for one in done))
