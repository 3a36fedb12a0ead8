"""Losses: lines that were written to a followed log and will never be delivered, as the registry
remembers them.

    NEW      may still grow by what adjoins it
    OFFERED  was handed out to be shipped, and stays as it is: its document's id is made of it
    SHIPPED  its document is acknowledged

Losses of one file that adjoin, have one reason and fall into one hour are one row. The table has at
most MAX_ROWS rows: past that, and after MAX_AGE, the oldest rows (those that are shipped first) are
folded into one row for each reason, which has no file. What the rows add up to never shrinks.
"""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import NewType

from shipper.files.identity import Identity

#: The key of a loss's row.
LossId = NewType("LossId", int)

#: How many rows are kept one by one.
MAX_ROWS = 10_000
#: How long, in seconds: 90 days, by the time of the newest loss.
MAX_AGE = 90 * 86_400.0

_HOUR = 3600
_LARGEST = 2**63 - 1
# The year 10000, in Unix seconds: no later time can be written as text.
_LATEST = 253_402_300_800


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


class LossState(IntEnum):
    NEW = 0
    OFFERED = 1
    SHIPPED = 2


@dataclass(frozen=True, slots=True)
class Loss:
    """A range of a file that is lost, or several of several files together."""

    #: Empty, as `path` and `identity` are, where it is of several files.
    input_id: str
    path: str
    identity: Identity
    #: The range in the file, `end` excluded; 0 and 0 where it is of several.
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
        together = _together(merged[-1], loss) if merged else None
        if together is None:
            merged.append(loss)
        else:
            merged[-1] = together
    if len(merged) <= most:
        return merged
    # A tenth more, so that the next one does not fold again.
    cut = len(merged) - most + most // 10
    return [*_fold(merged[:cut]), *merged[cut:]]


_COLUMNS = (
    "id, input, path, identity, first_byte, end_byte, bytes, lines, reason, time, merged, state"
)
# A path may be of any bytes, which Python's text cannot hand over as they are.
_INSERT = f"""
INSERT INTO losses ({_COLUMNS}) VALUES (?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE = """
UPDATE losses SET path = CAST(? AS TEXT), first_byte = ?, end_byte = ?, bytes = ?, lines = ?,
    time = ?, merged = ? WHERE id = ?
"""
_OF_FILE = f"""
SELECT {_COLUMNS} FROM losses
WHERE identity = ? AND reason = ? AND state = 0 AND (end_byte = ? OR first_byte = ?)
"""
# The rows that others are folded into, one for each kind.
_TARGETS = """
SELECT min(id) FROM losses WHERE identity = '' AND state <> 1
GROUP BY reason, state, lines IS NULL
"""
_OLDEST = f"""
SELECT {_COLUMNS} FROM losses WHERE state <> 1 AND id NOT IN ({_TARGETS}) AND (time < ? OR ?)
ORDER BY state = 0, id LIMIT ?
"""


def record(connection: sqlite3.Connection, losses: Iterable[Loss]) -> None:
    """Adds them to the table, within the caller's transaction. Raises sqlite3.Error."""
    newest = 0.0
    for loss in losses:
        newest = max(newest, loss.time)
        for stored in _rows(
            connection.execute(
                _OF_FILE, (loss.identity, loss.reason.value, _fit(loss.start), _fit(loss.end))
            )
        )[0]:
            together = _together(stored.loss, loss)
            if together is not None:
                _update(connection, stored.id, together)
                break
        else:
            _insert(connection, loss, LossState.NEW)
    if newest:
        _bound(connection, newest)


def offer(connection: sqlite3.Connection, limit: int) -> list[StoredLoss]:
    """The oldest ones that are not shipped; from now on they do not change any more.

    Within the caller's transaction. Raises sqlite3.Error.
    """
    rows, unusable = _rows(
        connection.execute(
            f"SELECT {_COLUMNS} FROM losses WHERE state < 2 ORDER BY id LIMIT ?", (limit,)
        )
    )
    # They would be the oldest for ever.
    delete(connection, unusable)
    connection.executemany(
        "UPDATE losses SET state = 1 WHERE id = ? AND state = 0", [(row.id,) for row in rows]
    )
    return [replace(row, state=LossState.OFFERED) for row in rows]


def mark_shipped(connection: sqlite3.Connection, ids: Iterable[LossId]) -> None:
    """They are acknowledged. Within the caller's transaction. Raises sqlite3.Error."""
    connection.executemany("UPDATE losses SET state = 2 WHERE id = ?", [(each,) for each in ids])


