"""Whether two inputs match the same file: then each of them reads it.

Decided by the files that both match now, and by a glob that both have; whether two globs could
match the same name some day is not asked.
"""

from collections.abc import Collection, Mapping, Sequence

from shipper.files.discovery import Scan
from shipper.files.facts import Inode
from shipper.files.tracked_input import TrackedInput
from shipper.logs import Log
from shipper.logs.events import INPUTS_OVERLAP


class Overlaps:
    """Says of each pair of inputs once that both match a file."""

    def __init__(self, inputs: Sequence[TrackedInput], log: Log) -> None:
        self._inputs = inputs
        self._log = log
        # Pairs of which it was said.
        self._known: set[frozenset[str]] = set()

    def scanned(self, source: TrackedInput, found: Scan) -> None:
        """Compares what a scan of one input found with what the others follow."""
        for other in self._inputs:
            pair = frozenset((source.input_id, other.input_id))
            if other is source or pair in self._known:
                continue
            shared = shared_glob(
                source.patterns, source.exclude, other.patterns, other.exclude
            ) or shared_file(
                {inode: file.path for inode, file in found.found.items() if file.path},
                other.catalog.inodes,
            )
            if shared is not None:
                self._known.add(pair)
                self._log.emit(
                    INPUTS_OVERLAP, input=source.input_id, other_input=other.input_id, path=shared
                )


def shared_glob(
    patterns: Sequence[str],
    exclude: Sequence[str],
    other_patterns: Sequence[str],
    other_exclude: Sequence[str],
) -> str | None:
    """A glob that two inputs have; None if there is none, or if they leave out different files."""
    if set(exclude) != set(other_exclude):
        return None
    return next((pattern for pattern in patterns if pattern in other_patterns), None)


def shared_file(found: Mapping[Inode, str], other: Collection[Inode]) -> str | None:
    """The first path, by name, of the files in `found` that are among those of another input."""
    return min((path for inode, path in found.items() if inode in other), default=None)
