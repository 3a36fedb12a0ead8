"""Calls that hang: the event loop turns, the time limit holds, and the process ends."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import shipper
from shipper import offload
from shipper.offload import Guard, HangsError, ThreadPool, TimedCalls, in_a_thread, within
from tests.support.faults import PATIENCE
from tests.support.loop import in_a_loop


class Hung:
    """A call that hangs until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        assert self.let_go.wait(PATIENCE)
        return f"call {self.calls}"


@pytest.mark.parametrize("result", [None, 0, "", "found"])
@in_a_loop
async def test_the_result_is_that_of_the_call(result: object) -> None:
    assert await in_a_thread(lambda: result) == result
    assert within(PATIENCE, lambda: result) == result
    assert await TimedCalls("test", PATIENCE)("key", lambda: result) == result


@in_a_loop
async def test_what_the_call_raises_is_raised() -> None:
    def fails() -> None:
        raise TimeoutError("its own")

    for call in (in_a_thread(fails), TimedCalls("test", PATIENCE)("key", fails)):
        with pytest.raises(TimeoutError, match="its own"):
            await call
    with pytest.raises(TimeoutError, match="its own"):
        within(PATIENCE, fails)


@in_a_loop
async def test_the_event_loop_turns_while_a_call_hangs() -> None:
    hung, calls = Hung(), TimedCalls("test", PATIENCE)
    waiting = asyncio.create_task(calls("key", hung))
    turns = 0
    for _ in range(100):
        await asyncio.sleep(0)
        turns += 1
    assert not waiting.done()
    assert turns == 100
    hung.let_go.set()
    assert await waiting == "call 1"


@in_a_loop
async def test_who_waits_longer_than_the_limit_is_told_so_and_later_ones_at_once() -> None:
    hung, calls = Hung(), TimedCalls("test", 0.5)
    with pytest.raises(HangsError, match=r"^no answer within 0\.5 s$"):
        await calls("key", hung)
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(HangsError):
            await calls("key", hung)
    # Twenty limits would be ten seconds.
    assert time.monotonic() - began < 5.0
    assert hung.calls == 1
    # Another thing does not wait for that one.
    assert await calls("other", lambda: 1) == 1
    hung.let_go.set()


