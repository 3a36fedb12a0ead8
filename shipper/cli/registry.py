"""`shipper registry`: what is remembered of each file."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from shipper.cli.common import add_config, data_dir, load, tell
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

    losses = actions.add_parser(
        "losses",
        help="print what was lost, also beside a running daemon",
        description="Prints each loss: a part of a file that was written and will never be "
        "delivered, with the reason. `unknown`: nobody can know how many lines it had.",
    )
    add_config(losses)
    losses.add_argument("--json", action="store_true", help="one object a line")
    losses.set_defaults(command=_show_losses)

    downgrade = actions.add_parser(
        "downgrade",
        help="write it for an older shipper",
        description="Writes the registry as older versions of shipper can read it, with the same "
        "offsets, so that nothing is sent again. No daemon may run with the data directory. The "
        "next start of this version brings it up to date again.",
    )
    add_config(downgrade)
    downgrade.set_defaults(command=_downgrade_registry)

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
        state = "there" if record.removed is None else "gone"
        sys.stdout.write(f"{record.offset:>14}  {state:<7}  {record.identity}  {record.path}\n")
    return 0


def _show_losses(options: argparse.Namespace) -> int:
    import msgspec

    from shipper.files.registry import read_losses

    losses = read_losses(data_dir(options))
    if options.json:
        for stored in losses:
            shown = msgspec.to_builtins(stored.loss)
            shown |= {"time": _time(stored.loss.time), "state": stored.state.name.lower()}
            sys.stdout.write(msgspec.json.encode({"id": stored.id, **shown}).decode() + "\n")
        return 0
    if not losses:
        sys.stdout.write("No losses are recorded.\n")
        return 0
    sys.stdout.write(f"{'TIME':<20}  {'REASON':<9}  {'BYTES':>14}  {'LINES':>10}  PATH\n")
    for loss in (stored.loss for stored in losses):
        lines = "unknown" if loss.lines is None else loss.lines
        path = _printable(loss.path) if loss.path else f"({loss.merged} older losses)"
        sys.stdout.write(
            f"{_time(loss.time):<20}  {loss.reason.value:<9}  {loss.bytes:>14}  {lines:>10}  "
            f"{path}\n"
        )
    known = sum(stored.loss.lines or 0 for stored in losses)
    unknown = sum(stored.loss.bytes for stored in losses if stored.loss.lines is None)
    sys.stdout.write(
        f"\nTotal: {sum(stored.loss.bytes for stored in losses)} bytes, {known} lines"
        + (f", and an unknown number of lines in {unknown} of the bytes" if unknown else "")
        + "\n"
    )
    return 0


def _printable(text: str) -> str:
    """A file name cannot move the cursor."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _time(seconds: float) -> str:
    """Unix seconds as RFC 3339, to the second."""
    found = datetime.fromtimestamp(seconds, UTC)
    return found.isoformat(timespec="seconds").replace("+00:00", "Z")


def _downgrade_registry(options: argparse.Namespace) -> int:
    from shipper.files.downgrade import downgrade

    directory = data_dir(options)
    count = downgrade(directory)
    sys.stdout.write(
        f"The registry in {directory} is written for older versions of shipper, with the offsets "
        f"of {count} files.\n"
    )
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
