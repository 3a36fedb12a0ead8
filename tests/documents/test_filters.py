"""Which events are shipped: the rules, against a slow twin; what is left of a block."""

from __future__ import annotations

import fnmatch
import json
import random
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from shipper.config.inputs import EventRule, EventsConfig, ExcludeRule, OnInvalid
from shipper.demo.events import KINDS, EventSource
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded
from shipper.documents.filters import EventFilter, filter_of
from shipper.files.facts import Inode
from shipper.files.identity import Identity

TIME = "2026-11-24T04:32:37.123456789Z"
EVENT_TIME = 1_795_000_000_123_456_789
NOW = 1_764_000_000.25


def event(
    kind: str = "process_exec",
    *,
    namespace: str | None = None,
    pod: str | None = None,
    binary: str | None = None,
) -> bytes:
    """Return an event that has what is given, and no pod if neither of its names is."""
    names = {key: text for key, text in {"namespace": namespace, "name": pod}.items() if text}
    process: dict[str, object] = {"pid": 1}
    if binary is not None:
        process["binary"] = binary
    if names:
        process["pod"] = names
    content = {"process": process, "parent": {"binary": "/parent", "pod": {"name": "parent"}}}
    return json.dumps({kind: content, "node_name": "worker-1", "time": TIME}).encode()


def configured(
    include: Sequence[dict[str, Any]] = (), exclude: Sequence[dict[str, Any]] = ()
) -> EventsConfig:
    return msgspec.convert({"include": include, "exclude": exclude}, EventsConfig)


def made(
    include: Sequence[dict[str, Any]] = (), exclude: Sequence[dict[str, Any]] = ()
) -> EventFilter:
    found = filter_of(configured(include, exclude))
    assert found is not None
    return found


def excluded(line: bytes, **rule: list[str]) -> bool:
    """Whether one rule in `exclude` matches; a rule in `include` does when this one does."""
    by_exclude = made(exclude=[rule]).excluding_rule(line)
    by_include = made(include=[rule]).excluding_rule(line)
    assert (by_exclude, by_include) in {("exclude[0]", None), (None, "include")}
    return by_exclude is not None


# Rules --------------------------------------------------------------------------------------------


COREDNS = event(namespace="kube-system", pod="coredns-7d9f8b6c5-6866a", binary="/usr/bin/coredns")
OF_HOST = event("process_exit", binary="/usr/sbin/sshd")


@pytest.mark.parametrize(
    ("line", "rule", "matches"),
    [
        (COREDNS, {"type": ["process_exec"]}, True),
        (COREDNS, {"type": ["process_exit"]}, False),
        (COREDNS, {"type": ["exec"]}, False),
        (COREDNS, {"type": ["process_e*"]}, True),
        (COREDNS, {"type": ["Process_Exec"]}, False),
        (COREDNS, {"type": ["process_exit", "process_exec"]}, True),
        (COREDNS, {"namespace": ["kube-system"]}, True),
        (COREDNS, {"namespace": ["kube-*"]}, True),
        (COREDNS, {"namespace": ["kube"]}, False),
        (COREDNS, {"namespace": ["system"]}, False),
        (COREDNS, {"pod": ["coredns-*"]}, True),
        (COREDNS, {"pod": ["*-[0-9]*[a-z]"]}, True),
        (COREDNS, {"pod": ["coredns-?"]}, False),
        (COREDNS, {"pod": ["kube-system"]}, False),
        (COREDNS, {"binary": ["/usr/bin/*"]}, True),
        (COREDNS, {"binary": ["/usr/*"]}, True),
        (COREDNS, {"binary": ["*/coredns"]}, True),
        (COREDNS, {"binary": ["/usr/bin/[!c]*"]}, False),
        (COREDNS, {"binary": ["/parent"]}, False),
        (COREDNS, {"namespace": ["kube-system"], "pod": ["coredns-*"]}, True),
        (COREDNS, {"namespace": ["default"], "pod": ["coredns-*"]}, False),
        (COREDNS, {"type": ["process_exit"], "binary": ["*"]}, False),
        (COREDNS, {"type": ["*"], "namespace": ["*"], "pod": ["*"], "binary": ["*"]}, True),
        (OF_HOST, {"namespace": ["*"]}, True),
        (OF_HOST, {"namespace": [""]}, True),
        (OF_HOST, {"namespace": ["?*"]}, False),
        (OF_HOST, {"pod": ["*"], "binary": ["*/sshd"]}, True),
        (OF_HOST, {"pod": ["?*"], "binary": ["*/sshd"]}, False),
        (COREDNS, {"namespace": [""]}, False),
        (event(), {"binary": [""]}, True),
        (event(), {"binary": ["?*"]}, False),
        (event(pod="a"), {"namespace": [""], "pod": ["a"]}, True),
        (event(namespace="a"), {"namespace": ["a"], "pod": [""]}, True),
        (event(binary="/a\nb"), {"binary": ["/a?b"]}, True),
        (event(binary="/a\n"), {"binary": ["/a"]}, False),
        (event(binary="/naïve/日本"), {"binary": ["/naïve/??"]}, True),
        (event(binary="/a.b+c"), {"binary": ["/a.b+c"]}, True),
        (event(binary="/axb+c"), {"binary": ["/a.b+c"]}, False),
        (event(binary="a|b"), {"binary": ["a", "b"]}, False),
    ],
)
def test_a_rule_matches_if_any_glob_of_each_of_its_keys_does(
    line: bytes, rule: dict[str, list[str]], matches: bool
) -> None:
    assert excluded(line, **rule) is matches


