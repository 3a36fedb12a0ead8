"""Which files an input follows at the moment: looks at its directories, keeps what would be deleted
before it is shipped, gives up what is too much, and closes what is finished.
"""

import asyncio
import errno
import functools
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from shipper.clock import Clock
from shipper.files.catalog import ClosedFile
from shipper.files.discovery import Scan, ScanSummary, scan
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.kept_files import KeptFiles
from shipper.files.lines import Rewritten
from shipper.files.link_problems import LinkProblem
from shipper.files.losses import LossReason
from shipper.files.offload import Offload, WalkThreads
from shipper.files.overlaps import Overlaps
from shipper.files.quota import Quota, QuotaInput
from shipper.files.records import Recorded
from shipper.files.registry import FileRecord
from shipper.files.scan_log import ScanLog
from shipper.files.scan_report import ScanReport
from shipper.files.tail import Tail
from shipper.files.tracked_input import TrackedInput
from shipper.files.unopened import UnopenedFiles
from shipper.files.vanished import SeenSizes, VanishedFiles
from shipper.logs import Log
from shipper.logs.events import (
    FILE_FINISHED,
    FILE_OPEN_FAILED,
    FILE_REWRITTEN,
    FILE_VANISHED,
    LOG_REMOVED_UNDER_WRITER,
    UNREAD_DATA_LOST,
)
from shipper.metrics import Metrics
from shipper.option_names import OWN_NAMES, OptionNames

#: Has the registry learn now what changed in an input; what it could not, it learns later.
Commit = Callable[[TrackedInput], Awaitable[None]]

#: How long the steps of a scan take before others have their turn, in seconds.
_TURN_SECONDS = 0.001

#: How often it is tried to give up what is too much and could not be given up, in seconds.
_QUOTA_SECONDS = 0.5

#: How long after the start nothing is given up, in seconds.
_QUOTA_GRACE = 5.0

