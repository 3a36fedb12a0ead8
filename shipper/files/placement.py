"""Where a file begins to be read.

A remembered file with the same first line is this one (renamed, copied, restored, or simply still
there) if the bytes before its acknowledged offset are here too. A file that is new is read from its
beginning, unless `start_at` or `ignore_older` say that what is in it is skipped.
"""

from collections.abc import Callable
from operator import itemgetter

from msgspec import Struct

from shipper.clock import Clock
from shipper.files.ack import AckTracker
from shipper.files.archive import Ending
from shipper.files.identity import NO_MARK, Identity, Mark
from shipper.files.lines import NoLine
from shipper.files.prefix import Prefix, PrefixComparison
from shipper.files.records import FileRecords
from shipper.files.registry import FileRecord, RowId
from shipper.files.seen import Seen
from shipper.files.tail import Tail

#: With so many files that begin alike one is compared; it is no copy of more, and is read: what is
#: stored already is not stored again.
_MOST_COMPARED = 16


class Start(Struct, frozen=True):
    """Where a file begins to be read, and why; for the log."""

    offset: int
    why: str
    #: Whether nothing that is remembered begins with the same line.
    is_new: bool = False
    #: Whether nothing was known to follow when that offset was acknowledged, or it is skipped.
    settled: bool = False


#: A file's row, where it begins and the mark of that, which file it is, and how far an earlier
#: process saw it.
_Decision = tuple[RowId, Start, Mark, Identity, Seen | None]


