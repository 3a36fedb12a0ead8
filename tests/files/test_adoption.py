"""Which links are nobody's, and what becomes of those that an operator names."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from shipper.files.adoption import (
    AdoptingInput,
    Decision,
    ListedLink,
    Listing,
    carry_out,
    decide,
    list_links,
)
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.foreign_links import Obstacle
from shipper.files.link_directory import LinkDirectories
from shipper.files.link_names import LinkOwner, OwnerToken, link_name, parse_link_name
from shipper.files.retention import DIRECTORY, Retention
from tests.support.clock import ManualClock

SOMEBODY = LinkOwner("somebody else", "theirs", "/var/lib/elsewhere")


class World:
    """A directory of logs with its `.shipper`, and inputs of one agent."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.place = directory / DIRECTORY
        self.place.mkdir(mode=0o700)
        self.filesystem = FileSystem()
        self.known: set[Inode] = set()
        self.inputs = [self.input("tetragon", ".log")]
        self.former: dict[OwnerToken, str] = {}
        self.running: list[LinkDirectories] = []

    def input(
        self, input_id: str, suffix: str, *, gzips: bool = True, ignore_older: float = 0.0
    ) -> AdoptingInput:
        return AdoptingInput(
            LinkOwner("agent-1", input_id, "/data"),
            matches=lambda path: path.removesuffix(".gz" if gzips else "").endswith(suffix),
            is_known=lambda inode: inode in self.known,
            reads_gzips=gzips,
            ignore_older=ignore_older,
        )

    def link(
        self,
        log: str = "a.log",
        owner: LinkOwner = SOMEBODY,
        *,
        name: str | None = None,
        inode: int | None = None,
    ) -> Path:
        """A link that keeps a file which has no other name."""
        path = self.directory / log
        path.write_bytes(b"one\n")
        number = path.stat().st_ino if inode is None else inode
        target = self.place / (link_name(owner.token, number, str(path)) if name is None else name)
        path.rename(target)
        return target

    def listing(self) -> Listing:
        return list_links(self.filesystem, [str(self.directory)], self.inputs, self.former)

    def one(self) -> ListedLink:
        [link] = self.listing().links
        return link

    def decide(
        self,
        named: Sequence[ListedLink] | None = None,
        *,
        into: str | None = None,
        trust_exposed: bool = False,
        now: float = 0.0,
    ) -> list[Decision]:
        listing = self.listing()
        chosen = next((each for each in self.inputs if each.input_id == into), None)
        return decide(
            listing,
            listing.links if named is None else named,
            self.inputs,
            chosen=chosen,
            trust_exposed=trust_exposed,
            now=now,
        )

    def adopt(self, *, into: str | None = None, trust_exposed: bool = False) -> list[Decision]:
        decisions = self.decide(into=into, trust_exposed=trust_exposed)
        return carry_out(self.filesystem, decisions, self.inputs)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.place))

    def start(self, owner: LinkOwner) -> Retention:
        """A shipper runs that has the directory open."""
        directories = LinkDirectories(self.filesystem, ManualClock(), lambda event, error: None)
        self.running.append(directories)
        retention = Retention(self.filesystem, directories, owner, lambda event, error: None)
        directories.at(str(self.directory), create=False)
        return retention

    def end(self) -> None:
        for directories in self.running:
            directories.close_all()
        self.running.clear()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()


