"""Everything that is wrong with a configuration, collected while it is read: a reader reports a
problem and goes on, so that one run names them all.

A value that was reported about is `INVALID` from then on. Whoever meets it says nothing more.
"""

from collections.abc import Sequence
from enum import Enum
from types import TracebackType
from typing import Final, Literal

from shipper.errors import ConfigError, Location, Problem


class _Invalid(Enum):
    INVALID = "invalid"


#: Stands for a value that a problem was reported for.
INVALID: Final = _Invalid.INVALID
Invalid = Literal[_Invalid.INVALID]


class Problems:
    """The problems found so far. As a context it collects the ConfigError that is raised in it."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, ConfigError):
            return False
        self._found += error.problems
        return True

    def add(self, what: str, location: Location, what_to_do: str = "") -> None:
        """Reports one."""
        self._found.append(Problem(what, location, what_to_do))

    def report(self, error: ConfigError) -> None:
        """Reports those of an error."""
        self._found += error.problems

    def raise_any(self, files: Sequence[str] = ()) -> None:
        """Raises ConfigError with all problems, each once: by the order of the files, and by line.
        What is in no file comes last."""
        if not self._found:
            return
        order = {name: position for position, name in enumerate(files)}
        raise ConfigError.of(
            sorted(
                dict.fromkeys(self._found),
                key=lambda found: (
                    order.get(found.location.name, len(order)),
                    found.location.line,
                ),
            )
        )
