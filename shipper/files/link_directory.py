"""The `.shipper` directories beside the logs, as they are on the disk now.

One descriptor each, shared by all inputs. The descriptor holds a shared lock (flock(2)): a process
that can take the lock exclusively knows that no other shipper runs here. Beside that each owner has
a lock on a byte of its own, so that it can be asked whether the owner of a link runs.

What stands in such a directory is trusted only as far as nobody else could have put it there: it
has to be ours and closed to others, and is never reached through a symbolic link. One that others
could write to is `exposed` until each link in it is known to be right; its sticky bit says so to
the next start and to `shipper registry adopt`.

    absent -> open -> lost: nothing, or another directory, stands at its path (removed, made again,
                      mounted over); it stays open until nobody counts on a link in it
"""

import contextlib
import errno
import os
from collections.abc import Callable, Hashable
from itertools import islice

from msgspec import Struct, field

from shipper.clock import Clock
from shipper.files.facts import DirectoryFacts, Inode
from shipper.files.filesystem import FileSystem
from shipper.files.link_names import OwnerToken, lock_number
from shipper.logs.events import (
    LINK_DIRECTORY_ACCESS_FAILED,
    LINK_DIRECTORY_EXPOSED,
    LINK_DIRECTORY_REPLACED,
    LogEvent,
)

#: Beside the logs. Hidden, so that no glob of an input matches what is in it.
DIRECTORY = ".shipper"

#: Its names are listed again after so many seconds, whatever its time of modification says: that
#: has the resolution of the kernel's clock tick.
SWEEP_SECONDS = 60.0


#: So many names more than twice those that are kept are listed to see which of these are there.
_FEW = 200


class LinkDirectory(Struct):
    """One of them, open."""

    #: The directory of the logs.
    place: str
    descriptor: int
    facts: DirectoryFacts
    #: Changes whenever somebody else may have changed the names in it.
    generation: int
    #: Whether others could write to it, and may have put links into it.
    exposed: bool
    #: Monotonic seconds.
    listed_at: float
    #: The links that are kept in it, of all inputs, and which file each is.
    names: dict[str, Inode] = field(default_factory=dict)
    #: Whether its path leads elsewhere by now.
    lost: bool = False


class Opening(Struct, frozen=True):
    """That of a directory beside the logs in one place."""

    #: How often one was opened there.
    times: int
    inode: Inode | None


NEVER_OPENED = Opening(0, None)


