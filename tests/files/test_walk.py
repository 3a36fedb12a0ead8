"""A walk finds what glob finds, ends, and says what it could not see."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.files.discovery import Scan, is_hidden, scan
from shipper.files.filesystem import FileSystem
from shipper.files.globs import Pattern

NAMES = ("a", "b", "a.log", "b.log", ".a", ".h.log", "[x]", "a*b", "\udcff.log", "A.LOG", "ab")
PARTS = (
    *("*", "?", "*.log", "[ab]", "[!a]*", "a*", "**", "**", ".*", "[.]*", "a", "a.log", "b"),
    *("a**b", "[[]x]", "*.LOG", "[", ".", "..", "[a", "?.log"),
)


def regular(paths: list[str]) -> set[tuple[int, int]]:
    found = set()
    for path in paths:
        if os.path.isfile(path):
            status = os.stat(path)
            found.add((status.st_dev, status.st_ino))
    return found


def inodes(found: Scan) -> set[tuple[int, int]]:
    return {(inode.device, inode.number) for inode in found.found}


def grow(directory: Path, rng: random.Random, depth: int, made: list[Path]) -> None:
    """Fills a directory. Links lead to what was finished before, so there are no circles."""
    for name in rng.sample(NAMES, rng.randrange(5)):
        path = directory / name
        if rng.random() < 0.45 and depth:
            path.mkdir()
            grow(path, rng, depth - 1, made)
        elif rng.random() < 0.3 and made:
            path.symlink_to(rng.choice(made))
        else:
            path.touch()
        made.append(path)


@pytest.mark.parametrize("seed", range(60))
def test_it_finds_what_glob_finds(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    root = tmp_path / "logs"
    root.mkdir()
    grow(root, rng, 4, [])
    for _ in range(30):
        parts = rng.choices(PARTS, k=rng.randrange(1, 5))
        pattern = "/".join([str(root), *parts]) + rng.choice(["", "", "", "/"])
        expected = regular(glob.glob(pattern, recursive=True))
        assert inodes(scan(FileSystem(), [pattern], symlinks=True)) == expected, pattern


@pytest.mark.parametrize("seed", range(20))
def test_a_glob_matches_the_paths_that_a_walk_finds(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    grow(tmp_path, rng, 4, [])
    parts = [part for part in PARTS if part not in (".", "..")]
    for _ in range(30):
        pattern = "/".join([str(tmp_path), *rng.choices(parts, k=rng.randrange(1, 5))])
        for path in glob.glob(pattern, recursive=True):
            if os.path.isfile(path):
                assert Pattern(pattern).matches(path), (pattern, path)
                while path != str(tmp_path):
                    assert Pattern(pattern).may_lead_to_match(path), (pattern, path)
                    path = os.path.dirname(path)


class Counting(FileSystem):
    """Counts the listings, and refuses what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.listings = 0
        self.refused: dict[str, int] = {}

    def list_directory(self, path: str) -> Iterator[os.DirEntry[str]]:
        self.listings += 1
        self._refuse(path)
        return super().list_directory(path)

    def status(self, path: str) -> os.stat_result:
        self._refuse(path)
        return super().status(path)

    def _refuse(self, path: str) -> None:
        if path in self.refused:
            raise OSError(self.refused[path], os.strerror(self.refused[path]), path)


def test_symbolic_links_in_circles_end(tmp_path: Path) -> None:
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    for directory in (tmp_path, deep.parent, deep):
        (directory / "a.log").touch()
        for number in range(20):
            (directory / f"up{number}").symlink_to(tmp_path)
            (directory / f"here{number}").symlink_to(".")
    filesystem = Counting()
    for pattern in (f"{tmp_path}/**/*.log", f"{tmp_path}/*/*/*/*/*/*/a.log"):
        filesystem.listings = 0
        found = scan(filesystem, [pattern])
        assert len(found.found) == 3
        assert found.unreadable == {}
        assert filesystem.listings <= 3 * 7
    # The path without links stands for each, where there is one.
    found = scan(filesystem, [f"{tmp_path}/**/*.log"])
    assert sorted(file.path for file in found.found.values()) == [
        f"{tmp_path}/a.log",
        f"{tmp_path}/one/a.log",
        f"{tmp_path}/one/two/a.log",
    ]


