"""Links in `.shipper` that no input of this shipper adopts by itself: whose each is, and why.

The daemon counts and logs them; `shipper registry adopt` lists them, and adopts what an operator
names (`adoption`).
"""

import os
from collections.abc import Callable, Iterable
from enum import Enum

from msgspec import Struct

from shipper.files.facts import FileFacts, Inode
from shipper.files.filesystem import FileSystem
from shipper.files.link_directory import DIRECTORY
from shipper.files.link_names import LinkName, parse_link_name
from shipper.logs import Log
from shipper.logs.events import FOREIGN_LINKS


class Obstacle(Enum):
    """Why a link is not adopted by itself. The values are for programs."""

    #: Another shipper that runs has it, and will release it.
    LIVING_OWNER = "living_owner"
    #: A directory, a FIFO, a symbolic link; or something on another file system.
    NOT_A_FILE = "not_a_file"
    #: Its name is none that a shipper gives.
    NOT_A_LINK_NAME = "not_a_link_name"
    #: It was made for another file: a copy of the directory, or a restored one.
    OTHER_INODE = "other_inode"
    #: Its owner does not run, and its log is no input's.
    NO_INPUT = "no_input"
    #: Others could write to the directory, and the registry does not know the file.
    EXPOSED = "exposed"


class LinkEntry(Struct, frozen=True):
    """Something in a `.shipper`, as it is now."""

    #: The directory of the logs.
    place: str
    name: str
    facts: FileFacts
    #: None: the name is none of a link.
    link: LinkName | None

    @property
    def path(self) -> str:
        """Its own path."""
        return os.path.join(self.place, DIRECTORY, self.name)

    @property
    def log(self) -> str:
        """Where the log was when it was linked, as far as the name says so."""
        return os.path.join(self.place, self.name if self.link is None else self.link.base)


class ForeignLink(Struct, frozen=True):
    """An entry that is left where it is, and why."""

    entry: LinkEntry
    obstacle: Obstacle

    @property
    def path(self) -> str:
        """Its own path."""
        return self.entry.path

    @property
    def size(self) -> int:
        """Bytes of the file that it keeps."""
        return self.entry.facts.size

    @property
    def has_living_owner(self) -> bool:
        """Whether a shipper is running that will release it."""
        return self.obstacle is Obstacle.LIVING_OWNER


def read_entry(filesystem: FileSystem, directory: int, place: str, name: str) -> LinkEntry:
    """Looks at a name in the `.shipper` beside the logs in `place`, which is open as `directory`.
    Raises OSError: FileNotFoundError if it is not there any more."""
    return LinkEntry(place, name, filesystem.facts_in(directory, name), parse_link_name(name))


def obstacle_of(
    entry: LinkEntry,
    *,
    ours: bool,
    lives: Callable[[LinkName], bool],
    matches: Callable[[str], bool],
) -> Obstacle | None:
    """Why an entry is not adopted by itself in a directory that nobody else could write to; None
    if it is.

    `ours`: whether its owner is the input that asks. `lives`: whether the owner of a link may be
    running; `matches`: whether a log at that path is the input's.
    """
    link = entry.link
    if link is not None and not ours and lives(link):
        return Obstacle.LIVING_OWNER
    if not entry.facts.is_regular:
        return Obstacle.NOT_A_FILE
    if link is None:
        return Obstacle.NOT_A_LINK_NAME
    if link.inode != entry.facts.inode.number:
        return Obstacle.OTHER_INODE
    return None if ours or matches(entry.log) else Obstacle.NO_INPUT


def rename_link(
    filesystem: FileSystem, directory: int, name: str, inode: Inode, wanted: str
) -> None:
    """Gives a link another name; where the same file has that name already, one link is enough.

    Raises OSError: FileExistsError if another file has that name.
    """
    if name == wanted:
        return
    try:
        there = filesystem.inode_in(directory, wanted)
    except FileNotFoundError:
        filesystem.rename_in(directory, name, wanted)
        return
    if there != inode:
        raise FileExistsError(f"another file has the name {wanted}")
    filesystem.unlink(directory, name)


class ForeignLinks:
    """Those that the inputs of a daemon found, until they are adopted or removed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        # By the directory of the logs, and by the input that found them.
        self._found: dict[str, dict[str, tuple[ForeignLink, ...]]] = {}
        # The paths of those that were logged.
        self._said: set[str] = set()

    @property
    def places(self) -> list[str]:
        """The directories of logs beside which there are some."""
        return list(self._found)

    @property
    def count(self) -> int:
        """How many belong to no shipper that runs."""
        return sum(len(self._orphaned(place)) for place in self._found)

    def found(self, place: str, input_id: str, links: Iterable[ForeignLink]) -> None:
        """An input looked at the `.shipper` of a directory: these are left there."""
        by_input = self._found.setdefault(place, {})
        by_input[input_id] = tuple(links)
        for other, known in list(by_input.items()):
            # What was foreign to one input may have been adopted by another.
            by_input[other] = tuple(link for link in known if os.path.lexists(link.path))
            if not by_input[other]:
                del by_input[other]
        if not by_input:
            del self._found[place]

    def forget(self, place: str) -> None:
        """The `.shipper` of a directory is not there any more."""
        self._found.pop(place, None)

    def say(self) -> None:
        """Warns of each directory in which there are others than before."""
        for place in self._found:
            links = self._orphaned(place)
            if not self._said.issuperset(links):
                self._log.emit(
                    FOREIGN_LINKS,
                    path=place,
                    links=len(links),
                    bytes=sum(link.size for link in links.values()),
                    hint="`shipper registry adopt` lists them with the reason, and adopts them",
                )
                self._said.update(links)

    def _orphaned(self, place: str) -> dict[str, ForeignLink]:
        """By their paths: each once, whichever inputs found it."""
        found = (link for links in self._found[place].values() for link in links)
        return {link.path: link for link in found if not link.has_living_owner}
