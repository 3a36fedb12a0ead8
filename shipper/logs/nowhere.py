"""A log for commands that report in their own words: its messages go nowhere."""

from shipper.clock import Clock
from shipper.logs.events import Level
from shipper.logs.log import Entry, Log, LogHandler
from shipper.logs.queue import DropReason, LogLine


class _Nowhere:
    """Formats nothing and writes nothing."""

    def line(self, entry: Entry) -> bytes:
        return b""

    def offer(self, line: LogLine) -> None:
        """Nobody reads it."""

    def drop(self, reason: DropReason) -> None:
        """It would have gone nowhere."""

    def dropped(self) -> dict[DropReason, int]:
        return {}


def log_to_nowhere(clock: Clock) -> Log:
    """A log without messages."""
    nowhere = _Nowhere()
    return Log(LogHandler(clock, Level.ERROR, nowhere, nowhere))
