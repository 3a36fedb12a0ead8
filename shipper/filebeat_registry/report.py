"""Reports the import of Filebeat's registry: as text, as JSON, and in the log."""

import json
from collections.abc import Iterator, Sequence
from typing import TextIO

from shipper.errors import reason_of
from shipper.filebeat_registry.matching import Match
from shipper.filebeat_registry.plan import Decision, Plan
from shipper.foreign import escaped
from shipper.logs import Log
from shipper.logs.events import (
    FILEBEAT_OFFSET_IMPORTED,
    FILEBEAT_OFFSET_UNCERTAIN,
    FILEBEAT_REGISTRY_DAMAGED,
    FILEBEAT_REGISTRY_IMPORTED,
    PATH_ACCESS_FAILED,
)

#: The reason for a file without an entry.
_NEW = "unknown to Filebeat"

_HEADINGS = ("FILE", "FILEBEAT'S KEY", "OFFSET", "SIZE", "DECISION", "REASON")


def print_plan(plan: Plan, out: TextIO) -> None:
    """Prints a table of all files, and the files of the registry that were read."""
    store = plan.store
    out.write(f"Filebeat's registry: {escaped(str(store.directory))}\n")
    for words in store.read:
        out.write(f"  read: {words}\n")
    for words in store.problems:
        out.write(f"  DAMAGED: {words}\n")
    for path, error in sorted(plan.unreadable.items()):
        out.write(f"  UNREADABLE: {escaped(path)}: {reason_of(error)}\n")
    rows = [_HEADINGS, *(_row(decision) for decision in _sorted(plan))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    out.write("\n")
    for row in rows:
        # Numbers are right-aligned.
        cells = [
            text.rjust(width) if column in (2, 3) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        out.write("  ".join(cells).rstrip() + "\n")
    if plan.unused:
        out.write("\nNot used:\n")
        for why, count in sorted(plan.unused.items(), key=lambda each: each[0].name):
            out.write(f"{count:>8}  {why.value}\n")


def print_plan_json(plan: Plan, warnings: Sequence[str], out: TextIO, *, imported: bool) -> None:
    """Prints the report as one line of JSON.

        {"registry": DIRECTORY, "imported": BOOL, "read": [TEXT…], "warnings": [TEXT…],
         "files": [FILE…], "unused": [{"count": N, "reason": TEXT}…]}

    A FILE has `path`, `input`, `filebeat_key`, `filebeat_offset`, `size`, `start` (the offset at
    which it continues; null for a file that Filebeat did not know) and `reason`.
    """
    store = plan.store
    report = {
        "registry": str(store.directory),
        "imported": imported,
        "read": store.read,
        "warnings": [
            *warnings,
            *(f"damaged: {words}" for words in store.problems),
            *(
                f"cannot be read: {path}: {reason_of(error)}"
                for path, error in sorted(plan.unreadable.items())
            ),
        ],
        "files": [_as_json(decision) for decision in _sorted(plan)],
        "unused": [
            {"count": count, "reason": why.value}
            for why, count in sorted(plan.unused.items(), key=lambda each: each[0].name)
        ],
    }
    # File names may not be UTF-8.
    text = json.dumps(report, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    out.write(text + "\n")


def _as_json(decision: Decision) -> dict[str, object]:
    entry, result = decision.entry, decision.result
    return {
        "path": decision.file.path,
        "input": decision.input_id,
        "filebeat_key": entry and entry.key,
        "filebeat_offset": entry and entry.offset,
        "size": decision.file.size,
        "start": result and result.start,
        "reason": _NEW if result is None else result.why,
    }


def log_plan(plan: Plan, log: Log) -> None:
    """Logs the report: a message for each file."""
    store = plan.store
    for problem in store.problems:
        log.emit(FILEBEAT_REGISTRY_DAMAGED, reason=problem, path=str(store.directory))
    for path, error in sorted(plan.unreadable.items()):
        log.emit(PATH_ACCESS_FAILED, path=path, error=str(error.strerror))
    for decision in _sorted(plan):
        if decision.result is None:
            continue
        log.emit(
            FILEBEAT_OFFSET_IMPORTED if decision.is_certain else FILEBEAT_OFFSET_UNCERTAIN,
            path=decision.file.path,
            offset=decision.result.start if _continues(decision) else 0,
            input=decision.input_id,
            filebeat_key=decision.entry and decision.entry.key,
            filebeat_offset=decision.entry and decision.entry.offset,
            size=decision.file.size,
            reason=decision.result.why,
        )
    log.emit(
        FILEBEAT_REGISTRY_IMPORTED,
        path=str(store.directory),
        read="; ".join(store.read),
        go_on=sum(_continues(decision) for decision in plan.decisions),
        from_beginning=sum(not _continues(decision) for decision in plan.decisions),
        keys_not_used={why.name.lower(): count for why, count in plan.unused.items()},
    )


def describe(decision: Decision) -> str:
    """The decision as text."""
    if decision.result is None:
        return "new file"
    if _continues(decision):
        return f"continues at {decision.result.start}"
    return "from the beginning"


def _continues(decision: Decision) -> bool:
    result = decision.result
    return result is not None and result.match is Match.CONTINUE


def _sorted(plan: Plan) -> Iterator[Decision]:
    return iter(sorted(plan.decisions, key=lambda each: (each.file.path, each.input_id)))


def _row(decision: Decision) -> tuple[str, ...]:
    entry, result = decision.entry, decision.result
    offset = "" if entry is None else "none" if entry.offset is None else str(entry.offset)
    return (
        escaped(decision.file.path),
        "" if entry is None else escaped(entry.key),
        offset,
        str(decision.file.size),
        describe(decision),
        _NEW if result is None else result.why,
    )
