"""What the commands of `shipper` share: the configuration's option, and messages to a person."""

import argparse
import os
import sys
from pathlib import Path

from shipper.config.load import Reading, find_config, read_config


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds `-c FILE`."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration")


def load(options: argparse.Namespace) -> tuple[str, Reading]:
    """The configuration's file, and what is in it. Raises ConfigError."""
    path = find_config(options.config, os.environ)
    return str(path), read_config([path], os.environ)


def data_dir(options: argparse.Namespace) -> Path:
    """The data directory of the configuration. Raises ConfigError."""
    return Path(load(options)[1].config.data_dir)


def tell(words: str) -> None:
    """One line to standard error."""
    sys.stderr.write(f"shipper: {words}\n")
