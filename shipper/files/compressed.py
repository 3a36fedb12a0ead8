"""Rotated logs that were compressed: which gzips have to be read, and when.

Tetragon's `exportFileCompress` makes `NAME.gz` of a rotated file and then deletes that. Mostly the
file was done before, or is kept by its link. But what was rotated and compressed while nobody
looked is in the gzip alone: it is followed like any file, recognised by its content, and carried on
at the offset that is acknowledged.

A gzip waits only for what may hold the same lines: the file that it is made from, a plain file that
nobody has tried to identify yet, one that is followed and has the same content up to its offset.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from shipper.files.archive import Ending
from shipper.files.catalog import Catalog
from shipper.files.discovery import Globs, Scan, is_hidden, scan
from shipper.files.filesystem import FileSystem, Inode, inode_in
from shipper.files.identity import Identity
from shipper.files.lines import NoLine
from shipper.files.losses import LossReason
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.placement import Start
from shipper.files.records import SUFFIX
from shipper.files.registry import FileRecord
from shipper.files.tail import State, Tail, Version
from shipper.files.walk import Found
from shipper.logs import Log
from shipper.logs.events import COMPRESSED_FILE_DAMAGED
from shipper.metrics import Metrics

#: How many gzips of an input are inflated at a time: each costs up to 100 KB, and a line's length.
_AT_A_TIME = 8

#: So many gzips of a scan are opened in one step.
_STEP = 100


def gzips_of(patterns: Sequence[str]) -> list[str]:
    """The globs of the gzips of the files that these globs match."""
    return [pattern.removesuffix(SUFFIX) + SUFFIX for pattern in patterns]


#: How a gzip ends of which nobody knows how much is missing.
_LOST = {
    Ending.CUT: LossReason.DAMAGED,
    Ending.DAMAGED: LossReason.DAMAGED,
    Ending.TOO_LARGE: LossReason.TOO_LARGE,
}


@dataclass(slots=True)
class _Gzip:
    """What is known of one gzip."""

    tail: Tail
    #: Plain files that were found no later and not tried yet.
    waits_for: set[Tail]
    identity: Identity | None = None
    #: Whether plain files with the same first line have the same content.
    same: dict[Tail, bool] = field(default_factory=dict)
    #: Whether it had its turn.
    tried: bool = False
    #: From where on it is read; None before it is.
    start: int | None = None
    #: Whether what is wrong with it was reported.
    reported: bool = False
    #: Whether the loss of its rest was.
    recorded: bool = False
    #: The version in which nothing was left to do with it.
    over: Version | None = None


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
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`patterns` and `exclude`: the globs of the files that become gzips. `symlinks`: whether
        gzips are followed through symbolic links."""
        self._patterns = gzips_of(patterns)
        # What is not to be read is not to be read when it is compressed, either.
        self._exclude = [*exclude, *(glob + SUFFIX for glob in exclude)]
        self._symlinks = symlinks
        self._opener = LogOpener(filesystem, exclude=self._exclude, symlinks=symlinks)
        self._globs = Globs(self._patterns, self._exclude)
        self._catalog = catalog
        self._filesystem = filesystem
        self._metrics = metrics
        self._log = log
        self._gzips: dict[Inode, _Gzip] = {}
        self._looked = False
        catalog.remember_while(self._is_there)

    def matches(self, path: str) -> bool:
        """Whether the gzip at that path is one of them, if there is one."""
        return path in self._globs

    def scan(self) -> Scan:
        """Which gzips are there now. Blocks on the disk."""
        return scan(self._filesystem, self._patterns, self._exclude, symlinks=self._symlinks)

    def looking(self, found: Scan) -> Iterator[list[OSError]]:
        """Follows gzips that are new to what a scan found, in steps as those of
        `Catalog.applying`; for each of them what kept some from being opened."""
        problems: list[OSError] = []
        full = False
        for number, (inode, file) in enumerate(found.found.items()):
            if number % _STEP == _STEP - 1:
                yield problems
                problems = []
            try:
                if not full or inode in self._gzips:
                    self._consider(inode, file)
            except (FileNotFoundError, NotFollowedError):
                continue  # Rotated away since the scan, or something else is there.
            except OSError as error:
                error.filename = error.filename or file.path
                problems.append(error)
                full = error.errno in (errno.EMFILE, errno.ENFILE)
        for inode, gzip in list(self._gzips.items()):
            if self._is_blank(gzip.tail):
                self._drop(gzip)
            self._report(gzip)
            self._record_loss(gzip)
            if inode in found.found:
                continue
            if gzip.tail.descriptor >= 0:
                if self._catalog.miss(gzip.tail, found):
                    gzip.tail.original_exists = False
            elif not is_hidden(gzip.tail.path, found.unreadable):
                del self._gzips[inode]
        self._looked = True
        self._catalog.gzips_found()
        yield problems

    def wait_for(self, tails: Iterable[Tail]) -> None:
        """Gzips that were not tried yet wait for these files, too, which were kept and are followed
        again: what is in a gzip may be what was made of one of them."""
        tails = set(tails)
        for gzip in self._gzips.values():
            if not gzip.tried:
                gzip.waits_for |= tails

    def appear(self, path: str) -> Tail | None:
        """Follows the gzip at a path that is new, without a scan; None if there is none to follow.
        Raises OSError if it cannot be opened; a later scan does."""
        try:
            if self._filesystem.is_link(path) and not self._symlinks:
                return None
            found = self._filesystem.status(path)
            file = Found(path, found.st_size, found.st_mtime_ns)
            return self._consider(inode_in(found), file, appeared=True)
        except (FileNotFoundError, NotFollowedError):
            return None

    async def place(self, tail: Tail, *, at_once: bool = False) -> Start | NoLine | None:
        """Decides where a gzip begins to be read; None while it has to wait, or if it need not be
        read; MORE: call again. `at_once`: also if enough others are being read."""
        gzip = self._gzips.get(tail.inode)
        if gzip is None or gzip.tail is not tail:
            gzip = self._gzips[tail.inode] = _Gzip(tail, set())
        gzip.tried = True
        if self._must_wait(gzip):
            return None
        tail.is_covered = False
        if gzip.identity is None or tail.is_replaced:
            gzip.identity = await tail.identify(final=self._catalog.is_final(tail))
        if tail.at_end and not tail.size and self._catalog.is_final(tail):
            self._drop(gzip)
            return None
        if gzip.identity is None:
            return NoLine.MORE if tail.is_searching else None
        same = await self._is_followed(gzip, gzip.identity)
        if same is None:
            return NoLine.MORE
        tail.is_covered = same
        done = None if same else self._catalog.records.finished_as(tail, gzip.identity)
        if done is not None:
            tail.done_as = done
            self._drop(gzip)
            return None
        if same or (not at_once and self._being_read() >= _AT_A_TIME):
            tail.rest()
            return None
        start = await self._catalog.place(tail)
        if isinstance(start, Start):
            gzip.start = start.offset
        return start

    def _consider(self, inode: Inode, file: Found, *, appeared: bool = False) -> Tail | None:
        gzip, path = self._gzips.get(inode), file.path
        if gzip is not None and gzip.over is None and gzip.tail.is_finished:
            gzip.over = gzip.tail.version
        if gzip is not None and gzip.over == Version(file.size, file.modified):
            gzip.tail.path = path
            if gzip.identity is not None:
                self._catalog.records.found_again(gzip.identity, path)
            return None
        tail = self._catalog.follow_gzip(inode, path, self._opener, appeared=appeared)
        if tail is None:
            return None
        if gzip is None or gzip.tail is not tail:
            self._gzips[tail.inode] = _Gzip(tail, self._catalog.untried())
        tail.original_exists = os.path.lexists(path.removesuffix(SUFFIX))
        tail.is_covered |= tail.original_exists
        return tail

    def _must_wait(self, gzip: _Gzip) -> bool:
        tail = gzip.tail
        tail.original_exists = tail.gone is None and os.path.lexists(tail.path.removesuffix(SUFFIX))
        gzip.waits_for &= self._catalog.untried()
        return tail.original_exists or bool(gzip.waits_for)

    async def _is_followed(self, gzip: _Gzip, identity: Identity) -> bool | None:
        """Whether another file that is followed has the same content up to its offset.

        None: the gzip has to be read on for that.
        """
        for other in self._catalog.records.followed(identity):
            same = gzip.same.get(other)
            if other is gzip.tail or same is False:
                continue
            if same is None and not other.acks.offset:
                if not gzip.tail.begins_like(other):
                    gzip.same[other] = False
                    continue
            elif same is None:
                same = await gzip.tail.has_mark(other.acks.offset, other.acks.mark)
                if same is None:
                    return None
                gzip.same[other] = same
                if not same:
                    continue
            return True
        return False

    def _being_read(self) -> int:
        tails = (gzip.tail for gzip in self._gzips.values())
        return sum(tail.descriptor >= 0 and tail.state is not State.WAITING for tail in tails)

    def _is_blank(self, tail: Tail) -> bool:
        """Whether nothing but NULs is in a gzip, which is what it is going to be."""
        if tail.state is not State.WAITING or tail.is_covered or tail.unread or not tail.at_end:
            return False
        return tail.tried and tail.descriptor >= 0 and self._catalog.is_final(tail)

    def _drop(self, gzip: _Gzip) -> None:
        """Nothing of it has to be read."""
        gzip.over = gzip.tail.version
        self._catalog.give_up(gzip.tail)
        self._report(gzip)

    def _report(self, gzip: _Gzip) -> None:
        tail = gzip.tail
        if gzip.reported or not tail.problem:
            return
        if not tail.is_finished and (tail.descriptor < 0 or not self._catalog.is_final(tail)):
            return
        gzip.reported = True
        ending = tail.ending or Ending.EMPTY
        self._metrics.count("shipper_gzip_problems_total", 1, ending.value)
        self._log.emit(
            COMPRESSED_FILE_DAMAGED, path=tail.path, reason=tail.problem, bytes=tail.size
        )

    def _record_loss(self, gzip: _Gzip) -> None:
        """Records once that the rest of a gzip is lost."""
        tail, reason = gzip.tail, _LOST.get(gzip.tail.ending or Ending.EMPTY)
        if reason is None or not gzip.reported or gzip.recorded or gzip.start is None:
            return
        gzip.recorded = True
        # If it was read to its end by an earlier process, that has recorded it.
        if tail.size > gzip.start:
            self._catalog.record_loss(reason, tail, tail.size, tail.size, size=0, lines=None)

    def _is_there(self, record: FileRecord) -> bool:
        """Whether a gzip that holds that file may be there: it would be read again."""
        gzips = self._gzips.values()
        return not self._looked or any(
            not gzip.tried or record.identity in (gzip.identity, gzip.tail.legacy_identity)
            for gzip in gzips
        )
