"""`shipper version`: what is installed, for a report of a problem."""

import argparse
import platform
import sys

from shipper import __version__
from shipper.cli.parsers import Commands, add_command


def add(commands: Commands) -> None:
    """Adds the command."""
    version = add_command(
        commands,
        "version",
        summary="show the versions of shipper and Python, and the native core",
        description="""
Shows the versions of shipper and Python, and whether the native core is
there: the instructions of the processor that it uses, or why it is not used.
""",
        examples="""
shipper version
""",
        codes="""
0  always
2  the arguments are wrong
""",
    )
    version.set_defaults(command=_version)


def _version(options: argparse.Namespace) -> int:
    from shipper.documents.native import core

    _, state = core()
    sys.stdout.write(
        f"shipper {__version__}\nPython {platform.python_version()}\nnative core: {state}\n"
    )
    return 0
