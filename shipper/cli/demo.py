"""`shipper demo`: the real daemon on generated logs."""

import argparse
import signal

from shipper.cli.parsers import Commands, add_command
from shipper.demo.run import add_arguments, run


def add(commands: Commands) -> None:
    """Adds the command."""
    demo = add_command(
        commands,
        "demo",
        summary="try shipper on generated logs, and count what arrives",
        description="""
Generates Tetragon logs and rotates them, ships them with the real daemon to an
embedded server, and counts lost and duplicate events at the end. Needs no
cluster and no configuration.
""",
        examples="""
shipper demo
""",
        codes="""
0  every event arrived once
1  an event was lost or doubled
2  the arguments are wrong
""",
    )
    add_arguments(demo)
    demo.set_defaults(command=_demo)


def _demo(options: argparse.Namespace) -> int:
    # It ends with its terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    return run(options)
