"""The logs that all shippers read: numbered Tetragon events of every type.

Every line has `--seq=` and nine digits, by which the receiver finds missing and doubled lines.
"""

import json
import random
import time
from pathlib import Path

from shipper.demo.events import EventSource

#: Number of different events, as generating them is slow; the rest repeats them with other numbers.
#: That does not affect compression: its window has 16 of them.
_DISTINCT = 4_000

_FIRST = b"--seq=000000000"

#: Sizes of events: as Tetragon writes them (1.9 kB on average), or so many bytes each.
USUAL, SMALL, LARGE = 0, 300, 16_000


def write_corpus(path: Path, events: int, *, event_bytes: int = USUAL, first: int = 0) -> int:
    """Writes this number of events, numbered from `first`; returns the file's size in bytes."""
    lines = distinct_lines(event_bytes)
    with path.open("wb", buffering=1024 * 1024) as file:
        for number in range(events):
            file.write(numbered(lines[number % len(lines)], first + number) + b"\n")
        return file.tell()


def distinct_lines(event_bytes: int = USUAL) -> list[bytes]:
    """Different lines, each with the number 0."""
    rng = random.Random(1)
    source = EventSource(rng)
    now = time.time_ns()
    if event_bytes == USUAL:
        return [source.line(0, now + 1000 * number) for number in range(_DISTINCT)]
    lines = [source.line_of("process_exec", 0, now + 1000 * each) for each in range(_DISTINCT)]
    if event_bytes < len(min(lines, key=len)):
        return [_shortened(line, event_bytes) for line in lines]
    return [_lengthened(line, event_bytes, rng) for line in lines]


def numbered(line: bytes, number: int) -> bytes:
    """One of the distinct lines, with a number of its own."""
    return line.replace(_FIRST, b"--seq=%09d" % number)


def _shortened(line: bytes, size: int) -> bytes:
    """The event of a process outside of pods, with the fields that are always there."""
    event = json.loads(line)
    process = event["process_exec"]["process"]
    kept = ("exec_id", "pid", "uid", "cwd", "binary", "flags", "start_time")
    short = {key: process[key] for key in kept if key in process}
    short["arguments"] = _FIRST.decode()
    event["process_exec"] = {"process": short}
    result = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    missing = size - len(result)
    short["cwd"] = "/" + "srv/app/" * (max(missing, 0) // 8)
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def _lengthened(line: bytes, size: int, rng: random.Random) -> bytes:
    """The same event with a long command line, as compilers and java have."""
    event = json.loads(line)
    process = event["process_exec"]["process"]
    words = [process["arguments"]]
    missing = size - len(line)
    while missing > 0:
        word = f"--add-opens=java.base/{rng.randrange(10**6):06d}.{rng.choice(_WORDS)}=ALL-UNNAMED"
        words.append(word)
        missing -= len(word) + 1
    process["arguments"] = " ".join(words)
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


_WORDS = ("lang", "util", "net.http", "nio.channels", "security", "text", "time", "io")
