"""`shipper deadletter`: what was refused for good."""

import argparse
import asyncio
import sys
from pathlib import Path

from shipper.cli.common import add_config, add_json, errors_of, load, warn, warn_json
from shipper.cli.parsers import Commands, add_command
from shipper.clock import SystemClock
from shipper.dead_letters import arguments

_CODES = """
0  {done}
1  {failed}
2  the configuration or the arguments are wrong
"""


def add(commands: Commands) -> None:
    """Adds the command."""
    dead_letters = add_command(
        commands,
        "deadletter",
        summary="show events that the cluster rejected, and send them again",
        description="""
Events that the cluster rejected permanently are dead letters: they are kept in
dead-letter.ndjson in the data directory, each with the reason. Look at them with
`show`, fix the cause (a mapping, a pipeline, a limit), and send them again with
`replay`.
""",
        examples="""
shipper deadletter show
shipper deadletter replay --dry-run
shipper deadletter replay
""",
        codes=_CODES.format(done="done", failed="the dead letters cannot be used, or not all sent"),
    )
    actions = dead_letters.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = add_command(
        actions,
        "show",
        summary="print dead letters; works while the daemon runs",
        description="""
Prints the newest dead letters, each with the reason, and how often each reason
was given. Changes nothing, and works while the daemon runs.
""",
        examples="""
shipper deadletter show --status 400 --since 2h
shipper deadletter show --json | jq -r .reason
""",
        codes=_CODES.format(done="done", failed="the dead letters cannot be read"),
    )
    add_config(show)
    show.add_argument(
        "--json",
        action="store_true",
        help="print the dead letters as they are in the files, one a line; errors as JSON too",
    )
    arguments.add_show(show)
    show.set_defaults(command=_show_dead_letters)
    replay = add_command(
        actions,
        "replay",
        summary="send dead letters again, after the cause is fixed",
        description="""
Sends dead letters again with their own ids to the output of the configuration.
Events that are there already are not doubled. What is rejected again, or not
selected, stays a dead letter. Works while the daemon runs. If it is killed, the
next replay continues.
""",
        examples="""
shipper deadletter replay --dry-run
shipper deadletter replay --reason mapper_parsing --limit 100
""",
        codes=_CODES.format(
            done="all that was selected is in the cluster", failed="not all of it is"
        ),
    )
    add_config(replay)
    arguments.add_replay(replay)
    add_json(replay)
    replay.set_defaults(command=_replay_dead_letters)


def _show_dead_letters(options: argparse.Namespace) -> int:
    from shipper.dead_letters.selection import Selection
    from shipper.dead_letters.show import show, show_json
    from shipper.output.dead_letter_file import FILE_NAME

    config = load(options)[1].config
    path = Path(config.data_dir, FILE_NAME)
    selection = Selection(options.status, options.reason, options.since)
    print_them = show_json if options.json else show
    with errors_of(config):
        warning = warn_json if options.json else warn
        print_them(path, selection, options.limit, sys.stdout.buffer, warning)
    return 0


def _replay_dead_letters(options: argparse.Namespace) -> int:
    from shipper.dead_letters.replay import ReplayOptions, replay
    from shipper.dead_letters.report import JsonReport, TextReport
    from shipper.dead_letters.selection import Selection

    config = load(options)[1].config
    selection = Selection(options.status, options.reason, options.since)
    chosen = ReplayOptions(selection, options.limit, options.timeout, options.dry_run)
    report = JsonReport(sys.stdout) if options.json else TextReport(sys.stdout, warn)
    with errors_of(config):
        succeeded = asyncio.run(replay(config, chosen, SystemClock(), report))
    return 0 if succeeded else 1
