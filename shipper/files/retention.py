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
from collections.abc import Callable, Hashable

from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.held_links import HeldLinks, Link
from shipper.files.kept_links import Adopted, KeptFile, Reconciled
from shipper.files.link_adoption import Adoption
from shipper.files.link_directory import DIRECTORY, LinkDirectories, LinkDirectory, Opening
from shipper.files.link_names import LinkOwner, link_name
from shipper.files.link_problems import LinkProblems
from shipper.files.steps import Steps
from shipper.logs.events import (
    FILE_LINK_FAILED,
    LINK_DIRECTORY_ACCESS_FAILED,
    LINK_REMOVE_FAILED,
    LogEvent,
)

__all__ = ["DIRECTORY", "KeptFile", "LinkOwner", "Reconciled", "Retention"]

#: What linkat(2) answers for a directory that was removed (ENOENT) or mounted over (EXDEV).
_OF_A_LOST_DIRECTORY = (errno.ENOENT, errno.EXDEV)


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
        self.tokens = owner.tokens
        directories.owners.update(self.tokens)
        self._report = report
        self._links = HeldLinks(filesystem, directories, report)
        # Which opening of each directory, by its place, links were adopted from.
        self._adopted: dict[str, Opening] = {}
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
        self._links.hold(inode, directory, name)
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
        link = self._links.pop(inode)
        if link is None:
            return
        self._links.remove(link.directory, link.name, inode)
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
        adoption = Adoption(
            self._filesystem,
            self._directories,
            self._links,
            self._owner,
            directory,
            matches=matches,
            is_known=is_known,
            is_followed=is_followed,
            follow=follow,
        )
        result = yield from adoption.steps()
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
        self._links.compared.pop(place, None)
        self.problems.solve(place)
        try:
            self._directories.leave(place)
        except OSError as error:
            error.filename = os.path.join(place, DIRECTORY)
            self._report(LINK_REMOVE_FAILED, error)

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
        if self._links.compared.get(directory.place) == directory.generation:
            return None
        try:
            is_whole = not directory.exposed and self._directories.has_all_kept(directory)
            names = None if is_whole else self._directories.kept_names_in(directory)
        except OSError as error:
            error.filename = os.path.join(directory.place, DIRECTORY)
            self._report(LINK_DIRECTORY_ACCESS_FAILED, error)
            return None
        self._links.compared[directory.place] = directory.generation
        return names

    def _is_there(self, directory: LinkDirectory, name: str, there: frozenset[str]) -> bool:
        if name not in there or not directory.exposed:
            return name in there
        try:
            return self._directories.is_kept(directory, name)
        except OSError:
            return False

    def _is_missing(self, link: Link, names: dict[str, frozenset[str] | None]) -> bool:
        """Whether a link is not in its directory. `names`: those of each directory, by its place,
        that were listed for it; None: they are those that were there the last time."""
        directory = link.directory
        if directory.place not in names:
            names[directory.place] = self._names_to_compare(directory)
        there = names[directory.place]
        return there is not None and not self._is_there(directory, link.name, there)

    def _miss(self, inode: Inode, link: Link, result: Reconciled) -> None:
        """A link that is not where it should be; opens it where the old directory still has it."""
        directory = link.directory
        self._links.pop(inode)
        result.missing.append(inode)
        result.places[inode] = directory.place
        if directory.lost:
            self._links.compared.pop(directory.place, None)
            try:
                result.rescued[inode] = self._filesystem.open_in(directory.descriptor, link.name)
            except OSError:
                pass  # It is not there either; the file's own path or descriptor may still be.
        self._directories.forget(directory, link.name)
