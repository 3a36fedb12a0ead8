"""Reads the log files on the disk as needed for the import: digests, and the line before an offset.
Also reads gzips of rotated logs.

It blocks: the daemon calls it in a worker thread, before files are read.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import msgspec

from shipper.config.inputs import InputConfig
from shipper.filebeat_registry.entries import Entry
from shipper.filebeat_registry.matching import FileFacts
from shipper.files.archive import window
from shipper.files.compressed import gzips_of
from shipper.files.discovery import scan
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.found import Found
from shipper.files.identity import HEAD_BYTES, Identity, identity_of, mark_of
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.records import SUFFIX
from shipper.foreign import decoded, path_text

#: Bytes before an offset in which to search the beginning of the last line; the larger window is
#: for long lines.
_WINDOWS = (64 * 1024, 64 * 1024**2)

#: Minimum bytes of a digest, as in Filebeat (`min`).
_FEWEST = 64
_MOST = 64 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Fingerprint(msgspec.Struct, frozen=True):
    """The bytes that Filebeat's fingerprint covers (`prospector.scanner.fingerprint`)."""

    offset: int = 0
    length: int = 1024


class DiskFile(msgspec.Struct, frozen=True):
    """A log file, or a gzip of one."""

    path: str
    inode: Inode
    #: In bytes; for a gzip, the uncompressed size in its trailer (modulo 2**32).
    size: int
    born: int | None
    identity: Identity | None
    #: Filebeat's fingerprint; empty if the file is too short.
    digest: str
    #: The event time of its first line; None if it has none.
    begins: int | None
    compressed: bool


class _Line(msgspec.Struct):
    time: str = ""


_decode_line = msgspec.json.Decoder(_Line).decode


class DiskFiles:
    """The files of one input."""

    def __init__(
        self, filesystem: FileSystem, settings: InputConfig, fingerprint: Fingerprint
    ) -> None:
        self._filesystem = filesystem
        self._fingerprint = fingerprint
        #: Errors by path.
        self.unreadable: dict[str, OSError] = {}
        plain = (*settings.exclude, f"*{SUFFIX}")
        self._openers = {
            False: LogOpener(filesystem, exclude=plain, symlinks=settings.symlinks),
            True: LogOpener(filesystem, exclude=settings.exclude, symlinks=settings.symlinks),
        }
        found = scan(filesystem, settings.paths, plain, symlinks=settings.symlinks)
        self.unreadable.update(found.unreadable)
        self.files = self._read_files(found.found, compressed=False)
        if settings.compressed:
            patterns = gzips_of(settings.paths)
            gzips = scan(filesystem, patterns, settings.exclude, symlinks=settings.symlinks).found
            # As long as the file itself is there, nobody reads its gzip.
            alone = {
                inode: gzip
                for inode, gzip in gzips.items()
                if not os.path.exists(gzip.path.removesuffix(SUFFIX))
            }
            self.files += self._read_files(alone, compressed=True)

    def begins_like(self, file: DiskFile, entry: Entry) -> bool:
        """Whether it begins like the short file of an entry; False if it cannot be read."""
        if entry.covered is None or not _FEWEST <= entry.covered <= _MOST:
            return False
        with suppress(OSError), self._opened(file) as content:
            head = content.read(self._fingerprint.offset, entry.covered)
            # The form depends on the version of Filebeat.
            forms = (head, head.hex().encode())
            return len(head) == entry.covered and any(
                hashlib.sha256(form).hexdigest() == entry.value for form in forms
            )
        return False

    def facts(self, file: DiskFile, entry: Entry) -> FileFacts | None:
        """The evidence for an entry; None if the file cannot be read, or was replaced."""
        try:
            with self._opened(file) as content:
                return _facts(content, file, entry)
        except OSError as error:
            self.unreadable[file.path] = error
            return None

    def _read_files(self, found: dict[Inode, Found], *, compressed: bool) -> list[DiskFile]:
        files = []
        for path, inode in sorted((each.path, inode) for inode, each in found.items()):
            try:
                with self._opened_at(path, compressed=compressed) as content:
                    facts = self._filesystem.facts(content.descriptor)
                    if facts.inode != inode:
                        continue  # Rotated since the scan: the new file is unknown to Filebeat.
                    identity = identity_of(content.read(0, HEAD_BYTES), final=compressed)
                    size = content.length(facts.size)
                    born = self._filesystem.born(content.descriptor)
                    digest, begins = self._digest(content), _time_of_first(content)
                    files.append(
                        DiskFile(path, inode, size, born, identity, digest, begins, compressed)
                    )
            except (FileNotFoundError, NotFollowedError):
                continue
            except OSError as error:
                self.unreadable[path] = error
        return files

    def _digest(self, content: "_Content") -> str:
        head = content.read(self._fingerprint.offset, self._fingerprint.length)
        return hashlib.sha256(head).hexdigest() if len(head) == self._fingerprint.length else ""

    @contextmanager
    def _opened(self, file: DiskFile) -> Iterator["_Content"]:
        with self._opened_at(file.path, compressed=file.compressed) as content:
            if self._filesystem.facts(content.descriptor).inode != file.inode:
                raise FileNotFoundError(file.path)
            yield content

    @contextmanager
    def _opened_at(self, path: str, *, compressed: bool) -> Iterator["_Content"]:
        descriptor = self._openers[compressed].open(path).descriptor
        try:
            yield _Content(self._filesystem, descriptor, compressed)
        finally:
            self._filesystem.close(descriptor)


