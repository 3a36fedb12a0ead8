"""Detects documents that the output file has from an earlier run. If shipper was killed between the
sync of the output file and the commit of the registry, it reads the same lines again.

A document is identified by the content identity of its log file, its offset and the checksum of its
line, as an `_id` of Elasticsearch is.
"""

from collections.abc import Iterable
from pathlib import Path

import xxhash

from shipper.documents.origin import fields_of, origin_of

#: Bytes that are read, from the end of the files. They must cover the output between two commits of
#: the registry (`registry.commit_interval`): 130 MB a second were measured. Costs about 75 bytes of
#: memory a document.
READ_BACK_BYTES = 256 * 1024**2


class WrittenDocuments:
    """Documents of the output file, by log file, until newer ones of the same log file come."""

    def __init__(self) -> None:
        #: By the identity of the log file: offset and checksum in one number, the offset in front.
        self._known: dict[str, set[int]] = {}
        self._newest: dict[str, int] = {}
        #: Lines that are not JSON objects, such as those after a power failure.
        self.invalid_lines = 0

    def __len__(self) -> int:
        return sum(map(len, self._known.values()))

    def add(self, line: bytes) -> None:
        """Adds a line of the output file; a line without a log file (an action) is skipped."""
        fingerprint, offset, mark = _place(line)
        if not fingerprint:
            self.invalid_lines += fields_of(line) is None
        else:
            self._known.setdefault(fingerprint, set()).add(mark)
            self._newest[fingerprint] = max(offset, self._newest.get(fingerprint, 0))

    def contains(self, document: bytes) -> bool:
        """Whether a document is in the output file already.

        The lines of a log file come in order. So with a line that is newer than all known ones of
        its log file, no more duplicates can follow, and the log file is forgotten.
        """
        fingerprint, offset, mark = _place(document)
        known = self._known.get(fingerprint)
        if known is None:
            return False
        if offset > self._newest[fingerprint]:
            del self._known[fingerprint], self._newest[fingerprint]
            return False
        return mark in known


def read_written(files: Iterable[Path], most: int = READ_BACK_BYTES) -> WrittenDocuments:
    """Reads the last `most` bytes of these files; the newest file comes first.

    Raises OSError, with the file that cannot be read.
    """
    found = WrittenDocuments()
    for path in files:
        if most <= 0:
            break
        try:
            most -= _read_end(path, found, most)
        except OSError as error:
            error.filename = error.filename or str(path)  # A read does not say of what.
            raise
    return found


def _read_end(path: Path, found: WrittenDocuments, most: int) -> int:
    """Adds the last `most` bytes of a file; returns its size."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        # One byte more, to see whether the first line is complete.
        start = max(0, size - most - 1)
        file.seek(start)
        if start:
            file.readline()
        for line in file:
            found.add(line)
    return size


def _place(document: bytes) -> tuple[str, int, int]:
    """Log file, offset, and both and the line in one number; the first is empty for a document that
    does not say where it comes from."""
    found = origin_of(document)
    mark = found.offset << 64 | xxhash.xxh3_64_intdigest(found.line.encode())
    return found.fingerprint, found.offset, mark
