"""`shipper registry adopt` beside a daemon that runs, and without one."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shipper.cli.shipper import main
from shipper.files.link_names import LinkOwner, link_name
from shipper.files.retention import DIRECTORY
from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.e2e.test_retention import assert_nothing_is_left, links
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

SOMEBODY = LinkOwner("somebody else", "theirs", "/var/lib/elsewhere")


def adopt(process: ShipperProcess, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of the command, and what it says as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["registry", "adopt", "--json", "-c", str(process.config_path), *arguments])
    return code, json.loads(out.getvalue())


def orphan(log: Path, name: str | None = None) -> Path:
    """Has a link of another agent keep a log, which is removed; returns the link."""
    place = log.parent / DIRECTORY
    place.mkdir(mode=0o700, exist_ok=True)
    link = place / (name or link_name(SOMEBODY.token, log.stat().st_ino, str(log)))
    link.hardlink_to(log)
    log.unlink()
    return link


def foreign(process: ShipperProcess) -> float:
    return process.metrics().value("shipper_foreign_links")


@pytest.mark.parametrize(
    ("kind", "running"),
    [("other log", True), ("other input", False), ("damaged name", False), ("gzip", True)],
)
def test_what_an_operator_adopts_is_shipped_once_and_released(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    kind: str,
    running: bool,
) -> None:
    config = {
        "inputs": [
            {"id": "tetragon", "paths": [log_directory.glob]},
            {"id": "second", "paths": [f"{log_directory.path}/second/*.txt"]},
        ]
    }
    process = shipper(config, directory=tmp_path / "daemon")
    log_directory.write(10)
    process.start()
    bulk_server.wait_for_lines(10)
    process.wait_until_idle()
    assert process.sigterm() == 0
    # Another shipper was here, has the same lines and some more, and is gone.
    log_directory.write(10)
    lines = log_directory.log.read_bytes()
    os.truncate(log_directory.log, 0)
    log = log_directory.path / ("elsewhere.gz" if kind == "gzip" else "elsewhere.out")
    log.write_bytes(gzip.compress(lines) if kind == "gzip" else lines)
    link = orphan(log, "x\x1b[2J?" if kind == "damaged name" else None)
    if running:
        process.start()
        process.wait_until(lambda: foreign(process) == 1, "it is counted")
        [said] = process.logged("foreign-links")
        assert "shipper registry adopt" in said["shipper.hint"]

    code, listed = adopt(process)
    assert (code, listed["status"], listed["dry_run"]) == (0, "OK", True)
    [found] = listed["links"]
    assert (found["path"], found["adopted_by"]) == (str(link), "")
    code, refused = adopt(process, str(link))
    assert (code, refused["status"]) == (1, "FAILED")
    assert "--input" in refused["links"][0]["what_to_do"]
    # The second input does not watch this directory, and may get the link all the same.
    into = "second" if kind == "other input" else "tetragon"
    code, done = adopt(process, str(link), "--input", into, "--dry-run")
    assert (code, done["links"][0]["adopted_by"], link.exists()) == (0, into, True)
    code, done = adopt(process, str(link), "--input", into)
    assert (code, done["links"][0]["adopted_by"], link.exists()) == (0, into, False)
    if not running:
        process.start()
    assert_delivered_once(process, bulk_server, 20)
    assert foreign(process) == 0
    log_directory.close()
    assert_nothing_is_left(process, log_directory)


def test_a_running_daemon_counts_what_it_finds_and_what_goes(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    log_directory.write(10)
    first = orphan_text(log_directory, "a.txt")
    process.start()
    bulk_server.wait_for_lines(10)
    process.wait_until(lambda: foreign(process) == 1, "it is counted")
    second = orphan_text(log_directory, "b.txt")
    process.wait_until(lambda: foreign(process) == 2, "so is what comes later")
    first.unlink()
    process.wait_until(lambda: foreign(process) == 1, "and what is removed")
    assert len(process.logged("foreign-links")) == 2
    assert adopt(process, "--all", "--input", "tetragon")[0] == 0
    process.wait_until(lambda: not second.exists() and foreign(process) == 0, "it is adopted")
    process.wait_until(lambda: len(links(log_directory)) == 1, "it is shipped and released")


def orphan_text(directory: LogDirectory, name: str) -> Path:
    log = directory.path / name
    log.write_bytes(directory.log.read_bytes())
    return orphan(log)


def test_links_of_a_shipper_that_runs_are_refused_until_it_is_gone(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    bulk_server.down()
    log_directory.write(10)
    (log_directory.path / "b.txt").write_bytes(log_directory.log.read_bytes())
    theirs = shipper(
        {"inputs": [{"id": "theirs", "paths": [f"{log_directory.path}/*.txt"]}]},
        directory=tmp_path / "theirs",
    )
    theirs.start()
    theirs.wait_until(lambda: len(links(log_directory)) == 1, "they keep a file")
    [name] = links(log_directory)
    link = log_directory.path / DIRECTORY / name
    ours = shipper(directory=tmp_path / "ours")
    ours.start()
    ours.wait_until(lambda: len(links(log_directory)) == 2, "we keep a file, too")

    assert adopt(ours)[1]["links"] == []
    assert adopt(ours)[1]["running"] == 1
    code, refused = adopt(ours, str(link), "--input", "tetragon")
    assert (code, refused["links"][0]["reason"]) == (1, "living_owner")
    assert "running" in refused["links"][0]["error"]
    assert foreign(ours) == 0

    theirs.kill9()
    (log_directory.path / "b.txt").unlink()
    [found] = adopt(ours)[1]["links"]
    assert (found["path"], found["reason"]) == (str(link), "no_input")
    assert adopt(ours, str(link), "--input", "tetragon")[0] == 0
    bulk_server.up()
    assert_delivered_once(ours, bulk_server, 10)
    ours.wait_until(lambda: len(links(log_directory)) == 1, "it is released")


def test_links_that_others_may_have_put_there_are_adopted_only_if_they_are_trusted(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "daemon")
    log_directory.write(10)
    process.start()
    bulk_server.wait_for_lines(10)
    place = log_directory.path / DIRECTORY
    place.chmod(0o777)
    secret = log_directory.path / "secret.log.x"
    secret.write_bytes(b'{"secret": 1}\n')
    # It even has the name of a link of the input itself.
    [ours] = links(log_directory)
    planted = orphan(secret, f"{ours.split('-')[0]}-{secret.stat().st_ino}-tetragon.log")
    process.wait_until(lambda: foreign(process) == 1, "it is counted, and not adopted")
    # Nor by the next start, which finds the directory closed.
    assert process.sigterm() == 0
    process.start()
    process.wait_until(lambda: foreign(process) == 1, "it is counted, and not adopted")
    assert place.stat().st_mode & 0o777 == 0o700

    code, refused = adopt(process, "--all")
    assert (code, refused["links"][0]["reason"]) == (1, "exposed")
    assert "--trust-exposed" in refused["links"][0]["what_to_do"]
    assert b"secret" not in b"".join(map(str.encode, map(str, bulk_server.documents.values())))
    assert adopt(process, str(planted), "--trust-exposed")[0] == 0
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 11)
    process.wait_until(lambda: len(links(log_directory)) == 1, "it is released")
    assert foreign(process) == 0
