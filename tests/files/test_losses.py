"""What is lost is recorded once, adds up, and stays bounded."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from shipper.files import loss_table
from shipper.files.identity import Identity
from shipper.files.losses import Loss, LossReason, LossState, merge
from shipper.files.registry import read_losses
from tests.files.test_registry import opened, record

NOW = 1_764_000_000.0


def loss(
    start: int = 0,
    end: int = 100,
    *,
    file: int = 1,
    lines: int | None = 2,
    reason: LossReason = LossReason.RETENTION,
    time: float = NOW,
) -> Loss:
    return Loss(
        input_id="tetragon",
        path=f"/l/{file}",
        identity=Identity(f"{file:016x}"),
        start=start,
        end=end,
        bytes=end - start,
        lines=lines,
        reason=reason,
        time=time,
    )


def stored(directory: Path) -> list[Loss]:
    return [each.loss for each in read_losses(directory)]


def totals(found: list[Loss]) -> Counter[tuple[str, LossReason]]:
    """Bytes, known lines and losses, by reason."""
    sums: Counter[tuple[str, LossReason]] = Counter()
    for each in found:
        sums["bytes", each.reason] += each.bytes
        sums["lines", each.reason] += each.lines or 0
        sums["merged", each.reason] += each.merged
    return sums


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


# Recording ----------------------------------------------------------------------------------------


def test_a_loss_is_there_after_a_restart_whatever_its_path(directory: Path) -> None:
    found = [
        replace(loss(), path="/l/\udcff\nx"),
        loss(file=2, lines=None, reason=LossReason.VANISHED),
        loss(2**62, 2**63 - 1, file=3, reason=LossReason.TOO_LARGE),
    ]
    with opened(directory) as (registry, _):
        registry.save([record()], losses=found, durable=True)
        assert [each.loss for each in registry.unshipped(10)] == found
    with opened(directory) as (registry, _):
        assert [each.loss for each in registry.unshipped(10)] == found


def test_what_may_have_been_saved_is_not_recorded_twice(directory: Path) -> None:
    first, second = loss(0, 100), loss(100, 150)
    with opened(directory) as (registry, _):
        registry.save([], losses=[first])
        registry.save([], losses=[first, second])
        registry.save([], losses=[first, second])
    (found,) = stored(directory)
    assert (found.start, found.end, found.bytes, found.lines) == (0, 150, 150, 4)
    # The same bytes at another time are another loss.
    with opened(directory) as (registry, _):
        registry.save([], losses=[replace(first, time=NOW + 1)])
    assert totals(stored(directory))["bytes", LossReason.RETENTION] == 250


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_losses_of_a_file_that_adjoin_are_one(directory: Path, order: tuple[int, int]) -> None:
    parts = (loss(0, 100), loss(100, 150, time=NOW + 5))
    with opened(directory) as (registry, _):
        for part in order:
            registry.save([], losses=[parts[part]])
    assert stored(directory) == [
        replace(loss(0, 150, lines=4), path=parts[order[1]].path, merged=2),
    ]


@pytest.mark.parametrize(
    "other",
    [
        loss(100, 200, file=2),
        loss(101, 200),
        loss(100, 200, reason=LossReason.REWRITTEN),
        loss(100, 200, lines=None),
        loss(100, 200, time=NOW + 3600),
        replace(loss(100, 200), input_id="other"),
    ],
)
def test_other_losses_are_rows_of_their_own(directory: Path, other: Loss) -> None:
    with opened(directory) as (registry, _):
        registry.save([], losses=[loss(), other])
    assert stored(directory) == [loss(), other]


def test_sizes_that_no_disk_has_add_up_to_what_fits(directory: Path) -> None:
    """A sparse file is as long as somebody likes."""
    largest = 2**63 - 1
    with opened(directory) as (registry, _):
        for start in range(2):
            registry.save([], losses=[replace(loss(start, start + 1), bytes=largest)])
    assert [each.bytes for each in stored(directory)] == [largest]


@pytest.mark.parametrize("moment", [-1e300, -1.0, 1e12, 1e300])
def test_a_clock_that_is_wrong_hides_no_loss(directory: Path, moment: float) -> None:
    with opened(directory) as (registry, _):
        registry.save([], losses=[loss(), loss(file=2, time=moment)])
    found = stored(directory)
    assert sum(each.bytes for each in found) == 200
    for each in found:
        datetime.fromtimestamp(each.time, UTC)


# Shipping -----------------------------------------------------------------------------------------


def test_what_was_handed_out_does_not_change_until_it_is_shipped(directory: Path) -> None:
    with opened(directory) as (registry, _):
        assert registry.unshipped(10) == []
        registry.save([], losses=[loss(0, 100)])
        (offered,) = registry.unshipped(10)
        registry.save([], losses=[loss(100, 200)])
    # Killed before its document was acknowledged: it has the same id again.
    with opened(directory) as (registry, _):
        first, second = registry.unshipped(10)
        assert first == offered
        assert second.loss == loss(100, 200)
        assert registry.unshipped(1) == [first]
        registry.losses_shipped([first.id])
        assert registry.unshipped(10) == [second]
        registry.losses_shipped([second.id])
        assert registry.unshipped(10) == []
    assert [each.state for each in read_losses(directory)] == [LossState.SHIPPED] * 2
    assert stored(directory) == [loss(0, 100), loss(100, 200)]


@pytest.mark.parametrize(
    "change",
    ["reason = 'x'", "bytes = -1", "state = 9", "time = 9e999", "end_byte = -1", "lines = -1"],
)
def test_a_row_that_cannot_be_ours_holds_up_nothing(directory: Path, change: str) -> None:
    with opened(directory) as (registry, _):
        registry.save([], losses=[loss(file=1), loss(file=2)])
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        connection.execute(f"UPDATE losses SET {change} WHERE id = 1")
        connection.commit()
    assert stored(directory) == [loss(file=2)]
    with opened(directory) as (registry, aside):
        assert aside is None
        while not (found := registry.unshipped(1)):
            pass
        assert [each.loss for each in found] == [loss(file=2)]
        registry.save([], losses=[loss(file=3)])
    assert stored(directory) == [loss(file=2), loss(file=3)]


# Bounds -------------------------------------------------------------------------------------------


def test_the_table_stays_bounded_and_its_sums_never_shrink(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_table, "MAX_ROWS", 100)
    rng = random.Random(5)
    wanted: Counter[tuple[str, LossReason]] = Counter()
    with opened(directory) as (registry, _):
        for number in range(600):
            new = loss(
                0,
                rng.randrange(1, 1000),
                file=number,
                lines=rng.choice((None, 7)),
                reason=rng.choice(list(LossReason)),
                time=NOW + 1000 * number,
            )
            wanted += totals([new])
            registry.save([], losses=[new])
            if rng.random() < 0.2:
                registry.losses_shipped([each.id for each in registry.unshipped(3)])
            if number % 50 == 49:
                found = stored(directory)
                assert len(found) <= 100 + 20
                assert totals(found) == wanted
        # All of it is shipped in the end, each once.
        before = {each.id for each in read_losses(directory) if each.state is LossState.SHIPPED}
        while offered := registry.unshipped(10):
            assert before.isdisjoint(each.id for each in offered)
            registry.losses_shipped([each.id for each in offered])
    assert totals(stored(directory)) == wanted


def test_what_is_shipped_is_folded_first_and_what_is_handed_out_never(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_table, "MAX_ROWS", 20)
    with opened(directory) as (registry, _):
        registry.save([], losses=[loss(file=file) for file in range(1, 21)])
        offered = registry.unshipped(10)
        registry.losses_shipped([each.id for each in offered[5:]])
        registry.save([], losses=[loss(file=21)])
        # 5 too many are 1 and a tenth: three of those that are shipped.
        files = [each.path for each in stored(directory)]
        assert files == [
            *(f"/l/{file}" for file in (1, 2, 3, 4, 5, 9, 10)),
            *(f"/l/{file}" for file in range(11, 22)),
            "",
        ]
        for file in range(22, 60):
            registry.save([], losses=[loss(file=file)])
        assert registry.unshipped(5) == offered[:5]


def test_a_file_without_an_identity_keeps_its_path(directory: Path) -> None:
    unknown = [replace(loss(file=file), identity=Identity("")) for file in (1, 2)]
    with opened(directory) as (registry, _):
        registry.save([], losses=[*unknown, loss(file=3, time=NOW + 90 * 86_400 - 1)])
        assert stored(directory)[:2] == unknown
        registry.save([], losses=[loss(file=4, time=NOW + 90 * 86_400 + 1)])
    assert [each.path for each in stored(directory)] == ["/l/3", "/l/4", ""]


def test_after_90_days_losses_are_added_up(directory: Path) -> None:
    with opened(directory) as (registry, _):
        registry.save([], losses=[loss(file=1), loss(file=2, time=NOW + 86_400)])
        registry.save([], losses=[loss(file=3, time=NOW + 90 * 86_400 + 1)])
    first, second, added = read_losses(directory)
    assert [first.loss.path, second.loss.path] == ["/l/2", "/l/3"]
    assert (added.loss.bytes, added.loss.lines, added.loss.time) == (100, 2, NOW)


def test_ten_thousand_losses_take_no_time(directory: Path) -> None:
    many = [loss(file=file) for file in range(1, 10_001)]
    with opened(directory) as (registry, _):
        registry.save([], losses=many)
        begin = time.process_time()
        registry.save([], losses=[loss(file=file) for file in range(20_001, 21_001)])
        assert time.process_time() - begin < 2


def test_what_waits_for_the_registry_stays_bounded_too() -> None:
    many = [loss(file=file, reason=list(LossReason)[file % 5]) for file in range(500)]
    merged = merge(many, 100)
    assert len(merged) <= 100
    assert merged[-1] == many[-1]
    assert totals(merged) == totals(many)
    assert merge([loss(0, 5), loss(5, 9)], 100) == [replace(loss(0, 9, lines=4), merged=2)]
