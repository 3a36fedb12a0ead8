"""A call that may hang has a bound; what it returns and raises is passed on."""

from __future__ import annotations

import threading

import pytest

from shipper.time_limit import within


def test_what_is_returned_in_time_is_passed_on() -> None:
    assert within(60, lambda: None) is None
    assert within(60, lambda: 7) == 7


def test_what_is_raised_in_time_is_passed_on() -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        within(60, fail)


def test_a_call_that_hangs_is_left_behind() -> None:
    released = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
            within(0.01, released.wait)
    finally:
        released.set()
