"""From Filebeat's registry and the files that are there to the records that shipper begins with."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from shipper.clock import SystemClock
from shipper.config.inputs import InputConfig
from shipper.config.load import load_config
from shipper.config.model import Config
from shipper.demo.generator import LogWriter
from shipper.errors import RegistryError
from shipper.filebeat_registry.entries import Unused
from shipper.filebeat_registry.importing import import_at_start, import_now, plan_import
from shipper.filebeat_registry.plan import Decision, Plan
from shipper.filebeat_registry.report import describe
from shipper.files.facts import FileFacts, Inode
from shipper.files.filesystem import FileSystem
from shipper.files.identity import NO_MARK, identity_of, mark_of
from shipper.files.registry import FileRecord, Registry
from tests.support.filebeat import (
    INPUT,
    FilebeatRegistry,
    by_path,
    fingerprint,
    log_value,
    native,
    snapshot,
)
from tests.support.logs import RecordedLog

HOUR = 3600 * 1_000_000_000


class AgelessFileSystem(FileSystem):
    """One that does not know when its files came into being."""

    def born(self, descriptor: int) -> int | None:
        return None


class LargeInodes(FileSystem):
    """As overlayfs, NFS and FUSE number their files."""

    def facts(self, descriptor: int) -> FileFacts:
        facts = super().facts(descriptor)
        return replace(facts, inode=Inode(facts.inode.device, facts.inode.number + 2**63))

    def status(self, path: str) -> os.stat_result:
        found = super().status(path)
        large = (found.st_mode, found.st_ino + 2**63, *found[2:])
        return os.stat_result(large, {"st_mtime_ns": found.st_mtime_ns})


class World:
    """Logs, a Filebeat that read them, and a shipper that has not run yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory / "logs"
        self.logs.mkdir()
        #: What the time of the events is ahead of the clock, in nanoseconds.
        self.ahead = 0
        self.writer = LogWriter(
            self.logs,
            random.Random(0),
            max_bytes=0,
            backups=1000,
            now=lambda: time.time_ns() + self.ahead,
        )
        self.log = self.writer.path
        self.filebeat = FilebeatRegistry(directory / "filebeat")
        self.filesystem = FileSystem()
        self.data = directory / "data"
        config = directory / "shipper.yml"
        # JSON is YAML.
        config.write_bytes(
            msgspec.json.encode(
                {
                    "inputs": [{"id": INPUT, "paths": [str(self.logs / "*.log")]}],
                    "output": {"hosts": ["http://127.0.0.1:9200"]},
                    "data_dir": str(self.data),
                    "registry": {"import_from": str(self.filebeat.data)},
                }
            )
        )
        self.config = load_config(config, {})

    def write(self, lines: int) -> int:
        """Write so many lines; return the size of the log."""
        self.writer.write(lines)
        return self.log.stat().st_size

    def copy_and_truncate(self) -> Path:
        copy = self.logs / "copy.log"
        shutil.copyfile(self.log, copy)
        os.truncate(self.log, 0)
        self.writer.reopen()
        return copy

    def plan(self) -> Plan:
        return plan_import(self.config, self.filebeat.data, self.filesystem)

    def decision(self, path: Path | None = None, input_id: str = INPUT) -> Decision:
        (found,) = (
            each
            for each in self.plan().decisions
            if each.file.path == str(path or self.log) and each.input_id == input_id
        )
        return found

    def words(self, path: Path | None = None, input_id: str = INPUT) -> str:
        return describe(self.decision(path, input_id))

    def records(self) -> list[FileRecord]:
        """What is taken over, in a data directory of its own."""
        config = msgspec.structs.replace(self.config, data_dir=str(self.directory / "imported"))
        import_now(config, self.filebeat.data, self.filesystem, SystemClock())
        registry, _ = Registry.open(Path(config.data_dir))
        try:
            return list(registry.load())
        finally:
            registry.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.writer.close()


