"""The interface of destinations. A destination delivers the events of a body and reports the
outcome of each. It does not know log files, spans or offsets.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from shipper.output.dead_letter import DeadLetter
from shipper.output.limiter import Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body


class DeliveryInterruptedError(Exception):
    """An exception that nobody foresaw ended the delivery of a body; it is the cause of this one.

    What has its outcome was reported; the rest is here. Its bytes are still held in the byte
    budget. No permit is held.
    """

    def __init__(self, bodies: Sequence[Body], dead_letters: Sequence[DeadLetter] = ()) -> None:
        """`bodies`: events without an outcome; `dead_letters`: those that are not written, whose
        events are in no body any more."""
        super().__init__("the delivery of a body was interrupted")
        self.bodies = tuple(bodies)
        self.dead_letters = tuple(dead_letters)


class Condition(Struct, frozen=True):
    """The current condition of a destination."""

    #: Why events cannot be delivered, for messages; None if nothing is wrong.
    trouble: str | None
    #: Requests in flight, and their limit.
    requests: int
    limit: int
    #: URLs of the hosts, and of the paused ones; empty without hosts.
    hosts: tuple[str, ...] = ()
    hosts_resting: tuple[str, ...] = ()


class Destination(Protocol):
    """A target of events: Elasticsearch, a file, the console."""

    @property
    def condition(self) -> Condition:
        """Its current condition."""

    @property
    def gzip(self) -> bool:
        """Whether bodies are to be compressed with gzip."""

    async def admit(self) -> Permit:
        """Waits until it accepts another body. Meanwhile nothing is read (backpressure)."""

    async def deliver(self, body: Body, permit: Permit, outcomes: OutcomeSink) -> None:
        """Returns when every event of the body is durable and its outcome is reported to
        `outcomes`. The permit is always released.

        Releases the body's bytes of the byte budget as events finish. Retries without limit; if it
        is cancelled, the next start sends the rest. Any other exception is a bug, and becomes a
        DeliveryInterruptedError.
        """

    def apart(self) -> "Destination":
        """Another way to the same place, for what is no event of a log: what it is answered is no
        evidence for or against the events. It is not run, and is done with when this one is."""

    async def run(self) -> None:
        """A background task, such as the check at the start that it can be reached. Runs until it
        has finished or is cancelled."""
