"""The command line: arguments in, exit codes out.

    0  done
    2  the arguments or the configuration are wrong
    1  anything else that went wrong

Each command imports what it needs when it is run, so that `--help` is quick and `run` loads nothing
that it has no use for.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from shipper import __version__
from shipper.clock import SystemClock
from shipper.config.load import (
    PLACES,
    VARIABLE,
    Reading,
    find_config,
    read_config,
    read_filebeat,
)
from shipper.config.model import LoggingConfig
from shipper.dead_letters import arguments as letter_arguments
from shipper.errors import ConfigError, ShipperError
from shipper.logs import Log, LogFormat, StandardLogging

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

    run = commands.add_parser(
        "run",
        help="follow the files and ship them, until SIGTERM",
        description="Follows the files and ships their lines until SIGTERM or Ctrl-C: then reading "
        "stops, what is under way is finished, and the offsets are saved. A second signal ends it "
        "at once; so does SIGKILL, and neither loses or doubles a line.",
    )
    _add_config(run)
    run.set_defaults(command=_run)

    check = commands.add_parser(
        "check",
        help="is the configuration right; will Elasticsearch take the lines",
        description="Validates the configuration, looks at the files, and asks each host: can it "
        "be reached, is its certificate right, are we known, may we write to the data stream or "
        "index, is there a template for it. Says what is wrong and what to do. Ships nothing.",
    )
    _add_config(check)
    check.set_defaults(command=_check)

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

    setup = commands.add_parser(
        "setup",
        help="install what the cluster lacks: index template, ingest pipeline",
        description="Installs an index template for the data stream, with the types of Tetragon's "
        "fields, and, where an input has `format: raw`, an ingest pipeline that takes its "
        "documents apart. What is there already is left, or brought up to date if shipper made "
        "it. Needs more rights than shipping does; says which are lacking.",
    )
    _add_config(setup)
    setup.add_argument(
        "--dry-run", action="store_true", help="print the requests, and send nothing"
    )
    setup.add_argument(
        "--pipeline", action="store_true", help="the pipeline even if no input has format: raw"
    )
    setup.set_defaults(command=_setup)

    registry = commands.add_parser("registry", help="what is remembered of each file")
    actions = registry.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="print it, also beside a running daemon",
        description="Prints each file that is remembered, and how far it is acknowledged.",
    )
    _add_config(show)
    show.add_argument("--json", action="store_true", help="one object a line")
    show.set_defaults(command=_show_registry)

    take_over = actions.add_parser(
        "import",
        help="go on where Filebeat was, before the first start",
        description="Begins the registry with the offsets of Filebeat's: each file goes on where "
        "Filebeat was. The daemon does the same by itself at its first start, where "
        "registry.import_from says; Filebeat has to be stopped. Its files are only read.",
    )
    _add_config(take_over)
    take_over.add_argument(
        "--from",
        dest="place",
        metavar="DIR",
        help="Filebeat's path.data, or the registry in it (default: registry.import_from)",
    )
    take_over.add_argument(
        "--dry-run", action="store_true", help="print what would be done; also beside both daemons"
    )
    take_over.set_defaults(command=_import_registry)

    letters = commands.add_parser(
        "deadletter",
        help="what was refused for good: look at it, send it again",
        description="What was refused for good is in dead-letter.ndjson in data_dir, with the "
        "reason. Look at it with `show`, mend the cause (a mapping, a pipeline, a limit), and send "
        "it again with `replay`.",
    )
    actions = letters.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print it, also beside a running daemon")
    _add_config(show)
    letter_arguments.add_show(show)
    show.set_defaults(command=_show_dead_letters)
    replay = actions.add_parser("replay", help="send it again, once the cause is mended")
    _add_config(replay)
    letter_arguments.add_replay(replay)
    replay.set_defaults(command=_replay_dead_letters)

    demo = commands.add_parser(
        "demo",
        help="the real daemon on generated logs, with an audit at the end",
        description="Writes Tetragon's logs and rotates them, ships them with the real daemon to "
        "an embedded receiver, and counts what is lost or doubled. Exit code 1 if anything is.",
    )
    from shipper.demo import run as demo_run

    demo_run.add_arguments(demo)
    demo.set_defaults(command=demo_run.run)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration")


def _load(options: argparse.Namespace) -> tuple[str, Reading]:
    path = find_config(options.config, os.environ)
    return str(path), read_config([path], os.environ)


def _run(options: argparse.Namespace) -> int:
    return run(*_load(options))


def run(name: str, reading: Reading) -> int:
    """Follows and ships, by the configuration that was read from `name`; returns the exit code."""
    from shipper.allocator import keep_freed_memory
    from shipper.daemon import Daemon
    from shipper.filesystem import FileSystem
    from shipper.processors.machine import this_machine

    keep_freed_memory()
    config = reading.config
    clock = SystemClock()
    log = Log(sys.stderr, clock, config.logging.level, config.logging.format)
    logging.basicConfig(handlers=[StandardLogging(log)], level=logging.WARNING)
    # Each file that is followed takes a descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where that is forbidden (a strict seccomp filter), fewer files can be followed; if they are
    # too few, EMFILE says so.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    log.info("configuration read", file=name)
    for remark in reading.remarks:
        log.warning(f"{remark.key}: {remark.what}", where=str(remark.place))
    daemon = Daemon(
        config,
        clock=clock,
        filesystem=FileSystem(),
        machine=this_machine(os.environ),
        rng=random.Random(),
        log=log,
    )
    try:
        asyncio.run(daemon.run())
    except ShipperError:
        raise
    except Exception as error:
        log.error(
            "shipper ends because of a fault in itself; started again, it goes on where it was",
            trace="".join(traceback.format_exception(error)),
        )
        return 1
    return 0


def _check(options: argparse.Namespace) -> int:
    return check(*_load(options))


def check(name: str, reading: Reading) -> int:
    """Says what would keep that configuration from working; returns the exit code."""
    from shipper import check as checks
    from shipper.check_findings import report

    for remark in reading.remarks:
        sys.stdout.write(f"{remark.place}: {remark.key}: {remark.what}\n")
    findings = asyncio.run(checks.check(reading.config, SystemClock()))
    return report(name, findings, sys.stdout)


def _convert(options: argparse.Namespace) -> int:
    from shipper.config.filebeat.convert import as_yaml

    paths = [Path(file) for file in options.file]
    draft = read_filebeat(paths, os.environ, options.settings)
    sys.stdout.write(as_yaml(draft, ", ".join(options.file)))
    return 0


def _setup(options: argparse.Namespace) -> int:
    from shipper.setup import command
    from shipper.setup.done import report

    _, reading = _load(options)
    plan = command.wanted(reading.config, with_pipeline=options.pipeline)
    if options.dry_run:
        command.describe(plan, sys.stdout)
        return 0
    done = asyncio.run(command.setup(reading.config, plan, SystemClock()))
    return report(done, sys.stdout)


def _show_registry(options: argparse.Namespace) -> int:
    import msgspec

    from shipper.registry import read_records

    _, reading = _load(options)
    records = sorted(read_records(Path(reading.config.data_dir)), key=lambda found: found.path)
    if options.json:
        for record in records:
            sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
        return 0
    sys.stdout.write(f"{'ACKNOWLEDGED':>14}  {'STATE':<7}  {'IDENTITY':<16}  PATH\n")
    for record in records:
        state = "there" if record.gone is None else "gone"
        sys.stdout.write(f"{record.offset:>14}  {state:<7}  {record.identity}  {record.path}\n")
    return 0


def _import_registry(options: argparse.Namespace) -> int:
    from shipper.filebeat_registry import takeover
    from shipper.filebeat_registry.report import print_plan
    from shipper.filesystem import FileSystem

    config = _load(options)[1].config
    place = config.import_place if options.place is None else Path(options.place)
    if options.dry_run:
        plan = takeover.plan_import(config, place, FileSystem())
        print_plan(plan, sys.stdout)
        for words in takeover.obstacles(config, plan):
            _tell(words)
        return 0
    plan, aside = takeover.import_now(config, place, FileSystem(), SystemClock())
    if aside is not None:
        _tell(f"shipper's own registry could not be read; it was put aside as {aside}")
    print_plan(plan, sys.stdout)
    sys.stdout.write(f"\nTaken over; shipper goes on from there with data_dir {config.data_dir}.\n")
    return 0


def _show_dead_letters(options: argparse.Namespace) -> int:
    from shipper.dead_letters.choice import Choice
    from shipper.dead_letters.show import show, show_json
    from shipper.output.dead_letter import FILE_NAME

    _, reading = _load(options)
    path = Path(reading.config.data_dir, FILE_NAME)
    choice = Choice(options.status, options.reason, options.since)
    printing = show_json if options.json else show
    printing(path, choice, options.limit, sys.stdout.buffer, _tell)
    return 0


def _replay_dead_letters(options: argparse.Namespace) -> int:
    from shipper.dead_letters.choice import Choice
    from shipper.dead_letters.replay import Wanted, replay

    _, reading = _load(options)
    choice = Choice(options.status, options.reason, options.since)
    wanted = Wanted(choice, options.limit, options.timeout, options.dry_run)
    went_through = asyncio.run(replay(reading.config, wanted, SystemClock(), sys.stdout, _tell))
    return 0 if went_through else 1


def _tell(words: str) -> None:
    sys.stderr.write(f"shipper: {words}\n")


def _complain(error: ShipperError) -> None:
    """For a person in words; for whoever collects logs, as one more line of the log."""
    if sys.stderr.isatty():
        sys.stderr.write(f"shipper: {error.where}{': ' if error.where else ''}{error.what}\n")
        if error.what_to_do:
            sys.stderr.write(f"  {error.what_to_do}\n")
        return
    log = Log(sys.stderr, SystemClock(), LoggingConfig().level, LogFormat.JSON)
    log.error(error.what, where=error.where, what_to_do=error.what_to_do)
