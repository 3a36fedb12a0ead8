"""Keeps files from being deleted before they are done: a hard link of each, in a directory
`.shipper` beside the logs.

Tetragon deletes its backups by name, and asks nobody. A file that has another name lives on, costs
no copy, and is there after a restart, too. The directory is beside the logs because a link cannot
leave its mount.

The links that should be there are compared with those that are (`reconcile`): whoever removes one,
or the whole directory, finds it made again while the file can still be reached. A link is removed
by `release` alone.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Hashable

import msgspec

from shipper.files.filesystem import FileSystem, Inode
from shipper.files.foreign_links import (
    ForeignLink,
    LinkEntry,
    Obstacle,
    obstacle_of,
    read_entry,
    rename_link,
)
from shipper.files.kept_links import Adopted, KeptFile, Reconciled
from shipper.files.link_directory import DIRECTORY, LinkDirectories, LinkDirectory, Opening
from shipper.files.link_names import LinkOwner, link_name, parse_link_name
from shipper.files.link_problems import LinkProblems
from shipper.files.steps import Steps, at_once
from shipper.logs.events import (
    FILE_LINK_FAILED,
    LINK_DIRECTORY_ACCESS_FAILED,
    LINK_REMOVE_FAILED,
    LogEvent,
)

__all__ = ["DIRECTORY", "KeptFile", "LinkOwner", "Reconciled", "Retention"]

#: So many entries of one `.shipper` that are left there are named: others could put a million into
#: one that they could write to.
MOST_FOREIGN = 10_000

#: So many names are looked at in one step.
_STEP = 200

#: What linkat(2) answers for a directory that was removed (ENOENT) or mounted over (EXDEV).
_OF_A_LOST_DIRECTORY = (errno.ENOENT, errno.EXDEV)


class _Link(msgspec.Struct, frozen=True, gc=False):
    """Where a link is. There may be tens of thousands."""

    directory: LinkDirectory
    #: Its own.
    name: str

    def is_at(self, directory: LinkDirectory, name: str) -> bool:
        """Whether it is the link with that name there. Several paths may lead to one directory
        (`/var/run` and `/run`, bind mounts): its inode counts."""
        return name == self.name and directory.facts.inode == self.directory.facts.inode


class Retention:
    """The links of one input."""

    def __init__(
        self,
        filesystem: FileSystem,
        directories: LinkDirectories,
        owner: LinkOwner,
        report: Callable[[LogEvent, OSError], None],
    ) -> None:
        """`report` is told, once for each directory, what stands in the way; it is tried again
        with every file."""
        self._filesystem = filesystem
        self._directories = directories
        self._owner = owner
        #: What the names of its links begin with, now and until version 0.1.
        self.tokens = frozenset((owner.token, owner.former_token))
        directories.owners.update(self.tokens)
        self._report = report
        self._links: dict[Inode, _Link] = {}
        # Which generation of each directory, by its place, the links were compared with.
        self._compared: dict[str, int] = {}
        # Which opening of each directory, by its place, links were adopted from.
        self._adopted: dict[str, Opening] = {}
        self._stuck: dict[tuple[str, str], Inode] = {}  # Links that could not be removed.
        #: Where no links can be made.
        self.problems = LinkProblems()

    def __contains__(self, inode: Inode) -> bool:
        return inode in self._links

    def keep(self, inode: Inode, path: str, descriptor: int) -> bool:
        """Links the file that is open as `descriptor` and was found at `path`; once is enough.

        Returns whether it has a link now. Where it has none, its descriptor is all that keeps it.
        """
        if inode in self._links:
            return True
        place, name = os.path.dirname(path), link_name(self._owner.token, inode.number, path)
        try:
            directory = self._link(path, name, descriptor, inode)
        except FileNotFoundError:
            return False  # The file has no name any more: it cannot get another one.
        except OSError as error:
            if self.problems.meet(place, error):
                error.filename = os.path.join(place, DIRECTORY)
                self._report(FILE_LINK_FAILED, error)
            return False
        self.problems.solve(place)
        self._hold(inode, directory, name)
        return True

    def open(self, inode: Inode) -> int:
        """A descriptor of a kept file, through its link. Raises OSError (FileNotFoundError if it is
        another file by now); KeyError if it has none."""
        link = self._links[inode]
        descriptor = self._filesystem.open_in(link.directory.descriptor, link.name)
        if self._filesystem.facts(descriptor).inode != inode:
            self._filesystem.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), link.name)
        return descriptor

    def size(self, inode: Inode) -> int:
        """Bytes of a kept file, through its link. Raises OSError; KeyError if it has none."""
        link = self._links[inode]
        return self._filesystem.size_in(link.directory.descriptor, link.name)

    def release(self, inode: Inode) -> None:
        """Removes the link of a file, if there is one."""
        link = self._links.pop(inode, None)
        if link is None:
            return
        self._remove(link.directory, link.name, inode)
        self._directories.forget(link.directory, link.name)

    def reconcile(self) -> Reconciled:
        """Compares the links with what is there now; returns those that are not."""
        self.problems.begin_scan()
        self._directories.refresh()
        names: dict[str, frozenset[str] | None] = {}
        missing = [
            (inode, link)
            for inode, link in self._links.items()
            if link.directory.lost or self._is_missing(link, names)
        ]
        result = Reconciled()
        for inode, link in missing:
            self._miss(inode, link, result)
        return result

    def adopt(
        self,
        place: str,
        *,
        matches: Callable[[str], bool],
        is_known: Callable[[Inode], bool],
        is_followed: Callable[[Inode], bool],
        follow: Callable[[KeptFile], None],
    ) -> Adopted:
        """As `adopting`, at once."""
        return at_once(
            self.adopting(
                place, matches=matches, is_known=is_known, is_followed=is_followed, follow=follow
            )
        )

    def adopting(
        self,
        place: str,
        *,
        matches: Callable[[str], bool],
        is_known: Callable[[Inode], bool],
        is_followed: Callable[[Inode], bool],
        follow: Callable[[KeptFile], None],
    ) -> Steps[Adopted]:
        """Takes over what earlier processes kept beside the logs in a directory, and what an
        operator gave to this input: our own links, those with the names of version 0.1, and those
        without a living owner whose path `matches`. `follow` is told of each, one after the other,
        and of those that are taken over already unless they are `is_followed`.

        `is_known`: whether the registry has a file at that inode. In a directory that others could
        write to, nothing else is trusted, and of what is not, MOST_FOREIGN are named.

        Raises OSError if that is not possible now: call again; FileNotFoundError if nothing was
        ever kept there.
        """
        self._adopted[place] = self._directories.opening(place)
        directory = self._directories.at(place, create=False)
        self._adopted[place] = self._directories.opening(place)
        result = Adopted()
        with contextlib.closing(self._filesystem.names(directory.descriptor)) as names:
            for number, name in enumerate(names):
                if number % _STEP == _STEP - 1:
                    yield []
                    if not self._directories.is_open(directory):
                        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                if self._is_settled(directory, name, is_followed):
                    continue  # There may be tens of thousands of these.
                kept = self._look_at(directory, name, matches, is_known, result)
                if kept is not None:
                    follow(kept)
        try:
            self._directories.trust_if_all_is_kept(directory)
        except OSError as error:
            # What is adopted is adopted; the mark stays until the next look.
            error.filename = os.path.join(place, DIRECTORY)
            self._report(LINK_DIRECTORY_ACCESS_FAILED, error)
        return result

    def generations(self) -> dict[str, int]:
        """What changes with the names in the `.shipper` of a directory, as long as that is open."""
        return self._directories.generations()

    def state_of(self, place: str) -> Hashable:
        """As `LinkDirectories.state_of`."""
        return self._directories.state_of(place)

    def replaced(self) -> set[str]:
        """The places where another directory is than that of which links were adopted: it was
        removed and made again, or something was mounted over it, or is not any more."""
        is_other = self._directories.is_other
        return {place for place, opening in self._adopted.items() if is_other(place, opening)}

    def without_links(self) -> list[str]:
        """The directories of logs in whose `.shipper`, which is open, nothing is kept."""
        return self._directories.without_links()

    def leave(self, place: str) -> None:
        """Gives up the directory beside logs that are gone, if nothing is kept there."""
        self._compared.pop(place, None)
        self.problems.solve(place)
        try:
            self._directories.leave(place)
        except OSError as error:
            error.filename = os.path.join(place, DIRECTORY)
            self._report(LINK_REMOVE_FAILED, error)

    def _remove(self, directory: LinkDirectory, name: str, inode: Inode) -> None:
        self._stuck.pop((directory.place, name), None)
        try:
            self._directories.changed_by_us(
                directory, lambda: self._filesystem.unlink(directory.descriptor, name)
            )
        except FileNotFoundError:
            pass  # Somebody else removed it.
        except OSError as error:
            # Tried again when links are adopted there, by the next start at the latest.
            self._stuck[directory.place, name] = inode
            error.filename = os.path.join(directory.place, DIRECTORY, name)
            self._report(LINK_REMOVE_FAILED, error)

    def _hold(self, inode: Inode, directory: LinkDirectory, name: str) -> None:
        directory.names[name] = inode
        self._links[inode] = _Link(directory, name)
        self._compared.setdefault(directory.place, directory.generation)

    def _link(self, path: str, name: str, descriptor: int, inode: Inode) -> LinkDirectory:
        """Makes the link; returns the directory that it is in."""
        place = os.path.dirname(path)
        directory = self._directories.at(place, create=True)
        try:
            self._link_in(directory, path, name, descriptor, inode)
        except OSError as error:
            if error.errno not in _OF_A_LOST_DIRECTORY:
                raise
            # Or the file has no name any more, or its name is on another mount.
            self._directories.refresh()
            if not directory.lost:
                raise
            directory = self._directories.at(place, create=True)
            self._link_in(directory, path, name, descriptor, inode)
        return directory

    def _link_in(
        self, directory: LinkDirectory, path: str, name: str, descriptor: int, inode: Inode
    ) -> None:
        try:
            self._directories.changed_by_us(
                directory, lambda: self._filesystem.link(descriptor, directory.descriptor, name)
            )
        except FileExistsError:
            # From before: its name has the inode, nobody else's while the link stands. Unless
            # somebody put another file there.
            if self._filesystem.inode_in(directory.descriptor, name) != inode:
                raise
        except OSError as error:
            if error.errno == errno.EXDEV and not self._is_at(path, inode):
                # Its directory was mounted over, or it was moved to another mount.
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
            raise

    def _is_at(self, path: str, inode: Inode) -> bool:
        try:
            return self._filesystem.inode_of(path) == inode
        except OSError:
            return False

    def _names_to_compare(self, directory: LinkDirectory) -> frozenset[str] | None:
        """The kept names that are in a directory; None if all are there, or are those of the last
        time."""
        if self._compared.get(directory.place) == directory.generation:
            return None
        try:
            is_whole = not directory.exposed and self._directories.has_all_kept(directory)
            names = None if is_whole else self._directories.kept_names_in(directory)
        except OSError as error:
            error.filename = os.path.join(directory.place, DIRECTORY)
            self._report(LINK_DIRECTORY_ACCESS_FAILED, error)
            return None
        self._compared[directory.place] = directory.generation
        return names

    def _is_settled(
        self, directory: LinkDirectory, name: str, is_followed: Callable[[Inode], bool]
    ) -> bool:
        """Whether a name is that of a link of ours whose file is followed."""
        inode = directory.names.get(name)
        if inode is None or directory.exposed:
            return False
        link = self._links.get(inode)
        is_ours = link is not None and link.is_at(directory, name)
        return is_ours and is_followed(inode)

    def _look_at(
        self,
        directory: LinkDirectory,
        name: str,
        matches: Callable[[str], bool],
        is_known: Callable[[Inode], bool],
        result: Adopted,
    ) -> KeptFile | None:
        """Adopts what has a name, if it is one of ours or of nobody, and returns it."""
        link = parse_link_name(name)
        ours = link is not None and link.owner in self.tokens
        if link is not None and not ours and link.owner in self._directories.owners:
            if name not in directory.names:
                result.of_inputs.add(link.owner)
            return None
        if link is None and len(result.foreign) >= MOST_FOREIGN:
            return None  # Nobody could put it there while it was ours alone.
        try:
            return self._consider(directory, name, ours, matches, is_known, result)
        except FileNotFoundError:
            return None  # Somebody removed or renamed it since.

    def _consider(
        self,
        directory: LinkDirectory,
        name: str,
        ours: bool,
        matches: Callable[[str], bool],
        is_known: Callable[[Inode], bool],
        result: Adopted,
    ) -> KeptFile | None:
        """Adopts a link that is no other input's, or says why not; returns the file that it keeps,
        if it is ours now, or was."""
        entry = read_entry(self._filesystem, directory.descriptor, directory.place, name)
        inode = entry.facts.inode
        obstacle = obstacle_of(
            entry,
            ours=ours,
            lives=lambda link: self._directories.has_living_owner(directory, link.owner),
            matches=matches,
        )
        held = self._links.get(inode)
        if held is None and self._stuck.get((directory.place, name)) == inode:
            self._remove(directory, name, inode)
            return None
        is_held = held is not None and held.is_at(directory, name)
        if obstacle is None and held is not None and not is_held:
            # From before its log was renamed: one link is enough.
            self._remove(directory, name, inode)
            return None
        if obstacle is None and not is_held and directory.exposed and not is_known(inode):
            obstacle = Obstacle.EXPOSED
        if obstacle is not None:
            if len(result.foreign) < MOST_FOREIGN:
                result.foreign.append(ForeignLink(entry, obstacle))
            return None
        if not is_held:
            self._hold(inode, directory, self._renamed(directory, entry))
        return KeptFile(inode, entry.log, entry.facts.size)

    def _renamed(self, directory: LinkDirectory, entry: LinkEntry) -> str:
        """Gives an adopted link this owner's name, so that nobody else adopts it; returns the name
        that it has."""
        inode = entry.facts.inode
        wanted = link_name(self._owner.token, inode.number, entry.log)
        try:
            self._directories.changed_by_us(
                directory,
                lambda: rename_link(
                    self._filesystem, directory.descriptor, entry.name, inode, wanted
                ),
            )
        except FileExistsError:
            return entry.name  # It is released by the name that it has.
        return wanted

    def _is_there(self, directory: LinkDirectory, name: str, there: frozenset[str]) -> bool:
        if name not in there or not directory.exposed:
            return name in there
        try:
            return self._directories.is_kept(directory, name)
        except OSError:
            return False

    def _is_missing(self, link: _Link, names: dict[str, frozenset[str] | None]) -> bool:
        """Whether a link is not in its directory. `names`: those of each directory, by its place,
        that were listed for it; None: they are those that were there the last time."""
        directory = link.directory
        if directory.place not in names:
            names[directory.place] = self._names_to_compare(directory)
        there = names[directory.place]
        return there is not None and not self._is_there(directory, link.name, there)

    def _miss(self, inode: Inode, link: _Link, result: Reconciled) -> None:
        """A link that is not where it should be; opens it where the old directory still has it."""
        directory = link.directory
        del self._links[inode]
        result.missing.append(inode)
        result.places[inode] = directory.place
        if directory.lost:
            self._compared.pop(directory.place, None)
            try:
                result.rescued[inode] = self._filesystem.open_in(directory.descriptor, link.name)
            except OSError:
                pass  # It is not there either; the file's own path or descriptor may still be.
        self._directories.forget(directory, link.name)
