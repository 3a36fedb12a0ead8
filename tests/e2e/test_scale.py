"""Very many files, and very long lines: memory stays bounded, and each line arrives once."""

from __future__ import annotations

import random
import time
from pathlib import Path

from shipper.demo.events import EventSource
from tests.conftest import MakeShipper
from tests.e2e.shipping import assert_delivered_once
from tests.e2e.test_bounds import MIB, peak_rss
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory

FILES = 2_000


def test_two_thousand_files_grow_and_rotate(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path
) -> None:
    logs = tmp_path / "many"
    logs.mkdir()
    source = EventSource(random.Random(1))
    written = 0

    def add_a_line_to_each() -> None:
        nonlocal written
        for number in range(FILES):
            with (logs / f"{number}.log").open("ab") as file:
                file.write(source.line(written, time.time_ns()) + b"\n")
            written += 1

    add_a_line_to_each()
    process = shipper({"inputs": [{"id": "many", "paths": [f"{logs}/*.log"]}]})
    process.start()
    bulk_server.wait_for_lines(FILES)
    add_a_line_to_each()
    for number in range(0, FILES, 2):
        (logs / f"{number}.log").rename(logs / f"{number}-rotated.log")
    for number in range(0, FILES, 6):
        (logs / f"{number}-rotated.log").unlink()
    add_a_line_to_each()
    assert_delivered_once(process, bulk_server, 3 * FILES)
    # 16 KiB for each file, at the most.
    assert peak_rss(process.pid) < (72 + FILES * 16 / 1024) * MIB


def test_a_line_of_a_gigabyte_takes_no_more_memory_than_any_other(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    with log_directory.log.open("wb") as file:
        for _ in range(1024):
            file.write(b"x" * MIB)
    log_directory.append(b'\n{"a":1}\n')
    process = shipper()
    process.start()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 2)
    process.wait_until_idle()
    long, short = sorted(bulk_server.documents.values(), key=lambda each: each["log"]["offset"])
    assert long["message"] == "x" * MIB
    assert short == {**short, "message": '{"a":1}'}
    assert short["log"]["offset"] == 1024 * MIB + 1
    page = process.metrics()
    assert page.value("shipper_lost_bytes_total", reason="line_too_long") == 1023 * MIB
    assert page.uncounted_lines == 0
    assert peak_rss(process.pid) < 72 * MIB
