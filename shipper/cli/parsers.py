"""How a command adds its parser: with help that has examples and exit codes in it."""

import argparse
from typing import TypeAlias

from shipper.cli.errors import Parser

#: What `add_subparsers` returns: a command adds its own parser to it.
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_command(
    commands: Commands, name: str, *, summary: str, description: str, examples: str, codes: str
) -> Parser:
    """A command: `summary` is one line for the list of commands; the others are for its own help,
    with `codes` for what each exit code means."""
    return commands.add_parser(
        name,
        help=summary,
        description=description.strip(),
        epilog=f"examples:\n{_indented(examples)}\n\nexit codes:\n{_indented(codes)}",
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
