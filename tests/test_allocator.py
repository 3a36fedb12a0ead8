"""The allocator's setting has the effect that it is there for."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from shipper.allocator import keep_freed_memory

if {keep}:
    print(keep_freed_memory())
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    lines = [b"%d" % number + b"x" * 2048 for number in range(300)]
    body = b"".join(lines)
    del lines, body
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(keep: bool) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep)], capture_output=True, check=True
    )
    return done.stdout.decode().split()


def test_memory_that_is_freed_is_not_faulted_in_again() -> None:
    kept, faults = run(keep=True)
    if kept == "False":
        pytest.skip("this C library has no such setting")
    [usual] = run(keep=False)
    # By how much depends on what the heap held before; 300 pages are the first use of each.
    assert int(faults) < int(usual)
