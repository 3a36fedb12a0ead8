"""What is not as it should be on the reading side: said in words, counted, and nothing lost."""

from __future__ import annotations

import json
import resource
import sqlite3
from pathlib import Path

import pytest

from shipper.files.registry import read_records
from tests.conftest import MakeShipper
from tests.e2e.shipping import lines_read, ship
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

NOT_JSON = b'time="2026-01-01T00:00:00Z" level=info msg="not an event"'


def outcomes(process: ShipperProcess) -> dict[str, float]:
    """The outcomes that are not 0, after seeing that all lines have one."""
    page = process.metrics()
    assert page.uncounted_lines == 0
    return {k: v for k, v in page.by("shipper_events_total", "outcome").items() if v}


def warnings(process: ShipperProcess, action: str) -> list[dict[str, object]]:
    found = process.logged(action)
    assert all(entry["log.level"] in ("warning", "error") for entry in found)
    assert not any("Traceback" in json.dumps(entry) for entry in process.logs())
    return found


def test_a_directory_that_does_not_exist_is_waited_for(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path
) -> None:
    late = tmp_path / "later" / "tetragon"
    process = shipper({"inputs": [{"id": "late", "paths": [f"{late}/*.log"]}]})
    process.start()
    process.wait_until(lambda: bool(warnings(process, "directory-missing")), "it is said")
    assert warnings(process, "directory-missing")[0]["file.path"] == str(late)
    process.wait_until_ready()
    directory = LogDirectory(late)
    directory.write(20)
    bulk_server.wait_for_lines(20)
    assert bulk_server.audit(20).passed
    directory.close()


