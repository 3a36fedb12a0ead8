"""A log that grows slowly is truncated in place: what shipper has read by then is shipped."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer

RATE = 50.0
"""Lines per second."""

MOST_LOST = 5.0
"""With each truncation, on average: those of 100 ms. In a quiet machine it is one; 18 of them are
lost by who reads once a second."""


@pytest.mark.parametrize(
    "seconds", [5.0, pytest.param(60.0, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_a_truncation_in_place_at_any_time_takes_a_few_lines_at_the_most(
    seconds: float, shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path
) -> None:
    # Written over as it is: each content has a first line of its own.
    logs = tmp_path / "slow"
    logs.mkdir()
    log = logs / "tetragon.log"
    log.touch()
    process = shipper({"inputs": [{"id": "slow", "paths": [f"{logs}/*.log"]}]})
    process.start()
    rng, cuts = random.Random(1), 0
    cut_at = rng.uniform(0.2, 0.8)
    written: list[int] = []
    with log.open("ab", buffering=0) as file:

        def write(number: int) -> None:
            file.write(b'{"number":%d,"time":"2026-11-24T04:32:37Z"}\n' % number)
            written.append(number)

        began = time.monotonic()
        for number in itertools.count():
            due = began + number / RATE
            while (wait := min(due, began + cut_at) - time.monotonic()) > 0:
                time.sleep(wait)
            if began + cut_at <= due:
                os.truncate(log, 0)
                cuts += 1
                cut_at += rng.uniform(0.2, 0.8)
            if due - began > seconds:
                break
            write(number)
        write(number)  # Nothing takes the last one.

    def arrived() -> set[int]:
        # What was seen and is lost has documents of its own.
        lines = [json.loads(each["message"]) for each in list(bulk_server.documents.values())]
        return {line["number"] for line in lines if "number" in line}

    bulk_server.wait_for(lambda: written[-1] in arrived())
    process.wait_until_idle()
    lost = set(written) - arrived()
    assert cuts >= seconds
    assert len(lost) / cuts <= MOST_LOST
    process.sigterm()
