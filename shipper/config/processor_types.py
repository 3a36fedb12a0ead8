"""What a configuration says of processors, checked: one frozen type each. `processors` makes them,
`shipper/processors` does what they say."""

import math
import re
from collections.abc import Mapping
from datetime import tzinfo
from enum import Enum
from typing import ClassVar, TypeAlias

from msgspec import Struct

from shipper.config.conditions import Condition
from shipper.config.options import describe
from shipper.golang.pattern import Pattern
from shipper.golang.time import Layout, in_range


class Unix(Enum):
    """Layouts that are none of Go's: since 1970, as a number or as text, in this unit."""

    SECONDS = "UNIX"
    MILLISECONDS = "UNIX_MS"


class Timestamp(Struct, frozen=True, kw_only=True):
    """Reads a time."""

    name: ClassVar[str] = "timestamp"

    field: str
    layouts: tuple[Layout | Unix, ...]
    target_field: str
    #: Of times that say none.
    zone: tzinfo
    ignore_missing: bool
    ignore_failure: bool

    def read(self, value: object, now: float) -> int:
        """Nanoseconds since 1970 of a time that is written by one of the layouts; the first wins.
        `now`: Unix seconds.

        Raises ValueError, in words, if it is written by none.
        """
        problems = []
        for layout in self.layouts:
            try:
                return _read_by(value, layout, self.zone, now)
            except ValueError as error:
                name = layout.value if isinstance(layout, Unix) else layout.text
                problems.append(f"by {name}: {error}")
        raise ValueError("; ".join(problems))


class AddFields(Struct, frozen=True, kw_only=True):
    """Merges fields into the document; `name` is what the user calls it."""

    name: str
    fields: Mapping[str, object]


class AddTags(Struct, frozen=True, kw_only=True):
    """Adds to a list."""

    name: ClassVar[str] = "add_tags"

    tags: tuple[str, ...]
    target: str


class DropEvent(Struct, frozen=True, kw_only=True):
    """Makes no document of the event."""

    name: ClassVar[str] = "drop_event"


class DropFields(Struct, frozen=True, kw_only=True):
    """Takes fields out: some by name, some because a pattern is found in their names."""

    name: ClassVar[str] = "drop_fields"

    fields: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    ignore_missing: bool


class IncludeFields(Struct, frozen=True, kw_only=True):
    """Takes all other fields out."""

    name: ClassVar[str] = "include_fields"

    fields: tuple[str, ...]


class MoveFields(Struct, frozen=True, kw_only=True):
    """`rename` or `copy_fields`: pairs of names, from and to."""

    name: str
    fields: tuple[tuple[str, str], ...]
    ignore_missing: bool
    fail_on_error: bool


class DecodeJsonFields(Struct, frozen=True, kw_only=True):
    """Reads JSON that is in a text."""

    name: ClassVar[str] = "decode_json_fields"

    fields: tuple[str, ...]
    process_array: bool
    max_depth: int
    #: None: each field's own place; empty: the root.
    target: str | None
    overwrite_keys: bool
    expand_keys: bool
    add_error_key: bool


class AddHostMetadata(Struct, frozen=True, kw_only=True):
    """Says what the machine is."""

    name: ClassVar[str] = "add_host_metadata"

    netinfo: bool
    #: Seconds until it is looked at again; 0 or less: for each block of lines.
    cache_ttl: float
    replace_fields: bool
    geo: Mapping[str, str]
    #: `host.name`, if it is not to be the machine's.
    host_name: str


class AddKubernetesMetadata(Struct, frozen=True, kw_only=True):
    """Says which pod an event is of, as far as the event does."""

    name: ClassVar[str] = "add_kubernetes_metadata"

    #: Whether dots in names of labels become underscores.
    dedot_labels: bool
    #: The node, for events that do not name it.
    node: str


class TruncateFields(Struct, frozen=True, kw_only=True):
    """Shortens texts; one of the two limits is not 0."""

    name: ClassVar[str] = "truncate_fields"

    fields: tuple[str, ...]
    max_bytes: int
    max_characters: int
    ignore_missing: bool
    fail_on_error: bool


class When(Struct, frozen=True, kw_only=True):
    """A processor that is done if a condition is met."""

    condition: Condition
    processor: "ProcessorConfig"

    @property
    def name(self) -> str:
        """That of the processor."""
        return self.processor.name


class IfThenElse(Struct, frozen=True, kw_only=True):
    """Some processors or others. One that fails ends those of its list."""

    name: ClassVar[str] = "if"

    condition: Condition
    then: tuple["ProcessorConfig", ...]
    otherwise: tuple["ProcessorConfig", ...]


ProcessorConfig: TypeAlias = (
    Timestamp
    | AddFields
    | AddTags
    | DropEvent
    | DropFields
    | IncludeFields
    | MoveFields
    | DecodeJsonFields
    | AddHostMetadata
    | AddKubernetesMetadata
    | TruncateFields
    | When
    | IfThenElse
)


def _read_by(value: object, layout: Layout | Unix, zone: tzinfo, now: float) -> int:
    if isinstance(layout, Unix):
        return in_range(_unix(value, 10**9 if layout is Unix.SECONDS else 10**6))
    if not isinstance(value, str):
        raise ValueError(f"expected text, not {describe(value)}")
    return layout.parse(value, zone, now=now)


def _unix(value: object, nanoseconds: int) -> int:
    if isinstance(value, str):
        try:
            value = float(value) if not re.fullmatch(r"[+-]?[0-9]{1,18}", value) else int(value)
        except ValueError:
            raise ValueError(f"expected a number, not {describe(value)}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, not {describe(value)}")
    product = value * nanoseconds
    if isinstance(product, float) and not math.isfinite(product):
        raise ValueError("the number is too large")
    return int(product)
