"""CPU of the encoder alone, with the native core and without, in one process and in turn:

.venv/bin/python -m benchmarks.encoding [--rounds N]
"""

import argparse
import os
import random
import statistics
import sys
import time

from isal import isal_zlib

from shipper.allocator import keep_freed_memory
from shipper.config.inputs import OnInvalid
from shipper.demo.events import EventSource
from shipper.documents.ecs import EcsDocuments
from shipper.documents.encode import DocumentEncoder
from shipper.documents.native import VARIABLE
from shipper.files.facts import Inode
from shipper.files.identity import Identity

_CONSTANTS: dict[str, object] = {
    "agent": {"id": "0" * 36, "name": "worker-1", "type": "shipper", "version": "1.0"},
    "ecs": {"version": "8.11.0"},
    "host": {"name": "worker-1"},
    "input": {"type": "filestream"},
    "event": {"dataset": "cilium_tetragon.log", "module": "cilium_tetragon"},
}
_EVENTS = 4000
_BLOCK_BYTES = 256 * 1024
_TIME = 1_795_000_000_123_456_789


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.encoding", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    options = parser.parse_args()
    keep_freed_memory()
    blocks = _blocks()
    events = sum(block.count(b"\n") for block in blocks)
    sys.stdout.write("| us/event, medians | encoder | encoder and isal |\n|---|---|---|\n")
    for form in ("raw", "ecs"):
        found: dict[str, list[tuple[float, float]]] = {"native": [], "python": []}
        encoders = {name: _encoder(form, native=name == "native") for name in found}
        if reason := encoders["native"].native.reason:
            sys.stderr.write(f"no native core: {reason}\n")
            return 2
        for _ in range(options.rounds):
            for name, encoder in encoders.items():
                found[name].append((_cpu(encoder, blocks), _cpu(encoder, blocks, gzip=True)))
        for name, times in found.items():
            encode, both = (
                statistics.median(each) / events * 1e6 for each in zip(*times, strict=True)
            )
            sys.stdout.write(f"| {form}, {name} | {encode:.2f} | {both:.2f} |\n")
    return 0


def _encoder(form: str, *, native: bool) -> DocumentEncoder:
    os.environ[VARIABLE] = str(int(native))
    return DocumentEncoder(
        _CONSTANTS,
        content_ids=True,
        on_invalid=OnInvalid.SHIP,
        contributions=EcsDocuments(_CONSTANTS) if form == "ecs" else None,
    )


def _blocks() -> list[bytes]:
    source = EventSource(random.Random(1))
    blocks, lines, size = [], [], 0
    for number in range(_EVENTS):
        lines.append(source.line(number, _TIME + number * 1_000_003))
        size += len(lines[-1]) + 1
        if size > _BLOCK_BYTES or number == _EVENTS - 1:
            blocks.append(b"".join(line + b"\n" for line in lines))
            lines, size = [], 0
    return blocks


def _cpu(encoder: DocumentEncoder, blocks: list[bytes], *, gzip: bool = False) -> float:
    """CPU seconds for all blocks."""
    template = encoder.template(Identity("0" * 16), "/logs/tetragon.log", Inode(1, 2))
    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    began = time.process_time()
    for block in blocks:
        body = encoder.encode(template, 0, block, 0.0).body
        if gzip:
            packer.compress(body)
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
