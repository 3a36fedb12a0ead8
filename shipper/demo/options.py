"""What a demo is asked to do."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo is to do."""

    #: How long lines are written; seconds.
    seconds: float
    #: Lines a second.
    rate: float
    #: Ends the writing earlier if that many lines are written.
    events: int | None
    #: How often the daemon is killed.
    kills: int
    #: Every so-manieth answer of the embedded receiver is lost; 0: none.
    lose_every: int
    #: Where the files stay; None: nowhere.
    keep: Path | None
    #: Of the generator: the same seed gives the same events.
    seed: int
