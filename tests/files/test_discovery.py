"""Which files are there, and what a scan says of what it could not see."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.files.discovery import Scan, is_hidden, scan, summary_of
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem


def inode_of(path: Path) -> Inode:
    found = path.stat()
    return Inode(found.st_dev, found.st_ino)


def paths_of(found: Scan) -> dict[Inode, str]:
    """Without what else is known of the files."""
    return {inode: file.path for inode, file in found.found.items()}


class Denying(FileSystem):
    """Refuses to look at one path."""

    def __init__(self, path: Path, *, listing: bool) -> None:
        super().__init__()
        self._path = str(path)
        self._listing = listing

    def list_directory(self, path: str) -> Iterator[os.DirEntry[str]]:
        if self._listing and path == self._path:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return super().list_directory(path)

    def status(self, path: str) -> os.stat_result:
        if not self._listing and path == self._path:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return super().status(path)


class RotatedAway(FileSystem):
    """A file goes between the glob and the look at it."""

    def status(self, path: str) -> os.stat_result:
        if path.endswith("going.log"):
            os.unlink(path)
        return super().status(path)


# Scans --------------------------------------------------------------------------------------------


def test_a_scan_finds_the_regular_files_that_match(tmp_path: Path) -> None:
    for name in ("a.log", "b.log", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "directory.log").mkdir()
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "dangling.log").symlink_to(tmp_path / "absent")
    found = scan(FileSystem(), [f"{tmp_path}/*.log"], symlinks=True)
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    assert paths_of(found) == {inode_of(a): str(a), inode_of(b): str(b)}
    assert (found.missing, found.unreadable) == ([], {})


def test_a_file_is_found_once_however_many_paths_lead_to_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.touch()
    os.link(first, second)
    (tmp_path / "c.log").symlink_to(first)
    patterns = [f"{tmp_path}/*.log", f"{tmp_path}/a.log", f"{tmp_path}/b*"]
    for symlinks in (True, False):
        found = scan(FileSystem(), patterns, symlinks=symlinks)
        assert paths_of(found) == {inode_of(first): str(first)}


def test_a_directory_that_does_not_exist_is_named_and_the_others_are_scanned(
    tmp_path: Path,
) -> None:
    log = tmp_path / "a.log"
    log.touch()
    found = scan(FileSystem(), [f"{tmp_path}/later/*.log", f"{tmp_path}/*.log"])
    assert found.missing == [str(tmp_path / "later")]
    assert paths_of(found) == {inode_of(log): str(log)}


@pytest.mark.parametrize("listing", [True, False], ids=["directory", "file"])
def test_what_cannot_be_looked_at_is_named_with_the_reason(tmp_path: Path, listing: bool) -> None:
    inside, other = tmp_path / "in" / "a.log", tmp_path / "in" / "b.log"
    inside.parent.mkdir()
    inside.touch()
    other.touch()
    place = inside.parent if listing else inside
    found = scan(Denying(place, listing=listing), [f"{inside.parent}/*.log"])
    assert {path: error.errno for path, error in found.unreadable.items()} == {
        str(place): errno.EACCES
    }
    assert paths_of(found) == ({} if listing else {inode_of(other): str(other)})
    # What may be there is not taken for gone.
    assert is_hidden(str(inside), found.unreadable)
    assert is_hidden(str(other), found.unreadable) == listing


def test_only_what_is_within_an_unreadable_place_is_hidden() -> None:
    assert is_hidden("/logs/a/b.log", ["/logs/a"])
    assert is_hidden("/logs/a/b.log", ["/other", "/logs/a/b.log"])
    assert not is_hidden("/logs/ab.log", ["/logs/a"])
    assert not is_hidden("/logs/a", [])


def test_a_file_that_is_rotated_away_during_the_scan_is_no_error(tmp_path: Path) -> None:
    for name in ("going.log", "staying.log"):
        (tmp_path / name).touch()
    found = scan(RotatedAway(), [f"{tmp_path}/*.log"])
    assert list(paths_of(found).values()) == [str(tmp_path / "staying.log")]
    assert found.unreadable == {}


def test_without_symbolic_links_only_files_themselves_are_found(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "a.log").write_text("a\n")
    (tmp_path / "link.log").symlink_to(real / "a.log")
    (tmp_path / "directory").symlink_to(real)
    patterns = [f"{tmp_path}/*.log", f"{tmp_path}/directory/*.log"]
    filesystem = FileSystem()
    found = scan(filesystem, patterns[:1], symlinks=True)
    assert list(paths_of(found).values()) == [f"{tmp_path}/link.log"]
    found = scan(filesystem, patterns[:1])
    assert (found.found, found.skipped) == ({}, [f"{tmp_path}/link.log"])
    # A link to a directory on the way is followed in any case.
    found = scan(filesystem, patterns)
    assert list(paths_of(found).values()) == [f"{tmp_path}/directory/a.log"]


def test_a_name_that_is_no_symbolic_link_stands_for_its_file(tmp_path: Path) -> None:
    (tmp_path / "b.log").touch()
    (tmp_path / "a.log").symlink_to(tmp_path / "b.log")
    found = scan(FileSystem(), [f"{tmp_path}/a.log", f"{tmp_path}/*.log"], symlinks=True)
    assert list(paths_of(found).values()) == [f"{tmp_path}/b.log"]


def test_what_was_written_to_last_comes_first_with_its_size_and_time(tmp_path: Path) -> None:
    for number, name in enumerate(("b.log", "c.log", "a.log", "d.log")):
        (tmp_path / name).write_bytes(b"x" * number)
        os.utime(tmp_path / name, ns=(0, (number // 2) * 1_000_000_000))
    found = list(scan(FileSystem(), [f"{tmp_path}/*.log"]).found.values())
    assert [file.path[-5] for file in found] == ["a", "d", "b", "c"]
    assert [(file.size, file.modified) for file in found][:2] == [(2, 10**9), (3, 10**9)]


def test_of_files_of_the_same_time_the_active_log_comes_first(tmp_path: Path) -> None:
    for name in ("tetragon-2026-11-27T04-00-00.000.log", "tetragon.log"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(0, 10**9))
    first, _ = scan(FileSystem(), [f"{tmp_path}/*.log"]).found.values()
    assert first.path == f"{tmp_path}/tetragon.log"


def test_of_more_files_than_the_limit_the_newest_are_kept(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number:02}.log"
        path.touch()
        os.utime(path, ns=(0, number * 1_000_000_000))
    found = scan(FileSystem(), [f"{tmp_path}/*.log"], max_files=3)
    assert [file.path[-6:-4] for file in found.found.values()] == ["19", "18", "17"]
    assert (found.files_left_out, found.left_out) == (17, 17)
    assert summary_of(found).left_out == 17


def test_of_more_directories_than_the_limit_the_rest_is_counted(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.log").touch()
    found = scan(FileSystem(), [f"{tmp_path}/*/*.log"], max_directories=3)
    assert (len(found.found), found.directories_left_out) == (2, 3)


def test_globs_without_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.log").touch()
    globs = [f"{tmp_path}/*.log", f"{tmp_path}/*.txt", f"{tmp_path}/nowhere/*.log"]
    summary = summary_of(scan(FileSystem(), globs))
    assert (summary.files, summary.without_files) == (1, tuple(globs[1:]))
    assert summary.missing == (f"{tmp_path}/nowhere",)


@pytest.mark.parametrize("listing", [True, False])
def test_directories_below_a_wildcard_and_gzips_are_among_what_cannot_be_read(
    tmp_path: Path, listing: bool
) -> None:
    place = tmp_path / "pod" / "logs" if listing else tmp_path / "pod" / "logs" / "a.log.gz"
    (tmp_path / "pod" / "logs").mkdir(parents=True)
    (tmp_path / "pod" / "logs" / "a.log.gz").touch()
    filesystem = Denying(place, listing=listing)
    found = scan(filesystem, [f"{tmp_path}/*/*/*.log"])
    gzips = scan(filesystem, [f"{tmp_path}/*/*/*.log.gz"])
    summary = summary_of(found, gzips=gzips)
    assert summary.unreadable == ((str(place), "Permission denied"),)
    assert (summary.files, summary.unreadable_count) == (0, 1)
    # A read that failed since is one more, but not where more is known already.
    more = summary.with_unreadable({"/other": "Input/output error", str(place): "x"})
    assert more.unreadable == tuple(
        sorted([(str(place), "Permission denied"), ("/other", "Input/output error")])
    )
    assert more.unreadable_count == 2


def test_an_operator_is_told_what_is_there_and_cannot_be_read(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).touch()
    found = scan(Denying(tmp_path / "a.log", listing=False), [f"{tmp_path}/*.log"])
    unopened = PermissionError(errno.EACCES, "Permission denied", f"{tmp_path}/b.log")
    summary = summary_of(found, [unopened])
    assert summary.unreadable_count == 2
    assert summary.unreadable == (
        (f"{tmp_path}/a.log", "Permission denied"),
        (f"{tmp_path}/b.log", "Permission denied"),
    )
