"""What the files of one input need of their links."""

from typing import Protocol

from shipper.files.facts import Inode


class Links(Protocol):
    """The links of one input."""

    def __contains__(self, inode: Inode) -> bool:
        """Whether the file with that inode has a link."""

    def keep(self, inode: Inode, path: str, descriptor: int) -> bool:
        """Links a file that is open; returns whether it has a link now."""

    def count(self, inode: Inode) -> int:
        """How many of a file's names are links of ours, those of other inputs included."""

    def release(self, inode: Inode) -> None:
        """Removes the link of a file, if there is one."""

    def open(self, inode: Inode) -> int:
        """A descriptor of a file, through its link. Raises OSError; KeyError if it has none."""


class NoLinks:
    """Where nothing is kept by links."""

    def __contains__(self, inode: Inode) -> bool:
        return False

    def keep(self, inode: Inode, path: str, descriptor: int) -> bool:
        return False

    def count(self, inode: Inode) -> int:
        return 0

    def release(self, inode: Inode) -> None:
        return

    def open(self, inode: Inode) -> int:
        raise KeyError(inode)
