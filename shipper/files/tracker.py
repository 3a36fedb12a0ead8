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

from shipper.clock import Clock
from shipper.files.catalog import Catalog, ClosedFile
from shipper.files.compressed import CompressedLogs
from shipper.files.discovery import Globs, Scan, ScanSummary, scan, summary_of
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.lines import NoLine
from shipper.files.losses import LossReason
from shipper.files.placement import Start
from shipper.files.quota import Quota, QuotaInput
from shipper.files.records import SUFFIX
from shipper.files.retention import Retention
from shipper.files.scan_log import ScanLog
from shipper.files.schedule import WalkSchedule
from shipper.files.tail import Tail
from shipper.files.vanished import SeenSizes, VanishedFiles
from shipper.files.walk import MAX_DIRECTORIES, MAX_FILES, directory_of
from shipper.files.watch import WakeUp
from shipper.logs import Log
from shipper.logs.events import (
    COMPRESSED_FILE_READ_FAILED,
    DIRECTORY_FOUND,
    DIRECTORY_MISSING,
    FILE_FINISHED,
    FILE_OPEN_FAILED,
    FILE_VANISHED,
    FILES_LEFT_OUT,
    KEPT_FILE_ADOPTED,
    KEPT_FILES_READ_FAILED,
    LINKS_MISSING,
    PATH_ACCESS_FAILED,
    SYMLINK_SKIPPED,
    SYMLINKS_SKIPPED,
    UNREAD_DATA_LOST,
    LogEvent,
)
from shipper.metrics import Metrics
from shipper.option_names import OWN_NAMES, OptionNames

#: What a walk of directories is handed to, since it blocks on the disk.
Offload = Callable[[Callable[[], Scan]], Awaitable[Scan]]

#: Has the registry learn now what changed in an input; what it could not, it learns later.
Commit = Callable[["TrackedInput"], Awaitable[None]]

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

    def matches(self, path: str) -> bool:
        """Whether a file at that path is the input's, if there is one."""
        if path.endswith(SUFFIX):
            return self.compressed is not None and self.compressed.matches(path)
        return path in Globs(self.patterns, self.exclude)

    def appear(self, path: str) -> Tail | None:
        """Follows what stands at a path that is new, as `Catalog.appear` and
        `CompressedLogs.appear`."""
        if path.endswith(SUFFIX):
            return None if self.compressed is None else self.compressed.appear(path)
        return self.catalog.appear(path)

    async def place(self, tail: Tail, *, at_once: bool = False) -> Start | NoLine | None:
        """Decides where a waiting file begins, as `Catalog.place` and `CompressedLogs.place`."""
        if tail.compressed and self.compressed is not None:
            return await self.compressed.place(tail, at_once=at_once)
        return await self.catalog.place(tail)


