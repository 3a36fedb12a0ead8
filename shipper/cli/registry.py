"""`shipper registry`: what is stored of each file."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from shipper.cli import adopt
from shipper.cli.common import add_config, add_json, errors_of, load, warn
from shipper.cli.parsers import Commands, add_command
from shipper.clock import SystemClock
from shipper.foreign import escaped

_CODES = """
0  done
1  {failed}
2  the configuration or the arguments are wrong
"""


def add(commands: Commands) -> None:
    """Adds the command."""
    registry = add_command(
        commands,
        "registry",
        summary="show how far each file is shipped, losses, links of nobody; import offsets",
        description="""
The registry in the data directory has each file that shipper reads, and how far
the cluster has acknowledged it.
""",
        examples="""
shipper registry show
shipper registry losses
shipper registry adopt
shipper registry import --dry-run --from /var/lib/filebeat
""",
        codes=_CODES.format(failed="the registry cannot be read, or not imported"),
    )
    actions = registry.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = add_command(
        actions,
        "show",
        summary="print all files with their offsets; works while the daemon runs",
        description="""
Prints each file in the registry with the offset up to which it is acknowledged.
With --json, one object a line for each file.
""",
        examples="""
shipper registry show
shipper registry show --json | jq -r '[.path, .offset] | @tsv'
""",
        codes=_CODES.format(failed="the registry cannot be read"),
    )
    add_config(show)
    add_json(show)
    show.set_defaults(command=_show_registry)

    losses = add_command(
        actions,
        "losses",
        summary="print what was lost; works while the daemon runs",
        description="""
Prints each loss: a part of a file that was written and will never be delivered,
with the reason. `unknown`: nobody can know how many lines it had. With --json,
one object a line for each loss.
""",
        examples="""
shipper registry losses
shipper registry losses --json | jq -r '[.time, .path, .bytes, .lines] | @tsv'
""",
        codes=_CODES.format(failed="the registry cannot be read"),
    )
    add_config(losses)
    add_json(losses)
    losses.set_defaults(command=_show_losses)

    adopt.add(actions)

    downgrade = add_command(
        actions,
        "downgrade",
        summary="write the registry for an older version of shipper",
        description="""
Writes the registry as older versions of shipper can read it, with the same
offsets, so that nothing is sent again. Stop the daemon first. The next start of
this version brings the registry up to date again.
""",
        examples="""
shipper registry downgrade
""",
        codes=_CODES.format(failed="the registry cannot be read or written, or a daemon uses it"),
    )
    add_config(downgrade)
    downgrade.set_defaults(command=_downgrade_registry)

    import_offsets = add_command(
        actions,
        "import",
        summary="start with Filebeat's offsets, before the first start of the daemon",
        description="""
Creates the registry with the offsets of Filebeat's, so that each file goes on
where Filebeat stopped. Stop Filebeat first; its files are only read. The daemon
does the same by itself at its first start, from the directory that
`registry.import_from` names.
""",
        examples="""
shipper registry import --dry-run --from /var/lib/filebeat
shipper registry import --from /var/lib/filebeat
""",
        codes=_CODES.format(failed="there is nothing to import, or it cannot be imported now"),
    )
    add_config(import_offsets)
    import_offsets.add_argument(
        "--from",
        dest="directory",
        metavar="DIR",
        help="Filebeat's path.data, or the registry in it (default: registry.import_from)",
    )
    import_offsets.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be imported; works while Filebeat and shipper run",
    )
    add_json(import_offsets)
    import_offsets.set_defaults(command=_import_registry)


def _show_registry(options: argparse.Namespace) -> int:
    import msgspec

    from shipper.files.registry import read_records

    config = load(options)[1].config
    with errors_of(config):
        records = sorted(read_records(Path(config.data_dir)), key=lambda found: found.path)
    if options.json:
        for record in records:
            sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
        return 0
    sys.stdout.write(f"{'ACKNOWLEDGED':>14}  {'STATE':<7}  {'IDENTITY':<16}  PATH\n")
    for record in records:
        state = "present" if record.removed is None else "deleted"
        sys.stdout.write(
            f"{record.offset:>14}  {state:<7}  {record.identity}  {escaped(record.path)}\n"
        )
    return 0


def _show_losses(options: argparse.Namespace) -> int:
    import msgspec

    from shipper.files.registry import read_losses

    config = load(options)[1].config
    with errors_of(config):
        losses = read_losses(Path(config.data_dir))
    if options.json:
        for stored in losses:
            shown = msgspec.to_builtins(stored.loss)
            shown |= {"time": _time(stored.loss.time), "state": stored.state.name.lower()}
            sys.stdout.write(msgspec.json.encode({"id": stored.id, **shown}).decode() + "\n")
        return 0
    if not losses:
        sys.stdout.write("No losses are recorded.\n")
        return 0
    sys.stdout.write(f"{'TIME':<20}  {'REASON':<16}  {'BYTES':>14}  {'LINES':>10}  PATH\n")
    for loss in (stored.loss for stored in losses):
        lines = "unknown" if loss.lines is None else loss.lines
        path = escaped(loss.path) if loss.path else f"({loss.merged} older losses)"
        sys.stdout.write(
            f"{_time(loss.time):<20}  {loss.reason.value:<16}  {loss.bytes:>14}  {lines:>10}  "
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


def _time(seconds: float) -> str:
    """Unix seconds as RFC 3339, to the second."""
    found = datetime.fromtimestamp(seconds, UTC)
    return found.isoformat(timespec="seconds").replace("+00:00", "Z")


def _downgrade_registry(options: argparse.Namespace) -> int:
    from shipper.files.downgrade import downgrade

    config = load(options)[1].config
    directory = Path(config.data_dir)
    with errors_of(config):
        count = downgrade(directory, [source.id for source in config.inputs])
    sys.stdout.write(
        f"Wrote the registry in {directory} for older versions of shipper, with the offsets of "
        f"{count} files.\n"
    )
    return 0


def _import_registry(options: argparse.Namespace) -> int:
    from shipper.filebeat_registry import importing
    from shipper.filebeat_registry.report import print_plan, print_plan_json
    from shipper.files.filesystem import FileSystem

    config = load(options)[1].config
    directory = config.import_directory if options.directory is None else Path(options.directory)
    with errors_of(config):
        warnings: list[str] = []
        if options.dry_run:
            plan = importing.plan_import(config, directory, FileSystem())
            warnings += importing.obstacles(config, plan)
        else:
            plan, aside = importing.import_now(config, directory, FileSystem(), SystemClock())
            if aside is not None:
                warnings.append(f"shipper's registry was damaged, and was renamed to {aside}")
    if options.json:
        print_plan_json(plan, warnings, sys.stdout, imported=not options.dry_run)
        return 0
    for words in warnings:
        warn(words)
    print_plan(plan, sys.stdout)
    if not options.dry_run:
        sys.stdout.write(f"\nImported. shipper continues there with {config.data_dir}.\n")
    return 0