def compress(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


IDENTITIES = pytest.mark.parametrize("identity", [native, fingerprint, by_path])


class TestAFileThatIsStillThere:
    @IDENTITIES
    def test_it_goes_on_where_filebeat_was(self, world: World, identity: object) -> None:
        offset = world.write(20)
        world.filebeat.read(world.log, offset, identity=identity(world.log))  # type: ignore[operator]
        world.write(5)
        (record,) = world.records()
        content = world.log.read_bytes()
        found = world.log.stat()
        assert record.offset == offset
        assert record.mark == mark_of(content[:offset])
        assert record.identity == identity_of(content)
        assert record.inode == Inode(found.st_dev, found.st_ino)
        assert record.seen == found.st_size
        assert (record.input_id, record.path, record.removed) == (INPUT, str(world.log), None)

    def test_that_is_so_with_inodes_of_64_bits(self, world: World) -> None:
        offset = world.write(20)
        found = world.log.stat()
        large = found.st_ino + 2**63
        world.filebeat.read(world.log, offset, identity=f"native::{large}-{found.st_dev}")
        world.filesystem = LargeInodes()
        (record,) = world.records()
        assert record.offset == offset
        assert record.inode == Inode(found.st_dev, large)

    def test_that_is_so_without_the_files_age_and_without_its_time(self, world: World) -> None:
        offset = world.write(20)
        world.filebeat.read(world.log, offset)
        world.filesystem = AgelessFileSystem()
        assert world.words() == f"continues at {offset}"

    def test_lines_without_a_time_need_the_files_age(self, world: World) -> None:
        path = world.logs / "plain.log"
        path.write_bytes(b"a line\n" * 10)
        world.filebeat.read(path, 35)
        assert world.words(path) == "continues at 35"
        world.filesystem = AgelessFileSystem()
        decision = world.decision(path)
        assert describe(decision) == "from the beginning"
        assert not decision.is_certain

    def test_of_a_file_that_was_only_seen_everything_is_read(self, world: World) -> None:
        world.write(3)
        world.filebeat.read(world.log, None)
        (record,) = world.records()
        assert (record.offset, record.mark) == (0, NO_MARK)

    def test_inside_a_line_it_goes_on_where_that_begins(self, world: World) -> None:
        # As `ignore_older` has it: the size at some moment.
        offset = world.write(20)
        world.filebeat.read(world.log, world.write(1) - 5)
        assert world.words() == f"continues at {offset}"

    def test_inside_the_first_line_too(self, world: World) -> None:
        world.write(1)
        world.filebeat.read(world.log, 10)
        assert world.words() == "from the beginning"

    def test_after_a_line_that_is_long(self, world: World) -> None:
        path = world.logs / "long.log"
        now = time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(time.time() - 60))
        line = b'{"x":"%b","time":"%b"}\n' % (b"x" * 300_000, now.encode())
        path.write_bytes(line * 3)
        world.filebeat.read(path, 2 * len(line))
        decision = world.decision(path)
        assert describe(decision) == f"continues at {2 * len(line)}"
        assert decision.result is not None
        assert decision.result.why.startswith("the line before the offset is older")

    def test_by_the_inode_alone(self, world: World) -> None:
        offset = world.write(20)
        marker = f"inode_marker::{world.log.stat().st_ino}-my-disk"
        world.filebeat.read(world.log, offset, identity=marker)
        assert world.words() == f"continues at {offset}"

    def test_a_fingerprint_of_other_bytes(self, world: World) -> None:
        # Without times, so that there is nothing else to know it by.
        path = world.logs / "plain.log"
        path.write_bytes(b"a line\n" * 100)
        offset = 70
        world.filebeat.read(path, offset, identity=fingerprint(path, 100, 200))
        assert world.words(path) == "new file"
        registry = msgspec.structs.replace(
            world.config.registry, import_fingerprint_offset=100, import_fingerprint_length=200
        )
        world.config = msgspec.structs.replace(world.config, registry=registry)
        assert world.words(path) == f"continues at {offset}"

    @pytest.mark.parametrize("in_hexadecimal", [False, True])
    def test_a_fingerprint_of_a_short_file(self, world: World, in_hexadecimal: bool) -> None:
        path = world.logs / "short.log"
        content = b'{"time":"2026-01-01T00:00:00Z","a":"bcdefghijklmnopqrstuvwxyz012345"}\n'
        path.write_bytes(content)
        form = content.hex().encode() if in_hexadecimal else content
        identity = f"fingerprint::{hashlib.sha256(form).hexdigest()}"
        key = world.filebeat.read(path, len(content), identity=identity)
        held = world.filebeat.state[key]
        held["meta"]["fingerprint_len"] = len(content)
        world.filebeat.set(key, held)
        path.write_bytes(content * 2)
        assert world.words(path) == f"continues at {len(content)}"

    def test_a_file_without_a_fingerprint_is_not_known_by_one(self, world: World) -> None:
        path = world.logs / "short.log"
        path.write_bytes(b"short\n")
        empty = hashlib.sha256(b"").hexdigest()
        world.filebeat.read(path, 6, identity=f"fingerprint::{empty}")
        assert world.words(path) == "new file"

    def test_of_the_old_log_input(self, world: World) -> None:
        offset = world.write(20)
        world.filebeat.set(
            f"filebeat::logs::{native(world.log)}",
            log_value(world.log, offset, updated=time.time_ns()),
        )
        assert world.words() == f"continues at {offset}"

    def test_a_file_that_filebeat_did_not_know_is_new(self, world: World) -> None:
        world.write(3)
        world.filebeat.read(world.log, 0)
        (world.logs / "new.log").write_bytes(b"new\n")
        assert world.words(world.logs / "new.log") == "new file"
        assert [record.path for record in world.records()] == [str(world.log)]

    def test_what_no_input_follows_is_counted(self, world: World) -> None:
        elsewhere = world.directory / "elsewhere.log"
        elsewhere.write_bytes(b"a\n")
        world.filebeat.read(elsewhere, 2)
        world.filebeat.read(elsewhere, 2, input_id="other", ttl=0)
        assert world.plan().unused == {Unused.NO_FILE: 1, Unused.REMOVED: 1}

    def test_a_file_that_is_left_out_is_not_taken_over(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(3))
        source = msgspec.structs.replace(world.config.inputs[0], exclude=(str(world.log),))
        world.config = msgspec.structs.replace(world.config, inputs=(source,))
        assert world.plan().decisions == []


