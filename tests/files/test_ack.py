"""The acknowledged offset: contiguous, whatever the order in which requests end."""

from __future__ import annotations

import itertools

import pytest

from shipper.files.ack import AckTracker, Span
from shipper.files.identity import NO_MARK, mark_of

ENDS = (10, 11, 25, 40, 100)


class Advances:
    """Counts how often a ledger said that it moved."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def opened(ends: tuple[int, ...] = ENDS, start: int = 0) -> tuple[AckTracker, list[Span], Advances]:
    advances = Advances()
    acks = AckTracker(start, NO_MARK, advances)
    spans = [acks.open(end, mark_of(b"%d" % end), read_at=float(end)) for end in ends]
    return acks, spans, advances


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_in_any_order_the_offset_passes_no_span_that_is_not_finished(
    order: tuple[int, ...],
) -> None:
    acks, spans, advances = opened()
    finished: set[int] = set()
    for number in order:
        before, moves = acks.offset, advances.count
        spans[number].finish()
        finished.add(number)
        first_open = min(set(range(5)) - finished, default=5)
        assert acks.offset == (ENDS[first_open - 1] if first_open else 0)
        # Who saves offsets is told of every move, and of nothing else.
        assert (advances.count - moves) == (acks.offset != before)
        assert acks.oldest_read_at == (ENDS[first_open] if first_open < 5 else None)
    assert acks.all_acknowledged


def test_spans_follow_one_another_without_a_gap() -> None:
    _, spans, _ = opened(start=5)
    assert [(span.start, span.end) for span in spans] == [
        (5, 10),
        (10, 11),
        (11, 25),
        (25, 40),
        (40, 100),
    ]


def test_the_mark_is_that_of_the_acknowledged_offset() -> None:
    acks, spans, _ = opened()
    spans[1].finish()
    assert acks.mark == NO_MARK
    spans[0].finish()
    assert (acks.offset, acks.mark) == (11, mark_of(b"11"))


def test_a_span_that_is_finished_twice_moves_nothing_twice() -> None:
    acks, spans, advances = opened()
    spans[0].finish()
    spans[0].finish()
    assert (acks.offset, advances.count) == (10, 1)


def test_a_new_ledger_begins_where_it_is_told_and_is_settled() -> None:
    acks, _, _ = opened((), start=7)
    assert (acks.offset, acks.opened, acks.all_acknowledged) == (7, 7, True)
    assert acks.oldest_read_at is None


@pytest.mark.parametrize("end", [99, 100])
def test_an_empty_or_backward_span_is_a_programming_error(end: int) -> None:
    acks, _, _ = opened()
    with pytest.raises(ValueError, match="past 100"):
        acks.open(end, NO_MARK, 0.0)
