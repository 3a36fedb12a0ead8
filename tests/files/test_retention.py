"""Links that keep files: made once, found again, removed, and never put where others may write."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from msgspec import field

from shipper.files.facts import FileFacts, Inode
from shipper.files.filesystem import FileSystem
from shipper.files.kept_links import Adopted
from shipper.files.link_directory import SWEEP_SECONDS, LinkDirectories
from shipper.files.link_names import LinkOwner, link_name, parse_link_name
from shipper.files.link_problems import LinkProblem
from shipper.files.retention import DIRECTORY, KeptFile, Retention
from shipper.logs.events import (
    FILE_LINK_FAILED,
    LINK_DIRECTORY_ACCESS_FAILED,
    LINK_DIRECTORY_EXPOSED,
    LINK_DIRECTORY_REPLACED,
    LogEvent,
)
from tests.support.clock import ManualClock
from tests.support.steps import at_once


class Refusing(FileSystem):
    """A file system that makes no links, for the reason that is given, opens no more files, or
    cannot look at links."""

    def __init__(
        self, number: int | None = None, *, opens_left: int = -1, looks_left: int = -1
    ) -> None:
        super().__init__()
        self.number = number
        self.opens_left = opens_left
        self.looks_left = looks_left

    def open_in(self, directory: int, name: str) -> int:
        if self.opens_left == 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.opens_left -= 1
        return super().open_in(directory, name)

    def facts_in(self, directory: int, name: str) -> FileFacts:
        if self.looks_left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.looks_left -= 1
        return super().facts_in(directory, name)

    def link(self, descriptor: int, directory: int, name: str) -> None:
        if self.number is not None:
            raise OSError(self.number, os.strerror(self.number))
        super().link(descriptor, directory, name)


def owner(input_id: str = "tetragon", agent_id: str = "agent-1") -> LinkOwner:
    return LinkOwner(agent_id, input_id, "/var/lib/shipper")


class Found(Adopted):
    """What was found in one directory, and which files are followed since."""

    kept: list[KeptFile] = field(default_factory=list)


class MountedOver(FileSystem):
    """A file system in which what was opened before a directory was mounted over stays on the mount
    below, and what was not is on the one above."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        #: The files on the mount below.
        self.below: set[Inode] = set()

    def link(self, descriptor: int, directory: int, name: str) -> None:
        above = self.directory_facts(str(self._path)).inode
        is_above = self.facts_of_directory(directory).inode == above
        if is_above == (self.facts(descriptor).inode in self.below):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
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
        self.words: list[str] = []
        self.clock = ManualClock()
        self.opened: list[LinkDirectories] = []

    def report(self, event: LogEvent, error: OSError) -> None:
        self.reports.append((event, error.errno))
        self.words.append(f"{error.strerror}: {error.filename}")

    def directories(self, filesystem: FileSystem | None = None) -> LinkDirectories:
        directories = LinkDirectories(filesystem or FileSystem(), self.clock, self.report)
        self.opened.append(directories)
        return directories

    def retention(
        self,
        filesystem: FileSystem | None = None,
        of: LinkOwner | None = None,
        directories: LinkDirectories | None = None,
    ) -> Retention:
        """A process that keeps files, unless `directories` are those of one that runs."""
        filesystem = filesystem or FileSystem()
        return Retention(
            filesystem,
            directories or self.directories(filesystem),
            of or owner(),
            self.report,
        )

    def end(self) -> None:
        """All processes end."""
        for directories in self.opened:
            directories.close_all()
        self.opened.clear()

    def adopt(self, retention: Retention, *, matches: bool = True, is_known: bool = True) -> Found:
        followed: list[KeptFile] = []
        adopted = at_once(
            retention.adopting(
                str(self.log.parent),
                matches=lambda path: matches,
                is_known=lambda inode: is_known,
                is_followed=lambda inode: False,
                follow=followed.append,
            )
        )
        found = Found(adopted.foreign, adopted.of_inputs, followed)
        for kept in found.kept:
            descriptor = retention.open(kept.inode)
            assert os.fstat(descriptor).st_ino == kept.inode.number
            assert os.fstat(descriptor).st_size == kept.size
            os.close(descriptor)
        return found

    def keep(self, retention: Retention) -> None:
        retention.keep(self.inode, str(self.log), self.descriptor)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.links)) if self.links.is_dir() else []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()
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


