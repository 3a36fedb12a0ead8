"""What has another name since the recording, or is new, or gone.

The one place to say that a difference is meant. A row for each name, with the reason in the
changelog:

    CHANGED = {
        "shipper_old_total": "shipper_new_total",   # a metric was renamed
        "shipper_gone_total": REMOVED,              # a metric that was recorded is not there now
        "shipper_more_total": ADDED,                # a metric that is there now was not recorded
        "files.mark_digest": "files.digest",        # a column of the registry's table `files`
        "files.size": ADDED,
        "properties": "settings",                   # a table
        "properties.origin": REMOVED,
        "data/new.file": ADDED,                     # a file of the data directory
        'user_version {"value": 1}': 'user_version {"value": 2}',   # a whole row
    }

A histogram is named without `_bucket`, `_sum` and `_count`. Whoever records all anew empties the
table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

REMOVED = ""
ADDED = "+"

REQUESTS_CHANGED: dict[str, str] = {
    # Answers are asked for without the causes of errors, and with what went to a failure store.
    '"errors,items.*.status,items.*.error"': '"errors,items.*.status,items.*.failure_store,'
    'items.*.error.type,items.*.error.reason"',
}
"""Texts in recorded requests, and what they are now."""

CHANGED: dict[str, str] = {
    # Logging has a bounded queue; what does not fit is counted.
    "shipper_log_messages_dropped_total": ADDED,
    # Calls on mounts that hang are counted.
    "shipper_hanging_calls": ADDED,
    # Bugs that stop nothing are counted.
    "shipper_internal_errors_total": ADDED,
    # The registry's version 2: 64-bit inodes, how far a file was seen, losses.
    'user_version {"value": 1}': 'user_version {"value": 3}',
    "files.seen_length": ADDED,
    "files.seen_digest": ADDED,
    "files.gone": "files.removed",
    "files.born": ADDED,
    "files.seen": ADDED,
    "losses": ADDED,
    # The agent id outlives the registry.
    "data/agent.id": ADDED,
    # NULs before lines are skipped; gzips are read as streams, and may be damaged.
    "shipper_nul_bytes_skipped_total": ADDED,
    "shipper_gzip_problems_total": ADDED,
    # Losses are documents of their own.
    "shipper_losses_shipped_total": ADDED,
    # Links of live files stay; whether somebody writes a removed file is known.
    "shipper_kept_files 0.0": 'shipper_kept_files{by="link"} 0.0',
    "shipper_kept_files 1.0": 'shipper_kept_files{by="link"} 1.0',
    'shipper_kept_files{by="descriptor"} 0.0': ADDED,
    "shipper_logs_removed_under_writer_total": ADDED,
    "shipper_foreign_links": ADDED,
    # How full the dead letter file is.
    "shipper_dead_letter_bytes": ADDED,
    "shipper_dead_letter_limit_bytes": ADDED,
    # Documents in a failure store are counted apart.
    "shipper_failure_store_events_total": ADDED,
    # What an operator has to know of last lines and of `.shipper`.
    "shipper_incomplete_line_bytes": ADDED,
    "shipper_link_directory_problems": ADDED,
    "shipper_link_directory_changes_total": ADDED,
    # All reasons of losses are there from the start, and what is recorded is counted.
    'shipper_lost_bytes_total{reason="vanished"} 0.0': ADDED,
    'shipper_lost_bytes_total{reason="damaged"} 0.0': ADDED,
    'shipper_lost_bytes_total{reason="too_large"} 0.0': ADDED,
    'shipper_lost_lines_total{reason="rewritten"} 0.0': ADDED,
    'shipper_lost_lines_total{reason="vanished"} 0.0': ADDED,
    'shipper_lost_lines_total{reason="damaged"} 0.0': ADDED,
    'shipper_lost_lines_total{reason="too_large"} 0.0': ADDED,
    'shipper_lost_lines_total{reason="dead_letter_full"} 0.0': ADDED,
    # What each input finds.
    "shipper_input_files": ADDED,
}

_OF_HISTOGRAM = re.compile(r"_(?:bucket|sum|count)$")


def requests_now(text: str) -> str:
    """Return recorded requests as they would be today."""
    for before, now in REQUESTS_CHANGED.items():
        text = text.replace(before, now)
    return text


def as_recorded_now(text: str, changed: Mapping[str, str] = CHANGED) -> str:
    """Return a recording of metrics or of a registry as it would be with today's names."""
    renamed = (_renamed(line, changed) for line in text.splitlines())
    return "".join(f"{line}\n" for line in renamed if line is not None)


def without_added(text: str, changed: Mapping[str, str] = CHANGED) -> str:
    """Return today's metrics or registry without what was not recorded."""
    added = {name: REMOVED for name, now in changed.items() if now == ADDED}
    return as_recorded_now(text, added)


def _renamed(line: str, changed: Mapping[str, str]) -> str | None:
    """Return a line with today's names; None if it is not there today, or is new."""
    line = changed.get(line, line)
    table, space, row = line.partition(" {")
    if space:
        return _renamed_row(table, json.loads("{" + row), changed)
    name = re.split(r"[{ ]", line, maxsplit=1)[0]
    family = name if name in changed else _OF_HISTOGRAM.sub("", name)
    now = changed.get(family, family)
    if now in (REMOVED, ADDED):
        return None
    return now + line.removeprefix(family)


def _renamed_row(table: str, row: dict[str, Any], changed: Mapping[str, str]) -> str | None:
    here = changed.get(table, table)
    if here in (REMOVED, ADDED):
        return None
    renamed = {}
    for column, value in row.items():
        now = changed.get(f"{table}.{column}", f"{table}.{column}")
        if now not in (REMOVED, ADDED):
            renamed[now.rpartition(".")[2]] = value
    return row_line(here, renamed)


def row_line(table: str, row: Mapping[str, Any]) -> str:
    """Return a row of the registry as a line."""
    return f"{table} {json.dumps(row, ensure_ascii=False, sort_keys=True)}"
