"""An exception in every awaited call of every stage: shipping goes on, nothing is lost or doubled.

The places are found in the syntax trees of the modules (`tests.support.injection`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.e2e.injecting import (
    AFTER_THE_LAST_COMMIT,
    PAGES,
    Inject,
    assert_counted_once,
    injected,
    raised,
)
from tests.e2e.shipping import assert_delivered_once, ship_and_stop
from tests.e2e.test_compressed import compress
from tests.e2e.test_local_outputs import documents, into
from tests.e2e.test_losses import QUOTA, give_up_some, states
from tests.e2e.test_retention import tracker
from tests.support.bulk_server import BulkServer
from tests.support.faults import Items
from tests.support.injection import all_places
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

PLACES = 330
"""There are so many at least."""


def test_the_places_are_many_and_each_has_a_name() -> None:
    found = all_places()
    assert len(found) == len(set(found)) >= PLACES


__all__ = ["injected"]


@pytest.fixture
def process(shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path) -> ShipperProcess:
    inputs = [
        {"id": "tetragon", "paths": [log_directory.glob]},
        {"id": "other", "paths": [f"{tmp_path}/other/*.log"], "on_invalid": "dead_letter"},
    ]
    return shipper({"inputs": inputs, "output": {"bulk": {"max_events": 50}}})


@pytest.mark.parametrize(
    ("times", "error"),
    [
        (1, "usual"),
        (2, "usual"),
        (1, "memory"),
        (1, "recursion"),
        (1, "cancelled"),
        (1, "speechless"),
    ],
)
def test_every_place_that_is_reached_raises_and_all_lines_are_there_once(
    times: int,
    error: str,
    process: ShipperProcess,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    injected: Inject,
) -> None:
    report = injected(process, times=times, error=error, skip=AFTER_THE_LAST_COMMIT)
    bulk_server.refuse_items = Items(400, lambda document: "refused" in document["message"])
    other = tmp_path / "other"
    other.mkdir()
    log_directory.write(200)
    process.start()
    for number in range(10):
        log_directory.write(30)
        if number % 3 == 0:
            log_directory.rotate()
        (other / f"{number}.log").write_bytes(b'no JSON\n\n{"number":%d}\n' % number)
        # So that each of these is a commit, a scan and a request of its own.
        bulk_server.wait_for_lines(200 + 30 * (number + 1))
    log_directory.append(b'{"a":"refused"}\n')

    def is_over() -> bool:
        try:
            status = process.status()
            assert process.get("/metrics")[0] == 200
        except (OSError, ValueError, AssertionError):
            return False  # A page failed, too: it is an answer with 500.
        return bool(
            status["events"]["dead_letter"] == 11
            and status["lines_read"] == 531
            and not (status["in_flight_events"] or status["backlog_bytes"])
        )

    process.wait_until(is_over, "every line has its outcome")
    status = process.status()
    assert_counted_once(process, 531)
    assert status["events"]["blank"] == 10
    assert status["events"]["delivered"] + status["events"]["already_delivered"] == 510
    documents = [document["message"] for document in bulk_server.documents.values()]
    assert len(documents) == len(set(documents)) == 510
    assert process.sigterm() == 0
    assert len(raised(report)) >= 60


def test_the_places_of_an_output_file_raise_and_all_lines_are_there_once(
    shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path, injected: Inject
) -> None:
    out = tmp_path / "out" / "output.ndjson"
    out.parent.mkdir()
    process = into(shipper(), out)
    report = injected(process, skip=PAGES)
    log_directory.write(100)
    process.start()
    process.wait_until(lambda: out.exists() and len(documents(out)) >= 100, "they are written")
    log_directory.write(100)
    process.wait_until(lambda: len(documents(out)) >= 200, "the others are written")
    process.wait_until_idle()
    messages = [json.loads(line)["message"] for line in documents(out)]
    assert len(messages) == len(set(messages)) == 200
    assert_counted_once(process, 200)
    assert process.sigterm() == 0
    assert any(place.startswith("shipper.output.file") for place in raised(report))


def test_the_places_of_gzips_raise_and_all_lines_are_there_once(
    shipper: MakeShipper,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
    injected: Inject,
) -> None:
    ship_and_stop(shipper(directory=tmp_path / "daemon"), bulk_server, log_directory, 100)
    log_directory.write(50)
    compress(log_directory.rotate())
    log_directory.write(30)
    compress(log_directory.rotate())
    log_directory.write(20)
    process = shipper(directory=tmp_path / "daemon")
    report = injected(process, skip=PAGES + AFTER_THE_LAST_COMMIT)
    process.start()
    assert_delivered_once(process, bulk_server, 200)
    # The first gzip and the file that it was made of, which a link keeps, may both be read.
    assert_counted_once(process, 100, read_again=50)
    assert process.sigterm() == 0
    assert any(place.startswith("shipper.files.compressed") for place in raised(report))


def test_the_places_of_the_quota_and_of_losses_raise_and_what_is_lost_is_known(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path, injected: Inject
) -> None:
    """Takes 20 seconds: nothing is given up in the first five."""
    # So many backups that a file lives longer than scans are disturbed.
    rotating = LogDirectory(tmp_path / "rotating", seed=5, max_bytes=200_000, backups=12)
    bulk_server.down()
    process = shipper(tracker(rotating, **QUOTA))
    report = injected(process, skip=PAGES + AFTER_THE_LAST_COMMIT)
    process.start()
    give_up_some(process, rotating)
    bulk_server.up()
    process.wait_until_idle()
    process.wait_until(lambda: states(process) == {"SHIPPED"}, "all losses are shipped")
    audit = bulk_server.audit(rotating.written)
    assert (audit.doubled, audit.strange) == (0, 0)
    assert process.metrics().value("shipper_lost_lines_total", reason="retention") == audit.lost
    assert_counted_once(process, rotating.written - audit.lost)
    assert process.sigterm() == 0
    assert any(place.startswith("shipper.files.quota") for place in raised(report))
    assert any(place.startswith("shipper.output.loss_shipper") for place in raised(report))
    rotating.close()


def test_the_places_of_odd_files_raise_and_all_lines_are_there_once(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path, injected: Inject
) -> None:
    """Runs of NULs, half lines, lines that are too long, files that are rewritten or removed, those
    of which only the end is read, and those of an input that is not configured any more."""
    logs = tmp_path / "logs"
    logs.mkdir()
    config: dict[str, Any] = {
        "inputs": [{"id": "odd", "paths": [f"{logs}/*.log"], "max_line_bytes": "1KiB"}],
    }
    (logs / "former.log").write_bytes(b'{"former":1}\n')
    former = {"inputs": [{**config["inputs"][0], "id": "former"}]}
    first = shipper(former, directory=tmp_path / "daemon")
    first.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 1)
    bulk_server.down()
    with (logs / "former.log").open("ab") as log:
        log.write(b'{"former":2}\n')
    first.wait_until(lambda: first.status()["lines_read"] == 2, "it is read")
    first.kill9()
    bulk_server.up()

    (logs / "ended.log").write_bytes(b'{"old":1}\n' * 50)
    config["inputs"].append(
        {"id": "end", "paths": [f"{logs}/ended*"], "start_at": "end", "exclude": []}
    )
    config["inputs"][0]["exclude"] = [f"{logs}/ended*"]
    process = shipper(config, directory=tmp_path / "daemon")
    report = injected(process, skip=PAGES + AFTER_THE_LAST_COMMIT)
    (logs / "nuls.log").write_bytes(b"\0" * 70_000 + b'{"n":1}\n' + b"\0" * 5000 + b'{"n":2}\n')
    (logs / "half.log").write_bytes(b'{"h":1}\n{"half":' + b"\0" * 9000 + b'{"h":2}\n')
    (logs / "long.log").write_bytes(b'{"l":1}\n' + b"x" * 300_000 + b'\n{"l":2}\n')
    (logs / "cut.log").write_bytes(b'{"c":1}\n' * 100)
    process.start()

    def stored() -> set[str]:
        return {str(document["message"]) for document in bulk_server.documents.values()}

    wanted = {'{"former":2}', '{"n":1}', '{"n":2}', '{"h":1}', '{"h":2}', '{"half":'}
    wanted |= {'{"l":1}', '{"l":2}', '{"c":1}'}
    bulk_server.wait_for(lambda: wanted <= stored())
    with (logs / "cut.log").open("r+b") as cut:
        cut.truncate(0)
        cut.write(b'{"c":2}\n')
    with (logs / "ended.log").open("ab") as log:
        log.write(b'{"new":1}\n')
    bulk_server.wait_for(lambda: {'{"c":2}', '{"new":1}'} <= stored())
    process.wait_until_idle()
    assert '{"old":1}' not in stored()
    assert sum(message.startswith("x") for message in stored()) == 1
    page = process.metrics()
    assert page.value("shipper_lost_bytes_total", reason="line_too_long") == 300_000 - 1024
    assert page.value("shipper_nul_bytes_skipped_total") == 70_000 + 5000 + 9000
    # The lines of each file, and not one twice.
    assert_counted_once(process, 2 + 2 + 3 + 3 + 101 + 1)
    assert process.sigterm() == 0
    assert any(place.startswith("shipper.files.nuls") for place in raised(report))
