"""Values as people write them: `4MiB`, `1.5s`, one host or a list of them, a secret."""

import math
import re
from typing import Self

_SIZES = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", re.ASCII)


class ByteSize(int):
    """A number of bytes."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """From a number of bytes, or text such as `64KiB` or `1.5MB`.

        Raises ValueError, in words, for anything else.
        """
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        number, unit = _split(value, "a size such as 512KiB, 4MiB or 1GiB")
        factor = _SIZES.get(unit.lower())
        if factor is None:
            raise ValueError(
                f"`{unit}` is not a unit of size; those are B, KiB, MiB, GiB, KB, MB, GB"
            )
        return cls(round(_product(number, factor)))

    def __str__(self) -> str:
        for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
            if self and self % factor == 0:
                return f"{self // factor}{unit}"
        return f"{int(self)}B"


class Seconds(float):
    """A duration."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """From text such as `500ms`, `1s`, `5m`; a bare number would not say its unit.

        Raises ValueError, in words, for anything else.
        """
        number, unit = _split(value, "a duration such as 500ms, 1s, 5m or 2h")
        if not unit and number == 0:
            return cls(0.0)
        factor = _DURATIONS.get(unit.lower())
        if factor is None:
            given = f"`{unit}` is not a unit of time" if unit else f"`{value}` has no unit"
            raise ValueError(f"{given}; those are ms, s, m, h, d")
        return cls(_product(number, factor))

    def __str__(self) -> str:
        for unit, factor in (("h", 3600), ("m", 60), ("s", 1)):
            if self and self % factor == 0:
                return f"{int(self // factor)}{unit}"
        return f"{self * 1000:g}ms"


class Secret:
    """Text that appears in no log, error or page: only `reveal` tells it."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"


class HostList(tuple[str, ...]):
    """URLs; written as a list, or as text with commas between them, as an environment variable
    has to hold several."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises ValueError, in words, if it is neither."""
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise ValueError("expected a URL or a list of URLs")
        parts = [part.strip() for entry in entries for part in entry.split(",")]
        return cls(part.rstrip("/") for part in parts if part)


def _split(value: object, expected: str) -> tuple[float, str]:
    found = _NUMBER_AND_UNIT.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    if found is None or isinstance(value, bool):
        raise ValueError(f"expected {expected}, not `{value}`")
    return float(found[1]), found[2]


def _product(number: float, factor: float) -> float:
    product = number * factor
    if math.isinf(product):
        raise ValueError("the number is too large")
    return product
