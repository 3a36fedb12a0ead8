"""Go's time layouts, which are written as the reference time, Mon Jan 2 15:04:05 MST 2006.

Parses layouts, and reads values by a layout; `golang.time` converts the result to an instant.
Elements and their accepted values are those of Go's package time (format.go).
"""

import re
from enum import Enum, auto

from msgspec import Struct

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Kind(Enum):
    """The elements of a layout."""

    LITERAL = auto()
    LONG_MONTH = auto()
    MONTH = auto()
    NUM_MONTH = auto()
    ZERO_MONTH = auto()
    LONG_WEEKDAY = auto()
    WEEKDAY = auto()
    DAY = auto()
    UNDER_DAY = auto()
    ZERO_DAY = auto()
    UNDER_YEAR_DAY = auto()
    ZERO_YEAR_DAY = auto()
    HOUR = auto()
    HOUR_12 = auto()
    ZERO_HOUR_12 = auto()
    MINUTE = auto()
    ZERO_MINUTE = auto()
    SECOND = auto()
    ZERO_SECOND = auto()
    LONG_YEAR = auto()
    YEAR = auto()
    UPPER_PM = auto()
    LOWER_PM = auto()
    ZONE_NAME = auto()
    #: A numeric offset; in a layout with `Z` in front of it, also `Z`.
    OFFSET = auto()
    Z_OFFSET = auto()
    #: The exact number of digits.
    FRACTION_0 = auto()
    #: Any number of digits, including none.
    FRACTION_9 = auto()


class Element(Struct, frozen=True):
    kind: Kind
    text: str


# The first alternative that matches is the element, in the order of Go's nextStdChunk.
_ELEMENT = re.compile(
    r"""
    (?P<LONG_MONTH>January) | (?P<MONTH>Jan)(?![a-z])
    | (?P<LONG_WEEKDAY>Monday) | (?P<WEEKDAY>Mon)(?![a-z]) | (?P<ZONE_NAME>MST)
    | (?P<ZERO_MONTH>01) | (?P<ZERO_DAY>02) | (?P<ZERO_HOUR_12>03) | (?P<ZERO_MINUTE>04)
    | (?P<ZERO_SECOND>05) | (?P<YEAR>06) | (?P<ZERO_YEAR_DAY>002)
    | (?P<HOUR>15) | (?P<NUM_MONTH>1)
    | (?P<LONG_YEAR>2006) | (?P<DAY>2)
    | (?P<UNDER_DAY>_2)(?!006) | (?P<UNDER_YEAR_DAY>__2)
    | (?P<HOUR_12>3) | (?P<MINUTE>4) | (?P<SECOND>5)
    | (?P<UPPER_PM>PM) | (?P<LOWER_PM>pm)
    | (?P<OFFSET>-(?:070000|07:00:00|0700|07:00|07))
    | (?P<Z_OFFSET>Z(?:070000|07:00:00|0700|07:00|07))
    | (?P<FRACTION_0>[.,]0+)(?![0-9]) | (?P<FRACTION_9>[.,]9+)(?![0-9])
    """,
    re.VERBOSE,
)

#: A fraction; Go uses nine digits of it.
_FRACTION = re.compile(r"[.,]([0-9]+)", re.ASCII)

_OFFSETS = {
    "07": re.compile(r"([+-])([0-9]{2})"),
    "0700": re.compile(r"([+-])([0-9]{2})([0-9]{2})"),
    "07:00": re.compile(r"([+-])([0-9]{2}):([0-9]{2})"),
    "070000": re.compile(r"([+-])([0-9]{2})([0-9]{2})([0-9]{2})"),
    "07:00:00": re.compile(r"([+-])([0-9]{2}):([0-9]{2}):([0-9]{2})"),
}

_ZONE_NAME = re.compile(
    r"ChST|MeST|(?P<gmt>GMT)(?P<hours>[+-][0-9]+)?|[+-][0-9]+"
    r"|[A-Z]{4}T(?![A-Z])|(?:[A-Z]{3}T|WITA)(?![A-Z])|[A-Z]{3}(?![A-Z])"
)


class Reading(Struct):
    """The parts of a time that were read from a value."""

    year: int = 0
    month: int | None = None
    day: int | None = None
    year_day: int | None = None
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    afternoon: bool = False
    forenoon: bool = False
    utc: bool = False
    #: Seconds east of UTC.
    offset: int | None = None
    zone_name: str = ""


