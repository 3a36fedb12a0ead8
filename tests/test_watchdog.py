"""The watchdog: a loop that does not turn ends the process; one that could not run does not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from shipper.watchdog import StallDetector, Watchdog
from tests.support.faults import PATIENCE
from tests.support.logs import flat
from tests.support.loop import in_a_loop

LIMIT = 60.0
TICK = LIMIT / 12


def looks(*elapsed: float, turned: bool = False, delayed: float = 0.0) -> StallDetector:
    """A detector after these looks, none of which found a stall."""
    detector = StallDetector(LIMIT)
    for seconds in elapsed:
        assert not detector.look(turned=turned, elapsed=seconds, delayed=delayed)
    return detector


def test_a_loop_that_gives_no_sign_of_life_for_the_limit_is_a_stall() -> None:
    detector = looks(*[TICK] * 11)
    assert detector.look(turned=False, elapsed=TICK, delayed=0.0)


def test_a_sign_of_life_begins_anew() -> None:
    detector = looks(*[TICK] * 11)
    assert not detector.look(turned=True, elapsed=TICK, delayed=0.0)
    assert detector.counted == 0
    assert not any(detector.look(turned=False, elapsed=TICK, delayed=0.0) for _ in range(11))


@pytest.mark.parametrize("stopped", [61.0, 600.0, 86400.0])
def test_time_in_which_the_process_was_stopped_counts_as_one_look(stopped: float) -> None:
    """SIGSTOP, the freezer, a suspended machine: the thread that looks did not run either."""
    assert looks(stopped).counted == TICK
    assert looks(*[stopped] * 11).counted == 11 * TICK


def test_time_without_a_processor_does_not_count() -> None:
    """The loop's thread is ready to run, and is throttled."""
    assert looks(*[TICK] * 1000, delayed=TICK).counted == 0
    assert looks(*[TICK] * 20, delayed=TICK * 0.9).counted == pytest.approx(20 * TICK * 0.1)
    assert looks(TICK, delayed=10 * TICK).counted == 0, "no less than nothing"


@in_a_loop
async def test_a_loop_that_turns_is_left_alone_and_one_that_hangs_is_told_of() -> None:
    stalls: list[float] = []
    found = threading.Event()

    def on_stall(seconds: float) -> None:
        stalls.append(seconds)
        found.set()

    watching = Watchdog(
        StallDetector(0.12), asyncio.get_running_loop(), on_stall=on_stall, delay=lambda: 0.0
    )
    before = signal.signal(signal.SIGPROF, signal.SIG_IGN)
    try:
        with watching:
            for _ in range(30):
                await asyncio.sleep(0.01)
            assert stalls == []
            assert found.wait(PATIENCE), "this thread is the loop's, and it waits here"
        assert stalls[0] >= 0.1
        assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGPROF, before)


PROGRAM = """
import asyncio, re, sys, threading, time
from shipper.clock import SystemClock
from shipper.logs import Level, LogFormat
from shipper.logs.process import process_log
from shipper.watchdog import ExitDeadline, watched

async def main(log):
    with watched({limit}, log):
        print("begun", flush=True)
        {body}

with process_log(SystemClock(), Level.INFO, LogFormat.JSON) as log:
    asyncio.run(main(log))
{after}
"""


class Program:
    """A process with a watchdog."""

    def __init__(self, body: str, limit: float = 1.0, after: str = "") -> None:
        text = PROGRAM.format(limit=limit, body=body, after=after)
        self.process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"

    def end(self) -> tuple[int, str]:
        """Its exit code and standard error."""
        _, error = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, error


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    made: list[Program] = []
    yield made
    for each in made:
        each.process.kill()
        each.process.communicate()


def message(error: str) -> dict[str, Any]:
    return flat(json.loads(error.splitlines()[-1]))


def test_a_loop_that_waits_for_ever_ends_the_process_with_its_stacks(
    programs: list[Program],
) -> None:
    programs.append(Program("time.sleep(1000)"))
    code, error = programs[0].end()
    assert code == 1
    found = message(error)
    assert found["event.action"] == "event-loop-stalled"
    assert "in main" in found["error.stack_trace"].split("Thread")[1], "the loop's thread is first"


def test_code_that_keeps_the_interpreters_lock_ends_the_process_with_its_stacks(
    programs: list[Program],
) -> None:
    programs.append(Program("re.match('(a+)+b', 'a' * 60)"))
    code, error = programs[0].end()
    assert code == -signal.SIGPROF
    assert "in main" in error


def test_a_process_that_was_stopped_goes_on(programs: list[Program]) -> None:
    """Takes three times the limit: that is the point."""
    programs.append(Program("await asyncio.sleep(3.5)"))
    process = programs[0].process
    process.send_signal(signal.SIGSTOP)
    time.sleep(3.0)
    process.send_signal(signal.SIGCONT)
    assert programs[0].end() == (0, "")


def test_0_turns_it_off(programs: list[Program]) -> None:
    programs.append(Program("time.sleep(1.5)", limit=0))
    assert programs[0].end() == (0, "")


def test_a_thread_that_hangs_does_not_keep_the_process_from_ending(
    programs: list[Program],
) -> None:
    body = "asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000); "
    programs.append(Program(f"{body}ExitDeadline(log)(0.5)"))
    code, error = programs[0].end()
    assert code == 1
    found = message(error)
    assert found["event.action"] == "stop-timed-out"
    assert "sleep" in found["error.stack_trace"] or "thread.py" in found["error.stack_trace"]
