"""The links that one input holds: where each is, and which could not be removed."""

import os
from collections.abc import Callable, ItemsView

import msgspec

from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.link_directory import DIRECTORY, LinkDirectories, LinkDirectory
from shipper.logs.events import LINK_REMOVE_FAILED, LogEvent


class Link(msgspec.Struct, frozen=True, gc=False):
    """Where a link is. There may be tens of thousands."""

    directory: LinkDirectory
    #: Its own.
    name: str

    def is_at(self, directory: LinkDirectory, name: str) -> bool:
        """Whether it is the link with that name there. Several paths may lead to one directory
        (`/var/run` and `/run`, bind mounts): its inode counts."""
        return name == self.name and directory.facts.inode == self.directory.facts.inode


class HeldLinks:
    """Those of one input."""

    def __init__(
        self,
        filesystem: FileSystem,
        directories: LinkDirectories,
        report: Callable[[LogEvent, OSError], None],
    ) -> None:
        """`report` is told of a link that cannot be removed."""
        self._filesystem = filesystem
        self._directories = directories
        self._report = report
        self._links: dict[Inode, Link] = {}
        # By the place and the name: which file each is.
        self._stuck: dict[tuple[str, str], Inode] = {}
        #: Which generation of each directory, by its place, the links were compared with.
        self.compared: dict[str, int] = {}

    def __contains__(self, inode: object) -> bool:
        return inode in self._links

    def __getitem__(self, inode: Inode) -> Link:
        return self._links[inode]

    def get(self, inode: Inode) -> Link | None:
        """The link to a file, if there is one."""
        return self._links.get(inode)

    def items(self) -> ItemsView[Inode, Link]:
        """All of them."""
        return self._links.items()

    def hold(self, inode: Inode, directory: LinkDirectory, name: str) -> None:
        """A link is there from now on."""
        directory.names[name] = inode
        self._links[inode] = Link(directory, name)
        self.compared.setdefault(directory.place, directory.generation)

    def pop(self, inode: Inode) -> Link | None:
        """A link is not to be there any more: returns it. Hand it to `LinkDirectories.forget`."""
        return self._links.pop(inode, None)

    def is_stuck(self, directory: LinkDirectory, name: str, inode: Inode) -> bool:
        """Whether that name of a file was to be removed, and could not be."""
        return self._stuck.get((directory.place, name)) == inode

    def remove(self, directory: LinkDirectory, name: str, inode: Inode) -> None:
        """Removes a name; where that is not possible it is tried again when links are adopted
        there, by the next start at the latest."""
        self._stuck.pop((directory.place, name), None)
        try:
            self._directories.changed_by_us(
                directory, lambda: self._filesystem.unlink(directory.descriptor, name)
            )
        except FileNotFoundError:
            pass  # Somebody else removed it.
        except OSError as error:
            self._stuck[directory.place, name] = inode
            error.filename = os.path.join(directory.place, DIRECTORY, name)
            self._report(LINK_REMOVE_FAILED, error)
