"""Selects dead letters by status, text of the reason, and time."""

from msgspec import Struct

from shipper.output.dead_letter import DeadLetter


class Selection(Struct, frozen=True):
    """Conditions for dead letters; without conditions all are selected."""

    status: int | None = None
    #: Text that the reason contains, ignoring case.
    reason: str = ""
    #: Earliest time, in Unix seconds.
    since: float | None = None

    def matches(self, dead_letter: DeadLetter) -> bool:
        """Whether a dead letter is selected."""
        return (
            (self.status is None or dead_letter.status == self.status)
            and self.reason.casefold() in dead_letter.reason.casefold()
            and (self.since is None or dead_letter.time >= self.since)
        )
