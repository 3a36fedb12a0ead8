"""Each way in which a bulk server misbehaves, alone and all at once, with kill -9 in between.

Whatever it does to a tenth of the requests or of the items: every line that was written is there,
once, none is a dead letter, and the counters add up. For CI each mode is short; the nightly run
gives each a minute, and runs the same against the lab's own server and writer where they are at
hand.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.servers.client import request
from tests.servers.launcher import free_port
from tests.support.bulk_server import BulkServer
from tests.support.faults import (
    CutAnswer,
    CutBefore,
    Fault,
    Garbage,
    LostAnswer,
    Slow,
    Status,
)
from tests.support.logdir import LogDirectory

SHARE = 0.1
"""Of the requests, or of the items, that meet a fault of a mode."""

LINES = 150
"""Lines that a short run writes before and after each kill."""

LONG_SECONDS = 60.0
"""How long a long run writes."""

LONGEST_LIFE = 4.0
"""Seconds from a start to its kill -9 in a long run, at the most."""

TIMEOUT = "500ms"
"""The daemon's own, for a request."""

SLOW = (Slow(0.1), Slow(0.8))
"""Within the timeout, and past it."""

PATIENCE = 120.0
"""Seconds for what a long run leaves."""


@dataclass(frozen=True, slots=True)
class Mode:
    """What a server does wrong."""

    name: str
    faults: tuple[Fault, ...] = ()
    """Each of them meets SHARE of the requests."""

    items: tuple[int, ...] = ()
    """Each of these statuses meets SHARE of the items."""

    max_body: int | None = None
    """Bytes of a body; a larger one is refused with 413. Any single event is far below it."""

    new_keys: bool = False
    """Whether the API key is another one in each life of the daemon."""

    outages: bool = False
    """Whether connections are refused for a while in each life of the daemon."""

    rate: float = 1000.0
    """Lines a second that a long run writes."""

    bulk: dict[str, Any] = field(default_factory=lambda: {"max_events": 25})


def refused(status: int, retry_after: str | None = None) -> Mode:
    """Return the mode in which whole requests are answered that status."""
    name = f"{status}" if retry_after is None else f"{status} with Retry-After"
    return Mode(name, (Status(status, retry_after=retry_after),))


ALONE = (
    Mode("item 429", items=(429,)),
    Mode("item 503", items=(503,)),
    refused(429),
    refused(429, retry_after="1"),
    refused(500),
    refused(502),
    refused(503),
    Mode("lost answer", (LostAnswer(),)),
    Mode("cut before", (CutBefore(),)),
    Mode("garbage", (Garbage(),)),
    Mode("half an answer", (CutAnswer(), CutAnswer(framed=False))),
    Mode("slow", SLOW),
    Mode("413", max_body=20_000),
    Mode("a key that changes", new_keys=True),
    Mode("connection refused", outages=True),
)
MIXED = Mode(
    "mixed",
    faults=(
        Status(429),
        Status(429, retry_after="1"),
        Status(503),
        LostAnswer(),
        CutBefore(),
        Garbage(),
        CutAnswer(),
        *SLOW,
    ),
    items=(429, 503),
    max_body=200_000,
    new_keys=True,
    outages=True,
    # With so many faults little gets through, and a request has to be worth more.
    rate=100.0,
    bulk={"max_events": 200},
)
MODES = pytest.mark.parametrize("mode", [*ALONE, MIXED], ids=lambda mode: mode.name)


