"""`shipper registry`: what is stored of each file."""

import argparse
import sys
from pathlib import Path

from shipper.cli.common import add_config, add_json, errors_of, load, warn
from shipper.cli.parsers import Commands, add_command
from shipper.clock import SystemClock

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
        summary="show how far each file is shipped; import Filebeat's offsets",
        description="""
The registry in the data directory has each file that shipper reads, and how far
the cluster has acknowledged it.
""",
        examples="""
shipper registry show
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
        state = "present" if record.gone is None else "deleted"
        sys.stdout.write(f"{record.offset:>14}  {state:<7}  {record.identity}  {record.path}\n")
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
