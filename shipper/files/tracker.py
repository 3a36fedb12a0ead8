"""Which files an input follows at the moment: looks at its directories, keeps what would be deleted
before it is done, gives up what is too much, and says goodbye to what is done.
"""

import asyncio
import functools
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Thread

from shipper.files.catalog import Catalog, ClosedFile
from shipper.files.compressed import CompressedLogs
from shipper.files.discovery import Scan, ScanSummary, scan, summary_of
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.retention import Retention
from shipper.files.schedule import WalkSchedule
from shipper.files.tail import Tail
from shipper.files.walk import MAX_DIRECTORIES, MAX_FILES, directory_of
from shipper.files.watch import WakeUp
from shipper.logs import Log
from shipper.metrics import Metrics

#: What a walk of directories is handed to, since it blocks on the disk.
Offload = Callable[[Callable[[], Scan]], Awaitable[Scan]]

#: So many paths with trouble, or that are left out, are named in the log for each scan.
_NAMED = 20

#: So many files are linked, or found not to need it, before others have their turn.
_LINKS_A_STEP = 100


async def in_a_thread(call: Callable[[], Scan]) -> Scan:
    """Calls it in a thread of its own, and waits for it.

    A thread of no pool: a file system that hangs keeps nothing else waiting, and does not keep the
    process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Scan] = loop.create_future()

    def tell(result: Scan | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if result is not None:
            done.set_result(result)
        elif error is not None:
            done.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:  # Whatever it is: it is raised where it is waited for.
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, failure)

    Thread(target=run, name="walk", daemon=True).start()
    return await done


@dataclass(frozen=True, slots=True)
class TrackedInput:
    """The files of one input."""

    input_id: str
    patterns: Sequence[str]
    catalog: Catalog
    wake_up: WakeUp
    schedule: WalkSchedule
    #: Globs of what is left out although `patterns` match it.
    exclude: Sequence[str] = ()
    #: Whether symbolic links to files are followed.
    symlinks: bool = False
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
        offload: Offload = in_a_thread,
    ) -> None:
        """`max_kept_bytes`: of files that are deleted and not done. `offload`: who walks."""
        self._inputs = inputs
        self._filesystem = filesystem
        self._faults = faults
        self._metrics = metrics
        self._log = log
        self._max_kept_bytes = max_kept_bytes
        self._adopted: dict[str, set[str]] = {}
        self._offload = offload
        self._summaries: dict[str, ScanSummary] = {}
        self._skipped: dict[str, set[str]] = {}
        self._left_out: set[str] = set()

    def summary(self, source: TrackedInput) -> ScanSummary:
        """What the last scan of an input saw."""
        return self._summaries.get(source.input_id, ScanSummary())

    def appear(self, source: TrackedInput, paths: Iterable[str]) -> list[Tail]:
        """Follows files whose names are new, without a scan, and keeps them by links at once."""
        tails = []
        for path in sorted(paths):
            try:
                tail = source.catalog.appear(path)
            except OSError as error:
                error.filename = error.filename or path
                self._faults.report("a file cannot be opened; it is tried again", error)
                continue
            if tail is not None:
                tails.append(tail)
        self.keep(source, tails)
        return tails

    async def scan(self, source: TrackedInput) -> None:
        """Looks at the input's directories now."""
        source.schedule.begin()
        source.catalog.begin_scan()
        look = functools.partial(
            scan, self._filesystem, source.patterns, source.exclude, symlinks=source.symlinks
        )
        found = await self._offload(look)
        cost = found.cpu_seconds
        problems: list[OSError] = []
        steps = chain(source.catalog.applying(found), self._following_up(source, found, problems))
        while True:
            began = time.thread_time()
            step = next(steps, None)
            cost += time.thread_time() - began
            if step is None:
                break
            problems += step
            await asyncio.sleep(0)
        source.schedule.end(cost, found.directories)
        await self._obey_quota()
        await asyncio.sleep(0)
        for closed in source.catalog.close_finished():
            self._report_closed(source, closed)
        if source.compressed is not None:
            try:
                gzips = await self._offload(source.compressed.scan)
                await source.compressed.look(gzips)
            except OSError as error:
                error.filename = error.filename or source.input_id
                self._faults.report("a compressed log cannot be read; it is tried again", error)

    def _following_up(
        self, source: TrackedInput, found: Scan, problems: Sequence[OSError]
    ) -> Iterator[list[OSError]]:
        """What follows when the catalog knows of a scan, in steps as there."""
        self._report(source, found, problems)
        if source.retention is None:
            return
        self._adopt(source, source.retention, found)
        tails = source.catalog.tails
        for first in range(0, len(tails), _LINKS_A_STEP):
            self.keep(source, tails[first : first + _LINKS_A_STEP])
            yield []

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
        places = set(found.directories)
        if seen is None:
            seen = self._adopted[source.input_id] = set()
            places.update(directory_of(pattern) for pattern in source.patterns)
            places.update(os.path.dirname(path) for path in source.catalog.recorded_paths())
        else:
            seen &= places  # One that went and comes again is another directory.
        for place in sorted(places - seen):
            try:
                links = retention.adopt(place)
            except FileNotFoundError:
                seen.add(place)  # Nothing was ever kept there.
                continue
            except OSError as error:
                error.filename = error.filename or place
                self._faults.report("what was kept cannot be read; it is tried again", error)
                continue
            seen.add(place)
            for link in links:
                if source.catalog.adopt(link.inode, link.path, link.descriptor) is not None:
                    self._log.info("a file that was deleted meanwhile was kept", path=link.path)

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
            self._log.error(
                "a deleted file is given up: files that are not done take more than "
                "retention.max_bytes",
                path=tail.path,
                lost_bytes=size,
                lost_lines=lines,
            )

    async def _count_unread(self, tail: Tail) -> tuple[int, int]:
        """Bytes and lines that are not read; the lines as far as they can be."""
        try:
            return await tail.count_unread()
        except OSError as error:
            error.filename = error.filename or tail.path
            self._faults.report("the lines of a file that is given up cannot be counted", error)
            return tail.size - tail.offset, 0

    def _report_closed(self, source: TrackedInput, closed: ClosedFile) -> None:
        if source.retention is not None and closed.inode is not None:
            source.retention.release(closed.inode)
        if not closed.lost:
            self._log.info("a file is done", path=closed.path, bytes=closed.size)
            return
        self._metrics.count("shipper_lost_bytes_total", closed.lost, "rewritten")
        self._log.error(
            "a file was truncated or replaced before it was read to its end",
            path=closed.path,
            read=closed.size,
            lost_bytes=closed.lost,
        )

    def _report(self, source: TrackedInput, found: Scan, problems: Sequence[OSError]) -> None:
        before = self._summaries.get(source.input_id, ScanSummary())
        self._summaries[source.input_id] = summary_of(found, problems)
        for number, (path, error) in enumerate(sorted(found.unreadable.items())):
            error.filename = path
            if number < _NAMED:
                self._faults.report("a path cannot be looked at; it is tried again", error)
            else:
                self._faults.count(error)
        for number, error in enumerate(problems):
            if number < _NAMED:
                self._faults.report("a file cannot be opened; it is tried again", error)
            else:
                self._faults.count(error)
        self._report_missing(source, frozenset(before.missing), frozenset(found.missing))
        self._report_skipped(source, found)
        if found.left_out and source.input_id not in self._left_out:
            self._log.warning(
                "an input has too many files or directories; the files that were written to last "
                "are followed",
                input=source.input_id,
                files_left_out=found.files_left_out,
                directories_left_out=found.directories_left_out,
                max_files=MAX_FILES,
                max_directories=MAX_DIRECTORIES,
                hint="make the globs in paths narrower, or exclude what is no log",
            )
        (self._left_out.add if found.left_out else self._left_out.discard)(source.input_id)

    def _report_missing(
        self, source: TrackedInput, before: frozenset[str], missing: frozenset[str]
    ) -> None:
        for directory in missing - before:
            self._log.warning(
                "a watched directory does not exist; it is waited for",
                input=source.input_id,
                directory=directory,
                hint="Tetragon's charts up to 1.7 export to /var/run/cilium/tetragon, "
                "later ones to /var/log/tetragon",
            )
        for directory in before - missing:
            self._log.info("a watched directory is there now", directory=directory)

    def _report_skipped(self, source: TrackedInput, found: Scan) -> None:
        """Names each symbolic link that is not followed once, as long as it is there."""
        before = self._skipped.get(source.input_id, set())
        new = [path for path in sorted(found.skipped) if path not in before]
        for path in new[:_NAMED]:
            self._log.warning(
                "a symbolic link is not followed",
                path=path,
                input=source.input_id,
                hint="set symlinks: true for this input if what it leads to is to be shipped",
            )
        if len(new) > _NAMED:
            self._log.warning(
                "more symbolic links are not followed",
                input=source.input_id,
                links=found.skipped_count - len(before) - _NAMED,
            )
        self._skipped[source.input_id] = set(found.skipped)
