"""With debug, a scan logs what it found and what became of each file; without, nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shipper.logs import Level
from tests.files.test_tracker import World


def line(number: int) -> bytes:
    return b'{"n":%d}\n' % number


@pytest.mark.parametrize("level", [Level.DEBUG, Level.INFO])
def test_what_became_of_each_file_is_logged_with_debug_alone(tmp_path: Path, level: Level) -> None:
    world = World(tmp_path, max_kept_bytes=1000, level=level)

    async def story() -> None:
        world.log.write_bytes(line(1))
        await world.scan()
        await world.scan()
        (tail,) = world.catalog.tails
        await world.catalog.place(tail)
        world.log.rename(tmp_path / "renamed.log")
        await world.scan()
        (tmp_path / "renamed.log").unlink()
        await world.scan()
        world.tracker.close()

    asyncio.run(story())
    entries = world.recorded.entries("debug")
    if level is Level.INFO:
        assert entries == []
        return
    scans = [entry for entry in entries if entry["event.action"] == "scan-finished"]
    assert [entry["event.action"] for entry in entries if entry not in scans] == [
        "file-discovered",
        "file-renamed",
        "file-state-changed",
        "file-removed",
    ]
    assert [(each["shipper.files"], each["shipper.new"]) for each in scans] == [
        (1, 1),
        (1, 0),
        (1, 0),
        (1, 0),
    ]
    assert [each["shipper.deleted"] for each in scans] == [0, 0, 0, 1]
    (renamed,) = (each for each in entries if each["event.action"] == "file-renamed")
    assert renamed["file.path"] == str(tmp_path / "renamed.log")
    assert renamed["shipper.previous"] == str(tmp_path / "tetragon.log")
    (changed,) = (each for each in entries if each["event.action"] == "file-state-changed")
    assert (changed["shipper.previous"], changed["shipper.state"]) == ("waiting", "reading")
