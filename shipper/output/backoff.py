"""How long to wait before the next try."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with full jitter: what failed together does not come back together.

    (The formula and the reason for the jitter: "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015.)
    """

    #: Seconds.
    initial: float
    max: float

    def delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after that many failures in a row (1 or more)."""
        ceiling = min(self.max, self.initial * 2.0 ** min(failures - 1, 32))
        return rng.uniform(0, ceiling)
