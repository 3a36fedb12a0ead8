"""Options of the parts of a configuration that have Filebeat's form: read one by one, each with the
path that leads to it, so that an error names it.

A key with dots is the same as keys in one another (`cache.ttl: 5m`), as everywhere in Filebeat.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TypeVar

from shipper.option_names import OWN_NAMES

_T = TypeVar("_T")

_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+)")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


_STEP = re.compile(r"(?:^|\.)([^.\[]+)|\[(\d+)\]")


class OptionError(ValueError):
    """An option is wrong. `path`: what leads to it, such as `[2].timestamp.layouts`."""

    def __init__(self, path: str, problem: str, what_to_do: str = "") -> None:
        self.path = path
        self.problem = problem
        self.what_to_do = what_to_do
        #: This one, and others that were found with it.
        self.all: tuple[OptionError, ...] = (self,)
        super().__init__(path, problem, what_to_do)

    @property
    def steps(self) -> tuple[str | int, ...]:
        """The path, step by step."""
        return tuple(name or int(index) for name, index in _STEP.findall(self.path))

    def __str__(self) -> str:
        return "; ".join(each._text() for each in self.all)

    def _text(self) -> str:
        advice = f" ({OWN_NAMES.fill(self.what_to_do)})" if self.what_to_do else ""
        return f"{self.path}: {self.problem}{advice}" if self.path else f"{self.problem}{advice}"


class OptionErrors:
    """Collects the OptionError of each part, so that all are told. As a context it takes the one
    that is raised in it."""

    def __init__(self) -> None:
        self._found: dict[str, OptionError] = {}
        self._spoiled: set[str] = set()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, OptionError):
            return False
        for each in error.all:
            self.add(each)
        return True

    def add(self, error: OptionError) -> None:
        """Adds one, unless something in or around the same option is wrong already: that would be
        a consequence."""
        if not self.concern(error.path):
            self._found[error.path] = error

    def spoil(self, path: str) -> None:
        """Has nothing be said of an option, as something else is the cause of it."""
        self._spoiled.add(path)

    def concern(self, path: str) -> bool:
        """Whether something is wrong with this option, in it, or with what it is in."""
        return any(are_related(path, bad) for bad in (*self._found, *self._spoiled))

    def raise_any(self) -> None:
        """Raises an OptionError with all of them."""
        found = tuple(self._found.values())
        if found:
            first = found[0]
            error = OptionError(first.path, first.problem, first.what_to_do)
            error.all = found
            raise error


def are_related(path: str, other: str) -> bool:
    """Whether two paths are the same, or one is in the other."""
    return _is_in(path, other) or _is_in(other, path)


def _is_in(inner: str, outer: str) -> bool:
    return not outer or inner == outer or inner.startswith((f"{outer}.", f"{outer}["))


class Options:
    """The options of one thing. Each is taken once; what is left over is unknown.

    What is wrong with an option is collected in `errors`, and something stands in for its value:
    whoever has read them all calls `end`.
    """

    def __init__(self, value: object, path: str, errors: OptionErrors | None = None) -> None:
        """Raises OptionError if the value is neither keys with values nor nothing."""
        if value is not None and not isinstance(value, Mapping):
            raise OptionError(path, f"expected keys with values, not {describe(value)}")
        self.errors = OptionErrors() if errors is None else errors
        self.path = path
        self._values: dict[str, object] = dict(value or {})
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def at(self, key: str) -> str:
        """The path of an option."""
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, problem: str, what_to_do: str = "") -> OptionError:
        """What is wrong with an option."""
        return OptionError(self.at(key), problem, what_to_do)

    def report(self, key: str, problem: str, what_to_do: str = "") -> None:
        """Notes what is wrong with an option."""
        self.errors.add(self.error(key, problem, what_to_do))

    def are_good(self, *keys: str) -> bool:
        """Whether nothing is wrong with these options, so far as they were read."""
        return not any(self.errors.concern(self.at(key)) for key in keys)

    def value(self, key: str) -> object:
        """As it was written; None if it is not there or is nothing."""
        self._known.append(key)
        return self._values.pop(key, None)

    def text(self, key: str, default: str | None = None) -> str:
        """Text, which is needed if there is no default."""
        return self._take(key, default, "", as_text)

    def flag(self, key: str, default: bool) -> bool:
        """`true` or `false`."""
        return self._take(key, default, default, as_flag)

    def whole(self, key: str, default: int) -> int:
        """A whole number."""
        return self._take(key, default, default, as_whole)

    def seconds(self, key: str, default: float) -> float:
        """A duration as Go writes them (`5m`, `1h30m`, `-1s`), or a number of seconds."""
        return self._take(key, default, default, as_seconds)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or one, which is needed."""
        return self._take(key, None, (), as_texts)

    def group(self, key: str) -> "Options":
        """The options below a key; none if it is not there."""
        value = self.value(key)
        with self.errors:
            return Options(value, self.at(key), self.errors)
        return Options(None, self.at(key), self.errors)

    def note_unknown(self) -> None:
        """Notes the options that were not taken."""
        for key in self._values:
            near = difflib.get_close_matches(key, self._known, n=1)
            known = f"known options: {', '.join(sorted(self._known))}"
            self.report(key, "unknown option", f"did you mean `{near[0]}`?" if near else known)

    def end(self) -> None:
        """Raises OptionError for what was not taken, and for all that was noted."""
        self.note_unknown()
        self.errors.raise_any()

    def _take(self, key: str, default: _T | None, stand_in: _T, read: Callable[[object], _T]) -> _T:
        value = self.value(key)
        if value is None:
            if default is None:
                near = difflib.get_close_matches(key, self._values, n=1)
                if near:
                    # It is reported as unknown.
                    self.errors.spoil(self.at(key))
                else:
                    self.report(key, "required option is missing", "add it")
                return stand_in
            return default
        try:
            return read(value)
        except ValueError as error:
            self.report(key, str(error))
            return stand_in


