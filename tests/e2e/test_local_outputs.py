"""The real daemon that ships into a file, or prints: each line once, whatever happens meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from shipper.demo.audit import Audit, LineCounts
from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE
from tests.support.logdir import LogDirectory
from tests.support.logs import flat
from tests.support.processes import QUICK, ShipperProcess

KIB = 1024
LINES = 200


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The output file, in a directory of its own."""
    directory = tmp_path / "out"
    directory.mkdir()
    return directory / "events.ndjson"


def shipping(process: ShipperProcess, output: Mapping[str, Any], **top: Any) -> ShipperProcess:
    """Have a daemon ship to another output than the bulk server."""
    bulk, backoff = QUICK["output"]["bulk"], QUICK["output"]["backoff"]
    output = {"bulk": bulk, "backoff": backoff, **output}
    process.write_config({**process.config, "output": output, **top})
    return process


def into(process: ShipperProcess, out: Path, **options: Any) -> ShipperProcess:
    return shipping(process, {"file": {"path": str(out), **options}})


def files_of(out: Path) -> list[Path]:
    """Return the rotated files, oldest first, and then the one that is written to."""
    return [*sorted(each for each in out.parent.iterdir() if each != out), out]


def documents(out: Path) -> list[bytes]:
    """Return the whole lines of all files that are documents; the last may be half written yet."""
    lines = [line for path in files_of(out) for line in path.read_bytes().split(b"\n")[:-1]]
    return [line for line in lines if not line.startswith(b'{"create"')]


def audit(out: Path, written: int) -> Audit:
    counts = LineCounts()
    for number, document in enumerate(documents(out)):
        json.loads(document)
        counts.take(str(number), document)
    return counts.audit(written)


def wait_for_events(process: ShipperProcess, count: int) -> None:
    """Return when so many lines have an outcome, and no more are found."""

    def ended() -> bool:
        return process.metrics().value("shipper_events_total") >= count

    process.wait_until(ended, f"{count} lines have ended")
    process.wait_until_idle()


def assert_all_there_once(process: ShipperProcess, out: Path, lines: int) -> None:
    wait_for_events(process, lines)
    found = audit(out, lines)
    assert found.passed, found
    events = process.metrics().by("shipper_events_total", "outcome")
    assert events["delivered"] + events["already_delivered"] == lines, events
    assert process.metrics().uncounted_lines == 0
    assert process.metrics().value("shipper_in_flight_bytes") == 0


