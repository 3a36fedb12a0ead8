"""How long files keep their links: as long as they have a name, and until a commit covers them."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from pathlib import Path

import pytest

from shipper.files.link_directory import SWEEP_SECONDS, LinkDirectories
from shipper.files.link_names import LinkOwner, link_name
from shipper.files.quiet import CLOSE_REMOVED_AFTER
from shipper.files.retention import DIRECTORY
from shipper.files.vanished import LOOKED_FOR
from tests.files.test_compressed import Files
from tests.files.test_compressed import World as InputWorld


class World(InputWorld):
    """One input of a directory, from its files to its registry's rows."""

    def links(self) -> list[str]:
        """What the links keep, by the names that the files had."""
        place = self.directory / DIRECTORY
        return sorted(name.split("-", 2)[2] for name in os.listdir(place)) if place.exists() else []

    def fail_to_commit(self) -> None:
        self.catalog.records.failed(self.catalog.records.changes())

    def append(self, name: str, data: bytes) -> Path:
        path = self.directory / name
        with path.open("ab") as file:
            file.write(data)
        return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    directory = tmp_path / "logs"
    directory.mkdir()
    return World(directory)


def orphan(world: World, owner: LinkOwner, path: Path, *, former: bool = False) -> None:
    """Makes a link that another owner left, and removes its file."""
    place = world.directory / DIRECTORY
    place.mkdir(mode=0o700, exist_ok=True)
    token = owner.former_token if former else owner.token
    os.link(path, place / link_name(token, path.stat().st_ino, str(path)))
    path.unlink()


def test_each_file_that_is_followed_has_a_link_as_long_as_it_has_a_name(world: World) -> None:
    async def story() -> None:
        world.append("a.log", b"one\n")
        world.append("empty.log", b"")
        world.append("half.log", b"hal")
        world.write("b.log.gz", b"two\n")
        await world.tracker.scan(world.source)
        assert world.links() == ["a.log", "b.log.gz", "empty.log", "half.log"]
        assert await world.settle() == [b"one", b"two"]
        await world.clock.advance(3600)
        await world.look()
        world.commit()
        # The gzip is read, and will not change.
        assert world.links() == ["a.log", "empty.log", "half.log"]
        for name in ("a.log", "empty.log", "half.log"):
            (world.directory / name).unlink()
        assert await world.settle() == [b"hal"]
        world.commit()
        await world.look()
        assert world.links() == []
        assert world.catalog.tails == ()

    asyncio.run(story())


def test_a_new_name_is_linked_before_any_scan(world: World) -> None:
    async def story() -> None:
        await world.look()
        path = world.append("a.log", b"one\n")
        world.tracker.appear(world.source, [str(path)])
        assert world.links() == ["a.log"]
        path.unlink()
        assert await world.look() == [b"one"]

    asyncio.run(story())


def test_a_commit_that_fails_releases_nothing(world: World) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\n")
        assert await world.look() == [b"one"]
        world.commit()
        path.unlink()
        await world.look()
        assert world.catalog.tails == (), "it is finished"
        world.fail_to_commit()
        world.tracker.committed(world.source)
        assert world.links() == ["a.log"]
        world.commit()
        assert world.links() == []

    asyncio.run(story())


class Unlinkable(Files):
    """Where no links can be made, for now."""

    refuses = True

    def link(self, descriptor: int, directory: int, name: str) -> None:
        if self.refuses:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
        super().link(descriptor, directory, name)


def test_the_next_file_with_the_inode_of_one_without_a_link_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        files = Unlinkable()
        world = World(tmp_path, files)
        path = world.append("a.log", b"one\n")
        inode = path.stat().st_ino
        assert await world.look() == [b"one"]
        world.commit()
        path.unlink()
        await world.look()
        world.fail_to_commit()
        assert list(world.catalog.tails) == [], "it is finished, and not committed"
        files.refuses = False
        others = [world.append(f"b{number}.log.gz", b"") for number in range(50)]
        found = [other for other in others if other.stat().st_ino == inode]
        if not found:
            pytest.skip("this file system does not use an inode again at once")
        # It has what was read already, and is given up at once.
        other = world.write(found[0].name, b"one\n")
        await world.tracker.scan(world.source)
        for tail in world.catalog.tails:
            if tail.inode.number == inode:
                world.catalog.closing.give_up(tail)
        assert other.name in world.links()
        world.commit()
        assert [tail for tail in world.catalog.tails if not tail.compressed] == []
        assert await world.settle() == []

    asyncio.run(story())


