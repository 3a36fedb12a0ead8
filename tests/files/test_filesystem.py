"""The edge to the file system, on real files."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem


@pytest.fixture
def filesystem() -> FileSystem:
    return FileSystem()


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    """A file on a file system of memory, which Tetragon's /var/run usually is."""
    path = Path(f"/dev/shm/shipper-test-{os.getpid()}")
    if not path.parent.is_dir():
        pytest.skip("there is no /dev/shm")
    path.write_bytes(b"0123456789")
    yield path
    path.unlink()


def read(filesystem: FileSystem, path: Path, count: int, offset: int) -> bytes:
    async def run() -> bytes:
        buffer = bytearray(count)
        descriptor = filesystem.open(str(path))
        try:
            device = filesystem.facts(descriptor).inode.device
            with memoryview(buffer) as view:
                return bytes(view[: await filesystem.read(descriptor, device, view, offset)])
        finally:
            filesystem.close(descriptor)

    return asyncio.run(run())


@pytest.mark.parametrize("size", [2**63 - 1, 2**63 - 100])
def test_a_file_as_large_as_a_file_can_be_is_read_to_its_end(
    filesystem: FileSystem, shared_memory: Path, size: int
) -> None:
    with shared_memory.open("r+b") as file:
        try:
            os.pwrite(file.fileno(), b"end", size - 3)
        except OSError as error:
            pytest.skip(f"no file can be as large there: {error}")
    assert read(filesystem, shared_memory, 4096, size - 5) == b"\0\0end"
    assert read(filesystem, shared_memory, 4096, size) == b""


def test_facts_are_inode_size_and_time(filesystem: FileSystem, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    descriptor = filesystem.open(str(path))
    facts = filesystem.facts(descriptor)
    filesystem.close(descriptor)
    assert facts.inode == Inode(path.stat().st_dev, path.stat().st_ino)
    assert (facts.size, facts.modified) == (5, 1_234_567_890_123_456_789)


def test_a_file_is_born_when_it_is_made_whatever_is_done_to_it(
    filesystem: FileSystem, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    before = time.time_ns()
    path.touch()
    after = time.time_ns()
    path.write_bytes(b"12345")
    os.utime(path, (1, 1))
    path = path.rename(tmp_path / "b.log")
    descriptor = filesystem.open(str(path))
    born = filesystem.born(descriptor)
    filesystem.close(descriptor)
    if born is None:
        pytest.skip("this file system does not tell")
    # The kernel's clock for it ticks every few milliseconds.
    assert before - 20_000_000 <= born <= after


def test_where_the_kernel_does_not_tell_the_age_is_not_known(filesystem: FileSystem) -> None:
    with open("/proc/self/stat", "rb") as file:
        assert filesystem.born(file.fileno()) is None
    assert filesystem.born(-1) is None


def test_links_are_followed_to_the_file(filesystem: FileSystem, tmp_path: Path) -> None:
    path, link = tmp_path / "a.log", tmp_path / "link.log"
    path.write_bytes(b"")
    link.symlink_to(path)
    assert filesystem.inode_of(str(link)) == filesystem.inode_of(str(path)) is not None


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_regular_file_has_no_inode_for_us(
    filesystem: FileSystem, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "a.log"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert filesystem.inode_of(str(path)) is None


def test_opening_a_fifo_does_not_block(filesystem: FileSystem, tmp_path: Path) -> None:
    # It may have taken the place of the file since somebody looked.
    path = tmp_path / "a.log"
    os.mkfifo(path)
    filesystem.close(filesystem.open(str(path)))


def test_a_descriptor_is_not_inherited(filesystem: FileSystem, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"")
    descriptor = filesystem.open(str(path))
    assert not os.get_inheritable(descriptor)
    filesystem.close(descriptor)


@pytest.mark.parametrize(
    ("count", "offset", "expected"),
    [(4, 0, b"0123"), (4, 8, b"89"), (4, 10, b""), (4, 99, b"")],
)
def test_a_read_gives_what_is_there(
    filesystem: FileSystem, tmp_path: Path, count: int, offset: int, expected: bytes
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"0123456789")
    assert read(filesystem, path, count, offset) == expected
    # The second time it is known which kind of file system that is.
    assert read(filesystem, path, count, offset) == expected


def test_files_in_memory_are_read_too(filesystem: FileSystem, shared_memory: Path) -> None:
    assert read(filesystem, shared_memory, 4, 3) == b"3456"


def test_a_page_that_is_not_cached_is_read_all_the_same(
    filesystem: FileSystem, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    content = os.urandom(4 * 1024 * 1024)
    path.write_bytes(content)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found, offset = b"", 0
    while piece := read(filesystem, path, 1024 * 1024, offset):
        found, offset = found + piece, offset + len(piece)
    assert found == content


def test_a_file_system_without_nowait_is_read_by_a_thread(
    filesystem: FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"0123456789")

    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    # The thread's own preadv was taken when the module was loaded.
    monkeypatch.setattr(os, "preadv", refuse)
    assert read(filesystem, path, 4, 2) == b"2345"


def test_an_error_of_a_read_is_the_system_calls(filesystem: FileSystem, tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev

    async def run() -> None:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        try:
            await filesystem.read(descriptor, device, bytearray(4), 0)
        finally:
            os.close(descriptor)

    with pytest.raises(IsADirectoryError):
        asyncio.run(run())


def test_a_directory_lists_its_entries(filesystem: FileSystem, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "a.log").touch()
    entries = filesystem.list_directory(str(tmp_path))
    assert {entry.name: entry.is_dir() for entry in entries} == {"directory": True, "a.log": False}


@pytest.mark.parametrize(("name", "error"), [("absent", FileNotFoundError), ("file", OSError)])
def test_a_directory_that_cannot_be_listed_says_why(
    filesystem: FileSystem, tmp_path: Path, name: str, error: type[OSError]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(error):
        list(filesystem.list_directory(str(tmp_path / name)))