class Placement:
    """Places the files of one input."""

    def __init__(
        self,
        records: FileRecords,
        *,
        clock: Clock,
        new_row: Callable[[], RowId],
        is_final: Callable[[Tail], bool],
        ignore_older: float,
        start_at_end: bool,
    ) -> None:
        """`is_final`: whether a file will not grow any more. `ignore_older` (seconds) and
        `start_at_end`: as in `Catalog`."""
        self._records = records
        self._clock = clock
        self._new_row = new_row
        self._is_final = is_final
        self._ignore_older = ignore_older
        self._start_at_end = start_at_end and not any(records.paths)
        # Where files begin that have to be read on before that.
        self._decided: dict[Tail, _Decision] = {}
        # How they compare with files of which they may be copies.
        self._comparisons: dict[Tail, dict[RowId, PrefixComparison]] = {}

    def forget(self, tail: Tail) -> None:
        """The file is closed."""
        self._decided.pop(tail, None)
        self._comparisons.pop(tail, None)

    async def place(self, tail: Tail) -> Start | NoLine | None:
        """Decides where a waiting file begins; None while it has no complete first line; MORE if
        there is much to look at before that is known: call again."""
        identity = await tail.identify(final=self._is_final(tail))
        if identity is None:
            return NoLine.MORE if tail.identification.head.searching else None
        found = self._decided.pop(tail, None)
        fresh = found is None
        if found is None:
            if tail.compressed and (waiting := await self._look_for_marks(tail, identity)):
                return None if waiting is NoLine.AT_END else waiting
            found = await self._decide(tail, identity)
        if found is None:
            return NoLine.MORE
        row, start, mark, identity, seen = found
        if fresh:
            await self._note_copies(tail, row, identity)
        if not await tail.content.reach(start.offset - mark.length):
            self._decided[tail] = found
            return NoLine.MORE
        acks = AckTracker(start.offset, mark, on_advance=lambda: self._records.changed(row))
        await tail.begin(identity, acks, seen)
        self._comparisons.pop(tail, None)
        # Only now: where the file could not be read, it is placed another time.
        self._records.hold(row, tail)
        return start

    async def _look_for_marks(self, tail: Tail, identity: Identity) -> NoLine | None:
        """Has a gzip know which marks it has, in the order in which they come. MORE: it has to be
        read on for that; AT_END: it is still written, and may have one of them later."""
        marks = set()
        for record in self._like(tail, identity):
            marks.add((record.offset, record.mark))
            if record.seen > record.offset and record.seen_mark.length:
                marks.add((record.seen, record.seen_mark))
        for offset, mark in sorted(marks, key=itemgetter(0)):
            if await tail.has_mark(offset, mark) is None:
                return NoLine.MORE
            if offset > tail.size and not self._is_final(tail):
                return NoLine.AT_END
        return None

    async def _note_copies(self, tail: Tail, row: RowId, identity: Identity) -> None:
        """Notes of which other unfinished files it has all that is acknowledged: if one of them
        vanishes, its rest may be here."""
        for record in self._like(tail, identity):
            if record.row == row or record.seen <= record.offset:
                continue
            seen = Seen(record.seen, record.seen_mark)
            if await _goes_on_differently(tail, record):
                continue
            if not tail.compressed and tail.size >= seen.end and not tail.has_seen(seen):
                continue
            if await tail.has_mark(record.offset, record.mark):
                self._records.copied(record.row, row)
                if tail.compressed and await _has_end(tail, seen):
                    self._records.copied_to(record.row, row, seen.end)

    def _like(self, tail: Tail, identity: Identity) -> list[FileRecord]:
        """The files that are remembered with that first line, also by a version that made another
        identity of it."""
        legacy = tail.identification.head.legacy
        return self._records.like(identity) + (self._records.like(legacy) if legacy else [])

    async def _decide(self, tail: Tail, identity: Identity) -> _Decision | None:
        """The row, offset and mark of a file whose first line is known; None: call again."""
        same = self._like(tail, identity)
        # The one at this inode first, then the one that got furthest.
        same.sort(key=lambda record: (not _is_at(record, tail), -record.offset))
        own = next((record.identity for record in same if _is_at(record, tail)), identity)
        before = self._records.take_inode(tail.inode, own)
        why = f"another file, once {before.path}, had its inode" if before else "it is new"
        for record in same:
            if not await tail.has_mark(record.offset, record.mark):
                why = (
                    f"it begins like {record.path}, of which {record.offset} bytes are "
                    "acknowledged, but is not the same up to there"
                )
                if record.inode == tail.inode:
                    self._records.leave_inode(record.row)
                continue
            settled = record.seen <= record.offset
            is_anothers = self._is_anothers(record, tail)
            if is_anothers:
                is_same = await self._has_the_same(tail, record)
                if is_same is None:
                    return None
                if not is_same:
                    why = f"it begins and goes on like {record.path}, and has other lines between"
                    continue
            if is_anothers or await _goes_on_differently(tail, record):
                reason = f"it is a copy of {record.path}"
                start = Start(record.offset, reason, settled=settled)
                return self._new_row(), start, record.mark, record.identity, None
            start = Start(record.offset, "it is known", settled=settled)
            seen = Seen(record.seen, record.seen_mark) if record.seen > record.offset else None
            return record.row, start, record.mark, record.identity, seen
        if skipped := self._why_skipped(tail):
            last = await tail.last_line_end()
            if last is None:
                return None
            end, mark = last
            return self._new_row(), Start(end, skipped, settled=True), mark, identity, None
        return self._new_row(), Start(0, why, is_new=not same), NO_MARK, identity, None

    def skips(self, modified: float, *, is_first: bool) -> bool:
        """Whether what is in a new file, written last at that time (Unix seconds), is not shipped.
        `is_first`: the first scan found it."""
        is_old = bool(self._ignore_older) and self._clock.now() - modified > self._ignore_older
        return is_old or (is_first and self._start_at_end)

    def skips_tail(self, tail: Tail) -> bool:
        """The same of one that is open, if it is new."""
        return bool(self._why_skipped(tail))

    async def _has_the_same(self, tail: Tail, record: FileRecord) -> bool | None:
        """Whether a file has all that is acknowledged of another one that is followed, as far as
        both can be read; None: call again. Its first line and the bytes before the offset, which
        it has, may be those of other content: of events that end alike."""
        other = self._records.holder(record.row)
        if other is None or other.descriptor < 0 or tail.compressed or other.compressed:
            return True
        comparisons = self._comparisons.setdefault(tail, {})
        comparison = comparisons.get(record.row)
        if comparison is None:
            if len(comparisons) >= _MOST_COMPARED:
                return False
            comparison = PrefixComparison(tail.content, other.content, record.offset)
            comparisons[record.row] = comparison
        found = await comparison.go_on()
        if found is Prefix.DIFFERENT and not await other.has_mark(record.offset, record.mark):
            return True  # The other one was written over meanwhile: this is what was copied of it.
        return None if found is Prefix.MORE else found is not Prefix.DIFFERENT

    def _is_anothers(self, record: FileRecord, tail: Tail) -> bool:
        """Whether another file, which is followed, has that row."""
        if self._records.holder(record.row) is not None:
            return True
        return self._records.is_parked(record.row) and not _is_at(record, tail)

    def _why_skipped(self, tail: Tail) -> str:
        """Why what is in a new file is not shipped; empty if it is."""
        if self._start_at_end and tail.found_first is not None:
            return "it was there before, and start_at is end"
        age = self._clock.now() - tail.modified
        if self._ignore_older and age > self._ignore_older:
            return f"it was last written {age:.0f} s ago, which is longer than ignore_older"
        return ""


def _is_at(record: FileRecord, tail: Tail) -> bool:
    """Whether a file is where that record says: an inode that came into being at another time is
    another one."""
    born_then = record.born is None or tail.born is None or record.born == tail.born
    return record.inode == tail.inode and born_then


async def _goes_on_differently(gzip: Tail, record: FileRecord) -> bool:
    """Whether what a gzip holds is another content than that of a record, after what is
    acknowledged of it: it is whole, and has not the bytes that were seen last. Of a file that is no
    gzip that is found out when it is read."""
    seen = Seen(record.seen, record.seen_mark)
    if not gzip.compressed or seen.end <= record.offset or await _has_end(gzip, seen):
        return False
    return gzip.content.inflated >= seen.end or gzip.content.ending is Ending.COMPLETE


async def _has_end(gzip: Tail, seen: Seen) -> bool:
    """Whether a gzip has what was seen last of a file, if that is known of the file."""
    return not seen.mark.length or bool(await gzip.has_mark(seen.end, seen.mark))
