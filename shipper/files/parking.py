"""Which files are parked: those that are done for now, and, when there are more files than
descriptors, the oldest of the others, so that the active log is never behind old ones.
"""

from collections.abc import Container, Iterator
from os.path import dirname

from shipper.clock import Clock
from shipper.files.discovery import Scan
from shipper.files.facts import Inode
from shipper.files.followed import FollowedFiles
from shipper.files.quiet import SeenVersions
from shipper.files.records import FileRecords
from shipper.files.tail import State, Tail

#: A file that is read and acknowledged is parked when it was not written to for so long, in
#: seconds: it was seen so long as it is, or its time of modification says so.
QUIET_AFTER = 30.0

#: So many files are looked at in one step.
_STEP = 1000


class Parking:
    """Parks the files of one input."""

    def __init__(
        self, files: FollowedFiles, records: FileRecords, versions: SeenVersions, clock: Clock
    ) -> None:
        self._files = files
        self._records = records
        self._versions = versions
        self._clock = clock
        self._newest: set[Inode] = set()

    def scanned(self, scan: Scan) -> None:
        """A scan saw these files: the newest of each directory stays open."""
        newest: dict[str, Inode] = {}
        for inode, found in scan.found.items():  # The newest comes first.
            newest.setdefault(dirname(found.path), inode)
        self._newest = set(newest.values())

    def park_done(self, *, full: bool) -> Iterator[int]:
        """Parks what is read and quiet, but for the newest file of each directory, in steps; for
        each how many it were. While other files wait to be opened, no time has to pass. `full`:
        there is no descriptor for them, so the newest ones are parked, too."""
        short = bool(self._files.parked.waiting)
        kept: Container[Inode] = () if full and short else self._newest
        tails = tuple(self._files.open.values())
        for first in range(0, len(tails), _STEP):
            done = [
                tail
                for tail in tails[first : first + _STEP]
                if tail.inode not in kept and self._is_done(tail, short)
            ]
            for tail in done:
                self._files.park(tail, is_read=True)
            yield len(done)

    def make_room(self, modified: int) -> bool:
        """Parks the file that was written to the longest ago; False if none was before `modified`
        (nanoseconds since the Unix epoch) that can be."""
        oldest = min(
            (tail for tail in self._files.open.values() if self._can_be_parked(tail)),
            key=lambda tail: tail.version.modified,
            default=None,
        )
        if oldest is None or oldest.version.modified >= modified:
            return False
        self._files.park(oldest, is_read=self._is_read(oldest))
        return True

    def _can_be_parked(self, tail: Tail) -> bool:
        return (
            not (tail.busy or tail.held or tail.compressed)
            and tail.state in (State.WAITING, State.READING)
            and tail.acks.all_acknowledged
            and tail.inode in self._files.links
        )

    def _is_done(self, tail: Tail, short: bool) -> bool:
        return (
            tail.gone is None
            and self._files.open.get(tail.inode) is tail
            and (short or self._is_quiet(tail))
            and self._can_be_parked(tail)
            and self._is_read(tail)
            and self._records.is_saved(tail)
        )

    def _is_read(self, tail: Tail) -> bool:
        if tail.state is State.WAITING:
            return not tail.size and tail.tried
        return not tail.may_have_data

    def _is_quiet(self, tail: Tail) -> bool:
        age = self._clock.now() - tail.modified
        return age >= QUIET_AFTER or self._versions.is_quiet(tail, QUIET_AFTER)