class Run:
    """One server in one mode, and daemons that ship to it, one after another."""

    def __init__(
        self, mode: Mode, server: BulkServer, logs: LogDirectory, shipper: MakeShipper, home: Path
    ) -> None:
        self.mode = mode
        self.server = server
        self.logs = logs
        home.mkdir()
        self._key_file = home / "api-key"
        self._keys = 0
        output: dict[str, Any] = {
            "bulk": {"linger": "20ms", **mode.bulk},
            "timeout": TIMEOUT,
            # 413 is about the size as it is sent.
            "compression": "none" if mode.max_body else "gzip",
            "max_in_flight": 8,
        }
        if mode.new_keys:
            output["api_key_file"] = str(self._key_file)
            self._change_key()
            self._write_key()
        source = {"id": "tetragon", "paths": [logs.glob]}
        self.daemon = shipper({"inputs": [source], "output": output}, directory=home / "daemon")
        # Each fault once for certain, then by chance.
        server.next(*mode.faults)
        server.rates.update(dict.fromkeys(mode.faults, SHARE))
        server.item_rates.update(dict.fromkeys(mode.items, SHARE))
        server.max_body_bytes = mode.max_body

    def trouble(self, lines: int = 0) -> None:
        """Have what is not a matter of chance go wrong, and heal, in the daemon that runs. So many
        ``lines`` are written while connections are refused: all others may be there by then."""
        if self.mode.new_keys:
            refusals = self._answers(401)
            self._change_key()
            self.server.wait_for(lambda: self._answers(401) > refusals)
            self._write_key()
        if self.mode.outages:
            self.server.down()
            self.logs.write(lines)
            self.daemon.wait_until(
                lambda: self.daemon.metrics().value("shipper_retries_total", reason="connect") > 0,
                "a connection was refused",
            )
            self.server.up()

    def finish(self) -> None:
        """Ship what is left with a daemon that is not killed; every promise has to be kept."""
        self.daemon.start()
        self.server.wait_for_lines(self.logs.written, PATIENCE)
        self.daemon.wait_until_idle()
        audit = self.server.audit(self.logs.written)
        page = self.daemon.metrics()
        assert self.daemon.sigterm() == 0
        assert audit.passed, audit
        assert audit.delivered == self.logs.written
        assert page.uncounted_lines == 0
        events = page.by("shipper_events_total", "outcome")
        assert sum(events.values()) == events["delivered"] + events["already_delivered"], events
        assert not list(Path(self.daemon.config["data_dir"]).glob("dead-letter*"))
        assert page.value("shipper_lost_bytes_total") == 0
        self._assert_it_was_that_bad()

    def _assert_it_was_that_bad(self) -> None:
        # What is slow is over later than the daemon's patience.
        wanted = set(self.mode.faults)
        self.server.wait_for(lambda: wanted <= {each.fault for each in self.server.requests})
        assert set(self.server.refused_items) == set(self.mode.items)
        assert self.mode.max_body is None or self._answers(413)

    def _answers(self, status: int) -> int:
        return [each.status for each in self.server.requests].count(status)

    def _change_key(self) -> None:
        self._keys += 1
        key = base64.b64encode(f"id:key-{self._keys}".encode()).decode()
        self.server.authorization = f"ApiKey {key}"

    def _write_key(self) -> None:
        new = self._key_file.with_suffix(".new")
        new.write_text(f"id:key-{self._keys}")
        new.rename(self._key_file)


