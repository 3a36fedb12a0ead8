"""A fault that repeats is folded, and all messages together have a rate."""

from __future__ import annotations

import random

import pytest

from shipper.logs import Level
from shipper.logs.events import (
    EVENTS_RETRIED,
    FATAL,
    FILE_OPENED,
    FILE_READ_FAILED,
    REGISTRY_COMMIT_FAILED,
    REQUEST_FAILED,
    REQUEST_FINISHED,
    LogEvent,
)
from shipper.logs.limits import KNOWN_FAULTS, REPEAT_SECONDS, RateLimit
from shipper.logs.queue import DropReason
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recorded(clock: ManualClock) -> RecordedLog:
    return RecordedLog(clock)


class TestRepeats:
    def test_a_fault_is_logged_at_once_and_then_now_and_then_with_how_often(
        self, clock: ManualClock, recorded: RecordedLog
    ) -> None:
        for _ in range(100):
            recorded.log.emit(REQUEST_FAILED, key="failed", error="x")
            clock.pass_time(1)
        entries = recorded.entries()
        assert [entry.get("shipper.repeated") for entry in entries] == [None, 29, 29, 29]
        assert entries[1]["error.message"] == "x"

    def test_faults_are_told_apart_by_their_key(self, recorded: RecordedLog) -> None:
        for _ in range(3):
            recorded.log.emit(REQUEST_FAILED, key="a")
            recorded.log.emit(REQUEST_FAILED, key="b")
            recorded.log.emit(REQUEST_FAILED)
        assert len(recorded.entries()) == 5

    def test_after_a_quiet_time_a_fault_is_a_new_one(
        self, clock: ManualClock, recorded: RecordedLog
    ) -> None:
        recorded.log.emit(REQUEST_FAILED, key="a")
        clock.pass_time(REPEAT_SECONDS)
        recorded.log.emit(REQUEST_FAILED, key="a")
        assert [entry.get("shipper.repeated") for entry in recorded.entries()] == [None, None]

    def test_past_the_known_faults_the_oldest_alone_is_forgotten(
        self, clock: ManualClock, recorded: RecordedLog
    ) -> None:
        def fault(number: int) -> None:
            recorded.log.emit(FATAL, key=f"file {number}")

        for number in range(KNOWN_FAULTS):
            fault(number)
        # It occurs again, so it is not the oldest any more.
        fault(0)
        fault(KNOWN_FAULTS)
        before = len(recorded.entries())
        assert before == KNOWN_FAULTS + 1
        for number in (0, *range(2, KNOWN_FAULTS + 1)):
            fault(number)
        assert len(recorded.entries()) == before
        fault(1)
        assert len(recorded.entries()) == before + 1

    def test_a_fault_that_the_rate_left_out_is_not_taken_for_logged(
        self, clock: ManualClock, recorded: RecordedLog
    ) -> None:
        while not recorded.dropped()[DropReason.RATE_LIMIT]:
            recorded.log.emit(FILE_READ_FAILED)
        recorded.log.emit(FILE_READ_FAILED, key="new")
        clock.pass_time(1)
        recorded.log.emit(FILE_READ_FAILED, key="new")
        assert recorded.dropped()[DropReason.RATE_LIMIT] == 2
        assert "shipper.repeated" not in recorded.entries()[-1]


class TestRate:
    def test_faults_that_take_turns_do_not_fill_the_disk(
        self, clock: ManualClock, recorded: RecordedLog
    ) -> None:
        rng = random.Random(1)
        seconds = 3600
        for _ in range(seconds):
            for _ in range(50):
                fault = rng.randrange(1500)
                path = f"/var/log/pods/kube-system_tetragon-{fault:05}/export-stdout/0.log"
                recorded.log.emit(FILE_READ_FAILED, key=path, path=path, error="Input/output error")
            clock.pass_time(1)
        megabytes_a_day = len(recorded.text) * 86400 / seconds / 1e6
        assert 20 < megabytes_a_day < 200
        # Each of them is logged at some time.
        assert len({entry["file.path"] for entry in recorded.entries()}) == 1500

    def test_long_messages_are_fewer(self, clock: ManualClock) -> None:
        rate = RateLimit(clock, per_second=5.0, burst=200.0)
        sent = 0
        for _ in range(3600):
            while rate.allows(Level.ERROR):
                rate.charge(10_000)
                sent += 10_000
            clock.pass_time(1)
        assert sent < 3600 * 6 * 1024 + 200 * 1024

    @pytest.mark.parametrize(
        ("loud", "quiet"),
        [
            (FILE_OPENED, FILE_READ_FAILED),
            (FILE_READ_FAILED, REGISTRY_COMMIT_FAILED),
            (EVENTS_RETRIED, FATAL),
        ],
    )
    def test_what_is_more_serious_is_not_starved(
        self, clock: ManualClock, recorded: RecordedLog, loud: LogEvent, quiet: LogEvent
    ) -> None:
        for second in range(600):
            for _ in range(100):
                recorded.log.emit(loud)
            if second % 2:
                recorded.log.emit(quiet)
            clock.pass_time(1)
        assert recorded.actions().count(quiet.action) == 300
        assert 600 < recorded.actions().count(loud.action) < 3300

    def test_debug_leaves_room_for_all_else(self, clock: ManualClock) -> None:
        recorded = RecordedLog(clock, Level.DEBUG)
        for _ in range(10_000):
            recorded.log.emit(REQUEST_FINISHED)
        assert recorded.dropped()[DropReason.RATE_LIMIT] > 5000
        for _ in range(100):
            recorded.log.emit(FILE_OPENED)
        assert recorded.actions().count("file-opened") == 100

    def test_what_is_essential_is_logged_in_any_case(self, recorded: RecordedLog) -> None:
        for _ in range(1000):
            recorded.log.emit(REGISTRY_COMMIT_FAILED)
        assert recorded.dropped()[DropReason.RATE_LIMIT] > 500
        recorded.log.emit(FATAL)
        assert recorded.actions()[-1] == "fatal"
