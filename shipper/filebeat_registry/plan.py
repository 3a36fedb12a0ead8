"""What becomes of each file: entries of Filebeat's registry against the files on the disk.

First by key: the inode, the digest or the path. An entry whose file is not where its key says is
then looked for by content, among the files that no entry is of; only where one pair is possible,
and no other, is it taken.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shipper.config.inputs import InputConfig
from shipper.filebeat_registry.disk_files import DiskFile, DiskFiles, Fingerprint
from shipper.filebeat_registry.entries import Entry, Kind, Unused, entries_of
from shipper.filebeat_registry.matching import (
    CLOCK_TOLERANCE,
    Match,
    MatchResult,
    by_content,
    done,
    is_of,
    match_entry,
)
from shipper.filebeat_registry.store import Store
from shipper.files.filesystem import FileSystem


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one file begins to be read for one input."""

    input_id: str
    file: DiskFile
    #: What Filebeat knows of it; None: nothing, any more.
    entry: Entry | None
    #: None for a file that Filebeat never saw: it is new to us, too.
    result: MatchResult | None

    @property
    def is_certain(self) -> bool:
        """Whether it is known that nothing is sent a second time."""
        return self.result is None or self.result.match is not Match.UNSURE


@dataclass(slots=True)
class Plan:
    """All of it."""

    store: Store
    decisions: list[Decision] = field(default_factory=list)
    #: How many keys say nothing of a file.
    unused: Counter[Unused] = field(default_factory=Counter)
    unreadable: dict[str, OSError] = field(default_factory=dict)


def make_plan(
    store: Store,
    inputs: Sequence[InputConfig],
    fingerprint: Fingerprint,
    filesystem: FileSystem,
) -> Plan:
    """Decides for all files that the inputs match now."""
    entries, unused = entries_of(store.values)
    plan = Plan(store, unused=unused)
    used: set[str] = set()
    for settings in inputs:
        on_disk = DiskFiles(filesystem, settings, fingerprint)
        others = {other.id for other in inputs} - {settings.id}
        mine = [entry for entry in entries if entry.input_id not in others]
        matching = _Matching(settings.id, mine, on_disk, store)
        plan.decisions += matching.decide()
        plan.unreadable.update(on_disk.unreadable)
        used.update(entry.key for entry in matching.used)
    lost = sum(entry.key not in used for entry in entries)
    if lost:
        plan.unused[Unused.NO_FILE] += lost
    return plan


