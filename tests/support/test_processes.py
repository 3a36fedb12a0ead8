"""The world of the end-to-end tests: the log directory, and the real daemon as a process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shipper.demo.audit import sequence_of
from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import LostAnswer
from tests.support.health import LONGEST
from tests.support.logdir import LogDirectory
from tests.support.processes import overlay


def numbers(lines: list[bytes]) -> list[int | None]:
    return [sequence_of(line) for line in lines]


def test_rotation_by_rename_keeps_every_line_and_gives_a_new_file(
    log_directory: LogDirectory,
) -> None:
    log_directory.write(3)
    inode = log_directory.log.stat().st_ino
    rotated = log_directory.rotate()
    log_directory.write(2)
    assert rotated.stat().st_ino == inode
    assert numbers(rotated.read_bytes().splitlines()) == [0, 1, 2]
    assert numbers(log_directory.log.read_bytes().splitlines()) == [3, 4]
    assert stat.S_IMODE(os.stat(log_directory.log).st_mode) == 0o600


def test_copy_and_truncate_keeps_the_inode(log_directory: LogDirectory) -> None:
    log_directory.write(2)
    inode = log_directory.log.stat().st_ino
    copy = log_directory.copy_and_truncate()
    log_directory.write(1)
    assert log_directory.log.stat().st_ino == inode
    assert numbers(copy.read_bytes().splitlines()) == [0, 1]
    assert numbers(log_directory.log.read_bytes().splitlines()) == [2]


def test_a_replaced_or_deleted_log_is_another_file(log_directory: LogDirectory) -> None:
    log_directory.write(1)
    inode = log_directory.log.stat().st_ino
    log_directory.replace(b"first\n")
    log_directory.write(1)
    assert log_directory.log.stat().st_ino != inode
    assert log_directory.log.read_bytes().startswith(b"first\n")
    log_directory.delete()
    log_directory.write(1)
    assert numbers(log_directory.lines()) == [2]


def test_an_overlay_replaces_values_and_keeps_what_it_does_not_name() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert overlay(base, {"a": {"c": 3}, "d": []}) == {"a": {"b": 1, "c": 3}, "d": []}


def test_the_daemon_ships_through_a_lost_answer_and_its_counters_add_up(
    bulk_server: BulkServer, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    bulk_server.next(LostAnswer())
    log_directory.write(3)
    process = shipper()
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.requests) == 2)
    process.wait_until_idle()
    assert process.ready()
    assert process.status()["lines_read"] == 3
    metrics = process.metrics()
    assert metrics.by("shipper_events_total", "outcome")["already_delivered"] == 3
    assert metrics.uncounted_lines == 0
    assert process.sigterm() == 0
    assert bulk_server.audit(3).passed
    assert len(process.logged("shipper-started")) == 1


def test_a_killed_daemon_goes_on_with_the_same_data(
    bulk_server: BulkServer, log_directory: LogDirectory, shipper: MakeShipper
) -> None:
    process = shipper()
    process.start()
    log_directory.write(5)
    bulk_server.wait_for_lines(5)
    process.kill9()
    assert not process.running
    log_directory.write(5)
    process.start()
    bulk_server.wait_for_lines(10)
    assert bulk_server.audit(10).passed


def test_a_daemon_that_ends_at_once_is_an_error_with_its_log(
    shipper: MakeShipper, tmp_path: Path
) -> None:
    process = shipper({"no_such_key": 1})
    with pytest.raises(AssertionError, match=r"(?s)before the daemon ended.*no_such_key"):
        process.start()
    assert process.wait(0) == 2


def test_a_daemon_that_was_never_started_is_no_process(shipper: MakeShipper) -> None:
    process = shipper()
    assert not process.running
    with pytest.raises(RuntimeError, match="not started"):
        process.sigterm()


def run_pytest(directory: Path, *options: str, path: str = os.defpath) -> str:
    """Return what a run with our conftest says of a short and a long test."""
    (directory / "test_some.py").write_text(
        "import pytest\n@pytest.mark.long\ndef test_long(): pass\ndef test_short(): pass\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", str(directory)]
    command += ["-c", str(root / "pyproject.toml"), "--rootdir", str(root), *options]
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_long_option_chooses_the_long_tests(tmp_path: Path) -> None:
    assert "1 passed, 1 skipped" in run_pytest(tmp_path)
    assert "2 passed" in run_pytest(tmp_path, "--long")


def test_programs_that_are_missing_are_named_loudly(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, path=str(tmp_path))
    assert "!! NOT EVERYTHING WAS TESTED !!" in output
    missing = "java, mvn, go, valgrind; tests marked helm and real_server and valgrind"
    assert f"not installed: {missing}" in output


def test_a_daemon_whose_event_loop_stands_fails_the_test_and_one_that_is_stopped_does_not(
    shipper: MakeShipper,
) -> None:
    process = shipper()
    process.start()
    process.send(signal.SIGSTOP)
    time.sleep(LONGEST + 0.3)
    process.send(signal.SIGCONT)
    process.wait_until(process.alive, "it answers again")
    # As if it stood: nobody is told of this signal.
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(AssertionError, match="the event loop stands: no /healthz for"):
            process.wait_until(lambda: False, "nothing")
    finally:
        os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.start()  # What was seen of the one before is over.
