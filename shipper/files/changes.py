"""What the registry has to learn of an input's files, and the losses among it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shipper.files.losses import Loss, LossReason, merge
from shipper.files.rows import FileRecord, RowId

# How many losses wait for a registry that cannot be written; the oldest are added up past it.
_MOST_LOSSES = 1000


@dataclass(slots=True)
class Changes:
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
