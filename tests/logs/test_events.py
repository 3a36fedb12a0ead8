"""The table of messages is what the code logs: nothing else, and each of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import shipper
from shipper.logs import events
from shipper.logs.events import EVENTS, LOG_MESSAGES_DROPPED, SECTIONS, Level, LogEvent
from tools import reference

SOURCE = Path(shipper.__file__).parent

BY_ACTION = pytest.mark.parametrize("event", EVENTS, ids=[event.action for event in EVENTS])


TREES = {
    path: list(ast.walk(ast.parse(path.read_text())))
    for path in SOURCE.rglob("*.py")
    if path.parent.name != "demo"
}
"""All nodes of each module."""

LOGS = re.compile(r"(\b_?log\.emit|^emit|\b_?faults\.report|\bself\._report)$")
"""How a message is logged: directly, or by `FileErrors`."""


def emitted() -> Iterator[ast.expr]:
    """The first argument of each call that logs."""
    for path, nodes in TREES.items():
        for node in nodes:
            if not isinstance(node, ast.Call) or path.parent == SOURCE / "logs":
                continue
            called = ast.unparse(node.func)
            if LOGS.search(called) and not (called == "self._report" and len(node.args) != 2):
                yield node.args[0]


NAMES = {name for name, value in vars(events).items() if isinstance(value, LogEvent)}


def names(argument: ast.expr) -> list[str]:
    """`X`, or the two of `X if ... else Y`."""
    if isinstance(argument, ast.IfExp):
        return [*names(argument.body), *names(argument.orelse)]
    return [ast.unparse(argument)]


def test_each_call_logs_a_row_of_the_table() -> None:
    found = [name for argument in emitted() for name in names(argument)]
    assert len(found) > 50
    # Handed on by whoever has chosen the row; under another name; and what is no message.
    others = {"event", "METRICS_EVENT", "source", "directory"}
    assert set(found) - others <= NAMES


@BY_ACTION
def test_each_row_is_logged_somewhere(event: LogEvent) -> None:
    (name,) = (name for name in NAMES if getattr(events, name) is event)
    spellings = {name, f"{name}_EVENT"}
    assert any(
        isinstance(node, ast.Name) and node.id in spellings
        for path, nodes in TREES.items()
        if path.name != "events.py"
        for node in nodes
    )


def test_no_action_is_there_twice() -> None:
    actions = [event.action for event in EVENTS]
    assert len(actions) == len(set(actions)) == len(NAMES)


@BY_ACTION
def test_a_row_has_a_stable_name_and_plain_words(event: LogEvent) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", event.action)
    assert 0 < len(event.message) <= 85
    assert not event.message.endswith(".")
    assert "\n" not in event.message
    assert event.meaning.endswith(".")
    assert "  " not in event.meaning


def test_the_page_has_a_row_for_each() -> None:
    page = reference.pages()["logs.md"]
    for event in EVENTS:
        assert f"| `{event.action}` | {event.level.value} | {event.message} |" in page
    for title in SECTIONS.values():
        assert f"\n### {title}\n" in page


def test_the_notice_about_dropped_messages_is_below_no_usual_level() -> None:
    assert LOG_MESSAGES_DROPPED.level is Level.WARNING