def test_links_that_double_the_paths_at_each_level_do_not_double_the_work(tmp_path: Path) -> None:
    levels = [tmp_path / "levels" / str(number) for number in range(40)]
    for level in levels:
        level.mkdir(parents=True)
    for level, below in itertools.pairwise(levels):
        (level / "left").symlink_to(below)
        (level / "right").symlink_to(below)
    (levels[-1] / "a.log").touch()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "in").symlink_to(levels[0])
    filesystem = Counting()
    found = scan(filesystem, [f"{tmp_path}/logs/**/*.log"])
    # The kernel follows 40 links in one path and no more.
    assert filesystem.listings <= 41
    assert len(found.found) <= 1


def test_a_link_to_itself_is_no_directory_and_a_file_that_cannot_be_looked_at(
    tmp_path: Path,
) -> None:
    (tmp_path / "loop.log").symlink_to("loop.log")
    (tmp_path / "loop").symlink_to("loop")
    assert scan(FileSystem(), [f"{tmp_path}/*/a.log"]).unreadable == {}
    found = scan(FileSystem(), [f"{tmp_path}/**/*.log"], symlinks=True)
    assert {path: error.errno for path, error in found.unreadable.items()} == {
        f"{tmp_path}/loop.log": errno.ELOOP
    }


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENOTCONN])
@pytest.mark.parametrize("pattern", ["*/a.log", "*/*.log", "**/*.log"])
def test_what_cannot_be_seen_below_a_wildcard_is_named_and_hides_what_is_below(
    tmp_path: Path, pattern: str, code: int
) -> None:
    for directory in ("good", "bad"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "a.log").touch()
    filesystem = Counting()
    filesystem.refused = {str(tmp_path / "bad"): code, str(tmp_path / "bad" / "a.log"): code}
    found = scan(filesystem, [f"{tmp_path}/{pattern}"])
    assert [file.path for file in found.found.values()] == [f"{tmp_path}/good/a.log"]
    assert {error.errno for error in found.unreadable.values()} == {code}
    assert is_hidden(f"{tmp_path}/bad/a.log", found.unreadable)
    assert not is_hidden(f"{tmp_path}/good/a.log", found.unreadable)


def test_what_goes_while_it_is_looked_at_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    filesystem = Counting()
    filesystem.refused = {str(tmp_path / "gone"): errno.ENOENT}
    found = scan(filesystem, [f"{tmp_path}/*/a.log", f"{tmp_path}/**/*.log"])
    assert (found.found, found.unreadable) == ({}, {})


def test_a_thousand_unreadable_files_are_named_by_their_directory(tmp_path: Path) -> None:
    filesystem = Counting()
    for number in range(1500):
        path = tmp_path / f"{number}.log"
        path.touch()
        filesystem.refused[str(path)] = errno.EIO
    found = scan(filesystem, [f"{tmp_path}/*.log"])
    assert len(found.unreadable) == 1001
    assert all(is_hidden(path, found.unreadable) for path in filesystem.refused)


def test_a_directory_that_may_not_be_listed_is_no_obstacle_where_the_name_is_known(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.log").touch()
    filesystem = Counting()
    found = scan(filesystem, [f"{tmp_path}/a.log"])
    assert (len(found.found), filesystem.listings) == (1, 0)


def test_what_is_excluded_as_a_whole_is_not_entered(tmp_path: Path) -> None:
    for directory in ("good", "bad"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "a.log").touch()
    filesystem = Counting()
    filesystem.refused = {str(tmp_path / "bad" / "a.log"): errno.EACCES}
    found = scan(filesystem, [f"{tmp_path}/**/*.log"], [f"{tmp_path}/bad/*"])
    assert [file.path for file in found.found.values()] == [f"{tmp_path}/good/a.log"]
    assert (found.unreadable, filesystem.listings) == ({}, 2)


def test_kept_files_are_no_logs(tmp_path: Path) -> None:
    (tmp_path / ".shipper").mkdir()
    (tmp_path / ".shipper" / "a.log").touch()
    assert scan(FileSystem(), [f"{tmp_path}/.*/*.log"]).found == {}


def test_the_inode_of_a_listing_is_not_trusted(tmp_path: Path) -> None:
    class Lying(FileSystem):
        """FUSE, and overlayfs at times: what a listing says is not what `stat` says."""

        def status(self, path: str) -> os.stat_result:
            real = super().status(path)
            found = list(real)
            found[1] += 1 << 63
            return os.stat_result(found, {"st_mtime_ns": real.st_mtime_ns})

    (tmp_path / "a.log").touch()
    (inode,) = scan(Lying(), [f"{tmp_path}/*.log"]).found
    assert inode.number == (tmp_path / "a.log").stat().st_ino + (1 << 63)