def test_what_is_released_is_gone(world: World) -> None:
    retention = world.retention()
    world.keep(retention)
    retention.release(world.inode)
    retention.release(world.inode)
    assert world.names() == []
    assert world.inode not in retention
    assert not world.reports


def test_the_next_process_finds_what_was_kept(world: World) -> None:
    before = world.retention()
    world.keep(before)
    world.end()
    world.log.unlink()

    retention = world.retention()
    [kept] = world.adopt(retention).kept
    assert (kept.inode, kept.path) == (world.inode, str(world.log))
    descriptor = retention.open(kept.inode)
    assert os.pread(descriptor, 10, 0) == b"one\n"
    os.close(descriptor)
    retention.release(kept.inode)
    assert world.names() == []


def test_a_file_is_linked_under_whatever_name_it_has_by_now(world: World) -> None:
    # Between the look at the path and the link, the path may have got to lead elsewhere.
    world.log.rename(world.log.with_name("tetragon-1.log"))
    world.log.write_bytes(b"another\n")
    retention = world.retention()
    world.keep(retention)
    [name] = world.names()
    assert (world.links / name).read_bytes() == b"one\n"


def test_a_file_that_has_no_name_left_is_no_fault(world: World) -> None:
    world.log.unlink()
    retention = world.retention()
    world.keep(retention)
    assert world.inode not in retention
    assert not world.reports


def test_the_directory_is_made_again_when_somebody_removes_it(world: World) -> None:
    retention = world.retention()
    world.keep(retention)
    retention.release(world.inode)
    world.links.rmdir()
    world.keep(retention)
    assert len(world.names()) == 1


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


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.EROFS, LinkProblem.READ_ONLY),
        (errno.EACCES, LinkProblem.PERMISSION),
        (errno.EPERM, LinkProblem.PERMISSION),
        (errno.ENOSPC, LinkProblem.NO_SPACE),
        (errno.EDQUOT, LinkProblem.NO_SPACE),
        (errno.EXDEV, LinkProblem.UNSUPPORTED),
        (errno.EOPNOTSUPP, LinkProblem.UNSUPPORTED),
        (errno.EIO, LinkProblem.OTHER),
    ],
)
def test_where_links_cannot_be_made_is_known_as_long_as_it_lasts(
    world: World, number: int, problem: LinkProblem
) -> None:
    filesystem = Refusing(number)
    retention = world.retention(filesystem)
    none = dict.fromkeys(LinkProblem, 0)
    assert retention.problems.counts == none
    for _ in range(3):
        retention.reconcile()
        world.keep(retention)
        assert retention.problems.counts == {**none, problem: 1}
    filesystem.number = None
    retention.reconcile()
    world.keep(retention)
    assert retention.problems.counts == none
    assert world.reports == [(FILE_LINK_FAILED, number)]


def test_a_problem_goes_when_nothing_has_to_be_linked_there_any_more(world: World) -> None:
    retention = world.retention(Refusing(errno.EROFS))
    retention.reconcile()
    world.keep(retention)
    retention.reconcile()
    assert retention.problems.counts[LinkProblem.READ_ONLY] == 1, "the scan is not over"
    retention.reconcile()
    assert retention.problems.counts[LinkProblem.READ_ONLY] == 0
    world.keep(retention)
    assert len(world.reports) == 2, "it is new again"


@pytest.mark.parametrize("what", ["file", "link"])
def test_something_else_that_has_the_name_of_the_directory_is_a_problem(
    world: World, tmp_path: Path, what: str
) -> None:
    if what == "file":
        world.links.write_bytes(b"")
    else:
        world.links.symlink_to(tmp_path)
    retention = world.retention()
    world.keep(retention)
    assert retention.problems.counts[LinkProblem.NOT_A_DIRECTORY] == 1


