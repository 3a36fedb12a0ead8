"""The one place where a loss is made of what is known of a file, and handed to the registry."""

from dataclasses import dataclass

from shipper.clock import Clock
from shipper.files.identity import NO_IDENTITY, Identity
from shipper.files.losses import Loss, LossReason
from shipper.files.records import SUFFIX, FileRecords
from shipper.files.rows import FileRecord


@dataclass(frozen=True, slots=True)
class RecordedLoss:
    """A loss, and its number as of `FileRecords.add_loss`."""

    loss: Loss
    number: int


def known_end(record: FileRecord) -> int:
    """Up to where a file was seen. Of a gzip a byte past what was read of it stands for what
    follows, of which nothing is known."""
    is_unknown = record.path.endswith(SUFFIX) and record.seen == record.offset + 1
    return record.offset if is_unknown else record.seen


def make_loss(
    reason: LossReason,
    path: str,
    start: int,
    end: int,
    *,
    now: float,
    input_id: str = "",
    identity: Identity = NO_IDENTITY,
    size: int | None = None,
    lines: int | None = None,
    merged: int = 1,
) -> Loss:
    """The loss of a range of a file: `size` bytes of it (None: all), with so many lines (None:
    nobody knows), of `merged` places in it. `now`: Unix seconds."""
    return Loss(
        input_id=input_id,
        path=path,
        identity=identity,
        start=start,
        end=end,
        bytes=end - start if size is None else size,
        lines=lines,
        reason=reason,
        time=now,
        merged=merged,
    )


class LossRecorder:
    """Records the losses of one input."""

    def __init__(self, input_id: str, records: FileRecords, clock: Clock) -> None:
        self._input_id = input_id
        self._records = records
        self._clock = clock

    def record(
        self,
        reason: LossReason,
        path: str,
        start: int,
        end: int,
        *,
        identity: Identity = NO_IDENTITY,
        size: int | None = None,
        lines: int | None = None,
    ) -> RecordedLoss:
        """Has the registry learn that a range of a file is lost: `size` bytes of it (None: all),
        with so many lines (None: nobody knows)."""
        loss = make_loss(
            reason,
            path,
            start,
            end,
            now=self._clock.now(),
            input_id=self._input_id,
            identity=identity,
            size=size,
            lines=lines,
        )
        return RecordedLoss(loss, self._records.add_loss(loss))
