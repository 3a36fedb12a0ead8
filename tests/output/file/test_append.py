"""The file that events are appended to: whole lines that are on the disk, for its owner alone."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from shipper.config.file_output import FileConfig, FileFormat
from shipper.config.units import ByteSize
from shipper.output.file.append import AppendedFile
from tests.support.disk import no_file_larger_than

KIB = 1024
LEAST = 64 * KIB
"""The smallest ``max_bytes`` there is."""

LINE = b'{"a":1}\n'
ACTION = b'{"create":{"_id":"1"}}\n'
NOW = 1_764_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory / "events.ndjson"


def appended(
    path: Path, *, keep: int = 0, form: FileFormat = FileFormat.DOCUMENTS, now: float = NOW
) -> AppendedFile:
    return AppendedFile(FileConfig(str(path), ByteSize(LEAST), keep, form), lambda: now)


def append(path: Path, data: bytes, *, form: FileFormat = FileFormat.DOCUMENTS) -> None:
    """Append in a life of its own."""
    file = appended(path, form=form)
    file.append(data)
    file.close()


def big(dead_letter: str) -> bytes:
    """Return a line of which only one fits into a file."""
    return b'{"a":"%b"}\n' % (dead_letter.encode() * 40 * KIB)


def rotated(path: Path) -> list[Path]:
    return sorted(each for each in path.parent.iterdir() if each != path)


def test_what_is_appended_is_there_in_its_order(path: Path) -> None:
    file = appended(path)
    file.append(LINE)
    file.append(b'{"b":2}\n{"c":3}\n')
    file.close()
    append(path, b'{"d":4}\n')
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n{"c":3}\n{"d":4}\n'


def test_nobody_else_may_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        append(path, LINE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_returns_once_the_data_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, int]] = []

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append((stat.S_ISDIR(found.st_mode), found.st_size))

    file = appended(path)
    monkeypatch.setattr(os, "fsync", fsync)
    file.open()
    # What a life before left, and the name of the file.
    assert [is_directory for is_directory, _ in synced] == [False, True]
    file.append(LINE)
    assert synced[2:] == [(False, len(LINE))]
    file.close()


def test_the_name_of_a_file_after_a_rotation_is_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = appended(path)
    file.append(big("a"))
    names: list[list[str]] = []

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            names.append(sorted(os.listdir(path.parent)))

    monkeypatch.setattr(os, "fsync", fsync)
    file.append(big("b"))
    assert names == [[path.name, "events.ndjson.20251124T160000.000000Z"]]
    file.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(LINE + b'{"half', LINE, id="half a line"),
        pytest.param(b'{"half', b"", id="nothing but half a line"),
        pytest.param(LINE + b"\0\0\0", LINE, id="zeros after a loss of power"),
        pytest.param(LINE + b'{"whole":1}', LINE, id="a line without its newline"),
        pytest.param(LINE, LINE, id="whole lines"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_half_a_line_is_cut_off_at_the_start_and_nothing_else(
    path: Path, before: bytes, after: bytes
) -> None:
    path.write_bytes(before)
    append(path, b'{"new":1}\n')
    assert path.read_bytes() == after + b'{"new":1}\n'


@pytest.mark.parametrize(
    "half", [b'{"cre', ACTION, ACTION + b'{"ha'], ids=["half an action", "an action", "a half"]
)
def test_an_action_without_its_document_is_cut_off_too(path: Path, half: bytes) -> None:
    path.write_bytes(ACTION + LINE + half)
    append(path, ACTION + LINE, form=FileFormat.BULK)
    assert path.read_bytes() == 2 * (ACTION + LINE)


@pytest.mark.parametrize("content", [b"root:x:0:0\nhalf", b"text\n", LINE + b"half"])
def test_a_file_of_something_else_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OSError, match="something else"):
        appended(path).append(LINE)
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_file_is_refused_and_never_waited_for(path: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        appended(path).append(LINE)


def test_a_directory_that_is_missing_is_not_made(path: Path) -> None:
    """What should be mounted there is not, and the disk below is another one."""
    missing = path.parent / "missing" / "events.ndjson"
    with pytest.raises(FileNotFoundError):
        appended(missing).append(LINE)
    assert not missing.parent.exists()


def test_what_a_full_disk_took_of_a_write_is_cut_off_again(path: Path) -> None:
    file = appended(path)
    file.append(LINE)
    with no_file_larger_than(10_000):
        for _ in range(2):
            with pytest.raises(OSError) as caught:
                file.append(b'{"b":"%b"}\n' % (b"x" * 20_000))
            assert caught.value.errno == errno.EFBIG
            assert path.read_bytes() == LINE
    file.append(b'{"c":3}\n')
    assert path.read_bytes() == LINE + b'{"c":3}\n'
    file.close()


def test_after_a_sync_that_failed_the_data_is_written_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = appended(path)
    file.append(LINE)

    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="Input/output"):
            file.append(b'{"b":2}\n')
    assert path.read_bytes() == LINE
    file.append(b'{"b":2}\n')
    assert path.read_bytes() == LINE + b'{"b":2}\n'
    file.close()


def test_what_could_not_be_cut_off_at_once_is_cut_off_before_the_next_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = appended(path)
    file.append(LINE)

    def fail(descriptor: int, length: int = 0) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        patched.setattr(os, "ftruncate", fail)
        with pytest.raises(OSError, match="Input/output"):
            file.append(b'{"b":2}\n')
    assert path.read_bytes() == LINE + b'{"b":2}\n'
    file.append(b'{"b":2}\n')
    assert path.read_bytes() == LINE + b'{"b":2}\n'
    file.close()


def test_it_is_rotated_before_it_becomes_too_large_and_all_is_kept(path: Path) -> None:
    file = appended(path)
    for dead_letter in "abcd":
        assert file.append(big(dead_letter)) == 0
    assert [each.read_bytes() for each in [*rotated(path), path]] == [big(x) for x in "abcd"]
    file.close()


def test_what_is_larger_than_a_file_may_be_is_in_one_of_its_own(path: Path) -> None:
    file = appended(path)
    huge = b'{"a":"%b"}\n' % (b"x" * 3 * LEAST)
    for data in (LINE, huge, LINE):
        file.append(data)
    assert [each.read_bytes() for each in [*rotated(path), path]] == [LINE, huge, LINE]
    file.close()


def test_the_oldest_goes_and_its_bytes_are_told_where_only_some_are_kept(path: Path) -> None:
    file = appended(path, keep=2)
    deleted = [file.append(big(dead_letter)) for dead_letter in "abcde"]
    assert deleted == [0, 0, 0, len(big("a")), len(big("b"))]
    assert [each.read_bytes() for each in [*rotated(path), path]] == [big(x) for x in "cde"]
    file.close()


def test_bytes_that_went_are_told_also_when_the_write_after_it_failed(path: Path) -> None:
    file = appended(path, keep=1)
    file.append(big("a"))
    file.append(big("b"))
    with no_file_larger_than(100), pytest.raises(OSError, match="large"):
        file.append(big("c"))
    assert file.append(big("c")) == len(big("a"))
    file.close()


def test_other_files_beside_it_are_nobodys_surplus(path: Path) -> None:
    others = [path.with_name(f"{path.name}.{end}") for end in ("1", "gz", "20251124T160000Z")]
    for other in others:
        other.write_bytes(b"x")
    file = appended(path, keep=1)
    for dead_letter in "abcd":
        file.append(big(dead_letter))
    assert all(other.exists() for other in others)
    file.close()


def test_a_clock_that_was_set_back_does_not_change_the_order_of_the_files(path: Path) -> None:
    for number, dead_letter in enumerate("abcd"):
        file = appended(path, now=NOW - 1000 * number)
        file.append(big(dead_letter))
        file.close()
    assert [each.read_bytes() for each in [*rotated(path), path]] == [big(x) for x in "abcd"]


@pytest.mark.parametrize(
    ("form", "there", "new"),
    [
        (FileFormat.BULK, LINE, ACTION + LINE),
        (FileFormat.DOCUMENTS, ACTION + LINE, LINE),
    ],
)
def test_a_file_of_the_other_format_is_rotated(
    path: Path, form: FileFormat, there: bytes, new: bytes
) -> None:
    path.write_bytes(there)
    append(path, new, form=form)
    assert path.read_bytes() == new
    assert [each.read_bytes() for each in rotated(path)] == [there]


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "deleted"])
def test_a_file_that_somebody_took_away_is_made_anew(path: Path, moved: bool) -> None:
    file = appended(path)
    file.append(LINE)
    if moved:
        path.rename(path.with_name("archive"))
    else:
        path.unlink()
    file.append(b'{"b":2}\n')
    assert path.read_bytes() == b'{"b":2}\n'
    assert not moved or path.with_name("archive").read_bytes() == LINE
    file.close()


def test_another_process_that_writes_to_it_is_kept_out(path: Path) -> None:
    holder = (
        "import sys, fcntl\n"
        f"file = open({str(path)!r}, 'ab')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        file = appended(path)
        with pytest.raises(OSError, match="another process writes to it"):
            file.append(LINE)
        process.communicate()
    file.append(LINE)
    assert path.read_bytes() == LINE
    file.close()


def test_what_is_there_is_read_back_once_rotated_files_and_all(path: Path) -> None:
    log = '{"log":{"offset":%d,"file":{"fingerprint":"f"}},"message":"%s"}\n'
    lines = [(log % (number, "x" * 40 * KIB)).encode() for number in range(3)]
    for line in lines:
        append(path, line)
    file = appended(path)
    file.open()
    assert file.written is not None
    assert all(file.written.contains(line) for line in lines)
    known = file.written
    file.append(lines[0])
    assert file.written is known
    file.close()