class TestListing:
    def test_a_link_is_listed_with_what_an_operator_wants_to_know(self, world: World) -> None:
        path = world.link("a.txt")
        link = world.one()
        assert (link.entry.path, link.entry.log) == (str(path), f"{world.directory}/a.txt")
        assert link.entry.facts.size == 4
        assert link.entry.facts.inode.number == path.stat().st_ino
        assert link.entry.facts.changed == path.stat().st_ctime_ns
        assert link.entry.link is not None
        assert link.entry.link.owner == SOMEBODY.token
        assert (link.obstacle, link.inputs, link.exposed) == (Obstacle.NO_INPUT, (), False)

    def test_links_of_the_inputs_are_not_listed(self, world: World) -> None:
        world.link(owner=LinkOwner("agent-1", "tetragon", "/data"))
        former = LinkOwner("", "tetragon", "/data").former_token
        path = world.link("b.log", name="later")
        path.rename(path.with_name(f"{former}-{path.stat().st_ino}-b.log"))
        assert world.listing().links == []

    def test_of_links_of_inputs_that_are_not_configured_any_more_the_input_is_named(
        self, world: World
    ) -> None:
        gone = LinkOwner("agent-1", "gone", "/data")
        world.former = {gone.token: "gone"}
        world.link("a.txt", gone)
        assert world.one().made_for == "gone"

    def test_a_link_that_shipper_adopts_by_itself_is_listed_as_such(self, world: World) -> None:
        world.link()
        assert (world.one().obstacle, world.one().inputs) == (None, ("tetragon",))

    @pytest.mark.parametrize(
        "name", ["notes", "x\n\x1b[2J", "caf\udce9.log", "-1-a.log", "0" * 255, "abcdefgh-1-a.log"]
    )
    def test_a_name_that_no_shipper_gives(self, world: World, name: str) -> None:
        world.link(name=name)
        assert (world.one().obstacle, world.one().entry.name) == (Obstacle.NOT_A_LINK_NAME, name)

    @pytest.mark.parametrize("agent", ["agent-1", "another"])
    def test_a_copy_of_a_link_has_another_inode(self, world: World, agent: str) -> None:
        world.link(owner=LinkOwner(agent, "tetragon", "/data"), inode=1)
        assert world.one().obstacle is Obstacle.OTHER_INODE

    @pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "socket"])
    def test_what_is_no_regular_file_is_listed_and_never_adopted(
        self, world: World, kind: str
    ) -> None:
        path = world.place / link_name(SOMEBODY.token, 1, "a.log")
        if kind == "symlink":
            path.symlink_to("/etc/passwd")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        else:
            here = Path.cwd()
            os.chdir(world.place)
            try:
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(path.name)
            finally:
                os.chdir(here)
        assert world.one().obstacle is Obstacle.NOT_A_FILE
        [decision] = world.adopt(into="tetragon", trust_exposed=True)
        assert "no regular file" in decision.refused
        assert world.names() == [path.name]

    def test_a_directory_that_cannot_be_used_is_a_problem_and_hides_no_other(
        self, tmp_path: Path
    ) -> None:
        class OfAnother(FileSystem):
            def open_private(self, path: str, *, create: bool) -> int:
                if path.startswith(f"{tmp_path}/a/"):
                    raise PermissionError(errno.EPERM, "it belongs to another user", path)
                return super().open_private(path, create=create)

        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        World(tmp_path / "a").link()
        World(tmp_path / "b").link()
        places = [f"{tmp_path}/a", f"{tmp_path}/b", f"{tmp_path}/none"]
        listing = list_links(OfAnother(), places, [], {})
        assert [error.filename for error in listing.problems] == [f"{tmp_path}/a/{DIRECTORY}"]
        assert [link.entry.place for link in listing.links] == [f"{tmp_path}/b"]

    def test_a_directory_that_a_symbolic_link_leads_to_is_listed_once(self, world: World) -> None:
        world.link()
        other = world.directory.with_name("other")
        other.symlink_to(world.directory)
        listing = list_links(world.filesystem, [str(world.directory), str(other)], world.inputs, {})
        assert len(listing.links) == 1


