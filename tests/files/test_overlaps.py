"""Two inputs that match one file: by the files that are there, and by a glob that both have."""

from __future__ import annotations

import pytest

from shipper.files.facts import Inode
from shipper.files.overlaps import shared_file, shared_glob

A, B = "/logs/a*.log", "/logs/b*.log"


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (([A, B], []), ([B], []), B),
        (([A], ["*.gz"]), ([A], ["*.gz"]), A),
        # Each may leave out what the other one reads.
        (([A], ["*1.log"]), ([A], ["*2.log"]), None),
        (([A], []), ([B], []), None),
    ],
)
def test_a_glob_that_both_have(
    first: tuple[list[str], list[str]], second: tuple[list[str], list[str]], shared: str | None
) -> None:
    assert shared_glob(*first, *second) == shared
    assert shared_glob(*second, *first) == shared


def test_a_file_is_the_same_under_any_name() -> None:
    found = {Inode(1, 2): "/logs/b", Inode(1, 3): "/logs/a", Inode(2, 2): "/logs/0"}
    assert shared_file(found, {Inode(1, 2), Inode(1, 3), Inode(9, 9)}) == "/logs/a"
    assert shared_file(found, {Inode(2, 3)}) is None
