"""Globs: which paths match, whether or not something stands there.

A `Pattern` is one glob, taken apart: a walk asks it name by name what leads on and what is a match.
It matches as Python's `glob.glob(pattern, recursive=True)` does: a leading dot is matched by a dot
only, and `**` stands for any number of directories that are not hidden.
"""

import fnmatch
import re
from collections.abc import Iterable

from msgspec import Struct

from shipper.files.opening import Exclusion

#: Names that every directory has, and no listing.
DOTS = frozenset({".", ".."})

_WILDCARDS = frozenset("*?[")


def directory_of(pattern: str) -> str:
    """The directory that holds the part of a glob before its first wildcard."""
    parts = pattern.split("/")
    fixed = next((i for i, part in enumerate(parts) if _WILDCARDS & set(part)), len(parts) - 1)
    return "/".join(parts[:fixed]) or "/"


class _Part(Struct, frozen=True):
    """One component of a glob after its fixed directory."""

    text: str
    #: None: no wildcard is in it.
    expression: re.Pattern[str] | None
    any_depth: bool

    def matches(self, name: str) -> bool:
        if self.expression is None:
            return name == self.text
        if name.startswith(".") and not self.text.startswith("."):
            return False
        return self.any_depth or self.expression.match(name) is not None


#: Which components of a glob the next name may be matched by.
Places = frozenset[int]

_NOWHERE: Places = frozenset()


class Pattern:
    """A glob, taken apart. `text` is absolute."""

    def __init__(self, text: str) -> None:
        self.text = text
        #: It stands before the first wildcard.
        self.directory = directory_of(text)
        rest = text[len(self.directory) :].split("/")
        # Two slashes are one; one at the end asks for a directory, which no log is.
        parts = [part for part in rest[:-1] if part] + rest[-1:]
        self._parts = [
            _Part(part, _expression(part) if _WILDCARDS & set(part) else None, part == "**")
            for part in parts
        ]
        self.start = self._closed({0})
        # The place of the last component, from which nothing leads on; none if that is `**`.
        self._last = _NOWHERE if parts[-1] == "**" else frozenset({len(parts) - 1})

    @property
    def goes_deeper(self) -> bool:
        """Whether it matches in other directories than its own."""
        return len(self._parts) > 1

    def literals(self, places: Places) -> list[str]:
        """The names without a wildcard that are asked for in a directory."""
        parts = [self._parts[place] for place in sorted(places)]
        return list(dict.fromkeys(part.text for part in parts if part.expression is None))

    def needs_listing(self, places: Places) -> bool:
        """Whether a directory has to be listed to know what matches in it."""
        return any(self._parts[place].expression is not None for place in places)

    def step(self, places: Places, name: str) -> tuple[Places, bool]:
        """What a name leads to: the places below it, if it is a directory, and whether it is a
        match, if it is a file."""
        if places == self._last:
            # The names in the directory of a glob such as /logs/*.log: by far the most.
            return _NOWHERE, self._parts[-1].matches(name)
        matched = {place for place in places if self._parts[place].matches(name)}
        if not matched:
            return _NOWHERE, False
        below = {place if self._parts[place].any_depth else place + 1 for place in matched}
        return self._closed(below), len(self._parts) - 1 in matched

    def matches(self, path: str) -> bool:
        """Whether it matches that path."""
        return self._trace(path)[1]

    def may_lead_to_match(self, path: str) -> bool:
        """Whether it matches that path, or may match something below it."""
        below, is_match = self._trace(path)
        return is_match or bool(below) or any(part.text in DOTS for part in self._parts)

    def _trace(self, path: str) -> tuple[Places, bool]:
        start = self.directory.rstrip("/") + "/"
        if not path.startswith(start):
            return _NOWHERE, False
        places, is_match = self.start, False
        for name in path[len(start) :].split("/"):
            places, is_match = self.step(places, name)
        return places, is_match

    def _closed(self, places: set[int]) -> Places:
        """With the places after each `**`, which may stand for no directory at all."""
        closed = set()
        for place in places:
            while place < len(self._parts):
                closed.add(place)
                if not self._parts[place].any_depth:
                    break
                place += 1
        return frozenset(closed)


class Globs:
    """The globs of an input: which paths match, whether or not something stands there."""

    def __init__(self, patterns: Iterable[str], exclude: Iterable[str]) -> None:
        self._patterns = [Pattern(text) for text in patterns]
        self._exclusion = Exclusion(exclude)

    def __contains__(self, path: str) -> bool:
        return path not in self._exclusion and any(each.matches(path) for each in self._patterns)


def _expression(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
