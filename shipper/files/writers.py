"""Whether somebody still writes a log that no path leads to any more.

After a rename out of the globs, or an `rm`, a writer goes on as long as it has the file open:
logrotate's until its HUP, Tetragon for up to 10 MB. Of a file without a name the kernel can be
asked (`FileSystem.has_writer`); of one that has a name elsewhere it is not, since that would hold
up whoever opens it.
"""

from shipper.files.filesystem import FileSystem
from shipper.files.links import Links, NoLinks
from shipper.files.tail import Tail


class Writers:
    """The writers of one input's removed files."""

    def __init__(self, filesystem: FileSystem) -> None:
        self._filesystem = filesystem
        #: The links of ours to its files.
        self.links: Links = NoLinks()
        # How large files were when they were found removed, until it was said that somebody writes.
        self._watched: dict[Tail, int] = {}

    def removed(self, tail: Tail) -> None:
        """No path leads to the file any more."""
        tail.look()
        if not tail.compressed:
            self._watched[tail] = tail.size

    def forget(self, tail: Tail) -> None:
        """The file is back, or closed."""
        self._watched.pop(tail, None)

    def has_writer(self, tail: Tail) -> bool | None:
        """Whether somebody has a removed file open to write; None if that cannot be known, or if it
        has a name still."""
        if not self._is_nameless(tail):
            return None
        return self._filesystem.has_writer(tail.descriptor, tail.inode.device)

    def newly_noticed(self) -> list[Tail]:
        """The files without a name that somebody still writes; each once."""
        noticed = []
        for tail, size in list(self._watched.items()):
            if not self._is_nameless(tail):
                continue
            writer = self.has_writer(tail)
            if writer or tail.size > size:
                noticed.append(tail)
            if tail in noticed or writer is False:
                del self._watched[tail]  # Nobody can open it any more.
        return noticed

    def _is_nameless(self, tail: Tail) -> bool:
        if tail.descriptor < 0:
            return False
        try:
            names = self._filesystem.facts(tail.descriptor).names
        except OSError:
            return False
        return names <= self.links.count(tail.inode)