@pytest.mark.parametrize("kind", [*KINDS, "process_teleport", "process", "ünknown kind"])
def test_the_kind_of_an_event_is_its_key_also_if_no_version_has_it_yet(kind: str) -> None:
    assert excluded(event(kind, binary="/a"), type=[kind], binary=["/a"])
    assert not excluded(event(kind, binary="/a"), type=["another"])
    assert not excluded(event(kind, binary="/a"), type=[kind], binary=["/b"])


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_real_event_is_found(kind: str) -> None:
    line = EventSource(random.Random(3)).line_of(kind, 7, EVENT_TIME)
    process = json.loads(line)[kind].get("process", {})
    pod = process.get("pod", {})
    rule = {
        "type": [kind],
        "binary": [process.get("binary", "")],
        "namespace": [pod.get("namespace", "")],
        "pod": [pod.get("name", "")],
    }
    assert excluded(line, **rule)
    for key in rule:
        assert not excluded(line, **{**rule, key: ["something else"]})


@pytest.mark.parametrize(
    "line",
    [
        b'{"time":"T","node_name":"n","cluster_name":"c","test":{}}',
        b'{"node_labels":{"process":{"binary":"/a"}},"test":{}}',
        b'{"aggregation_info":{"count":"5"},"test":{"process":null}}',
        b'{"test":{"process":{"pod":null,"binary":null}},"time":"T"}',
        b'{"test":null}',
        b'{"test":[1,{"process":{}}],"number":1.5,"yes":true}',
        b' {"test" : "text"} ',
        b'{"test":{}}\r',
    ],
)
def test_the_kind_is_the_first_key_that_not_all_events_have(line: bytes) -> None:
    assert excluded(line, type=["test"], namespace=[""], pod=[""], binary=[""])


@pytest.mark.parametrize("line", [b"{}", b'{"time":"T","node_name":"n"}'])
def test_an_object_that_is_no_event_is_of_the_kind_without_a_name(line: bytes) -> None:
    assert excluded(line, type=[""])
    assert not excluded(line, type=["?*"])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"  \t",
        b"\r",
        b"level=info msg=started",
        b'{"process_exec":{"process":{"binary":"/a"',
        b"{}{}",
        b"[]",
        b'["process_exec"]',
        b"null",
        b'"process_exec"',
        b"7",
        b'{"process_exec":{"process":"/a"}}',
        b'{"process_exec":{"process":{"binary":7}}}',
        b'{"process_exec":{"process":{"pod":["a"]}}}',
        b'{"process_exec":{"process":{"binary":"/\xff"}}}',
        b'{"process_exec":' + b"[" * 100_000,
        b'{"process_exec":{"a":' + b"[" * 5000 + b"]" * 5000 + b"}}",
    ],
)
def test_no_rule_applies_to_a_line_that_is_not_understood(line: bytes) -> None:
    everything = {"type": ["*"]}
    nothing = {"type": ["no such kind"]}
    assert made(exclude=[everything]).excluding_rule(line) is None
    assert made(include=[nothing]).excluding_rule(line) is None


def test_bytes_that_are_not_utf8_elsewhere_in_an_event_do_not_matter() -> None:
    assert excluded(b'{"test":{"arg0":"\xff"},"time":"T"}', type=["test"])


# Several rules ------------------------------------------------------------------------------------


