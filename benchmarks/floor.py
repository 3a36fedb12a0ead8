"""The floor: the minimum processing of every line, in one loop.

Each block of lines is validated as JSON (msgspec), each line escaped as a JSON string (orjson), and
the result compressed (ISA-L, level 1). No documents, ids, requests, or offsets.

    python -m benchmarks.floor FILE
"""

import sys
import zlib

import msgspec
import orjson
from isal import isal_zlib

from shipper.allocator import keep_freed_memory

BLOCK_BYTES = 256 * 1024
_BODY_BYTES = 4 * 1024 * 1024


class _Event(msgspec.Struct, gc=False):
    time: msgspec.Raw = msgspec.Raw(b"")


def run(path: str) -> int:
    """Processes the file; returns its compressed size in bytes."""
    decode = msgspec.json.Decoder(_Event).decode_lines
    dumps = orjson.dumps
    packed = body = 0
    packer = isal_zlib.compressobj(1, zlib.DEFLATED, 31)
    rest = b""
    with open(path, "rb", buffering=0) as file:
        while read := file.read(BLOCK_BYTES):
            cut = read.rfind(b"\n") + 1
            block, rest = rest + read[:cut], read[cut:]
            if not cut:
                continue
            decode(block)
            escaped = b"\n".join([dumps(line.decode()) for line in block.split(b"\n")])
            packed += len(packer.compress(escaped))
            body += len(escaped)
            if body >= _BODY_BYTES:
                packed += len(packer.flush())
                packer, body = isal_zlib.compressobj(1, zlib.DEFLATED, 31), 0
    return packed + len(packer.flush())


if __name__ == "__main__":
    keep_freed_memory()
    sys.stdout.write(f"{run(sys.argv[1])}\n")
