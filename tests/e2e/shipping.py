"""What the end-to-end tests do again and again: ship lines, and look whether each is there once."""

from __future__ import annotations

from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess


def lines_read(process: ShipperProcess) -> float:
    return process.metrics().value("shipper_lines_read_total", input="tetragon")


def assert_delivered_once(process: ShipperProcess, server: BulkServer, lines: int) -> None:
    """Wait until so many lines are there; each is, once, and each that was read is counted."""
    server.wait_for_lines(lines)
    process.wait_until_idle()
    audit = server.audit(lines)
    assert audit.passed, audit
    assert process.metrics().uncounted_lines == 0


def ship(process: ShipperProcess, server: BulkServer, directory: LogDirectory, lines: int) -> None:
    """Start a daemon, write so many lines, and return when they are acknowledged."""
    process.start()
    directory.write(lines)
    server.wait_for_lines(directory.written)
    process.wait_until_idle()


def ship_and_stop(
    process: ShipperProcess, server: BulkServer, directory: LogDirectory, lines: int
) -> None:
    """Do that, and stop the daemon."""
    ship(process, server, directory, lines)
    assert process.sigterm() == 0
