"""The allocator's setting has the effect that it is there for."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from shipper.allocator import give_back_freed_memory
from shipper.trimming import INTERVAL, Trimming
from tests.support.clock import ManualClock

PROGRAM = """
import resource
from shipper.allocator import keep_freed_memory

def block_after_block(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        lines = [b"%09d" % number + b"x" * {length} for number in range(66)]
        escaped = [line + b"y" * 200 for line in lines]
        body = b"".join(escaped)
        del lines, escaped, body
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {keep}:
    print(keep_freed_memory())
block_after_block(50)
print(block_after_block(500))
"""
"""What becomes of a block of lines in the encoder, as far as memory is concerned."""

LINE_BYTES = 1990


def run(keep: bool) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep, length=LINE_BYTES)],
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().split()


def test_memory_that_is_freed_is_not_faulted_in_again() -> None:
    kept, faults = run(keep=True)
    if kept == "False":
        pytest.skip("this C library has no such setting")
    [usual] = run(keep=False)
    assert int(faults) < int(usual) / 100


def test_memory_is_given_back_while_no_lines_are_read() -> None:
    async def story() -> None:
        clock, lines, given = ManualClock(), [0.0], []
        trimming = Trimming(clock, lambda: lines[0], lambda: given.append(clock.monotonic()))
        task = asyncio.create_task(trimming.run())
        for number in range(1, 4):
            await clock.advance(INTERVAL)
            assert len(given) == number
        for _ in range(5):  # While lines are read, the next block needs it.
            lines[0] += 1
            await clock.advance(INTERVAL)
        assert len(given) == 3
        await clock.advance(INTERVAL)
        assert len(given) == 4
        task.cancel()

    asyncio.run(story())


def test_memory_is_given_back_whether_or_not_the_library_can() -> None:
    give_back_freed_memory()
