"""The links of all inputs, and the files that they keep.

    followed --link at once--> linked --finished--> pending --commit of its row--> released

A file has its link for as long as it has a name, and after that until the registry says that all of
it is acknowledged: a `kill -9` at any moment finds every byte again that may have to be sent.
"""

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from msgspec import Struct, field

from shipper.files.catalog import Catalog, ClosedFile
from shipper.files.facts import Inode
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem
from shipper.files.foreign_links import ForeignLinks
from shipper.files.globs import directory_of
from shipper.files.link_problems import LinkProblem
from shipper.files.records import SUFFIX
from shipper.files.retention import DIRECTORY, KeptFile, Retention
from shipper.files.steps import Steps
from shipper.files.tail import Tail
from shipper.logs import Log
from shipper.logs.events import KEPT_FILE_ADOPTED, KEPT_FILES_READ_FAILED, LINKS_MISSING


class Keeping(Struct):
    """The links of one input (`links.Links`)."""

    input_id: str
    patterns: Sequence[str]
    catalog: Catalog
    retention: Retention
    #: Whether a file at that path is the input's, if there is one.
    matches: Callable[[str], bool]
    #: How many links to a file are ours, those of other inputs included.
    links_of: Callable[[Inode], int]
    #: Finished files whose links wait for a commit.
    pending: dict[Inode, ClosedFile] = field(default_factory=dict)
    #: Directories whose links were adopted, and did not change since; None before the first scan.
    adopted: set[str] | None = None
    #: Directories that it does not walk, with links of its own or of nobody.
    elsewhere: set[str] = field(default_factory=set)

    def __contains__(self, inode: Inode) -> bool:
        return inode in self.retention

    def keep(self, inode: Inode, path: str, descriptor: int) -> bool:
        return self.retention.keep(inode, path, descriptor)

    def count(self, inode: Inode) -> int:
        return self.links_of(inode)

    def release(self, inode: Inode) -> None:
        self.retention.release(inode)

    def open(self, inode: Inode) -> int:
        return self.retention.open(inode)


