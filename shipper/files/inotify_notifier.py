"""Tells of changes in directories in the event loop, as inotify tells of them. All inputs share two
instances, whatever they watch:

- One has the names. It is read as soon as anything is told: a new file is opened and linked at
  once.
- One has the writes. The first one is told at once. From then on this instance is read every
  GROWTH_STEP seconds, until nothing was written in between; the kernel merges what the same file
  has to tell meanwhile. So a log that grows all the time wakes nobody up for each of its lines, and
  what is written to it is known within GROWTH_STEP all the same: what is truncated in place is lost
  if nobody has read it before.

Watches are added in threads: that asks a mount for a directory by its name.
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from shipper.clock import Clock
from shipper.files import inotify
from shipper.files.inotify import Event, Inotify, events_in
from shipper.files.notifications import Change, Listener
from shipper.files.timer import PeriodicTimer
from shipper.offload import ThreadPool

#: Seconds between two looks at what grew, while something grows.
GROWTH_STEP = 0.05

#: Seconds between two looks at names, at the least: where thousands come and go, they are told of
#: together.
NAMES_STEP = 0.01

#: So many bytes of events are remembered at the most.
_REMEMBERED = 4096

_OF_NAMES = (
    inotify.CREATE
    | inotify.DELETE
    | inotify.MOVED_FROM
    | inotify.MOVED_TO
    | inotify.DELETE_SELF
    | inotify.MOVE_SELF
    | inotify.ONLY_DIRECTORY
)
_OF_GROWTH = inotify.MODIFY | inotify.ONLY_DIRECTORY

_NEW = inotify.CREATE | inotify.MOVED_TO

#: The directory is not where it was, or is not watched any more.
_GONE = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT | inotify.IGNORED

#: What is said of a directory that just went.
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR})

#: What the system says of its limits of inotify, as of a disk or of open files (inotify(7)).
LIMITS = {
    errno.ENOSPC: "no inotify watches are left (fs.inotify.max_user_watches)",
    errno.EMFILE: "no inotify instances are left (fs.inotify.max_user_instances), or no "
    "descriptors",
}


class _Added(Struct, frozen=True):
    """The watches of a directory."""

    place: str
    names: int
    #: None: there was none left.
    growth: int | None


class _Watched(Struct, eq=False):
    """A directory: its watch in each instance, the paths that lead there, and who listens."""

    names: int
    growth: int | None
    listeners: dict[str, list[Listener]] = field(default_factory=dict)

    def paths(self, name: str) -> Iterator[tuple[str, Listener]]:
        """The paths of a name in it, each with who is told of it."""
        for place, listeners in self.listeners.items():
            path = f"{place.rstrip('/')}/{name}"
            for listener in listeners:
                yield path, listener


class _Instances:
    """Both of them, open, in the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        # Each directory of a glob has its own lane: one that hangs keeps no other waiting.
        self._add = ThreadPool("watch", each=1)
        # How many watches have ended so far, as far as that matters to who adds some.
        self._ended = 0
        with contextlib.ExitStack() as opened:
            self._names = opened.enter_context(contextlib.closing(Inotify()))
            self._growth = opened.enter_context(contextlib.closing(Inotify()))
            self._timer = opened.enter_context(contextlib.closing(PeriodicTimer()))
            opened.pop_all()
        #: By the watch in each instance.
        self._by_names: dict[int, _Watched] = {}
        self._by_growth: dict[int, _Watched] = {}
        self._names_due = 0.0
        # What the last look at what grew gave, and whom it was told.
        self._grown_data = b""
        self._grown: list[tuple[Listener, list[str]]] = []
        # When that was, in monotonic seconds.
        self._looked = 0.0
        self._names_timer: asyncio.TimerHandle | None = None
        self._resume_names()
        self._loop.add_reader(self._timer.fileno(), self._take_growth)
        self._rest()

    def close(self) -> None:
        if self._names_timer is not None:
            self._names_timer.cancel()
        for opened in (self._names, self._growth, self._timer):
            self._loop.remove_reader(opened.fileno())
            opened.close()

    async def add(self, places: Sequence[str], listener: Listener) -> list[tuple[_Watched, str]]:
        """Watches directories, and returns those that are there; raises OSError if the first one is
        not, or if there can be no more watches."""
        while True:
            ended = self._ended
            add = partial(_add, self._names, self._growth, places)
            added, error = await self._add(add, places[0])
            if ended == self._ended:
                break
            # One that ended meanwhile may be among these.
        watched = [(self._listen(each, listener), each.place) for each in added]
        if error is not None:
            for directory, place in watched:
                self.remove(directory, place, listener)
            raise error
        return watched

    def _listen(self, added: _Added, listener: Listener) -> _Watched:
        watched = self._by_names.get(added.names)
        if watched is None:
            watched = self._by_names[added.names] = _Watched(added.names, added.growth)
            if added.growth is not None:
                self._by_growth[added.growth] = watched
        watched.listeners.setdefault(added.place, []).append(listener)
        self._grown_data = b""
        return watched

    def remove(self, watched: _Watched, place: str, listener: Listener) -> None:
        """The listener does not listen any more."""
        self._grown_data = b""
        listeners = watched.listeners[place]
        listeners.remove(listener)
        if not listeners:
            del watched.listeners[place]
        if watched.listeners:
            return
        self._ended += 1
        for instance, watches, number in (
            (self._names, self._by_names, watched.names),
            (self._growth, self._by_growth, watched.growth),
        ):
            # It may be gone, and its number the one of another by now.
            if number is not None and watches.get(number) is watched:
                del watches[number]
                with contextlib.suppress(OSError):
                    instance.remove(number)

    # Names

    def _resume_names(self) -> None:
        self._loop.add_reader(self._names.fileno(), self._take_names)

    def _take_names(self) -> None:
        now = self._loop.time()
        if now < self._names_due:
            self._loop.remove_reader(self._names.fileno())
            self._names_timer = self._loop.call_at(self._names_due, self._resume_names)
            return
        self._names_due = now + NAMES_STEP
        told: dict[Listener, list[tuple[Change, str]]] = {}
        for event in events_in(self._names.read()):
            watched = self._watched(event, self._by_names)
            if event.mask & _GONE:
                self._ended += 1
            if watched is None:
                continue
            if event.mask & _GONE:
                if event.mask & inotify.IGNORED:
                    self._by_names.pop(event.watch, None)
                for place, listeners in watched.listeners.items():
                    for listener in listeners:
                        listener.gone(place)
                continue
            change = Change.added if event.mask & _NEW else Change.deleted
            for path, listener in watched.paths(event.name):
                told.setdefault(listener, []).append((change, path))
        since = self._clock.monotonic()
        for listener, changes in told.items():
            listener.told(changes, since)

    # Growth

    def _rest(self) -> None:
        """Nothing grows: the next write wakes us up."""
        self._loop.add_reader(self._growth.fileno(), self._wake)

    def _wake(self) -> None:
        self._loop.remove_reader(self._growth.fileno())
        # From now on, whatever happens in a look.
        self._timer.start(GROWTH_STEP)
        self._looked = self._clock.monotonic()
        self._take_growth()

    def _take_growth(self) -> None:
        self._timer.read()
        since, self._looked = self._looked, self._clock.monotonic()
        data = self._growth.read()
        if not data:
            self._timer.stop()
            self._rest()
            return
        grown = self._grown if data == self._grown_data else self._who_listens(data)
        for listener, paths in grown:
            listener.grew(paths, since)

    def _who_listens(self, data: bytes) -> list[tuple[Listener, list[str]]]:
        """Whom to tell what. It is mostly the same as before: one file grows."""
        told: dict[Listener, dict[str, None]] = {}
        is_usual = True
        for event in events_in(data):
            watched = self._watched(event, self._by_growth)
            is_usual &= event.mask == inotify.MODIFY
            if event.mask & inotify.IGNORED:
                self._by_growth.pop(event.watch, None)
            elif watched is not None and event.mask & inotify.MODIFY:
                for path, listener in watched.paths(event.name):
                    told.setdefault(listener, {})[path] = None
        grown = [(listener, list(paths)) for listener, paths in told.items()]
        if is_usual and len(data) <= _REMEMBERED:
            self._grown_data, self._grown = data, grown
        return grown

    def _watched(self, event: Event, watches: dict[int, _Watched]) -> _Watched | None:
        """The directory that an event is of; None if nobody listens there any more, or if events
        were dropped."""
        if event.mask & inotify.OVERFLOW:
            for listener in _listeners(watches.values()):
                listener.missed()
            return None
        return watches.get(event.watch)