def test_exclude_wins_over_include() -> None:
    events = made(
        include=[{"namespace": ["prod"]}, {"type": ["process_kprobe"]}],
        exclude=[{"binary": ["*/pause"]}],
    )
    assert events.excluding_rule(event(namespace="prod", binary="/app")) is None
    assert events.excluding_rule(event("process_kprobe", binary="/app")) is None
    assert events.excluding_rule(event(namespace="prod", binary="/pause")) == "exclude[0]"
    assert events.excluding_rule(event(namespace="dev", binary="/pause")) == "exclude[0]"
    assert events.excluding_rule(event(namespace="dev", binary="/app")) == "include"


def test_the_first_rule_that_matches_is_the_one_that_counts() -> None:
    events = made(
        exclude=[
            {"type": ["process_exit"]},
            {"namespace": ["kube-system"], "name": "system"},
            {"type": ["process_*"], "binary": ["/bin/*"]},
        ]
    )
    assert events.labels == ("exclude[0]", "system", "exclude[2]")
    assert events.excluding_rule(event("process_exit", namespace="kube-system")) == "exclude[0]"
    assert events.excluding_rule(event(namespace="kube-system", binary="/bin/sh")) == "system"
    assert events.excluding_rule(event(binary="/bin/sh")) == "exclude[2]"
    assert events.excluding_rule(event(binary="/usr/bin/sh")) is None


def test_an_input_with_rules_to_include_has_a_label_for_what_none_matches() -> None:
    assert made(include=[{"type": ["a"]}]).labels == ("include",)
    both = made(include=[{"type": ["a"]}], exclude=[{"type": ["b"], "name": "noise"}])
    assert both.labels == ("noise", "include")


def test_an_input_without_rules_has_no_filter() -> None:
    assert filter_of(EventsConfig()) is None


def test_a_rule_without_globs_is_no_rule() -> None:
    for rule in (EventRule, ExcludeRule):
        with pytest.raises(ValueError, match="the rule has no globs"):
            rule()


# The twin -----------------------------------------------------------------------------------------


def twin(rules: EventsConfig, line: bytes) -> str | None:
    """The label of the rule for which an event is not shipped, with `json` and `fnmatch` alone."""
    members = json.loads(line)
    common = ("node_name", "time", "aggregation_info", "cluster_name", "node_labels")
    kind = next(key for key in members if key not in common)
    process = members[kind].get("process", {})
    pod = process.get("pod", {})
    values = {
        "type": kind,
        "namespace": pod.get("namespace", ""),
        "pod": pod.get("name", ""),
        "binary": process.get("binary", ""),
    }

    def matches(rule: EventRule) -> bool:
        given = {key: getattr(rule, key) for key in values if getattr(rule, key)}
        return all(
            any(fnmatch.fnmatchcase(values[key], glob) for glob in globs)
            for key, globs in given.items()
        )

    for index, rule in enumerate(rules.exclude):
        if matches(rule):
            return rule.name or f"exclude[{index}]"
    if rules.include and not any(map(matches, rules.include)):
        return "include"
    return None


GLOBS = {
    "type": ["process_exec", "process_*", "*_exit", "test", "process_[k-u]*", "?*"],
    "namespace": ["team-?", "kube-*", "", "*-[0-4]", "default", "?*"],
    "pod": ["app-*", "*-1*", "", "*a", "?*"],
    "binary": ["/usr/bin/*", "*/sh", "/usr/*/?*", "", "/bin/??", "*"],
}


def some_rule(rng: random.Random) -> dict[str, Any]:
    keys = rng.sample(sorted(GLOBS), rng.randint(1, 3))
    return {key: rng.sample(GLOBS[key], rng.randint(1, 2)) for key in keys}


def some_rules(rng: random.Random) -> EventsConfig:
    include = [some_rule(rng) for _ in range(rng.randint(0, 3))]
    exclude = [some_rule(rng) for _ in range(rng.randint(0 if include else 1, 3))]
    return configured(include, exclude)


def test_random_rules_decide_of_real_events_as_the_twin_does() -> None:
    rng = random.Random(11)
    source = EventSource(rng)
    lines = [source.line(number, EVENT_TIME + number) for number in range(150)]
    seen: Counter[str | None] = Counter()
    for _ in range(60):
        rules = some_rules(rng)
        events = filter_of(rules)
        assert events is not None
        # Twice: the second time from memory.
        for line in (*lines, *lines):
            decided = events.excluding_rule(line)
            assert decided == twin(rules, line), (rules, line)
            seen[decided] += 1
    assert {None, "include", "exclude[0]", "exclude[1]", "exclude[2]"} <= seen.keys()
    assert min(seen.values()) > 100