def elements_of(layout: str) -> tuple[Element, ...]:
    found: list[Element] = []
    literal, position = "", 0
    while position < len(layout):
        match = _ELEMENT.match(layout, position)
        if match is None or match.lastgroup is None:
            literal += layout[position]
            position += 1
            continue
        if literal:
            found.append(Element(Kind.LITERAL, literal))
            literal = ""
        found.append(Element(Kind[match.lastgroup], match[match.lastgroup]))
        position = match.end()
    if literal:
        found.append(Element(Kind.LITERAL, literal))
    return tuple(found)


def read(elements: tuple[Element, ...], value: str) -> Reading:
    """Reads a value by the elements of a layout.

    Raises ValueError, with a message for the user, if it does not match.
    """
    reading, rest = Reading(), value
    for index, element in enumerate(elements):
        following = (found.kind for found in elements[index + 1 :])
        fraction = next((kind for kind in following if kind is not Kind.LITERAL), None)
        rest = _read(element, fraction in (Kind.FRACTION_0, Kind.FRACTION_9), rest, reading)
    if rest:
        raise ValueError(f"`{rest}` is left over")
    return reading


def _read(element: Element, fraction_follows: bool, value: str, reading: Reading) -> str:
    """Reads one element from the beginning of a value; returns the rest. `fraction_follows`: the
    next element of the layout is a fraction."""
    match element.kind:
        case Kind.LITERAL:
            return _skip(value, element.text)
        case Kind.YEAR:
            number, rest = _digits(value, 2, 2, "a year of two digits")
            reading.year = number + (1900 if number >= 69 else 2000)
        case Kind.LONG_YEAR:
            reading.year, rest = _digits(value, 4, 4, "a year")
        case Kind.MONTH | Kind.LONG_MONTH:
            index, rest = _name(value, _MONTHS, element.kind is Kind.MONTH, "a month's name")
            reading.month = index + 1
        case Kind.NUM_MONTH | Kind.ZERO_MONTH:
            least = 2 if element.kind is Kind.ZERO_MONTH else 1
            reading.month, rest = _digits(value, least, 2, "a month")
            _within(reading.month, 1, 12, "month")
        case Kind.WEEKDAY | Kind.LONG_WEEKDAY:
            _, rest = _name(value, _DAYS, element.kind is Kind.WEEKDAY, "a day's name")
        case Kind.DAY | Kind.UNDER_DAY | Kind.ZERO_DAY:
            if element.kind is Kind.UNDER_DAY:
                value = value.removeprefix(" ")
            least = 2 if element.kind is Kind.ZERO_DAY else 1
            reading.day, rest = _digits(value, least, 2, "a day")
        case Kind.UNDER_YEAR_DAY | Kind.ZERO_YEAR_DAY:
            if element.kind is Kind.UNDER_YEAR_DAY:
                value = value.removeprefix(" ").removeprefix(" ")
            least = 3 if element.kind is Kind.ZERO_YEAR_DAY else 1
            reading.year_day, rest = _digits(value, least, 3, "a day of the year")
        case Kind.HOUR:
            reading.hour, rest = _digits(value, 1, 2, "an hour")
            _within(reading.hour, 0, 23, "hour")
        case Kind.HOUR_12 | Kind.ZERO_HOUR_12:
            least = 2 if element.kind is Kind.ZERO_HOUR_12 else 1
            reading.hour, rest = _digits(value, least, 2, "an hour")
            _within(reading.hour, 0, 12, "hour")
        case Kind.MINUTE | Kind.ZERO_MINUTE:
            least = 2 if element.kind is Kind.ZERO_MINUTE else 1
            reading.minute, rest = _digits(value, least, 2, "a minute")
            _within(reading.minute, 0, 59, "minute")
        case Kind.SECOND | Kind.ZERO_SECOND:
            least = 2 if element.kind is Kind.ZERO_SECOND else 1
            reading.second, rest = _digits(value, least, 2, "a second")
            _within(reading.second, 0, 59, "second")
            # A value may have a fraction that is not in the layout.
            if not fraction_follows:
                rest = _any_fraction(rest, reading)
        case Kind.UPPER_PM | Kind.LOWER_PM:
            rest = _half_of_day(value, element.kind is Kind.UPPER_PM, reading)
        case Kind.OFFSET | Kind.Z_OFFSET:
            if element.kind is Kind.Z_OFFSET and value.startswith("Z"):
                reading.utc = True
                return value[1:]
            reading.offset, rest = _offset(value, _OFFSETS[element.text[1:]])
        case Kind.ZONE_NAME:
            rest = _zone_name(value, reading)
        case Kind.FRACTION_0:
            rest = _exact_fraction(value, len(element.text), reading)
        case Kind.FRACTION_9:
            rest = _any_fraction(value, reading)
    return rest


