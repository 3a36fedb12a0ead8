"""CPU of processors: the encoder's CPU per event with these lists, compared with none.

.venv/bin/python -m benchmarks.processors
"""

import random
import statistics
import sys
import time
from collections.abc import Sequence

from shipper.config.inputs import OnInvalid
from shipper.config.processors import parse
from shipper.demo.events import EventSource
from shipper.documents.encode import DocumentEncoder
from shipper.documents.processors.machine import Machine
from shipper.documents.processors.processing import Processing
from shipper.files.facts import Inode
from shipper.files.identity import Identity

GUIDE = {
    "timestamp": {
        "field": "time",
        "layouts": [
            "2006-01-02T15:04:05Z",
            "2006-01-02T15:04:05.999Z",
            "2006-01-02T15:04:05.999-07:00",
        ],
        "test": [
            "2019-06-22T16:33:51Z",
            "2019-11-18T04:59:51.123Z",
            "2020-08-03T07:10:20.123456+02:00",
        ],
    }
}

#: The first two must cost nothing per event.
LISTS: dict[str, list[object]] = {
    "none": [],
    "the guide's": [GUIDE],
    "constant ones": [
        GUIDE,
        {"add_fields": {"fields": {"team": "a"}}},
        {"add_tags": {"tags": ["a"]}},
        {"add_labels": {"labels": {"a": "b"}}},
        {"drop_fields": {"fields": ["agent"]}},
        {"add_host_metadata": None},
    ],
    "drop_fields of log.offset": [{"drop_fields": {"fields": ["log.offset"]}}],
    "a condition": [{"drop_event": {"when": {"contains": {"message": "no such text"}}}}],
    "decode_json_fields": [{"decode_json_fields": {"fields": ["message"], "target": "tetragon"}}],
}

_CONSTANTS: dict[str, object] = {
    "agent": {"id": "0" * 36, "name": "worker-1", "type": "shipper", "version": "1.0"},
    "ecs": {"version": "8.11.0"},
    "host": {"name": "worker-1"},
    "input": {"type": "filestream"},
}
_BLOCK_LINES = 120
_BLOCKS = 40


def measure(names: Sequence[str], rounds: int) -> dict[str, float]:
    """CPU per event of the lists of these names, in microseconds: medians of interleaved rounds."""
    source = EventSource(random.Random(1))
    lines = [source.line(number, time.time_ns()) for number in range(_BLOCK_LINES * _BLOCKS)]
    blocks = [
        b"\n".join(lines[start : start + _BLOCK_LINES]) + b"\n"
        for start in range(0, len(lines), _BLOCK_LINES)
    ]
    encoders = {name: _encoder(LISTS[name]) for name in names}
    spent: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, encoder in encoders.items():
            template = encoder.template(Identity("0" * 16), "/logs/tetragon.log", Inode(1, 2))
            begin = time.process_time()
            for block in blocks:
                encoder.encode(template, 0, block, 0.0)
            spent[name].append((time.process_time() - begin) / len(lines) * 1e6)
    return {name: statistics.median(times) for name, times in spent.items()}


def _encoder(processors: list[object]) -> DocumentEncoder:
    machine = Machine({}, lambda _: {"name": "worker-1", "architecture": "x86_64"})
    configs = parse(processors)
    processing = Processing(configs, _CONSTANTS, machine, 0.0) if configs else None
    return DocumentEncoder(
        _CONSTANTS, content_ids=True, on_invalid=OnInvalid.SHIP, processing=processing
    )


def main() -> int:
    """Prints the figures."""
    found = measure(list(LISTS), rounds=15)
    for name, spent in found.items():
        ratio = spent / found["none"]
        sys.stdout.write(f"{name:<28} {spent:6.2f} µs  {ratio:5.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
