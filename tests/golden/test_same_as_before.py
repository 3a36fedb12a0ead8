"""The same input gives the same documents, ids, registry rows, metrics, letters and links as when
it was recorded.

What was recorded is in `tests/golden/data`. A difference in the name of a metric, or of a table or
column of the registry, that is meant is a row in `tests/golden/changed.py`. All other differences
that are meant ask for a new recording, which nothing but this makes::

    python -m tests.golden.record            all scenarios
    python -m tests.golden.record raw-gzip   one of them
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pytest

from tests.golden.changed import (
    ADDED,
    CHANGED,
    REMOVED,
    as_recorded_now,
    requests_now,
    without_added,
)
from tests.golden.record import RECORDED
from tests.golden.results import FILES, METRICS, REGISTRY, REQUESTS, play, read
from tests.golden.scenarios import SCENARIOS

MOST_LINES = 60
"""Of a difference that are shown."""

WIDEST = 600
"""So much of a line is shown on both sides of where it differs, in characters."""


def _narrowed(before: str, now: str) -> tuple[str, str]:
    """Return two long lines from a little before where they differ."""
    same = next((at for at, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), 0)
    begin = max(0, same - WIDEST // 2)
    dots = "…" if begin else ""
    return dots + before[begin : begin + WIDEST], dots + now[begin : begin + WIDEST]


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return what differs, file by file; empty if nothing does."""
    found = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name, ""), now.get(name, "")
        if name in (FILES, METRICS, REGISTRY):
            old, new = as_recorded_now(old), without_added(new)
        if name == REQUESTS:
            old = requests_now(old)
        if old != new:
            found.append(_difference(name, old.splitlines(), new.splitlines()))
    return "\n".join(found)


def _difference(name: str, old: list[str], new: list[str]) -> str:
    lines = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        gone, come = old[a:b], new[c:d]
        for before, now in zip(gone, come, strict=False):
            shown = _narrowed(before, now)
            lines += [f"-{a + 1}: {shown[0]}", f"+{c + 1}: {shown[1]}"]
        lines += [f"-: {line[:WIDEST]}" for line in gone[len(come) :]]
        lines += [f"+: {line[:WIDEST]}" for line in come[len(gone) :]]
    left_out = max(0, len(lines) - MOST_LINES)
    end = [f"and {left_out} lines more"] if left_out else []
    return "\n".join([f"--- {name}: recorded (-) and now (+)", *islice(lines, MOST_LINES), *end])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_left_of_a_scenario_is_what_was_recorded(name: str, tmp_path: Path) -> None:
    found = differences(read(RECORDED / name), play(SCENARIOS[name], tmp_path))
    if found:
        pytest.fail(f"{name} is not as it was recorded\n{found}", pytrace=False)


def test_each_recording_is_of_a_scenario() -> None:
    assert {path.name for path in RECORDED.iterdir()} == {*SCENARIOS, "input"}


def test_a_difference_is_shown_where_it_is() -> None:
    before = {"a.txt": "x" * 2000 + "old\nsame\n", METRICS: "", "gone.txt": "z\n"}
    now = {"a.txt": "x" * 2000 + "new\nsame\n", METRICS: ""}
    shown = differences(before, now)
    assert "xold\n" in shown
    assert "xnew\n" in shown
    assert "same" not in shown
    assert "--- gone.txt: recorded (-) and now (+)\n-: z" in shown
    assert differences(before, before) == ""


RECORDING = """\
# at the end
data/one
user_version {"value": 1}
shipper_old_total{a="b"} 1.0
shipper_gone_total 2.0
shipper_seconds_bucket{le="1"} 3.0
files {"row": 1, "was": 2}
properties {"name": "n"}
"""

TODAY = """\
# at the end
data/one
data/two
user_version {"value": 2}
shipper_new_total{a="b"} 1.0
shipper_time_bucket{le="1"} 3.0
shipper_more_total 4.0
files {"is": 2, "row": 1, "size": 3}
"""

CHANGES = {
    "shipper_old_total": "shipper_new_total",
    "shipper_gone_total": REMOVED,
    "shipper_more_total": ADDED,
    "shipper_seconds": "shipper_time",
    "files.was": "files.is",
    "files.size": ADDED,
    "properties": REMOVED,
    "data/two": ADDED,
    'user_version {"value": 1}': 'user_version {"value": 2}',
}


def test_names_that_changed_are_said_in_one_table() -> None:
    assert as_recorded_now(RECORDING, CHANGES) == without_added(TODAY, CHANGES)
    assert as_recorded_now(RECORDING, {}) == RECORDING
    assert without_added(TODAY, {}) == TODAY


def test_no_change_is_said_twice() -> None:
    renamed = [now for now in CHANGED.values() if now not in (ADDED, REMOVED)]
    assert len(set(renamed)) == len(renamed)
