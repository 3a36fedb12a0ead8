"""`format: ecs` against a slow obvious twin, written from docs/ecs.md with `json` alone: the twin
makes its document of the document that `format: raw` has for the same line."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from shipper.config.index_name import IndexPattern
from shipper.config.inputs import OnInvalid
from shipper.demo.events import KINDS, EventSource
from shipper.documents.ecs import EcsDocuments
from shipper.documents.ecs_rules import NOT_MAPPED
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded
from shipper.files.facts import Inode
from shipper.files.identity import Identity
from tests.documents.test_encode import AWKWARD, POLICIES, block_of, events_of
from tests.support.odd_events import NAMED, STAMP, odd_events

pytestmark = pytest.mark.usefixtures("way")

CONSTANTS: dict[str, object] = {
    "input": {"type": "filestream"},
    "agent": {"id": "a", "name": "shipper-1"},
    "ecs": {"version": "8.11.0"},
    "host": {"name": "shipper-1"},
    "event": {"dataset": "cilium_tetragon.log", "module": "cilium_tetragon"},
    "fields": {"team": "röd 100%", "nothing": "", "deep": {"er": [None, {}]}},
    "tags": ["a", "", 'quote " in it'],
}
NOW = 1_764_000_000.25
TIME = b"2026-11-24T04:32:37.123456789Z"

PROCESS = ("arguments", "binary", "cwd", "pid", "exec_id", "tid", "uid", "start_time")

# The twin -----------------------------------------------------------------------------------------

LIFTED = ["exec", "exit", "kprobe", "tracepoint", "lsm", "uprobe", "loader"]


def is_empty(value: object) -> bool:
    return value is None or (value in ("", {}, []) and not isinstance(value, (int, float)))


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: without_empty(member) for name, member in value.items()}
        return {name: member for name, member in kept.items() if not is_empty(member)}
    if isinstance(value, list):
        return [item for item in map(without_empty, value) if not is_empty(item)]
    return value


def levels(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(levels, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(levels, value), default=0)
    return 0


def numbers_fit(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(numbers_fit, value.values()))
    if isinstance(value, list):
        return all(map(numbers_fit, value))
    if isinstance(value, float):
        return abs(value) != float("inf")
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def floats_fit(line: str) -> bool:
    """Of all members, also of those that a later one of the same name replaces."""
    found: list[float] = []
    json.loads(line, parse_float=lambda digits: found.append(float(digits)), parse_int=str)
    return float("inf") not in map(abs, found)


def set_at(document: dict[str, Any], path: str, value: object) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[name] = value


def move(source: object, name: str, document: dict[str, Any], path: str) -> None:
    if isinstance(source, dict) and name in source:
        set_at(document, path, source.pop(name))


def move_process(source: object, document: dict[str, Any], path: str) -> None:
    if isinstance(source, dict):
        arguments, uid = source.get("arguments"), source.get("uid")
        if isinstance(arguments, str):
            source["arguments"] = re.split(r"[ \t\n\x0b\f\r]+", arguments)
        if isinstance(uid, int) and not isinstance(uid, bool):
            source["uid"] = str(uid)
    move(source, "arguments", document, f"{path}.args")
    move(source, "binary", document, f"{path}.executable")
    move(source, "cwd", document, f"{path}.working_directory")
    move(source, "pid", document, f"{path}.pid")
    move(source, "exec_id", document, f"{path}.entity_id")
    move(source, "tid", document, f"{path}.thread.id")
    move(source, "uid", document, f"{path}.user.id")
    move(source, "start_time", document, f"{path}.start")


def move_pod(pod: object, document: dict[str, Any]) -> None:
    container = pod.get("container") if isinstance(pod, dict) else None
    image = container.get("image") if isinstance(container, dict) else None
    move(container, "name", document, "container.name")
    move(container, "id", document, "container.id")
    move(image, "name", document, "container.image.name")
    move(pod, "name", document, "orchestrator.resource.name")
    move(pod, "namespace", document, "orchestrator.namespace")
    move(pod, "workload_kind", document, "orchestrator.resource.parent.type")


def event_in(document: dict[str, Any], line: str) -> Any:
    """The event, or None if there is none to be taken apart."""
    if "flags" in document["log"]:
        return None
    problem = document.get("error", {}).get("message", "")
    if problem.startswith(("the line is not JSON", "the line is JSON", "the line is nested")):
        return None
    # Python refuses thousands of digits; a hundred are as much too many.
    return json.loads(line, parse_int=lambda digits: int(digits[:100]))


def twin(raw: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a document of `format: raw`."""
    document: dict[str, Any] = json.loads(json.dumps(raw))
    line = document.pop("message")
    set_at(document, "event.original", line)
    event = event_in(document, line)
    if event is not None and (levels(event) > 16 or not numbers_fit(event) or not floats_fit(line)):
        document.setdefault("error", {}).setdefault("message", NOT_MAPPED)
    elif event is not None:
        kinds = [kind for kind in LIFTED if event.get(f"process_{kind}") is not None]
        kind = kinds[0] if kinds else ""
        if kind == "exec":
            set_at(document, "event.action", "executed")
        if kind == "exit":
            set_at(document, "event.action", "end")
        event = without_empty(event)
        body = event.get(f"process_{kind}") if kind else None
        if isinstance(body, dict):
            process = body.get("process")
            move_pod(process.get("pod") if isinstance(process, dict) else None, document)
            move_process(process, document, "process")
            if kind != "loader":
                move_process(body.get("parent"), document, "process.parent")
            if kind == "exit" and "status" in body:
                set_at(document, "process.exit_code", body["status"])
        if "node_name" in event:
            set_at(document, "host.name", event["node_name"])
        if "cluster_name" in event:
            set_at(document, "orchestrator.cluster.name", event["cluster_name"])
        set_at(document, "cilium_tetragon.log", event)
    if "error" in document:
        set_at(document, "event.kind", "pipeline_error")
        tags = document.get("tags", [])
        document["tags"] = [*tags, "preserve_original_event"]
    result = without_empty(document)
    assert isinstance(result, dict)
    return result


