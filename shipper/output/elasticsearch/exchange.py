"""Requests and answers of a host: the interface between bulk requests and HTTP."""

from dataclasses import dataclass, field
from typing import Protocol, Self

from shipper.foreign import words
from shipper.option_names import OptionNames
from shipper.output.elasticsearch.redaction import nothing_to_cut
from shipper.output.elasticsearch.said import Redact, shown
from shipper.pipeline.batch import Body

#: The reason of an answer that was not read to its end.
ANSWER_TOO_LONG = "answer_too_long"

#: In characters; a path may be in it.
_LONGEST_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a host."""

    status: int
    body: bytes
    #: Seconds that it asks to wait.
    retry_after: float = 0.0
    #: The header `X-Elastic-Product`; OpenSearch and others do not send it.
    product: str = ""
    #: The header `Location` of a redirect.
    location: str = ""
    #: Cuts our secrets out of a text: before any of it is shown.
    redact: Redact = field(default=nothing_to_cut, compare=False)


class TransportError(Exception):
    """There was no answer. `reason` is a metric label; the message has the details, and what to do
    where that is known."""

    def __init__(self, reason: str, message: str, what_to_do: str = "") -> None:
        # It may have words of a server or a proxy in it, such as a reason phrase.
        self.what = words(message, 4 * _LONGEST_MESSAGE)
        # For `without_secrets`: here no secret is cut in two.
        self._message = message
        super().__init__(self.what)
        self.reason = reason
        self.what_to_do = what_to_do

    def without_secrets(self, redact: Redact) -> Self:
        """The same error, with our secrets cut out of its words."""
        self.what = shown(self._message, redact, _LONGEST_MESSAGE)
        return self

    def in_words_of(self, names: OptionNames) -> Self:
        """The same error, with the option names of a dialect."""
        self.what_to_do = names.fill(self.what_to_do)
        return self

    def __str__(self) -> str:
        return f"{self.what} ({self.what_to_do})" if self.what_to_do else self.what


class Transport(Protocol):
    """Sends requests to hosts."""

    async def post(self, host: str, body: Body) -> Answer:
        """Sends a bulk request. Raises TransportError if there is no complete answer."""

    async def probe(self, host: str) -> Answer:
        """Checks that the host can be reached with our credentials. Raises TransportError."""

    def credentials_refused(self) -> None:
        """Makes the next request read the credentials from their files again."""

    def answered_wrongly(self) -> None:
        """Makes the next request use a new connection: an answer was not that to its request, and
        may have been that to another."""
