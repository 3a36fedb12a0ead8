"""How a file ends: closed when it is final, read to its end and acknowledged, or retired because
its content was rewritten or given up. What is known to be lost of it is said with it.
"""

from collections.abc import Callable

from msgspec import Struct

from shipper.clock import Clock
from shipper.files.copies import is_elsewhere
from shipper.files.facts import Inode
from shipper.files.followed import FollowedFiles
from shipper.files.identity import NO_IDENTITY, Identity
from shipper.files.loss_recorder import LossRecorder
from shipper.files.losses import LossReason
from shipper.files.records import FileRecords
from shipper.files.registry import RowId
from shipper.files.tail import State, Tail


class ClosedFile(Struct, frozen=True):
    """A file that is closed: how much of it was read, and how much is known to be lost."""

    path: str
    #: None if another file stands at it by now.
    inode: Inode | None
    size: int
    lost: int
    #: Whether any of it was to be read.
    placed: bool = True
    identity: Identity = NO_IDENTITY
    #: Its row in the registry, if it has one.
    row: RowId | None = None
    #: Bytes of the file itself when it was closed; None if other content took its place, which
    #: nobody has read.
    stored: int | None = 0
    compressed: bool = False
    #: Whether what is written to it from now on is not followed, either.
    for_good: bool = False


class Closing:
    """Closes the files of one input."""

    def __init__(
        self,
        input_id: str,
        files: FollowedFiles,
        records: FileRecords,
        clock: Clock,
        is_final: Callable[[Tail], bool],
    ) -> None:
        """`is_final`: whether a file will not grow any more."""
        self._files = files
        self._records = records
        self._losses = LossRecorder(input_id, records, clock)
        self._is_final = is_final
        # Of which only the rest is read, whoever writes on.
        self._to_their_end: set[Tail] = set()
        # Those of which a copy may have been made since the last walk began, if one did.
        self._just_rewritten: set[Tail] | None = None

    def begin_scan(self) -> None:
        """A walk begins: copies of what is rewritten from now on may not be among what it finds."""
        self._just_rewritten = set()

    def rewritten(self, tail: Tail) -> None:
        """The content of a file is another one now."""
        if self._just_rewritten is not None:
            self._just_rewritten.add(tail)

    def only_to_its_end(self, tail: Tail) -> None:
        """Only the rest of a file is read: what is written to it later is not followed."""
        self._to_their_end.add(tail)

    def give_up(self, tail: Tail) -> None:
        """Closes a file that was stopped before its end, for good; what is in flight still
        counts."""
        tail.is_finished = True
        self._to_their_end.add(tail)
        self._files.retire(tail)

    def record_loss(
        self,
        reason: LossReason,
        file: Tail | ClosedFile,
        start: int,
        end: int,
        *,
        size: int,
        lines: int | None,
    ) -> int:
        """Has a range of a file recorded as lost: `size` bytes of it, with so many lines (None:
        nobody knows). Returns as `FileRecords.add_loss`."""
        return self._losses.record(
            reason, file.path, start, end, identity=file.identity, size=size, lines=lines
        ).number

    def close_finished(self) -> list[ClosedFile]:
        """Closes the files that are removed and final, read to their end and acknowledged; and
        gzips that are, wherever they are."""
        for tail in list(self._files.open.values()):
            over = tail.state is State.READING if tail.compressed else tail.gone is not None
            if not over or tail.held or not tail.acks.all_acknowledged:
                continue
            if not (tail in self._to_their_end or self._is_final(tail)):
                continue
            if tail.compressed and not tail.is_settled:
                continue  # What is missing of it is recorded first.
            if not tail.look():
                tail.is_finished = True
                self._files.retire(tail)
        closed_files = []
        unplaced = [
            tail
            for tail in self._files.open.values()
            if tail.state is State.WAITING and tail.unread and not tail.compressed
        ]
        for tail in [tail for tail in self._files.retired if tail.acks.all_acknowledged]:
            just_rewritten = tail in (self._just_rewritten or ())
            if tail.unread_lost and (
                just_rewritten
                or self._files.parked.untried
                or any(other.identification.is_like(tail.identification) for other in unplaced)
            ):
                continue  # One may be a copy that has what is missing here, or is not found yet.
            self._files.retired.discard(tail)
            closed_files.append(self._closed_file(tail))
            self._to_their_end.discard(tail)
        return closed_files

    def _closed_file(self, tail: Tail) -> ClosedFile:
        read, lost = tail.offset, self._lost(tail)
        if not tail.compressed:
            tail.stop()  # What is lost of it is reported once.
        return ClosedFile(
            tail.path,
            None if self._files.follows(tail.inode) else tail.inode,
            read,
            lost,
            placed=bool(tail.identity),
            identity=tail.identity,
            row=self._records.close_finished(tail) or tail.done_as,
            stored=tail.version.size if tail.is_finished else None,
            compressed=tail.compressed,
            for_good=tail in self._to_their_end,
        )

    def _lost(self, tail: Tail) -> int:
        """What was rewritten before it was read, and is not in a copy either, in bytes."""
        return 0 if is_elsewhere(self._records, tail, tail.seen) else tail.unread_lost
