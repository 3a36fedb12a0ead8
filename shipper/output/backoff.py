"""The delay before the next retry."""

import random

from msgspec import Struct


class Backoff(Struct, frozen=True):
    """Exponential backoff with full jitter, so that clients do not retry at the same time.

    (Source of the formula: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
    """

    #: Seconds.
    initial: float
    max: float

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after this number of consecutive failures (1 or more)."""
        ceiling = min(self.max, self.initial * 2.0 ** min(failures - 1, 32))
        return rng.uniform(0, ceiling)