def _skip(value: str, literal: str) -> str:
    """Skips a literal; runs of spaces are equal, and optional at the end of the value."""
    while literal:
        if literal[0] == " ":
            if value and value[0] != " ":
                raise ValueError(f"a space is expected before `{value}`")
            literal, value = literal.lstrip(" "), value.lstrip(" ")
            continue
        if not value or value[0] != literal[0]:
            raise ValueError(f"`{literal}` is expected, not `{value}`")
        literal, value = literal[1:], value[1:]
    return value


def _digits(value: str, least: int, most: int, what: str) -> tuple[int, str]:
    count = 0
    while count < min(most, len(value)) and "0" <= value[count] <= "9":
        count += 1
    if count < least:
        raise ValueError(f"{what} is expected, not `{value}`")
    return int(value[:count]), value[count:]


def _within(number: int, least: int, most: int, what: str) -> None:
    if not least <= number <= most:
        raise ValueError(f"there is no {what} {number}")


def _name(value: str, names: tuple[str, ...], short: bool, what: str) -> tuple[int, str]:
    """The index of the name at the beginning, ignoring case, and the rest."""
    for index, full in enumerate(names):
        name = full[:3] if short else full
        if value[: len(name)].lower() == name.lower():
            return index, value[len(name) :]
    raise ValueError(f"{what} is expected, not `{value}`")


def _half_of_day(value: str, upper: bool, reading: Reading) -> str:
    names = ("AM", "PM") if upper else ("am", "pm")
    if value[:2] not in names:
        raise ValueError(f"{names[0]} or {names[1]} is expected, not `{value}`")
    if value[:2] == names[0]:
        reading.forenoon = True
    else:
        reading.afternoon = True
    return value[2:]


def _offset(value: str, pattern: re.Pattern[str]) -> tuple[int, str]:
    found = pattern.match(value)
    if found is None:
        raise ValueError(f"an offset of a time zone is expected, not `{value}`")
    sign, *parts = found.groups()
    hours, minutes, seconds = (int(part) for part in (*parts, "00", "00")[:3])
    # The same limits as in Go, which accepts 24 hours, 60 minutes and 60 seconds.
    if hours > 24 or minutes > 60 or seconds > 60:
        raise ValueError(f"`{found[0]}` is no offset of a time zone")
    total = (hours * 60 + minutes) * 60 + seconds
    return (-total if sign == "-" else total), value[found.end() :]


def _zone_name(value: str, reading: Reading) -> str:
    if value.startswith("UTC"):
        reading.utc = True
        return value[3:]
    found = _ZONE_NAME.match(value)
    if found is None or len(value) < 3:
        raise ValueError(f"the abbreviation of a time zone is expected, not `{value}`")
    name = found[0]
    if found["hours"] and int(found["hours"][1:]) > 23:
        name = "GMT"
    elif name[0] in "+-" and int(name[1:]) > 23:
        raise ValueError(f"`{name}` is no time zone")
    reading.zone_name = name
    return value[len(name) :]


def _exact_fraction(value: str, length: int, reading: Reading) -> str:
    found = _FRACTION.match(value[:length])
    if found is None or found.end() != length:
        raise ValueError(f"a fraction of {length - 1} digits is expected, not `{value}`")
    reading.nanosecond = int(found[1][:9].ljust(9, "0"))
    return value[length:]


def _any_fraction(value: str, reading: Reading) -> str:
    found = _FRACTION.match(value)
    if found is None:
        return value
    reading.nanosecond = int(found[1][:9].ljust(9, "0"))
    return value[found.end() :]
