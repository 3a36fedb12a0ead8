"""Plans the processors of an input: those that run once, those that the encoder replaces, and those
that run for each event.

A processor that reads and changes constant fields only runs once for the input, and costs nothing
per event. The `timestamp` processor of Elastic's guide for Tetragon sets the document's time from
`time`, as the encoder does: if both provably give the same result, it is skipped. Both apply only
before the first processor that has to run for each event.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

import orjson
from msgspec import Struct

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
from shipper.documents.processors.machine import Machine

#: Top-level fields of raw documents that are not constant.
RAW_VARYING: Final = frozenset({TIMESTAMP, "@metadata", "error", "log", "message"})

#: The field of an event's time.
_TIME = "time"

#: Sample times with different values of each number, and the limits of the calendar. Together with
#: fractions of all lengths they represent all times that the encoder's fast loop accepts: a layout
#: reads digits by position.
_SAMPLES = (
    "2001-02-03T04:05:06",
    "2026-11-24T14:32:37",
    "1999-12-31T23:59:59",
    "2024-02-29T00:00:00",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59",
)
_FRACTIONS = ("", *(f".{'123456789'[:count]}" for count in range(1, 10)), ".000", ".120", ".999")


class Plan(Struct, frozen=True):
    """The plan of an input."""

    #: The constant fields, after the processors that run once.
    constants: Mapping[str, object]
    #: Failures of these processors as (name, problem); they count for each document.
    failures: tuple[tuple[str, str], ...]
    #: The processors that run for an event.
    chain: Chain
    #: Whether they run for all events. If not, they run only for unusual lines, whose time the
    #: encoder may treat differently.
    per_event: bool
    #: When the metadata of the machine is outdated, in Unix seconds.
    expires: float


def plan_of(
    configs: Iterable[ProcessorConfig],
    constants: Mapping[str, object],
    machine: Machine,
    now: float,
    varying: frozenset[str] | None = RAW_VARYING,
) -> Plan:
    """The plan. `varying`: top-level fields that are not constant; None if any may vary."""
    fields: Fields = orjson.loads(orjson.dumps(constants))
    remaining = list(configs)
    done_by_encoder: list[ProcessorConfig] = []
    failures: list[tuple[str, str]] = []
    expires = float("inf")
    while remaining:
        config = remaining[0]
        if _equals_encoder(config, fields, now):
            done_by_encoder.append(config)
        else:
            roots = _roots(config)
            # A later processor must not create the field that a skipped one would have read.
            reserved = {_TIME} if done_by_encoder else set()
            if varying is None or roots is None or roots & (varying | reserved):
                break
            event = Event(Time(""), _copy(fields), b"", now)
            try:
                action_of(config, machine)(event)
            except DroppedError:
                break
            except ProcessorError as error:
                if not _fails_without_trace(config):
                    break
                failures.append((config.name, str(error)))
            fields = event.fields
            expires = min(expires, now + _lifetime(config))
        remaining.pop(0)
    return Plan(
        fields,
        tuple(failures),
        Chain((*done_by_encoder, *remaining), machine),
        bool(remaining),
        expires,
    )


def drops_events(configs: Iterable[ProcessorConfig]) -> bool:
    """Whether one of the processors may drop an event."""
    return any(isinstance(found, DropEvent) for config in configs for found in _within(config))


def _equals_encoder(config: ProcessorConfig, fields: Fields, now: float) -> bool:
    return (
        isinstance(config, Timestamp)
        and (config.field, config.target_field) == (_TIME, TIMESTAMP)
        and _TIME not in fields
        and _reads_tetragon_times(config, now)
    )


def _reads_tetragon_times(config: Timestamp, now: float) -> bool:
    """Whether the processor reads all times of the encoder's fast loop as the same times."""
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
    """The top-level keys that a processor reads or changes; None if these may be any, or if it
    depends on more than the document."""
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


def _fails_without_trace(config: ProcessorConfig) -> bool:
    """Whether a failure leaves no trace in the document (those of `rename` and `copy_fields` are
    in `error.message`, which is not the same in all documents)."""
    return not any(isinstance(found, MoveFields) for found in _within(config))


def _lifetime(config: ProcessorConfig) -> float:
    """Seconds until the result of a processor is outdated."""
    lifetimes = [found.cache_ttl for found in _within(config) if isinstance(found, AddHostMetadata)]
    return max(0.0, min(lifetimes, default=float("inf")))


def _within(config: ProcessorConfig) -> Iterator[ProcessorConfig]:
    """The processor, or the processors inside it."""
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
