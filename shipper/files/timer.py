"""timerfd_create(2): a descriptor that is ready to be read again and again. For the event loop this
is an event as any other; a timer of asyncio is an object each time, and sorted among all others.
"""

import ctypes
import os

from shipper.libc import call

_CLOCK_MONOTONIC = 1

#: What is called here.
CALLS = ("timerfd_create", "timerfd_settime")


class _Span(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Times(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (("interval", _Span), ("first", _Span))


class PeriodicTimer:
    """One that does not run yet. Every method raises OSError as the system call below it does."""

    def __init__(self) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = call(
            "timerfd_create", ctypes.c_int(_CLOCK_MONOTONIC), ctypes.c_int(flags)
        )

    def fileno(self) -> int:
        """Is ready to be read after each period."""
        return self._descriptor

    def start(self, period: float) -> None:
        """Is ready in so many seconds, and after as many again, until it is stopped."""
        span = _Span(int(period), round(period % 1 * 1e9))
        self._set(_Times(span, span))

    def stop(self) -> None:
        """Is not ready any more."""
        self._set(_Times())

    def read(self) -> None:
        """Is not ready before the next period is over."""
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            pass  # It was stopped, or read, since it was ready.

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self._descriptor)

    def _set(self, times: _Times) -> None:
        call(
            "timerfd_settime",
            ctypes.c_int(self._descriptor),
            ctypes.c_int(0),
            ctypes.byref(times),
            None,
        )
