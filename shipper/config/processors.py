"""Filebeat's `processors`, in both dialects of the configuration: a list, each entry of which has
one key, the processor's name, with its options below it.

Everything that can be known of a processor before the first event is checked here, and what is
wrong is said with the path that leads to it. A processor of Filebeat's that is not here is refused
by its name, with what to do instead.
"""

import difflib
from collections.abc import Mapping
from typing import Self

from shipper.config.conditions import parse_condition
from shipper.config.options import OptionError, Options, as_items, describe, nested
from shipper.config.processor_readers import READERS
from shipper.config.processor_types import DropEvent, IfThenElse, ProcessorConfig, When
from shipper.config.refused_processors import REFUSED

__all__ = ["OptionError", "ProcessorConfig", "Processors", "parse"]


class Processors(tuple[ProcessorConfig, ...]):
    """Processors, in the order in which they are done."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """From what a configuration has there. Raises OptionError, which is a ValueError."""
        return cls(parse(value))


def parse(value: object) -> tuple[ProcessorConfig, ...]:
    """The processors of a list as Filebeat has it.

    >>> [found.name for found in parse([{"drop_fields": {"fields": ["agent"]}}])]
    ['drop_fields']

    Raises:
        OptionError: it cannot be used. Its text begins with the path from the list on, such as
            `[2].timestamp.layouts: it is missing, and has no default`.
    """
    found = _parse_list(nested(as_items(value, ""), ""), "")
    for index, processor in enumerate(found):
        if isinstance(processor, DropEvent):
            raise OptionError(
                f"[{index}].drop_event", "it has no condition", "give one, with `when`"
            )
    return found


def _parse_list(value: object, path: str) -> tuple[ProcessorConfig, ...]:
    return tuple(
        _parse_one(item, f"{path}[{index}]") for index, item in enumerate(as_items(value, path))
    )


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
            f"it has several keys ({', '.join(value)}), and each entry is one processor",
            "begin each with `- `, and indent its options below its name",
        )
    (name,) = value
    where = f"{path}.{name}"
    if name in REFUSED:
        raise OptionError(where, "this processor is not supported", REFUSED[name])
    read = READERS.get(name)
    if read is None:
        near = difflib.get_close_matches(name, [*READERS, *REFUSED], n=1)
        advice = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(READERS)}"
        raise OptionError(where, "there is no such processor", advice)
    options = Options(value[name], where)
    when = options.value("when")
    found = read(options)
    options.end()
    if when is None:
        return found
    return When(condition=parse_condition(when, f"{where}.when"), processor=found)


def _if_then_else(options: Options) -> ProcessorConfig:
    condition = parse_condition(options.value("if"), options.at("if"))
    then = _branch(options, "then")
    if not then:
        raise options.error("then", "it is missing", "give the processors of `if`")
    otherwise = _branch(options, "else")
    options.end()
    return IfThenElse(condition=condition, then=then, otherwise=otherwise)


def _branch(options: Options, key: str) -> tuple[ProcessorConfig, ...]:
    """A list of processors, or one."""
    value = options.value(key)
    if value is None:
        return ()
    if isinstance(value, list):
        return _parse_list(value, options.at(key))
    return (_parse_one(value, options.at(key)),)