def test_a_path_that_cannot_be_looked_at_is_said_once_and_heals(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    # A symbolic link to itself: nobody can open it, not even root.
    loop = log_directory.path / "loop.log"
    loop.symlink_to(loop)
    inputs = [{"id": "tetragon", "paths": [log_directory.glob], "symlinks": True}]
    process = shipper({"inputs": inputs})
    process.start()
    log_directory.write(10)
    bulk_server.wait_for_lines(10)
    process.wait_until(
        lambda: process.metrics().value("shipper_file_errors_total", error="ELOOP") >= 3,
        "it was tried again",
    )
    [said] = warnings(process, "path-access-failed")
    assert said["file.path"] == str(loop)
    loop.unlink()
    loop.write_bytes(b'{"a":1}\n')
    bulk_server.wait_for(lambda: '{"a":1}' in bulk_server.messages())
    assert outcomes(process) == {"delivered": 11}


def test_a_directory_with_the_name_of_a_log_is_no_log(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    (log_directory.path / "directory.log").mkdir()
    process = shipper()
    process.start()
    log_directory.write(10)
    bulk_server.wait_for_lines(10)
    assert len(process.status()["files"]) == 1


def test_lines_that_are_not_json_are_shipped_and_flagged(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(5)
    log_directory.append(NOT_JSON + b"\n[1]\n\xff\xfe\n\n")
    process = shipper()
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 8)
    process.wait_until_idle()
    flagged = {
        document["message"]: document["error"]["message"]
        for document in bulk_server.documents.values()
        if "error" in document
    }
    assert set(flagged) == {NOT_JSON.decode(), "[1]", "\ufffd\ufffd"}
    assert "not JSON" in flagged[NOT_JSON.decode()]
    assert "not an object" in flagged["[1]"]
    assert outcomes(process) == {"delivered": 8, "blank": 1}


@pytest.mark.parametrize(("policy", "outcome"), [("drop", "dropped"), ("dead_letter",) * 2])
def test_what_happens_to_them_can_be_chosen(
    policy: str,
    outcome: str,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    log_directory.write(5)
    log_directory.append(NOT_JSON + b"\n\xff\n")
    inputs = [{"id": "tetragon", "paths": [log_directory.glob], "on_invalid": policy}]
    process = shipper({"inputs": inputs}, directory=tmp_path / "one")
    process.start()
    bulk_server.wait_for_lines(5)
    process.wait_until_idle()
    assert outcomes(process) == {"delivered": 5, outcome: 2}
    file = tmp_path / "one/data/dead-letter.ndjson"
    if policy == "drop":
        assert not file.exists()
        return
    dead_letters = [json.loads(line) for line in file.read_text().splitlines()]
    assert dead_letters[0]["line"] == NOT_JSON.decode()
    assert dead_letters[1]["line_base64"] == "/w=="
    assert file.stat().st_mode & 0o777 == 0o600


def test_of_a_line_that_is_too_long_the_head_is_shipped(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    inputs = [{"id": "tetragon", "paths": [log_directory.glob], "max_line_bytes": "2KiB"}]
    process = shipper({"inputs": inputs})
    process.start()
    log_directory.append(b'{"a":1}\n{"long":"' + b"x" * 500_000)
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 1)
    log_directory.append(b'"}\n{"b":2}\n')
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 3)
    process.wait_until_idle()
    [cut] = [each for each in bulk_server.documents.values() if "flags" in each["log"]]
    assert cut["message"] == '{"long":"' + "x" * (2048 - 9)
    assert cut["log"]["flags"] == ["truncated"]
    assert "500011 bytes" in cut["error"]["message"]
    assert outcomes(process) == {"delivered": 3}
    lost = process.metrics().value("shipper_lost_bytes_total", reason="line_too_long")
    assert lost == 500_011 - 2048


def test_a_data_directory_that_has_no_room_stops_no_line(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    process = shipper(directory=tmp_path / "one")
    ship(process, bulk_server, log_directory, 10)
    # As a disk that turned read-only would: no commit can be made any more.
    database = tmp_path / "one/data/registry.db"
    with sqlite3.connect(database, isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        log_directory.write(10)
        bulk_server.wait_for_lines(20)
        process.wait_until(lambda: not process.ready(), "it says that it cannot save")
        assert "registry" in process.why_not_ready()
        lock.execute("ROLLBACK")
    lock.close()
    process.wait_until_ready()
    size = sum(path.stat().st_size for path in log_directory.files if path.is_file())
    process.wait_until(
        lambda: sum(each.offset for each in read_records(tmp_path / "one/data")) == size,
        "the offset is saved",
    )
    process.kill9()

    again = shipper(directory=tmp_path / "one")
    again.start()
    again.wait_until_idle()
    log_directory.write(1)
    bulk_server.wait_for_lines(21)
    assert lines_read(again) == 1


def test_more_files_than_descriptors_are_all_shipped(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    process.start()
    log_directory.write(1)
    bulk_server.wait_for_lines(1)
    # A quarter is no log's: eight are left for logs.
    few = (len(list(Path(f"/proc/{process.pid}/fd").iterdir())) + 8) * 4 // 3
    _, before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (few, before))
    for number in range(100):
        (log_directory.path / f"{number}.log").write_bytes(b'{"number":%d}\n' % number)
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 101)
    log_directory.write(1)
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 102)
    process.wait_until_idle()
    assert outcomes(process) == {"delivered": 102}
    assert process.metrics().value("shipper_files_tracked") == 101
    assert process.metrics().by("shipper_input_files", "state")["unreadable"] == 0


def test_too_many_open_files_is_said_and_heals(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper()
    process.start()
    log_directory.write(1)
    bulk_server.wait_for_lines(1)
    process.wait_until_idle()
    none = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    _, before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    process.metrics()  # Its connection is there.
    # Fewer than are open, so that one that is closed makes no room.
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (none - 5, before))
    (log_directory.path / "new.log").write_bytes(b'{"number":1}\n')
    process.wait_until(
        lambda: any(entry.get("error.code") == "EMFILE" for entry in process.logs()),
        "it is said",
    )
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (before, before))
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 2)
    process.wait_until_idle()
    assert outcomes(process) == {"delivered": 2}
