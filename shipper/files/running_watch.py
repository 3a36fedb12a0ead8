"""A watch that is under way: what it was told goes to the input, and what ends it is noted."""

import asyncio
from collections.abc import Callable, Sequence

from shipper.files.facts import Inode
from shipper.files.notifications import Changes

#: How soon a watch ends, to begin anew, of which one of the directories below has gone, in seconds:
#: another one may stand there. Where many come and go, this is done for them together.
_RENEWED_AFTER = 0.5


class RunningWatch:
    """The `Listener` of one directory of a glob, and of those below it."""

    def __init__(
        self,
        places: tuple[str, ...],
        completely: bool,
        inode: Inode,
        tell: Callable[[Changes, float], None],
        grew: Callable[[Sequence[str], float], None],
    ) -> None:
        self.places = places
        #: Whether they are all that matter.
        self.completely = completely
        self.inode = inode
        self.stop = asyncio.Event()
        #: Whether the directories are watched by now, and whether somebody asks at the moment
        #: whether the path still leads there.
        self.has_begun = False
        self.is_looked_at = False
        #: Whether it ended by what somebody did in the directories, and why it failed.
        self.is_disturbed = False
        self.error: Exception | None = None
        self._tell = tell
        self._grew = grew

    def told(self, changes: Changes, since: float) -> None:
        try:
            self._tell(changes, since)
        except Exception as error:
            # It belongs to the task that watches.
            self.lost(error)

    def grew(self, paths: Sequence[str], since: float) -> None:
        try:
            self._grew(paths, since)
        except Exception as error:
            self.lost(error)

    def missed(self) -> None:
        self.told([], 0.0)

    def gone(self, place: str) -> None:
        self.missed()
        pause = 0.0 if place == self.places[0] else _RENEWED_AFTER
        asyncio.get_running_loop().call_later(pause, self.stop.set)

    def lost(self, error: Exception | None = None) -> None:
        self.is_disturbed |= error is None
        self.error = self.error or error
        self.stop.set()
