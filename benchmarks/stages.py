"""`./dev bench stages`: the CPU per event of each stage alone, in one process; medians of
interleaved rounds.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from isal import isal_zlib

from benchmarks import processors
from benchmarks.corpus import write_corpus
from shipper.allocator import keep_freed_memory
from shipper.config.inputs import Format, OnInvalid
from shipper.documents.contributions import contributions_of
from shipper.documents.encode import DocumentEncoder
from shipper.files.content import PlainContent
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.identity import Identity
from shipper.files.lines import Block, LineReader, ReadBuffer
from shipper.output.elasticsearch.answers import verdict_of

_LEVEL = 1

_CONSTANTS: dict[str, object] = {
    "agent": {"id": "0" * 36, "name": "worker-1", "type": "shipper", "version": "1.0"},
    "ecs": {"version": "8.11.0"},
    "host": {"name": "worker-1"},
    "input": {"type": "filestream"},
}

#: Does the work of the stage for all events once.
Stage = Callable[[], object]


def main(arguments: Sequence[str]) -> int:
    """Prints a line for each stage."""
    parser = argparse.ArgumentParser(prog="./dev bench stages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--events", type=int, default=8_000, help="default: %(default)s")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="shipper-bench-") as directory:
        log = Path(directory, "tetragon.log")
        write_corpus(log, options.events)
        spent = measure(stages(log, options.events), options.events, options.rounds)
    for name, microseconds in spent.items():
        sys.stdout.write(f"{name:<44} {microseconds:6.2f} µs/event\n")
    sys.stdout.write("\nProcessors, beside an input without any:\n")
    for name, microseconds in processors.measure(list(processors.LISTS), options.rounds).items():
        sys.stdout.write(f"{name:<44} {microseconds:6.2f} µs/event\n")
    return 0


def measure(stages: dict[str, Stage], events: int, rounds: int) -> dict[str, float]:
    """Microseconds of CPU per event, of each stage."""
    spent: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, stage in stages.items():
            begin = time.process_time()
            stage()
            spent[name].append((time.process_time() - begin) / events * 1e6)
    return {name: statistics.median(times) for name, times in spent.items()}


def stages(log: Path, events: int) -> dict[str, Stage]:
    """Each stage of the way of a line, over the same log."""
    blocks = _blocks(log)
    raw, ecs = _encoder(Format.RAW), _encoder(Format.ECS)
    bodies = list(_encoded(raw, blocks))
    answer = b'{"errors":false,"items":[%s]}' % b",".join([b'{"create":{"status":201}}'] * events)
    return {
        "read and cut into blocks of lines": lambda: _blocks(log),
        "encode, format raw": lambda: list(_encoded(raw, blocks)),
        "encode, format ecs": lambda: list(_encoded(ecs, blocks)),
        "compress (ISA-L, level 1)": lambda: _compress(bodies),
        "judge the answer of a bulk request": lambda: verdict_of(200, answer, events),
    }


def _blocks(log: Path) -> list[bytes]:
    async def read() -> list[bytes]:
        descriptor = os.open(log, os.O_RDONLY)
        try:
            filesystem = FileSystem()
            device = os.fstat(descriptor).st_dev
            reader = LineReader(PlainContent(filesystem, descriptor, device), ReadBuffer(1 << 20))
            offset, blocks = 0, []
            while isinstance(block := await reader.read(offset, final=False), Block):
                blocks.append(block.data)
                offset = block.end
            return blocks
        finally:
            os.close(descriptor)

    return asyncio.run(read())


def _encoder(form: Format) -> DocumentEncoder:
    return DocumentEncoder(
        _CONSTANTS,
        content_ids=True,
        on_invalid=OnInvalid.SHIP,
        contributions=contributions_of(form, _CONSTANTS),
    )


def _encoded(encoder: DocumentEncoder, blocks: Sequence[bytes]) -> list[bytes | memoryview]:
    template = encoder.template(Identity("0" * 16), "/logs/tetragon.log", Inode(1, 2))
    return [encoder.encode(template, 0, block, 0.0).body for block in blocks]


def _compress(bodies: Sequence[bytes | memoryview]) -> int:
    packer = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    return sum(len(packer.compress(body)) for body in bodies) + len(packer.flush())
