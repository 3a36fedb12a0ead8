"""Writes a log at a steady rate, as Tetragon does; each line says when it was written.

    python -m benchmarks.writer FILE EVENTS_PER_SECOND SECONDS [MAX_BYTES]

A file that reaches MAX_BYTES is renamed, and five of them stay. At the end it prints the number of
lines.
"""

import contextlib
import os
import sys
import time

from benchmarks.corpus import distinct_lines, numbered

_KEPT = 5


def write(path: str, rate: float, seconds: float, most_bytes: int = 0) -> int:
    """Writes for so many seconds; returns the number of lines."""
    # The stamp stands behind the number, in the arguments of the process.
    lines = [
        line
        for line in distinct_lines()
        if line.count(b"--seq=000000000") == 1 and b'"process":' in line
    ]
    total = int(rate * seconds)
    written, rotations = 0, 0
    begin = time.monotonic()
    file = open(path, "ab", buffering=0)  # noqa: SIM115 - it is opened again when it rotates.
    while written < total:
        due = min(total, int((time.monotonic() - begin) * rate) + 1)
        for number in range(written, due):
            # One write for each event, as Tetragon's exporter does it.
            file.write(_line(lines[number % len(lines)], number))
        written = due
        if most_bytes and file.tell() > most_bytes:
            file.close()
            rotations += 1
            os.rename(path, f"{path[:-4]}-{rotations:06d}.log")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path[:-4]}-{rotations - _KEPT:06d}.log")
            file = open(path, "ab", buffering=0)  # noqa: SIM115
        time.sleep(max(begin + written / rate - time.monotonic(), 0.0))
    file.close()
    return written


def _line(line: bytes, number: int) -> bytes:
    stamped = numbered(line, number)
    mark = b"--seq=%09d" % number
    return stamped.replace(mark, mark + b" --at=%018d" % time.monotonic_ns()) + b"\n"


if __name__ == "__main__":
    _path, _rate, _seconds, *_most = sys.argv[1:]
    sys.stdout.write(f"{write(_path, float(_rate), float(_seconds), *map(int, _most))}\n")
