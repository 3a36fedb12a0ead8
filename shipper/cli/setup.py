"""`shipper setup`: installs what the cluster lacks."""

import argparse
import asyncio
import sys

from shipper.cli.common import add_config, add_json, errors_of, load
from shipper.cli.parsers import Commands, add_command
from shipper.clock import SystemClock


def add(commands: Commands) -> None:
    """Adds the command."""
    setup = add_command(
        commands,
        "setup",
        summary="install the index template and the ingest pipeline",
        description="""
Installs an index template for the data stream, with the types of Tetragon's
fields, and an ingest pipeline that parses the documents of inputs with
`format: raw`. What exists is left as it is, or updated if shipper created it.
Needs more privileges than shipping does, and names those that are missing.
""",
        examples="""
shipper setup --dry-run     (print the requests for Kibana's console)
shipper setup -c /etc/shipper/shipper.yml
""",
        codes="""
0  everything is installed
1  something failed
2  the configuration or the arguments are wrong
""",
    )
    add_config(setup)
    setup.add_argument("--dry-run", action="store_true", help="print the requests; send nothing")
    setup.add_argument(
        "--pipeline",
        action="store_true",
        help="install the pipeline even if no input has format: raw",
    )
    add_json(setup)
    setup.set_defaults(command=_setup)


def _setup(options: argparse.Namespace) -> int:
    from shipper.setup import command, results

    _, loaded = load(options)
    with errors_of(loaded.config):
        plan = command.plan_setup(loaded.config, with_pipeline=options.pipeline)
        if options.dry_run:
            print_requests = command.print_json_requests if options.json else command.print_requests
            print_requests(plan, sys.stdout)
            return 0
        found = asyncio.run(command.setup(loaded.config, plan, SystemClock()))
    print_results = results.print_json if options.json else results.print_text
    print_results(found, sys.stdout)
    return results.exit_code(found)
