"""Which of the links that earlier processes kept, and that an operator gave to an input, are
adopted: in steps, as others could put a million names into a `.shipper` that they could write to.
"""

import contextlib
import errno
import os
from collections.abc import Callable

from msgspec import Struct

from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.foreign_links import (
    ForeignLink,
    LinkEntry,
    Obstacle,
    obstacle_of,
    read_entry,
    rename_link,
)
from shipper.files.held_links import HeldLinks
from shipper.files.kept_links import Adopted, KeptFile
from shipper.files.link_directory import LinkDirectories, LinkDirectory
from shipper.files.link_names import LinkOwner, link_name, parse_link_name
from shipper.files.steps import Steps

#: So many entries of one `.shipper` that are left there are named.
MOST_FOREIGN = 10_000

#: So many names are looked at in one step.
_STEP = 200


class Adoption(Struct, frozen=True):
    """That of the links in one directory, by one input."""

    filesystem: FileSystem
    directories: LinkDirectories
    links: HeldLinks
    owner: LinkOwner
    directory: LinkDirectory
    #: Whether a file at a path is the input's.
    matches: Callable[[str], bool]
    #: Whether the registry has a file at an inode.
    is_known: Callable[[Inode], bool]
    #: Whether that file is followed.
    is_followed: Callable[[Inode], bool]
    #: Is told of what is adopted, or was.
    follow: Callable[[KeptFile], None]

    def steps(self) -> Steps[Adopted]:
        """Looks at all names. Raises OSError if that is not possible now."""
        result = Adopted()
        with contextlib.closing(self.filesystem.names(self.directory.descriptor)) as names:
            for number, name in enumerate(names):
                if number % _STEP == _STEP - 1:
                    yield []
                    if not self.directories.is_open(self.directory):
                        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                if self._is_settled(name):
                    continue  # There may be tens of thousands of these.
                kept = self._look_at(name, result)
                if kept is not None:
                    self.follow(kept)
        return result

    def _is_settled(self, name: str) -> bool:
        """Whether a name is that of a link of ours whose file is followed."""
        inode = self.directory.names.get(name)
        if inode is None or self.directory.exposed:
            return False
        link = self.links.get(inode)
        is_ours = link is not None and link.is_at(self.directory, name)
        return is_ours and self.is_followed(inode)

    def _look_at(self, name: str, result: Adopted) -> KeptFile | None:
        """Adopts what has a name, if it is one of ours or of nobody, and returns it."""
        link = parse_link_name(name)
        ours = link is not None and link.owner in self.owner.tokens
        if link is not None and not ours and link.owner in self.directories.owners:
            if name not in self.directory.names:
                result.of_inputs.add(link.owner)
            return None
        if link is None and len(result.foreign) >= MOST_FOREIGN:
            return None  # Nobody could put it there while it was ours alone.
        try:
            return self._consider(name, ours, result)
        except FileNotFoundError:
            return None  # Somebody removed or renamed it since.

    def _consider(self, name: str, ours: bool, result: Adopted) -> KeptFile | None:
        """Adopts a link that is no other input's, or says why not; returns the file that it keeps,
        if it is ours now, or was."""
        directory, links = self.directory, self.links
        entry = read_entry(self.filesystem, directory.descriptor, directory.place, name)
        inode = entry.facts.inode
        obstacle = obstacle_of(
            entry,
            ours=ours,
            lives=lambda link: self.directories.has_living_owner(directory, link.owner),
            matches=self.matches,
        )
        held = links.get(inode)
        is_held = held is not None and held.is_at(directory, name)
        if held is None and links.is_stuck(directory, name, inode):
            links.remove(directory, name, inode)
            return None
        if obstacle is None and held is not None and not is_held:
            # From before its log was renamed: one link is enough.
            links.remove(directory, name, inode)
            return None
        if obstacle is None and not is_held and directory.exposed and not self.is_known(inode):
            obstacle = Obstacle.EXPOSED
        if obstacle is not None:
            if len(result.foreign) < MOST_FOREIGN:
                result.foreign.append(ForeignLink(entry, obstacle))
            return None
        if not is_held:
            links.hold(inode, directory, self._renamed(entry))
        return KeptFile(inode, entry.log, entry.facts.size)

    def _renamed(self, entry: LinkEntry) -> str:
        """Gives an adopted link this owner's name, so that nobody else adopts it; returns the name
        that it has."""
        inode = entry.facts.inode
        wanted = link_name(self.owner.token, inode.number, entry.log)
        try:
            self.directories.changed_by_us(
                self.directory,
                lambda: rename_link(
                    self.filesystem, self.directory.descriptor, entry.name, inode, wanted
                ),
            )
        except FileExistsError:
            return entry.name  # It is released by the name that it has.
        return wanted
