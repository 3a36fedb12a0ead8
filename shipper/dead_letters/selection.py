"""Which dead letters are selected: by status, by words of the reason, by when they were refused."""

from dataclasses import dataclass

from shipper.output.dead_letter import DeadLetter


@dataclass(frozen=True, slots=True)
class Selection:
    """What a letter has to be; without anything, every letter is selected."""

    status: int | None = None
    #: Is in the reason, in capitals or not.
    reason: str = ""
    #: Unix seconds.
    since: float | None = None

    def takes(self, dead_letter: DeadLetter) -> bool:
        """Whether the letter is selected."""
        return (
            (self.status is None or dead_letter.status == self.status)
            and self.reason.casefold() in dead_letter.reason.casefold()
            and (self.since is None or dead_letter.time >= self.since)
        )
