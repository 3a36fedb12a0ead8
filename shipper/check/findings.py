"""What `shipper check` found, and how it is said."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TextIO


class Result(Enum):
    """What a check found."""

    OK = "ok"
    UNKNOWN = "unknown"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    subject: str
    what: str
    result: Result
    detail: str = ""
    what_to_do: str = ""


def report(name: str, findings: Sequence[Finding], stream: TextIO) -> int:
    """Prints the findings on the configuration `name`; returns the exit code."""
    stream.write(f"configuration {name}: ok\n")
    subject = ""
    for finding in findings:
        if finding.subject != subject:
            subject = finding.subject
            stream.write(f"{subject}\n")
        detail = f"  {finding.detail}" if finding.detail else ""
        stream.write(f"  {finding.what:<12} {finding.result.value:<8}{detail}\n")
        if finding.what_to_do:
            stream.write(f"    -> {finding.what_to_do}\n")
    wrong = sum(finding.result is Result.WRONG for finding in findings)
    stream.write(f"{wrong} wrong\n" if wrong else "nothing wrong\n")
    return 1 if wrong else 0