#: So many files are linked, or found to be linked, before others have their turn.
_LINKS_A_STEP = 100


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
        offload: Offload | None = None,
        other_places: Iterable[str] = (),
    ) -> None:
        """`max_kept_bytes`: of files that are deleted and not done; `commit`: saves what an input
        has changed; `names`: what messages call the options; `offload`: who walks (None: threads of
        each input); `other_places`: directories of logs in which links may be, although no input
        may walk them."""
        self._names = names
        self._inputs = inputs
        self._filesystem = filesystem
        self._clock = clock
        # When giving up may begin (monotonic seconds).
        self._quota_from = clock.monotonic() + _QUOTA_GRACE
        self._faults = faults
        self._metrics = metrics
        self._log = log
        self._links = KeptFiles(filesystem, faults=faults, log=log, places=other_places)
        for source in inputs:
            if source.retention is not None:
                self._links.add(
                    source.input_id,
                    source.patterns,
                    source.catalog,
                    source.retention,
                    source.matches,
                )
        self._vanished = {
            source.input_id: VanishedFiles(source.catalog, filesystem, clock) for source in inputs
        }
        self._unopened = {
            source.input_id: UnopenedFiles(source.catalog, source.compressed, filesystem, clock)
            for source in inputs
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
        self._scan_logs: dict[str, ScanLog] = {}
        self._overlaps = Overlaps(inputs, log)
        self._offload = {source.input_id: offload or WalkThreads() for source in inputs}
        self._reports = {
            source.input_id: ScanReport(source.input_id, faults, log, names) for source in inputs
        }

    def summary(self, source: TrackedInput) -> ScanSummary:
        """What the last scan of an input saw, and which files could not be read since."""
        failing = {tail.path: tail.read_error for tail in source.catalog.tails if tail.read_error}
        return self._reports[source.input_id].summary.with_unreadable(failing)

    def link_problems(self, source: TrackedInput) -> Mapping[LinkProblem, int]:
        """In how many directories of an input no links can be made, and why."""
        return self._links.problems(source.input_id)

    def appear(self, source: TrackedInput, paths: Iterable[str]) -> list[Tail]:
        """Follows files whose names are new, without a scan; each is linked as it is opened."""
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
        return tails

    def written(self, source: TrackedInput, paths: Iterable[str]) -> list[Tail]:
        """Looks at files that were written to; returns those that have something to read. One that
        was parked is opened."""
        tails, closed = [], []
        for path in paths:
            tail = source.catalog.at(path)
            if tail is None:
                closed.append(path)
            elif tail.look():
                tails.append(tail)
        if source.catalog.parked:
            tails += self.appear(source, filter(source.matches, closed))
        self._seen[source.input_id].grew(tails)
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
            scan,
            self._filesystem,
            source.patterns,
            source.exclude,
            symlinks=source.symlinks,
            settled=source.catalog.parked.begin_walk(),
        )
        # Gzips after that, so that one is not taken for the only one that has its lines.
        walks: list[Callable[[], Scan]] = [look]
        if source.compressed is not None:
            walks.append(source.compressed.scan)
        found, *others = await self._offload[source.input_id](walks)
        gzips = others[0] if others else None
        cost = found.cpu_seconds + (gzips.cpu_seconds if gzips else 0.0)
        problems: list[OSError] = []
        gzip_problems: list[OSError] = []
        steps = chain(
            source.catalog.applying(found),
            self._looking(source, gzips, gzip_problems),
            self._following_up(source, found, problems, gzips, gzip_problems),
        )
        turn = 0.0
        while True:
            began = time.thread_time()
            step = next(steps, None)
            took = time.thread_time() - began
            cost, turn = cost + took, turn + took
            if step is None:
                break
            problems += step
            if turn >= _TURN_SECONDS:
                turn = 0.0
                await asyncio.sleep(0)
        source.schedule.end(cost, found.directories)
        self.grew(source, ())
        await self._report_vanished(source, found, complete=not (problems or gzip_problems))
        for tail in source.catalog.written_after_removal():
            self._metrics.count("shipper_logs_removed_under_writer_total", 1, source.input_id)
            self._log.emit(LOG_REMOVED_UNDER_WRITER, path=tail.path, input=source.input_id)
        for closed in source.catalog.close_finished():
            self._report_closed(source, closed)
        if source.catalog.wants_scan:
            source.wake_up.wake(scan=True)
        self.scanned.set()

    def _looking(
        self, source: TrackedInput, gzips: Scan | None, problems: list[OSError]
    ) -> Iterator[list[OSError]]:
        """Follows gzips, in steps as `_following_up`; adds to `problems` what kept some from being
        opened."""
        if source.compressed is None or gzips is None:
            return
        for step in source.compressed.looking(gzips):
            problems += step
            yield []

    def _following_up(
        self,
        source: TrackedInput,
        found: Scan,
        problems: Sequence[OSError],
        gzips: Scan | None,
        gzip_problems: Sequence[OSError],
    ) -> Iterator[list[OSError]]:
        """What follows when the catalog knows of a scan, in steps as there."""
        untried = 0
        if any(error.errno in (errno.EMFILE, errno.ENFILE) for error in problems):
            follows = source.catalog.follows
            untried = max(0, sum(not follows(inode) for inode in found.found) - len(problems))
        self._reports[source.input_id].scanned(
            found, problems, gzips=gzips, gzip_problems=gzip_problems, untried=untried
        )
        self._overlaps.scanned(source, found)
        if source.retention is None:
            return
        self._links.compare(source.input_id)
        adopted = yield from self._links.adopting(source.input_id, found.directories)
        if source.compressed is not None:
            source.compressed.wait_for(adopted)
        for error in source.catalog.open_removed():
            self._faults.report(FILE_OPEN_FAILED, error)
        tails = source.catalog.tails
        for first in range(0, len(tails), _LINKS_A_STEP):
            # New ones have their links. This is for those that could not be linked, or whose link
            # was removed.
            self._links.keep(source.input_id, tails[first : first + _LINKS_A_STEP])
            yield []
        self._links.leave_empty()

    def committed(self, source: Recorded) -> None:
        """What changed in the files of an input is in the registry: what is finished needs no
        link any more, or no descriptor."""
        self._links.committed(source.input_id)
        for tracked in self._inputs:
            if tracked.input_id == source.input_id and (opened := tracked.catalog.advance()):
                tracked.wake_up.wake([tail.path for tail in opened])

    @property
    def foreign_links(self) -> int:
        """How many links belong to no shipper that runs, and to no input."""
        return self._links.foreign_links

    def close(self) -> None:
        """Closes all files. Links stay for the next start but for those that a commit covers."""
        for source in self._inputs:
            source.catalog.close()

    def may_follow(self, record: FileRecord) -> bool:
        """Whether an input may turn out to follow a file of another one, as far as known."""
        return any(each.may_be_followed(record) for each in self._vanished.values())

    def kept_by(self, *, link: bool) -> int:
        """How many of the files that are removed and not done have a link, or none."""
        kept = [file.tail.inode for file in self.quota.kept] + list(self.quota.parked)
        return sum(link == bool(self._links.links_of(inode)) for inode in kept)

    def rewritten(self, source: TrackedInput, tail: Tail, found: Rewritten) -> Tail | None:
        """The content of a file is another one: that is followed from now on, and returned; None if
        it is found by the next scan only.

        Raises OSError if it cannot be opened; a later scan does."""
        self._log.emit(FILE_REWRITTEN, path=tail.path, reason=found.why, read=tail.offset)
        self._metrics.count("shipper_files_rewritten_total", 1, source.input_id)
        # A copy that was made of the old content may not be known yet.
        source.wake_up.wake(scan=True)
        return source.catalog.rewritten(tail)

    async def keep_to_quota(self) -> None:
        """Gives up what is too much, until it is cancelled; beside reading and looking: counting
        lines takes time."""
        # What an earlier process kept is given the time to be read, and to get through.
        await self._clock.sleep(max(0.0, self._quota_from - self._clock.monotonic()))
        while True:
            await self.scanned.wait()
            self.scanned.clear()
            await self.obey_quota()
            while self.quota.is_exceeded:
                await self._clock.sleep(_QUOTA_SECONDS)
                await self.obey_quota()

    async def obey_quota(self) -> None:
        """Gives up files that are removed and not finished, if they take too much."""
        await self.quota.obey()

    def _quota_input(self, source: TrackedInput, commit: Commit) -> QuotaInput:
        def let_go(_: Tail) -> None:
            source.wake_up.wake(scan=True)

        return QuotaInput(
            source.catalog,
            place=functools.partial(source.place, at_once=True),
            commit=functools.partial(commit, source),
            let_go=let_go,
            rewritten=functools.partial(self.rewritten, source),
        )

    async def _report_vanished(self, source: TrackedInput, found: Scan, *, complete: bool) -> None:
        if source.retention is not None:
            complete &= self._links.adopted(source.input_id).issuperset(found.directories)
        unopened, vanished = self._unopened[source.input_id], self._vanished[source.input_id]
        unreachable = source.catalog.take_unreachable()
        unopened.missed(unreachable)
        vanished.missed(unreachable)
        losses = await unopened.scanned(found, complete=complete)
        for loss in losses + vanished.scanned(found, complete=complete):
            event = FILE_VANISHED if loss.reason is LossReason.VANISHED else UNREAD_DATA_LOST
            self._log.emit(event, path=loss.path, read=loss.start, lost_bytes=loss.bytes)

    def grew(self, source: TrackedInput, tails: Iterable[Tail]) -> None:
        """These files of an input were written to."""
        self._seen[source.input_id].grew(tails)

    def _report_closed(self, source: TrackedInput, closed: ClosedFile) -> None:
        self._links.finished(source.input_id, closed)
        if not closed.placed:
            return
        if closed.compressed and closed.row is not None:
            self._vanished[source.input_id].closed(closed.row)
        if not closed.lost:
            self._log.emit(FILE_FINISHED, path=closed.path, size=closed.size)
            return
        end = closed.size + closed.lost
        source.catalog.closing.record_loss(
            LossReason.REWRITTEN, closed, closed.size, end, size=closed.lost, lines=None
        )
        self._log.emit(
            UNREAD_DATA_LOST,
            path=closed.path,
            read=closed.size,
            lost_bytes=closed.lost,
        )
