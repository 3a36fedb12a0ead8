"""What every section of the configuration is made with.

What can be said of one value by itself, or of values of one section, is what `problems` yields:
all of it, so that one run of a command names everything. What needs files or the environment is
checked where these are used.
"""

from collections.abc import Iterator
from typing import Annotated, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from shipper.option_names import OWN_NAMES, option

#: Marks a field that is no option of the file.
INTERNAL = Meta(extra={"internal": True})


class SectionProblem(msgspec.Struct, frozen=True):
    """What is wrong with an option of a section. The texts may have `option("…")` in them."""

    #: Empty for the section as a whole.
    key: str
    what: str
    what_to_do: str = ""
    #: Other options of the section that it is about.
    others: tuple[str, ...] = ()
    #: What leads from the option to the value in it.
    steps: tuple[str | int, ...] = ()


def _in_words(problem: SectionProblem) -> str:
    key = f"{problem.key}: " if problem.key else ""
    advice = f" ({problem.what_to_do})" if problem.what_to_do else ""
    return OWN_NAMES.fill(f"{key}{problem.what}{advice}")


class SectionError(ValueError):
    """A section that cannot be used, with all that is wrong in it."""

    def __init__(self, section: "Section", problems: list[SectionProblem]) -> None:
        super().__init__(section, problems)
        self.section = section
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(map(_in_words, self.problems))


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the file. Raises SectionError if its options cannot be used."""

    def __post_init__(self) -> None:
        if found := list(self.problems()):
            raise SectionError(self, found)

    def problems(self) -> Iterator[SectionProblem]:
        """All that is wrong with the values."""
        yield from ()


def options_of(section: type[Section]) -> list[msgspec.structs.FieldInfo]:
    """The fields of a section that are options of the file."""
    return [found for found in msgspec.structs.fields(section) if not _is_internal(found.type)]


def _is_internal(kind: object) -> bool:
    return get_origin(kind) is Annotated and INTERNAL in get_args(kind)


def within(key: str, value: float, least: float, most: float) -> Iterator[SectionProblem]:
    """A problem unless the value is between the bounds, which are included."""
    if not least <= value <= most:
        yield SectionProblem(key, f"{value} is out of range", f"use {least} to {most}")


def exclusive(
    key: str, other: str, *, prefix: str, given: bool, others: tuple[str, ...] = ()
) -> Iterator[SectionProblem]:
    """A problem if two options are `given` of which one can be; `prefix`: the section's path."""
    if given:
        yield SectionProblem(
            key,
            f"cannot be combined with {option(f'{prefix}.{other}')}",
            "remove one of the two",
            others=(other, *others),
        )
