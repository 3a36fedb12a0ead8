"""Matches entries of Filebeat's registry with files on the disk, and decides where each file
starts.

First by key: inode, digest or path. The other entries are then matched by content with the other
files; a match is accepted only if no other is possible.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from shipper.config.inputs import InputConfig
from shipper.filebeat_registry.disk_files import DiskFile, DiskFiles, Fingerprint
from shipper.filebeat_registry.entries import Entry, Kind, Unused, entries_of
from shipper.filebeat_registry.matching import (
    CLOCK_TOLERANCE,
    Match,
    MatchResult,
    already_read,
    by_content,
    match_entry,
    may_belong_to,
)
from shipper.filebeat_registry.store import Store
from shipper.files.filesystem import FileSystem
from shipper.foreign import path_text


class Decision(Struct, frozen=True):
    """Where reading a file starts, for one input."""

    input_id: str
    file: DiskFile
    #: The entry of the file; None if there is none, or none any more.
    entry: Entry | None
    #: None for a file that Filebeat never saw: it is a new file.
    result: MatchResult | None

    @property
    def is_certain(self) -> bool:
        """Whether duplicates are impossible."""
        return self.result is None or self.result.match is not Match.UNSURE


class Plan(Struct):
    """The decisions for all files."""

    store: Store
    decisions: list[Decision] = field(default_factory=list)
    #: Number of keys that are not used, by reason.
    unused: Counter[Unused] = field(default_factory=Counter)
    unreadable: dict[str, OSError] = field(default_factory=dict)


def make_plan(
    store: Store,
    inputs: Sequence[InputConfig],
    fingerprint: Fingerprint,
    filesystem: FileSystem,
) -> Plan:
    """Decides for all files that match the inputs now."""
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
    """Matching for one input."""

    def __init__(
        self, input_id: str, entries: Sequence[Entry], on_disk: DiskFiles, store: Store
    ) -> None:
        self._input_id = input_id
        self._entries = entries
        self._on_disk = on_disk
        self._store = store
        #: Entries with a file, regardless of the decision.
        self.used: list[Entry] = []

    def decide(self) -> list[Decision]:
        accepted: dict[DiskFile, tuple[Entry, MatchResult]] = {}
        rejected: dict[DiskFile, tuple[Entry, MatchResult]] = {}
        unmatched: dict[str, Entry] = {entry.key: entry for entry in self._entries}
        for file, candidates in self._candidates().items():
            for entry in candidates:
                facts = self._on_disk.facts(file, entry)
                if facts is None:
                    continue
                result = match_entry(entry, facts, self._store.written)
                if result.match in (Match.CONTINUE, Match.BEGINNING):
                    # Several entries: of another input, or from before a change of identity.
                    accepted.setdefault(file, (entry, result))
                    self.used.append(entry)
                    unmatched.pop(entry.key, None)
                else:
                    rejected.setdefault(file, (entry, result))
        free = [file for file in self._on_disk.files if file not in accepted]
        accepted.update(self._by_content(free, unmatched.values()))
        decided = rejected | accepted
        self.used += [entry for entry, _ in decided.values()]
        return [
            Decision(self._input_id, file, *decided[file])
            if file in decided
            else Decision(self._input_id, file, None, self._shipped_gzip(file))
            for file in self._on_disk.files
        ]

    def _shipped_gzip(self, file: DiskFile) -> MatchResult | None:
        """The result for a gzip without an entry that was created while Filebeat ran, or None.

        Filebeat removes the key of a deleted file, and does not read gzips unless configured: it
        has read the original file, and shipping the gzip would make duplicates.
        """
        before = file.born is not None and file.born <= self._store.written
        if not (file.compressed and before) or self._store.problems:
            return None
        facts = self._on_disk.facts(file, Entry("", "", Kind.PATH, offset=file.size, ended=True))
        if facts is None or not facts.reaches or facts.line_end != file.size:
            return None
        return already_read(file.size, facts)

    def _candidates(self) -> dict[DiskFile, list[Entry]]:
        """The entries whose key matches, by file, the most likely one first."""
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
            name = path_text(file.path)
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
        self, free: Iterable[DiskFile], unmatched: Iterable[Entry]
    ) -> dict[DiskFile, tuple[Entry, MatchResult]]:
        """Matches by content, for entries without a match by key."""
        places = {os.path.dirname(file.path) for file in self._on_disk.files}
        pairs: list[tuple[DiskFile, Entry, MatchResult]] = []
        for entry in unmatched:
            # Entries of files in other directories are ignored.
            if not entry.offset or os.path.dirname(entry.source) not in places:
                continue
            for file in free:
                if file.begins is not None and file.begins > (entry.updated or 0) + CLOCK_TOLERANCE:
                    continue  # All its lines are later.
                facts = self._on_disk.facts(file, entry)
                if facts is not None and may_belong_to(entry, facts):
                    pairs.append((file, entry, by_content(entry, facts)))
        found = {}
        for file, entry, result in pairs:
            rivals = [each for other, each, _ in pairs if other is file and each is not entry]
            copies = [other for other, each, _ in pairs if each is entry]
            # Copies of a file have the same identity.
            alike = all(other.identity == file.identity for other in copies)
            if alike and all(_yields_to(rival, entry) for rival in rivals):
                found[file] = entry, result
        return found


def _yields_to(rival: Entry, entry: Entry) -> bool:
    """Whether another matching entry has the same offset, or is older with the same path."""
    older = (rival.updated or 0) < (entry.updated or 0) and rival.source == entry.source
    return older or rival.offset == entry.offset


def _in_order(entries: list[Entry], input_id: str) -> list[Entry]:
    """Sorts entries: those of the input first, then the latest. Of two streams of one file, which
    are read together here, the one with the lower offset is first."""
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
