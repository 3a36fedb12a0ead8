"""Which files an input follows at the moment: looks at its directories, keeps what would be deleted
before it is done, gives up what is too much, and says goodbye to what is done.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shipper.files.catalog import Catalog, ClosedFile
from shipper.files.compressed import CompressedLogs
from shipper.files.discovery import Scan, WakeUp, directory_of, scan
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.overlaps import shared_file, shared_glob
from shipper.files.retention import Retention
from shipper.files.scan_log import ScanLog
from shipper.files.tail import Tail
from shipper.logs import Log
from shipper.logs.events import (
    COMPRESSED_FILE_READ_FAILED,
    DELETED_FILE_ABANDONED,
    DIRECTORY_FOUND,
    DIRECTORY_MISSING,
    FILE_FINISHED,
    FILE_OPEN_FAILED,
    INPUTS_OVERLAP,
    KEPT_FILE_ADOPTED,
    KEPT_FILES_READ_FAILED,
    PATH_ACCESS_FAILED,
    UNREAD_DATA_LOST,
    UNREAD_LINES_UNKNOWN,
)
from shipper.metrics import Metrics
from shipper.option_names import OWN_NAMES, OptionNames


@dataclass(frozen=True, slots=True)
class TrackedInput:
    """The files of one input."""

    input_id: str
    patterns: Sequence[str]
    catalog: Catalog
    wake_up: WakeUp
    #: Globs of what is left out although `patterns` match it.
    exclude: Sequence[str] = ()
    #: Whether symbolic links to files are followed.
    symlinks: bool = True
    #: None: nothing is kept by links.
    retention: Retention | None = None
    #: None: gzips are not looked at.
    compressed: CompressedLogs | None = None


class FileTracker:
    """Keeps the catalogs of all inputs as the disk is."""

    def __init__(
        self,
        inputs: Sequence[TrackedInput],
        *,
        filesystem: FileSystem,
        faults: FileErrors,
        metrics: Metrics,
        log: Log,
        max_kept_bytes: int,
        names: OptionNames = OWN_NAMES,
    ) -> None:
        """`max_kept_bytes`: of files that are deleted and not done; `names`: what messages call the
        options."""
        self._names = names
        self._inputs = inputs
        self._filesystem = filesystem
        self._faults = faults
        self._metrics = metrics
        self._log = log
        self._max_kept_bytes = max_kept_bytes
        self._adopted: dict[str, set[str]] = {}
        self._missing: dict[str, frozenset[str]] = {}
        self._scan_logs: dict[str, ScanLog] = {}
        # Pairs of inputs that are known to match the same file.
        self._overlapping: set[frozenset[str]] = set()

    async def scan(self, source: TrackedInput) -> None:
        """Looks at the input's directories now."""
        await self._scan(source)
        if self._log.debug_enabled:
            scans = self._scan_logs.setdefault(source.input_id, ScanLog(self._log, source.input_id))
            scans.scanned(source.catalog.tails)

    async def _scan(self, source: TrackedInput) -> None:
        found = scan(self._filesystem, source.patterns, source.exclude, symlinks=source.symlinks)
        self._report(source, found)
        for error in source.catalog.apply(found):
            self._faults.report(FILE_OPEN_FAILED, error)
        self._report_overlaps(source, found)
        if source.retention is not None:
            self._adopt(source, source.retention, found)
            self.keep(source, source.catalog.tails)
        await self._obey_quota()
        for closed in source.catalog.close_finished():
            self._report_closed(source, closed)
        if source.compressed is not None:
            try:
                await source.compressed.look()
            except OSError as error:
                error.filename = error.filename or source.input_id
                self._faults.report(COMPRESSED_FILE_READ_FAILED, error)

    def keep(self, source: TrackedInput, tails: Iterable[Tail]) -> None:
        """Has a link to each file that is not done or was written to lately, and to no other."""
        if source.retention is None:
            return
        for tail in tails:
            if tail.descriptor < 0 or tail.unpacked:
                continue
            if tail.is_acknowledged and source.catalog.is_quiet(tail):
                source.retention.release(tail.inode)
            else:
                source.retention.keep(tail.inode, tail.path, tail.descriptor)

    def close(self) -> None:
        """Closes all files; only those that are not done stay kept for the next start."""
        for source in self._inputs:
            if source.retention is not None:
                for tail in source.catalog.tails:
                    # A closed one has left its inode to the content that is there now; an open one
                    # may have grown since somebody looked.
                    tail.look()
                    if tail.descriptor >= 0 and tail.is_acknowledged:
                        source.retention.release(tail.inode)
                source.retention.close()
            source.catalog.close()

    def kept(self) -> list[tuple[TrackedInput, Tail]]:
        """The files that are deleted and not done, the oldest first."""
        kept = [
            (source, tail)
            for source in self._inputs
            for tail in source.catalog.tails
            if tail.gone is not None and tail.descriptor >= 0
            if not tail.unpacked and not tail.is_acknowledged
        ]
        return sorted(kept, key=lambda each: (each[1].modified, each[1].path))

    def _adopt(self, source: TrackedInput, retention: Retention, found: Scan) -> None:
        """Follows again what an earlier process kept, once for each directory."""
        seen = self._adopted.get(source.input_id)
        places = {os.path.dirname(path) for path in found.found.values()}
        if seen is None:
            seen = self._adopted[source.input_id] = set()
            places.update(directory_of(pattern) for pattern in source.patterns)
            places.update(os.path.dirname(path) for path in source.catalog.recorded_paths())
        for place in sorted(places - seen):
            try:
                links = retention.adopt(place)
            except FileNotFoundError:
                seen.add(place)  # Nothing was ever kept there.
                continue
            except OSError as error:
                error.filename = error.filename or place
                self._faults.report(KEPT_FILES_READ_FAILED, error)
                continue
            seen.add(place)
            for link in links:
                if source.catalog.adopt(link.inode, link.path, link.descriptor) is not None:
                    self._log.emit(KEPT_FILE_ADOPTED, path=link.path)

    async def _obey_quota(self) -> None:
        kept = self.kept()
        excess = sum(tail.size for _, tail in kept) - self._max_kept_bytes
        for source, tail in kept:
            if excess <= 0:
                return
            if tail.busy:
                continue  # In the middle of a read; the next scan is soon.
            excess -= tail.size
            tail.stop()
            size, lines = await self._count_unread(tail)
            source.catalog.give_up(tail)
            if source.retention is not None:
                source.retention.release(tail.inode)
            self._metrics.count("shipper_lost_bytes_total", size, "retention")
            self._metrics.count("shipper_lost_lines_total", lines, "retention")
            self._log.emit(
                DELETED_FILE_ABANDONED,
                path=tail.path,
                lost_bytes=size,
                lost_lines=lines,
                hint=f"kept files took more than {self._names('retention.max_bytes')}: raise it, "
                "or see why the cluster takes no lines",
            )

    async def _count_unread(self, tail: Tail) -> tuple[int, int]:
        """Bytes and lines that are not read; the lines as far as they can be."""
        try:
            return await tail.count_unread()
        except OSError as error:
            error.filename = error.filename or tail.path
            self._faults.report(UNREAD_LINES_UNKNOWN, error)
            return tail.size - tail.offset, 0

    def _report_closed(self, source: TrackedInput, closed: ClosedFile) -> None:
        if source.retention is not None and closed.inode is not None:
            source.retention.release(closed.inode)
        if not closed.lost:
            self._log.emit(FILE_FINISHED, path=closed.path, size=closed.size)
            return
        self._metrics.count("shipper_lost_bytes_total", closed.lost, "rewritten")
        self._log.emit(
            UNREAD_DATA_LOST,
            path=closed.path,
            read=closed.size,
            lost_bytes=closed.lost,
        )

    def _report_overlaps(self, source: TrackedInput, found: Scan) -> None:
        for other in self._inputs:
            pair = frozenset((source.input_id, other.input_id))
            if other is source or pair in self._overlapping:
                continue
            shared = shared_glob(
                source.patterns, source.exclude, other.patterns, other.exclude
            ) or shared_file(found.found, other.catalog.inodes)
            if shared is not None:
                self._overlapping.add(pair)
                self._log.emit(
                    INPUTS_OVERLAP, input=source.input_id, other_input=other.input_id, path=shared
                )

    def _report(self, source: TrackedInput, found: Scan) -> None:
        for path, error in found.unreadable.items():
            error.filename = error.filename or path
            self._faults.report(PATH_ACCESS_FAILED, error)
        before = self._missing.get(source.input_id, frozenset())
        missing = frozenset(found.missing)
        for directory in missing - before:
            self._log.emit(
                DIRECTORY_MISSING,
                input=source.input_id,
                path=directory,
                hint="Tetragon's charts up to 1.7 export to /var/run/cilium/tetragon, "
                "later ones to /var/log/tetragon",
            )
        for directory in before - missing:
            self._log.emit(DIRECTORY_FOUND, path=directory)
        self._missing[source.input_id] = missing
