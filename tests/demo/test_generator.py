"""Generated logs look like Tetragon's, rotate as Tetragon's do, and are the same for a seed."""

from __future__ import annotations

import json
import random
import re
import statistics
import threading
import time
from pathlib import Path

import pytest

from shipper.demo.audit import sequence_of
from shipper.demo.events import KINDS, EventSource, rfc3339
from shipper.demo.generator import LogWriter
from tests.support.faults import PATIENCE

NOW = 1_767_225_600_123_456_700
WITHOUT_PROCESS = {"process_throttle", "rate_limit_info", "test"}


def source(seed: int = 0) -> EventSource:
    return EventSource(random.Random(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_one_json_object_with_the_fields_of_a_response(kind: str) -> None:
    for number in range(200):
        line = source(number).line_of(kind, number, NOW)
        assert b"\n" not in line
        event = json.loads(line)
        assert list(event)[:3] == [kind, "node_name", "time"]
        assert event["time"] == "2026-01-01T00:00:00.123456700Z"
        assert sequence_of(line) == number
        if kind not in WITHOUT_PROCESS:
            assert event[kind]["process"]["binary"].startswith("/")


def test_a_kind_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        source().line_of("process_none", 0, NOW)


def test_an_exit_has_a_time_of_its_own_and_no_status_of_zero() -> None:
    exits = [
        json.loads(source(n).line_of("process_exit", n, NOW))["process_exit"] for n in range(99)
    ]
    assert {event["time"] for event in exits} == {"2026-01-01T00:00:00.123456700Z"}
    assert {event.get("status") for event in exits} == {None, 1, 137}


def test_64_bit_numbers_are_strings() -> None:
    event = json.loads(source().line_of("rate_limit_info", 0, NOW))
    assert event["rate_limit_info"]["number_of_dropped_process_events"].isdigit()


def test_all_kinds_come_and_the_median_line_has_about_2_kb() -> None:
    events = source()
    lines = [events.line(number, NOW) for number in range(3_000)]
    assert {next(iter(json.loads(line))) for line in lines} == set(KINDS)
    assert 1_700 < statistics.median(map(len, lines)) < 2_300
    assert max(map(len, lines)) > 5_000


def test_the_same_seed_gives_the_same_lines() -> None:
    first, second, other = source(1), source(1), source(2)
    lines = [[events.line(n, NOW) for n in range(50)] for events in (first, second, other)]
    assert lines[0] == lines[1]
    assert lines[0] != lines[2]


def test_bad_lines_are_no_events_but_numbered() -> None:
    events = source()
    for number in range(50):
        line = events.bad_line(number)
        assert sequence_of(line) == number
        try:
            assert not isinstance(json.loads(line), dict)
        except ValueError:  # no JSON, or no UTF-8
            continue


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (500_000_000, "1970-01-01T00:00:00.500Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (120, "1970-01-01T00:00:00.000000120Z"),
        (1_767_225_599_999_999_999, "2025-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_have_as_many_digits_as_protojson_gives_them(nanoseconds: int, expected: str) -> None:
    assert rfc3339(nanoseconds) == expected


def test_a_file_is_rotated_before_it_gets_too_large_and_the_oldest_backup_is_deleted(
    tmp_path: Path,
) -> None:
    writer = LogWriter(tmp_path, random.Random(0), max_bytes=20_000, backups=3)
    writer.write(100)
    writer.close()
    backups = writer.backups()
    assert len(backups) == 3
    assert writer.rotations == 3 + writer.backups_deleted
    assert writer.backups_deleted > 0
    assert all(path.stat().st_size <= 20_000 for path in tmp_path.iterdir())
    assert all(re.fullmatch(r"tetragon-[\dT.-]+\.log", path.name) for path in backups)
    kept = [
        sequence_of(line)
        for path in [*backups, writer.path]
        for line in path.read_bytes().splitlines()
    ]
    # What is left is the end, whole and in order.
    assert kept == list(range(100 - len(kept), 100))


def test_a_second_writer_appends_to_the_file_that_is_there(tmp_path: Path) -> None:
    first = LogWriter(tmp_path, random.Random(0))
    first.write(2)
    first.close()
    second = LogWriter(tmp_path, random.Random(0), sequence=first.sequence)
    second.write(2)
    second.close()
    lines = second.path.read_bytes().splitlines()
    assert [sequence_of(line) for line in lines] == [0, 1, 2, 3]


def test_shares_of_bad_and_split_lines_lose_no_number(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, random.Random(0), bad_share=0.3, split_share=0.3)
    writer.write(100)
    writer.close()
    lines = writer.path.read_bytes().splitlines()
    assert [sequence_of(line) for line in lines] == list(range(100))
    assert writer.bytes_written == writer.path.stat().st_size
    good = [line for line in lines if line.startswith(b"{") and line.endswith(b'"}')]
    assert 50 <= len(good) < 90


def test_running_writes_at_its_rate_and_ends_at_its_count(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, random.Random(0))
    began = time.monotonic()
    writer.run(1_000, threading.Event(), 101)
    writer.close()
    assert writer.written == 101
    # Line n may not be written before n / rate.
    assert writer.written_at[100] - began >= 0.1


def test_running_ends_when_it_is_told_to(tmp_path: Path) -> None:
    writer, stop = LogWriter(tmp_path, random.Random(0)), threading.Event()
    running = threading.Thread(target=writer.run, args=(10.0, stop))
    running.start()
    stop.set()
    running.join(PATIENCE)
    assert not running.is_alive()
    writer.close()
