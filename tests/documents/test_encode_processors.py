"""Processors through the encoder: against a slow twin that does each of them to each document."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from benchmarks.processors import GUIDE, measure
from shipper.config.index_name import IndexPattern
from shipper.config.inputs import EventRule, EventsConfig, ExcludeRule, OnInvalid
from shipper.config.processors import parse
from shipper.demo.events import EventSource
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded, FileTemplate
from shipper.documents.filters import filter_of
from shipper.documents.processors.chain import Chain
from shipper.documents.processors.event import DroppedError, Event, Time
from shipper.documents.processors.machine import Machine
from shipper.documents.processors.processing import Processing
from shipper.files.facts import Inode
from shipper.files.identity import Identity

pytestmark = pytest.mark.usefixtures("way")

CONSTANTS: dict[str, Any] = {
    "agent": {"id": "i", "name": "n"},
    "host": {"name": "n"},
    "tags": ["a"],
    "fields": {"team": "t"},
}
MACHINE = Machine({"NODE_NAME": "node"}, lambda _: {"name": "machine", "ip": ["192.0.2.1"]})
NOW = 1_764_000_000.25
EVENT_TIME = 1_795_000_000_123_456_789

POOL = f"""
- {json.dumps(GUIDE)}
- timestamp: {{field: time, layouts: ['2006-01-02T15:04:05Z07:00'], target_field: event.created}}
- timestamp: {{field: time, layouts: ['2006-01-02T15:04:05.999-07:00']}}
- timestamp: {{field: missing, layouts: [UNIX], ignore_missing: true}}
- add_fields: {{fields: {{team: x, more: {{deep: [1]}}}}}}
- add_fields: {{target: '', fields: {{time: '2015-03-07T11:06:39Z'}}}}
- add_fields: {{target: '', fields: {{a.b: 1}}, when: {{contains: {{message: process_exec}}}}}}
- add_tags: {{tags: [b]}}
- add_tags: {{tags: [c], when: {{equals: {{host.name: machine}}}}}}
- add_tags: {{tags: [d], when: {{not: {{has_fields: [error.message]}}}}}}
- add_labels: {{labels: {{a.b: c}}}}
- drop_event.when: {{contains: {{message: process_exit}}}}
- drop_event.when: {{equals: {{host.name: x}}}}
- drop_event.when: {{regexp: {{message: 'seq=0+[0-9]*7'}}}}
- drop_fields: {{fields: [agent.id, host]}}
- drop_fields: {{fields: [log.offset, missing]}}
- drop_fields: {{fields: ['/^agent/', message]}}
- drop_fields: {{fields: [tags], ignore_missing: true}}
- include_fields: {{fields: [message, tags, log.file.path]}}
- rename: {{fields: [{{from: agent.id, to: agent.key}}]}}
- rename: {{fields: [{{from: message, to: event.original}}]}}
- copy_fields: {{fields: [{{from: '@timestamp', to: event.start}}, {{from: message, to: raw}}]}}
- decode_json_fields: {{fields: [message], target: ''}}
- decode_json_fields: {{fields: [message], target: tetragon, add_error_key: true}}
- add_host_metadata: {{}}
- add_kubernetes_metadata: {{}}
- truncate_fields: {{fields: [message], max_characters: 40}}
- if: {{has_fields: [process_exec]}}
  then: [{{add_tags: {{tags: [e]}}}}, {{drop_fields: {{fields: [nope]}}}}]
  else: {{add_tags: {{tags: [f]}}}}