def test_what_is_not_committed_is_found_again_after_a_kill(world: World) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\n")
        await world.look()
        path.unlink()
        await world.look()
        # Acknowledged, finished, and the registry does not know.
        world.catalog.close()
        world.directories.close_all()
        world.start()
        assert await world.look() == [b"one"]
        await world.look()
        world.commit()
        assert world.links() == []

    asyncio.run(story())


def test_a_removed_log_is_followed_as_long_as_somebody_writes_it_across_a_restart(
    world: World,
) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\n")
        await world.look()
        with path.open("ab", buffering=0) as writer:
            path.unlink()
            for number in range(3):
                await world.look()
                await world.clock.advance(100 * CLOSE_REMOVED_AFTER)
                writer.write(b"%d\n" % number)
                assert await world.look() == [b"%d" % number]
            world.kill()
            writer.write(b"meanwhile\n")
            world.start()
            assert await world.look() == [b"meanwhile"]
            writer.write(b"last")
            await world.look()
            assert world.links() == ["a.log"]
        assert await world.look() == [b"last"]
        await world.look()
        world.commit()
        assert world.links() == []
        assert world.catalog.tails == ()
        # Once in each life.
        assert world.metrics.value("shipper_logs_removed_under_writer_total", "tetragon") == 2
        actions = world.recorded.actions()
        assert list(actions).count("log-removed-under-writer") == 2

    asyncio.run(story())


def test_what_is_written_between_the_end_of_a_file_and_its_commit_is_read(world: World) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\n")
        await world.look()
        elsewhere = path.rename(world.directory / "a.log.1")
        await world.look()
        await world.clock.advance(CLOSE_REMOVED_AFTER)
        await world.look()
        assert world.catalog.tails == ()
        world.append("a.log.1", b"two\n")
        world.commit()
        assert world.links() == ["a.log"]
        assert await world.look() == [b"two"]
        elsewhere.unlink()
        await world.look()
        world.commit()
        assert world.links() == []

    asyncio.run(story())


@pytest.mark.parametrize("how", ["cleaned", "removed", "moved", "replaced"])
def test_links_that_are_gone_are_made_again_before_a_kill(world: World, how: str) -> None:
    async def story() -> None:
        names = ["a.log", "b.log", "c.log.gz"]
        for name in names:
            world.write(name, name.encode() + b"\n")
        await world.look(acknowledge=False)
        place = world.directory / DIRECTORY
        if how == "cleaned":
            for link in place.iterdir():
                link.unlink()
        elif how == "removed":
            shutil.rmtree(place)
        else:
            place.rename(world.directory.parent / "elsewhere")
        if how == "replaced":
            place.mkdir(mode=0o770)
            (place / "stranger").write_bytes(b"")
        await world.look(acknowledge=False)
        for name in names:
            (world.directory / name).unlink()
        world.kill()
        world.start()
        assert sorted(await world.settle()) == [b"a.log", b"b.log", b"c.log.gz"]
        # Where `.shipper` was moved to, the files have a name still.
        await world.clock.advance(CLOSE_REMOVED_AFTER)
        await world.look()
        world.commit()
        left = os.listdir(place) if place.exists() else []
        assert left == (["stranger"] if how == "replaced" else [])

    asyncio.run(story())


def test_a_renamed_file_has_one_link_after_a_restart(world: World) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\n")
        await world.look()
        path = path.rename(world.directory / "a-1.log")
        world.kill()
        world.start()
        await world.look()
        assert world.links() == ["a-1.log"]
        path.unlink()
        await world.look()
        world.commit()
        assert world.links() == []

    asyncio.run(story())


@pytest.mark.parametrize("lost", [False, True])
def test_links_are_adopted_after_the_agent_id_or_the_registry_was_lost(
    world: World, lost: bool
) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\n")
        await world.look()
        world.append("a.log", b"two\n")
        world.kill()
        path.unlink()
        if lost:
            world.rows.clear()
        else:
            world.agent = "agent-2"
        world.start()
        assert await world.look() == [b"one", b"two"][0 if lost else 1 :]
        await world.look()
        world.commit()
        assert world.links() == []
        assert world.tracker.foreign_links == 0

    asyncio.run(story())


