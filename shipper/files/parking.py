"""Which files are parked: those that are done for now, and, when there are more files than
descriptors, the oldest of the others, so that the active log is never behind old ones.
"""

from collections.abc import Iterator
from os.path import dirname

from shipper.clock import Clock
from shipper.files.discovery import Scan
from shipper.files.filesystem import Inode
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

    def park_quiet(self, scan: Scan, *, short: bool) -> Iterator[int]:
        """Parks what is done for now, but for the newest file of each directory, in steps; for each
        how many it were. `short`: there are files for which no descriptor is left: no time has to
        pass."""
        candidates = [tail for tail in self._files.open.values() if self._is_done(tail, short)]
        newest = _newest(scan, {dirname(tail.path) for tail in candidates})
        for first in range(0, len(candidates), _STEP):
            parked = 0
            for tail in candidates[first : first + _STEP]:
                if tail.inode not in newest and self._can_be_parked(tail):
                    self._files.park(tail, is_read=True)
                    parked += 1
            yield parked

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


def _newest(scan: Scan, directories: set[str]) -> set[Inode]:
    """The newest file of each of these directories."""
    newest: dict[str, Inode] = {}
    for inode, found in scan.found.items():  # The newest comes first.
        if len(newest) == len(directories):
            break
        directory = dirname(found.path)
        if directory in directories:
            newest.setdefault(directory, inode)
    return set(newest.values())