def delete(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Removes rows that cannot be ours."""
    connection.executemany("DELETE FROM losses WHERE id = ?", [(each,) for each in ids])


def load(connection: sqlite3.Connection) -> tuple[list[StoredLoss], list[int]]:
    """All of them in the order in which they were recorded, and the keys of rows that cannot be
    ours. Raises sqlite3.Error."""
    return _rows(connection.execute(f"SELECT {_COLUMNS} FROM losses ORDER BY id"))


def _bound(connection: sqlite3.Connection, newest: float) -> None:
    """Folds what is too old, and the oldest of what is too much."""
    (count,) = connection.execute("SELECT count(*) FROM losses").fetchone()
    excess = count - MAX_ROWS + MAX_ROWS // 10 if count > MAX_ROWS else 0
    for parameters in ((newest - MAX_AGE, False, -1), (0.0, True, excess)):
        rows, unusable = _rows(connection.execute(_OLDEST, parameters))
        delete(connection, [*unusable, *(row.id for row in rows)])
        for state in LossState.NEW, LossState.SHIPPED:
            for loss in _fold(row.loss for row in rows if row.state is state):
                _add_to_target(connection, loss, state)


def _add_to_target(connection: sqlite3.Connection, loss: Loss, state: LossState) -> None:
    found, unusable = _rows(
        connection.execute(
            f"SELECT {_COLUMNS} FROM losses WHERE identity = '' AND reason = ? AND state = ? "
            "AND (lines IS NULL) = ? ORDER BY id LIMIT 1",
            (loss.reason.value, state, loss.lines is None),
        )
    )
    delete(connection, unusable)
    if found:
        (both,) = _fold((found[0].loss, loss))
        _update(connection, found[0].id, both)
    else:
        _insert(connection, loss, state)


def _together(first: Loss, second: Loss) -> Loss | None:
    """Two losses as one; None if they do not adjoin in one file, for one reason, in one hour."""
    if (
        (first.input_id, first.identity, first.reason)
        != (second.input_id, second.identity, second.reason)
        or not first.identity
        or (first.lines is None) != (second.lines is None)
        or first.time // _HOUR != second.time // _HOUR
        or (first.end != second.start and first.start != second.end)
    ):
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


def _fold(losses: Iterable[Loss]) -> list[Loss]:
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


def _insert(connection: sqlite3.Connection, loss: Loss, state: LossState) -> None:
    connection.execute(
        _INSERT,
        (
            None,
            loss.input_id,
            os.fsencode(loss.path),
            loss.identity,
            _fit(loss.start),
            _fit(loss.end),
            _fit(loss.bytes),
            None if loss.lines is None else _fit(loss.lines),
            loss.reason.value,
            _moment(loss.time),
            _fit(loss.merged),
            state,
        ),
    )


def _update(connection: sqlite3.Connection, row: LossId, loss: Loss) -> None:
    connection.execute(
        _UPDATE,
        (
            os.fsencode(loss.path),
            _fit(loss.start),
            _fit(loss.end),
            _fit(loss.bytes),
            None if loss.lines is None else _fit(loss.lines),
            _moment(loss.time),
            _fit(loss.merged),
            row,
        ),
    )


def _fit(number: int) -> int:
    """A number as SQLite can hold it: sizes of sparse files add up to more."""
    return min(max(number, 0), _LARGEST)


def _moment(time: float) -> float:
    """A time that can be written as text, whatever the machine's clock said."""
    return min(max(time, 0.0), _LATEST - 1.0)


def _rows(found: Iterable[tuple[object, ...]]) -> tuple[list[StoredLoss], list[int]]:
    """Rows of the table, and the keys of those that cannot be ours."""
    rows: list[StoredLoss] = []
    unusable: list[int] = []
    for values in found:
        row = _row(values)
        if row is not None:
            rows.append(row)
        elif isinstance(values[0], int):
            unusable.append(values[0])
    return rows, unusable


def _row(values: tuple[object, ...]) -> StoredLoss | None:
    """A row, whatever is in it; None if we cannot have written it."""
    match values:
        case (
            int(key),
            str(input_id),
            str(path),
            str(identity),
            int(start),
            int(end),
            int(lost),
            int() | None as lines,
            str(reason),
            float(time),
            int(merged),
            int(state),
        ):
            try:
                why, stage = LossReason(reason), LossState(state)
            except ValueError:
                return None
            numbers = (key, start, lost, merged, 0 if lines is None else lines)
            if min(numbers) < 0 or end < start or not 0 <= time < _LATEST:
                return None
            loss = Loss(
                input_id, path, Identity(identity), start, end, lost, lines, why, time, merged
            )
            return StoredLoss(LossId(key), loss, stage)
    return None