def test_links_with_the_names_of_version_0_1_are_adopted(world: World) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\n")
        orphan(world, LinkOwner("", "tetragon", "/data"), path, former=True)
        assert await world.look() == [b"one"]
        await world.look()
        world.commit()
        assert world.links() == []

    asyncio.run(story())


def test_links_that_are_nobodys_are_counted_and_said_at_each_start(world: World) -> None:
    async def story() -> None:
        orphan(world, LinkOwner("old", "other", "/old"), world.append("a.txt", b"12345"))
        orphan(world, LinkOwner("old", "tetragon", "/old"), world.append("a.log", b"one\n"))
        for start in (1, 2):
            assert await world.look() == ([b"one"] if start == 1 else [])
            await world.look()
            world.commit()
            assert world.tracker.foreign_links == 1
            assert world.links() == ["a.txt"]
            said = [
                entry
                for entry in world.recorded.entries("warning")
                if entry["event.action"] == "foreign-links"
            ]
            assert len(said) == start
            assert (said[0]["shipper.links"], said[0]["shipper.bytes"]) == (1, 5)
            world.kill()
            world.start()

    asyncio.run(story())


@pytest.mark.parametrize("followed", [True, False])
@pytest.mark.parametrize("name", ["a.log", "a.txt", "not one of ours"])
def test_a_daemon_that_runs_notices_what_is_given_to_its_input(
    world: World, name: str, followed: bool
) -> None:
    async def story() -> None:
        if followed:
            world.append("other.log", b"other\n")
        # Whose file is it? In the name it says: another's.
        world.append(name, b"one\n")
        orphan(world, LinkOwner("old", "other", "/old"), world.directory / name)
        [link] = (world.directory / DIRECTORY).iterdir()
        if name == "a.log":
            link = link.rename(link.with_name("a.log"))
        await world.settle()
        assert world.tracker.foreign_links == 1
        token = LinkOwner(world.agent, "tetragon", "/data").token
        link.rename(link.with_name(link_name(token, link.stat().st_ino, name)))
        assert await world.settle() == [b"one"]
        assert world.tracker.foreign_links == 0
        await world.look()
        world.commit()
        assert world.links() == (["other.log"] if followed else [])

    asyncio.run(story())


def test_a_link_that_is_removed_is_no_foreign_link_any_more(world: World) -> None:
    async def story() -> None:
        orphan(world, LinkOwner("old", "other", "/old"), world.append("a.txt", b"12345"))
        orphan(world, LinkOwner("old", "other", "/old"), world.append("b.txt", b"12345"))
        await world.look()
        assert world.tracker.foreign_links == 2
        links = sorted((world.directory / DIRECTORY).iterdir())
        links[0].unlink()
        await world.look()
        assert world.tracker.foreign_links == 1
        shutil.rmtree(world.directory / DIRECTORY)
        await world.look()
        assert world.tracker.foreign_links == 0

    asyncio.run(story())


def test_a_link_is_adopted_when_its_owner_ends(world: World) -> None:
    async def story() -> None:
        theirs = LinkOwner("theirs", "other", "/theirs")
        world.append("here.log", b"here\n")
        await world.look()
        orphan(world, theirs, world.append("a.log", b"one\n"))
        running = LinkDirectories(world.files, world.clock, lambda event, error: None)
        running.owners.add(theirs.token)
        running.at(str(world.directory), create=False)
        for _ in range(3):
            assert await world.look() == []
            await world.clock.advance(SWEEP_SECONDS)
            assert world.tracker.foreign_links == 0
        running.close_all()
        await world.clock.advance(SWEEP_SECONDS)
        assert await world.settle() == [b"one"]

    asyncio.run(story())


def test_what_others_may_have_put_there_is_not_adopted_by_a_later_start_either(
    world: World,
) -> None:
    async def story() -> None:
        world.append("here.log", b"here\n")
        await world.look()
        place = world.directory / DIRECTORY
        place.chmod(0o777)
        orphan(world, LinkOwner(world.agent, "tetragon", "/data"), world.append("a.log", b"1\n"))
        [planted] = [path for path in place.iterdir() if path.name.endswith("a.log")]
        for _ in range(2):
            assert await world.settle() == []
            assert world.tracker.foreign_links == 1
            assert place.stat().st_mode & 0o777 == 0o700
            world.kill()
            world.start()
        await world.look()
        # It is what somebody planted that is not trusted; what is linked from now on is ours.
        world.append("b.log", b"2\n")
        await world.look()
        planted.unlink()
        await world.look()
        assert world.tracker.foreign_links == 0
        assert place.stat().st_mode & 0o1777 == 0o700, "all that is in it is ours"

    asyncio.run(story())