class TestOwners:
    def test_whether_the_owner_runs_is_known_whoever_else_does(self, world: World) -> None:
        theirs = LinkOwner("their agent", "theirs", "/theirs")
        world.link("a.txt", theirs)
        world.link("b.txt", LinkOwner("dead", "theirs", "/dead"))
        world.start(LinkOwner("agent-1", "tetragon", "/data"))
        assert [link.has_living_owner for link in world.listing().links] == [False, False]
        world.start(theirs)
        listing = world.listing()
        assert {link.entry.log[-5:]: link.obstacle for link in listing.links} == {
            "a.txt": Obstacle.LIVING_OWNER,
            "b.txt": Obstacle.NO_INPUT,
        }
        [link] = [each for each in listing.links if each.has_living_owner]
        [decision] = world.decide([link], into="tetragon", trust_exposed=True)
        assert "running" in decision.refused
        world.end()
        assert [link.has_living_owner for link in world.listing().links] == [False, False]

    def test_where_owners_cannot_be_asked_for_any_shipper_that_runs_may_be_it(
        self, world: World
    ) -> None:
        class WithoutLocks(FileSystem):
            def is_number_locked(self, directory: int, number: int) -> bool:
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        world.link("a.txt")
        world.filesystem = WithoutLocks()
        assert not world.one().has_living_owner
        world.start(LinkOwner("agent-1", "tetragon", "/data"))
        assert world.one().has_living_owner


class TestDeciding:
    def test_the_input_whose_globs_match_gets_it(self, world: World) -> None:
        world.inputs.append(world.input("second", ".txt"))
        world.link("a.txt")
        [decision] = world.adopt()
        assert decision.input_id == "second"
        [name] = world.names()
        link = parse_link_name(name)
        assert link is not None
        assert (link.owner, link.base) == (world.inputs[1].owner.token, "a.txt")

    @pytest.mark.parametrize(("log", "matching"), [("a.log", "tetragon, second"), ("a.out", "no")])
    def test_where_none_or_several_match_the_operator_says_which(
        self, world: World, log: str, matching: str
    ) -> None:
        world.inputs.append(world.input("second", "a.log"))
        path = world.link(log)
        [decision] = world.adopt()
        assert not decision.input_id
        assert matching in decision.refused
        assert decision.what_to_do.endswith("tetragon, second")
        assert path.exists()
        [decision] = world.adopt(into="second")
        assert (decision.input_id, decision.refused) == ("second", "")

    def test_a_gzip_is_for_an_input_that_reads_gzips(self, world: World) -> None:
        world.inputs = [world.input("tetragon", ".log", gzips=False)]
        world.link("a.log.gz")
        [decision] = world.adopt(into="tetragon")
        assert "gzip" in decision.refused
        world.inputs.append(world.input("second", ".log"))
        [decision] = world.adopt()
        assert decision.input_id == "second"

    def test_what_the_input_would_skip_is_refused(self, world: World) -> None:
        world.inputs = [world.input("tetragon", ".log", ignore_older=60.0)]
        path = world.link()
        now = path.stat().st_mtime
        [decision] = world.decide(now=now + 61)
        assert "older than 60 s" in decision.refused
        assert world.decide(now=now + 59)[0].input_id == "tetragon"
        # Of a file that the registry has, it is known from where it is to be read.
        world.known.add(world.one().entry.facts.inode)
        assert world.decide(now=now + 61)[0].input_id == "tetragon"