class TestWhatHappenedWhileNobodyLooked:
    @pytest.mark.parametrize("identity", [native, fingerprint])
    def test_rotated_by_rename(self, world: World, identity: object) -> None:
        offset = world.write(20)
        world.filebeat.read(world.log, offset, identity=identity(world.log))  # type: ignore[operator]
        world.write(5)
        rotated = world.writer.rotate()
        world.write(3)
        assert world.words(rotated) == f"continues at {offset}"
        assert world.words() == "new file"

    def test_rotated_by_rename_where_the_path_is_the_key(self, world: World) -> None:
        offset = world.write(20)
        world.filebeat.read(world.log, offset, identity=by_path(world.log))
        world.write(5)
        rotated = world.writer.rotate()
        # More than was read of the one before.
        assert world.write(40) > offset
        assert world.words(rotated) == f"continues at {offset}"
        decision = world.decision()
        assert describe(decision) == "from the beginning"
        assert decision.is_certain

    @IDENTITIES
    def test_copied_and_truncated(self, world: World, identity: object) -> None:
        offset = world.write(20)
        world.filebeat.read(world.log, offset, identity=identity(world.log))  # type: ignore[operator]
        world.write(5)
        copy = world.copy_and_truncate()
        world.ahead = HOUR
        world.write(2)
        assert world.words(copy) == f"continues at {offset}"
        assert world.words() in ("from the beginning", "new file")
        # Longer than it was, the same.
        world.write(60)
        assert world.words(copy) == f"continues at {offset}"
        assert world.words() in ("from the beginning", "new file")

    @IDENTITIES
    def test_compressed(self, world: World, identity: object) -> None:
        offset = world.write(20)
        world.filebeat.read(world.log, offset, identity=identity(world.log))  # type: ignore[operator]
        size = world.write(5)
        content = world.log.read_bytes()
        packed = compress(world.writer.rotate())
        world.write(3)
        decision = world.decision(packed)
        assert describe(decision) == f"continues at {offset}"
        assert decision.file.size == size
        record = next(each for each in world.records() if each.path == str(packed))
        assert (record.inode, record.offset) == (None, offset)
        assert record.mark == mark_of(content[:offset])
        assert record.identity == identity_of(content)

    def test_a_gzip_beside_its_file_is_not_looked_at(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(20))
        packed = compress(world.writer.rotate())
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        assert str(packed) not in [each.file.path for each in world.plan().decisions]

    def test_compressed_while_filebeat_ran(self, world: World) -> None:
        # Filebeat had read it to its end, saw it go, and removed its key.
        size = world.write(20)
        content = world.log.read_bytes()
        key = world.filebeat.read(world.log, size)
        packed = compress(world.writer.rotate())
        world.filebeat.remove(key)
        assert world.words(packed) == f"continues at {size}"
        record = next(each for each in world.records() if each.path == str(packed))
        assert (record.offset, record.mark) == (size, mark_of(content))
        # A registry that is not sound may have lost the key.
        with world.filebeat.log.open("ab") as file:
            file.write(b"\0")
        assert world.words(packed) == "new file"

    def test_written_and_compressed_after_filebeat_was_stopped(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(20))
        os.utime(world.filebeat.log, (0, 0))
        world.writer.rotate()
        world.write(20)
        packed = compress(world.writer.rotate())
        assert world.words(packed) == "new file"

    def test_on_a_device_with_another_number(self, world: World) -> None:
        # After a restart of the node.
        offset = world.write(20)
        inode = world.log.stat().st_ino
        world.filebeat.read(world.log, offset, identity=f"native::{inode}-1")
        assert world.words() == f"continues at {offset}"

    def test_restored_with_other_inodes(self, world: World) -> None:
        offsets = {}
        for number in range(3):
            path = world.logs / f"old-{number}.log"
            world.write(10 + number)
            world.filebeat.read(world.log, world.write(1), source=path)
            offsets[path] = world.log.stat().st_size
            world.writer.rotate().rename(path)
        for path in offsets:
            path.write_bytes(path.read_bytes())  # The same file still.
            content = path.read_bytes()
            path.rename(path.with_suffix(".keep"))
            path.write_bytes(content)
        for path, offset in offsets.items():
            assert world.words(path) == f"continues at {offset}"

    def test_an_inode_that_is_used_again_skips_nothing(self, world: World) -> None:
        # Filebeat's file is gone, and the next one has its inode and is longer than it was.
        size = world.write(40)
        lines = world.log.read_bytes().splitlines(keepends=True)
        for offset in (size, len(lines[0]), 100):
            for filesystem in (FileSystem(), AgelessFileSystem()):
                world.filesystem = filesystem
                world.filebeat.read(
                    world.log,
                    offset,
                    source=world.logs / "tetragon-2026-11-01T00-00-00.000.log",
                    updated=time.time_ns() - HOUR,
                )
                assert world.words() == "from the beginning"

    def test_a_truncated_file_is_read_from_its_beginning(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(40))
        os.truncate(world.log, 0)
        world.writer.reopen()
        world.write(3)
        (record,) = world.records()
        assert record.offset == 0

    def test_a_file_that_is_gone_is_counted(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(40))
        world.log.unlink()
        plan = world.plan()
        assert plan.decisions == []
        assert plan.unused == {Unused.NO_FILE: 1}

    def test_where_two_files_may_be_the_one_neither_is(self, world: World) -> None:
        line = b'{"time":"2026-01-01T00:00:00Z","n":%d}\n'
        for number, name in enumerate(("a.log", "b.log")):
            (world.logs / name).write_bytes(line % number + line % 5)
        offset = len(line % 0)
        identity = "native::1-1"
        world.filebeat.read(world.log, offset, identity=identity, source=world.logs / "gone.log")
        assert world.words(world.logs / "a.log") == "new file"
        assert world.words(world.logs / "b.log") == "new file"
        (world.logs / "b.log").unlink()
        assert world.words(world.logs / "a.log") == f"continues at {offset}"


