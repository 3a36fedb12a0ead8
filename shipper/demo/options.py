"""The options of the demo."""

from pathlib import Path

from msgspec import Struct


class DemoOptions(Struct, frozen=True):
    """The options of a run."""

    #: How long lines are written, in seconds.
    seconds: float
    #: Lines a second.
    rate: float
    #: Stops writing after this number of lines; None: no limit.
    events: int | None
    #: Number of kills of the daemon.
    kills: int
    #: One of this number of answers of the embedded receiver is lost; 0: none.
    lose_every: int
    #: The directory in which files are kept; None: they are deleted.
    keep: Path | None
    #: Seed of the generator: the same seed gives the same events.
    seed: int
