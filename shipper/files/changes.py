"""What the registry has to learn of an input's files, the losses among it, and what of that is on
its way there.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct, field

from shipper.files.losses import Loss, LossReason, merge
from shipper.files.rows import FileRecord, RowId

# How many losses wait for a registry that cannot be written; the oldest are added up past it.
_MOST_LOSSES = 1000


class Changes(Struct):
    """What the registry has to learn."""

    records: list[FileRecord] = field(default_factory=list)
    forgotten: list[RowId] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    #: How many losses were recorded in the life of this process, these included.
    losses_recorded: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to learn."""
        return not (self.records or self.forgotten or self.losses)

    @property
    def durable(self) -> bool:
        """Whether a power cut must not undo the commit: something is released after it."""
        return any(loss.reason is LossReason.RETENTION for loss in self.losses)


class UnsavedLosses:
    """Losses that the registry does not have yet, in the order in which they came."""

    def __init__(self) -> None:
        self._losses: list[Loss] = []
        #: How many there ever were, and how many of these the registry has.
        self.recorded = self.committed = 0

    def add(self, loss: Loss) -> int:
        """Adds one; returns its number."""
        self._losses.append(loss)
        self.recorded += 1
        self._bound()
        return self.recorded

    def take(self) -> list[Loss]:
        """All of them, which are the caller's now."""
        taken, self._losses = self._losses, []
        return taken

    def put_back(self, losses: Sequence[Loss]) -> None:
        """Those that were taken could not be saved."""
        self._losses = [*losses, *self._losses]
        self._bound()

    def saved(self, number: int) -> None:
        """The registry has the first `number`."""
        self.committed = max(self.committed, number)

    def _bound(self) -> None:
        if len(self._losses) > _MOST_LOSSES:
            self._losses = merge(self._losses, _MOST_LOSSES)


class Unsaved:
    """What the registry has not learnt of one input yet."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called when `take` has something to tell."""
        self._on_change = on_change
        self._dirty: set[RowId] = set()
        self._forgotten: set[RowId] = set()
        self._losses = UnsavedLosses()
        # What was handed out and is neither committed nor failed yet.
        self._saving: dict[RowId, Changes] = {}

    def change(self, row: RowId) -> None:
        """The registry has to learn of that row."""
        self._dirty.add(row)
        self._on_change()

    def forget(self, row: RowId) -> None:
        """The registry has to forget that row."""
        self._dirty.discard(row)
        self._forgotten.add(row)
        self._on_change()

    def add_loss(self, loss: Loss) -> int:
        """The registry has to learn of a loss: returns its number."""
        number = self._losses.add(loss)
        self._on_change()
        return number

    @property
    def losses_committed(self) -> int:
        """Up to which number the registry has the losses."""
        return self._losses.committed

    def take(self, record: Callable[[RowId], FileRecord]) -> Changes:
        """What changed since the last call; `record`: what is known of a row. Hand it to
        `committed` when it is saved, and to `failed` if it could not be."""
        changes = Changes(
            [record(row) for row in self._dirty],
            list(self._forgotten),
            self._losses.take(),
            self._losses.recorded,
        )
        self._saving.update(dict.fromkeys((*self._dirty, *self._forgotten), changes))
        self._dirty, self._forgotten = set(), set()
        return changes

    def committed(self, changes: Changes) -> None:
        """These changes are in the registry."""
        self._losses.saved(changes.losses_recorded)
        self._settle(changes)

    def failed(self, changes: Changes, is_known: Callable[[RowId], bool]) -> None:
        """These changes did not reach the registry, or may not have: they are part of the next
        ones, as far as their files are known still."""
        self._settle(changes)
        self._dirty.update(filter(is_known, (record.row for record in changes.records)))
        self._forgotten.update(changes.forgotten)
        self._losses.put_back(changes.losses)

    def is_committed(self, row: RowId) -> bool:
        """Whether the registry says of that row what is known now; also if nothing is known."""
        return not (row in self._dirty or row in self._saving or row in self._forgotten)

    def _settle(self, changes: Changes) -> None:
        for row in (*(record.row for record in changes.records), *changes.forgotten):
            # It may be part of later ones by now.
            if self._saving.get(row) is changes:
                del self._saving[row]
        if not self._saving:
            self._saving = {}  # A dictionary keeps the room of what was in it.