class TestSeveralKeysForOneFile:
    def test_the_one_of_the_input_itself_is_taken(self, world: World) -> None:
        mine, other = world.write(10), world.write(10)
        world.filebeat.read(world.log, mine)
        world.filebeat.read(world.log, other, input_id="another")
        assert world.words() == f"continues at {mine}"
        # Both are of this file.
        assert world.plan().unused == {}

    @pytest.mark.parametrize("input_id", [".global", "renamed"])
    def test_without_one_of_its_own_that_of_another_id_serves(
        self, world: World, input_id: str
    ) -> None:
        offset = world.write(10)
        world.filebeat.read(world.log, offset, input_id=input_id)
        assert world.words() == f"continues at {offset}"

    def test_of_inputs_that_both_follow_it_each_has_its_own(self, world: World) -> None:
        mine, other = world.write(10), world.write(10)
        second = InputConfig(id="second", paths=world.config.inputs[0].paths)
        third = InputConfig(id="third", paths=world.config.inputs[0].paths)
        inputs = (*world.config.inputs, second, third)
        world.config = msgspec.structs.replace(world.config, inputs=inputs)
        world.filebeat.read(world.log, mine)
        world.filebeat.read(world.log, other, input_id="second")
        assert world.words() == f"continues at {mine}"
        assert world.words(input_id="second") == f"continues at {other}"
        # To Filebeat it would be a new one, too.
        assert world.words(input_id="third") == "new file"

    def test_the_later_one_is_taken(self, world: World) -> None:
        # The identity was changed, or the `log` input became `filestream`.
        first = world.write(10)
        key = f"filebeat::logs::{native(world.log)}"
        world.filebeat.set(key, log_value(world.log, first, updated=time.time_ns(), ttl=-2))
        second = world.write(10)
        world.filebeat.read(world.log, second, input_id="renamed")
        third = world.write(10)
        world.filebeat.read(world.log, third, input_id="again", identity=fingerprint(world.log))
        assert world.words() == f"continues at {third}"

    def test_of_two_streams_the_one_that_is_behind_is_taken(self, world: World) -> None:
        behind, ahead = world.write(10), world.write(10)
        world.filebeat.read(world.log, behind, identity=f"{native(world.log)}-stderr")
        world.filebeat.read(world.log, ahead, identity=f"{native(world.log)}-stdout")
        assert world.words() == f"continues at {behind}"

    def test_a_key_that_is_wrong_leaves_the_right_one(self, world: World) -> None:
        offset = world.write(20)
        world.filebeat.read(world.log, offset * 10)
        world.filebeat.read(world.log, offset, identity=fingerprint(world.log), updated=HOUR)
        # The line is later than that: neither is right.
        assert world.words() == "from the beginning"
        world.filebeat.read(world.log, offset, identity=fingerprint(world.log))
        world.filebeat.read(world.log, offset * 10)
        assert world.words() == f"continues at {offset}"


