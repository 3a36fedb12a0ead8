"""Why dead letters cannot be read or moved: of a disk, the disk is named; of a file, the file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shipper.dead_letters.files import unusable

DATA = Path("/data")


@pytest.mark.parametrize(
    ("number", "path", "where"),
    [
        (errno.ENOSPC, "/data/dead-letter.lock", "the disk of /data"),
        (errno.EROFS, "/data/dead-letter.lock", "the disk of /data"),
        (errno.EDQUOT, None, "the disk of /data"),
        (errno.EACCES, "/data/dead-letter.lock", "/data/dead-letter.lock"),
        (errno.EIO, None, "/data"),
    ],
)
def test_what_cannot_be_done_and_where(number: int, path: str | None, where: str) -> None:
    error = unusable(DATA, OSError(number, os.strerror(number), path), "moved aside")
    assert error.where == where
    words = os.strerror(number)
    reason = words[:1].lower() + words[1:]
    assert error.what == f"the dead letters cannot be moved aside: {reason}"
    assert ("free space" in error.what_to_do) == where.startswith("the disk")
