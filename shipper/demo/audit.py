"""Audits deliveries: counts numbered lines, and finds lost and duplicated ones.

Made for millions of lines: a line takes about twenty bytes, including its id. Ids are stored as
hashes; the probability that two ids of a line have the same hash is 2**-64.
"""

import statistics
import time
from array import array
from collections.abc import Sequence

import xxhash
from msgspec import Struct

from shipper.demo.events import SEQUENCE

#: Maximum of lost or doubled numbers in an audit.
_NAMED = 5

# Lines by which the arrays grow.
_GROWTH = 1 << 16


class Lag(Struct, frozen=True):
    """Seconds from the write of a line to its first receipt."""

    median: float
    maximum: float


class Audit(Struct, frozen=True):
    """The result for the lines that were written."""

    written: int
    #: Lines that arrived at least once.
    delivered: int
    lost: int
    doubled: int
    #: Documents without a number, or with a number that was not written.
    strange: int
    #: The first numbers of each.
    lost_numbers: tuple[int, ...]
    doubled_numbers: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """Whether every line arrived exactly once, and nothing else arrived."""
        return not (self.lost or self.doubled or self.strange)


class LineCounts:
    """Counts the documents of each numbered line, and the time of the first one."""

    def __init__(self) -> None:
        self._counts = bytearray()
        #: Hash of the id of the first document of a line; 0 if there is none yet.
        self._ids = array("Q")
        #: Hashes of other ids: of duplicates, and of documents without a valid number.
        self._more_ids: set[int] = set()
        self._strange = 0
        self._received_at = array("d")
        #: Lines that have arrived.
        self.received = 0

    def take(self, document_id: str, document: bytes) -> bool:
        """Counts a document; returns False if there is one with this id already."""
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
        """The audit of the lines 0 to `written` - 1."""
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
        """The lag of lines from 0 on, written at these times (`time.monotonic`); None without
        lines."""
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
    """The number of the line in a document (or of a line)."""
    found = SEQUENCE.search(document)
    return int(found[1]) if found else None


def _first(counts: bytearray, wanted: int) -> tuple[int, ...]:
    found: list[int] = []
    place = counts.find(wanted)
    while place >= 0 and len(found) < _NAMED:
        found.append(place)
        place = counts.find(wanted, place + 1)
    return tuple(found)
