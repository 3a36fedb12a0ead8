"""The command line: arguments in, exit codes out.

    0  done
    2  the arguments or the configuration are wrong
    1  anything else that went wrong

Each command imports what it needs when it is run, so that `--help` is quick and `run` loads nothing
that it has no use for.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from shipper import __version__
from shipper.cli import check, convert, deadletter, demo, registry, run, setup
from shipper.config.load import PLACES, VARIABLE
from shipper.errors import ConfigError, ShipperError

_DESCRIPTION = (
    "Ships Cilium Tetragon's logs to Elasticsearch and OpenSearch, each line exactly once."
)

_EPILOG = f"""\
A first configuration:

  inputs:
    - id: tetragon
      paths: [/var/run/cilium/tetragon/*.log]
  output:
    hosts: [https://es-1:9200]
    api_key_file: /run/secrets/es-api-key

It is looked for at -c FILE, ${VARIABLE}, {", ".join(PLACES)}. Every option with its default is in
docs/configuration.md; Filebeat's files are read too
(docs/filebeat.md). Exit codes: 0, 2 for wrong arguments or a wrong configuration, 1 otherwise.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    options = _parser().parse_args(arguments)
    return guarded(lambda: options.command(options))


def guarded(command: Callable[[], int]) -> int:
    """Runs a command; an error is said in words, and is an exit code."""
    try:
        code = command()
        # Now, and not at exit: a reader that has gone is noticed here.
        sys.stdout.flush()
    except ConfigError as error:
        _complain(error)
        return 2
    except ShipperError as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our output (`| head`) has enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "shipper",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"shipper {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for module in (run, check, convert, setup, registry, deadletter, demo):
        module.add(commands)
    return parser


def _complain(error: ShipperError) -> None:
    """In words. `run` logs its errors itself."""
    sys.stderr.write(f"shipper: {error.where}{': ' if error.where else ''}{error.what}\n")
    if error.what_to_do:
        sys.stderr.write(f"  {error.what_to_do}\n")
