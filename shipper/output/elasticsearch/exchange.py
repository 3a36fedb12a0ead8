"""What goes to a host and what comes back: the seam between a request's life and HTTP."""

from dataclasses import dataclass
from typing import Protocol, Self

from shipper.option_names import OptionNames
from shipper.pipeline.batch import Body


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered."""

    status: int
    body: bytes
    #: What it asks to wait, in seconds.
    retry_after: float = 0.0
    #: What it calls itself in `X-Elastic-Product`; OpenSearch and others say nothing.
    product: str = ""


class TransportError(Exception):
    """There was no answer; `reason` is a metric's label, the message says more, and what to do
    about it where that is known."""

    def __init__(self, reason: str, message: str, what_to_do: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.what = message
        self.what_to_do = what_to_do

    def in_words_of(self, names: OptionNames) -> Self:
        """The same, with the options that it names called as in that dialect."""
        self.what_to_do = names.fill(self.what_to_do)
        return self

    def __str__(self) -> str:
        return f"{self.what} ({self.what_to_do})" if self.what_to_do else self.what


class Transport(Protocol):
    """What carries a request to a host."""

    async def post(self, host: str, body: Body) -> Answer:
        """Raises TransportError if there is no whole answer."""

    async def probe(self, host: str) -> Answer:
        """Asks for nothing, to see whether the host can be reached with our credentials."""

    def credentials_refused(self) -> None:
        """The next request is to read the credentials again from their files."""
