"""Selects the events that an input ships, by its rules.

Only valid events are filtered. No rule applies to a line that is not a JSON object, is nested too
deeply, or has a value of another type in a field of the rules: it is shipped.

The kind of an event is its first top-level key that not all events have. So new kinds of later
Tetragon versions need no change here.
"""

import fnmatch
import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from shipper.config.inputs import EventRule, EventsConfig

#: The label of events that match no rule in `include`.
NOT_INCLUDED = "include"

#: Other keys of `GetEventsResponse` (api/v1/tetragon/events.proto).
_NO_KINDS = frozenset({"node_name", "time", "aggregation_info", "cluster_name", "node_labels"})

#: Cached results, as a node runs the same binaries in the same pods repeatedly. With four rules the
#: cache saves a third of the 3.5 µs of a line; with more rules, more.
_CACHE_SIZE = 1024

#: Longer lines (bytes) are not cached: the cache takes 8 MiB at most.
_MAX_CACHED_LINE = 8192


class _Pod(msgspec.Struct, gc=False):
    namespace: str | None = None
    name: str | None = None


class _Process(msgspec.Struct, gc=False):
    binary: str | None = None
    pod: _Pod | None = None


class _Event(msgspec.Struct, gc=False):
    """The content of a kind; other objects have no such fields."""

    process: _Process | None = None


_NO_POD = _Pod()
_NO_PROCESS = _Process()

# One pass over the line that builds these few objects only: it takes a quarter longer than skipping
# everything, and half of the time of two passes.
_decode_line = msgspec.json.Decoder(
    dict[str, _Event | str | float | bool | list[msgspec.Raw] | None]
).decode


class _Rule(msgspec.Struct, frozen=True):
    """The patterns of a rule; None for a key that it does not have."""

    kind: re.Pattern[str] | None
    namespace: re.Pattern[str] | None
    pod: re.Pattern[str] | None
    binary: re.Pattern[str] | None

    @classmethod
    def of(cls, rule: EventRule) -> "_Rule":
        return cls(
            _compiled(rule.type),
            _compiled(rule.namespace),
            _compiled(rule.pod),
            _compiled(rule.binary),
        )

    def matches(self, kind: str, namespace: str, pod: str, binary: str) -> bool:
        return (
            (self.kind is None or self.kind.match(kind) is not None)
            and (self.namespace is None or self.namespace.match(namespace) is not None)
            and (self.pod is None or self.pod.match(pod) is not None)
            and (self.binary is None or self.binary.match(binary) is not None)
        )


class Run(msgspec.Struct, frozen=True):
    """Consecutive lines of a file, without their newlines."""

    #: The offset of the first line.
    offset: int
    lines: list[bytes]


class FilteredBlock(msgspec.Struct, frozen=True):
    """The result for a block of lines."""

    #: Lines to ship.
    runs: Sequence[Run]
    #: Number of the other lines, by label of the rule.
    filtered: Mapping[str, int]


class EventFilter:
    """The rules of one input."""

    def __init__(self, rules: EventsConfig) -> None:
        self._include = tuple(_Rule.of(rule) for rule in rules.include)
        self._exclude = tuple(zip(rules.exclude_names, map(_Rule.of, rules.exclude), strict=True))
        self._cached_match = functools.lru_cache(_CACHE_SIZE)(self._match)

    @property
    def labels(self) -> tuple[str, ...]:
        """All possible results of `excluding_rule`."""
        excluding = tuple(label for label, _ in self._exclude)
        return (*excluding, NOT_INCLUDED) if self._include else excluding

    def apply(self, start: int, lines: Iterable[bytes]) -> FilteredBlock:
        """Filters consecutive lines; the first one is at offset `start`."""
        runs: list[Run] = []
        filtered: Counter[str] = Counter()
        excluding_rule = self.excluding_rule
        offset, run_ends = start, -1
        for line in lines:
            rule = excluding_rule(line)
            end = offset + len(line) + 1
            if rule is not None:
                filtered[rule] += 1
            elif offset == run_ends:
                runs[-1].lines.append(line)
                run_ends = end
            else:
                runs.append(Run(offset, [line]))
                run_ends = end
            offset = end
        return FilteredBlock(runs, filtered)

    def excluding_rule(self, line: bytes) -> str | None:
        """The label of the rule that excludes a line; None if the line is shipped."""
        try:
            members = _decode_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        kind = next((key for key in members if key not in _NO_KINDS), "")
        event = members.get(kind)
        process = (event.process if isinstance(event, _Event) else None) or _NO_PROCESS
        pod = process.pod or _NO_POD
        match = self._match if len(line) > _MAX_CACHED_LINE else self._cached_match
        return match(kind, pod.namespace or "", pod.name or "", process.binary or "")

    def _match(self, kind: str, namespace: str, pod: str, binary: str) -> str | None:
        for label, rule in self._exclude:
            if rule.matches(kind, namespace, pod, binary):
                return label
        if not self._include:
            return None
        included = any(rule.matches(kind, namespace, pod, binary) for rule in self._include)
        return None if included else NOT_INCLUDED


def filter_of(rules: EventsConfig) -> EventFilter | None:
    """The filter of an input; None without rules, so that there is no cost."""
    return EventFilter(rules) if rules.include or rules.exclude else None


def _compiled(globs: Sequence[str]) -> re.Pattern[str] | None:
    """A pattern for any of the globs, case-sensitive; None without globs."""
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None
