"""Conditions of processors, as Filebeat has them: `when`, and the `if` of if/then/else.

What they look at are fields of the document; what each means is in `shipper/processors/conditions`.
"""

import ipaddress
from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from shipper.config.options import (
    OptionError,
    OptionErrors,
    Options,
    as_items,
    as_texts,
    describe,
    flat,
)
from shipper.config.yaml_text import QUOTE_IT
from shipper.golang.pattern import Pattern, PatternError

#: The kinds that have fields with values below them, and those that have conditions.
_KINDS = ("equals", "contains", "regexp", "range", "has_fields", "network", "or", "and", "not")

#: The networks that have names.
NAMED_NETWORKS = (
    "loopback",
    "global_unicast",
    "unicast",
    "link_local_unicast",
    "interface_local_multicast",
    "link_local_multicast",
    "multicast",
    "unspecified",
    "private",
    "public",
)

Subnet: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Equals(Struct, frozen=True):
    """Each field has that value."""

    fields: tuple[tuple[str, str | int | bool], ...]


class Contains(Struct, frozen=True):
    """Each field has that text in it, or in one of its texts."""

    fields: tuple[tuple[str, str], ...]


class Regexp(Struct, frozen=True):
    """In each field, or one of its texts, that is found."""

    fields: tuple[tuple[str, Pattern], ...]


class Bounds(Struct, frozen=True):
    """Of a number; None where there is none."""

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


class Range(Struct, frozen=True):
    """Each field is a number within those bounds."""

    fields: tuple[tuple[str, Bounds], ...]


class HasFields(Struct, frozen=True):
    """All of these are there."""

    fields: tuple[str, ...]


class Network(Struct, frozen=True):
    """Each field is an address, or has one, in one of those networks: a name or a subnet."""

    fields: tuple[tuple[str, tuple[str | Subnet, ...]], ...]


class AnyOf(Struct, frozen=True):
    """`or`."""

    conditions: tuple["Condition", ...]


class AllOf(Struct, frozen=True):
    """`and`."""

    conditions: tuple["Condition", ...]


class Not(Struct, frozen=True):
    """`not`."""

    condition: "Condition"


Condition: TypeAlias = (
    Equals | Contains | Regexp | Range | HasFields | Network | AnyOf | AllOf | Not
)


def parse_condition(value: object, path: str) -> Condition:
    """A condition; keys with dots have been taken apart.

    Raises OptionError.
    """
    if not isinstance(value, Mapping) or not value:
        raise OptionError(
            path, f"expected a condition, not {describe(value)}", f"use one of: {', '.join(_KINDS)}"
        )
    options = Options(value, path)
    if len(value) > 1:
        # Filebeat would heed one of them and forget the others.
        raise OptionError(
            path,
            f"several conditions in one ({', '.join(value)})",
            "put them in a list below `and` or `or`",
        )
    (kind,) = value
    where, given = options.at(kind), options.value(kind)
    match kind:
        case "equals":
            return Equals(tuple(_equals(given, where)))
        case "contains":
            return Contains(tuple(_texts_of(given, where)))
        case "regexp":
            return Regexp(_patterns(given, where))
        case "range":
            return Range(tuple(_ranges(given, where)))
        case "has_fields":
            return HasFields(tuple(_known(field, where) for field in _texts(given, where)))
        case "network":
            return Network(tuple(_networks(given, where)))
        case "or" | "and":
            conditions = _conditions(given, where)
            return AnyOf(conditions) if kind == "or" else AllOf(conditions)
        case "not":
            return Not(parse_condition(given, where))
    raise OptionError(where, "unknown condition", f"use one of: {', '.join(_KINDS)}")


def _conditions(given: object, path: str) -> tuple[Condition, ...]:
    errors = OptionErrors()
    found = []
    items = as_items(given, path)
    if not items:
        raise OptionError(path, "the list is empty", "give at least one condition")
    for index, item in enumerate(items):
        with errors:
            found.append(parse_condition(item, f"{path}[{index}]"))
    errors.raise_any()
    return tuple(found)


