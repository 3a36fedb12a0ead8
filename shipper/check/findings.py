"""What `shipper check` found, as text and as JSON.

    {"configuration": NAME, "status": "OK" | "FAILED", "notices": [NOTICE…], "findings": [FINDING…]}

A NOTICE has `file`, `line`, `option`, `what`; a FINDING `subject` (an input, a host), `check`,
`status` (`OK`, `WARNING`, `FAILED`, `UNKNOWN`), `detail`, `what_to_do`. Texts may be empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TextIO

import msgspec

from shipper.foreign import escaped

if TYPE_CHECKING:
    from shipper.config.filebeat.draft import Notice


class Status(Enum):
    """What a check found."""

    OK = "OK"
    #: It works, and should not stay so.
    WARNING = "WARNING"
    FAILED = "FAILED"
    #: It could not be found out, which is no failure.
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    subject: str
    check: str
    status: Status
    detail: str = ""
    what_to_do: str = ""

    def __post_init__(self) -> None:
        # Paths may be of any bytes, and servers say what they want.
        for name in ("subject", "detail", "what_to_do"):
            object.__setattr__(self, name, escaped(getattr(self, name)))


def of_notices(notices: "Sequence[Notice]") -> list[Finding]:
    """What in the configuration is counted as a warning."""
    return [
        Finding(
            "configuration",
            "option",
            Status.WARNING,
            f"{notice.location}: {notice.key}: {notice.what}",
        )
        for notice in notices
        if notice.is_warning
    ]


def exit_code(findings: Sequence[Finding], *, strict: bool = False) -> int:
    """1 if anything failed, else 0. `strict`: a warning counts as a failure."""
    failures = {Status.FAILED, Status.WARNING} if strict else {Status.FAILED}
    return int(any(finding.status in failures for finding in findings))


def print_text(
    name: str,
    notices: "Sequence[Notice]",
    findings: Sequence[Finding],
    stream: TextIO,
    *,
    strict: bool = False,
) -> None:
    """Prints what was found with the configuration `name`, for people. `strict`: as in
    `exit_code`."""
    stream.write(f"configuration {name}: OK\n")
    for notice in notices:
        if notice.is_warning:
            continue  # It is among the findings.
        stream.write(f"  {notice.location}: {notice.key}: {notice.what}\n")
    subject = ""
    for finding in findings:
        if finding.subject != subject:
            subject = finding.subject
            stream.write(f"{subject}\n")
        line = f"  {finding.status.value:<8} {finding.check:<16}  {finding.detail}"
        stream.write(f"{line.rstrip()}\n")
        if finding.what_to_do:
            stream.write(f"    -> {finding.what_to_do}\n")
    counts = [
        f"{count} {status.value}"
        for status in (Status.FAILED, Status.WARNING, Status.UNKNOWN)
        if (count := sum(finding.status is status for finding in findings))
    ]
    others = f" ({', '.join(counts)})" if counts else ""
    stream.write(f"result: {_overall(findings, strict).value}{others}\n")


def print_json(
    name: str,
    notices: "Sequence[Notice]",
    findings: Sequence[Finding],
    stream: TextIO,
    *,
    strict: bool = False,
) -> None:
    """Prints the same for programs."""
    report = {
        "configuration": name,
        "status": _overall(findings, strict),
        "notices": [notice.as_json() for notice in notices],
        "findings": findings,
    }
    stream.write(msgspec.json.encode(report).decode() + "\n")


def _overall(findings: Sequence[Finding], strict: bool) -> Status:
    return Status.FAILED if exit_code(findings, strict=strict) else Status.OK
