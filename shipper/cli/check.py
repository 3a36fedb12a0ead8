"""`shipper check`: would this configuration work?"""

import argparse
import asyncio
import sys

from shipper.cli.common import add_config, load
from shipper.cli.parsers import Commands
from shipper.clock import SystemClock
from shipper.config.load import Reading


def add(commands: Commands) -> None:
    """Adds the command."""
    check = commands.add_parser(
        "check",
        help="is the configuration right; will Elasticsearch take the lines",
        description="Validates the configuration, looks at the files, and asks each host: can it "
        "be reached, is its certificate right, are we known, may we write to the data stream or "
        "index, is there a template for it. Says what is wrong and what to do. Ships nothing.",
    )
    add_config(check)
    check.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    return check(*load(options))


def check(name: str, reading: Reading) -> int:
    """Says what would keep that configuration from working; returns the exit code."""
    from shipper.check import command as checks
    from shipper.check.findings import report

    for notice in reading.notices:
        sys.stdout.write(f"{notice.place}: {notice.key}: {notice.what}\n")
    findings = asyncio.run(checks.check(reading.config, SystemClock()))
    return report(name, findings, sys.stdout)
