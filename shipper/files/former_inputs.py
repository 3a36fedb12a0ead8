"""Files that were not shipped to their end, of inputs that are not configured any more, or that no
glob of their input matches any more.

Nobody follows them: they are looked for once all configured inputs have scanned their directories.

    an input follows the content -> that input's, once its row is committed
    it is in its directory, or in `.shipper` there -> not lost, not shipped: one warning a start;
                                                      looked for again when it is not there any more
    it is nowhere for LOOKED_FOR -> lost, recorded once, with the id of its input
    its directory is missing or cannot be read -> nobody knows; as if it were there

A file is there if one begins with the same line and has the bytes before the acknowledged offset,
plain or in a gzip, whatever its name.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum

from msgspec import Struct

from shipper.clock import Clock
from shipper.files.content import Content, PlainContent
from shipper.files.facts import Inode, inode_in
from shipper.files.filesystem import FileSystem
from shipper.files.gzip_content import GzipContent
from shipper.files.identity import Identity
from shipper.files.lines import ReadBuffer
from shipper.files.link_directory import DIRECTORY
from shipper.files.loss_recorder import LossRecorder, known_end
from shipper.files.losses import LossReason
from shipper.files.opening import LogOpener, NotFollowedError
from shipper.files.records import SUFFIX, FileRecords
from shipper.files.rows import FileRecord, RowId
from shipper.files.tail import Tail
from shipper.files.tracked_input import TrackedInput
from shipper.files.vanished import LOOKED_FOR
from shipper.logs import Log
from shipper.logs.events import (
    FILE_VANISHED,
    FILES_NOT_MATCHED,
    INPUT_NOT_CONFIGURED,
    LogEvent,
)
from shipper.offload import in_a_thread

#: How often it is looked whether the inputs have scanned their directories, and whether the rows of
#: those that follow a file are committed, in seconds.
_SOON = 1.0

#: In a directory with more files nobody looks for one.
MOST_FILES = 10_000

#: Enough to identify a file.
_BUFFER_BYTES = 4096


class Where(Enum):
    """Where the content of a file is."""

    #: An input follows it, or has followed it to the same end.
    FOLLOWED = "followed"
    #: An input may follow it: not all of its files are known yet.
    MAYBE = "maybe"
    #: On the disk, and followed by nobody.
    THERE = "there"
    #: Nobody can see whether it is there.
    UNSEEN = "unseen"
    NOWHERE = "nowhere"


class FormerInput(Struct, frozen=True):
    """What is remembered of an input that is not configured any more, or of the files that no glob
    of a configured one matches any more."""

    input_id: str
    records: FileRecords
    #: The rows of these files; None: of all.
    unmatched: frozenset[RowId] | None = None

    def unfinished(self) -> list[FileRecord]:
        """The files that were not shipped to their end, and that nobody holds."""
        found = self.records.unfinished()
        if self.unmatched is None:
            return found
        return [record for record in found if record.row in self.unmatched]


def former_inputs(
    remembered: Iterable[FileRecord],
    configured: Collection[str],
    *,
    clock: Clock,
    on_change: Callable[[], None],
    forget_after: float,
) -> list[FormerInput]:
    """The inputs that are not `configured`, with what is remembered of their files and was not
    shipped to its end; the other arguments as in `FileRecords`.

    The rows of all their files stay: who brings an input back goes on where it was.
    """
    by_input: dict[str, list[FileRecord]] = {}
    # How far files that begin with a line were shipped by any of them.
    shipped: dict[Identity, int] = {}
    for record in remembered:
        if record.input_id in configured:
            continue
        shipped[record.identity] = max(record.offset, shipped.get(record.identity, 0))
        if record.seen > record.offset:
            by_input.setdefault(record.input_id, []).append(record)
    former = [
        FormerInput(
            input_id,
            FileRecords(
                input_id, found, clock=clock, on_change=on_change, forget_after=forget_after
            ),
        )
        for input_id, found in by_input.items()
    ]
    for each in former:
        for record in each.records.unfinished():
            if shipped[record.identity] >= record.seen:
                each.records.stop_at_offset(record.row)
    return former


def unmatched_files(inputs: Iterable[TrackedInput]) -> Iterator[FormerInput]:
    """The files of configured inputs that were not shipped to their end, and where the globs of
    these do not match any more. What is kept of them by a link is followed all the same."""
    for source in inputs:
        unfinished = source.records.unfinished()
        rows = frozenset(each.row for each in unfinished if not source.matches(each.path))
        if rows:
            yield FormerInput(source.input_id, source.records, rows)


class FormerFiles:
    """The files of all of them."""

    def __init__(
        self,
        inputs: Sequence[FormerInput],
        *,
        followed: Sequence[FileRecords],
        may_follow: Callable[[FileRecord], bool],
        filesystem: FileSystem,
        clock: Clock,
        log: Log,
    ) -> None:
        """`followed`: of the configured inputs. `may_follow`: whether one of these may turn out to
        follow a file, since not all of its files are known yet."""
        self._followed = followed
        self._may_follow = may_follow
        self._filesystem = filesystem
        # Files that were followed through symbolic links are found; nothing of them is sent.
        self._opener = LogOpener(filesystem, symlinks=True)
        self._clock = clock
        self._log = log
        self._buffer = ReadBuffer(_BUFFER_BYTES)
        self._pending = [(former, record) for former in inputs for record in former.unfinished()]
        # The rows of the inputs that answer for a file from now on, once they are committed.
        self._taken: dict[RowId, tuple[FileRecords, RowId]] = {}
        # Since when it is nowhere (monotonic seconds).
        self._nowhere: dict[RowId, float] = {}
        # Where it was found, and what stood there.
        self._there: dict[RowId, tuple[str, Inode]] = {}
        # When all of them were looked for (monotonic seconds).
        self._looked: float | None = None
        self._began = clock.monotonic()

    async def run(self) -> None:
        """Looks for them until it is known what became of each, or it is cancelled."""
        while self._pending:
            waits = self._looked is not None and not self._taken
            await self._clock.sleep(LOOKED_FOR if waits else _SOON)
            await self.look()

    async def look(self) -> None:
        """Looks for them now, if it is time to."""
        self._pending = [
            (former, record)
            for former, record in self._pending
            if record.row not in self._taken or not self._is_handed_over(former, record.row)
        ]
        now = self._clock.monotonic()
        if self._looked is not None and now - self._looked < LOOKED_FOR:
            return
        late = now - self._began >= LOOKED_FOR
        there = await in_a_thread(self._still_there)
        where = {record.row: self._where_followed(record) for _, record in self._pending}
        where |= {row: Where.THERE for row in there if where[row] is Where.NOWHERE}
        if Where.MAYBE in where.values() and not late:
            return
        unknown = [record for _, record in self._pending if where[record.row] is Where.NOWHERE]
        for place, records in _by_directory(unknown).items():
            where |= await self._where_on_disk(place, records)
        if self._looked is None:
            self._warn(where)
        self._looked = now
        self._pending = [
            (former, record)
            for former, record in self._pending
            if not self._is_settled(former, record, where[record.row])
        ]

    def _is_settled(self, former: FormerInput, record: FileRecord, where: Where) -> bool:
        """Draws the consequences; whether nothing is left to find out in this life."""
        if where is Where.FOLLOWED:
            return self._is_handed_over(former, record.row)
        if where is not Where.NOWHERE:
            self._nowhere.pop(record.row, None)
            return False
        now = self._clock.monotonic()
        if now - self._nowhere.setdefault(record.row, now) < LOOKED_FOR:
            return False
        if self._where_followed(record) is not Where.NOWHERE:
            return False  # It came while the directory was read.
        self._lose(former, record)
        return True

    def _is_handed_over(self, former: FormerInput, row: RowId) -> bool:
        """Whether the registry has the row of the input that answers for a file."""
        records, its_row = self._taken[row]
        if not records.is_committed(its_row):
            return False
        del self._taken[row]
        if its_row != row:
            former.records.stop_at_offset(row)
        return True

    def _lose(self, former: FormerInput, record: FileRecord) -> None:
        if former.records.unfinished_at(record.row) is None:
            return  # Its input found that out, which walks its directory still.
        former.records.stop_at_offset(record.row)
        losses = LossRecorder(former.input_id, former.records, self._clock)
        loss = losses.record(
            LossReason.VANISHED,
            record.path,
            record.offset,
            known_end(record),
            identity=record.identity,
        ).loss
        self._log.emit(FILE_VANISHED, path=loss.path, read=loss.start, lost_bytes=loss.bytes)

    def _warn(self, where: Mapping[RowId, Where]) -> None:
        left: dict[tuple[LogEvent, str], list[FileRecord]] = {}
        for former, record in self._pending:
            if where[record.row] is not Where.FOLLOWED:
                event = INPUT_NOT_CONFIGURED if former.unmatched is None else FILES_NOT_MATCHED
                left.setdefault((event, former.input_id), []).append(record)
        for (event, input_id), records in left.items():
            self._log.emit(
                event,
                input=input_id,
                files=len(records),
                bytes=sum(record.seen - record.offset for record in records),
                missing=sum(where[record.row] is Where.NOWHERE for record in records),
                hint="configure an input that matches their logs, until they are shipped; of links "
                "in .shipper see `shipper registry adopt`",
            )

    def _where_followed(self, record: FileRecord) -> Where:
        if record.row not in self._taken:
            following = next(self._following(record), None)
            if following is not None:
                self._taken[record.row] = following
                # With how far it was seen by now.
                following[0].changed(following[1])
        if record.row in self._taken:
            return Where.FOLLOWED
        return Where.MAYBE if self._may_follow(record) else Where.NOWHERE

    def _following(self, record: FileRecord) -> Iterator[tuple[FileRecords, RowId]]:
        """The rows of configured inputs with a file that is this one, and reaches as far."""
        for records in self._followed:
            for found in records.like(record.identity):
                tail = records.holder(found.row)
                if found.row == record.row and not records.is_followed(found.row):
                    continue  # What is remembered of itself.
                if found.seen >= record.seen or (tail is not None and tail.size >= record.seen):
                    yield records, found.row

    async def _where_on_disk(self, place: str, records: Iterable[FileRecord]) -> dict[RowId, Where]:
        """Where files of one directory are, as far as it and its `.shipper` show it."""
        left = {record.row: record for record in records}
        there: dict[RowId, Where] = {}
        try:
            names = await in_a_thread(lambda: self._names(place))
            if names is None:
                return dict.fromkeys(left, Where.UNSEEN)
            for name in names:
                if not left:
                    break
                opened = self._open(os.path.join(place, name))
                if opened is None:
                    continue
                try:
                    for row in await self._are_in(opened, list(left.values())):
                        del left[row]
                        there[row] = Where.THERE
                        self._there[row] = opened.path, opened.inode
                finally:
                    opened.close()
                await asyncio.sleep(0)
        except OSError:
            # The directory is missing or cannot be read, or a file that may be any of them.
            return there | dict.fromkeys(left, Where.UNSEEN)
        return there | dict.fromkeys(left, Where.NOWHERE)

    def _still_there(self) -> list[RowId]:
        """The files that stand where they were found, and are no shorter than they were seen."""
        found = []
        for _, record in self._pending:
            path, inode = self._there.get(record.row, ("", None))
            try:
                status = self._filesystem.status(path) if inode is not None else None
            except OSError:
                continue  # It is looked for anew.
            if status is None or inode_in(status) != inode:
                continue
            if path.endswith(SUFFIX) or status.st_size >= record.seen:
                found.append(record.row)
        return found

    def _names(self, place: str) -> list[str] | None:
        """The names in a directory, and those of the links in its `.shipper`; None if there are
        more than MOST_FILES. Raises OSError."""
        names = self._filesystem.first_names(place, MOST_FILES)
        if names is None:
            return None
        try:
            links = self._filesystem.first_names(
                os.path.join(place, DIRECTORY), MOST_FILES - len(names)
            )
        except FileNotFoundError:
            return names  # Nothing was ever kept there.
        if links is None:
            return None
        return [*names, *(os.path.join(DIRECTORY, link) for link in links)]

    def _open(self, path: str) -> Tail | None:
        """Opens a file to see what it is; None if it is gone, or no regular file. Raises
        OSError."""
        try:
            if self._filesystem.inode_of(path) is None:
                return None
            opened = self._opener.open(path)
        except (FileNotFoundError, NotFollowedError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None  # Symbolic links in a circle.
            raise
        descriptor, inode = opened.descriptor, opened.inode
        content: Content = (
            GzipContent(self._filesystem, descriptor, inode.device)
            if path.endswith(SUFFIX)
            else PlainContent(self._filesystem, descriptor, inode.device)
        )
        return Tail(content, self._buffer, path, inode)

    async def _are_in(self, tail: Tail, records: Iterable[FileRecord]) -> list[RowId]:
        """Those of which a file has the content."""
        identity = await tail.identify(final=True)
        while identity is None and tail.identification.head.searching:
            await asyncio.sleep(0)
            identity = await tail.identify(final=True)
        if identity is None:
            return []
        known = {identity, tail.identification.head.legacy or identity}
        return [
            record.row
            for record in sorted(records, key=lambda record: record.offset)
            if await self._is_it(tail, known, record)
        ]

    async def _is_it(self, tail: Tail, known: Collection[Identity], record: FileRecord) -> bool:
        if record.identity not in known or (not tail.compressed and tail.size < record.seen):
            return False
        has_mark = await tail.has_mark(record.offset, record.mark)
        while has_mark is None:
            await asyncio.sleep(0)
            has_mark = await tail.has_mark(record.offset, record.mark)
        return has_mark


def _by_directory(records: Iterable[FileRecord]) -> dict[str, list[FileRecord]]:
    found: dict[str, list[FileRecord]] = {}
    for record in records:
        found.setdefault(os.path.dirname(record.path), []).append(record)
    return found
