"""Times as Go reads them, against what Go itself makes of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shipper.golang.time import Layout, format_utc, in_range, parse_zone

GO = Path(__file__).parent
THIS_YEAR = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
"""As times.go has it."""


def differences(lines: Iterable[str]) -> list[str]:
    """Return the lines of times.go of which we think otherwise."""
    found = []
    for line in lines:
        layout, value, zone, time = json.loads(line)
        wanted = None if time is None else time[0] * 10**9 + time[1]
        try:
            # Elasticsearch cannot take what is before the year 1, and Filebeat would send it.
            wanted = None if wanted is None else in_range(wanted)
        except ValueError:
            wanted = None
        try:
            read: int | None = Layout(layout).parse(value, parse_zone(zone), now=THIS_YEAR)
        except ValueError:
            read = None
        if read != wanted:
            found.append(f"{line.strip()}: {read}")
    return found


def test_a_thousand_times_are_read_as_go_reads_them() -> None:
    lines = (GO / "times.ndjson").read_text().splitlines()
    assert len(lines) > 900
    assert sum(json.loads(line)[3] is not None for line in lines) > 500
    assert differences(lines) == []


def test_twelve_thousand_times_are_read_as_the_installed_go_reads_them() -> None:
    go = shutil.which("go")
    if go is None:
        if os.environ.get("CI"):
            pytest.fail("go is not installed")
        pytest.skip("go is not installed")
    environment = {**os.environ, "TZ": "UTC"}
    run = subprocess.run(
        [go, "run", "times.go"], cwd=GO, env=environment, capture_output=True, text=True, check=True
    )
    lines = run.stdout.splitlines()
    assert len(lines) > 12_000
    assert differences(lines) == []


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("UTC", 0),
        ("Etc/UTC", 0),
        ("Etc/GMT+2", -2 * 60),
        ("America/Panama", -5 * 60),
        ("+0000", 0),
        ("+0430", 4 * 60 + 30),
        ("+03:00", 3 * 60),
        ("-03:30", -3 * 60 - 30),
        ("-00:30", -30),
        ("+04", 4 * 60),
        ("-04", -4 * 60),
    ],
)
def test_a_zone_is_a_name_or_an_offset(name: str, offset: int) -> None:
    there = datetime(2015, 3, 7, 11, 6, 39, tzinfo=parse_zone(name))
    assert there.utcoffset() == timedelta(minutes=offset)


@pytest.mark.parametrize("name", ["Z", "Equatorial/Kundu", "-400", "+25:00", "../../etc/passwd"])
def test_what_is_no_zone_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValueError, match="there is no time zone"):
        parse_zone(name)


def test_local_is_the_zone_of_the_variable_tz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Panama")
    there = datetime(2015, 3, 7, tzinfo=parse_zone("Local"))
    assert there.utcoffset() == timedelta(hours=-5)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_494_757_123_456_789, "2026-11-24T04:32:37.123456789Z"),
        (1_795_494_757_120_000_000, "2026-11-24T04:32:37.120Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (-62_135_596_800 * 10**9, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_written_with_the_digits_it_has_and_three_at_least(
    nanoseconds: int, text: str
) -> None:
    assert format_utc(nanoseconds) == text
