"""`shipper deadletter`: what was refused for good."""

import argparse
import asyncio
import sys
from pathlib import Path

from shipper.cli.common import add_config, load, tell
from shipper.cli.parsers import Commands
from shipper.clock import SystemClock
from shipper.dead_letters import arguments


def add(commands: Commands) -> None:
    """Adds the command."""
    dead_letters = commands.add_parser(
        "deadletter",
        help="what was refused for good: look at it, send it again",
        description="What was refused for good is in dead-letter.ndjson in data_dir, with the "
        "reason. Look at it with `show`, mend the cause (a mapping, a pipeline, a limit), and send "
        "it again with `replay`.",
    )
    actions = dead_letters.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print it, also beside a running daemon")
    add_config(show)
    arguments.add_show(show)
    show.set_defaults(command=_show_dead_letters)
    replay = actions.add_parser("replay", help="send it again, once the cause is mended")
    add_config(replay)
    arguments.add_replay(replay)
    replay.set_defaults(command=_replay_dead_letters)


def _show_dead_letters(options: argparse.Namespace) -> int:
    from shipper.dead_letters.selection import Selection
    from shipper.dead_letters.show import show, show_json
    from shipper.output.dead_letter import FILE_NAME

    _, reading = load(options)
    path = Path(reading.config.data_dir, FILE_NAME)
    choice = Selection(options.status, options.reason, options.since)
    printing = show_json if options.json else show
    printing(path, choice, options.limit, sys.stdout.buffer, tell)
    return 0


def _replay_dead_letters(options: argparse.Namespace) -> int:
    from shipper.dead_letters.replay import Wanted, replay
    from shipper.dead_letters.selection import Selection

    _, reading = load(options)
    choice = Selection(options.status, options.reason, options.since)
    wanted = Wanted(choice, options.limit, options.timeout, options.dry_run)
    went_through = asyncio.run(replay(reading.config, wanted, SystemClock(), sys.stdout, tell))
    return 0 if went_through else 1
