"""The table of losses in the registry. The callers hold the transaction.

    NEW      may still grow by what adjoins it
    OFFERED  was handed out to be shipped, and stays as it is: its document's id is made of it
    SHIPPED  its document is acknowledged

The table has at most MAX_ROWS rows and a few: past that, and after MAX_AGE, the oldest ones (those
that are shipped first) are folded. What is OFFERED is never folded.
"""

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import replace

from shipper.files.identity import Identity
from shipper.files.losses import (
    Loss,
    LossId,
    LossReason,
    LossState,
    StoredLoss,
    fold,
    together,
)
from shipper.foreign import is_encodable

#: How many rows are kept one by one.
MAX_ROWS = 10_000
#: How long, in seconds: 90 days, by the time of the newest loss.
MAX_AGE = 90 * 86_400.0

_LARGEST = 2**63 - 1
# The year 10000, in Unix seconds: no later time can be written as text.
_LATEST = 253_402_300_800

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
_SCATTERED_OF_FILE = f"""
SELECT {_COLUMNS} FROM losses
WHERE identity = ? AND reason = ? AND state = 0 AND path = CAST(? AS TEXT)
ORDER BY id DESC LIMIT 1
"""
# The rows that others are folded into, one for each kind.
_TARGETS = """
SELECT min(id) FROM losses WHERE path = '' AND state <> 1
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
        newest = max(newest, _moment(loss.time))
        if loss.reason.is_scattered and not loss.path:
            _add_to_target(connection, loss, LossState.NEW)
            continue
        for stored in _candidates(connection, loss):
            both = together(stored.loss, loss)
            if both is not None:
                _update(connection, stored.id, both)
                break
        else:
            _insert(connection, loss, LossState.NEW)
    if newest:
        _bound(connection, newest)


def _candidates(connection: sqlite3.Connection, loss: Loss) -> list[StoredLoss]:
    """What it may be one with."""
    if loss.reason.is_scattered:
        file = loss.identity, loss.reason.value, os.fsencode(loss.path)
        return _rows(connection.execute(_SCATTERED_OF_FILE, file))[0]
    part = loss.identity, loss.reason.value, _fit(loss.start), _fit(loss.end)
    return _rows(connection.execute(_OF_FILE, part))[0]


def has_unshipped(connection: sqlite3.Connection) -> bool:
    """Whether there is one whose document is not acknowledged. Raises sqlite3.Error."""
    query = "SELECT EXISTS (SELECT 1 FROM losses WHERE state < 2)"
    return bool(connection.execute(query).fetchone()[0])


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
            for loss in fold(row.loss for row in rows if row.state is state):
                _add_to_target(connection, loss, state)


def _add_to_target(connection: sqlite3.Connection, loss: Loss, state: LossState) -> None:
    found, unusable = _rows(
        connection.execute(
            f"SELECT {_COLUMNS} FROM losses WHERE path = '' AND reason = ? AND state = ? "
            "AND (lines IS NULL) = ? ORDER BY id LIMIT 1",
            (loss.reason.value, state, loss.lines is None),
        )
    )
    delete(connection, unusable)
    if found:
        (both,) = fold((found[0].loss, loss))
        _update(connection, found[0].id, both)
    else:
        _insert(connection, loss, state)


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
            if not is_encodable(input_id + identity):
                return None
            loss = Loss(
                input_id, path, Identity(identity), start, end, lost, lines, why, time, merged
            )
            return StoredLoss(LossId(key), loss, stage)
    return None
