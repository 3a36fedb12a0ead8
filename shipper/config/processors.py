"""Filebeat's `processors`, in both dialects of the configuration: a list, each entry of which has
one key, the processor's name, with its options below it.

Everything that can be known of a processor before the first event is checked here, and what is
wrong is said with the path that leads to it. A processor of Filebeat's that is not here is refused
by its name, with what to do instead.
"""

import difflib
from collections.abc import Mapping

from shipper.config.conditions import parse_condition
from shipper.config.options import OptionError, OptionErrors, Options, as_items, describe, nested
from shipper.config.processor_readers import READERS
from shipper.config.processor_types import DropEvent, IfThenElse, ProcessorConfig, When
from shipper.config.refused_processors import REFUSED

__all__ = ["OptionError", "ProcessorConfig", "parse"]


def parse(value: object) -> tuple[ProcessorConfig, ...]:
    """The processors of a list as Filebeat has it.

    >>> [found.name for found in parse([{"drop_fields": {"fields": ["agent"]}}])]
    ['drop_fields']

    Raises:
        OptionError: it cannot be used. Its text begins with the path from the list on, such as
            `[2].timestamp.layouts: required option is missing`.
    """
    errors = OptionErrors()
    found = []
    for index, item in enumerate(as_items(value, "")):
        path = f"[{index}]"
        with errors:
            processor = _parse_one(nested(item, path), path)
            if isinstance(processor, DropEvent):
                raise OptionError(
                    f"{path}.drop_event", "drops every event", "give it a condition with `when`"
                )
            found.append(processor)
    errors.raise_any()
    return tuple(found)


def _parse_list(value: object, path: str) -> tuple[ProcessorConfig, ...]:
    errors = OptionErrors()
    found = []
    for index, item in enumerate(as_items(value, path)):
        with errors:
            found.append(_parse_one(item, f"{path}[{index}]"))
    errors.raise_any()
    return tuple(found)


def _parse_one(value: object, path: str) -> ProcessorConfig:
    if not isinstance(value, Mapping) or not value:
        raise OptionError(
            path,
            f"expected a processor, not {describe(value)}",
            "such as `- add_tags: {tags: [a]}`",
        )
    if "if" in value:
        return _if_then_else(Options(value, path))
    if len(value) != 1:
        raise OptionError(
            path,
            f"several keys in one entry ({', '.join(value)})",
            "begin each processor with `- `, and indent its options below its name",
        )
    (name,) = value
    where = f"{path}.{name}"
    if name in REFUSED:
        raise OptionError(where, "unsupported processor", REFUSED[name])
    read = READERS.get(name)
    if read is None:
        near = difflib.get_close_matches(name, [*READERS, *REFUSED], n=1)
        advice = f"did you mean `{near[0]}`?" if near else f"known processors: {', '.join(READERS)}"
        raise OptionError(where, "unknown processor", advice)
    options = Options(value[name], where)
    when = options.value("when")
    condition = None
    if when is not None:
        with options.errors:
            condition = parse_condition(when, f"{where}.when")
    with options.errors:
        found = read(options)
        options.end()
        return found if condition is None else When(condition=condition, processor=found)
    # An option that stopped the reader: what it did not come to is not unknown.
    options.errors.raise_any()
    raise AssertionError(where)


def _if_then_else(options: Options) -> ProcessorConfig:
    condition, then = None, None
    otherwise: tuple[ProcessorConfig, ...] = ()
    with options.errors:
        condition = parse_condition(options.value("if"), options.at("if"))
    with options.errors:
        then = _branch(options, "then")
    with options.errors:
        otherwise = _branch(options, "else")
    if then == ():
        options.report("then", "required option is missing", "give the processors of `if`")
    options.end()
    assert condition is not None
    assert then is not None
    return IfThenElse(condition=condition, then=then, otherwise=otherwise)


def _branch(options: Options, key: str) -> tuple[ProcessorConfig, ...]:
    """A list of processors, or one."""
    value = options.value(key)
    if value is None:
        return ()
    if isinstance(value, list):
        return _parse_list(value, options.at(key))
    return (_parse_one(value, options.at(key)),)
