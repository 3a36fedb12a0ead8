"""The name of a plain index: the pattern that `output.index` is, and the names that it gives.

    tetragon-%{[fields.team]:none}-%{+yyyy.MM.dd}

The patterns are format strings of Filebeat (libbeat's fmtstr and dtfmt): `%{[a.b]:default}` is a
field of the document, the default stands in for one that is missing or empty, `%{+…}` is a date of
the event's @timestamp in UTC, and the name is in small letters. What differs: a field may only be
one that is the same in all documents of an input, so that every name can be checked at the start,
and of the letters of dates only those are known that belong into a name.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Self

from msgspec import Struct

#: Elasticsearch's own bound, in bytes of UTF-8.
_LONGEST = 255

_FORBIDDEN = frozenset('\\/*?"<>| ,#:')
_FORBIDDEN_FIRST = ("-", "_", "+")

#: What may be named in `%{[…]}`.
REFERENCES = (
    "fields.*",
    "agent.id",
    "agent.name",
    "agent.type",
    "agent.version",
    "host.name",
    "event.dataset",
    "event.module",
    "ecs.version",
    "input.type",
)

#: Long enough a beginning of an RFC 3339 time in UTC to tell the day, and the hour.
_DAY, _HOUR = len("2026-11-24"), len("2026-11-24T04")

#: The time at which a name is as long as it gets.
_LAST = "9999-12-31T23"

_DATE_TOKEN = re.compile(r"(?P<letters>([A-Za-z])\2*)|'(?P<quoted>(?:[^']|'')*)'|(?P<other>[^'])")


class DateField(Struct, frozen=True):
    """Letters that stand for a part of the date."""

    letters: str
    meaning: str
    render: Callable[[datetime], str]
    #: How much of an RFC 3339 time decides it, in characters.
    span: int = _DAY


DATE_FIELDS = (
    DateField("yyyy", "year", lambda time: f"{time.year:04}"),
    DateField("yy", "its last two digits", lambda time: f"{time.year % 100:02}"),
    DateField("MM", "month, 01 to 12", lambda time: f"{time.month:02}"),
    DateField("dd", "day of the month, 01 to 31", lambda time: f"{time.day:02}"),
    DateField("HH", "hour, 00 to 23", lambda time: f"{time.hour:02}", _HOUR),
    DateField("D", "day of the year, 1 to 366", lambda time: f"{time.timetuple().tm_yday}"),
    DateField("DDD", "the same with three digits", lambda time: f"{time.timetuple().tm_yday:03}"),
    DateField("xxxx", "year of the ISO week", lambda time: f"{time.isocalendar().year:04}"),
    DateField("ww", "ISO week, 01 to 53", lambda time: f"{time.isocalendar().week:02}"),
)


class _Reference(Struct, frozen=True):
    """`%{[PATH]}` or `%{[PATH]:DEFAULT}`."""

    path: str
    default: str | None

    def text(self, constants: Mapping[str, object]) -> str:
        value = _find(constants, self.path)
        if value is None or value == "":
            if self.default is not None:
                return self.default
            problem = f"`{self.path}` has no value"
            raise ValueError(f"{problem}; set it, or write %{{[{self.path}]:default}}")
        match value:
            case str():
                return value
            case bool():
                return str(value).lower()
            case int():
                return str(value)
            case float():
                return repr(value).removesuffix(".0")
        raise ValueError(f"`{self.path}` is neither text nor a number")


_Part = str | _Reference | DateField


class IndexName(Struct, frozen=True):
    """The name that the documents of one input go to, but for their time."""

    parts: tuple[str | DateField, ...]
    #: How much of an RFC 3339 time in UTC decides the name, in characters; 0: it is always the
    #: same.
    span: int

    def at(self, time: str) -> str:
        """The name for a time: the first `span` characters of it, or more.

        Raises ValueError if they are none of a time.
        """
        if not self.span:
            return "".join(map(str, self.parts))
        moment = datetime.fromisoformat(time[: self.span])
        return "".join(
            part if isinstance(part, str) else part.render(moment) for part in self.parts
        )


class IndexPattern(Struct, frozen=True):
    """What is written in `output.index`."""

    parts: tuple[_Part, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, in words, if it can never be the name of an index."""
        literal, *expressions = text.split("%{")
        parts: list[_Part] = [literal]
        for expression in expressions:
            inner, closed, literal = expression.partition("}")
            if not closed:
                raise ValueError(f"`%{{{expression}` is not closed by a }}")
            parts += [*_expression(inner.strip()), literal]
        for part in parts:
            if isinstance(part, str):
                _check_characters(part, text)
        pattern = cls(tuple(part for part in parts if part != ""))
        if pattern.constant:
            pattern.fill({})
        return pattern

    @property
    def constant(self) -> str:
        """The name, if there is but one whatever the document; else empty."""
        if all(isinstance(part, str) for part in self.parts):
            return "".join(map(str, self.parts)).lower()
        return ""

    def fill(self, constants: Mapping[str, object]) -> IndexName:
        """The name with the fields that all documents of an input have.

        Raises ValueError, in words, if a field is missing, or the name is not one of an index.
        """
        parts = tuple(
            part.text(constants).lower()
            if isinstance(part, _Reference)
            else part.lower()
            if isinstance(part, str)
            else part
            for part in self.parts
        )
        dates = [part.span for part in parts if isinstance(part, DateField)]
        name = IndexName(parts, max(dates, default=0))
        _check_name(name.at(_LAST))
        return name


