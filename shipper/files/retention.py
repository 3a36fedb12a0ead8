"""Keeps files from being deleted before they are done: a hard link of each, in a directory
`.shipper` beside the logs.

Tetragon deletes its backups by name, and asks nobody. A file that has another name lives on, costs
no copy, and is there after a restart, too. The directory is beside the logs because a link cannot
leave its mount.

The links that should be there are compared with those that are (`reconcile`): whoever removes one,
or the whole directory, finds it made again while the file can still be reached. A link is removed
by `release` alone.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from shipper.files.filesystem import FileSystem, Inode
from shipper.files.link_directory import DIRECTORY, LinkDirectories, LinkDirectory
from shipper.files.link_names import LinkName, LinkOwner, base_of, joined, parse_link_name
from shipper.files.link_problems import LinkProblems
from shipper.logs.events import (
    FILE_LINK_FAILED,
    LINK_DIRECTORY_ACCESS_FAILED,
    LINK_REMOVE_FAILED,
    LogEvent,
)

__all__ = ["DIRECTORY", "ForeignLink", "KeptFile", "LinkOwner", "Reconciled", "Retention"]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file whose link an earlier process made."""

    inode: Inode
    #: Where the file was found when it was linked: it may have been renamed since.
    path: str
    #: Bytes.
    size: int


@dataclass(frozen=True, slots=True)
class ForeignLink:
    """A link that is not this input's, and is left where it is."""

    #: Its own path.
    path: str
    #: Bytes of the file that it keeps.
    size: int
    #: Whether a shipper may be running that will release it.
    has_living_owner: bool


@dataclass(slots=True)
class Adopted:
    """What `Retention.adopt` found in one directory."""

    kept: list[KeptFile] = field(default_factory=list)
    foreign: list[ForeignLink] = field(default_factory=list)


@dataclass(slots=True)
class Reconciled:
    """Links that are not there although they should be."""

    #: Of files that nothing else of ours leads to any more, unless a path or descriptor does.
    missing: list[Inode] = field(default_factory=list)
    #: The directory of logs beside which each of these links was.
    places: dict[Inode, str] = field(default_factory=dict)
    #: The same files, where they could still be reached through the directory that was there:
    #: descriptors, which belong to whoever called.
    rescued: dict[Inode, int] = field(default_factory=dict)


