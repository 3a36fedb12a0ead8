"""`shipper registry adopt`: links in `.shipper` that are nobody's.

With `--json` one object:

    {"status": "OK" | "FAILED", "dry_run": BOOL, "links": [LINK…], "running": N,
     "warnings": [TEXT…]}

`links` are all that were found, or those that were named; `running` is how many belong to other
shippers that run. A LINK has `path`, `log`, `bytes`, `inode` (`device`, `number`), `owner`,
`made_for`, `since`, `reason`, `exposed`, `inputs`, and of what became of it `adopted_by`, `error`,
`what_to_do`.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shipper.cli.common import add_config, add_json, errors_of, load, warn
from shipper.cli.parsers import Commands, add_command
from shipper.clock import SystemClock
from shipper.errors import ConfigError, RegistryError, reason_of
from shipper.foreign import escaped, path_text
from shipper.option_names import OptionNames, option

if TYPE_CHECKING:
    from shipper.files.adoption import Decision, ListedLink
    from shipper.pipeline.links import ConfiguredLinks

#: By the values of `foreign_links.Obstacle`; and of a link that nothing stands in the way of.
_REASONS = {
    "living_owner": "its shipper is running",
    "not_a_file": "no regular file",
    "not_a_link_name": "not the name of a link",
    "other_inode": "made for another inode",
    "no_input": "no input's globs match",
    "exposed": "others could write here",
    "": "adopted at the next start",
}


def add(actions: Commands) -> None:
    """Adds the command."""
    adopt = add_command(
        actions,
        "adopt",
        summary="list links in .shipper that are nobody's, and give them to an input",
        description="""
Lists links in the `.shipper` directories beside the logs that belong to no input
and to no shipper that runs, with the reason why they are not adopted by
themselves. Links that are named (or all, with --all) are given to the input
whose globs match the log, or to that of --input. The daemon may run: it notices
at its next scan. It ships the lines, and then removes the links. Lines that are
stored already are not stored again.
""",
        examples="""
shipper registry adopt
shipper registry adopt /var/log/tetragon/.shipper/0123456789abcdef-42-tetragon.log
shipper registry adopt --all --input tetragon --dry-run
""",
        codes="""
