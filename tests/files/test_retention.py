"""Links that keep files: made once, found again, removed, and never put where others may write."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.files.filesystem import FileSystem, Inode
from shipper.files.retention import DIRECTORY, Retention
from shipper.logs.events import FILE_LINK_FAILED, LogEvent


class Refusing(FileSystem):
    """A file system that makes no links, for the reason that is given, or opens no more files."""

    def __init__(self, number: int | None = None, *, opens_left: int = -1) -> None:
        super().__init__()
        self.number = number
        self.opens_left = opens_left

    def open_in(self, directory: int, name: str) -> int:
        if self.opens_left == 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.opens_left -= 1
        return super().open_in(directory, name)

    def link(self, descriptor: int, directory: int, name: str) -> None:
        if self.number is not None:
            raise OSError(self.number, os.strerror(self.number))
        super().link(descriptor, directory, name)


class World:
    """A log in a directory, and what was reported."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "tetragon.log"
        self.log.write_bytes(b"one\n")
        self.links = directory / DIRECTORY
        self.descriptor = os.open(self.log, os.O_RDONLY)
        found = os.fstat(self.descriptor)
        self.inode = Inode(found.st_dev, found.st_ino)
        self.reports: list[tuple[LogEvent, int | None]] = []

    def retention(self, filesystem: FileSystem | None = None, owner: str = "ours") -> Retention:
        def report(event: LogEvent, error: OSError) -> None:
            self.reports.append((event, error.errno))

        return Retention(filesystem or FileSystem(), owner, report)

    def keep(self, retention: Retention) -> None:
        retention.keep(self.inode, str(self.log), self.descriptor)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.links)) if self.links.is_dir() else []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    os.close(world.descriptor)


def test_a_file_that_is_deleted_lives_on_in_a_private_directory(world: World) -> None:
    retention = world.retention()
    world.keep(retention)
    world.keep(retention)
    world.log.unlink()
    [name] = world.names()
    assert (world.links / name).read_bytes() == b"one\n"
    assert world.links.stat().st_mode & 0o777 == 0o700
    assert world.inode in retention
    retention.close()


def test_what_is_released_is_gone(world: World) -> None:
    retention = world.retention()
    world.keep(retention)
    retention.release(world.inode)
    retention.release(world.inode)
    assert world.names() == []
    assert world.inode not in retention
    retention.close()
    assert not world.reports


def test_the_next_process_finds_what_was_kept(world: World) -> None:
    before = world.retention()
    world.keep(before)
    before.close()
    world.log.unlink()

    retention = world.retention()
    [kept] = retention.adopt(str(world.log.parent))
    assert (kept.inode, kept.path) == (world.inode, str(world.log))
    assert os.pread(kept.descriptor, 10, 0) == b"one\n"
    os.close(kept.descriptor)
    retention.release(kept.inode)
    assert world.names() == []
    retention.close()


def test_what_others_keep_is_left_alone(world: World) -> None:
    theirs = world.retention(owner="theirs")
    world.keep(theirs)
    retention = world.retention()
    assert retention.adopt(str(world.log.parent)) == []
    retention.release(world.inode)
    assert len(world.names()) == 1
    theirs.close()
    retention.close()


def test_a_file_is_linked_under_whatever_name_it_has_by_now(world: World) -> None:
    # Between the look at the path and the link, the path may have got to lead elsewhere.
    world.log.rename(world.log.with_name("tetragon-1.log"))
    world.log.write_bytes(b"another\n")
    retention = world.retention()
    world.keep(retention)
    [name] = world.names()
    assert (world.links / name).read_bytes() == b"one\n"
    retention.close()


def test_a_file_that_has_no_name_left_is_no_fault(world: World) -> None:
    world.log.unlink()
    retention = world.retention()
    world.keep(retention)
    assert world.inode not in retention
    assert not world.reports
    retention.close()


def test_the_directory_is_made_again_when_somebody_removes_it(world: World) -> None:
    retention = world.retention()
    world.keep(retention)
    retention.release(world.inode)
    world.links.rmdir()
    world.keep(retention)
    assert len(world.names()) == 1
    retention.close()


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EROFS, errno.EMLINK])
def test_where_links_cannot_be_made_it_is_said_once_and_tried_again(
    world: World, number: int
) -> None:
    filesystem = Refusing(number)
    retention = world.retention(filesystem)
    world.keep(retention)
    world.keep(retention)
    assert world.reports == [(FILE_LINK_FAILED, number)]
    filesystem.number = None
    world.keep(retention)
    assert world.inode in retention
    retention.close()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_may_write_to_is_not_used(world: World, mode: int) -> None:
    world.links.mkdir()
    world.links.chmod(mode)
    retention = world.retention()
    world.keep(retention)
    assert world.names() == []
    assert [number for _, number in world.reports] == [errno.EPERM]
    retention.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_not_used(world: World) -> None:
    world.links.mkdir(mode=0o700)
    os.chown(world.links, 12345, 12345)
    retention = world.retention()
    world.keep(retention)
    with pytest.raises(PermissionError):
        retention.adopt(str(world.log.parent))
    assert world.names() == []
    retention.close()


def test_a_symbolic_link_in_place_of_the_directory_is_not_followed(
    world: World, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    world.links.symlink_to(elsewhere)
    retention = world.retention()
    world.keep(retention)
    assert list(elsewhere.iterdir()) == []
    assert len(world.reports) == 1
    retention.close()


def test_a_symbolic_link_among_the_links_is_not_followed(world: World, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n")
    before = world.retention()
    world.keep(before)
    [name] = world.names()
    prefix = name.split("-")[0]
    (world.links / f"{prefix}-{secret.stat().st_ino}-tetragon.log").symlink_to(secret)
    before.close()
    retention = world.retention()
    kept = retention.adopt(str(world.log.parent))
    assert [each.inode for each in kept] == [world.inode]
    for each in kept:
        os.close(each.descriptor)
    retention.close()


def test_a_file_whose_name_claims_another_inode_is_not_adopted(world: World) -> None:
    before = world.retention()
    world.keep(before)
    before.close()
    [name] = world.names()
    (world.links / name).rename(world.links / name.replace(str(world.inode.number), "1"))
    retention = world.retention()
    assert retention.adopt(str(world.log.parent)) == []
    retention.close()


def test_what_cannot_be_opened_is_adopted_when_it_can_be(world: World) -> None:
    before = world.retention()
    world.keep(before)
    second = world.log.with_name("second.log")
    second.write_bytes(b"two\n")
    with second.open("rb") as file:
        found = os.fstat(file.fileno())
        before.keep(Inode(found.st_dev, found.st_ino), str(second), file.fileno())
    before.close()
    filesystem = Refusing(opens_left=1)
    retention = world.retention(filesystem)
    with pytest.raises(OSError, match="Too many open files"):
        retention.adopt(str(world.log.parent))
    assert world.inode not in retention
    filesystem.opens_left = -1
    kept = retention.adopt(str(world.log.parent))
    assert len(kept) == 2
    for each in kept:
        os.close(each.descriptor)
    retention.close()


def test_where_nothing_was_ever_kept_nothing_is_adopted(world: World) -> None:
    with pytest.raises(FileNotFoundError):
        world.retention().adopt(str(world.log.parent))
    assert not world.links.exists()