def test_lines_are_documents_in_a_private_file_that_is_rotated(
    shipper: MakeShipper, log_directory: LogDirectory, out: Path
) -> None:
    process = into(shipper(), out, max_bytes="64KiB")
    process.start()
    for number in range(5):
        log_directory.write(LINES // 5)
        log_directory.rotate()
        wait_for_events(process, (number + 1) * LINES // 5)
    assert_all_there_once(process, out, LINES)
    assert process.ready()
    assert len(files_of(out)) > 2
    for path in files_of(out):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_size <= 128 * KIB
    logs = log_directory.path.glob("*.log")
    written = [line for log in logs for line in log.read_bytes().splitlines()]
    messages = [json.loads(document)["message"].encode() for document in documents(out)]
    assert sorted(messages) == sorted(written)
    assert process.metrics().value("shipper_output_deleted_bytes_total") == 0
    assert process.sigterm() == 0


def test_only_so_many_rotated_files_are_kept_and_what_goes_is_counted(
    shipper: MakeShipper, log_directory: LogDirectory, out: Path
) -> None:
    process = into(shipper(), out, max_bytes="64KiB", keep=1)
    process.start()
    for number in range(10):
        log_directory.write(LINES // 10)
        wait_for_events(process, (number + 1) * LINES // 10)
    assert len(files_of(out)) == 2
    there = len(documents(out))
    assert 0 < there < LINES
    page = process.metrics()
    assert page.by("shipper_events_total", "outcome")["delivered"] == LINES
    assert page.value("shipper_output_deleted_bytes_total") > 0
    assert page.value("shipper_lost_bytes_total") == 0


def kill_again_and_again(
    kills: int, form: str, process: ShipperProcess, logs: LogDirectory, out: Path
) -> None:
    """Ship into a file with a daemon that is killed so many times; the audit has to be clean."""
    into(process, out, max_bytes="256KiB", format=form)
    # What is written is seldom saved: the file alone knows of it.
    process.write_config({**process.config, "registry": {"commit_interval": "30s"}})
    rng = random.Random(kills)
    recognised = 0.0

    def outcomes() -> dict[str, float]:
        return process.metrics().by("shipper_events_total", "outcome")

    with logs.writing(1500.0):
        for _ in range(kills):
            process.start()
            process.wait_until(lambda: outcomes()["delivered"] > 0, "lines are written")
            recognised += outcomes()["already_delivered"]
            time.sleep(rng.uniform(0, 0.3))
            process.kill9()
    process.start()
    process.wait_until(lambda: audit(out, logs.written).lost == 0, "all is there")
    process.wait_until_idle()
    found = audit(out, logs.written)
    assert found.passed, found
    assert found.written >= kills * 100
    # It was not by luck: lines did come again.
    assert recognised >= kills
    assert process.metrics().uncounted_lines == 0
    assert process.sigterm() == 0


@pytest.fixture
def rotating(tmp_path: Path) -> LogDirectory:
    """A log that rotates every 150 lines or so; nothing is deleted."""
    return LogDirectory(tmp_path / "rotating", seed=3, max_bytes=300_000, split_share=0.01)


@pytest.mark.parametrize("form", ["documents", "bulk"])
def test_every_line_is_there_once_although_the_daemon_is_killed_10_times(
    form: str, shipper: MakeShipper, rotating: LogDirectory, out: Path
) -> None:
    process = shipper({"inputs": [{"id": "tetragon", "paths": [rotating.glob]}]})
    kill_again_and_again(10, form, process, rotating, out)


@pytest.mark.long
def test_every_line_is_there_once_although_the_daemon_is_killed_100_times(
    shipper: MakeShipper, rotating: LogDirectory, out: Path
) -> None:
    process = shipper({"inputs": [{"id": "tetragon", "paths": [rotating.glob]}]})
    kill_again_and_again(100, "documents", process, rotating, out)


def write_and_forget(process: ShipperProcess, directory: LogDirectory) -> None:
    """Kill a daemon that has written LINES, and all that its registry knows of them."""
    directory.write(LINES)
    process.start()
    wait_for_events(process, LINES)
    process.kill9()
    for path in Path(process.config["data_dir"]).glob("registry.db*"):
        path.unlink()


def test_lines_that_were_written_and_not_saved_are_recognised(
    shipper: MakeShipper, log_directory: LogDirectory, out: Path
) -> None:
    """Everything that a registry knows is gone, as it is when the kill comes before the commit."""
    process = into(shipper(), out)
    write_and_forget(process, log_directory)
    log_directory.write(10)
    process.start()
    assert_all_there_once(process, out, LINES + 10)
    events = process.metrics().by("shipper_events_total", "outcome")
    assert (events["already_delivered"], events["delivered"]) == (LINES, 10)


def test_half_a_line_that_a_kill_left_is_written_whole(
    shipper: MakeShipper, log_directory: LogDirectory, out: Path
) -> None:
    process = into(shipper(), out)
    write_and_forget(process, log_directory)
    # As if the kill had come in the midst of the write.
    os.truncate(out, out.stat().st_size * 2 // 3)
    assert not out.read_bytes().endswith(b"\n")
    process.start()
    assert_all_there_once(process, out, LINES)


def test_a_full_disk_is_waited_for_and_nothing_is_lost_or_doubled(
    shipper: MakeShipper, log_directory: LogDirectory, out: Path
) -> None:
    """No file may become larger than a limit: for the output file, this is a disk without room."""
    process = into(shipper(), out, max_bytes="1GiB")
    process.start()
    process.wait_until_ready()
    large = b'{"large":"%b"}\n' % (b"x" * 100 * KIB)
    for _ in range(40):
        log_directory.append(large)
    wait_for_events(process, 40)
    room = out.stat().st_size + 50 * KIB
    assert room > 4_000_000
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, hard))
    log_directory.writer.reopen()
    log_directory.write(LINES)
    process.wait_until(
        lambda: process.metrics().by("shipper_retries_total", "reason").get("EFBIG", 0) >= 3,
        "it was tried again",
    )
    assert not process.ready()
    assert f"{out} cannot be written" in process.why_not_ready()
    log_directory.write(LINES)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_for_events(process, 2 * LINES + 40)
    assert process.ready()
    counts = LineCounts()
    for number, document in enumerate(documents(out)):
        if b"large" not in document:
            counts.take(str(number), document)
    assert counts.audit(2 * LINES).passed
    assert len(documents(out)) == 2 * LINES + 40
    events = process.metrics().by("shipper_events_total", "outcome")
    assert events["delivered"] == 2 * LINES + 40
    # Said once, and not again with every try.
    assert len(process.logged("output-write-failed")) == 1


def test_a_file_of_format_bulk_can_be_posted_and_makes_the_same_documents(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, out: Path
) -> None:
    log_directory.write(LINES)
    process = into(shipper(), out, format="bulk")
    process.start()
    wait_for_events(process, LINES)
    headers = {"Content-Type": "application/x-ndjson"}
    url = f"{bulk_server.url}/logs-mine-default/_bulk"
    with urlopen(Request(url, out.read_bytes(), headers), timeout=10) as answer:
        assert json.loads(answer.read())["errors"] is False
    posted = dict(bulk_server.documents)
    assert bulk_server.audit(LINES).passed

    # Shipped there as well, by another daemon, every one of them is there already.
    direct = shipper()
    direct.start()
    wait_for_events(direct, LINES)
    assert dict(bulk_server.documents) == posted
    events = direct.metrics().by("shipper_events_total", "outcome")
    assert (events["delivered"], events["already_delivered"]) == (0, LINES)


def test_a_second_daemon_does_not_write_to_the_same_file(
    shipper: MakeShipper, log_directory: LogDirectory, out: Path
) -> None:
    first, second = into(shipper(), out), into(shipper(), out)
    first.start()
    first.wait_until_ready()
    second.start()
    second.wait_until(
        lambda: "another process writes to it" in second.why_not_ready(), "the second one waits"
    )
    log_directory.write(LINES)
    wait_for_events(first, LINES)
    assert audit(out, LINES).passed
    first.sigterm()
    # The second one sees what the first one wrote.
    assert_all_there_once(second, out, LINES)


class Printing:
    """A daemon of which the test is the reader."""

    def __init__(self, process: ShipperProcess) -> None:
        shipping(process, {"console": {}}, admin={"enabled": False})
        command = [*process.executed_by, sys.executable, "-m", "shipper", "run"]
        command += ["-c", str(process.config_path)]
        self.log = process.log_path
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)

    def lines(self, count: int) -> list[bytes]:
        assert self.process.stdout is not None
        return [self.process.stdout.readline() for _ in range(count)]

    def wait_until_the_pipe_is_full(self) -> None:
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        waiting = bytearray(4)
        while int.from_bytes(waiting, sys.byteorder) < 60 * KIB:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
            fcntl.ioctl(self.process.stdout, termios.FIONREAD, waiting)

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.process.wait()
        self.close()


@pytest.fixture
def printing(shipper: MakeShipper, tmp_path: Path) -> Iterator[Callable[[], Printing]]:
    """Start daemons that print, all of them with the same data."""
    started: list[Printing] = []

    def start() -> Printing:
        process = shipper({"shutdown_timeout": "500ms"}, directory=tmp_path / "printing")
        started.append(Printing(process))
        return started[-1]

    yield start
    for each in started:
        each.end()


def test_the_console_has_one_document_a_line_and_nothing_else(
    printing: Callable[[], Printing], log_directory: LogDirectory
) -> None:
    daemon = printing()
    log_directory.write(LINES)
    lines = daemon.lines(LINES)
    counts = LineCounts()
    for number, line in enumerate(lines):
        counts.take(str(number), line)
        assert {"@timestamp", "message", "log", "agent"} <= set(json.loads(line))
    assert counts.audit(LINES).passed
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert daemon.lines(1) == [b""]
    assert '"action":"shipper-started"' in daemon.log.read_text()


def test_the_console_goes_on_where_it_was(
    printing: Callable[[], Printing], log_directory: LogDirectory
) -> None:
    first = printing()
    log_directory.write(LINES)
    first.lines(LINES)
    first.process.send_signal(signal.SIGTERM)
    assert first.wait() == 0
    log_directory.write(1)
    second = printing()
    [line] = second.lines(1)
    assert json.loads(line)["log"]["offset"] > 0
    second.process.send_signal(signal.SIGTERM)
    assert second.wait() == 0


def test_when_the_reader_of_the_console_has_gone_it_ends_in_order_and_loses_nothing(
    printing: Callable[[], Printing], log_directory: LogDirectory
) -> None:
    first = printing()
    log_directory.write(LINES)
    printed = first.lines(LINES)
    first.close()
    log_directory.write(LINES)
    assert first.wait() == 1
    logged = [flat(json.loads(line)) for line in first.log.read_text().splitlines()]
    assert logged[-1]["event.action"] == "fatal"
    assert logged[-1]["error.message"] == "standard output cannot be written: Broken pipe"
    assert not any("error.stack_trace" in entry for entry in logged)
    assert any(entry["event.action"] == "shipper-stopped" for entry in logged)

    second = printing()
    printed += second.lines(LINES)
    counts = LineCounts()
    for number, line in enumerate(printed):
        counts.take(str(number), line)
    assert counts.audit(2 * LINES).passed
    second.process.send_signal(signal.SIGTERM)
    assert second.wait() == 0


def test_a_reader_that_does_not_read_keeps_no_stop_from_happening(
    printing: Callable[[], Printing], log_directory: LogDirectory
) -> None:
    # Much more than a pipe holds.
    for _ in range(100):
        log_directory.append(b'{"large":"%b"}\n' % (b"x" * 10_000))
    daemon = printing()
    daemon.wait_until_the_pipe_is_full()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait() == 0
