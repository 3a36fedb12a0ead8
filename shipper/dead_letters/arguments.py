"""The arguments of `shipper deadletter show` and `replay`. Imports nothing of what they do."""

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
    parser.description = (
        "Prints the newest lines that were refused for good, each with the reason, and how often "
        "each reason was given. Changes nothing, and works beside a running daemon."
    )
    parser.epilog = "For example: shipper deadletter show --status 400 --since 2h"
    parser.add_argument(
        "--json", action="store_true", help="the letters as they are in the files, one a line"
    )
    _add_choice(parser, "print the newest N (20, or with --json all)")


def add_replay(parser: argparse.ArgumentParser) -> None:
    """The arguments of `replay`."""
    parser.description = (
        "Sends dead letters again, each with its own id, to where the configuration says. What "
        "Elasticsearch has already is not doubled; what is refused again, or is not chosen, stays "
        "a dead letter. Works beside a running daemon. It may be killed at any moment: the next "
        "replay goes on. Exit code 0 if all that was chosen is there, 1 otherwise."
    )
    parser.epilog = "Look at what it would send first: shipper deadletter replay --dry-run"
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, no more")
    _add_choice(parser, "send N at the most, the oldest first")
    parser.add_argument(
        "--timeout",
        type=_argument(_parse_timeout),
        default=60.0,
        metavar="TIME",
        help="give up, and keep all, when nothing has gone through for so long (60s)",
    )


def _add_choice(parser: argparse.ArgumentParser, limit_help: str) -> None:
    parser.add_argument("--limit", type=_argument(_parse_limit), metavar="N", help=limit_help)
    parser.add_argument(
        "--status", type=int, metavar="N", help="only these; 0 is what was never sent (on_invalid)"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="only with this in the reason")
    parser.add_argument(
        "--since",
        type=_argument(lambda text: parse_time(text, SystemClock().now())),
        metavar="TIME",
        help="only what was refused since 2026-01-31T12:00:00Z, Unix seconds, or an age such as 2h",
    )


def _argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Has argparse repeat what the ValueError of `parse` says."""

    def argument(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return argument


def _parse_timeout(text: str) -> float:
    timeout = Seconds.parse(text)
    if timeout < 1:
        raise ValueError("give 1s or more")
    return timeout


def _parse_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"`{text}` is no number of letters, which is 1 or more")
    return int(text)


def parse_time(text: str, now: float) -> float:
    """Unix seconds, from those, from RFC 3339 (UTC if it names no zone), or from an age (`2h`).

    Raises ValueError, in words.
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
            f"`{text}` is no time: 2026-01-31T12:00:00Z, Unix seconds, or an age such as 90m or 2h"
        ) from None
