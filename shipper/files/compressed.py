"""Rotated logs that were compressed: which gzips have to be read, and when.

Tetragon's `exportFileCompress` makes `NAME.gz` of a rotated file and then deletes that. Mostly the
file was done before, or is kept by its link. But what was rotated and compressed while nobody
looked is in the gzip alone: it is unpacked, recognised by its content, and carried on at the offset
that is acknowledged.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shipper.clock import Clock
from shipper.files.archive import Ending, head, is_settled, unpack
from shipper.files.catalog import Catalog
from shipper.files.discovery import Scan, scan
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.identity import HEAD_BYTES, identity_of
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.tail import Tail, Version
from shipper.logs import Log

SUFFIX = ".gz"

#: More than this is not unpacked of one gzip, in bytes: it lies on the disk of the data directory.
_LARGEST = 4 * 1024**3

# The length of what is in a gzip, modulo 2**32, is at its very end (RFC 1952).
_LENGTH_BYTES = 4


def gzips_of(patterns: Sequence[str]) -> list[str]:
    """The globs of the gzips of the files that these globs match."""
    return [pattern.removesuffix(SUFFIX) + SUFFIX for pattern in patterns]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A gzip, as it was when it was looked at last."""

    version: Version
    #: Monotonic seconds since which it is like that.
    since: float
    #: Whether nothing is left to do with it.
    over: bool = False


class CompressedLogs:
    """The gzips of one input's files."""

    def __init__(
        self,
        patterns: Sequence[str],
        catalog: Catalog,
        *,
        exclude: Sequence[str],
        symlinks: bool,
        filesystem: FileSystem,
        clock: Clock,
        log: Log,
        directory: Path,
    ) -> None:
        """`patterns`: the globs of the files that become gzips. `directory`: where to unpack."""
        self._patterns = gzips_of(patterns)
        self._catalog = catalog
        self._exclude = exclude
        self._symlinks = symlinks
        self._opener = LogOpener(filesystem, exclude=exclude, symlinks=symlinks)
        self._filesystem = filesystem
        self._clock = clock
        self._log = log
        self._directory = directory
        self._seen: dict[Inode, _Seen] = {}

    def scan(self) -> Scan:
        """Which gzips are there now. Blocks on the disk."""
        return scan(self._filesystem, self._patterns, self._exclude, symlinks=self._symlinks)

    async def look(self, found: Scan) -> list[Tail]:
        """Reads, of those that were found, gzips that nobody writes any more and that have lines
        which nothing else has.

        Returns the tails that were made of them. Raises OSError if one cannot be read or unpacked
        now (a full disk); it is tried again by the next call.
        """
        self._seen = {inode: seen for inode, seen in self._seen.items() if inode in found.found}
        tails = []
        for inode, gzip in found.found.items():
            seen = self._seen.get(inode)
            version = Version(gzip.size, gzip.modified)
            if seen is not None and seen.over and seen.version == version:
                continue
            tail = await self._consider(inode, gzip.path)
            if tail is not None:
                tails.append(tail)
        return tails

    def _version(self, path: str) -> Version | None:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        return Version(found.st_size, found.st_mtime_ns)

    async def _consider(self, inode: Inode, path: str) -> Tail | None:
        try:
            descriptor = self._opener.open(path).descriptor
        except (FileNotFoundError, NotFollowedError):
            return None
        try:
            facts = self._filesystem.facts(descriptor)
            version, now = Version(facts.size, facts.modified), self._clock.monotonic()
            seen = self._seen.get(inode)
            if seen is None or seen.version != version:
                seen = self._seen[inode] = _Seen(version, now)
            if self._version(path.removesuffix(SUFFIX)) or self._catalog.has_unidentified:
                return None
            identity = identity_of(head(descriptor, HEAD_BYTES), final=True)
            length = _length(descriptor, facts.size)
            if identity is None or self._catalog.is_being_read(identity):
                return None
            if self._catalog.has_finished(identity, length):
                self._seen[inode] = replace(seen, over=True)
                return None
            return await self._unpack(path, descriptor, seen, now - seen.since)
        finally:
            self._filesystem.close(descriptor)

    async def _unpack(
        self, path: str, descriptor: int, seen: _Seen, unchanged_for: float
    ) -> Tail | None:
        inode = self._filesystem.facts(descriptor).inode
        unpacked = await unpack(descriptor, self._directory, _LARGEST)
        all_acknowledged = is_settled(
            plain_exists=False, complete=unpacked.complete, unchanged_for=unchanged_for
        )
        if not all_acknowledged or not unpacked.size:
            self._filesystem.close(unpacked.descriptor)
            if all_acknowledged:
                self._seen[inode] = replace(seen, over=True)
            return None
        if unpacked.ending is not Ending.COMPLETE:
            self._log.error(
                "a compressed log is not whole; what could be unpacked is shipped",
                path=path,
                why=unpacked.problem,
                bytes=unpacked.size,
            )
        self._seen[inode] = replace(seen, over=True)
        own = self._filesystem.facts(unpacked.descriptor).inode
        return self._catalog.adopt(own, path, unpacked.descriptor, unpacked=True)


def _length(descriptor: int, size: int) -> int:
    """The length of what is in a gzip of one member, modulo 2**32, as the gzip says."""
    tail = os.pread(descriptor, _LENGTH_BYTES, max(0, size - _LENGTH_BYTES))
    return int.from_bytes(tail, "little")
