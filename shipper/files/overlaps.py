"""Whether two inputs match the same file: then each of them reads it.

Decided by the files that both match now, and by a glob that both have; whether two globs could
match the same name some day is not asked.
"""

from collections.abc import Collection, Mapping, Sequence

from shipper.files.filesystem import Inode


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
