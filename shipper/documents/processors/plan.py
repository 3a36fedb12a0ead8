"""What of an input's processors is done once, what the encoder does anyway, and what is left to do
to each event.

A processor that looks at nothing but fields that all documents of an input share, and changes
nothing else, is done to those fields once, and costs nothing per event. The guide for Tetragon has
a `timestamp` processor that makes of an event's `time` the time of the document, as the encoder
does: where that is shown to be the same, it is not done again. Both as long as nothing stands
before them in the list that has to be done to each event.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from shipper.config.processor_types import (
    AddFields,
    AddHostMetadata,
    AddTags,
    DropEvent,
    DropFields,
    IfThenElse,
    MoveFields,
    ProcessorConfig,
    Timestamp,
    When,
)
from shipper.documents.processors.chain import Chain, action_of
from shipper.documents.processors.conditions import fields_of
from shipper.documents.processors.event import (
    TIMESTAMP,
    DroppedError,
    Event,
    Fields,
    ProcessorError,
    Time,
    copied,
)
from shipper.documents.processors.metadata import Machine

#: At the root of a raw document, what differs from one to the next.
RAW_VARYING: Final = frozenset({TIMESTAMP, "@metadata", "error", "log", "message"})

#: Where Tetragon has an event's time, and the encoder finds it.
_TIME = "time"

#: Times, each number of which has another value in one of them, and those at the ends of the
#: calendar. With each number of digits that a fraction can have they stand for all that the
#: encoder's fast loop takes: a layout reads digits by their places.
_SAMPLES = (
    "2001-02-03T04:05:06",
    "2026-11-24T14:32:37",
    "1999-12-31T23:59:59",
    "2024-02-29T00:00:00",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59",
)
_FRACTIONS = ("", *(f".{'123456789'[:count]}" for count in range(1, 10)), ".000", ".120", ".999")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for an input."""

    #: What all documents share, after what is done once.
    constants: Mapping[str, object]
    #: Which of those processors failed, and what was wrong: so it is for each document.
    failures: tuple[tuple[str, str], ...]
    #: What is done to an event.
    chain: Chain
    #: Whether that is to be done to all of them. If not, it is only for those that are not
    #: ordinary, of whose time the encoder may think otherwise.
    each: bool
    #: Unix seconds: when the machine is to be asked again.
    expires: float


def plan_of(
    configs: Iterable[ProcessorConfig],
    constants: Mapping[str, object],
    machine: Machine,
    now: float,
    varying: frozenset[str] | None = RAW_VARYING,
) -> Plan:
    """The plan. `varying`: what differs at the root of documents; None: everything may."""
    fields: Fields = orjson.loads(orjson.dumps(constants))
    rest = list(configs)
    encoders: list[ProcessorConfig] = []
    failures: list[tuple[str, str]] = []
    expires = float("inf")
    while rest:
        config = rest[0]
        if _is_what_the_encoder_does(config, fields, now):
            encoders.append(config)
        else:
            roots = _roots(config)
            # What comes later must not put there what this one would have found.
            taken = {_TIME} if encoders else set()
            if varying is None or roots is None or roots & (varying | taken):
                break
            event = Event(Time(""), _copy(fields), b"", now)
            try:
                action_of(config, machine)(event)
            except DroppedError:
                break
            except ProcessorError as error:
                if not _fails_by_itself(config):
                    break
                failures.append((config.name, str(error)))
            fields = event.fields
            expires = min(expires, now + _lifetime(config))
        rest.pop(0)
    return Plan(fields, tuple(failures), Chain((*encoders, *rest), machine), bool(rest), expires)


def drops_events(configs: Iterable[ProcessorConfig]) -> bool:
    """Whether one of the processors may drop an event."""
    return any(isinstance(found, DropEvent) for config in configs for found in _within(config))


def _is_what_the_encoder_does(config: ProcessorConfig, fields: Fields, now: float) -> bool:
    return (
        isinstance(config, Timestamp)
        and (config.field, config.target_field) == (_TIME, TIMESTAMP)
        and _TIME not in fields
        and _reads_what_tetragon_writes(config, now)
    )


def _reads_what_tetragon_writes(config: Timestamp, now: float) -> bool:
    """Whether every time that the encoder's fast loop takes is to the processor the same time."""
    for sample in _SAMPLES:
        moment = datetime.fromisoformat(sample) - datetime(1970, 1, 1)
        seconds = moment.days * 86400 + moment.seconds
        for fraction in _FRACTIONS:
            try:
                found = config.read(f"{sample}{fraction}Z", now)
            except ValueError:
                return False
            if found != seconds * 10**9 + int(fraction[1:].ljust(9, "0")):
                return False
    return True


def _roots(config: ProcessorConfig) -> frozenset[str] | None:
    """At the root of a document, the keys that a processor looks at or changes; None if that may
    be any, or if it depends on more than the document."""
    match config:
        case When(condition=condition, processor=processor):
            below = _roots(processor)
            return None if below is None else below | _roots_of(fields_of(condition))
        case IfThenElse(condition=condition, then=then, otherwise=otherwise):
            roots = _roots_of(fields_of(condition))
            for found in map(_roots, (*then, *otherwise)):
                if found is None:
                    return None
                roots |= found
            return roots
        case AddFields(fields=fields):
            return _roots_of(fields)
        case AddTags(target=target):
            return _roots_of([target])
        case DropFields(fields=names, patterns=patterns):
            return None if patterns else _roots_of(names)
        case MoveFields(fields=pairs):
            return _roots_of(name for pair in pairs for name in pair)
        case AddHostMetadata():
            return frozenset({"host"})
        case DropEvent():
            return frozenset()
        case _:
            return None


def _roots_of(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path.partition(".")[0] for path in paths)


def _fails_by_itself(config: ProcessorConfig) -> bool:
    """Whether a failure leaves no trace in the document (those of `rename` and `copy_fields` are
    in `error.message`, which is not the same in all documents)."""
    return not any(isinstance(found, MoveFields) for found in _within(config))


def _lifetime(config: ProcessorConfig) -> float:
    """Seconds until what a processor did is out of date."""
    lifetimes = [found.cache_ttl for found in _within(config) if isinstance(found, AddHostMetadata)]
    return max(0.0, min(lifetimes, default=float("inf")))


def _within(config: ProcessorConfig) -> Iterator[ProcessorConfig]:
    """The processor, and those in it."""
    match config:
        case When(processor=processor):
            yield from _within(processor)
        case IfThenElse(then=then, otherwise=otherwise):
            for found in (*then, *otherwise):
                yield from _within(found)
        case _:
            yield config


def _copy(fields: Fields) -> Fields:
    return {key: copied(value) for key, value in fields.items()}