class _Matching:
    """The files of one input."""

    def __init__(
        self, input_id: str, entries: Sequence[Entry], on_disk: DiskFiles, store: Store
    ) -> None:
        self._input_id = input_id
        self._entries = entries
        self._on_disk = on_disk
        self._store = store
        #: The entries that a file was found for, whatever was decided.
        self.used: list[Entry] = []

    def decide(self) -> list[Decision]:
        taken: dict[DiskFile, tuple[Entry, MatchResult]] = {}
        refused: dict[DiskFile, tuple[Entry, MatchResult]] = {}
        astray: dict[str, Entry] = {entry.key: entry for entry in self._entries}
        for file, candidates in self._candidates().items():
            for entry in candidates:
                facts = self._on_disk.facts(file, entry)
                if facts is None:
                    continue
                result = match_entry(entry, facts, self._store.written)
                if result.match in (Match.CONTINUE, Match.BEGINNING):
                    # More than one: of another input, or from before the identity was changed.
                    taken.setdefault(file, (entry, result))
                    self.used.append(entry)
                    astray.pop(entry.key, None)
                else:
                    refused.setdefault(file, (entry, result))
        free = [file for file in self._on_disk.files if file not in taken]
        taken.update(self._by_content(free, astray.values()))
        decided = refused | taken
        self.used += [entry for entry, _ in decided.values()]
        return [
            Decision(self._input_id, file, *decided[file])
            if file in decided
            else Decision(self._input_id, file, None, self._shipped_gzip(file))
            for file in self._on_disk.files
        ]

    def _shipped_gzip(self, file: DiskFile) -> MatchResult | None:
        """Whether a gzip that no entry is of was made while Filebeat ran.

        Filebeat removes the key of a file as soon as it sees that it is gone, and reads no gzips
        that it is not told to: what is in this one was its own, and shipping it would double it.
        """
        before = file.born is not None and file.born <= self._store.written
        if not (file.compressed and before) or self._store.problems:
            return None
        facts = self._on_disk.facts(file, Entry("", "", Kind.PATH, offset=file.size, ended=True))
        if facts is None or not facts.reaches or facts.line_end != file.size:
            return None
        return done(file.size, facts)

    def _candidates(self) -> dict[DiskFile, list[Entry]]:
        """The entries whose key fits each file, the likeliest first."""
        at_inode: dict[int, list[Entry]] = {}
        at_path: dict[str, list[Entry]] = {}
        by_digest: dict[str, list[Entry]] = {}
        of_short_files: list[Entry] = []
        for entry in self._entries:
            match entry.kind:
                case Kind.NATIVE | Kind.INODE_MARKER:
                    at_inode.setdefault(entry.inode, []).append(entry)
                case Kind.PATH:
                    at_path.setdefault(entry.value, []).append(entry)
                case Kind.FINGERPRINT:
                    by_digest.setdefault(entry.value, []).append(entry)
                    if entry.covered is not None:
                        of_short_files.append(entry)
        candidates = {}
        for file in self._on_disk.files:
            fitting = [
                entry
                for entry in at_inode.get(file.inode.number, ())
                if entry.device in (None, file.inode.device)
            ]
            name = os.fsencode(file.path).decode("utf-8", "replace")
            fitting += at_path.get(name, ())
            digested = by_digest.get(file.digest, [])
            fitting += digested
            fitting += [
                entry
                for entry in of_short_files
                if entry not in digested and self._on_disk.begins_like(file, entry)
            ]
            if fitting:
                candidates[file] = _in_order(fitting, self._input_id)
        return candidates

    def _by_content(
        self, free: Iterable[DiskFile], astray: Iterable[Entry]
    ) -> dict[DiskFile, tuple[Entry, MatchResult]]:
        """Files that entries are of whose key does not lead to them."""
        places = {os.path.dirname(file.path) for file in self._on_disk.files}
        pairs: list[tuple[DiskFile, Entry, MatchResult]] = []
        for entry in astray:
            # What was read elsewhere is not looked for here.
            if not entry.offset or os.path.dirname(entry.source) not in places:
                continue
            for file in free:
                if file.begins is not None and file.begins > (entry.updated or 0) + CLOCK_TOLERANCE:
                    continue  # All of it is later.
                facts = self._on_disk.facts(file, entry)
                if facts is not None and is_of(entry, facts):
                    pairs.append((file, entry, by_content(entry, facts)))
        found = {}
        for file, entry, result in pairs:
            rivals = [each for other, each, _ in pairs if other is file and each is not entry]
            copies = [other for other, each, _ in pairs if each is entry]
            # A copy of a file begins like it.
            alike = all(other.identity == file.identity for other in copies)
            if alike and all(_gives_way(rival, entry) for rival in rivals):
                found[file] = entry, result
        return found


def _gives_way(rival: Entry, entry: Entry) -> bool:
    """Whether another entry that fits a file as well says the same, or the same of earlier."""
    older = (rival.updated or 0) < (entry.updated or 0) and rival.source == entry.source
    return older or rival.offset == entry.offset


def _in_order(entries: list[Entry], input_id: str) -> list[Entry]:
    """The entries of the input itself first, then what Filebeat wrote last. Of two streams of one
    file, which are read as one here, the one that is behind."""
    entries.sort(
        key=lambda entry: (entry.input_id != input_id, -(entry.updated or 0), entry.offset or 0)
    )
    best = entries[0]
    if best.stream:
        streams = [each for each in entries if each.stream and each.input_id == best.input_id]
        behind = min(streams, key=lambda entry: entry.offset or 0)
        entries.remove(behind)
        entries.insert(0, behind)
    return entries