def as_text(value: object) -> str:
    """Raises ValueError, in words, if it is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected text, not {describe(value)}")
    return str(value)


def as_flag(value: object) -> bool:
    """Raises ValueError, in words, if it is neither `true` nor `false`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"expected true or false, not {describe(value)}")


def as_whole(value: object) -> int:
    """Raises ValueError, in words, if it is no whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    raise ValueError(f"expected a whole number, not {describe(value)}")


def as_seconds(value: object) -> float:
    """Raises ValueError, in words, if it is no duration."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        if value.strip() in ("0", "-0", "+0"):
            return 0.0
        if found := _DURATION.fullmatch(value.strip()):
            parts = _DURATION_PART.findall(found[2])
            total = sum(float(number) * _UNITS[unit] for number, unit in parts)
            return -total if found[1] == "-" else total
    raise ValueError(f"expected a duration such as 500ms, 5m or 1h30m, not {describe(value)}")


def as_texts(value: object) -> tuple[str, ...]:
    """Raises ValueError, in words, if it is neither text nor a list of texts."""
    if isinstance(value, list):
        return tuple(as_text(item) for item in value)
    return (as_text(value),)


def as_items(value: object, path: str) -> list[object]:
    """Raises OptionError if it is not a list."""
    if not isinstance(value, list):
        raise OptionError(
            path, f"expected a list, not {describe(value)}", "begin each entry with `- `"
        )
    return value


def describe(value: object) -> str:
    """What a value is, in words; of a short text also what it says."""
    if isinstance(value, str) and len(value) <= 40 and value.isprintable():
        return f"`{value}`"
    return kind_of(value)


def kind_of(value: object) -> str:
    """What a value is, in words; never what it says, which may be a secret."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "keys with values"


def nested(value: object, path: str) -> object:
    """The same with keys that have dots taken apart.

    Raises OptionError if two keys contradict each other.
    """
    if isinstance(value, list):
        return [nested(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    result: dict[str, object] = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else str(key)
        _put(result, str(key).split("."), nested(item, where), where)
    return result


def flat(value: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """The other way round: one key with dots for each value that is not keys with values."""
    result: dict[str, object] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            result |= flat(item, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = item
    return result


def _put(into: dict[str, object], steps: list[str], item: object, where: str) -> None:
    for step in steps[:-1]:
        below = into.setdefault(step, {})
        if not isinstance(below, dict):
            raise OptionError(where, "contradicts another key", "remove one of them")
        into = below
    last = steps[-1]
    before = into.get(last)
    if isinstance(before, dict) and isinstance(item, dict):
        for key, below in item.items():
            _put(before, [key], below, where)
    elif last in into:
        raise OptionError(where, "contradicts another key", "remove one of them")
    else:
        into[last] = item
