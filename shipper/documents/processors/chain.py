"""The implementation of the processors, and their chain.

A processor that fails leaves the event unchanged, or changed as far as in Filebeat, and the next
one continues: no event is lost because of a processor. Failures are reported.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import TypeAlias

from shipper.config.processor_types import (
    AddFields,
    AddHostMetadata,
    AddKubernetesMetadata,
    AddTags,
    DecodeJsonFields,
    DropEvent,
    DropFields,
    IfThenElse,
    IncludeFields,
    MoveFields,
    ProcessorConfig,
    Timestamp,
    TruncateFields,
    When,
)
from shipper.documents.processors.conditions import check_of
from shipper.documents.processors.event import (
    MISSING,
    DroppedError,
    Event,
    Fields,
    ProcessorError,
    Time,
    Undo,
    append,
    copied,
    delete,
    flat_keys,
    get,
    merge,
    put,
)
from shipper.documents.processors.json_fields import JsonDecoder
from shipper.documents.processors.machine import Machine
from shipper.documents.processors.metadata import HostMetadata, KubernetesMetadata

#: A processor. It raises ProcessorError, or DroppedError to drop the event.
Action: TypeAlias = Callable[[Event], None]


class Chain:
    """A list of processors."""

    def __init__(self, configs: Iterable[ProcessorConfig], machine: Machine) -> None:
        self._actions = tuple((config.name, action_of(config, machine)) for config in configs)

    def run(self, event: Event) -> list[tuple[str, str]]:
        """Runs the processors; returns failures as (name, problem).

        Raises DroppedError if the event is dropped.
        """
        failures = []
        for name, action in self._actions:
            try:
                action(event)
            except ProcessorError as error:
                failures.append((name, str(error)))
            except RecursionError:
                # Decoded JSON of a line may have any depth.
                failures.append((name, "a field is nested too deeply"))
        return failures


def action_of(config: ProcessorConfig, machine: Machine) -> Action:
    """The processor for a configuration."""
    match config:
        case When(condition=condition, processor=processor):
            return _when(check_of(condition), action_of(processor, machine))
        case IfThenElse():
            return _if_then_else(config, machine)
        case Timestamp():
            return _timestamp(config)
        case AddFields(fields=fields):
            whole = dict(fields)
            return lambda event: merge(event.fields, whole, overwrite=True)
        case AddTags(tags=tags, target=target):
            return lambda event: append(event.fields, target, tags)
        case DropEvent():
            return _drop
        case DropFields():
            return _drop_fields(config)
        case IncludeFields(fields=names):
            return lambda event: _include(event, names)
        case MoveFields():
            return _move_fields(config)
        case DecodeJsonFields():
            return JsonDecoder(config)
        case AddHostMetadata():
            return HostMetadata(config, machine)
        case AddKubernetesMetadata():
            return KubernetesMetadata(config, machine)
        case TruncateFields():
            return _truncate_fields(config)


def _when(check: Callable[[Event], bool], action: Action) -> Action:
    def run(event: Event) -> None:
        if check(event):
            action(event)

    return run


def _if_then_else(config: IfThenElse, machine: Machine) -> Action:
    check = check_of(config.condition)
    then = [(found.name, action_of(found, machine)) for found in config.then]
    otherwise = [(found.name, action_of(found, machine)) for found in config.otherwise]

    def run(event: Event) -> None:
        for name, action in then if check(event) else otherwise:
            try:
                action(event)
            except ProcessorError as error:
                # As in Filebeat, the rest of the list is skipped.
                raise ProcessorError(f"{name}: {error}") from None

    return run


def _drop(_: Event) -> None:
    raise DroppedError


def _timestamp(config: Timestamp) -> Action:
    def run(event: Event) -> None:
        try:
            value = _value_of_time(event, config.field)
            if isinstance(value, Time):
                event.put(config.target_field, value)
                return
            try:
                nanoseconds = config.read(value, event.now)
            except ValueError as error:
                raise ProcessorError(f"`{config.field}` is no time: {error}") from None
            event.put(config.target_field, Time.of(nanoseconds, value))
        except _MissingFieldError:
            if not config.ignore_failure and not config.ignore_missing:
                raise
        except ProcessorError:
            if not config.ignore_failure:
                raise

    return run


def _value_of_time(event: Event, field: str) -> object:
    """The value from the document, or else from the line: the processor in Elastic's guide names
    `time`, a field of Tetragon that Filebeat's documents do not have."""
    value = event.get(field)
    if value is MISSING:
        value = get(event.decoded, field)
    if value is MISSING:
        raise _MissingFieldError(f"there is no field `{field}`")
    return value


class _MissingFieldError(ProcessorError):
    """A field is not there."""


def _drop_fields(config: DropFields) -> Action:
    def run(event: Event) -> None:
        problems = []
        for name in config.fields:
            try:
                if not delete(event.fields, name) and not config.ignore_missing:
                    problems.append(f"there is no field `{name}`")
            except ProcessorError as error:
                problems.append(str(error))
        if config.patterns:
            for name in flat_keys(event.fields):
                if any(pattern.is_in(name) for pattern in config.patterns):
                    delete(event.fields, name)
        if problems:
            raise ProcessorError("; ".join(problems))

    return run


def _include(event: Event, names: tuple[str, ...]) -> None:
    kept: Fields = {}
    problems = []
    for name in (*names, "type"):
        try:
            value = get(event.fields, name)
            if value is not MISSING:
                put(kept, name, value)
        except ProcessorError as error:
            problems.append(str(error))
    event.fields = kept
    if problems:
        raise ProcessorError("; ".join(problems))


def _move_fields(config: MoveFields) -> Action:
    copies = config.name == "copy_fields"

    def move(event: Event, source: str, target: str, undo: Undo) -> None:
        if event.peek(target) is not MISSING:
            raise ProcessorError(f"there is a field `{target}` already: drop or rename it first")
        value = event.get(source)
        if value is MISSING:
            if config.ignore_missing:
                return
            raise ProcessorError(f"there is no field `{source}`")
        if not copies:
            # Deleted first, so that `a` can become `a.b`.
            delete(event.fields, source, undo)
        event.put(target, copied(value) if copies else value, undo)

    def run(event: Event) -> None:
        undo = Undo()
        for source, target in config.fields:
            try:
                move(event, source, target, undo)
            except ProcessorError as error:
                if config.fail_on_error:
                    undo.undo()
                    _flag(event, f"{config.name}: {error}")
                    raise

    return run


def _flag(event: Event, message: str) -> None:
    """Sets `error.message` as in Filebeat, unless the document has one."""
    if event.peek("error.message") is MISSING:
        with contextlib.suppress(ProcessorError):
            event.put("error.message", message)


def _truncate_fields(config: TruncateFields) -> Action:
    def truncated(text: str) -> str:
        if config.max_characters:
            return text[: config.max_characters]
        return text.encode("utf-8", "surrogatepass")[: config.max_bytes].decode("utf-8", "ignore")

    def truncate(event: Event, name: str, undo: Undo) -> None:
        value = event.get(name)
        if value is MISSING:
            if config.ignore_missing:
                return
            raise ProcessorError(f"there is no field `{name}`")
        if not isinstance(value, str):
            raise ProcessorError(f"`{name}` is not text")
        short = truncated(value)
        if short != value:
            event.put(name, short, undo)
            append(event.fields, "log.flags", ("truncated",), undo)

    def run(event: Event) -> None:
        undo = Undo()
        for name in config.fields:
            try:
                truncate(event, name, undo)
            except ProcessorError:
                if config.fail_on_error:
                    undo.undo()
                    raise

    return run
