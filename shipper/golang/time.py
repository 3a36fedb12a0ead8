"""Parses times as Go does, for Filebeat's `timestamp` processor.

Gives the result of Go's `time.ParseInLocation` for the same layout, value and zone, to the
nanosecond; a test compares both. A value without a year gets the current year, as in Filebeat.
"""

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shipper.golang.layout import Element, Reading, elements_of, read

_NANOSECONDS = 10**9

#: A name of the IANA database: `zoneinfo` imports modules for some others.
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,3}")

#: The range of RFC 3339 in Unix seconds; the end is exclusive.
_FIRST, _END = -62135596800, 253402300800

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Layout:
    """A parsed layout.

    >>> Layout("2006-01-02T15:04:05Z").parse("2026-11-24T04:32:37.5Z", UTC, now=0.0)
    1795494757500000000
    """

    text: str
    elements: tuple[Element, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", elements_of(self.text))

    def parse(self, value: str, zone: tzinfo, *, now: float) -> int:
        """Nanoseconds since 1970 of a value. `zone`: for a value without a zone; `now`: Unix
        seconds, for a value without a year.

        Raises ValueError, with a message for the user, if the value does not match.
        """
        reading = read(self.elements, value)
        _set_clock(reading)
        _set_date(reading)
        try:
            return in_range(_instant(reading, zone, now))
        except OverflowError:
            raise ValueError("it is at the very end of the calendar") from None


def in_range(nanoseconds: int) -> int:
    """Returns the argument. Raises ValueError for a year that is not in 1 to 9999."""
    if not _FIRST <= nanoseconds // _NANOSECONDS < _END:
        raise ValueError("the year is not between 1 and 9999")
    return nanoseconds


def parse_zone(name: str) -> tzinfo:
    """The time zone: `UTC`, `Local`, a name of the IANA database, or an offset such as `+02`,
    `+0200` or `+02:00`.

    Raises ValueError, with a message for the user, if there is none.
    """
    if re.fullmatch(r"[+-][0-9]{2}(?::?[0-9]{2})?", name):
        digits = name[1:].replace(":", "")
        hours, minutes = int(digits[:2]), int(digits[2:] or 0)
        if hours <= 23 and minutes <= 59:
            offset = timedelta(hours=hours, minutes=minutes)
            return timezone(-offset if name[0] == "-" else offset)
    if name in ("", "UTC"):
        return UTC
    if name == "Local":
        return _local_zone()
    if _ZONE.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass  # There is none of that name.
    raise ValueError(
        f"there is no time zone `{name}`: give UTC, Local, a name such as America/New_York, "
        "or an offset such as +0200"
    )


def format_utc(nanoseconds: int) -> str:
    """RFC 3339 in UTC, with the necessary digits of the fraction, at least three."""
    seconds, fraction = divmod(nanoseconds, _NANOSECONDS)
    moment = _EPOCH + timedelta(seconds=seconds)
    digits = f"{fraction:09d}".rstrip("0").ljust(3, "0")
    return f"{moment.replace(tzinfo=None).isoformat()}.{digits}Z"


def _set_clock(reading: Reading) -> None:
    if reading.afternoon and reading.hour < 12:
        reading.hour += 12
    elif reading.forenoon and not reading.afternoon and reading.hour == 12:
        reading.hour = 0


def _set_date(reading: Reading) -> None:
    if reading.year_day is None:
        reading.month = reading.month or 1
        reading.day = 1 if reading.day is None else reading.day
    else:
        month, day = _of_year_day(reading.year, reading.year_day)
        if reading.month not in (None, month) or reading.day not in (None, day):
            raise ValueError("the day of the year is not that of the month")
        reading.month, reading.day = month, day
    if not 1 <= reading.day <= _days_in(reading.year, reading.month):
        raise ValueError(f"there is no day {reading.day} in month {reading.month}")


def _of_year_day(year: int, year_day: int) -> tuple[int, int]:
    if not 1 <= year_day <= (366 if _is_leap(year) else 365):
        raise ValueError(f"there is no day {year_day} in the year")
    month = 1
    while year_day > _days_in(year, month):
        year_day -= _days_in(year, month)
        month += 1
    return month, year_day


def _instant(reading: Reading, zone: tzinfo, now: float) -> int:
    year = reading.year
    if year == 0:
        # As in Filebeat: a value without a year gets the current one.
        year = datetime.fromtimestamp(now, UTC if reading.utc else zone).year
    month, day = reading.month or 1, reading.day or 1
    # February 29 becomes March 1 in other years, as in Go's AddDate.
    over = max(0, day - _days_in(year, month))
    moment = datetime(
        year, month, day - over, reading.hour, reading.minute, reading.second
    ) + timedelta(days=over)
    seconds = _seconds(moment)
    if reading.utc:
        offset = 0
    elif reading.offset is not None:
        offset = reading.offset
    elif reading.zone_name:
        offset = _named_offset(reading.zone_name, moment, zone)
    else:
        offset = _local_offset(moment, zone)
    return (seconds - offset) * _NANOSECONDS + reading.nanosecond


def _local_offset(moment: datetime, zone: tzinfo) -> int:
    """Seconds east of UTC at a local time, computed as in Go's time.Date. For a local time that is
    ambiguous or does not exist (clock change), it is one of the two offsets."""
    wall = _seconds(moment)
    offset = _offset_at(wall, zone)
    return _offset_at(wall - offset, zone)


def _offset_at(seconds: int, zone: tzinfo) -> int:
    offset = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // timedelta(seconds=1)


def _named_offset(name: str, moment: datetime, zone: tzinfo) -> int:
    """The offset of an abbreviation in the zone, at this time or in this year. For others, even
    `GMT+3`, Go uses UTC with this name."""
    for local in (
        moment.replace(tzinfo=zone),
        moment.replace(tzinfo=zone, fold=1),
        datetime(moment.year, 1, 1, tzinfo=zone),
        datetime(moment.year, 7, 1, tzinfo=zone),
    ):
        offset = local.utcoffset()
        if local.tzname() == name and offset is not None:
            return offset // timedelta(seconds=1)
    return 0


def _seconds(moment: datetime) -> int:
    return (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if _is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _local_zone() -> tzinfo:
    """The time zone of the machine: from the variable TZ, or from /etc/localtime."""
    name = os.environ.get("TZ")
    if name is not None:
        return parse_zone(name.removeprefix(":") or "UTC")
    try:
        with open("/etc/localtime", "rb") as file:
            return ZoneInfo.from_file(file, key="Local")
    except (OSError, ValueError):
        return UTC
