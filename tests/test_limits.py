"""docs/limits.md lists each shared thing that is finite: every module that makes a lock, a pool, a
permit or a bounded cache is named there, and the numbers are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import shipper
from shipper.admin.connections import Limits
from shipper.documents import actions, ecs_shape, filters
from shipper.files import filesystem, found, guarded, loss_table, opening, walk, watch
from shipper.logs import limits, log, queue
from shipper.metric_table import Metric
from shipper.output.elasticsearch import evidence, overdue, requests, resolver
from shipper.pipeline import slow_files

PACKAGE = Path(shipper.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "limits.md").read_text()

FINITE = frozenset(
    {
        "Semaphore",
        "BoundedSemaphore",
        "Queue",
        "ThreadPool",
        "ThreadPoolExecutor",
        "TimedCalls",
        "Guard",
        "Limiter",
        "ByteBudget",
        "OrderedDict",
        "FoundFiles",
        "LogQueue",
        "lru_cache",
    }
)

NOT_SHARED = {
    "offload.py": "what the pools are made of",
    "logs/process.py": "makes the queue of the log",
}


def makers() -> set[str]:
    """The modules that make one, or an asyncio.Lock."""
    made = set()
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        if name.startswith(("demo/", "config/", "check/", "cli/")):
            continue  # No part of the daemon.
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called == "asyncio.Lock" or called.rpartition(".")[2] in FINITE:
                    made.add(name)
    return made - set(NOT_SHARED)


def test_each_module_that_makes_something_finite_is_named() -> None:
    named = set(re.findall(r"`((?!tests/)[\w/]+\.py)`", PAGE))
    assert sorted(makers() - named) == []
    assert sorted(name for name in named if not (PACKAGE / name).exists()) == []
    assert len(makers()) > 15


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("| reads of logs | {} of a device |", filesystem._READS_OF_A_DEVICE),
        ("| inflating gzips | {} of a device", filesystem._GZIPS_OF_A_DEVICE),
        ("{} of a device are read beside the others, 2 examined", slow_files.OF_A_DEVICE),
        ("| names of hosts | {},", resolver._MOST),
        ("| hosts | those that are configured", None),
        ("and {} s at most", int(requests._MAX_RETRY_AFTER)),
        ("a lane of its own with a quarter of the permits", {4: None}.get(overdue._SUSPECTS, 0)),
        ("takes four times as long", {4.0: None}.get(overdue.TIMES, 0)),
        ("half a second at least", {0.5: None}.get(overdue.SECONDS, 0)),
        ("a call is waited for half a second", {0.5: None}.get(guarded.SECONDS, 0)),
        ("| indices of created events | {} |", evidence._MOST_INDICES),
        ("{} are no log's", opening.RESERVED),
        ("| connections of the admin server | {} |", Limits().connections),
        ("| files that match | {} of an input", found.MAX_FILES),
        ("{} directories |", walk.MAX_DIRECTORIES),
        ("| inotify watches | {} below a directory |", watch.MAX_WATCHED),
        (
            "| series of metrics | {} of a counter",
            Metric.__dataclass_fields__["most_series"].default,
        ),
        ("{} a second,", int(log.PER_SECOND)),
        ("{} at once,", int(log.BURST)),
        ("{} waiting |", queue.MAX_LINES),
        ("| faults that are remembered | {} |", limits.KNOWN_FAULTS),
        ("| recorded losses | {} rows |", loss_table.MAX_ROWS),
        ("characters in answers | {},", filters._CACHE_SIZE),
        (", {}, 256", actions._CACHE_SIZE),
        (", {} and 4,096 entries", ecs_shape._CACHE_SIZE),
    ],
)
def test_the_numbers_are_those_of_the_code(words: str, number: int | None) -> None:
    text = words if number is None else words.format(f"{number:,}")
    assert text in PAGE
