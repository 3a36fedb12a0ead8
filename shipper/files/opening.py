"""The one way to a descriptor of a watched log.

Whoever opens a log by its path does it here: when it is found, when its content was rewritten and
the path is opened again, for a gzip, for `shipper check`, and for the import of Filebeat's
registry. So what an input does not follow (what a symbolic link leads to where `symlinks` is false,
what is no regular file, what `exclude` matches) is never read, whatever was put at the path since
somebody looked at it: what was opened counts.

Links in `.shipper` are opened relative to that directory, and never through a symbolic link:
see `retention`.
"""

import errno
import fnmatch
import os
import re
import resource
from collections.abc import Iterable

from msgspec import Struct

from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem

#: So many descriptors, or a quarter of what the process may have, are no log's: they are for
#: connections, the registry, the dead letter file, the admin server, and for listing directories.
RESERVED = 64


class NotFollowedError(OSError):
    """Something stands at the path, and the input does not follow it. No failure."""


class SymbolicLinkError(NotFollowedError):
    """The last component of the path is a symbolic link, and `symlinks` is false."""


class NotRegularFileError(NotFollowedError):
    """A directory, a FIFO, a socket or a device."""


class ExcludedError(NotFollowedError):
    """`exclude` matches the path."""


class Exclusion:
    """What the globs of `exclude` match. In them, `*` matches slashes too."""

    def __init__(self, globs: Iterable[str]) -> None:
        globs = tuple(globs)
        self._matches = _matcher(globs)
        # A glob that ends with a star and matches `DIRECTORY/` matches all that is below.
        self._covers = _matcher(glob for glob in globs if glob.endswith("*"))

    def __contains__(self, path: str) -> bool:
        return self._matches is not None and self._matches.match(path) is not None

    def covers(self, directory: str) -> bool:
        """Whether everything below that directory is excluded, however it is named."""
        return self._covers is not None and self._covers.match(f"{directory}/") is not None


class OpenedLog(Struct, frozen=True):
    """An open log, and what the kernel said of it when it was opened."""

    descriptor: int
    inode: Inode
    #: Bytes.
    size: int
    #: Nanoseconds since the Unix epoch; `born` is None where the file system does not tell.
    modified: int
    born: int | None
    #: What it takes of the disk, in bytes.
    allocated: int


class LogOpener:
    """Opens the logs of one input."""

    def __init__(
        self, filesystem: FileSystem, *, exclude: Iterable[str] = (), symlinks: bool = False
    ) -> None:
        """`exclude`: globs of what is not followed. `symlinks`: whether the last component of a
        path may be a symbolic link; links to directories on the way are followed in any case."""
        self._filesystem = filesystem
        self._exclusion = Exclusion(exclude)
        self._symlinks = symlinks

    def open(self, path: str, *, into_reserve: bool = False) -> OpenedLog:
        """Opens it to be read. Never blocks on a FIFO. `into_reserve`: also with one of the
        descriptors that are no log's, for who closes it at once.

        Raises NotFollowedError for what this input does not follow, and OSError (FileNotFoundError,
        PermissionError, …) where it cannot be opened; EMFILE also where only the descriptors are
        left that are no log's.
        """
        if path in self._exclusion:
            raise ExcludedError(errno.EPERM, "it is excluded", path)
        try:
            descriptor = self._filesystem.open(path, symlinks=self._symlinks)
        except OSError as error:
            if error.errno == errno.ELOOP and not self._symlinks and self._filesystem.is_link(path):
                raise SymbolicLinkError(errno.ELOOP, "it is a symbolic link", path) from None
            if error.errno in (errno.ENXIO, errno.ENODEV):  # A socket; a device without a driver.
                raise NotRegularFileError(error.errno, "it is no regular file", path) from None
            raise
        try:
            if not into_reserve and is_reserved(descriptor):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
            facts = self._filesystem.facts(descriptor)
            if not facts.is_regular:
                raise NotRegularFileError(errno.EINVAL, "it is no regular file", path)
            born = self._filesystem.born(descriptor)
        except BaseException:
            self._filesystem.close(descriptor)
            raise
        return OpenedLog(descriptor, facts.inode, facts.size, facts.modified, born, facts.allocated)


def is_reserved(descriptor: int) -> bool:
    """Whether it is one of the last, which are no log's: the kernel gives out the lowest number
    that is free."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return descriptor >= limit - min(RESERVED, limit // 4) and limit != resource.RLIM_INFINITY


def _matcher(globs: Iterable[str]) -> re.Pattern[str] | None:
    expressions = [fnmatch.translate(os.path.normcase(glob)) for glob in globs]
    return re.compile("|".join(expressions)) if expressions else None
