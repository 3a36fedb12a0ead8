"""The files that an input follows: those that are open, by inode and by path, those that were
closed under way, and those that are parked. Every tail is made and ended here, and a file has its
link as soon as it is open.
"""

import errno
import os
from collections.abc import Collection

from msgspec.structs import replace

from shipper.clock import Clock
from shipper.files.content import Content, PlainContent
from shipper.files.copies import note_copied
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.gzip_content import GzipContent
from shipper.files.lines import ReadBuffer
from shipper.files.links import Links, NoLinks
from shipper.files.opening import LogOpener, NotFollowedError, OpenedLog, is_reserved
from shipper.files.parked import ParkedFiles, WaitingFile
from shipper.files.placement import Placement
from shipper.files.quiet import SeenVersions
from shipper.files.records import FileRecords
from shipper.files.tail import State, Tail
from shipper.files.writers import Writers


class FollowedFiles:
    """Those of one input."""

    def __init__(
        self,
        *,
        filesystem: FileSystem,
        clock: Clock,
        buffer: ReadBuffer,
        opener: LogOpener,
        records: FileRecords,
        versions: SeenVersions,
        writers: Writers,
        placement: Placement,
    ) -> None:
        """`opener`: opens plain files by their paths. The others are told of what ends."""
        self._filesystem = filesystem
        self._clock = clock
        self._buffer = buffer
        self._opener = opener
        self._records = records
        self._versions = versions
        self._writers = writers
        self._placement = placement
        self._links: Links = NoLinks()
        self._by_path: dict[str, Tail] = {}
        #: What appeared since the last scan began: what that saw of it is older.
        self.appeared: set[Inode] = set()
        #: Those that are open.
        self.open: dict[Inode, Tail] = {}
        #: Rewritten or given up: nothing more is read of them, but something may be in flight.
        self.retired: set[Tail] = set()
        #: Those that are not open.
        self.parked = ParkedFiles(records)
        # Those of which it was not known which they are, when it was asked last, and newer ones.
        self._waiting: dict[Tail, None] = {}

    @property
    def links(self) -> Links:
        """The links to these files."""
        return self._links

    @links.setter
    def links(self, links: Links) -> None:
        self._links = self._writers.links = links

    @property
    def inodes(self) -> Collection[Inode]:
        """Of all that are followed."""
        return self.open.keys() | self.parked.inodes if self.parked else self.open.keys()

    def follows(self, inode: Inode) -> bool:
        """Whether the file with that inode is open or parked."""
        return inode in self.open or inode in self.parked

    @property
    def waiting(self) -> list[Tail]:
        """The open files of which it is not known yet which they are."""
        self._waiting = {tail: None for tail in self._waiting if tail.state is State.WAITING}
        return list(self._waiting)

    def waits_at(self, inode: Inode | None) -> bool:
        """Whether a file with that inode is followed of which it is not known yet which it is."""
        if inode is None:
            return False
        tail = self.open.get(inode)
        if tail is not None:
            return tail.state is State.WAITING
        return inode in self.parked and not self.parked.is_placed(inode)

    def at(self, path: str) -> Tail | None:
        """The file that stands at that path, if it is open."""
        return self._by_path.get(path)

    def is_there(self, path: str, inode: Inode) -> bool:
        """Whether a path leads to that file still, or may do."""
        try:
            return self._filesystem.inode_of(path) == inode
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def open_plain(self, path: str, *, into_reserve: bool = False) -> OpenedLog:
        """Opens what stands at a path, as `LogOpener.open`."""
        return self._opener.open(path, into_reserve=into_reserve)

    def follow(self, path: str, opened: OpenedLog, *, compressed: bool = False) -> Tail:
        """Follows a file that was opened by its path, and that is not open yet; links it."""
        # The path may lead elsewhere by now: what was opened counts, not what was seen.
        tail = self.open.get(opened.inode)
        if tail is not None:
            self._filesystem.close(opened.descriptor)
            return tail
        tail = self._tail(opened.inode, path, opened.descriptor, compressed=compressed)
        tail.born = opened.born
        before = self.parked.take(opened.inode)
        if isinstance(before, WaitingFile):
            tail.found_first = before.found_first
        self.open[opened.inode] = tail
        self._by_path[path] = tail
        self._links.keep(tail.inode, path, tail.descriptor)
        tail.look()
        return tail

    def adopt(self, inode: Inode, path: str, descriptor: int, *, compressed: bool) -> Tail:
        """Follows a file that no path leads to, and that is not open yet."""
        tail = self._tail(inode, path, descriptor, compressed=compressed)
        tail.born = self._filesystem.born(descriptor)
        before = self.parked.take(inode)
        tail.gone = self._clock.now()
        if isinstance(before, WaitingFile):
            tail.found_first = before.found_first
            tail.gone = before.removed or tail.gone
        self.open[inode] = tail
        self._writers.removed(tail)
        self._versions.observe(tail)
        return tail

    def reopen_removed(self, inode: Inode, *, into_reserve: bool = False) -> Tail:
        """Opens a waiting file through its link: its name went. `into_reserve`: also with one of
        the descriptors that are no log's. Raises OSError; KeyError if it does not wait, or has no
        link."""
        file = self.parked.waiting[inode]
        descriptor = self._links.open(inode)
        if not into_reserve and is_reserved(descriptor):
            self._filesystem.close(descriptor)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        path = self.parked.path(inode)
        return self.adopt(inode, path, descriptor, compressed=file.compressed)

    def reopen(self, inode: Inode) -> Tail | None:
        """Opens a parked plain file through its path, as its link is not there; None if another
        file stands there, or none. Raises OSError."""
        path = self.parked.path(inode)
        try:
            opened = self._opener.open(path)
        except (FileNotFoundError, NotFollowedError):
            return None
        if opened.inode != inode:
            self._filesystem.close(opened.descriptor)
            return None
        return self.follow(path, replace(opened, inode=inode))  # One object for an inode.

    def park_unread(
        self, path: str, opened: OpenedLog, *, compressed: bool = False, found_first: int | None
    ) -> bool:
        """Links a file that was opened by its path, and parks it until there is a descriptor for
        it; returns whether that is possible. The descriptor is closed in any case."""
        inode = opened.inode
        try:
            if inode in self.open:
                return True
            if not self._links.keep(inode, path, opened.descriptor):
                return False
        finally:
            self._filesystem.close(opened.descriptor)
        if inode not in self.parked:
            file = WaitingFile(
                row=None,
                # A copy, made in the order in which these files are opened: those of a scan lie in
                # the order of the directory, and would free no page of memory before the last one.
                path=os.fsdecode(os.fsencode(path)),
                size=opened.size,
                modified=opened.modified,
                allocated=opened.allocated,
                compressed=compressed,
                found_first=found_first,
            )
            self.parked.wait(inode, file)
        return True

    def keep_parked(self, inode: Inode, path: str, size: int, *, compressed: bool) -> bool:
        """Parks a file that an earlier process kept and that no path is known to lead to, until it
        is opened through its link; False if it is followed already."""
        if self.follows(inode) or any(tail.inode == inode for tail in self.retired):
            return False
        file = WaitingFile(
            row=None,
            path=self._records.path_at(inode) or path,
            size=size,
            modified=0,
            allocated=size,
            compressed=compressed,
            removed=self._clock.now(),
        )
        self.parked.wait(inode, file)
        return True

    def park(self, tail: Tail, *, is_read: bool) -> None:
        """Closes a file that stays followed: it has a link, and nothing of it is in flight."""
        self.parked.park(tail, is_read=is_read)
        self._close(tail)

    def move(self, tail: Tail, path: str) -> None:
        """An open file stands at another path now, or is back."""
        self._leave_path(tail)
        tail.path, tail.gone = path, None
        self._writers.forget(tail)
        self._by_path[path] = tail
        self._records.touched(tail)

    def remove(self, tail: Tail) -> None:
        """No path leads to an open file any more."""
        tail.gone = self._clock.now()
        # Who has it open may still finish its last line: the quiet time begins anew.
        self._versions.forget(tail)
        self._writers.removed(tail)
        self._records.touched(tail)
        self._leave_path(tail)

    def retire(self, tail: Tail) -> None:
        """Closes a file of which nothing more is read; what is in flight still counts."""
        self._close(tail)
        self.retired.add(tail)
        self._records.touched(tail)

    def close(self) -> None:
        """Closes every file."""
        for tail in self.open.values():
            tail.close()

    def _close(self, tail: Tail) -> None:
        if tail.descriptor >= 0:
            note_copied(self._records, tail)
        tail.close()
        del self.open[tail.inode]
        self._waiting.pop(tail, None)
        self._leave_path(tail)
        self._versions.forget(tail)
        self._writers.forget(tail)
        self._placement.forget(tail)

    def _leave_path(self, tail: Tail) -> None:
        if self._by_path.get(tail.path) is tail:
            del self._by_path[tail.path]

    def _tail(self, inode: Inode, path: str, descriptor: int, *, compressed: bool) -> Tail:
        content: Content = (
            GzipContent(self._filesystem, descriptor, inode.device)
            if compressed
            else PlainContent(self._filesystem, descriptor, inode.device)
        )
        tail = Tail(content, self._buffer, path, inode)
        self._waiting[tail] = None
        return tail
