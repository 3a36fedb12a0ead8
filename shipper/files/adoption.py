"""Adoption by hand: which links in `.shipper` are nobody's, and giving them to an input.

A link is adopted by its name: it gets that of a link of the input. A daemon that runs notices this
at its next scan, and one that does not run at its start; it ships what is in the file, and removes
the link when that is acknowledged. So the command needs neither the daemon nor its registry, and
being killed at any moment it leaves each link under the one name or the other.

What is adopted is read with the rights of shipper, and sent. In a directory that others could write
to, a link may lead to any file of its file system: it is adopted only if the operator says of all
links there that they are to be trusted.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from shipper.errors import reason_of
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.foreign_links import (
    LinkEntry,
    Obstacle,
    obstacle_of,
    read_entry,
    rename_link,
)
from shipper.files.link_directory import DIRECTORY
from shipper.files.link_names import LinkName, LinkOwner, OwnerToken, link_name, lock_number
from shipper.files.records import SUFFIX
from shipper.option_names import option


class AdoptingInput(Struct, frozen=True):
    """A configured input, as far as its links go."""

    owner: LinkOwner
    #: Whether a log at that path is the input's.
    matches: Callable[[str], bool]
    #: Whether the registry has a file of the input at that inode.
    is_known: Callable[[Inode], bool]
    reads_gzips: bool = True
    #: Seconds; 0: none.
    ignore_older: float = 0.0

    @property
    def input_id(self) -> str:
        """Its id."""
        return self.owner.input_id


class ListedLink(Struct, frozen=True):
    """A link that no input of this configuration has."""

    entry: LinkEntry
    #: Why it is not adopted by itself; None: it is, as soon as shipper looks there.
    obstacle: Obstacle | None
    #: Whether others could write to the directory, and the registry does not know the file.
    exposed: bool
    #: The inputs whose globs match its log.
    inputs: tuple[str, ...]
    #: The input that it was made for, where that is known.
    made_for: str = ""

    @property
    def has_living_owner(self) -> bool:
        """Whether a shipper is running that will release it."""
        return self.obstacle is Obstacle.LIVING_OWNER


class Listing(Struct):
    """What is in the directories where shipper looks for links."""

    links: list[ListedLink] = field(default_factory=list)
    #: The directories of logs that were looked at.
    places: set[str] = field(default_factory=set)
    #: What could not be looked at; errors have their `filename`.
    problems: list[OSError] = field(default_factory=list)

    @property
    def orphaned(self) -> list[ListedLink]:
        """Those without a shipper that runs and will release them."""
        return [link for link in self.links if not link.has_living_owner]


class Decision(Struct, frozen=True):
    """What becomes of a link that an operator names."""

    link: ListedLink
    #: The input that gets it; empty if none does.
    input_id: str = ""
    #: Why it is not adopted, and what to do; empty if it is. The texts may have `option("…")` in
    #: them.
    refused: str = ""
    what_to_do: str = ""


def list_links(
    filesystem: FileSystem,
    places: Iterable[str],
    inputs: Sequence[AdoptingInput],
    former_inputs: Mapping[OwnerToken, str],
) -> Listing:
    """The links beside the logs in these directories that are not the inputs', by their paths.

    `former_inputs`: the ids of inputs of this agent that are not configured any more, by their
    tokens. Changes nothing, and takes no lock where the file system has locks for each owner.
    """
    listing = Listing()
    seen: set[Inode] = set()
    for place in sorted(set(places)):
        listing.places.add(place)
        path = os.path.join(place, DIRECTORY)
        try:
            descriptor = filesystem.open_private(path, create=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            error.filename = path
            listing.problems.append(error)
            continue
        try:
            inode = filesystem.facts_of_directory(descriptor).inode
            if inode in seen:
                continue  # A symbolic link leads there, too.
            seen.add(inode)
            listing.links += _listed(filesystem, descriptor, place, inputs, former_inputs)
        except OSError as error:
            error.filename = path
            listing.problems.append(error)
        finally:
            filesystem.close(descriptor)
    return listing


def decide(
    listing: Listing,
    named: Collection[ListedLink],
    inputs: Sequence[AdoptingInput],
    *,
    chosen: AdoptingInput | None,
    trust_exposed: bool,
    now: float,
) -> list[Decision]:
    """What becomes of the links that an operator names. `chosen`: the input that gets them; None:
    the one whose globs match. `now`: Unix seconds."""
    decisions = [
        _decision(link, inputs, chosen, trust_exposed=trust_exposed, now=now) for link in named
    ]
    adopted = {each.link.entry.path for each in decisions if each.input_id}
    # Who trusts a directory trusts all that is in it.
    untrusted: dict[str, list[str]] = {}
    for link in listing.links:
        path = link.entry.path
        if link.exposed and path not in adopted and link.obstacle is not Obstacle.NOT_A_FILE:
            untrusted.setdefault(link.entry.place, []).append(path)
    return [
        replace(
            each,
            input_id="",
            refused="others could write to this directory, and it has links that are not named: "
            + _shown(untrusted[each.link.entry.place]),
            what_to_do="look at these too, and adopt or remove all of them together: a directory "
            "is trusted as a whole",
        )
        if each.input_id and each.link.exposed and each.link.entry.place in untrusted
        else each
        for each in decisions
    ]


def carry_out(
    filesystem: FileSystem, decisions: Iterable[Decision], inputs: Sequence[AdoptingInput]
) -> list[Decision]:
    """Adopts what is to be adopted; returns what became of each link."""
    owners = {each.input_id: each.owner for each in inputs}
    done: list[Decision] = []
    trusted: set[str] = set()
    for each in decisions:
        if not each.input_id:
            done.append(each)
            continue
        entry = each.link.entry
        try:
            descriptor = filesystem.open_private(os.path.join(entry.place, DIRECTORY), create=False)
            try:
                if each.link.exposed and entry.place not in trusted:
                    # First: a daemon that runs looks at a link as soon as it has its name.
                    filesystem.make_private(descriptor, marked=False)
                    trusted.add(entry.place)
                _rename(filesystem, descriptor, entry, owners[each.input_id])
            finally:
                filesystem.close(descriptor)
        except FileNotFoundError:
            done.append(_refused(each.link, "it is not there any more", "list the links again"))
        except FileExistsError as error:
            done.append(_refused(each.link, str(error), "look at that file, and remove it"))
        except OSError as error:
            done.append(
                _refused(
                    each.link,
                    f"it cannot be renamed: {reason_of(error)}",
                    "run this as the user that shipper runs as, and where it may write",
                )
            )
        else:
            done.append(each)
    return done


def _listed(
    filesystem: FileSystem,
    directory: int,
    place: str,
    inputs: Sequence[AdoptingInput],
    former_inputs: Mapping[OwnerToken, str],
) -> list[ListedLink]:
    facts = filesystem.facts_of_directory(directory)
    exposed = facts.open_to_others or facts.marked
    tokens = {
        token: each for each in inputs for token in (each.owner.token, each.owner.former_token)
    }
    living: dict[OwnerToken, bool] = {}

    def lives(link: LinkName) -> bool:
        if link.owner not in living:
            living[link.owner] = _lives(filesystem, directory, link.owner)
        return living[link.owner]

    def matches(log: str) -> bool:
        return any(each.matches(log) for each in inputs)

    links = []
    # All of them, whatever that takes: an operator asks, and nobody else waits.
    for name in sorted(filesystem.names(directory)):
        try:
            entry = read_entry(filesystem, directory, place, name)
        except FileNotFoundError:
            continue  # A daemon runs, and released it.
        owner = tokens.get(entry.link.owner) if entry.link else None
        matching = [each for each in inputs if each.matches(entry.log)]
        obstacle = obstacle_of(entry, ours=owner is not None, lives=lives, matches=matches)
        knowing = [owner] if owner else matching
        inode = entry.facts.inode
        untrusted = exposed and not (obstacle is None and any(x.is_known(inode) for x in knowing))
        if obstacle is None and untrusted:
            obstacle = Obstacle.EXPOSED
        if owner is not None and obstacle is None:
            continue
        made_for = former_inputs.get(entry.link.owner, "") if entry.link else ""
        if owner is not None:
            made_for = owner.input_id
        input_ids = tuple(each.input_id for each in ([owner] if owner else matching))
        links.append(ListedLink(entry, obstacle, untrusted, input_ids, made_for))
    return links


def _lives(filesystem: FileSystem, directory: int, owner: OwnerToken) -> bool:
    try:
        return filesystem.is_number_locked(directory, lock_number(owner))
    except OSError:
        return not filesystem.is_locked_by_us_alone(directory)


def _decision(
    link: ListedLink,
    inputs: Sequence[AdoptingInput],
    chosen: AdoptingInput | None,
    *,
    trust_exposed: bool,
    now: float,
) -> Decision:
    entry = link.entry
    if link.has_living_owner:
        return _refused(
            link,
            "the shipper that it belongs to is running, and releases it when it is shipped",
            "stop that shipper first if its files are to be shipped by this one",
        )
    if link.obstacle is Obstacle.NOT_A_FILE:
        return _refused(
            link, "it is no regular file of this file system", "look what it is, and remove it"
        )
    if link.exposed and not trust_exposed:
        return _refused(
            link,
            f"others could write to {os.path.dirname(entry.path)}: the link may lead to any file "
            "of the file system, which shipper would read and send",
            "look at the file; if it is a log, add --trust-exposed, otherwise remove the link",
        )
    if chosen is None:
        matching = [each for each in inputs if each.input_id in link.inputs]
        if len(matching) != 1:
            which = f"the globs of {_ids(matching)} match" if matching else "no input's globs match"
            return _refused(
                link,
                f"{which} {entry.log}",
                f"say with --input which input gets it: {_ids(inputs)}",
            )
        [chosen] = matching
    if entry.log.endswith(SUFFIX) and not chosen.reads_gzips:
        return _refused(
            link,
            f"it is a gzip, and input {chosen.input_id} reads none",
            f"set {option('inputs[].compressed')} to true, or choose another input with --input",
        )
    age = now - entry.facts.modified / 1e9
    if chosen.ignore_older and age > chosen.ignore_older and not chosen.is_known(entry.facts.inode):
        return _refused(
            link,
            f"it was last written {age:.0f} s ago, and input {chosen.input_id} skips what is older "
            f"than {chosen.ignore_older:g} s",
            f"remove {option('inputs[].ignore_older')} until it is shipped, or choose another "
            "input with --input",
        )
    return Decision(link, chosen.input_id)


def _rename(filesystem: FileSystem, directory: int, entry: LinkEntry, owner: LinkOwner) -> None:
    """Gives a link the name of one of that owner's, if it is still the file that was listed."""
    now = filesystem.facts_in(directory, entry.name)
    if now.inode != entry.facts.inode or not now.is_regular:
        raise FileNotFoundError(entry.path)
    wanted = link_name(owner.token, now.inode.number, entry.log)
    rename_link(filesystem, directory, entry.name, now.inode, wanted)


def _refused(link: ListedLink, why: str, what_to_do: str) -> Decision:
    return Decision(link, refused=why, what_to_do=what_to_do)


def _ids(inputs: Iterable[AdoptingInput]) -> str:
    return ", ".join(each.input_id for each in inputs)


def _shown(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more