def test_another_file_under_the_name_of_a_link_of_ours_is_not_read(world: World) -> None:
    async def story() -> None:
        world.append("a.log", b"one\n")
        await world.look()
        world.commit()
        place = world.directory / DIRECTORY
        [link] = place.iterdir()
        place.chmod(0o777)
        # Whoever may write there has us read a file that is none of his.
        secret = world.directory / "secret"
        secret.write_bytes(b"secret\nsecret\n")
        link.unlink()
        link.hardlink_to(secret)
        for _ in range(2):
            assert await world.settle() == []
            assert world.tracker.foreign_links == 1
            assert place.stat().st_mode & 0o1777 == 0o1700, "not all that is in it is ours"
            world.kill()
            world.start()
        # Not when its file is done, either.
        await world.look()
        (world.directory / "a.log").unlink()
        assert await world.settle() == []
        world.commit()
        assert await world.settle() == []

    asyncio.run(story())


def test_where_the_mark_cannot_be_taken_away_links_are_adopted_all_the_same(world: World) -> None:
    class ReadOnlyModes(Files):
        def make_private(self, directory: int, *, marked: bool) -> None:
            if not marked:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            super().make_private(directory, marked=marked)

    async def story() -> None:
        path = world.append("a.log", b"one\n")
        await world.look()
        world.append("a.log", b"two\n")
        world.kill()
        path.unlink()
        (world.directory / DIRECTORY).chmod(0o777)
        world.files = ReadOnlyModes()
        world.start()
        assert await world.look() == [b"two"]
        assert "link-directory-access-failed" in world.recorded.actions()
        await world.look()
        world.commit()
        assert world.links() == []

    asyncio.run(story())


def test_a_link_that_cannot_be_removed_is_not_read_again_and_holds_up_no_loss(
    world: World,
) -> None:
    """As in a directory that was made immutable (`chattr +i`)."""

    class Immutable(Files):
        closed = True

        def unlink(self, directory: int, name: str) -> None:
            if self.closed:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)
            super().unlink(directory, name)

    async def story() -> None:
        world.files = files = Immutable()
        gone = world.append("gone.log", b"one\n")
        path = world.append("a.log", b"two\n")
        await world.look(acknowledge=False)
        for tail in world.catalog.tails:
            world.catalog.records.touched(tail)
        world.kill()
        (place,) = [p for p in world.directory.glob(".shipper/*") if p.name.endswith("gone.log")]
        place.unlink()
        gone.unlink()
        path.unlink()
        world.start()
        for _ in range(int(2 * max(LOOKED_FOR, SWEEP_SECONDS))):
            await world.look()
            world.commit()
            await world.clock.advance(1)
        assert world.recorded.actions().count("kept-file-adopted") == 1
        assert [loss.path for loss in world.losses] == [str(gone)]
        assert world.links() == ["a.log"]
        files.closed = False
        world.kill()
        world.start()
        await world.settle()
        world.commit()
        assert world.links() == []

    asyncio.run(story())


def test_a_link_that_goes_while_it_is_adopted_hides_no_other(world: World) -> None:
    class Racing(Files):
        """Somebody removes the first link after it was looked at."""

        def open_in(self, directory: int, name: str) -> int:
            if name.endswith("a.log"):
                os.unlink(name, dir_fd=directory)
            return super().open_in(directory, name)

    async def story() -> None:
        for name in ("a.log", "b.log"):
            orphan(world, LinkOwner("old", "tetragon", "/old"), world.append(name, b"one\n"))
        world.files = Racing()
        world.start()
        assert await world.look() == [b"one"]
        assert world.links() == ["b.log"]

    asyncio.run(story())


def test_nothing_is_left_of_a_directory_whose_logs_are_gone(world: World) -> None:
    async def story() -> None:
        await world.look()
        before = sorted(os.listdir("/proc/self/fd"))
        for number in range(3):
            path = world.append("a.log", b"%d\n" % number)
            assert await world.look() == [b"%d" % number]
            assert world.links() == ["a.log"]
            path.unlink()
            await world.look()
            world.commit()
            await world.look()
            assert os.listdir(world.directory) == []
            assert sorted(os.listdir("/proc/self/fd")) == before

    asyncio.run(story())