def test_a_directory_that_another_process_has_locked_is_a_problem_in_words(world: World) -> None:
    world.links.mkdir(mode=0o700)
    descriptor = os.open(world.links, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    retention = world.retention()
    world.keep(retention)
    assert retention.problems.counts[LinkProblem.LOCKED] == 1
    assert world.words == [f"another process has it locked: {world.links}"]
    os.close(descriptor)
    world.keep(retention)
    assert retention.problems.counts[LinkProblem.LOCKED] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_not_used(world: World) -> None:
    world.links.mkdir(mode=0o700)
    os.chown(world.links, 12345, 12345)
    retention = world.retention()
    world.keep(retention)
    with pytest.raises(PermissionError):
        world.adopt(retention)
    assert world.names() == []


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


def test_a_symbolic_link_among_the_links_is_not_followed(world: World, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n")
    before = world.retention()
    world.keep(before)
    [name] = world.names()
    prefix = name.split("-")[0]
    (world.links / f"{prefix}-{secret.stat().st_ino}-tetragon.log").symlink_to(secret)
    world.end()
    retention = world.retention()
    kept = world.adopt(retention).kept
    assert [each.inode for each in kept] == [world.inode]


def test_a_file_whose_name_claims_another_inode_is_not_adopted(world: World) -> None:
    before = world.retention()
    world.keep(before)
    world.end()
    [name] = world.names()
    (world.links / name).rename(world.links / name.replace(str(world.inode.number), "1"))
    retention = world.retention()
    assert world.adopt(retention).kept == []


def keep_two(world: World) -> None:
    """An earlier process kept two files."""
    before = world.retention()
    world.keep(before)
    second = world.log.with_name("second.log")
    second.write_bytes(b"two\n")
    with second.open("rb") as file:
        found = os.fstat(file.fileno())
        before.keep(Inode(found.st_dev, found.st_ino), str(second), file.fileno())
    world.end()


def test_links_are_adopted_whether_or_not_there_are_descriptors_for_them(world: World) -> None:
    keep_two(world)
    filesystem = Refusing(opens_left=0)
    retention = world.retention(filesystem)
    kept: list[KeptFile] = []
    at_once(
        retention.adopting(
            str(world.log.parent),
            matches=lambda path: True,
            is_known=lambda inode: True,
            is_followed=lambda inode: False,
            follow=kept.append,
        )
    )
    assert len(kept) == 2
    with pytest.raises(OSError, match="Too many open files"):
        retention.open(world.inode)
    filesystem.opens_left = -1
    os.close(retention.open(world.inode))


@pytest.mark.parametrize("looks_left", [0, 1])
def test_what_cannot_be_looked_at_is_adopted_when_it_can_be(world: World, looks_left: int) -> None:
    keep_two(world)
    filesystem = Refusing(looks_left=looks_left)
    retention = world.retention(filesystem)
    with pytest.raises(OSError, match="Input/output error"):
        world.adopt(retention)
    filesystem.looks_left = -1
    assert len(world.adopt(retention).kept) == 2


def test_where_nothing_was_ever_kept_nothing_is_adopted(world: World) -> None:
    with pytest.raises(FileNotFoundError):
        world.adopt(world.retention())
    assert not world.links.exists()


class TestOwners:
    def test_links_of_a_shipper_that_runs_are_left_alone_and_told_of(self, world: World) -> None:
        theirs = world.retention(of=owner(agent_id="agent-2"))
        world.keep(theirs)
        retention = world.retention()
        found = world.adopt(retention)
        assert found.kept == []
        [foreign] = found.foreign
        assert (foreign.path, foreign.size) == (f"{world.links}/{world.names()[0]}", 4)
        assert foreign.has_living_owner
        retention.release(world.inode)
        assert len(world.names()) == 1

    def test_links_whose_owner_is_gone_are_adopted_under_our_name(self, world: World) -> None:
        world.keep(world.retention(of=owner(agent_id="lost with its registry")))
        world.end()
        retention = world.retention()
        [kept] = world.adopt(retention).kept
        assert kept.inode == world.inode
        [name] = world.names()
        link = parse_link_name(name)
        assert link is not None
        assert link.owner == owner().token
        retention.release(world.inode)
        assert world.names() == []

    def test_links_whose_owner_is_gone_and_that_no_glob_matches_are_told_of(
        self, world: World
    ) -> None:
        world.keep(world.retention(of=owner(input_id="gone from the configuration")))
        world.end()
        found = world.adopt(world.retention(), matches=False)
        assert found.kept == []
        [foreign] = found.foreign
        assert not foreign.has_living_owner
        assert len(world.names()) == 1

    def test_links_of_another_input_of_ours_are_left_to_it(self, world: World) -> None:
        directories = world.directories()
        world.keep(world.retention(of=owner("second"), directories=directories))
        ours = world.retention(directories=directories)
        found = world.adopt(ours)
        assert (found.kept, found.foreign) == ([], [])

    def test_links_with_the_names_of_version_0_1_are_adopted(self, world: World) -> None:
        world.links.mkdir(mode=0o700)
        old = f"{owner().former_token}-{world.inode.number}-tetragon.log"
        os.link(world.log, world.links / old)
        retention = world.retention()
        # No glob needs to match: the owner is this very input.
        [kept] = world.adopt(retention, matches=False).kept
        assert kept.path == str(world.log)
        assert world.names() == [link_name(owner().token, world.inode.number, str(world.log))]

    def test_what_is_no_link_of_any_shipper_is_told_of(self, world: World) -> None:
        world.links.mkdir(mode=0o700)
        (world.links / "notes").write_bytes(b"12")
        found = world.adopt(world.retention())
        assert [(each.size, each.has_living_owner) for each in found.foreign] == [(2, False)]
        assert world.names() == ["notes"]


class TestNames:
    @pytest.mark.parametrize("length", [5, 200, 217, 218, 246, 255])
    def test_the_name_of_a_link_is_bounded_and_keeps_the_end_of_the_logs_name(
        self, length: int
    ) -> None:
        path = "/logs/" + "p" * (length - 4) + ".log"
        name = link_name(owner().token, 2**64 - 1, path)
        assert len(os.fsencode(name)) <= 255
        link = parse_link_name(name)
        assert link is not None
        assert (link.owner, link.inode) == (owner().token, 2**64 - 1)
        assert link.base.endswith(path[-4:])
        if length <= 217:
            assert link.base == os.path.basename(path)

    def test_two_long_names_that_begin_and_end_alike_differ(self) -> None:
        first, second = ("/logs/" + "a" * 150 + c + "b" * 100 for c in "xy")
        assert link_name(owner().token, 1, first) != link_name(owner().token, 1, second)

    def test_a_name_that_is_not_utf8_stays_what_it_is(self) -> None:
        path = "/logs/" + os.fsdecode(b"\xff\xfe" * 120)
        link = parse_link_name(link_name(owner().token, 1, path))
        assert link is not None
        assert os.fsencode(link.base).startswith(b"\xff\xfe")

    @pytest.mark.parametrize(
        "name", ["", "x", "0123456789abcdef-1", "0123456789abcdef-x-a", "1-1-a"]
    )
    def test_other_names_are_none_of_ours(self, name: str) -> None:
        assert parse_link_name(name) is None


class TestReconciling:
    def test_a_link_that_somebody_removed_is_missed_once(self, world: World) -> None:
        retention = world.retention()
        world.keep(retention)
        assert retention.reconcile().missing == []
        (world.links / world.names()[0]).unlink()
        found = retention.reconcile()
        assert (found.missing, found.rescued) == ([world.inode], {})
        assert world.inode not in retention
        assert retention.reconcile().missing == []
        world.keep(retention)
        assert len(world.names()) == 1

    def test_our_own_changes_do_not_have_the_names_listed_again(self, world: World) -> None:
        class Counting(FileSystem):
            listed = 0

            def names(self, directory: str | int) -> Generator[str, None, None]:
                self.listed += 1
                return super().names(directory)

        filesystem = Counting()
        retention = world.retention(filesystem)
        world.keep(retention)
        for _ in range(5):
            assert retention.reconcile().missing == []
        assert filesystem.listed == 0
        asyncio.run(world.clock.advance(SWEEP_SECONDS))
        retention.reconcile()
        retention.reconcile()
        assert filesystem.listed == 1

    def test_links_whose_files_are_followed_are_not_looked_at_again(self, world: World) -> None:
        class Counting(FileSystem):
            looked = 0

            def facts_in(self, directory: int, name: str) -> FileFacts:
                self.looked += 1
                return super().facts_in(directory, name)

        filesystem = Counting()
        retention = world.retention(filesystem)
        world.keep(retention)
        kept: list[KeptFile] = []
        for followed, looked in (({world.inode}, 0), (set[Inode](), 1)):
            at_once(
                retention.adopting(
                    str(world.log.parent),
                    matches=lambda path: True,
                    is_known=lambda inode: True,
                    is_followed=followed.__contains__,
                    follow=kept.append,
                )
            )
            assert (filesystem.looked, len(kept)) == (looked, looked)
        # What others could write to is looked at.
        world.links.chmod(0o777)
        retention.reconcile()
        at_once(
            retention.adopting(
                str(world.log.parent),
                matches=lambda path: True,
                is_known=lambda inode: True,
                is_followed=lambda inode: True,
                follow=kept.append,
            )
        )
        assert len(kept) == 2

    def test_a_change_that_the_time_of_modification_hides_is_found_by_the_sweep(
        self, world: World
    ) -> None:
        retention = world.retention()
        world.keep(retention)
        before = world.links.stat()
        (world.links / world.names()[0]).unlink()
        os.utime(world.links, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert retention.reconcile().missing == []
        asyncio.run(world.clock.advance(SWEEP_SECONDS))
        assert retention.reconcile().missing == [world.inode]

    def test_when_the_directory_is_removed_the_file_is_linked_in_a_new_one(
        self, world: World
    ) -> None:
        retention = world.retention()
        world.keep(retention)
        shutil.rmtree(world.links)
        assert retention.reconcile().missing == [world.inode]
        world.keep(retention)
        assert len(world.names()) == 1

    def test_when_another_directory_is_put_in_its_place_the_link_is_rescued(
        self, world: World, tmp_path: Path
    ) -> None:
        retention = world.retention()
        world.keep(retention)
        world.log.unlink()
        world.links.rename(tmp_path / "moved")
        world.links.mkdir(mode=0o700)
        found = retention.reconcile()
        assert found.missing == [world.inode]
        descriptor = found.rescued[world.inode]
        assert retention.keep(world.inode, str(world.log), descriptor)
        os.close(descriptor)
        assert len(world.names()) == 1
        assert world.reports == [(LINK_DIRECTORY_REPLACED, errno.ESTALE)]

    def test_a_file_is_linked_at_once_when_the_directory_was_removed_since_the_last_scan(
        self, world: World
    ) -> None:
        retention = world.retention()
        world.keep(retention)
        retention.release(world.inode)
        world.links.rmdir()
        world.keep(retention)
        assert world.inode in retention
        assert len(world.names()) == 1

    def test_of_files_and_a_directory_that_was_mounted_over(
        self, world: World, tmp_path: Path
    ) -> None:
        filesystem = MountedOver(world.links)
        retention = world.retention(filesystem)
        world.keep(retention)
        # The directory of the logs is mounted over, with another `.shipper` in it.
        filesystem.below.add(world.inode)
        world.links.rename(tmp_path / "below")
        world.log.rename(tmp_path / "below" / "tetragon.log")
        world.links.mkdir(mode=0o700)
        new = world.log.with_name("new.log")
        new.write_bytes(b"two\n")
        with new.open("rb") as file:
            found = os.fstat(file.fileno())
            assert retention.keep(Inode(found.st_dev, found.st_ino), str(new), file.fileno())
        assert len(world.names()) == 1
        # What is below cannot be linked above: that is no fault of the directory.
        assert retention.reconcile().missing == [world.inode]
        world.keep(retention)
        assert world.inode not in retention
        assert len(world.names()) == 1
        assert world.reports == [(LINK_DIRECTORY_REPLACED, errno.ESTALE)]

    def test_two_inputs_share_a_directory_that_is_lost(self, world: World) -> None:
        directories = world.directories()
        first = world.retention(of=owner("first"), directories=directories)
        second = world.retention(of=owner("second"), directories=directories)
        world.keep(first)
        world.keep(second)
        descriptors = len(os.listdir("/proc/self/fd"))
        shutil.rmtree(world.links)
        assert first.reconcile().missing == [world.inode]
        assert second.reconcile().missing == [world.inode]
        assert len(os.listdir("/proc/self/fd")) == descriptors - 1

    def test_a_name_that_leads_to_another_file_is_no_link(self, world: World) -> None:
        world.links.mkdir(mode=0o700)
        name = link_name(owner().token, world.inode.number, str(world.log))
        (world.links / name).write_bytes(b"planted")
        retention = world.retention()
        world.keep(retention)
        assert world.inode not in retention
        assert world.reports == [(FILE_LINK_FAILED, errno.EEXIST)]


class TestExposed:
    def test_a_directory_that_others_could_write_to_is_closed_to_them_and_used(
        self, world: World
    ) -> None:
        world.keep(world.retention())
        world.end()
        world.links.chmod(0o2775)
        retention = world.retention()
        [kept] = world.adopt(retention).kept
        assert kept.inode == world.inode
        assert world.links.stat().st_mode & 0o777 == 0o700
        assert world.reports == [(LINK_DIRECTORY_EXPOSED, errno.EPERM)]

    def test_of_it_only_files_that_are_remembered_are_taken(self, world: World) -> None:
        world.keep(world.retention())
        world.end()
        world.links.chmod(0o777)
        found = world.adopt(world.retention(), is_known=False)
        assert found.kept == []
        assert len(found.foreign) == 1

    def test_it_is_noticed_while_we_run(self, world: World) -> None:
        retention = world.retention()
        world.keep(retention)
        world.links.chmod(0o770)
        assert retention.reconcile().missing == []
        assert world.links.stat().st_mode & 0o777 == 0o700
        assert len(world.reports) == 1

    def test_one_that_cannot_be_closed_is_reported_and_not_trusted(self, world: World) -> None:
        """It was opened, and then its file system became read-only."""

        class ReadOnly(FileSystem):
            def make_private(self, directory: int, *, marked: bool) -> None:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        directories = world.directories(ReadOnly())
        retention = world.retention(directories=directories)
        world.keep(retention)
        world.links.chmod(0o770)
        for _ in range(2):
            assert retention.reconcile().missing == []
        assert world.reports == [(LINK_DIRECTORY_ACCESS_FAILED, errno.EROFS)] * 2
        assert world.words[0] == f"Read-only file system: {world.links}"
        found = world.adopt(world.retention(of=owner("other"), directories=directories))
        assert found.kept == []


class TestLeaving:
    def test_an_empty_directory_is_removed_so_that_its_parent_can_be(self, world: World) -> None:
        retention = world.retention()
        world.keep(retention)
        place = str(world.log.parent)
        retention.leave(place)
        assert len(world.names()) == 1
        retention.release(world.inode)
        descriptors = len(os.listdir("/proc/self/fd"))
        retention.leave(place)
        assert not world.links.exists()
        assert len(os.listdir("/proc/self/fd")) == descriptors - 1

    def test_what_another_shipper_has_in_it_stays(self, world: World) -> None:
        theirs = world.retention(of=owner(agent_id="agent-2"))
        world.keep(theirs)
        retention = world.retention()
        world.keep(retention)
        retention.release(world.inode)
        retention.leave(str(world.log.parent))
        assert len(world.names()) == 1
