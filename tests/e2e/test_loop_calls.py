"""No call on the event loop's thread asks a disk or a mount for something by its name, but for a
list of exceptions: all of the daemon would hang with it.

The calls are found by audit hooks (`tests.support.loop_calls`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from pathlib import Path

from tests.conftest import MakeShipper
from tests.e2e.test_compressed import compress
from tests.e2e.test_local_outputs import documents, into
from tests.e2e.test_reload import wait_for_start
from tests.support.bulk_server import BulkServer
from tests.support.faults import Items
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

OF_A_LOG = (
    "of a log or its `.shipper`, when a walk, which a thread makes, or inotify has just seen it: "
    "a mount that hangs holds the walk, and then nothing of it is opened"
)

ALLOWED = {
    r"\S+ shipper\.files\.filesystem:(open|link|unlink|rename_in|open_in|inode_in|facts_in) < "
    r"shipper\.files\.\w+:\S+": OF_A_LOG,
    r"os\.stat shipper\.files\.filesystem:(status|size_in) < shipper\.files\.\w+:\S+": OF_A_LOG,
    r"os\.lstat shipper\.files\.filesystem:(is_link|directory_facts) < "
    r"shipper\.files\.\w+:\S+": OF_A_LOG,
    r"\S+ shipper\.files\.filesystem:(open_private|lock_shared|is_locked_by_us_alone|"
    r"remove_directory) < shipper\.files\.link_directory:\w+": OF_A_LOG,
    r"fcntl\.flock shipper\.files\.filesystem:lock_shared < "
    r"shipper\.files\.filesystem:is_locked_by_us_alone": OF_A_LOG,
    r"os\.(scandir|listdir) shipper\.files\.filesystem:names < "
    r"shipper\.files\.link_directory:\w+": OF_A_LOG,
    r"os\.lstat shipper\.files\.foreign_links:<genexpr> < .*": OF_A_LOG,
    r"open shipper\.files\.mount_table:file_system_of < .*": "/proc/self/mountinfo",
    r"open shipper\.files\.mounts:open_mount_table < .*": "/proc/self/mountinfo",
    r"open shipper\.admin\.descriptors:\w+ < .*": "/dev/null",
    r"socket\.getaddrinfo shipper\.admin\.listeners:listen < .*": "numbers only: AI_NUMERICHOST",
    r"(open|os\.stat|os\.listdir) import (?!shipper)[\w.]+": "a library's module, of the "
    "installation",
}
"""What may be called there, as patterns of lines of the report, and why."""


def noting(process: ShipperProcess, directory: Path) -> Path:
    """Has a daemon note its calls; returns the report."""
    report = directory / "loop-calls"
    report.touch()
    process.executed_by = (sys.executable, "-m", "tests.support.loop_calls", str(report))
    return report


def not_allowed(report: Path) -> list[str]:
    calls = report.read_text().splitlines()
    return [call for call in calls if not any(re.fullmatch(each, call) for each in ALLOWED)]


def test_a_cluster_dead_letters_secrets_and_pages(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    secret, token = tmp_path / "password", tmp_path / "token"
    secret.write_text("first\n")
    token.write_text("a-token-of-the-test\n")
    logs = log_directory.path
    former = {"inputs": [{"id": "former", "paths": [f"{logs}/former.log"]}]}
    (logs / "former.log").write_bytes(b'{"former":1}\n')
    first = shipper(former, directory=tmp_path / "daemon")
    first.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 1)
    first.kill9()

    process = shipper(
        {
            "inputs": [
                {
                    "id": "tetragon",
                    "paths": [f"{logs}/*.log*"],
                    "exclude": [f"{logs}/former*"],
                    "on_invalid": "dead_letter",
                },
                {"id": "deep", "paths": [f"{tmp_path}/deep/**/*.log"]},
            ],
            "output": {"username": "u", "password_file": str(secret)},
            "dead_letter": {"max_bytes": "1MiB"},
        },
        directory=tmp_path / "daemon",
    )
    report = noting(process, tmp_path)
    bulk_server.refuse_items = Items(400, lambda document: "refused" in document["message"])
    log_directory.write(50)
    process.start()
    for number in range(4):
        log_directory.write(20)
        rotated = log_directory.rotate()
        if number == 1:
            compress(rotated)
        elif number == 2:
            log_directory.delete(rotated)
        stored = 1 + 50 + 20 * (number + 1)
        bulk_server.wait_for(lambda: len(bulk_server.documents) >= stored)  # noqa: B023
    deep = tmp_path / "deep" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "c.log").write_bytes(b'{"deep":1}\n')
    os.symlink(deep / "c.log", logs / "link.log")
    line = json.dumps({"refused": 1, "x": "x" * 10_000}).encode()
    for _ in range(5):
        read = process.status()["lines_read"] + 60
        log_directory.append((line + b"\n" + b'{"good":1}\nnot JSON\n') * 20)
        process.wait_until(lambda: process.status()["lines_read"] >= read, "they are read")  # noqa: B023
        process.wait_until_idle()
        # Not of a flood: dead letters are deleted.
        for path in Path(process.config["data_dir"]).glob("dead-letter.ndjson*"):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (1.7e9, 1.7e9))
    process.wait_until(lambda: bool(process.logged("dead-letters-deleted")), "some are deleted")
    secret.write_text("second\n")
    for page in ("/metrics", "/status", "/healthz", "/readyz"):
        process.get(page)
    assert process.sigterm() == 0
    calls = report.read_text()
    assert "shipper.files.filesystem:link" in calls  # It notes.
    assert not_allowed(report) == []


def test_an_output_file_a_token_and_a_reload(
    shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path
) -> None:
    out, token = tmp_path / "out" / "output.ndjson", tmp_path / "token"
    out.parent.mkdir()
    token.write_text("a-token-of-the-test\n")
    process = into(shipper({"admin": {"token_file": str(token)}}), out)
    report = noting(process, tmp_path)
    log_directory.write(100)
    process.start()
    process.wait_until(lambda: out.exists() and len(documents(out)) >= 100, "they are written")
    for _ in range(3):
        log_directory.append(b'{"x":"%b"}\n' % (b"x" * 1000) * 500)
        process.wait_until_ready()
    process.send(signal.SIGHUP)
    wait_for_start(process, 2)
    log_directory.write(10)
    process.wait_until_ready()
    assert process.sigterm() == 0
    assert "shipper.files.filesystem:link" in report.read_text()
    assert not_allowed(report) == []
