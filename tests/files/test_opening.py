"""The one way to a descriptor of a log: what is not followed is never opened through it."""

from __future__ import annotations

import errno
import os
import resource
import socket
from pathlib import Path

import pytest

from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.opening import (
    RESERVED,
    ExcludedError,
    Exclusion,
    LogOpener,
    NotFollowedError,
    NotRegularFileError,
    SymbolicLinkError,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.log"
    path.write_bytes(b"12345")
    return path


def opens(opener: LogOpener, path: Path) -> Inode:
    opened = opener.open(str(path))
    os.close(opened.descriptor)
    return opened.inode


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_log_is_opened_with_what_the_kernel_says_of_it(log: Path) -> None:
    opened = LogOpener(FileSystem()).open(str(log))
    assert os.pread(opened.descriptor, 9, 0) == b"12345"
    assert not os.get_inheritable(opened.descriptor)
    status = log.stat()
    assert opened.inode == Inode(status.st_dev, status.st_ino)
    assert (opened.size, opened.modified) == (5, status.st_mtime_ns)
    assert opened.born == FileSystem().born(opened.descriptor)
    os.close(opened.descriptor)


def test_a_symbolic_link_is_opened_only_where_links_are_followed(log: Path) -> None:
    link = log.with_name("link.log")
    link.symlink_to(log)
    before = descriptors()
    with pytest.raises(SymbolicLinkError) as refusal:
        LogOpener(FileSystem()).open(str(link))
    assert (refusal.value.errno, refusal.value.filename) == (errno.ELOOP, str(link))
    assert opens(LogOpener(FileSystem(), symlinks=True), link) == opens(
        LogOpener(FileSystem()), log
    )
    assert descriptors() == before


def test_links_to_directories_on_the_way_are_followed(log: Path, tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "run").symlink_to(tmp_path)
    opens(LogOpener(FileSystem()), tmp_path / "var" / "run" / "a.log")


def test_a_circle_on_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links") as error:
        LogOpener(FileSystem()).open(f"{tmp_path}/loop/a.log")
    assert not isinstance(error.value, NotFollowedError)


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "device"])
@pytest.mark.parametrize("symlinks", [True, False])
def test_what_is_no_regular_file_is_refused_without_waiting(
    tmp_path: Path, kind: str, symlinks: bool
) -> None:
    path = tmp_path / "a.log"
    opener = LogOpener(FileSystem(), symlinks=symlinks)
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(os.path.relpath(path))
        case _:
            path = Path(os.devnull)
    before = descriptors()
    with pytest.raises(NotRegularFileError):
        opener.open(str(path))
    assert descriptors() == before


def test_what_is_excluded_is_not_opened(log: Path, tmp_path: Path) -> None:
    with pytest.raises(ExcludedError):
        LogOpener(FileSystem(), exclude=[f"{tmp_path}/*.txt", f"{tmp_path}/a.*"]).open(str(log))
    opens(LogOpener(FileSystem(), exclude=[f"{tmp_path}/*.txt"]), log)


def test_what_is_not_there_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogOpener(FileSystem()).open(f"{tmp_path}/a.log")


@pytest.mark.parametrize(
    ("globs", "directory", "covers"),
    [
        (["/logs/old/*"], "/logs/old", True),
        (["/logs/old/*"], "/logs/old/er", True),
        (["/logs/*"], "/logs/old", True),
        (["/logs/old*"], "/logs/older", True),
        (["/logs/old/*.log"], "/logs/old", False),
        (["/logs/old"], "/logs/old", False),
        (["/logs/old/?*"], "/logs/old", False),
        ([], "/logs", False),
    ],
)
def test_a_directory_is_covered_if_all_that_may_be_in_it_is_excluded(
    globs: list[str], directory: str, covers: bool
) -> None:
    assert Exclusion(globs).covers(directory) == covers


def test_the_last_descriptors_are_no_logs(log: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Whatever others have open is among the first ones.
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    opener = LogOpener(FileSystem())
    opened: list[int] = []
    try:
        limit = (highest + 2) * 4 // 3 + 8
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        with pytest.raises(OSError, match="Too many open files"):
            opened.extend(opener.open(str(log)).descriptor for _ in range(limit))
        first_reserved = limit - min(RESERVED, limit // 4)
        assert max(opened) < first_reserved
        # All below are taken, some of them by others; the last ones are there for others.
        opened.append(os.open(os.devnull, os.O_RDONLY))
        assert opened[-1] >= first_reserved
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)
