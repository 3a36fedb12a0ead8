"""Which file it is, from its first bytes; and whether it is still the same up to an offset."""

from __future__ import annotations

import pytest

from shipper.files.identity import HEAD_BYTES, MARK_BYTES, NO_MARK, identity_of, mark_of

LONG = b"x" * HEAD_BYTES


def test_the_first_line_alone_is_the_identity() -> None:
    assert identity_of(b"first\n") == identity_of(b"first\nsecond\n") == identity_of(b"first\nsec")
    assert identity_of(b"first\n") != identity_of(b"First\n")


def test_an_identity_is_16_hexadecimal_digits() -> None:
    identity = identity_of(b"first\n")
    assert identity is not None
    assert len(identity) == 16
    assert int(identity, 16) >= 0


@pytest.mark.parametrize("head", [b"", b"fir", b"\n", b"\r\n\n", b"\n\nfir", LONG[1:]])
def test_without_a_complete_first_line_there_is_no_identity_yet(head: bytes) -> None:
    assert identity_of(head) is None


@pytest.mark.parametrize("head", [b"fir", b"\n\nfir"])
def test_a_first_line_that_will_not_grow_is_complete(head: bytes) -> None:
    assert identity_of(head, final=True) == identity_of(head + b"\nmore")


def test_a_first_line_without_end_is_known_by_its_beginning() -> None:
    assert identity_of(LONG) == identity_of(LONG + b"more") == identity_of(LONG + b"\n")
    assert identity_of(LONG) is not None


def test_files_that_begin_with_blank_lines_are_told_apart_by_the_line_behind_them() -> None:
    assert identity_of(b"\n\r\na\n") != identity_of(b"\n\r\nb\n")


def test_a_mark_covers_the_last_bytes_only() -> None:
    before = b"0123456789" * MARK_BYTES
    assert mark_of(before) == mark_of(b"other" + before[-MARK_BYTES:])
    assert mark_of(before).length == MARK_BYTES
    assert mark_of(before) != mark_of(before[:-1] + b"x")
    assert mark_of(before[-MARK_BYTES:]) != mark_of(before[-MARK_BYTES + 1 :])


def test_a_short_file_has_a_short_mark_and_its_beginning_none() -> None:
    assert mark_of(b"abc").length == 3
    assert mark_of(b"") == NO_MARK
