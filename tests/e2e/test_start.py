"""What a start costs: what it imports, and the instructions until it answers and is stopped."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from shipper.demo.process import DaemonProcess
from tests.servers.launcher import free_port
from tests.support.faults import PATIENCE

#: Instructions of a start, until /healthz answers and SIGTERM ends it, in those of FLOOR: both are
#: the work of the same interpreter, so it is nearly the same number for each version and build of
#: Python. Lower it with the start; raise it for a reason only.
COST = 3.13
FLOOR = (
    "import argparse, asyncio, email.headerregistry, http.client, ipaddress, logging, sqlite3, ssl,"
    " urllib.request, zoneinfo"
)

#: What starts without a use for it must not import: packages and modules, with those below them.
ONLY_WHERE_CONFIGURED = (
    "shipper.check",
    "shipper.setup",
    "shipper.demo.play",
    "shipper.dead_letters.replay",
    "shipper.filebeat_registry",
    "shipper.config.filebeat",
    "shipper.config.processors",
    "shipper.config.conditions",
    "shipper.documents.ecs",
    "shipper.documents.processors.plan",
    "shipper.golang",
    "re2",
    "zoneinfo",
    "aiohttp.web",
    "importlib.metadata",
)

#: The options of each output, and what only the others need.
OUTPUTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "elasticsearch": (
        {"hosts": ["http://127.0.0.1:9"]},
        ("shipper.output.file", "shipper.output.console"),
    ),
    "file": (
        {"file": {"path": "out.ndjson"}},
        ("shipper.output.elasticsearch", "shipper.output.console", "aiohttp", "yarl", "attr"),
    ),
    "console": (
        {"console": {}},
        ("shipper.output.elasticsearch", "shipper.output.file", "aiohttp", "yarl", "attr"),
    ),
}

_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)


def start_and_stop(
    directory: Path,
    output: Mapping[str, Any],
    environment: Mapping[str, str],
    executed_by: tuple[str, ...] = (),
) -> str:
    """Start a daemon that follows one log, and stop it when it answers; return what it logged."""
    directory.mkdir()
    (directory / "tetragon.log").write_text('{"process_exec":{},"time":"2026-11-27T04:00:00Z"}\n')
    if "file" in output:
        output = {"file": {"path": str(directory / output["file"]["path"])}}
    config = {
        "data_dir": str(directory / "data"),
        "inputs": [{"id": "tetragon", "paths": [str(directory / "*.log")]}],
        "output": output,
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
    }
    process = DaemonProcess(config, directory, environment=environment)
    process.executed_by = executed_by
    process.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while process.running and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                assert process.get("/healthz")[0] == 200
                break
            time.sleep(0.02)
        process.send(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, process.log_tail()
    finally:
        process.kill()
    return process.log_path.read_text(errors="replace")


@pytest.mark.parametrize("kind", OUTPUTS)
def test_what_has_no_use_is_not_imported(tmp_path: Path, kind: str) -> None:
    output, others = OUTPUTS[kind]
    logged = start_and_stop(tmp_path / "run", output, {"PYTHONPROFILEIMPORTTIME": "1"})
    imported = set(_IMPORTED.findall(logged))
    assert "shipper.daemon" in imported
    unwanted = (*ONLY_WHERE_CONFIGURED, *others)
    assert not {
        name for name in imported if any(f"{name}.".startswith(f"{each}.") for each in unwanted)
    }


def instructions(record: Path) -> int:
    found = re.search(r"^summary: (\d+)", record.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.fixture
def counted() -> Callable[[Path], tuple[str, ...]]:
    """The command that executes a program and counts its instructions into a file; skips, or fails
    in CI, without valgrind."""
    if shutil.which("valgrind") is None:
        reason = "THE START WAS NOT COUNTED: valgrind is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    quiet = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--branch-sim=no", "--quiet")
    return lambda record: (*quiet, f"--cachegrind-out-file={record}")


@pytest.mark.valgrind
def test_a_start_takes_no_more_instructions_than_before(
    tmp_path: Path, counted: Callable[[Path], tuple[str, ...]]
) -> None:
    """It takes ten seconds: each instruction is simulated."""
    # With bytecode, as the image has it, and without the luck of a seed.
    environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONHASHSEED": "0"}
    output, _ = OUTPUTS["elasticsearch"]
    start_and_stop(tmp_path / "first", output, environment)
    start_and_stop(tmp_path / "second", output, environment, counted(tmp_path / "start"))
    subprocess.run(
        [*counted(tmp_path / "floor"), sys.executable, "-c", FLOOR],
        env={**os.environ, **environment},
        check=True,
        timeout=PATIENCE,
    )
    cost = instructions(tmp_path / "start") / instructions(tmp_path / "floor")
    assert cost < 1.1 * COST, f"{cost:.2f} instead of {COST}: see `python -X importtime`"
