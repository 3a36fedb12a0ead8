"""The quota of removed files: which are given up when those that are not done take too much.

The oldest first, among those with nothing in flight. What is in flight may get through: reading
such a file stops, and it is given up last, when its answers are there. A file that is given up is
skipped to its end in one commit with the record of what is lost; only when the registry has both
may its link go. While that cannot be written, nothing is given up, and `trouble` says so.

    too much -> reading stops -> nothing in flight -> counted -> skipped -> committed -> let go
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Struct

from shipper.files.catalog import Catalog
from shipper.files.facts import Inode
from shipper.files.faults import FileErrors
from shipper.files.lines import NoLine, Rewritten
from shipper.files.losses import LossReason
from shipper.files.measure import Unread
from shipper.files.placement import Start
from shipper.files.tail import State, Tail
from shipper.logs import Log
from shipper.logs.events import DELETED_FILE_ABANDONED, FILE_OPEN_FAILED, UNREAD_LINES_UNKNOWN
from shipper.option_names import OptionNames

#: So many parked files are opened at once to be given up.
_OPENED_AT_ONCE = 8


class QuotaInput(Struct, frozen=True):
    """What the quota has to know of an input."""

    catalog: Catalog
    #: Decides where a waiting file begins.
    place: Callable[[Tail], Awaitable[Start | NoLine | None]]
    #: Saves what changed in the registry, so that a power cut does not undo a loss.
    commit: Callable[[], Awaitable[None]]
    #: A file is let go: has its input look soon.
    let_go: Callable[[Tail], None]
    #: The content of a file is another one.
    rewritten: Callable[[Tail, Rewritten], object]


class KeptFile(Struct, frozen=True):
    """A file without a name that is not done, whichever inputs follow it."""

    followers: tuple[tuple[QuotaInput, Tail], ...]

    @property
    def tail(self) -> Tail:
        """The one that got furthest."""
        return max((tail for _, tail in self.followers), key=lambda tail: tail.acks.offset)

    @property
    def allocated(self) -> int:
        """What it takes of the disk, in bytes."""
        return self.tail.allocated

    @property
    def in_flight(self) -> bool:
        """Whether lines of it are being read or have no answer yet."""
        return any(tail.busy or not tail.acks.all_acknowledged for _, tail in self.followers)

    @property
    def counts(self) -> bool:
        """Whether it is kept still: it may be back, or finished, by now."""
        tails = [tail for _, tail in self.followers]
        return not self.tail.is_acknowledged and all(
            tail.gone is not None and tail.descriptor >= 0 for tail in tails
        )

    def hold(self, held: bool) -> None:
        """Stops reading it, or has it go on."""
        for _, tail in self.followers:
            tail.held = held


class _GivenUp(Struct):
    """A file of which the registry has to learn that its rest is lost."""

    file: KeptFile
    lost_bytes: int
    lost_lines: int | None
    #: Whether its rows say that it is finished; otherwise it has none, or cannot be read.
    skipped: bool
    #: Where the loss is recorded, and its number there; None if nothing is lost.
    recorded: tuple[QuotaInput, int] | None = None


def kept_files(inputs: Iterable[QuotaInput]) -> list[KeptFile]:
    """The files that no name of any input leads to and that are not done, the oldest first."""
    inputs = tuple(inputs)
    removed: dict[Inode, None] = {}
    for source in inputs:
        for tail in source.catalog.tails:
            if tail.gone is not None and tail.descriptor >= 0 and not tail.is_acknowledged:
                removed[tail.inode] = None
    files = []
    for inode in removed:
        followers = tuple(
            (source, found)
            for source in inputs
            if (found := source.catalog.with_inode(inode)) is not None and found.descriptor >= 0
        )
        if all(tail.gone is not None for _, tail in followers):
            files.append(KeptFile(followers))
    return sorted(files, key=lambda each: (each.tail.modified, each.tail.path))


def parked_files(inputs: Iterable[QuotaInput]) -> dict[Inode, int]:
    """The files that no name of any input leads to and that wait for a descriptor; of each what it
    takes of the disk, in bytes."""
    inputs = tuple(inputs)
    found: dict[Inode, int] = {}
    for source in inputs:
        found.update(source.catalog.parked.unacknowledged())
    return {
        inode: allocated
        for inode, allocated in found.items()
        if all(source.catalog.with_inode(inode) is None for source in inputs)
    }


class Quota:
    """Keeps what removed files take below `max_bytes`."""

    def __init__(
        self,
        inputs: Sequence[QuotaInput],
        *,
        max_bytes: int,
        faults: FileErrors,
        log: Log,
        names: OptionNames,
    ) -> None:
        """`names`: what messages call the options."""
        self._inputs = inputs
        #: What they may take, in bytes.
        self.max_bytes = max_bytes
        self._faults = faults
        self._log = log
        self._names = names
        self._unrecorded: list[_GivenUp] = []
        self._held: list[KeptFile] = []
        #: Whether files took more than they may when it was looked at last.
        self.is_exceeded = False

    @property
    def trouble(self) -> str | None:
        """Why the quota cannot be obeyed; None if it can."""
        if not self._unrecorded:
            return None
        return (
            f"removed files take more than {self._names('retention.max_bytes')}, and all are kept, "
            "since the registry cannot be written: what is given up has to be recorded first"
        )

    @property
    def kept(self) -> list[KeptFile]:
        """The files that count and are open, the oldest first."""
        return kept_files(self._inputs)

    @property
    def parked(self) -> dict[Inode, int]:
        """The files that count and are not open; of each what it takes of the disk, in bytes."""
        return parked_files(self._inputs)

    @property
    def kept_bytes(self) -> int:
        """What all that count take of the disk, in bytes."""
        return sum(file.allocated for file in self.kept) + sum(self.parked.values())

    async def obey(self) -> None:
        """Gives up what is too much, as far as that is possible now."""
        await self._record()
        if self._unrecorded:
            self.is_exceeded = True
            return
        if self.kept_bytes > self.max_bytes and self.parked:
            # They are older than what is open.
            for source in self._inputs:
                for error in source.catalog.open_oldest_removed(_OPENED_AT_ONCE):
                    self._faults.report(FILE_OPEN_FAILED, error)
        files = self.kept
        excess = self.kept_bytes - self.max_bytes
        self.is_exceeded = excess > 0
        for file in self._held:
            file.hold(False)
        self._held = []
        for file in files:
            if excess <= 0:
                break
            if file.in_flight or not file.counts:
                continue  # As it is now: this one may have been read while another was given up.
            excess -= file.allocated
            file.hold(True)
            try:
                let_go = await self._give_up(file)
            except BaseException:
                file.hold(False)
                raise
            if self._unrecorded:
                return
            if not let_go:
                file.hold(False)
        for file in self.kept if excess > 0 else ():
            if excess <= 0:
                break
            if file.in_flight:
                excess -= file.allocated
                file.hold(True)
                self._held.append(file)

    async def _give_up(self, file: KeptFile) -> bool:
        """Returns whether it is given up; it cannot be while it is not known which file it is."""
        for source, tail in file.followers:
            if tail.is_covered:
                self._let_go_without_loss(file)
                return True
            try:
                if tail.state is State.WAITING and not await self._is_placed(source, tail):
                    return tail.is_finished
            except OSError as error:
                return await self._give_up_unreadable(file, error)
        tail = file.tail
        try:
            if await self._is_rewritten(file):
                return False
            final = all(source.catalog.is_final(tail) for source, tail in file.followers)
            unread = await tail.measure_unread(final=final)
            if not final and not tail.compressed and unread.end <= tail.offset:
                return False  # Half a line that somebody may finish, or nothing but NULs.
            if await self._is_elsewhere(file, unread):
                self._let_go_without_loss(file)
                return True
            for _, follower in file.followers:
                if follower.identity:
                    await follower.skip(unread)
        except OSError as error:
            return await self._give_up_unreadable(file, error)
        for source, follower in file.followers:
            source.catalog.records.touched(follower)
        given_up = _GivenUp(file, unread.size, unread.lines, skipped=bool(tail.identity))
        # With the skip: nothing may come between.
        self._lose(given_up, unread.start, unread.end)
        await self._record()
        return True

    async def _give_up_unreadable(self, file: KeptFile, error: OSError) -> bool:
        tail = file.tail
        error.filename = error.filename or tail.path
        self._faults.report(UNREAD_LINES_UNKNOWN, error)
        start = max(
            tail.acks.offset,
            *(source.catalog.records.offset_at(tail.inode) for source, _ in file.followers),
        )
        end = max(start, tail.size)
        self._lose(_GivenUp(file, end - start, None, skipped=False), start, end)
        await self._record()
        return True

    def _lose(self, given_up: _GivenUp, start: int, end: int) -> None:
        """Notes the loss; `_record` has the registry learn of it."""
        tail = given_up.file.tail
        if given_up.lost_bytes:
            source = next(each for each, other in given_up.file.followers if other is tail)
            number = source.catalog.closing.record_loss(
                LossReason.RETENTION,
                tail,
                start,
                end,
                size=given_up.lost_bytes,
                lines=given_up.lost_lines,
            )
            given_up.recorded = source, number
        self._unrecorded.append(given_up)

    async def _is_placed(self, source: QuotaInput, tail: Tail) -> bool:
        """Finds out how far the file is shipped; whether that is known, or it has no line yet that
        says which file it is and nobody will finish one."""
        while True:
            start = await source.place(tail)
            if isinstance(start, Start):
                return True
            if start is not NoLine.MORE:
                return not tail.compressed and source.catalog.is_final(tail)
            await asyncio.sleep(0)

    async def _is_rewritten(self, file: KeptFile) -> bool:
        """Whether there is another content now, which is a file of its own: nobody gave that up."""
        rewritten = False
        for source, tail in file.followers:
            found = await tail.examine()
            if found is not None:
                rewritten = True
                source.rewritten(tail, found)
        return rewritten

    async def _is_elsewhere(self, file: KeptFile, unread: Unread) -> bool:
        """Whether a file that still has a name holds the same to the end, and will be read."""
        for source, tail in file.followers:
            for other in source.catalog.tails:
                if other.gone is not None or other.descriptor < 0 or other.busy or other is tail:
                    continue
                if not tail.identity or other.state is State.DONE:
                    continue
                if await _holds_the_same(other, tail, unread):
                    return True
        return False

    def _let_go_without_loss(self, file: KeptFile) -> None:
        for source, tail in file.followers:
            tail.stop()
            source.catalog.closing.give_up(tail)
            source.let_go(tail)

    async def _record(self) -> None:
        """Has the registry learn of what is given up, and lets go of what it knows."""
        for given_up in list(self._unrecorded):
            # Who records the loss comes last: a kill in between finds that file as it was.
            recorded = given_up.recorded
            sources = [source for source, _ in given_up.file.followers]
            if recorded is not None:
                sources.sort(key=lambda source: source is recorded[0])
            for source in sources:
                await source.commit()
            if not _is_recorded(given_up):
                return
            self._unrecorded.remove(given_up)
            self._let_go(given_up)

    def _let_go(self, given_up: _GivenUp) -> None:
        for source, tail in given_up.file.followers:
            tail.held = False
            if not given_up.skipped:
                tail.stop()
                source.catalog.closing.give_up(tail)
            source.let_go(tail)
        if not given_up.lost_bytes:
            return
        self._log.emit(
            DELETED_FILE_ABANDONED,
            path=given_up.file.tail.path,
            lost_bytes=given_up.lost_bytes,
            lost_lines=given_up.lost_lines or 0,
            hint=f"kept files took more than {self._names('retention.max_bytes')}: raise it, "
            "or see why the cluster takes no lines",
        )


def _is_recorded(given_up: _GivenUp) -> bool:
    if given_up.recorded is not None:
        source, number = given_up.recorded
        if source.catalog.records.losses_committed < number:
            return False
    return all(source.catalog.records.is_saved(tail) for source, tail in given_up.file.followers)


async def _holds_the_same(other: Tail, tail: Tail, unread: Unread) -> bool:
    """Whether another file begins and ends like what is unread of a file."""
    other.held = True
    try:
        if other.state is State.WAITING:
            identity = await other.identify(final=False)
            while identity is None and other.identification.head.searching:
                await asyncio.sleep(0)
                identity = await other.identify(final=False)
        else:
            identity = other.identity
        if identity != tail.identity:
            return False
        found = await other.has_mark(unread.end, unread.mark)
        while found is None:
            await asyncio.sleep(0)
            found = await other.has_mark(unread.end, unread.mark)
        return found
    except OSError:
        return False  # What cannot be read is no copy to rely on.
    finally:
        other.held = False
        if other.state is State.WAITING:
            other.content.rest()
