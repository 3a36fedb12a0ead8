"""The daemon while a file of a secret hangs, as on a mount whose server is gone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.e2e.shipping import lines_read
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """A FIFO that nobody writes: whoever opens it hangs."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    yield path
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


# Both take the time limit of 5 s for a file, once.
def test_shipping_goes_on_with_the_secret_that_was_read(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    fifo: Path,
) -> None:
    secret = tmp_path / "password"
    secret.write_text("first\n")
    process = shipper({"output": {"username": "u", "password_file": str(secret)}})
    process.start()
    log_directory.write(10)
    bulk_server.wait_for_lines(10)
    fifo.rename(secret)
    log_directory.write(10)
    bulk_server.wait_for_lines(20)
    process.wait_until(
        lambda: bool(process.logged("secret-file-hangs")), "the log names the file that hangs"
    )
    (entry, *_) = process.logged("secret-file-hangs")
    assert entry["file.path"] == str(secret)
    log_directory.write(100)
    bulk_server.wait_for_lines(120)
    # The thread that hangs holds up neither this nor the event loop, which is watched.
    assert process.sigterm() == 0
    fifo.symlink_to(secret)


def test_lines_are_read_and_the_reason_is_told_while_a_secret_was_never_read(
    shipper: MakeShipper, log_directory: LogDirectory, fifo: Path
) -> None:
    process = shipper(
        {"output": {"username": "u", "password_file": str(fifo)}, "shutdown_timeout": "1s"}
    )
    log_directory.write(1000)
    process.start()
    process.wait_until(
        lambda: "no answer within 5 s" in process.why_not_ready(), "/readyz tells the reason"
    )
    assert "check the mount that it is on" in process.why_not_ready()
    assert lines_read(process) == 1000
    log_directory.write(1000)
    process.wait_until(lambda: lines_read(process) == 2000, "reading goes on")
    assert process.sigterm() == 0
