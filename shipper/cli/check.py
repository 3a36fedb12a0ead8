"""`shipper check`: would this configuration work?"""

import argparse
import asyncio
import sys

from shipper.cli.common import add_config, add_json, errors_of, load
from shipper.cli.parsers import Commands, add_command
from shipper.clock import SystemClock
from shipper.config.load import LoadedConfig
from shipper.config.model import Config


def add(commands: Commands) -> None:
    """Adds the command."""
    check = add_command(
        commands,
        "check",
        summary="check the configuration, the files and the cluster; send nothing",
        description="""
Checks the configuration, the log files, the data directory, the address of the
admin pages, and whether a Filebeat runs here, and asks each host: can it be
reached, is its certificate valid, are the credentials accepted, may they write,
is there an index template, does `_bulk` take requests of the usual size. Prints
a line for each check with OK, WARNING, FAILED or UNKNOWN, and what to do. Sends
no event, and leaves nothing behind: in the data directory a file is written and
removed.
""",
        examples="""
shipper check -c /etc/shipper/shipper.yml
kubectl exec daemonset/shipper -- shipper check
shipper check --strict
shipper check --json | jq '.findings[] | select(.status == "FAILED")'
""",
        codes="""
0  no check failed
1  a check failed; with --strict, or there was a warning
2  the configuration or the arguments are wrong
""",
    )
    add_config(check)
    add_json(check)
    check.add_argument(
        "--strict", action="store_true", help="count each WARNING as a failure (exit code 1)"
    )
    check.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    return check(*load(options), json=options.json, strict=options.strict)


def check_index(config: Config) -> None:
    """Raises ConfigError if the documents of an input would have no index to go to."""
    from shipper.documents.constants import index_names

    with errors_of(config):
        index_names(config)


def check(name: str, loaded: LoadedConfig, *, json: bool = False, strict: bool = False) -> int:
    """Says what would keep that configuration from working; returns the exit code. `strict`: a
    warning counts as a failure."""
    from shipper.check import command, findings

    with errors_of(loaded.config):
        found = findings.of_notices(loaded.notices)
        found += asyncio.run(command.check(loaded.config, SystemClock()))
    print_findings = findings.print_json if json else findings.print_text
    print_findings(name, loaded.notices, found, sys.stdout, strict=strict)
    return findings.exit_code(found, strict=strict)