def _expression(text: str) -> list[_Part]:
    """What stands between `%{` and `}`."""
    if text.startswith("+"):
        return _date(text[1:])
    if not text.startswith("["):
        raise ValueError(
            f"`%{{{text}}}` is neither a field, such as %{{[fields.team]}}, nor a date, such as "
            "%{+yyyy.MM.dd}"
        )
    selector, colon, default = text.partition(":")
    found = re.fullmatch(r"(?:\[[^\[\]]+\])+", selector.strip())
    if found is None:
        raise ValueError(f"`%{{{text}}}` does not name a field such as %{{[fields.team]}}")
    # `[a][b]` is another way to write `[a.b]`.
    path = found[0][1:-1].replace("][", ".")
    _check_reference(path)
    if colon:
        _check_characters(default, default)
    return [_Reference(path, default if colon else None)]


def _check_reference(path: str) -> None:
    if path.startswith("fields.") or path in REFERENCES:
        return
    known = ", ".join(REFERENCES)
    if path == "agent.ephemeral_id":
        why = "changes with each start, so that events sent again would be stored twice"
    else:
        why = "is not the same in all documents of an input"
    raise ValueError(f"`{path}` {why}; use one of {known}")


def _date(text: str) -> list[_Part]:
    parts: list[_Part] = []
    end = 0
    for found in _DATE_TOKEN.finditer(text):
        if found.start() != end:
            break
        end = found.end()
        if found["letters"]:
            parts.append(_date_field(found["letters"], text))
        elif found["quoted"] is not None:
            parts.append(found["quoted"].replace("''", "'") or "'")
        else:
            parts.append(found["other"])
    if end != len(text):
        raise ValueError(f"`%{{+{text}}}` has a ' that is not closed by another one")
    if not any(isinstance(part, DateField) for part in parts):
        raise ValueError(f"`%{{+{text}}}` has no part of a date in it; {_letters_in_words()}")
    return parts


def _date_field(letters: str, text: str) -> DateField:
    for field in DATE_FIELDS:
        if field.letters == letters:
            return field
    raise ValueError(
        f"`{letters}` in `%{{+{text}}}` is not a supported part of a date; {_letters_in_words()}"
    )


def _letters_in_words() -> str:
    known = ", ".join(f"{field.letters} ({field.meaning})" for field in DATE_FIELDS)
    return f"use {known}"


def _find(value: object, path: str) -> object:
    """The field at a path; names may have dots in them. None if there is no such field."""
    if not isinstance(value, Mapping):
        return None
    if path in value:
        return value[path]
    name, dot, rest = path.partition(".")
    return _find(value.get(name), rest) if dot else None


def _check_characters(part: str, whole: str) -> None:
    bad = next((letter for letter in part if _is_forbidden(letter)), None)
    if bad is not None:
        raise ValueError(
            f"`{whole}` contains {bad!r}; the name of an index cannot contain white space or any "
            'of \\ / * ? " < > | , # :'
        )


def _is_forbidden(letter: str) -> bool:
    return letter in _FORBIDDEN or not letter.isprintable()


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("the name is empty")
    _check_characters(name, name)
    if name.startswith(_FORBIDDEN_FIRST) or name in (".", ".."):
        raise ValueError(
            f"`{name}` is not the name of an index, which cannot begin with - _ + or be . or .."
        )
    size = len(name.encode())
    if size > _LONGEST:
        raise ValueError(
            f"`{name[:60]}…` has {size} bytes; the name of an index has at most {_LONGEST}"
        )