def test_memory_stays_bounded_however_many_and_long_the_names_are() -> None:
    events = made(exclude=[{"binary": ["/long/*"]}])
    held = []
    tracemalloc.start()
    for count, length in ((4_000, 4_000), (150, 100_000)):
        for number in range(count):
            name = f"{number}" + "x" * length
            assert events.excluding_rule(event(binary=f"/long/{name}")) == "exclude[0]"
            assert events.excluding_rule(event(binary=f"/short/{name}")) is None
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held) < 8 * 1024**2


# What is left of a block --------------------------------------------------------------------------


def encode(
    lines: Sequence[bytes],
    events: EventFilter | None,
    *,
    start: int = 0,
    on_invalid: OnInvalid = OnInvalid.SHIP,
) -> Encoded:
    encoder = DocumentEncoder(
        {"tags": ["a"]}, content_ids=True, on_invalid=on_invalid, events=events
    )
    template = encoder.template(Identity("0123456789abcdef"), "/logs/a.log", Inode(1, 2))
    block = b"".join(line + b"\n" for line in lines)
    return encoder.encode(template, start, block, NOW)


def documents(encoded: Encoded) -> dict[int, tuple[Any, Any]]:
    """Return the actions and documents by the offset of their line."""
    lines = [json.loads(line) for line in bytes(encoded.body).splitlines()]
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    assert len(pairs) == encoded.events
    return {document["log"]["offset"]: (action, document) for action, document in pairs}


AWKWARD = (
    b"not JSON",
    b"[1]",
    b"",
    b"\r",
    b'{"test":{"arg0":"\xff"},"time":"%b"}' % TIME.encode(),
    b'{"process_exit":{}}',
    event("process_exit") + b"\r",
    event("process_exec") + b"\r",
    b'{"process_exec":{"process":{"binary":7}},"time":"%b"}' % TIME.encode(),
)


@pytest.mark.parametrize("awkward", [(), AWKWARD], ids=["ordinary", "awkward"])
@pytest.mark.parametrize("on_invalid", OnInvalid)
def test_what_is_left_is_what_it_would_be_without_rules(
    awkward: Sequence[bytes], on_invalid: OnInvalid
) -> None:
    rng = random.Random(5)
    source = EventSource(rng)
    lines = [source.line(number, EVENT_TIME + number) for number in range(200)]
    lines += awkward
    rng.shuffle(lines)
    events = made(
        include=[{"type": ["process_*"]}],
        exclude=[{"type": ["process_exit"]}, {"binary": ["/bin/*"], "name": "bin"}],
    )
    start = 2**33
    left = encode(lines, events, start=start, on_invalid=on_invalid)
    whole = encode(lines, None, start=start, on_invalid=on_invalid)

    without_rules = documents(whole)
    offset, expected, filtered = start, {}, Counter[str]()
    for line in lines:
        rule = events.excluding_rule(line)
        if rule is not None:
            filtered[rule] += 1
        elif offset in without_rules:
            expected[offset] = without_rules[offset]
        offset += len(line) + 1
    assert documents(left) == expected
    assert left.filtered == filtered
    assert filtered.keys() == {"include", "exclude[0]", "bin"}
    assert left.refused == whole.refused
    assert (left.blank, left.dropped) == (whole.blank, whole.dropped)
    assert left.lines == whole.lines == len(lines)


def test_a_block_of_which_nothing_is_left_has_no_body() -> None:
    encoded = encode([event()] * 3, made(exclude=[{"type": ["*"], "name": "all"}]))
    assert (encoded.body, encoded.events, encoded.lines) == (b"", 0, 3)
    assert encoded.filtered == {"all": 3}


def test_the_beginning_of_a_line_that_is_too_long_is_shipped_whatever_the_rules_are() -> None:
    encoder = DocumentEncoder(
        {},
        content_ids=True,
        on_invalid=OnInvalid.DROP,
        events=made(exclude=[{"type": ["*"]}]),
    )
    template = encoder.template(Identity("0123456789abcdef"), "/logs/a.log", Inode(1, 2))
    encoded = encoder.encode_cut(template, 0, event(), 100_000, NOW)
    assert (encoded.events, encoded.lines, encoded.filtered) == (1, 1, {})
