"""A stranger holds all of one shared thing that is finite: good lines go on at four fifths of their
speed or more, compared in the same run with phases without the stranger.

The table of these things is in docs/limits.md.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.support import hanging_mount
from tests.support.bulk_server import BulkServer
from tests.support.faults import (
    CutAnswer,
    CutBefore,
    Document,
    Fault,
    Garbage,
    Items,
    Slow,
    Status,
)
from tests.support.full_pipe import Stderr
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess
from tests.support.speed import Speed

MIB = 1024 * 1024

WAITED = 2.0
"""Seconds that a busy machine may take besides."""

POISON = b"POISON"
PERMITS = 4
BODIES = 2 * PERMITS + 1
"""So many take all permits, and all places of overdue requests."""

PACED: dict[str, Any] = {
    "concurrency": "fixed",
    "max_in_flight": PERMITS,
    "compression": "none",
    "timeout": "30s",
    "backoff": {"initial": "200ms", "max": "1s"},
    "bulk": {"max_bytes": "64KiB", "linger": "20ms"},
}
"""An output of which the permits are the narrowest place, if the server takes ANSWER seconds."""

ANSWER = 0.2

LINES = 4000
"""Of a phase: about three seconds, in which a processor has little to do."""


def poison(number: int) -> bytes:
    """A line that makes its body one that is never answered well."""
    line = {"time": "2026-01-01T00:00:00Z", "x": f"{POISON.decode()} {number}"}
    return json.dumps(line).encode() + b"\n"


@pytest.fixture
def bad(tmp_path: Path) -> LogDirectory:
    """The logs of a stranger."""
    return LogDirectory(tmp_path / "bad")


def inputs(good: LogDirectory, bad: LogDirectory) -> list[dict[str, Any]]:
    return [{"id": "good", "paths": [good.glob]}, {"id": "bad", "paths": [bad.glob]}]


def without_outcome(daemon: ShipperProcess) -> float:
    return daemon.metrics().value("shipper_in_flight_events")


def is_poisonous(document: Document) -> bool:
    return POISON.decode() in document["message"]


FAULTS: dict[str, Fault] = {
    "cut": CutBefore(),
    "half an answer": CutAnswer(),
    "502": Status(502),
    "403": Status(403, body=b"<p>blocked"),
    "HTML": Garbage(),
    "no items": Garbage(b'{"errors":false}'),
    "too long": Garbage(b"x" * 2**20),
    "items of 500": Items(500, is_poisonous),
    "items of 503": Items(503, is_poisonous),
    "refused items": Items(400, is_poisonous),
    "hangs": Slow(30.0),
}


QUICKLY = 10.0
"""Seconds within which all bodies of a stranger had a permit once, although each of them may hang
until the timeout: a third of that. With a permit for each until then, it would be two minutes."""


@pytest.mark.parametrize(
    "names",
    [
        ("HTML", "items of 500", "hangs"),
        pytest.param(tuple(FAULTS), marks=pytest.mark.long),
    ],
    ids=["some", "all"],
)
def test_permits_that_bodies_hold_which_are_never_answered_well(
    names: tuple[str, ...],
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    bad: LogDirectory,
) -> None:
    bulk_server.rates[Slow(ANSWER)] = 1.0
    daemon = shipper({"inputs": inputs(log_directory, bad), "output": PACED})
    daemon.start()
    speed, numbers = Speed(bulk_server, log_directory, LINES), itertools.count()

    @contextlib.contextmanager
    def stranger(fault: Fault) -> Iterator[None]:
        bulk_server.poison, bulk_server.poisoned = (POISON, fault), 0
        began = time.monotonic()
        # There are always others, which show that the server is well.
        with log_directory.writing(200):
            while bulk_server.poisoned < BODIES:
                assert time.monotonic() - began < QUICKLY, f"{bulk_server.poisoned} bodies"
                bad.append(poison(next(numbers)))
                time.sleep(0.2)  # Not all in one body, and not one in each.
        yield
        bulk_server.poison = None

    for name in names:
        speed.compare(name, functools.partial(stranger, FAULTS[name]))
        assert daemon.ready()
        if name != "hangs":
            bulk_server.wait_for_lines(log_directory.written)
            daemon.wait_until_idle()


HUNG_FILES = 24
"""More than any pool has threads."""


@pytest.mark.parametrize("what", [hanging_mount.READS, hanging_mount.ALL], ids=["reads", "all"])
def test_threads_that_a_hanging_mount_holds(
    what: str,
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    if reason := hanging_mount.why_not():
        pytest.skip(f"no FUSE file system can be mounted: {reason}")
    behind, mountpoint = tmp_path / "behind", tmp_path / "mount"
    for each in (behind, mountpoint):
        each.mkdir()
    logs = [behind / f"{number}.log" for number in range(HUNG_FILES)]
    line = b'{"time":"2026-01-01T00:00:00Z","x":"hung %d"}\n'

    def write() -> None:
        for number, log in enumerate(logs):
            with log.open("ab") as file:
                file.write(line % number)

    write()
    inputs = [
        {"id": "tetragon", "paths": [log_directory.glob], "on_invalid": "dead_letter"},
        {"id": "hung", "paths": [f"{mountpoint}/*.log"]},
    ]
    daemon = shipper({"inputs": inputs})
    daemon.executed_by = hanging_mount.command(behind, mountpoint)
    daemon.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == HUNG_FILES)
    speed, numbers = Speed(bulk_server, log_directory, 20_000), itertools.count()

    @contextlib.contextmanager
    def stranger() -> Iterator[None]:
        (behind / what).touch()
        write()
        with gzip.open(behind / f"{next(numbers)}.log.gz", "wb") as file:
            file.write(line % 1000 * 100)
        daemon.wait_until(lambda: hangs(daemon) > 0, "calls hang")
        yield
        (behind / what).unlink()
        daemon.wait_until_idle()

    speed.compare(what, stranger)
    (behind / what).touch()
    write()
    daemon.wait_until(lambda: hangs(daemon) > 0, "calls hang")
    daemon.wait_until(lambda: "hung: " in daemon.why_not_ready(), "/readyz names the input")
    # Dead letters are written, and offsets are saved.
    log_directory.append(b"no JSON\n")
    wait_until_counted(daemon, "shipper_events_total", 1, outcome="dead_letter")
    commits = daemon.metrics().value("shipper_registry_commits_total")
    log_directory.write(1)
    wait_until_counted(daemon, "shipper_registry_commits_total", commits + 1)
    (behind / what).unlink()
    daemon.wait_until_idle()
    daemon.wait_until_ready()
    assert daemon.metrics().uncounted_lines == 0
    (behind / what).touch()
    write()
    daemon.wait_until(lambda: hangs(daemon) > 0, "calls hang")
    assert daemon.sigterm() == 0
    assert daemon.logged("shipper-stopped")


def hangs(daemon: ShipperProcess) -> float:
    return daemon.metrics().value("shipper_hanging_calls")


def wait_until_counted(daemon: ShipperProcess, metric: str, count: float, **labels: str) -> None:
    """Return when a counter is that high."""
    daemon.wait_until(
        lambda: daemon.metrics().value(metric, **labels) >= count, f"{metric}: {count}"
    )


# What is below does not depend on permits: the speed is that of two cores, which is measured in
# turns with the stranger and without.


def test_a_host_that_asks_for_a_day_holds_no_request(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.rates[Slow(ANSWER)] = 1.0
    with BulkServer() as asking:
        daemon = shipper({"output": {**PACED, "hosts": [asking.url, bulk_server.url]}})
        daemon.start()
        # As long as that host takes nothing at all, the other one has all permits.
        asking.rates[Status(403)] = 1.0
        speed = Speed(bulk_server, log_directory, LINES)

        @contextlib.contextmanager
        def stranger(status: int) -> Iterator[None]:
            asking.rates.clear()
            asking.rates[Status(status, retry_after="86400")] = 1.0
            yield

        for status in (429, 503):
            speed.compare(f"Retry-After with {status}", functools.partial(stranger, status))
        assert daemon.ready()


def test_labels_pages_and_logs_that_a_stranger_fills(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, bad: LogDirectory
) -> None:
    """Error types and reasons of items, each another one, so that each refused event is another
    series; nobody reads the log."""
    numbers = itertools.count()

    def odd(document: Document) -> bool:
        if not is_poisonous(document):
            return False
        number = next(numbers)
        reason = f"reason {number} " + "x" * (number % 3000)
        bulk_server.refuse_items = Items(400, odd, reason, f"type_{number}_exception")
        return True

    daemon = shipper({"inputs": inputs(log_directory, bad)})
    stderr = Stderr()
    daemon.start(stderr=stderr.descriptor)
    stderr.give_away()
    speed = Speed(bulk_server, log_directory, 20_000)
    series = len(daemon.get("/metrics")[1].splitlines())
    memory = resident(daemon.pid)

    @contextlib.contextmanager
    def stranger() -> Iterator[None]:
        bulk_server.refuse_items = Items(400, odd)
        bad.append(b"".join(poison(number) for number in range(1000)))
        yield
        bulk_server.refuse_items = None

    speed.compare("labels and messages", stranger)
    daemon.wait_until_idle()
    assert len(daemon.get("/metrics")[1].splitlines()) < series + 100
    assert resident(daemon.pid) < memory + 32 * MIB
    # What matters is there when somebody reads again.
    stderr.read()
    assert daemon.sigterm() == 0
    stderr.read_to_the_end()
    actions = {entry["event.action"] for entry in stderr.entries()}
    assert {"shipper-stopped", "events-rejected"} <= actions
    stderr.close()


def test_files_descriptors_and_connections_that_a_stranger_takes(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    """Thousands of files, FIFOs, symbolic links and names beside the logs; all connections of the
    admin server."""
    daemon = shipper(
        {"inputs": [{"id": "tetragon", "paths": [f"{tmp_path}/*/*.log"], "scan_interval": "1s"}]}
    )
    daemon.executed_by = ("prlimit", "--nofile=512:512")
    daemon.start()
    speed, numbers = Speed(bulk_server, log_directory, 20_000), itertools.count()

    @contextlib.contextmanager
    def stranger() -> Iterator[None]:
        strange = tmp_path / f"strange{next(numbers)}"
        strange.mkdir()
        for number in range(700):
            (strange / f"{number}.log").write_bytes(b"")
            (strange / f"link{number}.log").symlink_to("/etc/passwd")
            if number < 100:
                os.mkfifo(strange / f"fifo{number}.log")
                (strange / f"directory{number}.log").mkdir()
                os.mkdir(os.fsencode(strange) + b"/\xff%d.log" % number)
        with contextlib.ExitStack() as held:
            host, _, port = daemon.config["admin"]["listen"].rpartition(":")
            for number in range(350):
                each = held.enter_context(socket.create_connection((host, int(port))))
                each.sendall((b"", b"GET /", b"GET /metrics HTTP/1.1\r\n\r\n")[number % 3])
            yield
            began = time.monotonic()
            assert daemon.alive()
            assert time.monotonic() - began < 1.0 + WAITED

    speed.compare("descriptors and connections", stranger)
    daemon.wait_until(
        lambda: daemon.metrics().value("shipper_files_tracked") > 700, "all files are followed"
    )


def resident(pid: int) -> int:
    """Bytes of memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024
