"""`shipper convert`: Filebeat's configuration as one of shipper's own."""

import argparse
import os
import sys
from pathlib import Path

from shipper.cli.parsers import Commands
from shipper.config.load import read_filebeat


def add(commands: Commands) -> None:
    """Adds the command."""
    convert = commands.add_parser(
        "convert",
        help="a configuration of Filebeat as one of shipper's own",
        description="Prints a configuration of Filebeat in shipper's own dialect, with a comment "
        "where something differs. shipper reads Filebeat's as it is, too: this is for who wants "
        "what only the own dialect has. Variables of the environment have to be set.",
    )
    convert.add_argument("file", nargs="+", help="filebeat.yml; of several, later ones win")
    convert.add_argument(
        "-E", dest="settings", metavar="KEY=VALUE", action="append", default=[], help="over all"
    )
    convert.set_defaults(command=_convert)


def _convert(options: argparse.Namespace) -> int:
    from shipper.config.filebeat.convert import as_yaml

    paths = [Path(file) for file in options.file]
    draft = read_filebeat(paths, os.environ, options.settings)
    sys.stdout.write(as_yaml(draft, ", ".join(options.file)))
    return 0
