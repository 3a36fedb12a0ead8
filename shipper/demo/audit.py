"""Who is missing, who is there twice: the count of numbered lines, and what it says in the end.

Made for millions: a line costs some twenty bytes here, its id included. The id's hash stands in
for the id; that two ids of one line share it has a chance of one in 2**64.
"""

import statistics
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash

from shipper.demo.events import SEQUENCE

#: How many numbers of lost or doubled lines an audit names.
_NAMED = 5

# How many lines the arrays grow by at once.
_GROWTH = 1 << 16


@dataclass(frozen=True, slots=True)
class Lag:
    """From the write of a line to its first receipt, in seconds."""

    median: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of the lines that were written."""

    written: int
    #: Lines that are there, once or more often.
    delivered: int
    lost: int
    doubled: int
    #: Documents without a number, or with one that was never written.
    strange: int
    #: The first few numbers of each.
    lost_numbers: tuple[int, ...]
    doubled_numbers: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether every line is there, once, and nothing else is."""
        return not (self.lost or self.doubled or self.strange)


class LineCounts:
    """How often each numbered line is there, and when it first was."""

    def __init__(self) -> None:
        self._counts = bytearray()
        #: The hash of the id of the first document of a line; 0: none yet.
        self._ids = array("Q")
        #: Hashes of further ids, of documents that are one too many, and of strangers.
        self._more_ids: set[int] = set()
        self._strange = 0
        self._received_at = array("d")
        #: Lines that are there.
        self.received = 0

    def take(self, document_id: str, document: bytes) -> bool:
        """Counts a document, unless one of that id is there: then it returns False."""
        digest = xxhash.xxh3_64_intdigest(document_id.encode()) or 1
        number = sequence_of(document)
        if number is None:
            if digest in self._more_ids:
                return False
            self._more_ids.add(digest)
            self._strange += 1
            return True
        self._make_room(number)
        if digest == self._ids[number] or digest in self._more_ids:
            return False
        if self._counts[number]:
            self._more_ids.add(digest)
        else:
            self._ids[number] = digest
            self._received_at[number] = time.monotonic()
            self.received += 1
        self._counts[number] = min(self._counts[number] + 1, 255)
        return True

    def audit(self, written: int) -> Audit:
        """What became of the lines 0 to `written` - 1."""
        self._make_room(written)
        counts = self._counts[:written]
        beyond = self._counts[written:]
        doubled = [number for number, count in enumerate(counts) if count > 1]
        lost = counts.count(0)
        return Audit(
            written=written,
            delivered=written - lost,
            lost=lost,
            doubled=len(doubled),
            strange=self._strange + len(beyond) - beyond.count(0),
            lost_numbers=_first(counts, 0),
            doubled_numbers=tuple(doubled[:_NAMED]),
        )

    def lag(self, written_at: Sequence[float]) -> Lag | None:
        """Of lines 0 and on, written at these times (`time.monotonic`); None if none is there."""
        lags = [
            received - written
            for written, received in zip(written_at, self._received_at, strict=False)
            if received
        ]
        return Lag(statistics.median(lags), max(lags)) if lags else None

    def _make_room(self, number: int) -> None:
        missing = number + 1 - len(self._counts)
        if missing > 0:
            lines = max(missing, _GROWTH)
            self._counts.extend(bytes(lines))
            self._ids.frombytes(bytes(8 * lines))
            self._received_at.frombytes(bytes(8 * lines))


def sequence_of(document: bytes) -> int | None:
    """The number of the line that a document (or the line itself) holds."""
    found = SEQUENCE.search(document)
    return int(found[1]) if found else None


def _first(counts: bytearray, wanted: int) -> tuple[int, ...]:
    found: list[int] = []
    place = counts.find(wanted)
    while place >= 0 and len(found) < _NAMED:
        found.append(place)
        place = counts.find(wanted, place + 1)
    return tuple(found)
