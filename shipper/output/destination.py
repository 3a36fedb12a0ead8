"""The seam between batches and where they go. A destination takes the events of a body, however it
does that, and says what became of each of them; it knows of no files, spans or offsets.
"""

from dataclasses import dataclass
from typing import Protocol

from shipper.output.limiter import Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body


@dataclass(frozen=True, slots=True)
class Condition:
    """How a destination is at this moment."""

    #: Why events cannot end, in words; None if nothing is wrong.
    trouble: str | None
    #: What is under way, and how much may be.
    requests: int
    limit: int
    #: The URLs that it sends to, and those that rest; empty where there is no such thing.
    hosts: tuple[str, ...] = ()
    hosts_resting: tuple[str, ...] = ()


class Destination(Protocol):
    """Where events go: Elasticsearch, a file, a console."""

    @property
    def condition(self) -> Condition:
        """How it is now."""

    @property
    def gzip(self) -> bool:
        """Whether it wants its bodies compressed."""

    async def admit(self) -> Permit:
        """Waits until it takes one more body. While it does, nothing is read."""

    async def deliver(self, body: Body, permit: Permit, outcomes: OutcomeSink) -> None:
        """Returns when every event of the body has its outcome and `outcomes` was told of it: not
        before it is durable there. The permit is released, whatever happens.

        What the body takes of the byte budget is given back as its events end. Nothing is given up;
        cancelled, it leaves the rest to the next start.
        """

    def apart(self) -> "Destination":
        """Another way to the same place, for what is no event of a log: what it is answered is no
        evidence for or against the events. It is not run, and is done with when this one is."""

    async def run(self) -> None:
        """What it has to do besides: to see at the start whether it can be reached, say. Until it
        is done or cancelled."""