# Both beside each other ---------------------------------------------------------------------------


def encoder(
    on_invalid: OnInvalid = OnInvalid.SHIP, *, ecs: bool, constants: dict[str, object] = CONSTANTS
) -> DocumentEncoder:
    return DocumentEncoder(
        constants,
        content_ids=True,
        on_invalid=on_invalid,
        contributions=EcsDocuments(constants) if ecs else None,
    )


def encode(
    block: bytes, on_invalid: OnInvalid = OnInvalid.SHIP, *, ecs: bool, start: int = 0
) -> Encoded:
    made = encoder(on_invalid, ecs=ecs)
    template = made.template(Identity("0123456789abcdef"), "/logs/tetragon %d.log", Inode(1, 2))
    return made.encode(template, start, block, NOW)


def same(left: object, right: object) -> bool:
    """Whether two values are the same JSON: 1 is not 1.0, and not true."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def agree(block: bytes, on_invalid: OnInvalid = OnInvalid.SHIP) -> list[dict[str, Any]]:
    """The documents of a block are those that the twin makes of raw ones, with their ids."""
    raw, ecs = encode(block, on_invalid, ecs=False), encode(block, on_invalid, ecs=True)
    before, after = events_of(raw.body), events_of(ecs.body)
    assert [action for action, _ in after] == [action for action, _ in before]
    documents = [document for _, document in after]
    for (_, document), made in zip(before, documents, strict=True):
        expected = twin(document)
        assert made == expected
        assert same(made, expected)
    assert (ecs.blank, ecs.dropped) == (raw.blank, raw.dropped)
    for refused, without in zip(ecs.refused, raw.refused, strict=True):
        assert replace(refused, unsent=b"") == replace(without, unsent=b"")
        # What a replay would send is what would have been sent.
        [(action, document)] = events_of(without.unsent)
        line = without.line.decode("utf-8", "replace")
        assert events_of(refused.unsent) == [(action, twin({**document, "message": line}))]
    assert ecs.lines == raw.lines
    assert sum(ecs.flagged.values()) == sum("error" in document for document in documents)
    return documents


def document_of(line: bytes) -> dict[str, Any]:
    (document,) = agree(line + b"\n")
    return document


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_taken_apart(kind: str) -> None:
    line = EventSource(random.Random(1)).line_of(kind, 7, STAMP)
    document = document_of(line)
    assert document["event"]["original"].encode() == line
    assert document["@timestamp"] == json.loads(line)["time"]
    assert document["host"]["name"] == "worker-1"
    assert kind in document["cilium_tetragon"]["log"]
    assert "error" not in document
    assert "message" not in document


@pytest.mark.parametrize("name", NAMED)
def test_an_odd_event_has_the_document_of_the_twin(name: str) -> None:
    document_of(NAMED[name])
    # Among others as well: what is around it decides which loop it is for.
    agree(block_of([NAMED["all of it"], NAMED[name], NAMED["all of it"]]))
    agree(block_of([NAMED[name], b"no JSON"]))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", AWKWARD)
def test_a_line_that_is_awkward_for_raw_has_the_document_of_the_twin(
    name: str, policy: OnInvalid
) -> None:
    agree(block_of([AWKWARD[name]]), policy)
    agree(block_of([NAMED["all of it"], AWKWARD[name]]), policy)


@pytest.mark.parametrize("seed", range(12))
def test_events_that_were_changed_at_random_have_the_documents_of_the_twin(seed: int) -> None:
    lines = list(odd_events(seed, 300))
    agree(block_of(lines))
    for line in lines[:100]:
        document_of(line)


def test_generated_events_go_the_quick_way() -> None:
    source = EventSource(random.Random(3))
    quick = [kind for kind in KINDS if kind not in ("process_throttle", "rate_limit_info", "test")]
    made = EcsDocuments(CONSTANTS)
    for number in range(500):
        line = source.line_of(random.Random(number).choice(quick), number, STAMP)
        made._shape.map_event(line, {})
    made._shape.map_event(NAMED["messages without a field"], {})
    with pytest.raises(msgspec.ValidationError):
        made._shape.map_event(NAMED["a kind that nobody knows"], {})


def test_a_newer_field_is_shipped_as_it_is_if_not_the_quick_way() -> None:
    line = b'{"process_exec":{"process":{"pid":1,"new":{"a":1}},"newer":[1]},"time":"%b"}' % TIME
    document = document_of(line)
    assert document["process"] == {"pid": 1}
    log = document["cilium_tetragon"]["log"]
    assert log["process_exec"] == {"process": {"new": {"a": 1}}, "newer": [1]}


def test_a_pod_that_is_remembered_is_that_of_each_event_alone() -> None:
    pod = {"name": "p", "namespace": "n", "pod_labels": {"a": "b"}}
    lines = [
        json.dumps({kind: {"process": {"pod": pod}}, "time": TIME.decode(), **more}).encode()
        for kind in ("process_exec", "process_usdt", "process_loader")
        for more in ({"cluster_name": "one"}, {}, {"cluster_name": "two"})
    ]
    found = [document.get("orchestrator", {}) for document in agree(block_of(lines * 2))]
    assert [each.get("cluster", {}).get("name") for each in found[:3]] == ["one", None, "two"]
    assert found[1] == {"resource": {"name": "p"}, "namespace": "n"}


def test_a_line_that_is_cut_is_not_taken_apart() -> None:
    documents = []
    for ecs in (False, True):
        made = encoder(ecs=ecs)
        template = made.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))
        encoded = made.encode_cut(template, 9, NAMED["all of it"], 5000, NOW)
        assert encoded.flagged == {"too_long": 1}
        documents += events_of(encoded.body)
    (before, raw), (after, cut) = documents
    assert before == after
    assert cut == twin(raw)
    assert cut["@timestamp"] == raw["@timestamp"]
    assert cut["event"]["kind"] == "pipeline_error"
    assert "cilium_tetragon" not in cut


@pytest.mark.parametrize(
    ("content_ids", "node"), [(True, ""), (True, "node-1"), (False, "")], ids=str
)
@pytest.mark.parametrize("pattern", ["", "t-%{+yyyy.MM.dd}"])
def test_ids_and_indices_are_those_of_raw(content_ids: bool, node: str, pattern: str) -> None:
    lines = [*odd_events(7, 50), *AWKWARD.values()]
    actions = []
    for contributions in (None, EcsDocuments(CONSTANTS)):
        made = DocumentEncoder(
            CONSTANTS,
            content_ids=content_ids,
            node=node,
            on_invalid=OnInvalid.SHIP,
            contributions=contributions,
            index=IndexPattern.parse(pattern).fill({}) if pattern else None,
        )
        template = made.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))
        body = made.encode(template, 0, block_of(lines), NOW).body
        actions.append([action for action, _ in events_of(body)])
    assert actions[0] == actions[1]


def test_what_a_user_has_put_where_an_event_adds_something_stays_beside_it() -> None:
    theirs: dict[str, object] = {
        "container": {"name": "theirs", "runtime": "containerd", "image": {"tag": ["1"]}},
        "orchestrator": {"type": "kubernetes"},
        "host": {"name": "a", "os": {"type": "linux"}},
        "event": {"category": ["process"]},
        "process": "theirs",
    }
    contributions = EcsDocuments(theirs)
    _, content = contributions.quick(NAMED["all of it"])
    made = json.loads(b"".join((b"{", content, b"}")))
    assert made["container"] == {
        "name": "main",
        "id": "c",
        "runtime": "containerd",
        "image": {"name": "image:1", "tag": ["1"]},
    }
    assert made["orchestrator"]["type"] == "kubernetes"
    assert made["orchestrator"]["namespace"] == "ns"
    assert made["host"] == {"name": "n", "os": {"type": "linux"}}
    assert made["event"]["category"] == ["process"]
    assert made["process"]["pid"] == 1
    _, content = contributions.quick(b'{"time":"2026-11-24T04:32:37Z"}')
    assert json.loads(b"".join((b"{", content, b"}")))["process"] == "theirs"


def test_what_a_user_has_configured_has_no_bounds() -> None:
    deep: Any = 2**64 - 1
    for _ in range(30):
        deep = {"a": deep, "b": ""}
    made = EcsDocuments({"fields": deep})
    assert levels(made.constants) == 31
    assert '""' not in json.dumps(made.constants)


def test_the_page_names_every_field_that_is_lifted() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ecs.md").read_text()
    table = page[page.index("| Field | Of the event |") : page.index("## Invalid events")]
    document: dict[str, Any] = {}
    move_process(dict.fromkeys(PROCESS, 1), document, "process")
    for name in document["process"]:
        assert f"`process.{name}" in table, name
    for source in PROCESS:
        assert f"| `{source}`" in table, source
    for name in ("pod.name", "pod.namespace", "pod.workload_kind", "pod.container.name"):
        assert f"`process.{name}`" in table
