"""`shipper check` on outputs that need no cluster: can the file be written to?"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from shipper.check.command import check
from shipper.check.findings import Finding, Status
from shipper.clock import SystemClock
from shipper.config.file_output import ConsoleConfig, FileConfig
from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from tests.support.logdir import LogDirectory


def checked(output: OutputConfig, log_directory: LogDirectory, data: Path) -> Finding:
    """Return what is found of the output."""
    config = Config(
        name="node-1",
        inputs=(InputConfig("tetragon", (log_directory.glob,)),),
        data_dir=str(data),
        output=output,
    )
    return asyncio.run(check(config, SystemClock()))[-1]


def test_a_file_that_can_be_written_to_is_ok_and_not_made(
    log_directory: LogDirectory, tmp_path: Path
) -> None:
    path = tmp_path / "events.ndjson"
    output = OutputConfig(file=FileConfig(str(path)))
    assert checked(output, log_directory, tmp_path).status is Status.OK
    assert not path.exists()
    path.touch()
    assert checked(output, log_directory, tmp_path).status is Status.OK


@pytest.mark.parametrize(
    ("made", "name", "detail"),
    [
        ("directory", "missing/events.ndjson", "missing: no such file or directory"),
        ("directory", "there", "it is not a file that this user may read and write"),
        ("fifo", "there", "it is not a file that this user may read and write"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    made: str, name: str, detail: str, log_directory: LogDirectory, tmp_path: Path
) -> None:
    if made == "fifo":
        os.mkfifo(tmp_path / "there")
    else:
        (tmp_path / "there").mkdir()
    output = OutputConfig(file=FileConfig(str(tmp_path / name)))
    found = checked(output, log_directory, tmp_path)
    assert found.status is Status.FAILED
    assert found.detail.endswith(detail)
    assert found.what_to_do


def test_the_console_is_ok(log_directory: LogDirectory, tmp_path: Path) -> None:
    output = OutputConfig(console=ConsoleConfig())
    found = checked(output, log_directory, tmp_path)
    assert (found.subject, found.status) == ("standard output", Status.OK)
