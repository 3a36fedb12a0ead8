"""The links of all inputs, and the files that they keep.

    followed --link at once--> linked --finished--> pending --commit of its row--> released

A file has its link for as long as it has a name, and after that until the registry says that all of
it is acknowledged: a `kill -9` at any moment finds every byte again that may have to be sent.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from shipper.files.catalog import Catalog, ClosedFile
from shipper.files.faults import FileErrors
from shipper.files.filesystem import FileSystem, Inode
from shipper.files.records import SUFFIX
from shipper.files.retention import ForeignLink, Retention
from shipper.files.tail import Tail
from shipper.files.walk import directory_of
from shipper.logs import Log
from shipper.logs.events import (
    FOREIGN_LINKS,
    KEPT_FILE_ADOPTED,
    KEPT_FILES_READ_FAILED,
    LINKS_MISSING,
)


@dataclass(slots=True)
class Keeping:
    """The links of one input."""

    input_id: str
    patterns: Sequence[str]
    catalog: Catalog
    retention: Retention
    #: Whether a file at that path is the input's, if there is one.
    matches: Callable[[str], bool]
    #: Finished files whose links wait for a commit.
    pending: dict[Inode, ClosedFile] = field(default_factory=dict)
    #: Directories whose links were adopted; None before the first scan.
    adopted: set[str] | None = None


class KeptFiles:
    """The links of all inputs."""

    def __init__(self, filesystem: FileSystem, *, faults: FileErrors, log: Log) -> None:
        self._filesystem = filesystem
        self._faults = faults
        self._log = log
        self._inputs: dict[str, Keeping] = {}
        # Of each directory, by their paths.
        self._foreign: dict[str, dict[str, ForeignLink]] = {}
        self._foreign_said: set[str] = set()

    def add(
        self,
        input_id: str,
        patterns: Sequence[str],
        catalog: Catalog,
        retention: Retention,
        matches: Callable[[str], bool],
    ) -> None:
        """Has the files of an input linked from now on, as soon as they are followed."""
        keeping = Keeping(input_id, patterns, catalog, retention, matches)
        self._inputs[input_id] = keeping
        catalog.keep_with(lambda tail: self._keep(keeping, tail), self.links_of)

    def adopted(self, input_id: str) -> set[str]:
        """The directories of which the links were adopted."""
        return self._inputs[input_id].adopted or set()

    def links_of(self, inode: Inode) -> int:
        """How many links to a file are ours."""
        return sum(inode in each.retention for each in self._inputs.values())

    @property
    def foreign_links(self) -> int:
        """How many links there are that belong to no shipper that runs, and to no input."""
        return sum(len(links) for links in self._foreign.values())

    def keep(self, input_id: str, tails: Iterable[Tail]) -> None:
        """Has a link to each of these files, where that is possible."""
        keeping = self._inputs.get(input_id)
        if keeping is not None:
            for tail in tails:
                self._keep(keeping, tail)

    def compare(self, input_id: str) -> None:
        """Makes links again that somebody else removed, as far as the files are not open: those
        `keep` links again."""
        keeping = self._inputs.get(input_id)
        found = None if keeping is None else keeping.retention.reconcile()
        if keeping is None or found is None or not found.missing:
            return
        tails = {tail.inode: tail for tail in keeping.catalog.tails}
        needed = [
            tail
            for tail in map(tails.get, found.missing)
            # Who removes a directory with all that is in it removes our links, too.
            if tail is not None and (tail.gone is None or not tail.is_acknowledged)
        ]
        if needed:
            self._log.emit(
                LINKS_MISSING, key=f"links:{input_id}", input=input_id, links=len(needed)
            )
        paths = {inode: tail.path for inode, tail in tails.items()}
        paths.update({inode: closed.path for inode, closed in keeping.pending.items()})
        for inode, descriptor in found.rescued.items():
            if inode in paths:
                keeping.retention.keep(inode, paths[inode], descriptor)
            self._filesystem.close(descriptor)

    def adopt(self, input_id: str, directories: Iterable[str]) -> list[Tail]:
        """Follows again what an earlier process kept beside the logs, once for each directory;
        returns what is followed. `directories`: those that were walked."""
        keeping = self._inputs.get(input_id)
        if keeping is None:
            return []
        adopted: list[Tail] = []
        places = set(directories)
        if keeping.adopted is None:
            keeping.adopted = set()
            places.update(directory_of(pattern) for pattern in keeping.patterns)
            places.update(os.path.dirname(path) for path in keeping.catalog.records.paths)
        else:
            keeping.adopted &= places  # One that went and comes again is another directory.
            keeping.adopted -= keeping.retention.replaced()
        for place in sorted(places - keeping.adopted):
            try:
                adopted += self._adopt(keeping, place)
            except FileNotFoundError:
                pass  # Nothing was ever kept there.
            except OSError as error:
                error.filename = error.filename or place
                self._faults.report(KEPT_FILES_READ_FAILED, error)
                continue
            keeping.adopted.add(place)
        self._say_foreign()
        return adopted

    def finished(self, input_id: str, closed: ClosedFile) -> None:
        """The file is closed. Its link waits for the commit that says so."""
        keeping = self._inputs.get(input_id)
        if keeping is None or closed.inode is None:
            return
        keeping.pending[closed.inode] = closed
        row = closed.row
        if closed.stored is None or row is None or keeping.catalog.records.is_committed(row):
            self._settle(keeping, closed.inode, closed)

    def committed(self, input_id: str) -> None:
        """The registry was written: releases what it says is done."""
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

    def _keep(self, keeping: Keeping, tail: Tail) -> None:
        if tail.descriptor >= 0:
            keeping.retention.keep(tail.inode, tail.path, tail.descriptor)

    def _settle(self, keeping: Keeping, inode: Inode, closed: ClosedFile) -> None:
        """Releases a file that is done, unless something was written to it since it was closed."""
        del keeping.pending[inode]
        if keeping.catalog.with_inode(inode) is not None:
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

    def _adopt(self, keeping: Keeping, place: str) -> list[Tail]:
        found = keeping.retention.adopt(
            place, matches=keeping.matches, is_known=keeping.catalog.records.has_inode
        )
        adopted = []
        for link in found.kept:
            compressed = link.path.endswith(SUFFIX)
            tail = keeping.catalog.adopt(
                link.inode, link.path, link.descriptor, compressed=compressed
            )
            if tail is not None:
                adopted.append(tail)
                self._log.emit(KEPT_FILE_ADOPTED, path=link.path)
        # What was foreign to one input may have been adopted by another.
        before = self._foreign.pop(place, {})
        foreign = {path: link for path, link in before.items() if os.path.lexists(path)}
        foreign.update({link.path: link for link in found.foreign if not link.has_living_owner})
        if foreign:
            self._foreign[place] = foreign
        return adopted

    def _say_foreign(self) -> None:
        """Warns of each directory once, as soon as all inputs had a look."""
        if any(each.adopted is None for each in self._inputs.values()):
            return
        for place, links in self._foreign.items():
            if place not in self._foreign_said:
                self._foreign_said.add(place)
                self._log.emit(
                    FOREIGN_LINKS,
                    path=place,
                    links=len(links),
                    bytes=sum(link.size for link in links.values()),
                    hint="have an input match the names of these logs, or remove the links",
                )