class _Link(msgspec.Struct, frozen=True, gc=False):
    """Where a link is. There may be tens of thousands."""

    directory: LinkDirectory
    #: The part of its name that says which log it keeps.
    base: str


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
        directories.owners.update((owner.token, owner.former_token))
        self._report = report
        self._links: dict[Inode, _Link] = {}
        # Which generation of each directory, by its place, the links were compared with.
        self._compared: dict[str, int] = {}
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
        place, base = os.path.dirname(path), base_of(path)
        try:
            directory = self._link(place, self._name(inode, base), descriptor, inode)
        except FileNotFoundError:
            return False  # The file has no name any more: it cannot get another one.
        except OSError as error:
            if self.problems.meet(place, error):
                error.filename = os.path.join(place, DIRECTORY)
                self._report(FILE_LINK_FAILED, error)
            return False
        self.problems.solve(place)
        self._hold(inode, directory, base)
        return True

    def open(self, inode: Inode) -> int:
        """A descriptor of a kept file, through its link. Raises OSError; KeyError if it has
        none."""
        link = self._links[inode]
        return self._filesystem.open_in(link.directory.descriptor, self._name(inode, link.base))

    def size(self, inode: Inode) -> int:
        """Bytes of a kept file, through its link. Raises OSError; KeyError if it has none."""
        link = self._links[inode]
        return self._filesystem.size_in(link.directory.descriptor, self._name(inode, link.base))

    def release(self, inode: Inode) -> None:
        """Removes the link of a file, if there is one."""
        link = self._links.pop(inode, None)
        if link is None:
            return
        self._remove(link.directory, self._name(inode, link.base))
        self._directories.forget(link.directory)

    def reconcile(self) -> Reconciled:
        """Compares the links with what is there now; returns those that are not."""
        self.problems.begin_scan()
        self._directories.refresh()
        names: dict[str, frozenset[str] | None] = {}
        missing = [
            (inode, link)
            for inode, link in self._links.items()
            if link.directory.lost or self._is_missing(inode, link, names)
        ]
        result = Reconciled()
        for inode, link in missing:
            self._miss(inode, link, result)
        return result

    def adopt(
        self, place: str, *, matches: Callable[[str], bool], is_known: Callable[[Inode], bool]
    ) -> Adopted:
        """Takes over what earlier processes kept beside the logs in a directory: our own links,
        those with the names of version 0.1, and those without a living owner whose path `matches`.
        Those that are taken over already are among them.

        `is_known`: whether the registry has a file at that inode. In a directory that others could
        write to, nothing else is trusted.

        Raises OSError if that is not possible now: call again; FileNotFoundError if nothing was
        ever kept there.
        """
        directory = self._directories.at(place, create=False)
        alone = self._directories.only_us(directory)
        result = Adopted()
        for name, inode in sorted(self._filesystem.list_private(directory.descriptor).items()):
            link = parse_link_name(name)
            ours = link is not None and link.owner in (self._owner.token, self._owner.former_token)
            if link is not None and not ours and link.owner in self._directories.owners:
                continue  # Another input's.
            path = os.path.join(place, "" if link is None else link.base)
            held = self._links.get(inode)
            is_held = held is not None and (held.directory, self._name(inode, held.base)) == (
                directory,
                name,
            )
            if not is_held:
                if link is None or not self._is_to_adopt(link, inode, ours, alone, matches(path)):
                    if not ours:
                        result.foreign.append(self._foreign(directory, name, link, alone))
                    continue
                if inode in self._links:
                    # From before its log was renamed: one link is enough.
                    self._remove(directory, name)
                    continue
                if directory.exposed and not is_known(inode):
                    result.foreign.append(self._foreign(directory, name, link, alone))
                    continue
                name = self._renamed(directory, name, link, inode)
                self._hold(inode, directory, link.base)
            size = self._filesystem.size_in(directory.descriptor, name)
            result.kept.append(KeptFile(inode, path, size))
        return result

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

    def _remove(self, directory: LinkDirectory, name: str) -> None:
        try:
            self._directories.changed_by_us(
                directory, lambda: self._filesystem.unlink(directory.descriptor, name)
            )
        except FileNotFoundError:
            pass  # Somebody else removed it.
        except OSError as error:
            # The next start finds it again, sees that the file is done, and removes it.
            error.filename = os.path.join(directory.place, DIRECTORY, name)
            self._report(LINK_REMOVE_FAILED, error)

    def _name(self, inode: Inode, base: str) -> str:
        return joined(self._owner.token, inode.number, base)

    def _hold(self, inode: Inode, directory: LinkDirectory, base: str) -> None:
        directory.links += 1
        self._links[inode] = _Link(directory, base)
        self._compared.setdefault(directory.place, directory.generation)

    def _link(self, place: str, name: str, descriptor: int, inode: Inode) -> LinkDirectory:
        """Makes the link; returns the directory that it is in."""
        directory = self._directories.at(place, create=True)
        try:
            self._link_in(directory, name, descriptor, inode)
        except FileNotFoundError:
            # Either the file has no name any more, or somebody removed our directory.
            self._directories.refresh()
            if not directory.lost:
                raise
            directory = self._directories.at(place, create=True)
            self._link_in(directory, name, descriptor, inode)
        return directory

    def _link_in(self, directory: LinkDirectory, name: str, descriptor: int, inode: Inode) -> None:
        try:
            self._directories.changed_by_us(
                directory, lambda: self._filesystem.link(descriptor, directory.descriptor, name)
            )
        except FileExistsError:
            # From before: its name has the inode, nobody else's while the link stands. Unless
            # somebody put another file there.
            if self._filesystem.inode_in(directory.descriptor, name) != inode:
                raise

    def _names_to_compare(self, directory: LinkDirectory) -> frozenset[str] | None:
        """The names in a directory; None if they are those that were there the last time."""
        if self._compared.get(directory.place) == directory.generation:
            return None
        try:
            names = frozenset(self._filesystem.names_in(directory.descriptor))
        except OSError as error:
            error.filename = os.path.join(directory.place, DIRECTORY)
            self._report(LINK_DIRECTORY_ACCESS_FAILED, error)
            return None
        self._compared[directory.place] = directory.generation
        return names

    def _is_to_adopt(
        self, link: LinkName, inode: Inode, ours: bool, alone: bool, matches: bool
    ) -> bool:
        return link.inode == inode.number and (ours or (alone and matches))

    def _renamed(self, directory: LinkDirectory, name: str, link: LinkName, inode: Inode) -> str:
        """Gives an adopted link this owner's name, so that nobody else adopts it; returns it."""
        wanted = self._name(inode, link.base)
        if wanted != name:
            self._directories.changed_by_us(
                directory, lambda: self._filesystem.rename_in(directory.descriptor, name, wanted)
            )
        return wanted

    def _foreign(
        self, directory: LinkDirectory, name: str, link: LinkName | None, alone: bool
    ) -> ForeignLink:
        size = self._filesystem.size_in(directory.descriptor, name)
        path = os.path.join(directory.place, DIRECTORY, name)
        return ForeignLink(path, size, has_living_owner=link is not None and not alone)

    def _is_missing(
        self, inode: Inode, link: _Link, names: dict[str, frozenset[str] | None]
    ) -> bool:
        """Whether a link is not in its directory. `names`: those of each directory, by its place,
        that were listed for it; None: they are those that were there the last time."""
        directory = link.directory
        if directory.place not in names:
            names[directory.place] = self._names_to_compare(directory)
        there = names[directory.place]
        return there is not None and self._name(inode, link.base) not in there

    def _miss(self, inode: Inode, link: _Link, result: Reconciled) -> None:
        """A link that is not where it should be; opens it where the old directory still has it."""
        directory = link.directory
        del self._links[inode]
        result.missing.append(inode)
        result.places[inode] = directory.place
        if directory.lost:
            self._compared.pop(directory.place, None)
            try:
                result.rescued[inode] = self._filesystem.open_in(
                    directory.descriptor, self._name(inode, link.base)
                )
            except OSError:
                pass  # It is not there either; the file's own path or descriptor may still be.
        self._directories.forget(directory)
