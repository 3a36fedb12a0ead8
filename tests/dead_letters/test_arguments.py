"""Times, limits and timeouts as people write them."""

from __future__ import annotations

import pytest

from shipper.cli.shipper import main
from shipper.dead_letters.arguments import parse_time

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T09:30:00+01:30", NOW),
        ("2027-01-15T08:00:00.5", NOW + 0.5),
        ("2027-01-15 08:00", NOW),
        ("2027-01-15", NOW - 8 * 3600),
        ("1800000000", NOW),
        ("1800000000.25", NOW + 0.25),
        ("90m", NOW - 5400),
        ("2h", NOW - 7200),
        ("1d", NOW - 86400),
    ],
)
def test_a_time_is_a_date_a_number_or_an_age(text: str, seconds: float) -> None:
    assert parse_time(text, NOW) == seconds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "--since", "yesterday"), "`yesterday` is not a time"),
        (("show", "--since", "2027-02-30"), "`2027-02-30` is not a time"),
        (("show", "--limit", "0"), "`0` is not a number from 1 on"),
        (("replay", "--limit", "-1"), "`-1` is not a number from 1 on"),
        (("replay", "--timeout", "60"), "has no unit"),
        (("replay", "--timeout", "10ms"), "use 1s or more"),
        (("replay", "--status", "x"), "invalid int value"),
        ((), "the following arguments are required: ACTION"),
    ],
)
def test_what_is_none_is_told_in_words(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deadletter", *arguments]) == 2
    assert words in capsys.readouterr().err
