"""From the first registry's version to this one with work in progress, and back.

The older shipper is taken from the history of this repository, and runs in the same environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import shipper as package
from tests.e2e.shipping import assert_delivered_once
from tests.support.bulk_server import BulkServer
from tests.support.faults import Items
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

OLD = "48cd20eda8ddbff851044a868fabe848f2c68c37"
"""The last commit with version 1 of the registry and of the names in `.shipper`."""
SECOND = "ff08d9726e6811e8b388ed1ba5c18c7b4c449f77"
"""The last one with version 2 of the registry."""
LETTERS_NOT_RECORDED = "16ce3bd2c43f9163b8f0b9a04b329eb1393b6d81"
"""The last one that deletes dead letters without recording a loss."""
VERSIONS = {OLD: 1, SECOND: 2}
"""Of the registry."""
VERSION = 3

ROOT = Path(package.__file__).parents[1]
BAD = "lost in translation"


class OldShipper(ShipperProcess):
    """A daemon of the package in another directory."""

    def __init__(self, config: Mapping[str, Any], directory: Path, *, root: Path) -> None:
        # Without PYTHONSAFEPATH the current directory comes first, and that is ours.
        super().__init__(config, directory, environment={"PYTHONSAFEPATH": "1"})
        self._environment["PYTHONPATH"] = str(root)


@pytest.fixture(scope="module")
def commit(request: pytest.FixtureRequest) -> str:
    """Which one the older package is of."""
    return str(getattr(request, "param", OLD))


@pytest.fixture(scope="module")
def old_root(tmp_path_factory: pytest.TempPathFactory, commit: str) -> Path:
    """The directory with the older package."""
    found = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", commit, "shipper"],
        capture_output=True,
        check=False,
    )
    if found.returncode:
        reason = (
            f"the history has no commit {commit[:7]}: fetch all of it (git fetch --unshallow); "
            f"git says: {found.stderr.decode(errors='replace').strip()}"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("old")
    # Python 3.11.2, which Debian 12 has, knows no `filter` of TarFile.extractall.
    subprocess.run(["tar", "-x", "-C", root], input=found.stdout, check=True)
    return root


class Upgrade:
    """One configuration and one data directory, and both shippers."""

    def __init__(
        self, home: Path, old_root: Path, server: BulkServer, logs: LogDirectory, **other: Any
    ) -> None:
        self._home = home
        self._old_root = old_root
        self._made: list[ShipperProcess] = []
        self._config = {
            "inputs": [{"id": "tetragon", "paths": [logs.glob]}],
            "output": {"hosts": [server.url], "bulk": {"max_events": 20}, "max_in_flight": 2},
            **other,
        }
        self.data = home / "data"

    def old(self) -> ShipperProcess:
        return self._made_one(OldShipper(self._config, self._home, root=self._old_root))

    def new(self) -> ShipperProcess:
        return self._made_one(ShipperProcess(self._config, self._home))

    def command(self, *arguments: str) -> str:
        """Run this shipper's command line; return what it prints."""
        path = str(self._made[-1].config_path)
        ran = subprocess.run(
            [sys.executable, "-m", "shipper", *arguments, "-c", path],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def close(self) -> None:
        for process in self._made:
            process.kill()

    def _made_one(self, process: ShipperProcess) -> ShipperProcess:
        self._made.append(process)
        return process


@pytest.fixture
def upgrade(
    tmp_path: Path, old_root: Path, bulk_server: BulkServer, log_directory: LogDirectory
) -> Iterator[Upgrade]:
    made = Upgrade(tmp_path / "shipper", old_root, bulk_server, log_directory)
    yield made
    made.close()


def refuse_some(server: BulkServer, logs: LogDirectory, process: ShipperProcess) -> int:
    """Have two lines become dead letters; return how many lines are delivered until then."""
    server.refuse_items = Items(400, lambda document: BAD in str(document["message"]))
    logs.append(f'{{"{BAD}": 1}}\n{{"{BAD}": 2}}\n'.encode())
    process.wait_until(
        lambda: process.metrics().value("shipper_events_total", outcome="dead_letter") == 2,
        "two lines are dead letters",
    )
    server.refuse_items = None
    return len(server.documents)


def leave_work(process: ShipperProcess, logs: LogDirectory) -> None:
    """Have files that are half acknowledged, kept, and removed, when it is killed in an outage."""
    logs.write(50)
    first = logs.rotate()
    logs.write(70)
    second = logs.rotate()
    logs.write(30)
    # A daemon has all three before two of them go.
    process.wait_until(lambda: len(links(logs)) >= 2, "the rotated files have links")
    logs.delete(first)
    logs.write(10)
    logs.delete(second)
    process.wait_until(lambda: process.status()["backlog_bytes"] > 0, "lines wait")
    process.kill9()


def version_of_registry(upgrade: Upgrade) -> int:
    """The version of the schema."""
    with contextlib.closing(sqlite3.connect(upgrade.data / "registry.db")) as connection:
        found: tuple[int] = connection.execute("PRAGMA user_version").fetchone()
    return found[0]


def links(logs: LogDirectory) -> list[str]:
    """The names in `.shipper`."""
    place = logs.path / ".shipper"
    return sorted(os.listdir(place)) if place.is_dir() else []


@pytest.mark.parametrize("commit", VERSIONS, indirect=True, ids=lambda commit: commit[:7])
def test_an_upgrade_with_work_in_progress_loses_and_doubles_nothing(
    upgrade: Upgrade, bulk_server: BulkServer, log_directory: LogDirectory, commit: str
) -> None:
    old = upgrade.old()
    old.start()
    log_directory.write(100)
    bulk_server.wait_for_lines(100)
    refuse_some(bulk_server, log_directory, old)
    bulk_server.down()
    leave_work(old, log_directory)
    assert version_of_registry(upgrade) == VERSIONS[commit]
    # These are written while no shipper runs.
    log_directory.write(20)
    log_directory.rotate()
    log_directory.write(20)
    bulk_server.up()
    new = upgrade.new()
    new.start()
    assert_delivered_once(new, bulk_server, log_directory.written)
    assert new.metrics().value("shipper_lost_bytes_total") == 0
    assert upgrade.command("deadletter", "show").count(BAD) >= 2
    assert new.sigterm() == 0
    assert upgrade.command("registry", "losses", "--json").strip() in ("", "[]")
    # The same on the next start: nothing is read again.
    again = upgrade.new()
    again.start()
    log_directory.write(1)
    bulk_server.wait_for_lines(log_directory.written)
    again.wait_until_idle()
    assert again.metrics().value("shipper_lines_read_total") == 1


def test_a_downgrade_with_work_in_progress_loses_and_doubles_nothing(
    upgrade: Upgrade, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    first = upgrade.old()
    first.start()
    log_directory.write(100)
    bulk_server.wait_for_lines(100)
    assert first.sigterm() == 0
    new = upgrade.new()
    new.start()
    log_directory.write(100)
    bulk_server.wait_for_lines(200)
    refuse_some(bulk_server, log_directory, new)
    bulk_server.down()
    log_directory.write(30)
    log_directory.rotate()
    log_directory.write(40)
    new.wait_until(lambda: new.status()["backlog_bytes"] > 0, "lines wait")
    new.kill9()
    assert version_of_registry(upgrade) == VERSION
    upgrade.command("registry", "downgrade")
    assert version_of_registry(upgrade) == 1
    bulk_server.up()
    old = upgrade.old()
    old.start()
    assert_delivered_once(old, bulk_server, log_directory.written)
    assert not old.logged("registry-replaced")
    # What was acknowledged before is not sent again.
    assert old.metrics().value("shipper_lines_read_total") <= log_directory.written - 100
    assert upgrade.command("deadletter", "show").count(BAD) >= 2
    assert old.sigterm() == 0
    # And forward again.
    log_directory.write(5)
    last = upgrade.new()
    last.start()
    assert_delivered_once(last, bulk_server, log_directory.written)
    assert last.metrics().value("shipper_lines_read_total") == 5


def test_a_downgrade_ships_what_only_a_link_keeps(
    upgrade: Upgrade, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    new = upgrade.new()
    new.start()
    log_directory.write(10)
    bulk_server.wait_for_lines(10)
    bulk_server.down()
    log_directory.write(30)
    rotated = log_directory.rotate()
    log_directory.write(40)
    number = rotated.stat().st_ino
    new.wait_until(lambda: any(f"-{number}-" in name for name in links(log_directory)), "a link")
    log_directory.delete(rotated)
    new.wait_until(lambda: new.status()["backlog_bytes"] > 0, "lines wait")
    new.kill9()
    upgrade.command("registry", "downgrade")
    bulk_server.up()
    old = upgrade.old()
    old.start()
    bulk_server.wait_for_lines(log_directory.written, timeout=15)
    assert_delivered_once(old, bulk_server, log_directory.written)


@pytest.mark.parametrize("commit", [LETTERS_NOT_RECORDED], indirect=True)
def test_dead_letters_of_before_an_upgrade_are_recorded_when_they_are_deleted(
    tmp_path: Path, old_root: Path, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    upgrade = Upgrade(
        tmp_path / "shipper",
        old_root,
        bulk_server,
        log_directory,
        dead_letter={"max_bytes": "1MiB"},
    )
    bulk_server.refuse_items = Items(400, lambda document: BAD in str(document["message"]))

    def reject(process: ShipperProcess, first: int, count: int) -> None:
        for number in range(first, first + count):
            line = f'{{"{BAD}": {number}, "x": "{"x" * 10_000}"}}\n{{"good": {number}}}\n'
            log_directory.append(line.encode())
        bulk_server.wait_for(lambda: len(bulk_server.documents) >= first + count)
        process.wait_until_idle()

    try:
        old = upgrade.old()
        old.start()
        reject(old, 0, 60)
        assert old.sigterm() == 0
        older = upgrade.data / "dead-letter.ndjson.1"
        os.utime(older, (1.7e9, 1.7e9))
        deleted = len(older.read_bytes().splitlines())
        new = upgrade.new()
        new.start()
        reject(new, 60, 40)
        new.wait_until(lambda: bool(bulk_server.losses), "the document of the loss arrives")
        [loss] = upgrade.command("registry", "losses", "--json").splitlines()
        assert json.loads(loss)["lines"] == deleted
        assert len(upgrade.command("deadletter", "show", "--json").splitlines()) == 100 - deleted
        # The older shipper goes on with the registry, and the file.
        assert new.sigterm() == 0
        again = upgrade.old()
        again.start()
        log_directory.write(1)
        again.wait_until(
            lambda: again.metrics().value("shipper_lines_read_total") == 1, "the line is read"
        )
        again.wait_until_idle()
        assert again.metrics().value("shipper_lines_read_total") == 1
    finally:
        upgrade.close()