class _Content(msgspec.Struct, frozen=True):
    """The content of an open file, decompressed if it is a gzip."""

    filesystem: FileSystem
    descriptor: int
    compressed: bool

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`; fewer at the end."""
        if self.compressed:
            return window(self.descriptor, offset, count)
        found = bytearray()
        while len(found) < count:
            piece = self.filesystem.peek(self.descriptor, count - len(found), offset + len(found))
            if not piece:
                break
            found += piece
        return bytes(found)

    def length(self, size: int) -> int:
        """Length of the content; `size`: size of the file."""
        if not self.compressed:
            return size
        return int.from_bytes(self.filesystem.peek(self.descriptor, 4, max(0, size - 4)), "little")


def _facts(content: _Content, file: DiskFile, entry: Entry) -> FileFacts:
    offset = entry.offset or 0
    begin, before, follows, cut = 0, b"", False, 0
    for size in _WINDOWS:
        begin = max(0, offset - size)
        # One byte more, to see whether anything follows.
        found = content.read(begin, offset - begin + 1)
        before, follows = found[: offset - begin], len(found) > offset - begin
        # A last line without a newline is complete if the file cannot grow.
        ended = entry.ended and not follows
        cut = len(before) if ended else before.rfind(b"\n") + 1
        # The window must contain the whole line.
        if not begin or before.rfind(b"\n", 0, max(0, cut - 1)) >= 0:
            break
    whole_lines = before[:cut]
    return FileFacts(
        born=file.born,
        same_path=path_text(file.path) == entry.source,
        reaches=len(before) == offset - begin,
        # Without a beginning of a line in the window, nothing is known.
        line_end=begin + cut if cut or not begin else 0,
        mark=mark_of(whole_lines),
        line_time=_time_of_last(whole_lines, is_all=begin == 0),
    )


def _time_of_first(content: _Content) -> int | None:
    line, newline, _ = content.read(0, _WINDOWS[0]).lstrip(b"\r\n").partition(b"\n")
    return _time_of(line) if newline else None


def _time_of_last(lines: bytes, *, is_all: bool) -> int | None:
    """The time of the last line, in nanoseconds since the Unix epoch; None if it has none, or
    begins before `lines`. `is_all`: `lines` starts at the beginning of the file."""
    lines = lines.rstrip(b"\r\n")
    start = lines.rfind(b"\n") + 1
    if not lines or (start == 0 and not is_all):
        return None
    return _time_of(lines[start:])


def _time_of(line: bytes) -> int | None:
    found = decoded(_decode_line, line)
    try:
        written = datetime.fromisoformat(found.time if found is not None else "")
    except ValueError:
        return None
    if written.tzinfo is None:
        return None
    since = written - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
