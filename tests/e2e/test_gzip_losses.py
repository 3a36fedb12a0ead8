"""What is missing of a gzip is a loss, once, whenever the daemon is killed and started again."""

from __future__ import annotations

from pathlib import Path

from shipper.files.registry import read_losses
from tests.conftest import MakeShipper
from tests.e2e.test_compressed import compress
from tests.e2e.test_losses import recorded
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory


def test_what_is_missing_of_a_gzip_is_recorded_once_over_kills_and_restarts(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    log_directory.write(400)
    packed = compress(log_directory.rotate())
    damaged = bytearray(packed.read_bytes())
    damaged[-8] ^= 1
    packed.write_bytes(damaged)
    process = shipper(directory=tmp_path / "daemon")
    data = Path(process.config["data_dir"])
    # As soon as its lines are there.
    process.start()
    wait_for_lines(bulk_server, 400)
    process.kill9()
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.losses) == 1)
    assert len(read_losses(data)) == 1
    process.kill9()
    process.start()
    log_directory.write(1)
    wait_for_lines(bulk_server, 401)
    process.wait_until_idle()
    process.kill9()
    [loss] = recorded(process)
    assert (loss["path"], loss["reason"], loss["lines"]) == (str(packed), "damaged", None)
    assert process.logged("compressed-file-damaged")
    assert len(bulk_server.losses) == 1
    assert len(lines_of(bulk_server)) == 401


def wait_for_lines(server: BulkServer, count: int) -> None:
    server.wait_for(lambda: len(lines_of(server)) >= count)


def lines_of(server: BulkServer) -> list[str]:
    """Return the lines that were delivered: documents of losses are none."""
    lost = {each["message"] for each in server.losses.values()}
    return [message for message in server.messages() if message not in lost]
