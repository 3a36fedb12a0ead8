"""The command line: arguments in, exit codes out.

    0  done
    2  the arguments or the configuration are wrong
    1  anything else that went wrong

Each command imports what it needs when it is run, so that `--help` is quick and `run` loads nothing
that it has no use for.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence

from shipper import __version__
from shipper.cli import check, convert, deadletter, demo, registry, run, setup, version
from shipper.cli.errors import Parser, Report, UsageError, print_json, print_text
from shipper.config.load import CONFIG_VARIABLE, SEARCH_PATHS
from shipper.documentation import page
from shipper.errors import ConfigError, ShipperError

#: Files are 0600, directories 0700.
_UMASK = 0o077

_DESCRIPTION = """\
Ships Cilium Tetragon logs to Elasticsearch and OpenSearch, each line exactly
once.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser().parse_args(given)
    except UsageError as error:
        (print_json if "--json" in given else print_text)(error)
        return 2
    report = print_json if getattr(options, "json", False) else print_text
    return guarded(lambda: options.command(options), getattr(options, "report", report))


def guarded(command: Callable[[], int], report: Report = print_text) -> int:
    """Runs a command; an error is reported, and is an exit code.

    What it creates is for this user alone, whatever the umask is.
    """
    umask = os.umask(_UMASK)
    try:
        code = command()
    except ShipperError as error:
        report(error)
        code = 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return _broken_pipe()
    finally:
        os.umask(umask)
    try:
        # Now, and not at exit: a reader that has gone is noticed here.
        sys.stdout.flush()
    except BrokenPipeError:
        return _broken_pipe()
    return code


def _broken_pipe() -> int:
    """Whoever read our output (`| head`) has enough; Python would complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


class _MainParser(Parser):
    """That of all commands. What is after them is made when it is asked for: it has URLs that take
    time to find."""

    def format_help(self) -> str:
        self.epilog = _epilog()
        return super().format_help()


def _parser() -> Parser:
    parser = _MainParser("shipper", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"shipper {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Parser
    )

    for module in (run, check, convert, setup, registry, deadletter, demo, version):
        module.add(commands)
    return parser


def _epilog() -> str:
    paths = "\n".join(f"  {path}" for path in SEARCH_PATHS)
    return f"""\
`shipper COMMAND --help` explains a command, with examples.

a minimal configuration:
  inputs:
    - id: tetragon
      paths: [/var/run/cilium/tetragon/*.log]
  output:
    hosts: [https://es-1:9200]
    api_key_file: /run/secrets/es-api-key

Without -c FILE and without ${CONFIG_VARIABLE}, the first of these files is read:
{paths}

A filebeat.yml is read as it is ({page("filebeat.md")}).
All options: {page("configuration.md")}

exit codes:
  0  done
  1  it failed
  2  the configuration or the arguments are wrong
"""