class InotifyNotifier:
    """That of the whole daemon. As long as nothing is watched it has no descriptors."""

    any_name = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._instances: _Instances | None = None
        self._users = 0

    @asynccontextmanager
    async def watching(self, places: Sequence[str], listener: Listener) -> AsyncIterator[None]:
        """As `Notifier.watching`."""
        with self._open() as instances:
            try:
                added = await instances.add(places, listener)
            except OSError as error:
                raise _in_words(error) from None
            try:
                yield
            finally:
                for watched, place in added:
                    instances.remove(watched, place, listener)

    @contextlib.contextmanager
    def _open(self) -> Iterator[_Instances]:
        try:
            instances = self._instances = self._instances or _Instances(self._clock)
        except OSError as error:
            raise _in_words(error) from None
        self._users += 1
        try:
            yield instances
        finally:
            self._users -= 1
            if not self._users:
                instances.close()
                self._instances = None


def _add(
    names: Inotify, growth: Inotify, places: Sequence[str]
) -> tuple[list[_Added], OSError | None]:
    """Watches directories in both instances, until one cannot be watched; returns which, and why
    not all. Of all but the first, it does not matter if they are gone."""
    added: list[_Added] = []
    for place in places:
        try:
            added.append(_Added(place, names.add(place, _OF_NAMES), None))
            added[-1] = replace(added[-1], growth=growth.add(place, _OF_GROWTH))
        except OSError as error:
            if place == places[0] or error.errno not in _VANISHED:
                return added, error
    return added, None


def _listeners(watches: Iterable[_Watched]) -> list[Listener]:
    """Who listens to any of them, each once."""
    return list(
        dict.fromkeys(
            listener
            for watched in watches
            for listeners in watched.listeners.values()
            for listener in listeners
        )
    )


def _in_words(error: OSError) -> OSError:
    """What is about inotify says so."""
    words = LIMITS.get(error.errno or 0, error.strerror)
    return OSError(error.errno, words, error.filename)