class FileTracker:
    """Keeps the catalogs of all inputs as the disk is."""

    def __init__(
        self,
        inputs: Sequence[TrackedInput],
        *,
        filesystem: FileSystem,
        clock: Clock,
        faults: FileErrors,
        metrics: Metrics,
        log: Log,
        max_kept_bytes: int,
        commit: Commit,
        names: OptionNames = OWN_NAMES,
        offload: Offload = in_a_thread,
    ) -> None:
        """`max_kept_bytes`: of files that are deleted and not done; `commit`: saves what an input
        has changed; `names`: what messages call the options; `offload`: who walks."""
        self._names = names
        self._inputs = inputs
        self._filesystem = filesystem
        self._faults = faults
        self._metrics = metrics
        self._log = log
        self._vanished = {
            source.input_id: VanishedFiles(source.catalog, filesystem, clock) for source in inputs
        }
        self._seen = {
            source.input_id: SeenSizes(source.catalog.records, clock) for source in inputs
        }
        #: Set by each scan: removed files may take too much since.
        self.scanned = asyncio.Event()
        #: What removed files that are not done may take of the disk.
        self.quota = Quota(
            [self._quota_input(source, commit) for source in inputs],
            max_bytes=max_kept_bytes,
            faults=faults,
            log=log,
            names=names,
        )
        self._adopted: dict[str, set[str]] = {}
        self._scan_logs: dict[str, ScanLog] = {}
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
                tail = source.appear(path)
            except OSError as error:
                error.filename = error.filename or path
                self._faults.report(FILE_OPEN_FAILED, error)
                continue
            if tail is not None:
                tails.append(tail)
        self.keep(source, tails)
        return tails

    async def scan(self, source: TrackedInput) -> None:
        """Looks at the input's directories now."""
        await self._scan(source)
        if self._log.debug_enabled:
            scans = self._scan_logs.setdefault(source.input_id, ScanLog(self._log, source.input_id))
            scans.scanned(source.catalog.tails)

    async def _scan(self, source: TrackedInput) -> None:
        source.schedule.begin()
        source.catalog.begin_scan()
        look = functools.partial(
            scan, self._filesystem, source.patterns, source.exclude, symlinks=source.symlinks
        )
        found = await self._offload(look)
        gzips = None
        if source.compressed is not None:
            # After that, so that a gzip is not taken for the only one that has its lines.
            gzips = await self._offload(source.compressed.scan)
        cost = found.cpu_seconds + (gzips.cpu_seconds if gzips else 0.0)
        problems: list[OSError] = []
        steps = chain(
            source.catalog.applying(found),
            self._looking(source, gzips),
            self._following_up(source, found, problems),
        )
        while True:
            began = time.thread_time()
            step = next(steps, None)
            cost += time.thread_time() - began
            if step is None:
                break
            problems += step
            await asyncio.sleep(0)
        source.schedule.end(cost, found.directories)
        self._report_vanished(source, found, complete=not problems)
        for closed in source.catalog.close_finished():
            self._report_closed(source, closed)
        self.scanned.set()

    def _looking(self, source: TrackedInput, gzips: Scan | None) -> Iterator[list[OSError]]:
        """Follows gzips, in steps as `_following_up`."""
        if source.compressed is None or gzips is None:
            return
        for step in source.compressed.looking(gzips):
            self._report_errors(COMPRESSED_FILE_READ_FAILED, step)
            yield []

    def _following_up(
        self, source: TrackedInput, found: Scan, problems: Sequence[OSError]
    ) -> Iterator[list[OSError]]:
        """What follows when the catalog knows of a scan, in steps as there."""
        self._report(source, found, problems)
        if source.retention is None:
            return
        self._adopt(source, source.retention, found)
        self._compare_links(source, source.retention)
        tails = source.catalog.tails
        for first in range(0, len(tails), _LINKS_A_STEP):
            self.keep(source, tails[first : first + _LINKS_A_STEP])
            yield []

    def _compare_links(self, source: TrackedInput, retention: Retention) -> None:
        """Has `keep` make links again that somebody else removed."""
        found = retention.reconcile()
        if not found.missing:
            return
        self._log.emit(
            LINKS_MISSING,
            key=f"links:{source.input_id}",
            input=source.input_id,
            links=len(found.missing),
        )
        paths = {tail.inode: tail.path for tail in source.catalog.tails}
        for inode, descriptor in found.rescued.items():
            if inode in paths:
                retention.keep(inode, paths[inode], descriptor)
            self._filesystem.close(descriptor)

    def keep(self, source: TrackedInput, tails: Iterable[Tail]) -> None:
        """Has a link to each file that is not done or was written to lately, and to no other."""
        if source.retention is None:
            return
        for tail in tails:
            if tail.descriptor < 0 or tail.held:
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
                    if tail.descriptor >= 0 and tail.is_acknowledged and not tail.held:
                        source.retention.release(tail.inode)
            source.catalog.close()

    async def obey_quota(self) -> None:
        """Gives up files that are deleted and not done, if they take too much."""
        await self.quota.obey()

    def kept(self) -> list[Tail]:
        """The files that are deleted and not done, the oldest first."""
        return [file.tail for file in self.quota.kept]

    def _quota_input(self, source: TrackedInput, commit: Commit) -> QuotaInput:
        def let_go(_: Tail) -> None:
            source.wake_up.wake(scan=True)

        return QuotaInput(
            source.catalog,
            place=functools.partial(source.place, at_once=True),
            commit=functools.partial(commit, source),
            let_go=let_go,
        )

    def _adopt(self, source: TrackedInput, retention: Retention, found: Scan) -> None:
        """Follows again what an earlier process kept, once for each directory."""
        seen = self._adopted.get(source.input_id)
        places = set(found.directories)
        if seen is None:
            seen = self._adopted[source.input_id] = set()
            places.update(directory_of(pattern) for pattern in source.patterns)
            places.update(os.path.dirname(path) for path in source.catalog.records.paths)
        else:
            seen &= places  # One that went and comes again is another directory.
        for place in sorted(places - seen):
            try:
                adopted = retention.adopt(
                    place, matches=source.matches, is_known=source.catalog.records.has_inode
                )
            except FileNotFoundError:
                seen.add(place)  # Nothing was ever kept there.
                continue
            except OSError as error:
                error.filename = error.filename or place
                self._faults.report(KEPT_FILES_READ_FAILED, error)
                continue
            seen.add(place)
            for link in adopted.kept:
                compressed = link.path.endswith(SUFFIX)
                tail = source.catalog.adopt(
                    link.inode, link.path, link.descriptor, compressed=compressed
                )
                if tail is not None:
                    self._log.emit(KEPT_FILE_ADOPTED, path=link.path)

    def _report_vanished(self, source: TrackedInput, found: Scan, *, complete: bool) -> None:
        adopted = self._adopted.get(source.input_id, set())
        complete &= source.retention is None or adopted.issuperset(found.directories)
        for loss in self._vanished[source.input_id].scanned(found, complete=complete):
            self._log.emit(FILE_VANISHED, path=loss.path, read=loss.start, lost_bytes=loss.bytes)

    def grew(self, source: TrackedInput, tails: Iterable[Tail]) -> None:
        """These files of an input were written to."""
        self._seen[source.input_id].grew(tails)

    def _report_closed(self, source: TrackedInput, closed: ClosedFile) -> None:
        if source.retention is not None and closed.inode is not None:
            source.retention.release(closed.inode)
        if not closed.placed:
            return
        if not closed.lost:
            self._log.emit(FILE_FINISHED, path=closed.path, size=closed.size)
            return
        end = closed.size + closed.lost
        source.catalog.record_loss(
            LossReason.REWRITTEN, closed, closed.size, end, size=closed.lost, lines=None
        )
        self._log.emit(
            UNREAD_DATA_LOST,
            path=closed.path,
            read=closed.size,
            lost_bytes=closed.lost,
        )

    def _report(self, source: TrackedInput, found: Scan, problems: Sequence[OSError]) -> None:
        before = self._summaries.get(source.input_id, ScanSummary())
        self._summaries[source.input_id] = summary_of(found, problems)
        for path, error in found.unreadable.items():
            error.filename = path
        self._report_errors(
            PATH_ACCESS_FAILED, [error for _, error in sorted(found.unreadable.items())]
        )
        self._report_errors(FILE_OPEN_FAILED, problems)
        self._report_missing(source, frozenset(before.missing), frozenset(found.missing))
        self._report_skipped(source, found)
        if found.left_out and source.input_id not in self._left_out:
            self._log.emit(
                FILES_LEFT_OUT,
                input=source.input_id,
                files_left_out=found.files_left_out,
                directories_left_out=found.directories_left_out,
                max_files=MAX_FILES,
                max_directories=MAX_DIRECTORIES,
                hint=f"make the globs in {self._names('inputs[].paths')} narrower, or exclude what "
                "is no log",
            )
        (self._left_out.add if found.left_out else self._left_out.discard)(source.input_id)

    def _report_errors(self, event: LogEvent, errors: Sequence[OSError]) -> None:
        for number, error in enumerate(errors):
            if number < _NAMED:
                self._faults.report(event, error)
            else:
                self._faults.count(error)

    def _report_missing(
        self, source: TrackedInput, before: frozenset[str], missing: frozenset[str]
    ) -> None:
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

    def _report_skipped(self, source: TrackedInput, found: Scan) -> None:
        """Names each symbolic link that is not followed once, as long as it is there."""
        before = self._skipped.get(source.input_id, set())
        new = [path for path in sorted(found.skipped) if path not in before]
        name = self._names("inputs[].symlinks")
        hint = f"set {name} to true for this input if what it leads to is to be shipped"
        for path in new[:_NAMED]:
            self._log.emit(SYMLINK_SKIPPED, path=path, input=source.input_id, hint=hint)
        if len(new) > _NAMED:
            self._log.emit(
                SYMLINKS_SKIPPED,
                input=source.input_id,
                links=found.skipped_count - len(before) - _NAMED,
                hint=hint,
            )
        self._skipped[source.input_id] = set(found.skipped)
