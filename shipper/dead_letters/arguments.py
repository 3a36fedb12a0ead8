"""The arguments of `shipper deadletter show` and `replay`; does not import the commands."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from shipper.clock import SystemClock
from shipper.config.units import Seconds

_T = TypeVar("_T")

_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)


def add_show(parser: argparse.ArgumentParser) -> None:
    """The arguments of `show`."""
    _add_selection(parser, "print the newest N (default: 20; with --json: all)")


def add_replay(parser: argparse.ArgumentParser) -> None:
    """The arguments of `replay`."""
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be sent; send nothing"
    )
    _add_selection(parser, "send at most N, the oldest first")
    parser.add_argument(
        "--timeout",
        type=_argument(_parse_timeout),
        default=60.0,
        metavar="TIME",
        help="give up, and keep the rest, after this time without progress (default: 60s)",
    )


def _add_selection(parser: argparse.ArgumentParser, limit_help: str) -> None:
    parser.add_argument("--limit", type=_argument(_parse_limit), metavar="N", help=limit_help)
    parser.add_argument(
        "--status",
        type=int,
        metavar="N",
        help="only those rejected with this HTTP status; 0: never sent (on_invalid: dead_letter)",
    )
    parser.add_argument(
        "--reason", default="", metavar="TEXT", help="only those with this text in their reason"
    )
    parser.add_argument(
        "--since",
        type=_argument(lambda text: parse_time(text, SystemClock().now())),
        metavar="TIME",
        help="only those since a time (2026-01-31T12:00:00Z, or Unix seconds) or an age (2h)",
    )


def _argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Makes argparse print the message of a ValueError of `parse`."""

    def argument(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return argument


def _parse_timeout(text: str) -> float:
    timeout = Seconds.parse(text)
    if timeout < 1:
        raise ValueError("use 1s or more")
    return timeout


def _parse_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"`{text}` is not a number from 1 on")
    return int(text)


def parse_time(text: str, now: float) -> float:
    """Unix seconds, from Unix seconds, from RFC 3339 (UTC without a zone), or from an age (`2h`).

    Raises ValueError, with a message for the user.
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    try:
        return now - Seconds.parse(text)
    except ValueError:
        raise ValueError(
            f"`{text}` is not a time; use 2026-01-31T12:00:00Z, Unix seconds, or an age such as 2h"
        ) from None
