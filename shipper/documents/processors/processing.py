"""Processors at work on documents that are written already: read, changed, and written anew.

What makes the documents needs to know nothing of processors, and nothing is paid for a document
that none of them has to look at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from shipper.config.processor_types import ProcessorConfig
from shipper.documents.processors.event import DroppedError, Event, Time
from shipper.documents.processors.metadata import Machine
from shipper.documents.processors.plan import RAW_VARYING, plan_of

#: The name under which it is counted that a document could not be written as processors left it.
_WRITING = "document"


#: `Time` is a dataclass, and no object in a document.
_AS_IT_IS = orjson.OPT_PASSTHROUGH_DATACLASS

#: Characters of what was wrong that are told: it may repeat what an event says.
_LONGEST_PROBLEM = 300


@dataclass(slots=True)
class Failed:
    """How often a processor failed, and what was wrong once."""

    count: int
    problem: str


@dataclass(frozen=True, slots=True)
class Processed:
    """A document after its processors."""

    #: JSON.
    timestamp: bytes
    #: All else, each field with a comma before it; None if it is as it was.
    rest: bytes | None


class Processing:
    """The processors of one input."""

    def __init__(
        self,
        configs: Iterable[ProcessorConfig],
        constants: Mapping[str, object],
        machine: Machine,
        now: float,
        *,
        varying: frozenset[str] | None = RAW_VARYING,
    ) -> None:
        """`constants`: what all documents share; `varying`: what differs at their root, None if
        everything may; `now`: Unix seconds."""
        self._configs = tuple(configs)
        self._given = constants
        self._machine = machine
        self._varying = varying
        self._plan = plan_of(self._configs, constants, machine, now, varying)

    @property
    def constants(self) -> Mapping[str, object]:
        """What all documents share, after what is done once."""
        return self._plan.constants

    @property
    def each(self) -> bool:
        """Whether ordinary lines, too, have processors of their own."""
        return self._plan.each

    def refresh(self, now: float) -> bool:
        """Asks the machine again if it is time to; returns whether the constants are others."""
        if now < self._plan.expires:
            return False
        before = self._plan.constants
        self._plan = plan_of(self._configs, self._given, self._machine, now, self._varying)
        return self._plan.constants != before

    def run(
        self,
        timestamp: bytes,
        fields: bytes,
        message: bytes | None,
        line: bytes,
        now: float,
        failures: dict[str, Failed],
    ) -> Processed | None:
        """The document after its processors; None if it is to be none.

        `timestamp`, `message`: these fields, as JSON, the second None if there is none; `fields`:
        all others, each with a comma before it; `line`: what the document is of. What fails is
        added to `failures`.
        """
        text = None if message is None else _text_of(line, message)
        time = Time(timestamp[1:-1].decode())
        event = Event.written(time, text, b"{%b}" % fields[1:], line, now)
        try:
            for name, problem in self._plan.chain.run(event):
                _count(failures, name, problem, 1)
        except DroppedError:
            return None
        rest = None
        if not event.is_untouched:
            # To write the message once more costs as much as all else: only if it has changed.
            if message is not None and event.fields.get("message") is text:
                event.fields["message"] = orjson.Fragment(message)
            try:
                rest = _inner(orjson.dumps(event.fields, _written, _AS_IT_IS))
            except TypeError as error:
                # Decoded JSON may be nested more deeply than can be written.
                _count(failures, _WRITING, f"it cannot be written: {error}", 1)
                return Processed(timestamp, None)
        if event.timestamp is not time:
            timestamp = orjson.dumps(event.timestamp.text)
        return Processed(timestamp, rest)

    def count_once(self, documents: int, failures: dict[str, Failed]) -> None:
        """What failed for the constants did so for each document."""
        if documents:
            for name, problem in self._plan.failures:
                _count(failures, name, problem, documents)


def _count(failures: dict[str, Failed], name: str, problem: str, count: int) -> None:
    found = failures.setdefault(name, Failed(0, problem[:_LONGEST_PROBLEM]))
    found.count += count


def _text_of(line: bytes, message: bytes) -> str:
    """The message as text: the line, as far as that is text."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return str(orjson.loads(message))


def _inner(document: bytes) -> bytes:
    """The fields of an object, each with a comma before it."""
    return b"," + document[1:-1] if len(document) > len(b"{}") else b""


def _written(value: object) -> str:
    if isinstance(value, Time):
        return value.text
    raise TypeError(f"no JSON: {type(value)}")
