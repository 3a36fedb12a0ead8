"""Keeps files from being deleted before they are done: a hard link of each, in a directory
`.shipper` beside the logs.

Tetragon deletes its backups by name, and asks nobody. A file that has another name lives on, costs
no copy, and is there after a restart, too. The directory is beside the logs because a link cannot
leave its mount.

The links that should be there are compared with those that are (`reconcile`): whoever removes one,
or the whole directory, finds it made again while the file can still be reached. A link is removed
by `release` alone.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from shipper.files.filesystem import FileSystem, Inode
from shipper.files.link_directory import DIRECTORY, LinkDirectories, LinkDirectory
from shipper.files.link_names import LinkName, LinkOwner, link_name, parse_link_name
from shipper.logs.events import FILE_LINK_FAILED, LINK_REMOVE_FAILED, LogEvent

__all__ = ["DIRECTORY", "ForeignLink", "KeptFile", "LinkOwner", "Reconciled", "Retention"]

#: What linkat(2) answers for a directory that was removed (ENOENT) or mounted over (EXDEV).
_OF_A_LOST_DIRECTORY = (errno.ENOENT, errno.EXDEV)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A link that an earlier process made, open again."""

    inode: Inode
    #: Where the file was found when it was linked: it may have been renamed since.
    path: str
    descriptor: int


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
    #: The same files, where they could still be reached through the directory that was there:
    #: descriptors, which belong to whoever called.
    rescued: dict[Inode, int] = field(default_factory=dict)


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
        self._links: dict[Inode, tuple[LinkDirectory, str]] = {}
        # Which generation of each directory, by its place, the links were compared with.
        self._compared: dict[str, int] = {}
        self._reported: set[str] = set()

    def __contains__(self, inode: Inode) -> bool:
        return inode in self._links

    def keep(self, inode: Inode, path: str, descriptor: int) -> bool:
        """Links the file that is open as `descriptor` and was found at `path`; once is enough.

        Returns whether it has a link now. Where it has none, its descriptor is all that keeps it.
        """
        if inode in self._links:
            return True
        place = os.path.dirname(path)
        name = link_name(self._owner.token, inode.number, path)
        try:
            directory = self._link(path, name, descriptor, inode)
        except FileNotFoundError:
            return False  # The file has no name any more: it cannot get another one.
        except OSError as error:
            self._report_once(place, error)
            return False
        self._reported.discard(place)
        self._hold(inode, directory, name)
        return True

    def open(self, inode: Inode) -> int:
        """A descriptor of a kept file, through its link. Raises OSError; KeyError if it has
        none."""
        directory, name = self._links[inode]
        return self._filesystem.open_in(directory.descriptor, name)

    def size(self, inode: Inode) -> int:
        """Bytes of a kept file, through its link. Raises OSError; KeyError if it has none."""
        directory, name = self._links[inode]
        return self._filesystem.size_in(directory.descriptor, name)

    def release(self, inode: Inode) -> None:
        """Removes the link of a file, if there is one."""
        link = self._links.pop(inode, None)
        if link is None:
            return
        directory, name = link
        self._remove(directory, name)
        self._directories.forget(directory)

    def reconcile(self) -> Reconciled:
        """Compares the links with what is there now; returns those that are not."""
        self._directories.refresh()
        result = Reconciled()
        names: dict[int, frozenset[str] | None] = {}
        for inode, (directory, name) in list(self._links.items()):
            if directory.lost:
                self._miss(inode, directory, name, result)
                continue
            if id(directory) not in names:
                names[id(directory)] = self._names_to_compare(directory)
            there = names[id(directory)]
            if there is not None and name not in there:
                self._miss(inode, directory, name, result)
        return result

    def adopt(
        self, place: str, *, matches: Callable[[str], bool], is_known: Callable[[Inode], bool]
    ) -> Adopted:
        """Opens what earlier processes kept beside the logs in a directory: our own links, those
        with the names of version 0.1, and those without a living owner whose path `matches`.

        `is_known`: whether the registry has a file at that inode. In a directory that others could
        write to, nothing else is trusted.

        Raises OSError if that is not possible now, and then has adopted nothing; FileNotFoundError
        if nothing was ever kept there.
        """
        directory = self._directories.at(place, create=False)
        alone = self._directories.only_us(directory)
        result = Adopted()
        links: dict[Inode, str] = {}
        try:
            for name, inode in sorted(self._filesystem.list_private(directory.descriptor).items()):
                if self._links.get(inode) == (directory, name):
                    continue
                link = parse_link_name(name)
                ours = link is not None and link.owner in (
                    self._owner.token,
                    self._owner.former_token,
                )
                if link is not None and not ours and link.owner in self._directories.owners:
                    continue  # Another input's.
                path = os.path.join(place, "" if link is None else link.base)
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
                descriptor = self._filesystem.open_in(directory.descriptor, name)
                result.kept.append(KeptFile(inode, path, descriptor))
                links[inode] = self._renamed(directory, name, link, inode)
        except OSError:
            for kept in result.kept:
                self._filesystem.close(kept.descriptor)
            raise
        for inode, name in links.items():
            self._hold(inode, directory, name)
        return result

    def without_links(self) -> list[str]:
        """The directories of logs in whose `.shipper`, which is open, nothing is kept."""
        return self._directories.without_links()

    def leave(self, place: str) -> None:
        """Gives up the directory beside logs that are gone, if nothing is kept there."""
        self._compared.pop(place, None)
        try:
            self._directories.leave(place)
        except OSError as error:
            self._report_once(place, error)

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

    def _hold(self, inode: Inode, directory: LinkDirectory, name: str) -> None:
        directory.links += 1
        self._links[inode] = directory, name
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
        """The names in a directory; None if they are those that were there the last time."""
        if self._compared.get(directory.place) == directory.generation:
            return None
        try:
            names = frozenset(self._filesystem.names_in(directory.descriptor))
        except OSError as error:
            self._report_once(directory.place, error)
            return None
        self._compared[directory.place] = directory.generation
        return names

    def _is_to_adopt(
        self, link: LinkName, inode: Inode, ours: bool, alone: bool, matches: bool
    ) -> bool:
        return link.inode == inode.number and (ours or (alone and matches))

    def _renamed(self, directory: LinkDirectory, name: str, link: LinkName, inode: Inode) -> str:
        """Gives an adopted link this owner's name, so that nobody else adopts it; returns it."""
        wanted = link_name(self._owner.token, inode.number, link.base)
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

    def _miss(self, inode: Inode, directory: LinkDirectory, name: str, result: Reconciled) -> None:
        """A link that is not where it should be; opens it where the old directory still has it."""
        del self._links[inode]
        result.missing.append(inode)
        if directory.lost:
            self._compared.pop(directory.place, None)
            try:
                result.rescued[inode] = self._filesystem.open_in(directory.descriptor, name)
            except OSError:
                pass  # It is not there either; the file's own path or descriptor may still be.
        self._directories.forget(directory)

    def _report_once(self, place: str, error: OSError) -> None:
        if place in self._reported:
            return
        self._reported.add(place)
        error.filename = os.path.join(place, DIRECTORY)
        self._report(FILE_LINK_FAILED, error)