@MODES
def test_nothing_is_lost_and_nothing_doubled(
    mode: Mode, bulk_server: BulkServer, tmp_path: Path, shipper: MakeShipper
) -> None:
    logs = LogDirectory(tmp_path / "logs", max_bytes=200_000)
    run = Run(mode, bulk_server, logs, shipper, tmp_path / "run")
    logs.write(LINES)
    run.daemon.start()
    logs.write(LINES)
    run.trouble(LINES)
    # Some are there, and others under way.
    bulk_server.wait_for_lines(LINES // 2)
    run.daemon.kill9()
    logs.write(LINES)
    run.finish()
    logs.close()


@pytest.mark.long
@MODES
def test_nothing_is_lost_and_nothing_doubled_in_a_minute_of_kills(
    mode: Mode, bulk_server: BulkServer, tmp_path: Path, shipper: MakeShipper
) -> None:
    logs = LogDirectory(tmp_path / "logs", max_bytes=2_000_000, split_share=0.01)
    run = Run(mode, bulk_server, logs, shipper, tmp_path / "run")
    rng = random.Random(mode.name)
    kills = 0
    with logs.writing(mode.rate):
        end = time.monotonic() + LONG_SECONDS
        while time.monotonic() < end:
            run.daemon.start()
            run.trouble()
            time.sleep(rng.uniform(0, LONGEST_LIFE))
            run.daemon.kill9()
            kills += 1
    run.finish()
    logs.close()
    assert kills >= LONG_SECONDS / (2 * LONGEST_LIFE)


# The lab: a server and a writer of others


LAB = Path(__file__).parents[3] / "shared" / "lab"

LAB_EVENTS = 60_000
LAB_RATE = 1500

LAB_MODE = {
    "item_429_rate": SHARE,
    "drop_after_apply_rate": SHARE,
    "drop_before_apply_rate": SHARE,
    "garbage_rate": SHARE,
    "slow_rate": SHARE,
    "slow_ms": 300,
    "status": 503,
    "status_rate": SHARE,
    "retry_after": 1,
}


@dataclass(frozen=True, slots=True)
class Lab:
    """Its programs."""

    sink: Path
    tetragen: Path


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The programs, built; skips where the lab or go is not at hand."""
    if not LAB.is_dir():
        pytest.skip(f"NOT TESTED WITH THE LAB: there is no {LAB.parent.name}/{LAB.name} beside us")
    if shutil.which("go") is None:
        pytest.skip("NOT TESTED WITH THE LAB: go is not installed")
    built = tmp_path_factory.mktemp("lab")
    for name in ("sink", "tetragen"):
        command = ["go", "build", "-o", str(built / name), "."]
        subprocess.run(command, cwd=LAB / name, check=True, timeout=300)
    return Lab(built / "sink", built / "tetragen")


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program for as long as the block lasts."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def wait_for(predicate: Callable[[], bool], what: str, timeout: float) -> None:
    """Return once the predicate is true; a server that does not answer yet is no error."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if predicate():
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not within {timeout:g} s: {what}")


@pytest.mark.long
def test_nothing_is_lost_and_nothing_doubled_in_the_lab(
    lab: Lab, tmp_path: Path, shipper: MakeShipper
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    logs = tmp_path / "logs"
    logs.mkdir()
    daemon = shipper(
        {
            "inputs": [{"id": "tetragon", "paths": [str(logs / "*.log")]}],
            "output": {"hosts": [url], "timeout": "5s", "max_in_flight": 8},
        }
    )
    rng = random.Random(0)
    address = url.removeprefix("http://")
    generate = [str(lab.tetragen), "-dir", str(logs), "-n", str(LAB_EVENTS)]
    generate += ["-rate", str(LAB_RATE), "-max-size-mb", "10", "-max-backups", "5"]

    def stats() -> dict[str, int]:
        answer: dict[str, int] = request(url, "GET", "/_sink/stats").expect(200).json()
        return answer

    with running([str(lab.sink), "-addr", address, "-mode", json.dumps(LAB_MODE)]):
        wait_for(lambda: "applied" in stats(), "the sink answers", 20)
        daemon.start()
        with running(generate) as writer:
            while writer.poll() is None:
                time.sleep(rng.uniform(0, LONGEST_LIFE))
                daemon.kill9()
                daemon.start()
        wait_for(lambda: stats()["applied"] >= LAB_EVENTS, "all events are there", PATIENCE)
        daemon.wait_until_idle()
        path = f"/_sink/check?n={LAB_EVENTS}"
        found = request(url, "GET", path).expect(200).json()
        assert (found["missing"], found["duplicated"], found["unparsed"]) == (0, 0, 0), found
        assert daemon.metrics().uncounted_lines == 0
        assert daemon.sigterm() == 0
