"""A timer that is a descriptor."""

from __future__ import annotations

import select
import time

import pytest

from shipper.files.timer import PeriodicTimer
from tests.support.faults import PATIENCE


def test_it_is_ready_after_each_period_until_it_is_stopped() -> None:
    timer = PeriodicTimer()
    poll = select.poll()
    poll.register(timer.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    timer.read()  # It does not wait.
    began = time.monotonic()
    timer.start(0.02)
    for number in range(1, 4):
        assert poll.poll(PATIENCE * 1000)
        assert time.monotonic() - began >= 0.02 * number
        timer.read()
    timer.stop()
    timer.read()
    assert poll.poll(50) == []
    timer.start(1.5)
    assert poll.poll(50) == []
    timer.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        timer.start(0.1)
