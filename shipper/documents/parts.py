"""The parts of which bodies are joined: a list of `PARTS` parts for each document. The fast loops
make them of ordinary lines, and check that they are.
"""

from collections.abc import Sequence

import msgspec
import orjson
import xxhash

from shipper.documents.contributions import Contributions
from shipper.documents.encoded import FileTemplate
from shipper.documents.filters import Run
from shipper.documents.line import decode_event, decode_times

#: For each line: action, offset, checksum, time, log.offset, constants, content of the line.
Parts = list[bytes | memoryview | msgspec.Raw]
PARTS = 7
TIME_PART = 3

#: `"2026-11-24T04:32:37.123456789Z"` with quotes: the longest time that is ordinary.
_LONGEST_TIME = 32


class UnusualError(Exception):
    """The block cannot be processed by the fast loop."""


def ordinary_parts(
    contributions: Contributions | None, template: FileTemplate, runs: Sequence[Run]
) -> Parts:
    """The parts of ordinary lines; the action is empty if it depends on the time.

    Raises UnusualError, msgspec.MsgspecError, ValueError or RecursionError if a line is not.
    """
    if contributions is None:
        parts = _message_parts(template, runs)
    else:
        parts = _contribution_parts(contributions, template, runs)
    times = parts[TIME_PART::PARTS]
    joined = b",".join(times)
    if times and (
        len(decode_times(b"[%b]" % joined)) != len(times)
        or joined.count(b"T") != len(times)
        or joined.count(b'Z"') != len(times)
        or max(map(len, times)) > _LONGEST_TIME
        # The careful loop writes an escaped character as it is.
        or b"\\" in joined
    ):
        raise UnusualError
    return parts


def body_of(parts: Parts, *, content_ids: bool) -> bytes:
    """The body of these parts, of one document at least."""
    if not content_ids:
        count = len(parts) // PARTS
        parts[1::PARTS] = parts[2::PARTS] = [b""] * count
    # Each action closes the document before it; the first one has no document before it.
    parts[0] = bytes(parts[0])[2:]
    parts.append(b"}\n")
    return b"".join(parts)


def _message_parts(template: FileTemplate, runs: Sequence[Run]) -> Parts:
    """The fast loop of `format: raw`."""
    decode, dumps, digest = decode_event, orjson.dumps, xxhash.xxh3_64_hexdigest
    action, constants = template.action, template.constants
    parts: Parts = []
    extend = parts.extend
    for run in runs:
        offset = run.offset
        for line in run.lines:
            extend(
                (
                    action,
                    b"%010x-" % offset,
                    b'%b"}}\n{"@timestamp":' % digest(line).encode(),
                    decode(line).time,
                    b',"log":{"offset":%d' % offset,
                    constants,
                    dumps(line.decode()),
                )
            )
            offset += len(line) + 1
    return parts


def _contribution_parts(
    contributions: Contributions, template: FileTemplate, runs: Sequence[Run]
) -> Parts:
    """The fast loop of other formats."""
    quick, digest = contributions.quick, xxhash.xxh3_64_hexdigest
    action, constants = template.action, template.constants
    parts: Parts = []
    extend = parts.extend
    for run in runs:
        offset = run.offset
        for line in run.lines:
            time, content = quick(line)
            extend(
                (
                    action,
                    b"%010x-" % offset,
                    b'%b"}}\n{"@timestamp":' % digest(line).encode(),
                    time,
                    b',"log":{"offset":%d' % offset,
                    constants,
                    content,
                )
            )
            offset += len(line) + 1
    return parts