class TestOnceOnly:
    def start(self, world: World, config: Config | None = None) -> list[dict[str, object]]:
        """As the daemon begins; return what it logged."""
        recorded = RecordedLog(SystemClock())
        registry, _ = Registry.open(world.data)
        try:
            import_at_start(
                registry, config or world.config, world.filesystem, SystemClock(), recorded.log
            )
        finally:
            registry.close()
        return recorded.entries()

    def offsets(self, world: World) -> list[int]:
        registry, _ = Registry.open(world.data)
        try:
            return [record.offset for record in registry.load()]
        finally:
            registry.close()

    def test_a_second_start_imports_nothing(self, world: World) -> None:
        first = world.write(10)
        key = world.filebeat.read(world.log, first)
        entries = self.start(world)
        offset, done = entries
        assert offset["event.action"] == "filebeat-offset-imported"
        assert offset["shipper.offset"] == first
        assert offset["shipper.filebeat_key"] == key
        assert offset["shipper.filebeat_offset"] == first
        assert done["event.action"] == "filebeat-registry-imported"
        assert (done["shipper.go_on"], done["shipper.from_beginning"]) == (1, 0)
        world.filebeat.read(world.log, world.write(10))
        assert self.start(world) == []
        assert self.offsets(world) == [first]

    def test_nor_one_that_found_no_file(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(1))
        world.log.unlink()
        assert len(self.start(world)) == 1
        assert self.start(world) == []
        registry, _ = Registry.open(world.data)
        assert registry.origin is not None
        assert registry.origin.startswith(f"{world.filebeat.directory} at 20")
        registry.close()

    def test_what_shipper_remembers_is_left_as_it_is(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(10))
        registry, _ = Registry.open(world.data)
        mine = FileRecord(
            row=registry.new_row(),
            input_id=INPUT,
            path=str(world.log),
            identity=identity_of(world.log.read_bytes()) or pytest.fail("no line"),
            inode=None,
            born=None,
            offset=0,
            seen=0,
            mark=NO_MARK,
            updated=0.0,
            removed=None,
        )
        registry.save([mine])
        registry.close()
        assert self.start(world) == []
        assert self.offsets(world) == [0]
        with pytest.raises(RegistryError, match="shipper's registry has files already"):
            import_now(world.config, world.filebeat.data, world.filesystem, SystemClock())

    def test_where_no_registry_is_a_later_start_may_find_one(self, world: World) -> None:
        world.filebeat.log.unlink()
        (said,) = self.start(world)
        assert said["event.action"] == "filebeat-registry-missing"
        world.filebeat.read(world.log, world.write(1))
        assert len(self.start(world)) == 2

    def test_none_is_nobodys_and_auto_is_in_the_data_directory(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(1))
        settings = world.config.registry
        none, auto = (
            msgspec.structs.replace(
                world.config, registry=msgspec.structs.replace(settings, import_from=value)
            )
            for value in ("none", "auto")
        )
        assert none.import_directory is None
        assert self.start(world, none) == []
        assert auto.import_directory == world.data / "registry" / "filebeat"
        assert self.start(world, auto) == []
        shutil.copytree(world.filebeat.data, world.data, dirs_exist_ok=True)
        assert len(self.start(world, auto)) == 2

    def test_beside_a_running_filebeat_nothing_is_taken_over(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(1))
        path = world.filebeat.data / "filebeat.lock"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(RegistryError, match="Filebeat is still running"):
                self.start(world)
        # A lock that nobody holds is a file like any other.
        assert len(self.start(world)) == 2

    def test_what_is_not_sound_is_said(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(1))
        with world.filebeat.log.open("ab") as file:
            file.write(b"\0\0\0\n")
        (world.logs / "loop.log").symlink_to(world.logs / "loop.log")
        source = msgspec.structs.replace(world.config.inputs[0], symlinks=True)
        world.config = msgspec.structs.replace(world.config, inputs=(source,))
        said = self.start(world)
        assert [entry["log.level"] for entry in said] == ["warning", "warning", "info", "info"]
        assert said[0]["event.reason"] == "log.json: line 3 is damaged; nothing after it is read"
        assert said[1]["file.path"] == str(world.logs / "loop.log")

    def test_what_is_behind_a_symbolic_link_is_not_looked_at(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(1))
        other = world.logs / "other"
        other.write_bytes(world.log.read_bytes())
        (world.logs / "link.log").symlink_to(other)
        assert all("link.log" not in str(entry) for entry in self.start(world))

    def test_what_is_not_sure_is_a_warning(self, world: World) -> None:
        path = world.logs / "plain.log"
        path.write_bytes(b"a line\n" * 10)
        world.filebeat.read(path, 35)
        world.filesystem = AgelessFileSystem()
        said = self.start(world)[0]
        assert said["log.level"] == "warning"
        assert said["event.action"] == "filebeat-offset-uncertain"
        assert str(said["event.reason"]).startswith("not sure: ")

    def test_filebeats_files_are_as_they_were(self, world: World) -> None:
        world.filebeat.read(world.log, world.write(1))
        world.filebeat.checkpoint(cut_log=False)
        world.filebeat.read(world.log, world.write(1))
        (world.filebeat.data / "filebeat.lock").touch()
        (world.filebeat.directory / "checkpoint.new").write_bytes(b"[")
        before = snapshot(world.filebeat.data)
        self.start(world)
        assert snapshot(world.filebeat.data) == before
