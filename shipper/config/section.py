"""What every section of the configuration is made with.

What can be said of one value by itself, or of values of one section, is checked in `__post_init__`,
which raises ValueError with `key: what is wrong`; what needs files or the environment, in `load`.
"""

from msgspec import Struct


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the file."""


def require(good: bool, key: str, problem: str) -> None:
    """Raises ValueError, with the key and the problem in words, unless it is good."""
    if not good:
        raise ValueError(f"{key}: {problem}")


def within(key: str, value: float, least: float, most: float) -> None:
    """Raises ValueError, in words, unless the value is between the bounds, which count."""
    require(least <= value <= most, key, f"{value} is not between {least} and {most}")
