"""What an output file holds from a life before. Killed between its sync and the registry's commit,
shipper reads the same lines again: here it is seen that their documents are there.

A document is told by the content identity of its file, its offset there and the checksum of its
line, as an `_id` of Elasticsearch is: what is recognised is this very line.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import xxhash

#: How much is read back, in bytes, from the end on. It has to cover what is written between two
#: commits of the registry, `registry.commit_interval` apart: 130 MB were measured in a second. Some
#: 75 bytes of memory a document pay for it.
RECALLED = 256 * 1024**2


class _File(msgspec.Struct):
    fingerprint: str = ""


class _Log(msgspec.Struct):
    offset: int = 0
    file: _File = msgspec.field(default_factory=_File)


class _Event(msgspec.Struct):
    original: str = ""


class _Document(msgspec.Struct):
    log: _Log = msgspec.field(default_factory=_Log)
    message: str = ""
    #: Where `format: ecs` has the line.
    event: _Event = msgspec.field(default_factory=_Event)


_decode = msgspec.json.Decoder(_Document).decode


class Recall:
    """The documents that are there, until newer ones of the same file come."""

    def __init__(self) -> None:
        #: By the identity of their file: offset and checksum in one number, the offset above.
        self._known: dict[str, set[int]] = {}
        self._newest: dict[str, int] = {}
        #: Lines that are no JSON objects: a machine that lost its power may leave such.
        self.strange = 0

    def __len__(self) -> int:
        return sum(map(len, self._known.values()))

    def add(self, line: bytes) -> None:
        """Learns of a line of the file; one without a place in a log (an action) is passed over."""
        try:
            fingerprint, offset, mark = _place(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.strange += 1
            return
        if fingerprint:
            self._known.setdefault(fingerprint, set()).add(mark)
            self._newest[fingerprint] = max(offset, self._newest.get(fingerprint, 0))

    def has(self, document: bytes) -> bool:
        """Whether a document that is about to be written is there already.

        Lines of a file come in their order. So with one that is newer than all that are there
        nothing more of that file can come again, and it is forgotten.
        """
        fingerprint, offset, mark = _place(document)
        known = self._known.get(fingerprint)
        if known is None:
            return False
        if offset > self._newest[fingerprint]:
            del self._known[fingerprint], self._newest[fingerprint]
            return False
        return mark in known


def recall(files: Iterable[Path], most: int = RECALLED) -> Recall:
    """Reads back the last `most` bytes of these files, of which the newest comes first.

    Raises OSError.
    """
    found = Recall()
    for path in files:
        if most <= 0:
            break
        with path.open("rb") as file:
            size = file.seek(0, 2)
            # A line is whole if the byte before it ends another one.
            start = max(0, size - most - 1)
            file.seek(start)
            if start:
                file.readline()
            for line in file:
                found.add(line)
        most -= size
    return found


def _place(document: bytes) -> tuple[str, int, int]:
    found = _decode(document)
    offset = found.log.offset
    line = found.message or found.event.original
    mark = offset << 64 | xxhash.xxh3_64_intdigest(line.encode())
    return found.log.file.fingerprint, offset, mark
