"""Losses: lines that were written to a followed log and will never be delivered.

Losses of one file that adjoin, have one reason and fall into one hour are one; those of dead
letters, which are lines here and there, need not adjoin. Where there are too
many, the oldest are folded into one for each reason, which has no file. What they add up to never
shrinks. Pure functions over values; `loss_table` keeps them in the registry.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import NewType

from shipper.files.identity import Identity

#: The key of a loss's row.
LossId = NewType("LossId", int)

_HOUR = 3600


class LossReason(Enum):
    """Why lines will never be delivered."""

    #: Removed files took more than `retention.max_bytes`: we gave the oldest up.
    RETENTION = "retention"
    #: The file was truncated or overwritten before it was read to its end.
    REWRITTEN = "rewritten"
    #: The file was deleted while nothing held it, before it was read to its end.
    VANISHED = "vanished"
    #: The rest of a gzip cannot be unpacked.
    DAMAGED = "damaged"
    #: A gzip holds more than is unpacked of one.
    TOO_LARGE = "too_large"
    #: Dead letters took more than `dead_letter.max_bytes`: we deleted the oldest.
    DEAD_LETTER_FULL = "dead_letter_full"

    @property
    def is_scattered(self) -> bool:
        """Whether what is lost are lines here and there in a range, not all of it."""
        return self is LossReason.DEAD_LETTER_FULL


class LossState(IntEnum):
    NEW = 0
    OFFERED = 1
    SHIPPED = 2


@dataclass(frozen=True, slots=True)
class Loss:
    """A range of a file that is lost, or several of several files together."""

    input_id: str
    #: Empty, as all that says which file, where it is of several.
    path: str
    #: Also empty where the file had no complete first line.
    identity: Identity
    #: The range in the file, `end` excluded, that is lost, or in which the lost lines are; 0 and 0
    #: where it is of several.
    start: int
    end: int
    #: How much of it is lost.
    bytes: int
    #: None where nobody can know.
    lines: int | None
    reason: LossReason
    #: Unix seconds of the first of it.
    time: float
    #: Of how many losses it was made.
    merged: int = 1


@dataclass(frozen=True, slots=True)
class StoredLoss:
    """A row of the table."""

    id: LossId
    loss: Loss
    state: LossState


def merge(losses: Iterable[Loss], most: int) -> list[Loss]:
    """The same losses, those that adjoin as one; past `most` the oldest as one for each reason."""
    merged: list[Loss] = []
    for loss in losses:
        both = together(merged[-1], loss) if merged else None
        if both is None:
            merged.append(loss)
        else:
            merged[-1] = both
    if len(merged) <= most:
        return merged
    # A tenth more, so that the next one does not fold again.
    cut = len(merged) - most + most // 10
    return [*fold(merged[:cut]), *merged[cut:]]


def together(first: Loss, second: Loss) -> Loss | None:
    """Two losses as one; None if they do not adjoin in one file, for one reason, in one hour."""
    if (
        (first.input_id, first.identity, first.reason)
        != (second.input_id, second.identity, second.reason)
        or (first.lines is None) != (second.lines is None)
        or first.time // _HOUR != second.time // _HOUR
    ):
        return None
    if first.reason.is_scattered:
        if not first.path or first.path != second.path:
            return None
    elif not first.identity or (first.end != second.start and first.start != second.end):
        return None
    return replace(
        second,
        start=min(first.start, second.start),
        end=max(first.end, second.end),
        bytes=first.bytes + second.bytes,
        lines=None if first.lines is None else first.lines + (second.lines or 0),
        time=min(first.time, second.time),
        merged=first.merged + second.merged,
    )


def fold(losses: Iterable[Loss]) -> list[Loss]:
    """One for each reason, and one more where lines are not known: a sum that is known stays so."""
    kinds: dict[tuple[LossReason, bool], list[Loss]] = defaultdict(list)
    for loss in losses:
        kinds[loss.reason, loss.lines is None].append(loss)
    return [
        Loss(
            input_id="",
            path="",
            identity=Identity(""),
            start=0,
            end=0,
            bytes=sum(loss.bytes for loss in kind),
            lines=None if unknown else sum(loss.lines or 0 for loss in kind),
            reason=reason,
            time=min(loss.time for loss in kind),
            merged=sum(loss.merged for loss in kind),
        )
        for (reason, unknown), kind in kinds.items()
    ]