def _by_field(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, Mapping) or not value:
        raise OptionError(path, f"expected fields with values, not {describe(value)}")
    found = flat(value)
    for field in found:
        _known(field, path)
    return found


def _known(field: str, path: str) -> str:
    """The same, if there can be such a field."""
    if field == "@metadata" or field.startswith("@metadata."):
        raise OptionError(path, "@metadata is not available", "name another field")
    return field


def _equals(value: object, path: str) -> list[tuple[str, str | int | bool]]:
    errors = OptionErrors()
    found: list[tuple[str, str | int | bool]] = []
    for field, wanted in _by_field(value, path).items():
        with errors:
            if not isinstance(wanted, str | int):
                raise OptionError(
                    f"{path}.{field}",
                    f"expected text, a whole number, true or false, not {describe(wanted)}",
                )
            found.append((field, wanted))
    errors.raise_any()
    return found


def _texts_of(value: object, path: str) -> list[tuple[str, str]]:
    errors = OptionErrors()
    found: list[tuple[str, str]] = []
    for field, wanted in _by_field(value, path).items():
        with errors:
            if not isinstance(wanted, str):
                raise OptionError(
                    f"{path}.{field}", f"expected text, not {describe(wanted)}", QUOTE_IT
                )
            found.append((field, wanted))
    errors.raise_any()
    return found


def _patterns(value: object, path: str) -> tuple[tuple[str, Pattern], ...]:
    errors = OptionErrors()
    found = []
    for field, text in _texts_of(value, path):
        with errors:
            found.append((field, _pattern(text, f"{path}.{field}")))
    errors.raise_any()
    return tuple(found)


def _pattern(text: str, path: str) -> Pattern:
    try:
        return Pattern(text)
    except PatternError as error:
        raise OptionError(path, str(error), error.what_to_do) from None


def _ranges(value: object, path: str) -> list[tuple[str, Bounds]]:
    errors = OptionErrors()
    bounds: dict[str, dict[str, float]] = {}
    for key, given in _by_field(value, path).items():
        field, _, operator = key.rpartition(".")
        with errors:
            if operator not in ("gt", "gte", "lt", "lte") or not field:
                raise OptionError(
                    f"{path}.{key}",
                    "a range needs gt, gte, lt or lte",
                    f"write such as `{key}.gte: 400`",
                )
            bounds.setdefault(field, {})[operator] = _number(given, f"{path}.{key}")
    errors.raise_any()
    return [(field, Bounds(**given)) for field, given in bounds.items()]


def _number(given: object, path: str) -> float:
    try:
        if isinstance(given, str | int | float) and not isinstance(given, bool):
            return float(given)
    except ValueError:
        pass
    raise OptionError(path, f"expected a number, not {describe(given)}")


def _texts(value: object, path: str) -> tuple[str, ...]:
    try:
        return as_texts(value)
    except ValueError as error:
        raise OptionError(path, str(error)) from None


def _networks(value: object, path: str) -> list[tuple[str, tuple[str | Subnet, ...]]]:
    errors = OptionErrors()
    found = []
    for field, given in _by_field(value, path).items():
        with errors:
            texts = _texts(given, f"{path}.{field}")
            found.append((field, tuple(_network(text, f"{path}.{field}") for text in texts)))
    errors.raise_any()
    return found


def _network(text: str, path: str) -> str | Subnet:
    if text in NAMED_NETWORKS:
        return text
    address, slash, _ = text.partition("/")
    try:
        if slash and address:
            return ipaddress.ip_network(text, strict=False)
    except ValueError:
        pass
    raise OptionError(
        path,
        f"`{text}` is not a network",
        f"use a subnet such as 10.0.0.0/8, or one of: {', '.join(NAMED_NETWORKS)}",
    )
