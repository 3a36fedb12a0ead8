"""Runs processors on encoded documents: decodes, changes and encodes them again.

So the encoder is independent of processors, and documents that no processor needs cost nothing.
"""

from collections.abc import Iterable, Mapping

import orjson
from msgspec import Struct

from shipper.config.processor_types import ProcessorConfig
from shipper.documents.encoded import Failed
from shipper.documents.processors.event import DroppedError, Event, Time
from shipper.documents.processors.machine import Machine
from shipper.documents.processors.plan import RAW_VARYING, drops_events, plan_of

#: The label for failures to encode a document after its processors.
_WRITING = "document"


#: Maximum length of a problem in messages: it may contain text of an event.
_LONGEST_PROBLEM = 300


class Processed(Struct, frozen=True):
    """A document after its processors."""

    #: As JSON.
    timestamp: bytes
    #: The other fields, each with a comma before it; None if they are unchanged.
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
        """`constants`: constant fields; `varying`: top-level fields that are not constant, None if
        any may vary; `now`: Unix seconds."""
        self._configs = tuple(configs)
        self._given = constants
        self._machine = machine
        self._varying = varying
        self._plan = plan_of(self._configs, constants, machine, now, varying)

    @property
    def constants(self) -> Mapping[str, object]:
        """The constant fields, after the processors that run once."""
        return self._plan.constants

    @property
    def per_event(self) -> bool:
        """Whether processors run for all lines, not only for unusual ones."""
        return self._plan.per_event

    @property
    def drops_events(self) -> bool:
        """Whether one of the processors may drop an event."""
        return drops_events(self._configs)

    def refresh(self, now: float) -> bool:
        """Updates outdated metadata of the machine; returns whether the constants changed."""
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
        """The document after its processors; None if it is dropped.

        `timestamp`, `message`: these fields as JSON, `message` None if there is none; `fields`: the
        other fields, each with a comma before it; `line`: the line of the document. Adds failures
        to `failures`.
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
        if not event.is_unchanged:
            # Encoding the message again costs as much as all the rest: only if it has changed.
            if message is not None and event.fields.get("message") is text:
                event.fields["message"] = orjson.Fragment(message)
            try:
                rest = _inner(orjson.dumps(event.fields, _written))
            except TypeError as error:
                # Decoded JSON may be nested more deeply than orjson can encode.
                _count(failures, _WRITING, f"it cannot be written: {error}", 1)
                return Processed(timestamp, None)
        if event.timestamp is not time:
            timestamp = orjson.dumps(event.timestamp.text)
        return Processed(timestamp, rest)

    def count_once(self, documents: int, failures: dict[str, Failed]) -> None:
        """Counts failures of processors that run once, for each document."""
        if documents:
            for name, problem in self._plan.failures:
                _count(failures, name, problem, documents)


def _count(failures: dict[str, Failed], name: str, problem: str, count: int) -> None:
    found = failures.setdefault(name, Failed(0, problem[:_LONGEST_PROBLEM]))
    found.count += count


def _text_of(line: bytes, message: bytes) -> str:
    """The message as text: the line, if it is UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return str(orjson.loads(message))


def _inner(document: bytes) -> bytes:
    """The members of an object, each with a comma before it."""
    return b"," + document[1:-1] if len(document) > len(b"{}") else b""


def _written(value: object) -> str:
    if isinstance(value, Time):
        return value.text
    raise TypeError(f"no JSON: {type(value)}")