class TestExposed:
    @pytest.mark.parametrize("mode", [0o777, 0o770, 0o1700])
    def test_a_link_that_others_may_have_put_there_has_to_be_trusted(
        self, world: World, mode: int
    ) -> None:
        path = world.link(owner=LinkOwner("agent-1", "tetragon", "/data"))
        world.place.chmod(mode)
        assert world.one().obstacle is Obstacle.EXPOSED
        [decision] = world.adopt(into="tetragon")
        assert "others could write" in decision.refused
        assert world.names() == [path.name]
        assert stat.S_IMODE(world.place.stat().st_mode) == mode
        [decision] = world.adopt(trust_exposed=True)
        assert decision.input_id == "tetragon"
        assert stat.S_IMODE(world.place.stat().st_mode) == 0o700
        assert world.listing().links == []

    def test_files_of_the_registry_are_known(self, world: World) -> None:
        world.link(owner=LinkOwner("agent-1", "tetragon", "/data"))
        world.place.chmod(0o777)
        world.known.add(world.one().entry.facts.inode)
        assert world.listing().links == []

    @pytest.mark.parametrize("other", ["a.txt", "b.log"])
    def test_a_directory_is_trusted_as_a_whole_or_not_at_all(
        self, world: World, other: str
    ) -> None:
        world.link("a.log")
        left = world.link(other if other != "a.log" else "c.log")
        world.place.chmod(0o777)
        links = world.listing().links
        named = [link for link in links if link.entry.path != str(left)]
        [decision] = world.decide(named, into="tetragon", trust_exposed=True)
        assert left.name in decision.refused
        both = world.decide(links, into="tetragon", trust_exposed=True)
        assert [each.input_id for each in both] == ["tetragon", "tetragon"]

    def test_links_in_other_directories_do_not_wait_for_that(
        self, world: World, tmp_path: Path
    ) -> None:
        world.link("a.log")
        (tmp_path / "elsewhere").mkdir()
        elsewhere = World(tmp_path / "elsewhere")
        elsewhere.link("b.log")
        elsewhere.place.chmod(0o777)
        listing = list_links(
            world.filesystem, [str(world.directory), str(elsewhere.directory)], world.inputs, {}
        )
        decisions = decide(
            listing, listing.links, world.inputs, chosen=None, trust_exposed=False, now=0.0
        )
        assert [bool(each.input_id) for each in decisions] == [True, False]


class TestCarryingOut:
    def test_where_the_input_has_a_link_to_the_file_one_is_enough(self, world: World) -> None:
        path = world.link()
        wanted = link_name(world.inputs[0].owner.token, path.stat().st_ino, "a.log")
        os.link(path, world.place / wanted)
        [decision] = world.adopt()
        assert decision.input_id == "tetragon"
        assert world.names() == [wanted]

    def test_no_other_file_is_overwritten(self, world: World) -> None:
        path = world.link()
        wanted = world.place / link_name(world.inputs[0].owner.token, path.stat().st_ino, "a.log")
        wanted.write_bytes(b"another\n")
        listing = world.listing()
        named = [link for link in listing.links if link.entry.path == str(path)]
        [decision] = carry_out(world.filesystem, world.decide(named), world.inputs)
        assert "another file has the name" in decision.refused
        assert path.read_bytes() == b"one\n"
        assert wanted.read_bytes() == b"another\n"

    @pytest.mark.parametrize("now", ["gone", "another", "fifo"])
    def test_what_is_not_what_was_listed_any_more_is_left_alone(
        self, world: World, now: str
    ) -> None:
        path = world.link()
        decisions = world.decide()
        kept = path.rename(world.directory / "kept")
        if now == "another":
            path.write_bytes(b"another\n")
        elif now == "fifo":
            os.mkfifo(path)
        [decision] = carry_out(world.filesystem, decisions, world.inputs)
        assert "not there any more" in decision.refused
        assert world.names() == ([] if now == "gone" else [path.name])
        assert kept.exists()

    def test_a_link_of_the_longest_name_is_adopted_with_one_that_is_no_longer(
        self, world: World
    ) -> None:
        world.link(name="x" * 251 + ".log")
        [decision] = world.adopt()
        assert decision.input_id == "tetragon"
        [name] = world.names()
        assert len(name) <= 255
        assert name.endswith(".log")

    def test_what_the_disk_refuses_is_told_and_leaves_the_link(self, world: World) -> None:
        class ReadOnly(FileSystem):
            def rename_in(self, directory: int, name: str, new_name: str) -> None:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        path = world.link()
        world.filesystem = ReadOnly()
        [decision] = world.adopt()
        assert "read-only file system" in decision.refused
        assert path.exists()
