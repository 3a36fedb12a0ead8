"""How an error that ends a command is told: as text for people, or as JSON with `--json`. The
errors of `run` are messages of its log.

    {"errors": [{"what": …, "where": …, "line": …, "what_to_do": …}]}

is the JSON form of all commands, on standard output like their results. `where` is a file, an
option or a directory, and may be empty; `line` is 0 where there is none.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

import msgspec

from shipper.errors import ConfigError, Problem, ShipperError
from shipper.foreign import escaped, path_text
from shipper.option_names import OWN_NAMES

#: Tells of an error.
Report = Callable[[ShipperError], None]


class UsageError(ConfigError):
    """Arguments of the command line that are wrong."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message, what_to_do="see --help")
        #: How the command is used, with a newline at its end.
        self.usage = usage


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, for it to be told as any other error."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*arguments, **options)

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(message, self.format_usage())


def print_text(error: ShipperError, stream: TextIO | None = None) -> None:
    """For people: a block of lines for each problem."""
    stream = stream or sys.stderr
    if isinstance(error, UsageError):
        stream.write(error.usage)
    problems = _problems(error)
    if len(problems) > 1:
        stream.write(f"shipper: {len(problems)} problems in the configuration\n\n")
    for problem in problems:
        where = str(problem.location)
        what = escaped(problem.what)
        stream.write(f"{escaped(where)}: {what}\n" if where else f"shipper: {what}\n")
        if problem.what_to_do:
            stream.write(f"  -> {escaped(problem.what_to_do)}\n")


def print_json(error: ShipperError, stream: TextIO | None = None) -> None:
    """For programs: one line."""
    stream = stream or sys.stdout
    errors = [
        {
            "what": path_text(problem.what),
            "where": path_text(problem.location.name),
            "line": problem.location.line,
            "what_to_do": path_text(problem.what_to_do),
        }
        for problem in _problems(error)
    ]
    stream.write(msgspec.json.encode({"errors": errors}).decode() + "\n")


def _problems(error: ShipperError) -> list[Problem]:
    return [problem.in_words_of(OWN_NAMES) for problem in error.problems]
