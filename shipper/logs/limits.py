"""How much may be logged: a fault that repeats is logged once in REPEAT_SECONDS, and all messages
together have a rate, of which the less serious ones leave a part to the more serious ones.
"""

from collections import OrderedDict
from collections.abc import Mapping

from msgspec import Struct

from shipper.clock import Clock
from shipper.logs.events import Level

#: Seconds between two messages with the same key.
REPEAT_SECONDS = 30.0

#: So many faults are remembered, about 1 MiB of them; then the one that occurred longest ago is
#: forgotten.
KNOWN_FAULTS = 4096

#: Which part of what is bounded (the queue, the burst) messages of a level may use up: errors are
#: not starved by information.
SHARES: Mapping[Level, float] = {
    Level.DEBUG: 0.25,
    Level.INFO: 0.5,
    Level.WARNING: 0.75,
    Level.ERROR: 1.0,
}

#: What one token of a `RateLimit` pays for, in bytes.
_BYTES_PER_TOKEN = 1024


class _Fault(Struct):
    logged_at: float
    repeated: int = 0


class Repeats:
    """Folds messages with the same key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: OrderedDict[str, _Fault] = OrderedDict()

    def is_repeat(self, key: str) -> bool:
        """Whether it was logged less than REPEAT_SECONDS ago; if so, it is counted."""
        fault = self._faults.get(key)
        if fault is None or self._clock.monotonic() - fault.logged_at >= REPEAT_SECONDS:
            return False
        fault.repeated += 1
        self._faults.move_to_end(key)
        return True

    def logged(self, key: str) -> int:
        """Takes notice that it is logged now; returns how often it was left out before."""
        fault = self._faults.get(key)
        repeated = fault.repeated if fault else 0
        self._faults[key] = _Fault(self._clock.monotonic())
        self._faults.move_to_end(key)
        if len(self._faults) > KNOWN_FAULTS:
            self._faults.popitem(last=False)
        return repeated


class RateLimit:
    """A token bucket. A message costs a token for each KiB that it has begun, so bytes per second
    are bounded, too."""

    def __init__(self, clock: Clock, *, per_second: float, burst: float) -> None:
        self._clock = clock
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._filled_at = clock.monotonic()

    def allows(self, level: Level) -> bool:
        """Whether a message of that level may be logged now."""
        now = self._clock.monotonic()
        refill = (now - self._filled_at) * self._per_second
        self._tokens = min(self._burst, self._tokens + refill)
        self._filled_at = now
        # The floor is what is left to the levels above.
        return self._tokens >= 1.0 + self._burst * (1.0 - SHARES[level])

    def charge(self, size: int) -> None:
        """Takes notice of a message of `size` bytes that is logged."""
        self._tokens -= -(-size // _BYTES_PER_TOKEN)
