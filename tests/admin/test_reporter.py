"""What /status, /metrics and /readyz show of a daemon is what it is doing at that moment."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest

from shipper import __version__
from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import Gate, Held, Items, Status
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess


@pytest.fixture
def process(shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path) -> ShipperProcess:
    """A daemon, not started, that drops what is not JSON and has a second input without files."""
    inputs = [
        {"id": "tetragon", "paths": [log_directory.glob], "on_invalid": "drop"},
        {"id": "other", "paths": [str(tmp_path / "nowhere" / "*.log")]},
    ]
    return shipper({"inputs": inputs})


def one_file(status: dict[str, Any]) -> dict[str, Any]:
    """Return the only file of a status."""
    (file,) = status["files"]
    assert isinstance(file, dict)
    return file


def test_lines_on_their_way_are_shown_until_they_are_acknowledged(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    gate = Gate()
    bulk_server.next(Held(gate))
    log_directory.write(3)
    process.start()
    gate.wait_until_reached()
    size = log_directory.log.stat().st_size

    status = process.status()
    assert status["version"] == __version__
    assert status["lines_read"] == status["in_flight_events"] == 3
    assert status["in_flight_requests"] == 1
    assert status["in_flight_bytes"] > 0
    assert status["backlog_bytes"] == size
    assert status["oldest_unacknowledged_seconds"] >= 0
    assert status["hosts"] == [bulk_server.url]
    assert status["hosts_resting"] == []
    file = one_file(status)
    assert (file["input"], file["path"]) == ("tetragon", str(log_directory.log))
    assert (file["size"], file["offset"], file["acknowledged"]) == (size, size, 0)
    metrics = process.metrics()
    assert metrics.value("shipper_in_flight_events") == 3
    assert metrics.value("shipper_backlog_bytes", input="tetragon") == size
    assert metrics.by("shipper_files_tracked", "input") == {"tetragon": 1, "other": 0}

    gate.open()
    process.wait_until_idle()
    status = process.status()
    assert status["events"]["delivered"] == 3
    assert status["in_flight_bytes"] == status["in_flight_requests"] == 0
    assert status["oldest_unacknowledged_seconds"] == 0
    assert one_file(status)["acknowledged"] == size
    assert process.metrics().value("shipper_backlog_bytes", input="tetragon") == 0


def test_each_line_read_has_one_outcome(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.refuse_items = Items(400, lambda document: "refused" in document["message"])
    log_directory.write(4)
    log_directory.append(b'\n{"a":"refused"}\nnot JSON\n\r\n')
    process.start()
    process.wait_until(lambda: process.status()["lines_read"] == 8, "all lines are read")
    process.wait_until_idle()
    status = process.status()
    assert status["events"] == {
        "delivered": 4,
        "already_delivered": 0,
        "dead_letter": 1,
        "dropped": 1,
        "filtered": 0,
        "blank": 2,
    }
    assert sum(status["events"].values()) == status["lines_read"]


def test_a_daemon_is_ready_while_requests_get_through_and_says_why_when_not(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process.start()
    process.wait_until_ready()
    assert process.metrics().value("shipper_ready") == 1
    assert (process.status()["ready"], process.status()["reasons"]) == (True, [])

    bulk_server.rates[Status(503)] = 1.0
    log_directory.write(1)
    process.wait_until(lambda: not process.ready(), "a request has failed")
    assert process.why_not_ready().startswith(f"{bulk_server.url}: HTTP 503")
    assert process.metrics().value("shipper_ready") == 0
    assert process.status()["hosts_resting"] in ([], [bulk_server.url])

    bulk_server.heal()
    process.wait_until_ready()
    assert process.metrics().value("shipper_ready") == 1


def test_a_host_that_is_away_from_the_start_is_a_reason(
    process: ShipperProcess, bulk_server: BulkServer
) -> None:
    bulk_server.down()
    process.start()
    process.wait_until(lambda: "refused" in process.why_not_ready(), "it was probed")
    assert process.why_not_ready() == f"{bulk_server.url}: no connection: connection refused\n"
    bulk_server.up()
    process.wait_until_ready()


def test_credentials_without_the_right_to_write_are_a_reason(
    process: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    """Elasticsearch answers such a request with 200, and each of its items with 403."""
    bulk_server.refuse_items = Items(403, reason="action [indices:data/write] is unauthorized")
    log_directory.write(2)
    process.start()
    process.wait_until(lambda: "403" in process.why_not_ready(), "the items were refused")
    assert "is unauthorized" in process.why_not_ready()
    bulk_server.heal()
    bulk_server.wait_for_lines(2)
    process.wait_until_ready()


def test_what_runs_is_in_the_labels(process: ShipperProcess) -> None:
    process.start()
    labels = {"version": __version__, "python": platform.python_version()}
    assert process.metrics().value("shipper_build_info", **labels) == 1


def test_what_an_input_finds_and_cannot_read_is_shown(
    shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.write(1)
    loop = log_directory.path / "loop.log"
    loop.symlink_to(loop)
    nowhere = str(tmp_path / "nowhere" / "*.log")
    inputs = [
        {"id": "tetragon", "paths": [log_directory.glob, nowhere], "symlinks": True},
        {"id": "other", "paths": [log_directory.glob]},
    ]
    process = shipper({"inputs": inputs})
    process.start()
    words = f"input tetragon: {loop} cannot be read: Too many levels of symbolic links\n"
    process.wait_until(lambda: process.why_not_ready() == words, "that alone is a reason")
    tetragon, _ = process.status()["inputs"]
    assert (tetragon["files"], tetragon["unreadable_count"]) == (1, 1)
    assert tetragon["unreadable"] == [
        {"path": str(loop), "error": "Too many levels of symbolic links"}
    ]
    assert tetragon["paths_without_files"] == [nowhere]
    assert tetragon["missing_directories"] == [str(tmp_path / "nowhere")]
    process.wait_until(lambda: process.status()["inputs"][1]["files"] == 1, "it is scanned")
    assert process.status()["inputs"][1]["symlinks_skipped"] == 1
    page = process.metrics()
    assert page.value("shipper_input_files", input="tetragon", state="unreadable") == 1
    loop.unlink()
    process.wait_until_ready()
    process.wait_until(
        lambda: not process.metrics().value("shipper_input_files", input="other", state="skipped"),
        "the other input is scanned again",
    )


def test_an_incomplete_last_line_is_shown_and_is_no_backlog(
    process: ShipperProcess, log_directory: LogDirectory
) -> None:
    log_directory.write(2)
    log_directory.append(b'{"half":')
    process.start()
    process.wait_until(lambda: process.status()["incomplete_line_bytes"] == 8, "it was looked at")
    process.wait_until_idle()
    status = process.status()
    assert (status["backlog_bytes"], status["oldest_unacknowledged_seconds"]) == (0, 0)
    assert one_file(status)["incomplete_line_bytes"] == 8
    page = process.metrics()
    assert page.by("shipper_incomplete_line_bytes", "input") == {"tetragon": 8, "other": 0}
    assert page.value("shipper_backlog_bytes", input="tetragon") == 0
    log_directory.append(b"1}\n")
    process.wait_until(lambda: process.status()["lines_read"] == 3, "it is complete")
    process.wait_until_idle()
    assert process.status()["incomplete_line_bytes"] == 0


@pytest.mark.parametrize("name", ["loop.log.gz", "deep/loop.log"])
def test_a_gzip_or_a_directory_below_a_wildcard_that_cannot_be_read_is_a_reason(
    shipper: MakeShipper, log_directory: LogDirectory, name: str
) -> None:
    log_directory.write(1)
    loop = log_directory.path / name
    loop.parent.mkdir(exist_ok=True)
    loop.symlink_to(loop)
    source = {"id": "tetragon", "paths": [f"{log_directory.path}/**/*.log"], "symlinks": True}
    process = shipper({"inputs": [source]})
    process.start()
    words = f"input tetragon: {loop} cannot be read: Too many levels of symbolic links\n"
    process.wait_until(lambda: process.why_not_ready() == words, "that alone is a reason")
    page = process.metrics()
    assert page.value("shipper_input_files", input="tetragon", state="unreadable") == 1
    loop.unlink()
    process.wait_until_ready()


def test_an_input_without_files_is_a_reason_only_where_files_are_required(
    shipper: MakeShipper, tmp_path: Path
) -> None:
    glob, log = f"{tmp_path}/logs/*.log", tmp_path / "logs" / "a.log"
    elsewhere = f"{tmp_path}/elsewhere/*.log"
    inputs = [
        {"id": "tetragon", "paths": [elsewhere, glob], "require_files": True},
        {"id": "other", "paths": [f"{tmp_path}/other/*.log"]},
    ]
    process = shipper({"inputs": inputs})
    process.start()
    process.wait_until(
        lambda: all(each["paths_without_files"] for each in process.status()["inputs"]),
        "both are scanned",
    )
    words = f"no file matches {elsewhere}, {glob} (inputs[].require_files is true)"
    process.wait_until(
        lambda: process.why_not_ready() == f"input tetragon: {words}\n", "the host is there"
    )
    found = process.metrics()
    for name in ("tetragon", "other"):
        assert found.value("shipper_input_files", input=name, state="found") == 0
    log.parent.mkdir()
    log.write_bytes(b"{}\n")
    process.wait_until_ready()


def test_a_directory_in_which_no_links_can_be_made_is_shown(
    process: ShipperProcess, log_directory: LogDirectory
) -> None:
    log_directory.write(1)
    (log_directory.path / ".shipper").touch()
    process.start()

    def problems() -> dict[str, Any]:
        return dict(process.status()["inputs"][0]["link_directory_problems"])

    process.wait_until(lambda: problems() == {"not_a_directory": 1}, "a link was tried")
    page, name = process.metrics(), "shipper_link_directory_problems"
    assert page.value(name, input="tetragon", problem="not_a_directory") == page.value(name) == 1
    assert len(page.by(name, "problem")) == 7, "each is there from the start"
    (log_directory.path / ".shipper").unlink()
    process.wait_until(lambda: problems() == {}, "the next scan made it")


def test_changes_of_the_links_by_somebody_else_are_counted(
    process: ShipperProcess, log_directory: LogDirectory
) -> None:
    links = log_directory.path / ".shipper"
    log_directory.write(1)
    process.start()

    def changes() -> dict[str, float]:
        return process.metrics().by("shipper_link_directory_changes_total", "change")

    process.wait_until(lambda: links.is_dir() and any(links.iterdir()), "it is linked")
    assert changes() == {"replaced": 0, "exposed": 0, "links_removed": 0}
    links.chmod(0o770)
    process.wait_until(lambda: changes()["exposed"] == 1, "it was opened to others")
    for link in links.iterdir():
        link.unlink()
    process.wait_until(lambda: changes()["links_removed"] == 1, "a link is made again")
    links.rename(log_directory.path / "elsewhere")
    links.mkdir(mode=0o700)
    process.wait_until(lambda: changes()["replaced"] == 1, "another directory is there")
    (removed,) = process.logged("links-missing")
    assert removed["file.path"] == str(links)
