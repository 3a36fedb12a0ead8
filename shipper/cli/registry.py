"""`shipper registry`: what is remembered of each file."""

import argparse
import sys
from pathlib import Path

from shipper.cli.common import add_config, load, tell
from shipper.cli.parsers import Commands
from shipper.clock import SystemClock


def add(commands: Commands) -> None:
    """Adds the command."""
    registry = commands.add_parser("registry", help="what is remembered of each file")
    actions = registry.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="print it, also beside a running daemon",
        description="Prints each file that is remembered, and how far it is acknowledged.",
    )
    add_config(show)
    show.add_argument("--json", action="store_true", help="one object a line")
    show.set_defaults(command=_show_registry)

    take_over = actions.add_parser(
        "import",
        help="go on where Filebeat was, before the first start",
        description="Begins the registry with the offsets of Filebeat's: each file goes on where "
        "Filebeat was. The daemon does the same by itself at its first start, where "
        "registry.import_from says; Filebeat has to be stopped. Its files are only read.",
    )
    add_config(take_over)
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


def _show_registry(options: argparse.Namespace) -> int:
    import msgspec

    from shipper.files.registry import read_records

    _, reading = load(options)
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
    from shipper.files.filesystem import FileSystem

    config = load(options)[1].config
    place = config.import_place if options.place is None else Path(options.place)
    if options.dry_run:
        plan = takeover.plan_import(config, place, FileSystem())
        print_plan(plan, sys.stdout)
        for words in takeover.obstacles(config, plan):
            tell(words)
        return 0
    plan, aside = takeover.import_now(config, place, FileSystem(), SystemClock())
    if aside is not None:
        tell(f"shipper's own registry could not be read; it was put aside as {aside}")
    print_plan(plan, sys.stdout)
    sys.stdout.write(f"\nTaken over; shipper goes on from there with data_dir {config.data_dir}.\n")
    return 0
