"""`shipper setup`: installs what the cluster lacks."""

import argparse
import asyncio
import sys

from shipper.cli.common import add_config, load
from shipper.cli.parsers import Commands
from shipper.clock import SystemClock


def add(commands: Commands) -> None:
    """Adds the command."""
    setup = commands.add_parser(
        "setup",
        help="install what the cluster lacks: index template, ingest pipeline",
        description="Installs an index template for the data stream, with the types of Tetragon's "
        "fields, and, where an input has `format: raw`, an ingest pipeline that takes its "
        "documents apart. What is there already is left, or brought up to date if shipper made "
        "it. Needs more rights than shipping does; says which are lacking.",
    )
    add_config(setup)
    setup.add_argument(
        "--dry-run", action="store_true", help="print the requests, and send nothing"
    )
    setup.add_argument(
        "--pipeline", action="store_true", help="the pipeline even if no input has format: raw"
    )
    setup.set_defaults(command=_setup)


def _setup(options: argparse.Namespace) -> int:
    from shipper.setup import command
    from shipper.setup.results import report

    _, reading = load(options)
    plan = command.wanted(reading.config, with_pipeline=options.pipeline)
    if options.dry_run:
        command.describe(plan, sys.stdout)
        return 0
    done = asyncio.run(command.setup(reading.config, plan, SystemClock()))
    return report(done, sys.stdout)
