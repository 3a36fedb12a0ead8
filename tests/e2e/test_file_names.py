"""A log whose name is no text, as Linux allows: followed, remembered and shown like any other."""

from __future__ import annotations

import os

from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory


def test_a_name_that_is_not_utf8_is_shown_with_replacement_characters(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(3)
    odd = os.fsencode(log_directory.path) + b"/tetragon-\xff.log"
    os.rename(log_directory.rotate(), odd)
    process = shipper()
    shown = f"{log_directory.path}/tetragon-\ufffd.log"
    for start in range(2):
        process.start()
        log_directory.write(2)
        bulk_server.wait_for_lines(5 + 2 * start)
        process.wait_until_idle()
        assert shown in [file["path"] for file in process.status()["files"]]
        assert process.sigterm() == 0
    assert bulk_server.audit(7).passed
    # That it cannot be watched may be said; it is scanned.
    assert "error" not in {entry["log.level"] for entry in process.logs()}
