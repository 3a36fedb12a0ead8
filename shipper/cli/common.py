"""What the commands of `shipper` share: their options, the configuration, and messages."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator

import msgspec

from shipper.config.load import LoadedConfig, find_config, read_config
from shipper.config.model import Config
from shipper.errors import ShipperError
from shipper.foreign import escaped, path_text


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds `-c FILE`."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration file")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument(
        "--json", action="store_true", help="print JSON for programs, errors included"
    )


def load(options: argparse.Namespace) -> tuple[str, LoadedConfig]:
    """The configuration's file, and what is in it. Raises ConfigError."""
    path = find_config(options.config, os.environ)
    return str(path), read_config([path], os.environ)


@contextlib.contextmanager
def errors_of(config: Config) -> Iterator[None]:
    """Errors that are raised meanwhile call options as the configuration does."""
    try:
        yield
    except ShipperError as error:
        raise error.in_words_of(config.option_names) from error.__cause__


def warn(words: str) -> None:
    """One line to standard error."""
    sys.stderr.write(f"shipper: {escaped(words)}\n")


def warn_json(words: str) -> None:
    """The same for programs."""
    sys.stderr.write(msgspec.json.encode({"warning": path_text(words)}).decode() + "\n")
