"""What an earlier configuration left is named by `shipper check`: unfinished files, and links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shipper.check.findings import Finding, Status
from shipper.check.remembered import check_remembered
from shipper.config.inputs import InputConfig
from shipper.config.model import Config, RetentionConfig
from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList
from shipper.files.identity import NO_MARK, Identity
from shipper.files.link_names import LinkOwner, link_name
from shipper.files.registry import FileRecord, Registry, RowId
from shipper.files.retention import DIRECTORY

OWNER = LinkOwner("another", "theirs", "/elsewhere")


class World:
    """A configuration with one input, and a data directory."""

    def __init__(self, directory: Path) -> None:
        self.logs = directory / "logs"
        self.logs.mkdir()
        self.data = directory / "data"
        self.data.mkdir()
        self.rows: list[FileRecord] = []

    def remember(self, input_id: str, name: str, offset: int, seen: int, identity: int) -> None:
        row = RowId(len(self.rows) + 1)
        # Where the input that is configured finds its logs, or not.
        path = f"{self.logs}/{name}" if name.endswith(".log") else f"/gone/{name}"
        hexadecimal = Identity(f"{identity:016x}")
        self.rows.append(
            FileRecord(
                row, input_id, path, hexadecimal, None, None, offset, seen, NO_MARK, 0.0, None
            )
        )

    def link(self, name: str) -> Path:
        place = self.logs / DIRECTORY
        place.mkdir(mode=0o700, exist_ok=True)
        path = self.logs / name
        path.write_bytes(b"one\n")
        return path.rename(place / link_name(OWNER.token, path.stat().st_ino, name))

    def findings(self, *, retention: bool = True) -> list[Finding]:
        registry, _ = Registry.open(self.data)
        registry.save(self.rows)
        registry.close()
        return self.check(retention=retention)

    def check(self, *, retention: bool = True) -> list[Finding]:
        config = Config(
            inputs=(InputConfig("tetragon", (f"{self.logs}/*.log",)),),
            data_dir=str(self.data),
            output=OutputConfig(HostList(["http://127.0.0.1:9"])),
            retention=RetentionConfig(enabled=retention),
        )
        return check_remembered(config)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_where_nothing_was_ever_shipped_nothing_is_said_or_made(world: World) -> None:
    assert world.check() == []
    assert os.listdir(world.data) == []


def test_unfinished_files_of_an_input_that_is_not_configured_are_named(world: World) -> None:
    world.remember("tetragon", "a.log", 0, 10, 1)
    world.remember("former", "b", 3, 10, 2)
    world.remember("former", "c", 5, 10, 3)
    world.remember("former", "d", 10, 10, 4)
    world.remember("older", "e", 0, 1, 5)
    first, second = world.findings()
    assert (first.subject, first.check) == ("input former", "not configured")
    assert (first.status, second.status) == (Status.WARNING, Status.WARNING)
    assert "12 bytes of 2 files" in first.detail
    assert "/gone/b and 1 more" in first.detail
    assert second.subject == "input older"
    assert "1 bytes of 1 file" in second.detail
    assert "recorded as lost" in second.what_to_do


def test_what_another_input_has_is_not_named(world: World) -> None:
    world.remember("former", "a", 3, 10, 1)
    world.remember("tetragon", "b.log", 0, 10, 1)
    world.remember("former", "c", 3, 10, 2)
    world.remember("tetragon", "d.log", 9, 9, 2)
    [finding] = world.findings()
    assert "7 bytes of 1 file are" in finding.detail
    assert "/gone/c" in finding.detail


def test_unfinished_files_that_their_input_does_not_match_any_more_are_named(world: World) -> None:
    world.remember("tetragon", "a.log", 0, 10, 1)
    world.remember("tetragon", "b.txt", 3, 10, 2)
    world.remember("tetragon", "c.txt", 10, 10, 3)
    [finding] = world.findings()
    assert (finding.subject, finding.check) == ("input tetragon", "not matched")
    assert "7 bytes of 1 file are not acknowledged" in finding.detail
    assert "/gone/b.txt" in finding.detail


def test_foreign_links_are_named_with_the_command(world: World) -> None:
    assert world.findings() == []
    path = world.link("a.txt")
    world.link("b.txt")
    [finding] = world.findings()
    assert (finding.check, finding.status) == ("foreign links", Status.WARNING)
    assert "2 links of nobody with 8 bytes" in finding.detail
    assert str(path.parent) in finding.detail
    assert "shipper registry adopt" in finding.what_to_do
    assert world.findings(retention=False) == []


def test_what_cannot_be_looked_at_is_unknown(world: World) -> None:
    world.findings()
    (world.data / "registry.db").write_bytes(b"no database" * 100)
    [finding] = world.check()
    assert (finding.check, finding.status) == ("registry", Status.UNKNOWN)
    (world.data / "registry.db").unlink()
    (world.logs / DIRECTORY).symlink_to(world.data)
    [finding] = world.findings()
    assert (finding.check, finding.status) == ("foreign links", Status.UNKNOWN)