def test_content_that_was_written_over_the_log_and_then_removed_is_read_by_its_link(
    world: World,
) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\ntwo\n")
        await world.look()
        with path.open("r+b") as file:
            file.truncate(0)
            file.write(b"three\n")
        path.unlink()
        lines = await world.settle()
        assert lines == [b"three"]
        await world.look()
        world.commit()
        assert world.links() == []

    asyncio.run(story())


def test_links_that_were_hidden_by_a_mount_are_adopted(world: World, tmp_path: Path) -> None:
    """Of files that are finished by then, and of one that only an earlier process knew."""

    async def story() -> None:
        place, hidden, gone = world.directory / DIRECTORY, tmp_path / "hidden", tmp_path / "gone"
        world.append("finished.log", b"one\n")
        only_linked = world.append("linked.log", b"two\n")
        await world.look()
        only_linked.unlink()
        world.rows.clear()
        world.lines.clear()
        world.catalog.close()
        world.directories.close_all()
        place.rename(hidden)
        place.mkdir(mode=0o700)
        world.start()
        assert await world.settle() == [b"one"]
        (world.directory / "finished.log").unlink()
        await world.settle()
        # It has another name, which nobody can see.
        await world.clock.advance(CLOSE_REMOVED_AFTER)
        await world.settle()
        world.commit()
        assert world.catalog.tails == ()
        if place.exists():
            place.rename(gone)
        hidden.rename(place)
        world.append("new.log", b"three\n")
        assert sorted(await world.settle()) == [b"three", b"two"]
        world.commit()
        await world.settle()
        world.commit()
        assert world.links() == ["new.log"]

    asyncio.run(story())


@pytest.mark.parametrize("through", ["b", "logs/."])
def test_a_directory_that_two_paths_lead_to_keeps_its_links(world: World, through: str) -> None:
    """As `/var/run` and `/run`, or a bind mount: each finds the links of the other one."""

    async def story() -> None:
        other = f"{world.directory.parent}/{through}"
        (world.directory.parent / "b").symlink_to(world.directory)
        world.patterns = [f"{world.directory}/*.log", f"{other}/*.log"]
        world.kill()
        world.start()
        removed = world.append("removed.log", b"one\n")
        world.append("there.log", b"two\n")
        await world.tracker.scan(world.source)
        removed.unlink()
        for _ in range(2):
            world.kill()
            world.patterns.reverse()
            world.start()
            for _ in range(2):
                await world.tracker.scan(world.source)
                assert world.links() == ["removed.log", "there.log"]
        assert "links-missing" not in world.recorded.actions()
        assert sorted(await world.settle()) == [b"one", b"two"]
        world.commit()
        assert world.links() == ["there.log"]

    asyncio.run(story())


@pytest.mark.parametrize("base", ["a.log", "b.log"])
@pytest.mark.parametrize("agent", ["another agent", "an agent of before", "agent-2"])
def test_two_links_to_one_file_are_adopted_as_one(world: World, base: str, agent: str) -> None:
    """As a kill leaves them in the middle of an adoption; their names sort either way."""

    async def story() -> None:
        path = world.append("b.log", b"one\n")
        await world.look()
        place = world.directory / DIRECTORY
        other = LinkOwner(agent, "tetragon", "/data")
        os.link(path, place / link_name(other.token, path.stat().st_ino, base))
        path.unlink()
        world.kill()
        world.start()
        await world.look()
        assert len(world.links()) == 1
        await world.settle()
        world.commit()
        assert world.links() == []

    asyncio.run(story())


def test_a_gzip_of_a_finished_file_has_its_link_until_that_is_committed(world: World) -> None:
    async def story() -> None:
        path = world.append("a.log", b"one\n")
        await world.look()
        world.write("a.log.gz", b"one\n")
        path.unlink()
        await world.look()
        await world.look()
        assert "a.log.gz" in world.links()
        world.commit()
        await world.look()
        assert world.links() == []

    asyncio.run(story())


def test_a_gzip_of_nothing_but_nuls_is_finished(world: World) -> None:
    async def story() -> None:
        path = world.write("a.log.gz", bytes(10_000))
        await world.tracker.scan(world.source)
        [tail] = world.catalog.tails
        assert await world.source.place(tail) is None
        # So nobody has a reason to try it again.
        assert not tail.look()
        path.unlink()
        for _ in range(2):
            await world.tracker.scan(world.source)
        world.commit()
        assert (world.links(), world.catalog.tails) == ([], ())

    asyncio.run(story())
