"""Every error that a user may meet, each with what is wrong, where, and what to do about it.

ShipperError
  ConfigError      the configuration, with every problem in it; the command ends with exit code 2
  RegistryError    the data directory and what it remembers
  DeadLetterError  the dead letter files, as the commands meet them
  OutputError      the way to Elasticsearch, as far as it is set up on this side
"""

import os
from collections.abc import Iterable
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from shipper.option_names import OWN_NAMES, OptionNames


class Location(Struct, frozen=True):
    """Where something is written."""

    #: The name of a file, `-E KEY`, or an option; empty if it is not known.
    name: str = ""
    #: The first line is 1; 0 where there are no lines.
    line: int = 0

    def __str__(self) -> str:
        return f"{self.name}, line {self.line}" if self.line else self.name


class Problem(Struct, frozen=True):
    """One thing that is wrong. The texts may have `option("…")` in them (`option_names`)."""

    what: str
    location: Location = Location()
    #: May be empty.
    what_to_do: str = ""

    def in_words_of(self, names: OptionNames) -> Self:
        """The same, with the options that it names called as in that dialect."""
        where = replace(self.location, name=names.fill(self.location.name))
        return replace(
            self, what=names.fill(self.what), location=where, what_to_do=names.fill(self.what_to_do)
        )

    def __str__(self) -> str:
        where = str(self.location)
        advice = f" ({self.what_to_do})" if self.what_to_do else ""
        return f"{where}: {self.what}{advice}" if where else f"{self.what}{advice}"


class ShipperError(Exception):
    """An error that is shown to a person as it is; it carries no secret."""

    def __init__(self, what: str, *, where: str = "", what_to_do: str = "") -> None:
        """`where`: a file, an option, a path. Both may be empty."""
        super().__init__(what)
        self.problems: tuple[Problem, ...] = (Problem(what, Location(where), what_to_do),)

    def in_words_of(self, names: OptionNames) -> Self:
        """The same, with the options that it names called as in that dialect."""
        self.problems = tuple(found.in_words_of(names) for found in self.problems)
        return self

    @property
    def what(self) -> str:
        """What is wrong; of several problems, the first."""
        return self.problems[0].in_words_of(OWN_NAMES).what

    @property
    def where(self) -> str:
        """Where it is wrong; of several problems, the first. May be empty."""
        return str(self.problems[0].in_words_of(OWN_NAMES).location)

    @property
    def what_to_do(self) -> str:
        """What to do about it; of several problems, the first. May be empty."""
        return self.problems[0].in_words_of(OWN_NAMES).what_to_do

    def __str__(self) -> str:
        return "; ".join(str(found.in_words_of(OWN_NAMES)) for found in self.problems)


class ConfigError(ShipperError):
    """The configuration cannot be used."""

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> Self:
        """With all of these problems, of which there is one at least."""
        found = tuple(problems)
        error = cls(found[0].what)
        error.problems = found
        return error


class RegistryError(ShipperError):
    """The registry cannot be opened, read or written."""


class DeadLetterError(ShipperError):
    """The dead letters cannot be read, or sent again now."""


class OutputError(ShipperError):
    """Requests cannot be made: a secret's file cannot be read, say."""


def reason_of(error: OSError) -> str:
    """Why the system refused something, in its own words: `no such file or directory`."""
    # Those of getaddrinfo are below 0, and have words of their own.
    is_errno = error.errno is not None and error.errno > 0
    words = os.strerror(error.errno or 0) if is_errno else str(error.strerror or error)
    # An acronym stays one: `I/O error`.
    return words if words[1:2].isupper() or words[1:2] == "/" else words[:1].lower() + words[1:]
