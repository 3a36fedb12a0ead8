"""`shipper convert`: Filebeat's configuration as one of shipper's own."""

import argparse
import os
import sys
from pathlib import Path

import msgspec

from shipper.cli.check import check_index
from shipper.cli.common import add_json
from shipper.cli.parsers import Commands, add_command
from shipper.config.load import read_filebeat


def add(commands: Commands) -> None:
    """Adds the command."""
    convert = add_command(
        commands,
        "convert",
        summary="print a Filebeat configuration in shipper's own format",
        description="""
Prints a configuration of Filebeat in shipper's own format, with a comment where
something differs. shipper also runs with filebeat.yml as it is; convert it to
use options that only shipper's own format has. Environment variables that the
file uses have to be set.
""",
        examples="""
shipper convert filebeat.yml > shipper.yml
shipper convert -E name=node-1 filebeat.yml more.yml
""",
        codes="""
0  converted
2  the configuration or the arguments are wrong
""",
    )
    convert.add_argument("file", nargs="+", help="filebeat.yml; later files override earlier ones")
    convert.add_argument(
        "-E",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override an option of the files",
    )
    add_json(convert)
    convert.set_defaults(command=_convert)


def _convert(options: argparse.Namespace) -> int:
    from shipper.config.filebeat.convert import as_yaml

    paths = [Path(file) for file in options.file]
    draft, config = read_filebeat(paths, os.environ, options.settings)
    # What `run` would refuse is not printed.
    check_index(config)
    text = as_yaml(draft, ", ".join(options.file))
    if options.json:
        notices = [notice.as_json() for notice in (*draft.notices, *draft.notes)]
        report = {"configuration": text, "notices": notices}
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        sys.stdout.write(text)
    return 0
