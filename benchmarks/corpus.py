"""The log that all shippers read: numbered Tetragon events of every type, in one file."""

import random
import time
from pathlib import Path

from shipper.demo.events import EventSource

#: Number of different events, as generating them is slow; the rest repeats them with other numbers.
#: That does not affect compression: its window has 16 of them.
_DISTINCT = 4_000

_FIRST = b"--seq=000000000"


def write_corpus(path: Path, events: int) -> int:
    """Writes this number of events; returns the file's size in bytes."""
    source = EventSource(random.Random(1))
    now = time.time_ns()
    lines = [source.line(0, now + 1000 * number) for number in range(_DISTINCT)]
    with path.open("wb", buffering=1024 * 1024) as file:
        for number in range(events):
            file.write(lines[number % _DISTINCT].replace(_FIRST, b"--seq=%09d" % number) + b"\n")
        return file.tell()
