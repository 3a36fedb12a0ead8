"""What is told of directories that are watched, and who tells it: `InotifyNotifier`, or
`WatchfilesNotifier` where there is no inotify.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Protocol


class Change(Enum):
    """What happened to a name."""

    added = "added"
    #: Its file was written to, or cut.
    modified = "modified"
    deleted = "deleted"


#: Each change with the path of the name.
Changes = Sequence[tuple[Change, str]]


class Listener(Protocol):
    """Who is told."""

    def told(self, changes: Changes, since: float) -> None:
        """What changed, with what was written to. `since`: nothing of it is older (monotonic
        seconds)."""

    def grew(self, paths: Sequence[str], since: float) -> None:
        """These files were written to, or cut, and nothing else happened; `since` as in `told`."""

    def missed(self) -> None:
        """Something changed, and nobody knows what: there was too much to tell of."""

    def gone(self, place: str) -> None:
        """One of the directories was removed or moved, or its file system was unmounted."""

    def lost(self, error: Exception | None = None) -> None:
        """None of them is watched any more, because of that error, or else of something that will
        be over when they are watched anew."""


class Notifier(Protocol):
    """Watches directories."""

    @property
    def any_name(self) -> bool:
        """Whether it knows names that are not UTF-8, as surrogates (`os.fsdecode`)."""

    def watching(
        self, places: Sequence[str], listener: Listener
    ) -> AbstractAsyncContextManager[None]:
        """Tells what happens in these directories (not below them) inside of the context. Of all
        but the first, it does not matter if they are gone. Raises OSError."""
