"""Calls that hang: the event loop turns, the time limit holds, and the process ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from shipper.offload import HangsError, TimedCalls, in_a_thread, within
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


@pytest.mark.parametrize("how", ["TimedCalls('test', 0.05)('key', hang)", "in_a_thread(hang)"])
def test_a_thread_that_hangs_does_not_hold_up_the_end_of_the_process(how: str) -> None:
    code = f"""
import asyncio, threading
from shipper.offload import HangsError, TimedCalls, in_a_thread

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
