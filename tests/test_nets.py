"""A library that raises CancelledError ends no task: found in the syntax trees of the stages."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import shipper
from shipper.internal_errors import (
    CancelledByNobodyError,
    cancelled_only_by_us,
    unless_cancelled_by_nobody,
)

PACKAGE = Path(shipper.__file__).parent
MODULES = [
    path
    for name in ("pipeline", "files", "output", "admin", "daemon.py", "internal_errors.py")
    for path in sorted([PACKAGE / name] if name.endswith(".py") else (PACKAGE / name).rglob("*.py"))
]

TASKS = {
    "self._serve(peer)": "has the net in it",
    "_rest(work, waits_for)": "who waits has a net; beside others, the file is examined again",
    "work": "a delivery, whose steps each have a net",
    "self._follow(places, listener, stop)": "has the net in it",
    "self._moved[directory].wait()": "is waited for by asyncio.wait, which raises nothing of it",
    "self._clock.sleep(self._schedule.interval)": "the same",
}
"""What tasks are made of without a net around it, and why."""

OPEN_NETS = {
    "files/commits.py": "has a handler of CancelledError: what was not saved is part of the next "
    "commit, and the task has a net",
    "output/console.py": "cancels itself, when nobody reads what it prints any more",
}
"""Where CancelledError may come out of a net, and why."""

GUARDS = ("kept(", "self.kept_running(", "unless_cancelled_by_nobody(")


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in MODULES:
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def awaits(nodes: list[ast.stmt]) -> list[ast.AST]:
    """Of the statements, but for those below a guard."""
    found: list[ast.AST] = []
    left: list[ast.AST] = list(nodes)
    while left:
        node = left.pop()
        if isinstance(node, ast.With) and "cancelled_only_by_us" in ast.unparse(node.items[0]):
            continue
        if isinstance(node, ast.Await) and not ast.unparse(node.value).startswith(GUARDS):
            found.append(node)
        left += ast.iter_child_nodes(node)
    return found


def is_net(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and "Exception" in ast.unparse(handler.type).split(".")


def test_what_catches_every_exception_of_an_awaited_call_catches_a_foreign_cancelled_error() -> (
    None
):
    open_nets = [
        f"{module}:{node.lineno}"
        for module, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and any(map(is_net, node.handlers)) and awaits(node.body)
    ]
    assert {net.partition(":")[0] for net in open_nets} == set(OPEN_NETS), open_nets


def test_every_task_has_a_net_around_it_or_in_it() -> None:
    made = [
        ast.unparse(node.args[0])
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "create_task"
    ]
    assert made
    assert {each for each in made if not each.startswith(GUARDS)} == set(TASKS)


def test_who_was_cancelled_is_cancelled() -> None:
    async def run() -> None:
        async def wait() -> None:
            with cancelled_only_by_us():
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        # A time limit cancels, too.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await wait()

    asyncio.run(run())


def test_what_somebody_else_cancelled_is_an_error_as_any_other() -> None:
    async def run() -> None:
        future = asyncio.get_running_loop().create_future()

        async def wait() -> None:
            await future

        async def cancel() -> None:
            future.cancel()

        async def both() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(unless_cancelled_by_nobody(wait()))
                tasks.create_task(cancel())

        with pytest.raises(ExceptionGroup) as raised:
            await both()
        assert raised.group_contains(CancelledByNobodyError)

    asyncio.run(run())