"""

AWKWARD = [
    b"",
    b"not JSON",
    b"[1]",
    b"\xff\xfe",
    b'{"process_exec":{},"time":"not a time"}',
    b'{"process_exec":{},"time":"2026-11-24T04:32:37+02:00"}',
    b'{"process_exec":{},"time":"2026-11-24T04:32:37.5+19:00"}',
    b'{"process_exec":{},"time":"2026-11-24t04:32:37.1234567891z"}',
    b'{"process_exec":{"a":"\xff"},"time":"2026-11-24T04:32:37Z"}',
    b'{"process_exec":{},"time":"2026-11-24T04:32:37Z"}\r',
    b'{"message":"m","log":1,"error":"e","tags":"t","time":"2026-11-24T04:32:37.120Z"}',
    '{"process_exec":{"a":"näme"},"time":"2026-11-24T04:32:37.000000000Z"}'.encode(),
]


def encoder(
    processors: list[Any], *, once: bool = True, index: str = "", **more: Any
) -> DocumentEncoder:
    configs = parse(processors)
    processing = None
    if configs:
        varying = {} if once else {"varying": None}
        processing = Processing(configs, CONSTANTS, MACHINE, NOW, **varying)
    return DocumentEncoder(
        CONSTANTS,
        content_ids=True,
        on_invalid=OnInvalid.SHIP,
        index=IndexPattern.parse(index).fill({}) if index else None,
        processing=processing,
        **more,
    )


def template(made_by: DocumentEncoder) -> FileTemplate:
    return made_by.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))


def documents(body: bytes | memoryview) -> list[tuple[Any, Any]]:
    lines = [json.loads(line) for line in bytes(body).split(b"\n")[:-1]]
    return list(zip(lines[::2], lines[1::2], strict=True))


@dataclass
class Expected:
    """What is to become of a block."""

    documents: list[tuple[Any, Any]] = field(default_factory=list)
    dropped: int = 0
    failures: Counter[str] = field(default_factory=Counter)


def twin(processors: list[Any], block: bytes) -> Expected:
    """Each document by itself, without anything that is done once."""
    plain = encoder([])
    expected = Expected()
    offset = 0
    for line in block.split(b"\n")[:-1]:
        made = plain.encode(template(plain), offset, line + b"\n", NOW)
        offset += len(line) + 1
        for action, document in documents(made.body):
            time = document.pop("@timestamp")
            event = Event(Time(time), document, line.removesuffix(b"\r"), NOW)
            try:
                failures = Chain(parse(copy.deepcopy(processors)), MACHINE).run(event)
            except DroppedError:
                expected.dropped += 1
                continue
            expected.failures.update(name for name, _ in failures)
            fields = json.loads(json.dumps(event.fields, default=lambda found: found.text))
            expected.documents.append((action, {"@timestamp": event.timestamp.text, **fields}))
    return expected


def outcome(encoded: Encoded) -> Expected:
    failures = Counter({name: failed.count for name, failed in encoded.failures.items()})
    return Expected(documents(encoded.body), encoded.filtered.get("drop_event", 0), failures)


def lines_of(rng: random.Random, *, awkward: bool) -> list[bytes]:
    source = EventSource(rng)
    lines = [source.line(number, EVENT_TIME + number * 10**7) for number in range(12)]
    if awkward:
        lines += AWKWARD
        rng.shuffle(lines)
    return lines


@pytest.mark.parametrize("seed", range(150))
def test_the_documents_are_those_of_the_twin(seed: int) -> None:
    rng = random.Random(seed)
    pool = yaml.safe_load(POOL)
    processors = [rng.choice(pool) for _ in range(rng.randrange(1, 6))]
    lines = lines_of(rng, awkward=seed % 2 == 0)
    block = b"".join(line + b"\n" for line in lines)
    expected = twin(processors, block)
    for once in (True, False):
        made = encoder(processors, once=once)
        encoded = made.encode(template(made), 0, block, NOW)
        found = outcome(encoded)
        assert found.documents == expected.documents
        assert found.dropped == expected.dropped
        # What fails once is told of each document that is made; one that is dropped later, too.
        if not expected.dropped:
            assert found.failures == expected.failures
        assert encoded.events == len(expected.documents)
        assert encoded.lines == len(lines)


@pytest.mark.parametrize("processor", yaml.safe_load(POOL), ids=json.dumps)
def test_no_processor_changes_an_id(processor: Any) -> None:
    rng = random.Random(1)
    block = b"".join(line + b"\n" for line in lines_of(rng, awkward=True))
    plain, made = encoder([]), encoder([processor])
    ids = [action for action, _ in documents(plain.encode(template(plain), 0, block, NOW).body)]
    found = [action for action, _ in documents(made.encode(template(made), 0, block, NOW).body)]
    if "drop_event" in json.dumps(processor):
        ids = [action for action in ids if action in found]
    assert found == ids


def test_the_guides_processor_leaves_the_bodies_as_they_are() -> None:
    block = b"".join(line + b"\n" for line in lines_of(random.Random(2), awkward=False))
    plain, made = encoder([]), encoder([GUIDE])
    expected = plain.encode(template(plain), 7, block, NOW)
    assert made.encode(template(made), 7, block, NOW) == expected


@pytest.mark.parametrize(
    "processor",
    [
        {"drop_event": {"when": {"contains": {"message": "no such text"}}}},
        {"drop_event": {"when": {"equals": {"log.file.path": "/another"}}}},
        {
            "timestamp": {
                "field": "time",
                "layouts": ["2006-01-02T15:04:05Z07"],
                "when": {"has_fields": ["message"]},
            }
        },
    ],
)
def test_what_changes_nothing_leaves_the_bodies_as_they_are(processor: Any) -> None:
    block = b"".join(line + b"\n" for line in lines_of(random.Random(2), awkward=False))
    plain, made = encoder([]), encoder([processor])
    expected = plain.encode(template(plain), 7, block, NOW)
    assert made.encode(template(made), 7, block, NOW).body == expected.body


def test_the_guides_processor_takes_times_that_the_encoder_does_not() -> None:
    line = b'{"time":"2026-11-24T04:32:37.5+19:00"}\n'
    plain, made = encoder([]), encoder([GUIDE])
    (_, without), (_, document) = (
        documents(each.encode(template(each), 0, line, NOW).body)[0] for each in (plain, made)
    )
    assert without["@timestamp"] == "2025-11-24T16:00:00.250Z"
    assert document["@timestamp"] == "2026-11-23T09:32:37.500Z"


def test_the_index_is_named_by_the_time_that_processors_leave() -> None:
    processors = [
        {"timestamp": {"field": "process_exit.time", "layouts": ["2006-01-02T15:04:05Z"]}}
    ]
    made = encoder(processors, index="t-%{+yyyy.MM.dd}")
    line = (
        b'{"process_exit":{"time":"2015-03-07T23:06:39Z"},"time":"2026-11-24T04:32:37Z"}\n'
        b'{"process_exec":{},"time":"2026-11-24T04:32:37Z"}\n'
    )
    found = documents(made.encode(template(made), 0, line, NOW).body)
    assert [action["create"]["_index"] for action, _ in found] == ["t-2015.03.07", "t-2026.11.24"]


def test_a_cut_line_has_its_processors() -> None:
    made = encoder([{"add_tags": {"tags": ["b"], "when": {"has_fields": ["log.flags"]}}}])
    encoded = made.encode_cut(template(made), 0, b'{"a":"', 100, NOW)
    ((_, document),) = documents(encoded.body)
    assert (document["tags"], document["message"]) == (["a", "b"], '{"a":"')
    assert (encoded.flagged, encoded.lines) == ({"too_long": 1}, 1)
    dropping = encoder([{"drop_event": {"when": {"has_fields": ["log.flags"]}}}])
    dropped = dropping.encode_cut(template(dropping), 0, b'{"a":"', 100, NOW)
    assert (dropped.body, dropped.events, dropped.filtered) == (b"", 0, {"drop_event": 1})


def test_what_is_dropped_and_what_is_filtered_add_up() -> None:
    rules = EventsConfig(
        exclude=(ExcludeRule(type=("process_exit",)),), include=(EventRule(type=("*",)),)
    )
    made = encoder(
        [{"drop_event": {"when": {"contains": {"message": "process_kprobe"}}}}],
        events=filter_of(rules),
    )
    kinds = ["process_exec", "process_exit", "process_kprobe", "process_kprobe"]
    block = b"".join(b'{"%b":{},"time":"2026-11-24T04:32:37Z"}\n' % kind.encode() for kind in kinds)
    encoded = made.encode(template(made), 0, block, NOW)
    assert encoded.filtered == {"exclude[0]": 1, "drop_event": 2}
    assert (encoded.events, encoded.lines) == (1, 4)


def test_a_block_of_which_all_is_dropped_has_no_body() -> None:
    made = encoder([{"drop_event": {"when": {"has_fields": ["message"]}}}])
    encoded = made.encode(template(made), 0, b'{"time":"2026-11-24T04:32:37Z"}\n', NOW)
    assert (encoded.body, encoded.events, encoded.filtered) == (b"", 0, {"drop_event": 1})


def test_a_document_that_cannot_be_written_is_shipped_as_it_was() -> None:
    made = encoder([{"decode_json_fields": {"fields": ["message"]}}, {"add_tags": {"tags": ["b"]}}])
    line = b'{"a":' + b"[" * 400 + b"]" * 400 + b',"time":"2026-11-24T04:32:37Z"}'
    encoded = made.encode(template(made), 0, line + b"\n", NOW)
    ((_, document),) = documents(encoded.body)
    assert document["message"] == line.decode()
    assert document["tags"] == ["a"]
    assert encoded.failures["document"].count == 1


def test_a_document_may_have_no_field_left_but_its_time() -> None:
    made = encoder([{"include_fields": {"fields": []}}])
    encoded = made.encode(template(made), 0, b'{"time":"2026-11-24T04:32:37Z"}\n', NOW)
    assert [document for _, document in documents(encoded.body)] == [
        {"@timestamp": "2026-11-24T04:32:37Z"}
    ]


def test_what_the_machine_says_is_new_after_its_time_to_live() -> None:
    names = iter(("first", "second", "second"))
    machine = Machine({}, lambda _: {"name": next(names)})
    processing = Processing(
        parse([{"add_host_metadata": {"cache.ttl": "5m"}}]), CONSTANTS, machine, NOW
    )
    made = DocumentEncoder(
        CONSTANTS, content_ids=True, on_invalid=OnInvalid.SHIP, processing=processing
    )
    line = b'{"time":"2026-11-24T04:32:37Z"}\n'

    def host() -> Any:
        ((_, document),) = documents(made.encode(template(made), 0, line, NOW).body)
        return document["host"]

    assert host() == {"name": "first"}
    made.refresh(NOW + 299)
    assert (host(), made.generation) == ({"name": "first"}, 0)
    made.refresh(NOW + 300)
    assert (host(), made.generation) == ({"name": "second"}, 1)
    # Nothing is new: templates stay good.
    made.refresh(NOW + 600)
    assert (host(), made.generation) == ({"name": "second"}, 1)


@pytest.mark.parametrize(
    "processors",
    [
        [GUIDE],
        [GUIDE, {"add_fields": {"fields": {"a": 1}}}, {"add_host_metadata": {}}],
        [{"drop_fields": {"fields": ["missing"]}}],
    ],
)
def test_ordinary_lines_are_not_touched_for_what_is_done_once(processors: list[Any]) -> None:
    class Untouched(Processing):
        def run(self, *_: Any) -> Any:
            raise AssertionError

    processing = Untouched(parse(processors), CONSTANTS, MACHINE, NOW)
    made = DocumentEncoder(
        CONSTANTS, content_ids=True, on_invalid=OnInvalid.SHIP, processing=processing
    )
    lines = lines_of(random.Random(3), awkward=False)
    block = b"".join(line + b"\n" for line in lines)
    assert made.encode(template(made), 0, block, NOW).events == len(lines)
    # What is not ordinary is.
    with pytest.raises(AssertionError):
        made.encode(template(made), 0, b"{}\n", NOW)


@pytest.mark.long
def test_the_guides_processors_cost_at_most_a_tenth() -> None:
    # Of three measurements the best: others use this machine, too.
    ratios = []
    for _ in range(3):
        found = measure(["none", "the guide's", "constant ones"], rounds=9)
        ratios.append(max(found["the guide's"], found["constant ones"]) / found["none"])
        if ratios[-1] <= 1.1:
            return
    raise AssertionError(ratios)