@in_a_loop
async def test_callers_for_the_same_thing_share_a_thread_and_one_may_leave() -> None:
    hung, calls = Hung(), TimedCalls("test", PATIENCE)
    first, second, third = (asyncio.create_task(calls("key", hung)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    hung.let_go.set()
    assert [await first, await third] == ["call 1"] * 2
    assert second.cancelled()
    assert await calls("key", hung) == "call 2"


@in_a_loop
async def test_what_hung_is_tried_again_after_a_while_with_a_bounded_number_of_threads() -> None:
    hung, calls = Hung(), TimedCalls("test", 0.01, again=0.03, most=2)
    for _ in range(10):
        with pytest.raises(HangsError):
            await calls("key", hung)
        await asyncio.sleep(0.02)
    assert hung.calls == 2
    with pytest.raises(HangsError):
        await calls("other", lambda: 1)
    hung.let_go.set()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                assert await calls("other", lambda: 1) == 1
                break
            except HangsError:
                await asyncio.sleep(0.01)


@in_a_loop
async def test_a_new_try_succeeds_although_the_old_one_hangs_for_ever() -> None:
    hung, calls = Hung(), TimedCalls("test", 0.01, again=0.02)
    with pytest.raises(HangsError):
        await calls("key", hung)
    await asyncio.sleep(0.03)
    assert await TimedCalls("test", PATIENCE)("key", lambda: "mounted anew") == "mounted anew"
    calls.seconds = PATIENCE
    assert await calls("key", lambda: "mounted anew") == "mounted anew"
    hung.let_go.set()


def test_a_start_does_not_wait_longer_than_the_limit() -> None:
    hung = Hung()
    with pytest.raises(HangsError, match=r"no answer within 0\.02 s"):
        within(0.02, hung)
    hung.let_go.set()


@in_a_loop
async def test_what_hangs_holds_the_threads_of_its_lane_only() -> None:
    pool = ThreadPool("test", each=2)
    hung = [Hung() for _ in range(5)]
    waiting = [asyncio.create_task(pool(each, "hangs")) for each in hung]
    for _ in range(20):
        assert await pool(lambda: "answers", "other") == "answers"
    assert sum(each.calls for each in hung) == 2
    # Who is cancelled has no call; one that has begun keeps its turn until it is over.
    for task in (waiting[0], waiting[4]):
        task.cancel()
    await asyncio.wait((waiting[0], waiting[4]))
    await asyncio.sleep(0)
    assert [each.calls for each in hung] == [1, 1, 0, 0, 0]
    for each in hung:
        each.let_go.set()
    assert [await task for task in waiting[1:4]] == ["call 1"] * 3
    assert hung[4].calls == 0
    assert await pool(lambda: "again", "hangs") == "again"


@in_a_loop
async def test_calls_of_a_lane_come_in_turn_and_raise_what_they_raise() -> None:
    pool, order = ThreadPool("test", each=1), list[int]()
    await asyncio.gather(*(pool(lambda n=n: order.append(n)) for n in range(50)))  # type: ignore[misc]
    assert order == list(range(50))
    with pytest.raises(ZeroDivisionError):
        await pool(lambda: 1 / 0)


@in_a_loop
async def test_threads_are_used_again_and_end_when_there_is_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(offload, "_IDLE_SECONDS", 0.05)
    pool, names = ThreadPool("reused", each=3), set[int]()
    for _ in range(100):
        names.add(await pool(threading.get_ident))
    assert len(names) < 10
    for thread in threading.enumerate():
        if thread.name == "reused":
            thread.join(PATIENCE)
    assert not any(thread.name == "reused" for thread in threading.enumerate())
    assert await pool(lambda: 1) == 1


@in_a_loop
async def test_calls_that_hang_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "HANGS_SECONDS", 0.01)
    pool, hung = ThreadPool("test", each=1), Hung()
    waiting = asyncio.create_task(pool(hung))
    await asyncio.sleep(0.02)
    assert pool.hanging == 1
    hung.let_go.set()
    await waiting
    assert pool.hanging == 0


def test_a_guard_waits_a_moment_once_and_refuses_others_of_the_lane_until_it_answers() -> None:
    guard, hung, late = Guard("test", 0.05), Hung(), list[str]()
    with pytest.raises(HangsError):
        guard("mount", hung, late.append)
    assert guard.hanging == 1
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(HangsError):
            guard("mount", lambda: "never called")
    assert time.monotonic() - began < 1.0, "a hundred limits would be five seconds"
    assert guard("other", lambda: "answers") == "answers"
    closed = threading.Event()
    assert guard.when_answered("mount", closed.set)
    assert not closed.is_set()
    hung.let_go.set()
    assert closed.wait(PATIENCE)
    assert late == ["call 1"]
    assert guard("mount", lambda: "again") == "again"
    assert not guard.when_answered("mount", closed.set)
    assert guard.hanging == 0
    with pytest.raises(ZeroDivisionError):
        guard("mount", lambda: 1 / 0)


def test_nothing_uses_the_executor_of_the_event_loop() -> None:
    """It has one limit for everything, and is waited for at the end. `demo` stands alone."""
    root, found = Path(shipper.__file__).parent, []
    for path in sorted(root.rglob("*.py")):
        if path.is_relative_to(root / "demo"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "to_thread":
                found.append(path.name)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                first = node.args[0] if node.args else None
                is_none = isinstance(first, ast.Constant) and first.value is None
                if node.func.attr == "run_in_executor" and is_none:
                    found.append(path.name)
    assert found == []


@pytest.mark.parametrize(
    "how",
    [
        "TimedCalls('test', 0.05)('key', hang)",
        "in_a_thread(hang)",
        "ThreadPool('test', each=1)(hang)",
        "in_a_thread(lambda: Guard('test', 0.01)('lane', hang))",
    ],
)
def test_a_thread_that_hangs_does_not_hold_up_the_end_of_the_process(how: str) -> None:
    code = f"""
import asyncio, threading
from shipper.offload import Guard, HangsError, ThreadPool, TimedCalls, in_a_thread

def hang():
    threading.Event().wait()

async def main():
    try:
        async with asyncio.timeout(0.1):
            await {how}
    except TimeoutError as error:
        print("over")

asyncio.run(main())
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert (run.stdout, run.stderr) == ("over\n", "")
