"""Memory, backpressure, and what an operator sees while Elasticsearch is slow."""

from __future__ import annotations

from pathlib import Path

from shipper.files.lines import BLOCK_BYTES
from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import Gate, Held
from tests.support.logdir import LogDirectory

MIB = 1024 * 1024


def peak_rss(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_reading_stops_when_the_byte_budget_is_taken(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    gate = Gate()
    bulk_server.next(*[Held(gate)] * 64)
    log_directory.write(500)
    # Not compressible, 6 MiB: more than the budget in any form.
    with Path("/dev/urandom").open("rb") as noise:
        for _ in range(600):
            log_directory.append(b'{"noise":"%b"}\n' % noise.read(5_000).hex().encode())
    log_directory.writer.reopen()
    output = {"compression": "none", "max_in_flight": 64, "bulk": {"max_events": 50}}
    process = shipper({"output": output, "memory": {"max_bytes": "1MiB"}})
    process.start()
    process.wait_until(
        lambda: process.metrics().value("shipper_in_flight_bytes") >= MIB, "the budget is taken"
    )
    gate.wait_until_reached()
    read = process.metrics().value("shipper_bytes_read_total", input="tetragon")
    held = process.metrics().value("shipper_in_flight_bytes")
    # One block more than the limit, as it could not be known what it would be encoded.
    assert held <= MIB + 4 * BLOCK_BYTES
    assert read < 3 * MIB
    assert process.metrics().value("shipper_backlog_bytes", input="tetragon") > 5 * MIB
    gate.open()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 1100)
    process.wait_until_idle()
    assert process.metrics().value("shipper_in_flight_bytes") == 0
    assert process.metrics().uncounted_lines == 0


def test_memory_stays_bounded_while_elasticsearch_is_away(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.down()
    line = b'{"noise":"%b"}\n'
    with Path("/dev/urandom").open("rb") as noise:
        for _ in range(100):
            log_directory.append(b"".join([line % noise.read(1000).hex().encode()] * 400))
    size = log_directory.log.stat().st_size
    assert size > 75 * MIB
    process = shipper({"memory": {"max_bytes": "32MiB"}})
    process.start()
    process.wait_until(
        lambda: process.metrics().value("shipper_retries_total", reason="connect") >= 8,
        "as much as may be is held",
    )
    bulk_server.up()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 40_000)
    process.wait_until_idle()
    assert peak_rss(process.pid) < 72 * MIB, f"{peak_rss(process.pid) / MIB:.0f} MiB"


def test_the_age_of_the_oldest_line_grows_while_nothing_gets_through(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.down()
    process = shipper()
    process.start()
    log_directory.write(5)
    age = "shipper_oldest_unacknowledged_seconds"
    process.wait_until(lambda: process.metrics().value(age) >= 0.5, "it grows")
    assert process.metrics().value("shipper_backlog_bytes", input="tetragon") > 0
    bulk_server.up()
    bulk_server.wait_for_lines(5)
    process.wait_until_idle()
    assert process.metrics().value(age) == 0
    assert process.metrics().value("shipper_backlog_bytes", input="tetragon") == 0


def test_readiness_says_when_a_host_answered(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.down()
    process = shipper()
    process.start()
    process.wait_until(lambda: bulk_server.url in process.why_not_ready(), "it names the host")
    assert process.get("/healthz")[0] == 200
    bulk_server.up()
    # Without a line to ship: a probe finds it out.
    process.wait_until_ready()
    assert not bulk_server.requests
