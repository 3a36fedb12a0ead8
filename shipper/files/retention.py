"""Keeps files from being deleted before they are done: a hard link of each, in a directory
`.shipper` beside the logs.

Tetragon deletes its backups by name, and asks nobody. A file that has another name lives on, costs
no copy, and is there after a restart, too. The directory is beside the logs because a link cannot
leave its mount.

What stands in `.shipper` is trusted only as far as nobody else could have put it there: the
directory has to be ours and closed to others, and is never reached through a symbolic link.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import xxhash

from shipper.files.filesystem import FileSystem, Inode
from shipper.logs.events import FILE_LINK_FAILED, LINK_REMOVE_FAILED, LogEvent

#: Beside the logs. Hidden, so that no glob of an input matches what is in it.
DIRECTORY = ".shipper"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A link that an earlier process made, open again."""

    inode: Inode
    #: Where the file was found when it was linked: it may have been renamed since.
    path: str
    descriptor: int


@dataclass(frozen=True, slots=True)
class _Link:
    place: str
    name: str


class Retention:
    """The links of one input."""

    def __init__(
        self, filesystem: FileSystem, owner: str, report: Callable[[LogEvent, OSError], None]
    ) -> None:
        """`owner` tells our links from those of another input or shipper. `report` is told, once
        for each directory, what stands in the way; it is tried again with every file."""
        self._filesystem = filesystem
        self._prefix = f"{xxhash.xxh3_64_hexdigest(owner.encode())[:8]}-"
        self._report = report
        self._links: dict[Inode, _Link] = {}
        # By the directory of the logs.
        self._directories: dict[str, int] = {}
        self._reported: set[str] = set()

    def __contains__(self, inode: Inode) -> bool:
        return inode in self._links

    def keep(self, inode: Inode, path: str, descriptor: int) -> None:
        """Links the file that is open as `descriptor` and was found at `path`; once is enough."""
        place = os.path.dirname(path)
        if inode in self._links:
            return
        name = f"{self._prefix}{inode.number}-{os.path.basename(path)}"
        try:
            directory = self._directory(place, create=True)
            try:
                self._filesystem.link(descriptor, directory, name)
            except FileNotFoundError:
                # Either the file has no name any more, and its descriptor is all that is left, or
                # somebody removed our directory.
                self._close(place)
                self._filesystem.link(descriptor, self._directory(place, create=True), name)
        except FileNotFoundError:
            return
        except FileExistsError:
            pass  # From before: its name has the inode, nobody else's while the link stands.
        except OSError as error:
            self._report_once(place, error)
            return
        self._reported.discard(place)
        self._links[inode] = _Link(place, name)

    def release(self, inode: Inode) -> None:
        """Removes the link of a file, if there is one."""
        link = self._links.pop(inode, None)
        if link is None:
            return
        try:
            self._filesystem.unlink(self._directory(link.place, create=False), link.name)
        except FileNotFoundError:
            return
        except OSError as error:
            # The next start finds it again, sees that the file is done, and removes it.
            error.filename = link.name
            self._report(LINK_REMOVE_FAILED, error)

    def adopt(self, place: str) -> list[KeptFile]:
        """Opens what earlier processes kept beside the logs in a directory.

        Raises OSError if that is not possible now, and then has adopted nothing; FileNotFoundError
        if nothing was ever kept there.
        """
        directory = self._directory(place, create=False)
        adopted: list[tuple[_Link, KeptFile]] = []
        try:
            for name, inode in sorted(self._filesystem.list_private(directory).items()):
                number, _, base = name.removeprefix(self._prefix).partition("-")
                if not name.startswith(self._prefix) or number != str(inode.number):
                    continue
                descriptor = self._filesystem.open_in(directory, name)
                kept = KeptFile(inode, os.path.join(place, base), descriptor)
                adopted.append((_Link(place, name), kept))
        except OSError:
            for _, kept in adopted:
                self._filesystem.close(kept.descriptor)
            raise
        self._links.update({kept.inode: link for link, kept in adopted})
        return [kept for _, kept in adopted]

    def close(self) -> None:
        """Leaves the links as they are, for the next start."""
        for place in list(self._directories):
            self._close(place)
        self._links.clear()

    def _directory(self, place: str, *, create: bool) -> int:
        descriptor = self._directories.get(place)
        if descriptor is None:
            path = os.path.join(place, DIRECTORY)
            descriptor = self._filesystem.open_private(path, create=create)
            self._directories[place] = descriptor
        return descriptor

    def _close(self, place: str) -> None:
        descriptor = self._directories.pop(place, None)
        if descriptor is not None:
            self._filesystem.close(descriptor)

    def _report_once(self, place: str, error: OSError) -> None:
        if place in self._reported:
            return
        self._reported.add(place)
        error.filename = os.path.join(place, DIRECTORY)
        self._report(FILE_LINK_FAILED, error)