class KeptFiles:
    """The links of all inputs."""

    def __init__(
        self, filesystem: FileSystem, *, faults: FileErrors, log: Log, places: Iterable[str] = ()
    ) -> None:
        """`places`: directories of logs in which links may be, although no input may walk them."""
        self._filesystem = filesystem
        self._faults = faults
        self._log = log
        self._inputs: dict[str, Keeping] = {}
        self._places = frozenset(places)
        self._foreign = ForeignLinks(log)
        # Of each `.shipper` that is open its generation, and of each that is not and has foreign
        # links its state, when they were looked at last.
        self._generations: dict[str, int] = {}
        self._states: dict[str, Hashable] = {}
        # How often somebody else was noticed to have changed one.
        self._noticed: Counter[str] = Counter()

    def add(
        self,
        input_id: str,
        patterns: Sequence[str],
        catalog: Catalog,
        retention: Retention,
        matches: Callable[[str], bool],
    ) -> None:
        """Has the files of an input linked from now on, as soon as they are followed."""
        keeping = Keeping(input_id, patterns, catalog, retention, matches, self.links_of)
        self._inputs[input_id] = keeping
        catalog.keep_with(keeping)

    def adopted(self, input_id: str) -> set[str]:
        """The directories of which the links were adopted."""
        return self._inputs[input_id].adopted or set()

    def links_of(self, inode: Inode) -> int:
        """How many links to a file are ours."""
        return sum(inode in each.retention for each in self._inputs.values())

    @property
    def foreign_links(self) -> int:
        """How many links there are that belong to no shipper that runs, and to no input."""
        return self._foreign.count

    def problems(self, input_id: str) -> Mapping[LinkProblem, int]:
        """In how many directories of an input no links can be made, and why."""
        keeping = self._inputs.get(input_id)
        return {} if keeping is None else keeping.retention.problems.counts

    def keep(self, input_id: str, tails: Iterable[Tail]) -> None:
        """Has a link to each of these files, where that is possible."""
        keeping = self._inputs.get(input_id)
        if keeping is not None:
            for tail in tails:
                if tail.descriptor >= 0:
                    keeping.keep(tail.inode, tail.path, tail.descriptor)

    def compare(self, input_id: str) -> None:
        """Makes links again that somebody else removed, as far as the files are not open: those
        `keep` links again."""
        keeping = self._inputs.get(input_id)
        found = None if keeping is None else keeping.retention.reconcile()
        if keeping is None or found is None or not found.missing:
            return
        tails = {tail.inode: tail for tail in keeping.catalog.tails}
        parked = keeping.catalog.parked
        # Who removes a directory with all that is in it removes our links, too.
        needed = [
            inode
            for inode in found.missing
            if inode in parked
            or (
                (tail := tails.get(inode)) is not None
                and (tail.gone is None or not tail.is_acknowledged)
            )
        ]
        places = Counter(found.places[inode] for inode in needed)
        for place, links in sorted(places.items()):
            path = os.path.join(place, DIRECTORY)
            self._faults.links_changed("links_removed")
            self._log.emit(
                LINKS_MISSING,
                key=f"links:{input_id}:{path}",
                path=path,
                input=input_id,
                links=links,
            )
        paths = {inode: tail.path for inode, tail in tails.items()}
        paths.update({inode: closed.path for inode, closed in keeping.pending.items()})
        paths.update({inode: parked.path(inode) for inode in found.missing if inode in parked})
        for inode, descriptor in found.rescued.items():
            if inode in paths:
                keeping.retention.keep(inode, paths[inode], descriptor)
            self._filesystem.close(descriptor)
        for inode in found.missing:
            if inode not in keeping.retention:
                keeping.pending.pop(inode, None)
                keeping.catalog.unlinked(inode)

    def adopting(self, input_id: str, directories: Iterable[str]) -> Steps[list[Inode]]:
        """Follows again what an earlier process kept beside the logs, or what an operator gave to
        the input: once for each directory, and again when somebody else changed the names in its
        `.shipper`. Returns what is followed since: it is parked. `directories`: those that were
        walked."""
        keeping = self._inputs.get(input_id)
        if keeping is None:
            return []
        self._notice_changes(keeping.retention)
        adopted: list[Inode] = []
        walked = set(directories)
        places = walked | keeping.elsewhere
        if keeping.adopted is None:
            if all(each.adopted is None for each in self._inputs.values()):
                places |= self._places
            keeping.adopted = set()
            places.update(directory_of(pattern) for pattern in keeping.patterns)
            places.update(os.path.dirname(path) for path in keeping.catalog.records.paths)
        else:
            keeping.adopted &= places  # One that went and comes again is another directory.
            keeping.adopted -= keeping.retention.replaced()
        for place in sorted(places - keeping.adopted):
            noticed = self._noticed[place]
            try:
                # Before it is looked at: what changes after that is noticed.
                self._states[place] = keeping.retention.state_of(place)
                yield from self._adopt(keeping, place, adopted, is_walked=place in walked)
            except FileNotFoundError:
                self._foreign.found(place, input_id, ())  # Nothing is kept there.
            except OSError as error:
                self._faults.report(KEPT_FILES_READ_FAILED, error, os.path.join(place, DIRECTORY))
                continue
            if self._noticed[place] == noticed:  # In the steps that it took.
                keeping.adopted.add(place)
        if all(each.adopted is not None for each in self._inputs.values()):
            self._foreign.say()
        return adopted

    def finished(self, input_id: str, closed: ClosedFile) -> None:
        """The file is closed. Its link waits for the commit that says so."""
        keeping = self._inputs.get(input_id)
        if keeping is None or closed.inode is None or closed.inode not in keeping.retention:
            return  # Without a link its inode may be another file's by then.
        keeping.pending[closed.inode] = closed
        row = closed.row
        if closed.stored is None or row is None or keeping.catalog.records.is_committed(row):
            self._settle(keeping, closed.inode, closed)

    def committed(self, input_id: str) -> None:
        """The registry was written: releases what it says is finished."""
        keeping = self._inputs.get(input_id)
        if keeping is None:
            return
        for inode, closed in list(keeping.pending.items()):
            if closed.row is None or keeping.catalog.records.is_committed(closed.row):
                self._settle(keeping, inode, closed)
        self.leave_empty()

    def leave_empty(self) -> None:
        """Gives up each `.shipper` in which nothing is kept and beside which nothing is followed,
        so that the directory of the logs can be removed."""
        retention = next((each.retention for each in self._inputs.values()), None)
        empty = retention.without_links() if retention is not None else []
        if retention is None or not empty:
            return
        used = {
            os.path.dirname(tail.path)
            for each in self._inputs.values()
            for tail in each.catalog.tails
            if tail.descriptor >= 0 and tail.gone is None
        }
        for place in empty:
            if place not in used:
                retention.leave(place)

    def _settle(self, keeping: Keeping, inode: Inode, closed: ClosedFile) -> None:
        """Releases a finished file, unless something was written to it since it was closed."""
        del keeping.pending[inode]
        if keeping.catalog.follows(inode):
            return  # It is back, and is followed.
        try:
            grown = closed.stored is None or keeping.retention.size(inode) != closed.stored
            if grown and not closed.for_good:
                descriptor = keeping.retention.open(inode)
                keeping.catalog.adopt(inode, closed.path, descriptor, compressed=closed.compressed)
                return
        except KeyError:
            return  # It never had one, or somebody removed it.
        except OSError:
            pass  # Its link is not there any more.
        keeping.retention.release(inode)

    def _notice_changes(self, retention: Retention) -> None:
        """Has all inputs look again into each `.shipper` that somebody else may have changed."""
        generations = retention.generations()
        changed = {
            place
            for place, generation in generations.items()
            if self._generations.get(place) != generation
        }
        changed |= self._generations.keys() - generations.keys()
        self._generations = generations
        states: dict[str, Hashable] = {}
        for place in self._foreign.places:
            if place in generations:
                states[place] = self._states.get(place)
                continue
            try:
                states[place] = retention.state_of(place)
            except FileNotFoundError:
                self._foreign.forget(place)
                changed.add(place)
                continue
            except OSError:
                states[place] = None  # What it is, is said by who adopts there.
            if self._states.get(place) != states[place]:
                changed.add(place)
        self._states = states
        self._noticed.update(changed)
        for each in self._inputs.values():
            if each.adopted is not None:
                each.adopted -= changed

    def _adopt(
        self, keeping: Keeping, place: str, adopted: list[Inode], *, is_walked: bool
    ) -> Steps[None]:
        """Adds to `adopted` what is followed since."""
        kept = False

        def follow(link: KeptFile) -> None:
            nonlocal kept
            kept = True
            if link.inode in keeping.pending:
                return
            compressed = link.path.endswith(SUFFIX)
            if keeping.catalog.keep_parked(link.inode, link.path, link.size, compressed=compressed):
                adopted.append(link.inode)
                self._log.emit(KEPT_FILE_ADOPTED, path=link.path)

        found = yield from keeping.retention.adopting(
            place,
            matches=keeping.matches,
            is_known=keeping.catalog.knows,
            is_followed=lambda inode: inode in keeping.pending or keeping.catalog.follows(inode),
            follow=follow,
        )
        for each in self._inputs.values():
            if each.retention.tokens & found.of_inputs:
                each.elsewhere.add(place)
        if not is_walked and (found.foreign or kept):
            keeping.elsewhere.add(place)
        self._foreign.found(place, keeping.input_id, found.foreign)
