"""What is done once, what the encoder does anyway, and what is done to each event."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from shipper.config.processor_types import DropEvent
from shipper.config.processors import parse
from shipper.documents.encoded import DROPPED
from shipper.documents.processors.machine import Machine
from shipper.documents.processors.plan import Plan, drops_events, plan_of
from tests.config.test_processors import GUIDE
from tests.documents.processors.support import MACHINE, NOW

CONSTANTS: dict[str, Any] = {
    "agent": {"id": "i", "name": "n"},
    "host": {"name": "n"},
    "tags": ("a", "b"),
}


def plan(processors: str, machine: Machine = MACHINE) -> Plan:
    return plan_of(parse(yaml.safe_load(processors)), CONSTANTS, machine, NOW)


ONCE: dict[str, dict[str, Any]] = {
    "- add_fields: {fields: {a: 1}}": {"fields": {"a": 1}},
    "- add_labels: {labels: {a: 1}}": {"labels": {"a": "1"}},
    "- add_tags: {tags: [c]}": {"tags": ["a", "b", "c"]},
    "- drop_fields: {fields: [agent.id]}": {"agent": {"name": "n"}},
    "- rename: {fields: [{from: agent.id, to: agent.key}]}": {"agent": {"name": "n", "key": "i"}},
    "- copy_fields: {fields: [{from: host.name, to: node}]}": {"node": "n"},
    "- add_host_metadata: {netinfo.enabled: false}": {
        "host": {"name": "machine", "architecture": "x86_64"}
    },
    "- add_tags: {tags: [c], when: {equals: {host.name: n}}}": {"tags": ["a", "b", "c"]},
    "- add_tags: {tags: [c], when: {equals: {host.name: x}}}": {},
    "- drop_event.when: {equals: {host.name: x}}": {},
    "- {if: {has_fields: [agent.id]}, then: {add_tags: {tags: [c]}}}": {"tags": ["a", "b", "c"]},
    GUIDE: {},
    GUIDE + "- add_tags: {tags: [c]}": {"tags": ["a", "b", "c"]},
    "- add_tags: {tags: [c]}\n" + GUIDE: {"tags": ["a", "b", "c"]},
}


@pytest.mark.parametrize(("processors", "changed"), ONCE.items(), ids=ONCE)
def test_what_is_the_same_for_all_documents_is_done_once(
    processors: str, changed: dict[str, Any]
) -> None:
    found = plan(processors)
    assert not found.per_event
    assert found.constants == {**CONSTANTS, "tags": ["a", "b"], **changed}
    assert found.failures == ()


@pytest.mark.parametrize(
    "processors",
    [
        "- add_fields: {target: '', fields: {message: x}}",
        "- add_fields: {target: log, fields: {a: x}}",
        "- add_tags: {tags: [a], target: error.kinds}",
        "- drop_fields: {fields: [log.offset]}",
        "- drop_fields: {fields: ['/^agent/']}",
        "- include_fields: {fields: [agent]}",
        "- rename: {fields: [{from: agent.id, to: log.id}]}",
        "- copy_fields: {fields: [{from: message, to: event.original}]}",
        "- copy_fields: {fields: [{from: '@timestamp', to: event.created}]}",
        "- decode_json_fields: {fields: [message]}",
        "- truncate_fields: {fields: [agent.name], max_bytes: 1}",
        "- add_kubernetes_metadata: ",
        "- add_tags: {tags: [a], when: {contains: {message: x}}}",
        "- add_tags: {tags: [a], when: {not: {has_fields: [error.message]}}}",
        "- {if: {has_fields: [log.flags]}, then: {add_tags: {tags: [a]}}}",
        "- {if: {has_fields: [agent]}, then: {drop_fields: {fields: [message]}}}",
        "- drop_event.when: {equals: {host.name: n}}",
        # They leave an error.message in the document.
        "- rename: {fields: [{from: missing, to: x}]}",
        "- {if: {has_fields: [agent]}, then: {rename: {fields: [{from: missing, to: x}]}}}",
    ],
)
def test_what_is_not_is_done_to_each_event(processors: str) -> None:
    found = plan(processors + "\n- add_tags: {tags: [later]}")
    assert found.per_event
    assert found.constants == {**CONSTANTS, "tags": ["a", "b"]}


def test_nothing_is_done_before_what_stands_before_it() -> None:
    found = plan(
        "- add_tags: {tags: [c]}\n- drop_fields: {fields: [log.offset]}\n- add_tags: {tags: [d]}"
    )
    assert found.per_event
    assert found.constants["tags"] == ["a", "b", "c"]


def test_a_failure_that_is_the_same_for_all_documents_is_told_once() -> None:
    found = plan("- drop_fields: {fields: [missing, agent.id]}\n- add_tags: {tags: [c]}")
    assert not found.per_event
    assert found.constants == {"agent": {"name": "n"}, "host": {"name": "n"}, "tags": [*"abc"]}
    assert found.failures == (("drop_fields", "there is no field `missing`"),)


@pytest.mark.parametrize(
    "layouts",
    [
        "['2006-01-02T15:04:05Z']",
        "['2006-01-02T15:04:05Z07:00']",
        "['2006-01-02T15:04:05.999999999Z07:00']",
        "['2006-01-02T15:04:05.000Z', '2006-01-02T15:04:05Z']",
        "['UNIX', '2006-01-02T15:04:05.9Z']",
    ],
)
def test_a_timestamp_that_reads_what_tetragon_writes_is_the_encoders_work(layouts: str) -> None:
    assert not plan(f"- timestamp: {{field: time, layouts: {layouts}}}").per_event


@pytest.mark.parametrize(
    "processor",
    [
        "field: time, layouts: ['2006-01-02T15:04:05.999-07:00']",
        "field: time, layouts: ['2006-01-02T15:04:05.000Z']",
        "field: time, layouts: ['2006-02-01T15:04:05Z', '2006-01-02T15:04:05Z']",
        "field: time, layouts: ['2006-01-02T05:04:15Z', '2006-01-02T15:04:05Z']",
        "field: time, layouts: ['2006-01-02T03:04:05Z', '2006-01-02T04:03:05Z']",
        "field: time, layouts: ['UNIX']",
        "field: time, layouts: ['2006-01-02T15:04:05Z'], target_field: event.created",
        "field: process_exit.time, layouts: ['2006-01-02T15:04:05Z']",
        "field: time, layouts: ['2006-01-02T15:04:05Z'], when: {has_fields: [agent]}",
    ],
)
def test_one_that_does_not_is_done_to_each_event(processor: str) -> None:
    assert plan(f"- timestamp: {{{processor}}}").per_event


def test_a_timestamp_whose_field_the_document_has_is_done_to_each_event() -> None:
    before = "- add_fields: {target: '', fields: {time: '2015-03-07T11:06:39Z'}}\n"
    assert plan(before + GUIDE).per_event
    # Where it comes later, the first one has found the line's; it must not find this one.
    found = plan(GUIDE + before)
    assert found.per_event
    assert "time" not in found.constants


def test_what_the_machine_says_is_out_of_date_after_its_time_to_live() -> None:
    text = "- add_host_metadata: {{cache.ttl: {}}}\n- add_tags: {{tags: [c]}}"
    assert plan(text.format("5m")).expires == NOW + 300
    assert plan(text.format("-1s")).expires == NOW
    assert plan("- add_tags: {tags: [c]}").expires == float("inf")


def test_where_everything_may_vary_nothing_is_done_once() -> None:
    configs = parse(yaml.safe_load(GUIDE + "- add_tags: {tags: [c]}"))
    found = plan_of(configs, CONSTANTS, MACHINE, NOW, None)
    assert (found.per_event, found.constants["tags"]) == (True, ["a", "b"])
    assert not plan_of(parse(yaml.safe_load(GUIDE)), CONSTANTS, MACHINE, NOW, None).per_event


def test_it_is_known_whether_events_may_be_dropped() -> None:
    def drops(text: str) -> bool:
        return drops_events(parse(yaml.safe_load(text)))

    assert drops("- drop_event.when: {has_fields: [a]}")
    assert drops("- {if: {has_fields: [a]}, then: {add_tags: {tags: [a]}}, else: {drop_event: }}")
    assert not drops("- drop_fields: {fields: [a]}")


def test_events_that_are_dropped_are_counted_under_the_processors_name() -> None:
    assert DropEvent.name == DROPPED
