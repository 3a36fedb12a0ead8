"""Which events an input ships: its rules, compiled once, asked line by line.

Only what is understood is filtered. A line that is no JSON object, is nested too deeply, or has
something else than text where a rule may look is evidence: no rule applies to it.

An event's kind is its first top-level key that is none of those which all events have, so kinds
that a later Tetragon brings need no change here.
"""

import fnmatch
import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from shipper.config.inputs import EventRule, EventsConfig

#: The label of events that none of the rules in `include` matches.
NOT_INCLUDED = "include"

#: What `GetEventsResponse` has beside the event itself (api/v1/tetragon/events.proto).
_NO_KINDS = frozenset({"node_name", "time", "aggregation_info", "cluster_name", "node_labels"})

#: Answers that are remembered: a node runs the same binaries in the same pods over and over. With
#: four rules it takes a third off the 3.5 µs of a line, with more rules more.
_REMEMBERED = 1024

#: For longer lines, in bytes, none is remembered: all of them together take 8 MiB at the very most.
_LONG_LINE = 8192


class _Pod(msgspec.Struct, gc=False):
    namespace: str | None = None
    name: str | None = None


class _Process(msgspec.Struct, gc=False):
    binary: str | None = None
    pod: _Pod | None = None


class _Event(msgspec.Struct, gc=False):
    """What stands under the kind; of other objects nothing."""

    process: _Process | None = None


_NO_POD = _Pod()
_NO_PROCESS = _Process()

# One pass over the line, which builds no more than these few objects: it takes a quarter longer
# than to skip everything, half of what a pass for the kind and one for the rest take.
_decode_line = msgspec.json.Decoder(
    dict[str, _Event | str | float | bool | list[msgspec.Raw] | None]
).decode


@dataclass(frozen=True, slots=True)
class _Rule:
    """The patterns that a rule has; None for a key that it does not give."""

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


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive lines of a file, without their newlines."""

    #: Where the first of them begins.
    offset: int
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class FilteredBlock:
    """Lines taken apart."""

    #: Those to ship.
    runs: Sequence[Run]
    #: How many are not, by the label of the rule.
    filtered: Mapping[str, int]


class EventFilter:
    """The rules of one input."""

    def __init__(self, rules: EventsConfig) -> None:
        self._include = tuple(_Rule.of(rule) for rule in rules.include)
        self._exclude = tuple(zip(rules.exclude_names, map(_Rule.of, rules.exclude), strict=True))
        self._records_of_input = functools.lru_cache(_REMEMBERED)(self._match)

    @property
    def labels(self) -> tuple[str, ...]:
        """All that `refusal` may say."""
        excluding = tuple(label for label, _ in self._exclude)
        return (*excluding, NOT_INCLUDED) if self._include else excluding

    def apply(self, start: int, lines: Iterable[bytes]) -> FilteredBlock:
        """Takes consecutive lines apart, of which the first is at offset `start`."""
        runs: list[Run] = []
        filtered: Counter[str] = Counter()
        refusal = self.refusal
        offset, run_ends = start, -1
        for line in lines:
            rule = refusal(line)
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

    def refusal(self, line: bytes) -> str | None:
        """The label of the rule for which a line is not shipped; None if it is."""
        try:
            members = _decode_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        kind = next((key for key in members if key not in _NO_KINDS), "")
        event = members.get(kind)
        process = (event.process if isinstance(event, _Event) else None) or _NO_PROCESS
        pod = process.pod or _NO_POD
        match = self._match if len(line) > _LONG_LINE else self._records_of_input
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
    """The filter of an input; None if it has no rules, so that nothing is paid for it."""
    return EventFilter(rules) if rules.include or rules.exclude else None


def _compiled(globs: Sequence[str]) -> re.Pattern[str] | None:
    """Any of the globs, the case of letters being heeded; None if there are none."""
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None
