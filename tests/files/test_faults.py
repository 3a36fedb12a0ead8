"""What the file system refuses is counted, and told with the path that an operator can look at."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shipper.files.faults import FileErrors, name_file
from shipper.logs.events import (
    FILE_READ_FAILED,
    LINK_DIRECTORY_EXPOSED,
    LINK_DIRECTORY_REPLACED,
    LogEvent,
)
from shipper.metric_table import LINK_DIRECTORY_CHANGES
from shipper.metrics import Metrics
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("/logs/a.log", "/logs/a.log"),
        (None, "/the/file"),
        (7, "/the/file"),
        ("a.log", "/the/file"),
        ("/proc/self/fd/7", "/the/file"),
    ],
)
def test_an_error_is_told_with_a_path(given: str | int | None, named: str) -> None:
    recorded, metrics = RecordedLog(ManualClock()), Metrics()
    error = OSError(errno.EIO, os.strerror(errno.EIO), given)
    FileErrors(metrics, recorded.log).report(FILE_READ_FAILED, error, "/the/file")
    (warning,) = recorded.entries("warning")
    assert (warning["file.path"], warning["error.code"]) == (named, "EIO")
    assert error.filename == named
    assert metrics.value("shipper_file_errors_total", "EIO") == 1


def test_calls_with_descriptors_name_no_path_themselves(tmp_path: Path) -> None:
    """What the kernel's calls give, of which the table above is made."""
    (tmp_path / "a").touch()
    descriptor = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        with pytest.raises(OSError) as listing:
            os.listdir(descriptor)
        with pytest.raises(OSError) as opening:
            os.open("b", os.O_RDONLY, dir_fd=descriptor)
        with pytest.raises(OSError) as linking:
            os.link(f"/proc/self/fd/{descriptor}", "/nowhere/b", follow_symlinks=True)
    finally:
        os.close(descriptor)
    for caught in (listing, opening, linking):
        assert name_file(caught.value, "/the/file") == "/the/file"


@pytest.mark.parametrize(
    ("event", "change"),
    [(LINK_DIRECTORY_EXPOSED, "exposed"), (LINK_DIRECTORY_REPLACED, "replaced")],
)
def test_changes_of_a_link_directory_are_counted(event: LogEvent, change: str) -> None:
    metrics = Metrics()
    faults = FileErrors(metrics, RecordedLog(ManualClock()).log)
    faults.report(event, OSError(errno.ESTALE, os.strerror(errno.ESTALE), "/logs/.shipper"))
    counts = {
        each: metrics.value("shipper_link_directory_changes_total", each)
        for each in LINK_DIRECTORY_CHANGES
    }
    assert counts == {**dict.fromkeys(LINK_DIRECTORY_CHANGES, 0), change: 1}
