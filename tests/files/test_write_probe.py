"""Why a disk takes no data: what the system says to a few bytes, or to statvfs(2)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from shipper.files.write_probe import why_not_writable
from tests.support.disk import no_file_larger_than


def test_a_disk_that_takes_data(tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    assert why_not_writable(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("room", [0, 100])
def test_what_refuses_the_write_is_told(tmp_path: Path, room: int) -> None:
    with no_file_larger_than(room):
        refused = why_not_writable(tmp_path)
    assert refused is not None
    assert refused.errno == errno.EFBIG


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    refused = why_not_writable(tmp_path / "gone")
    assert refused is not None
    assert refused.errno == errno.ENOENT


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_refuses_the_file_is_told(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    refused = why_not_writable(tmp_path)
    assert refused is not None
    assert refused.errno == number


@pytest.mark.parametrize(
    ("flags", "available", "number"),
    [(os.ST_RDONLY, 100, errno.EROFS), (0, 0, errno.ENOSPC), (0, 100, None)],
)
def test_without_files_that_have_no_name_the_facts_of_the_file_system_are_told(
    tmp_path: Path,
    flags: int,
    available: int,
    number: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    facts = SimpleNamespace(f_flag=flags, f_bavail=available)
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "statvfs", lambda _: facts)
    refused = why_not_writable(tmp_path)
    assert (None if refused is None else refused.errno) == number