0  done: listed, or all that was named is adopted
1  a link was not adopted, or a directory cannot be read
2  the configuration or the arguments are wrong
""",
    )
    add_config(adopt)
    adopt.add_argument(
        "links", metavar="LINK", nargs="*", help="a link to adopt: its path, or its inode"
    )
    adopt.add_argument("--all", action="store_true", help="adopt all that are listed")
    adopt.add_argument(
        "--input", metavar="ID", help="the input that gets them (default: whose globs match)"
    )
    adopt.add_argument(
        "--trust-exposed",
        action="store_true",
        help="adopt links from directories that others could write to; look at the files first",
    )
    adopt.add_argument("--dry-run", action="store_true", help="say what would be adopted")
    add_json(adopt)
    adopt.set_defaults(command=_adopt)


def _adopt(options: argparse.Namespace) -> int:
    from shipper.files.adoption import Decision, carry_out, decide
    from shipper.files.filesystem import FileSystem
    from shipper.pipeline.links import configured_links

    config = load(options)[1].config
    if options.links and options.all:
        raise ConfigError("LINK and --all exclude each other", what_to_do="see --help")
    filesystem = FileSystem()
    with errors_of(config):
        if not config.retention.enabled:
            raise ConfigError(
                f"{option('retention.enabled')} is false: shipper does not look at links",
                what_to_do="set it to true",
            )
        found = configured_links(config, filesystem)
        chosen = None
        if options.input is not None and (chosen := found.input(options.input)) is None:
            known = ", ".join(each.input_id for each in found.inputs)
            raise ConfigError(
                f"there is no input {options.input}", where="--input", what_to_do=f"one of: {known}"
            )
        is_list = not (options.links or options.all)
        if is_list:
            decisions = [Decision(link) for link in found.listing.orphaned]
        else:
            named = found.listing.orphaned if options.all else _named(found, options.links)
            decisions = decide(
                found.listing,
                named,
                found.inputs,
                chosen=chosen,
                trust_exposed=options.trust_exposed,
                now=SystemClock().now(),
            )
            if not options.dry_run:
                decisions = carry_out(filesystem, decisions, found.inputs)
    problems = [f"{error.filename}: {_what_is_wrong(error)}" for error in found.listing.problems]
    succeeded = not (problems or any(each.refused for each in decisions))
    dry_run = is_list or options.dry_run
    running = len(found.listing.links) - len(found.listing.orphaned)
    if options.json:
        _print_json(decisions, config.option_names, problems, running, succeeded, dry_run)
        return 0 if succeeded else 1
    for words in problems:
        warn(words)
    if is_list:
        _print_list([each.link for each in decisions], running)
    else:
        _print_decisions(decisions, config.option_names, dry_run=dry_run)
    return 0 if succeeded else 1


def _named(found: "ConfiguredLinks", names: Iterable[str]) -> "list[ListedLink]":
    """The links that were named, each once. Raises RegistryError."""
    named: dict[str, ListedLink] = {}
    for name in names:
        links = [link for link in found.listing.links if _is(link, name)]
        if not links:
            raise _unknown(found, name)
        named.update({link.entry.path: link for link in links})
    return list(named.values())


def _is(link: "ListedLink", name: str) -> bool:
    if name.isascii() and name.isdigit():
        return link.entry.facts.inode.number == int(name)
    # Directories of globs may be symbolic links, as /var/run is.
    path = link.entry.path
    return os.path.basename(name) == link.entry.name and os.path.realpath(
        os.path.dirname(os.path.abspath(name))
    ) == os.path.realpath(os.path.dirname(path))


def _unknown(found: "ConfiguredLinks", name: str) -> RegistryError:
    directory, of = os.path.split(os.path.dirname(os.path.abspath(name)))
    places = {os.path.realpath(place) for place in found.listing.places}
    if of == ".shipper" and os.path.realpath(directory) not in places:
        return RegistryError(
            f"shipper does not look for links in {directory}: no glob of an input leads there",
            where=name,
            what_to_do=f"give an input a glob for {directory}",
        )
    return RegistryError(
        "no link that can be adopted: it is not there, or an input of this configuration has it",
        where=name,
        what_to_do="run `shipper registry adopt` for the list",
    )


def _what_is_wrong(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"{error.strerror}; run this as the user that shipper runs as"
    return reason_of(error)


def _print_list(links: "Sequence[ListedLink]", running: int) -> None:
    if links:
        sys.stdout.write(
            f"{'SINCE':<20}  {'BYTES':>14}  {'INODE':>10}  {'OWNER':<16}  {'INPUT':<12}  "
            f"{'REASON':<26}  LINK\n"
        )
    for link in links:
        facts = link.entry.facts
        owner = link.entry.link.owner if link.entry.link else "-"
        inputs = escaped(",".join(link.inputs)) or "-"
        sys.stdout.write(
            f"{_time(facts.changed):<20}  {facts.size:>14}  {facts.inode.number:>10}  "
            f"{owner:<16}  {inputs:<12}  {_reason(link):<26}  {escaped(link.entry.path)}\n"
        )
    if not links:
        sys.stdout.write("All links belong to an input, or to a shipper that runs.\n")
    else:
        size = sum(link.entry.facts.size for link in links)
        sys.stdout.write(
            f"\nTotal: {_count(len(links))}, {size} bytes. Adopt one with `shipper registry adopt "
            "LINK`, all with --all; where no input matches, or several do, add --input ID.\n"
        )
    if running:
        sys.stdout.write(f"{running} more belong to other shippers that run.\n")


def _print_decisions(decisions: "Sequence[Decision]", names: OptionNames, *, dry_run: bool) -> None:
    verb = "would be adopted" if dry_run else "adopted"
    for each in decisions:
        path = escaped(each.link.entry.path)
        if each.input_id:
            sys.stdout.write(f"{path}: {verb} by input {escaped(each.input_id)}\n")
            continue
        sys.stdout.write(f"{path}: not adopted: {escaped(names.fill(each.refused))}\n")
        sys.stdout.write(f"  -> {escaped(names.fill(each.what_to_do))}\n")
    adopted = sum(bool(each.input_id) for each in decisions)
    refused = f", {len(decisions) - adopted} not" if adopted < len(decisions) else ""
    sys.stdout.write(f"{_count(adopted)} {verb}{refused}\n")


def _print_json(
    decisions: "Sequence[Decision]",
    names: OptionNames,
    warnings: Sequence[str],
    running: int,
    succeeded: bool,
    dry_run: bool,
) -> None:
    import msgspec

    report = {
        "status": "OK" if succeeded else "FAILED",
        "dry_run": dry_run,
        "links": [_as_json(each, names) for each in decisions],
        "running": running,
        "warnings": [_utf8(words) for words in warnings],
    }
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


def _as_json(decision: "Decision", names: OptionNames) -> dict[str, object]:
    entry, link = decision.link.entry, decision.link
    inode = entry.facts.inode
    return {
        "path": _utf8(entry.path),
        "log": _utf8(entry.log),
        "bytes": entry.facts.size,
        "inode": {"device": inode.device, "number": inode.number},
        "owner": entry.link.owner if entry.link else "",
        "made_for": link.made_for,
        "since": _time(entry.facts.changed),
        "reason": link.obstacle.value if link.obstacle else "",
        "exposed": link.exposed,
        "inputs": list(link.inputs),
        "adopted_by": decision.input_id,
        "error": _utf8(names.fill(decision.refused)),
        "what_to_do": _utf8(names.fill(decision.what_to_do)),
    }


def _count(links: int) -> str:
    return "1 link" if links == 1 else f"{links} links"


def _reason(link: "ListedLink") -> str:
    return _REASONS[link.obstacle.value if link.obstacle else ""]


def _utf8(text: str) -> str:
    """What is no UTF-8 in a path has replacement characters, as JSON has to be UTF-8."""
    return path_text(text)


def _time(nanoseconds: int) -> str:
    """RFC 3339, to the second."""
    found = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return found.isoformat(timespec="seconds").replace("+00:00", "Z")