class LinkDirectories:
    """All of one daemon."""

    def __init__(
        self, filesystem: FileSystem, clock: Clock, report: Callable[[LogEvent, OSError], None]
    ) -> None:
        """`report` is told what is wrong with a directory, with what to do."""
        self._filesystem = filesystem
        self._clock = clock
        self._report = report
        #: Of the inputs of this daemon: what they keep is never taken from them.
        self.owners: set[OwnerToken] = set()
        self._open: dict[str, LinkDirectory] = {}
        self._openings: dict[str, Opening] = {}
        self._generation = 0

    def at(self, place: str, *, create: bool) -> LinkDirectory:
        """The one beside the logs in `place`, opened if it is not.

        Raises OSError: FileNotFoundError if there is none and none is to be made, PermissionError
        if it belongs to another user.
        """
        found = self._open.get(place)
        if found is None:
            found = self._open[place] = self._opened(place, create=create)
            times = self.opening(place).times + 1
            self._openings[place] = Opening(times, found.facts.inode)
        return found

    def opening(self, place: str) -> "Opening":
        """Which one was opened there last, and how often one was."""
        return self._openings.get(place, NEVER_OPENED)

    def is_other(self, place: str, opening: "Opening") -> bool:
        """Whether another one is there than that which was opened last then: it may have links that
        nobody has looked at."""
        now = self.opening(place)
        if now != opening:
            return True
        if place in self._open or now.inode is None:
            return False
        try:
            return self._filesystem.directory_facts(_path(place)).inode != now.inode
        except OSError:
            return False

    def refresh(self) -> None:
        """Compares each with what stands at its path now: one that is not there any more is `lost`,
        and of one in which somebody else may have changed names the generation changes."""
        for place, directory in list(self._open.items()):
            path = _path(place)
            try:
                facts = self._filesystem.directory_facts(path)
            except FileNotFoundError:
                self._lose(place, directory)
                continue
            except OSError as error:
                # It cannot be seen at the moment (a mount that does not answer): it is not gone.
                error.filename = path
                self._report(LINK_DIRECTORY_ACCESS_FAILED, error)
                continue
            if facts.inode != directory.facts.inode:
                self._lose(place, directory)
                self._say(LINK_DIRECTORY_REPLACED, path, errno.ESTALE)
            elif facts.open_to_others:
                try:
                    self._close_to_others(directory, path)
                except OSError as error:
                    # What is in it is not trusted, and it is tried again.
                    directory.exposed = True
                    self._touch(directory, facts)
                    error.filename = path
                    self._report(LINK_DIRECTORY_ACCESS_FAILED, error)
            elif self._changed(directory, facts):
                self._touch(directory, facts)

    def is_open(self, directory: LinkDirectory) -> bool:
        """Whether it is one of those that are open, and not lost."""
        return self._open.get(directory.place) is directory

    def generations(self) -> dict[str, int]:
        """The generation of each that is open, by its place."""
        return {place: directory.generation for place, directory in self._open.items()}

    def state_of(self, place: str) -> Hashable:
        """What is another one when somebody may have changed the names in one that is not open, and
        every SWEEP_SECONDS. Raises OSError: FileNotFoundError if there is none."""
        facts = self._filesystem.directory_facts(_path(place))
        return facts, int(self._clock.monotonic() / SWEEP_SECONDS)

    def forget(self, directory: LinkDirectory, name: str) -> None:
        """A link is not kept in it any more; one that is lost is closed with the last."""
        directory.names.pop(name, None)
        if directory.lost and not directory.names:
            self._filesystem.close(directory.descriptor)

    def is_kept(self, directory: LinkDirectory, name: str) -> bool:
        """Whether a link is kept under that name, and is the same file still: who could write to
        the directory may have put another one there. Raises OSError."""
        inode = directory.names.get(name)
        return inode is not None and self._filesystem.inode_in(directory.descriptor, name) == inode

    def kept_names_in(self, directory: LinkDirectory) -> frozenset[str]:
        """The links that are kept in a directory and are there. Raises OSError."""
        kept = directory.names
        with contextlib.closing(self._filesystem.names(directory.descriptor)) as names:
            # So many are as cheap to list as to look at one by one.
            some = list(islice(names, 2 * len(kept) + _FEW))
        there = {name for name in some if name in kept}
        if len(some) == 2 * len(kept) + _FEW:
            # There may be very many that are not ours.
            there.update(name for name in kept.keys() - there if self._has(directory, name))
        return frozenset(there)

    def has_all_kept(self, directory: LinkDirectory) -> bool:
        """Whether all links that are kept in a directory are there, as far as their names say so;
        False also if it has so many other names that this is not looked at. Raises OSError."""
        kept = directory.names
        with contextlib.closing(self._filesystem.names(directory.descriptor)) as names:
            # There may be tens of thousands: a list of them would be megabytes.
            return sum(name in kept for name in islice(names, 2 * len(kept) + _FEW)) == len(kept)

    def trust_if_all_is_kept(self, directory: LinkDirectory) -> None:
        """Takes the mark from one that was exposed if nothing is left in it that others may have
        put there. Raises OSError."""
        if not directory.exposed or directory.facts.open_to_others:
            return
        with contextlib.closing(self._filesystem.names(directory.descriptor)) as names:
            # Ends with the first that is not kept, however many others there are.
            is_kept = all(self.is_kept(directory, name) for name in names)
        if is_kept:
            self._filesystem.make_private(directory.descriptor, marked=False)
            directory.exposed = False
            directory.facts = self._filesystem.facts_of_directory(directory.descriptor)

    def changed_by_us(self, directory: LinkDirectory, change: Callable[[], None]) -> None:
        """Runs `change`, which adds or removes a name, so that it does not count as somebody
        else's. Raises what it raises."""
        before = self._filesystem.facts_of_directory(directory.descriptor)
        change()
        if before.modified == directory.facts.modified:
            directory.facts = self._filesystem.facts_of_directory(directory.descriptor)

    def only_us(self, directory: LinkDirectory) -> bool:
        """Whether no other shipper that runs has the directory open."""
        return self._filesystem.is_locked_by_us_alone(directory.descriptor)

    def has_living_owner(self, directory: LinkDirectory, owner: OwnerToken) -> bool:
        """Whether another process that runs is, or may be, that owner."""
        try:
            return self._filesystem.is_number_locked(directory.descriptor, lock_number(owner))
        except OSError:
            # There are no such locks here: it may be any of those that run.
            return not self.only_us(directory)

    def without_links(self) -> list[str]:
        """The places of those in which nothing is kept."""
        return [place for place, directory in self._open.items() if not directory.names]

    def leave(self, place: str) -> None:
        """Closes the one of a directory in which nothing is kept any more, and removes it if it is
        empty, so that its parent can be removed. Raises OSError."""
        directory = self._open.get(place)
        if directory is None or directory.names:
            return
        del self._open[place]
        try:
            if self.only_us(directory):
                self._filesystem.remove_directory(_path(place))
        finally:
            self._filesystem.close(directory.descriptor)

    def close_all(self) -> None:
        """Closes all; what is in them stays for the next start."""
        for directory in self._open.values():
            self._filesystem.close(directory.descriptor)
        self._open.clear()

    def _has(self, directory: LinkDirectory, name: str) -> bool:
        try:
            self._filesystem.inode_in(directory.descriptor, name)
        except FileNotFoundError:
            return False
        return True

    def _lose(self, place: str, directory: LinkDirectory) -> None:
        del self._open[place]
        directory.lost = True
        if not directory.names:
            self._filesystem.close(directory.descriptor)

    def _opened(self, place: str, *, create: bool) -> LinkDirectory:
        path = _path(place)
        descriptor = self._filesystem.open_private(path, create=create)
        try:
            facts = self._filesystem.facts_of_directory(descriptor)
            exposed = facts.open_to_others or facts.marked
            self._generation += 1
            directory = LinkDirectory(
                place, descriptor, facts, self._generation, exposed, self._clock.monotonic()
            )
            if facts.open_to_others:
                self._close_to_others(directory, path)
            try:
                self._filesystem.lock_shared(descriptor)
            except BlockingIOError as error:
                raise BlockingIOError(error.errno, "another process has it locked", path) from None
            self._lock_owners(directory)
        except BaseException:
            self._filesystem.close(descriptor)
            raise
        return directory

    def _lock_owners(self, directory: LinkDirectory) -> None:
        for owner in self.owners:
            try:
                self._filesystem.lock_number(directory.descriptor, lock_number(owner))
            except OSError:
                return  # Who asks for it here cannot know either, and takes us for running.

    def _close_to_others(self, directory: LinkDirectory, path: str) -> None:
        self._filesystem.make_private(directory.descriptor, marked=True)
        directory.exposed = True
        self._touch(directory, self._filesystem.facts_of_directory(directory.descriptor))
        self._say(LINK_DIRECTORY_EXPOSED, path, errno.EPERM)

    def _changed(self, directory: LinkDirectory, facts: DirectoryFacts) -> bool:
        swept = self._clock.monotonic() - directory.listed_at >= SWEEP_SECONDS
        if facts.marked != directory.facts.marked:
            return True
        return swept or facts.modified != directory.facts.modified

    def _touch(self, directory: LinkDirectory, facts: DirectoryFacts) -> None:
        self._generation += 1
        directory.generation = self._generation
        directory.facts = facts
        directory.exposed = facts.open_to_others or facts.marked
        directory.listed_at = self._clock.monotonic()

    def _say(self, event: LogEvent, path: str, number: int) -> None:
        self._report(event, OSError(number, os.strerror(number), path))


def _path(place: str) -> str:
    return os.path.join(place, DIRECTORY)
