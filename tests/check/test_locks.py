"""Who has a lock is asked without taking it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from shipper.check.locks import holder_of
from shipper.files.database import LOCK_NAME, lock_directory


def test_the_process_that_has_the_lock_is_named_and_keeps_it(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    try:
        assert holder_of(tmp_path / LOCK_NAME) == os.getpid()
    finally:
        os.close(lock)
    assert holder_of(tmp_path / LOCK_NAME) is None
    # Asking has locked nothing.
    os.close(lock_directory(tmp_path))


def test_a_file_that_is_not_there_is_locked_by_nobody(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "no") is None
    assert holder_of(tmp_path, proc=tmp_path) is None


def test_a_lock_of_another_kind_or_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert holder_of(path) is None


def proc_with(tmp_path: Path, *lines: str) -> Path:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "locks").write_text("".join(f"{line}\n" for line in lines))
    return proc


def test_lines_of_any_form_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    found = path.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    place = f"{device}:{found.st_ino} 0 EOF"
    proc = proc_with(
        tmp_path,
        "",
        "1: FLOCK",
        f"1: -> FLOCK  ADVISORY  WRITE 5 {place}",
        f"2: POSIX  ADVISORY  WRITE 6 {place}",
        f"3: FLOCK  ADVISORY  WRITE x {place}",
        f"4: FLOCK  ADVISORY  WRITE 7 {device}:{found.st_ino + 1} 0 EOF",
        f"5: FLOCK  ADVISORY  WRITE 8 {place}",
    )
    assert holder_of(path, proc) == 8


def test_a_device_that_stat_does_not_tell_is_made_up_for_by_the_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    proc = proc_with(tmp_path, f"1: FLOCK  ADVISORY  WRITE 9 ff:ff:{path.stat().st_ino} 0 EOF")
    assert holder_of(path, proc) is None
    (proc / "9" / "fd").mkdir(parents=True)
    (proc / "9" / "fd" / "4").symlink_to(path)
    assert holder_of(path, proc) == 9
