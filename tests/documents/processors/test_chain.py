"""What each processor does to an event: the cases of Filebeat's documentation and own tests."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from shipper.config.processors import parse
from shipper.documents.processors.chain import Chain
from shipper.documents.processors.event import Event, Time
from shipper.documents.processors.machine import Machine
from tests.documents.processors.support import MACHINE, NOW, READ_AT, run

LINE = (
    b'{"process_exit":{"process":{"pid":1,"pod":{"namespace":"default","name":"web-1",'
    b'"uid":"4711","container":{"id":"containerd://abc","name":"web","image":{"id":"sha","name":'
    b'"docker.io/web:1"}},"pod_labels":{"app.kubernetes.io/name":"web"},"workload":"web",'
    b'"workload_kind":"Deployment"}},"time":"2026-11-24T04:32:36Z"},"node_name":"worker-1",'
    b'"time":"2026-11-24T04:32:37.120Z"}'
)


# timestamp ----------------------------------------------------------------------------------------

EXPECTED = "2015-03-07T11:06:39.000Z"
ANSIC = "Mon Jan _2 15:04:05 2006"


def timestamp(layouts: str, more: str = "") -> str:
    return f"- timestamp: {{field: ts, layouts: [{layouts}]{more}}}"


@pytest.mark.parametrize(
    ("value", "layouts", "time"),
    [
        ("Sat Mar  7 11:06:39 2015", f"'{ANSIC}'", EXPECTED),
        ("2015-03-07T11:06:39Z", "'2006-01-02T15:04:05Z07:00'", "2015-03-07T11:06:39Z"),
        ("2015-03-07T12:06:39+01:00", "'2006-01-02T15:04:05Z07:00'", EXPECTED),
        (1425726399, "UNIX", EXPECTED),
        (1425726399.0, "UNIX", EXPECTED),
        ("1425726399", "UNIX", EXPECTED),
        ("1425726399.0", "UNIX", EXPECTED),
        (1425726399.5, "UNIX", "2015-03-07T11:06:39.500Z"),
        (1425726399000, "UNIX_MS", EXPECTED),
        (1425726399000.0, "UNIX_MS", EXPECTED),
        ("1425726399001", "UNIX_MS", "2015-03-07T11:06:39.001Z"),
        (
            "2015-03-07T11:06:39.123456789Z",
            "'2006-01-02T15:04:05Z'",
            "2015-03-07T11:06:39.123456789Z",
        ),
        ("07.03.2015 11:06:39", "UNIX, '2006-01-02', '02.01.2006 15:04:05'", EXPECTED),
    ],
)
def test_timestamp_reads_by_the_first_layout_that_fits(
    value: object, layouts: str, time: str
) -> None:
    found = run(timestamp(layouts), {"ts": value})
    assert (found.timestamp, found.failed) == (time, [])


def test_timestamp_takes_the_current_year_where_the_value_has_none() -> None:
    found = run(timestamp("'Jan _2 15:04:05.000'"), {"ts": "Mar  7 11:06:39.002"})
    assert found.timestamp == "2025-03-07T11:06:39.002Z"


def test_timestamp_takes_a_time_without_zone_for_one_of_its_time_zone() -> None:
    text = timestamp(f"'{ANSIC}'", ", timezone: America/Panama")
    assert run(text, {"ts": "Sat Mar  7 11:06:39 2015"}).timestamp == "2015-03-07T16:06:39.000Z"


@pytest.mark.parametrize(
    "value", ["11:06AM", 1425726399, None, True, ["2015-03-07"], "9999999999-01-01", {}]
)
def test_timestamp_that_fails_leaves_the_time_as_it_is(value: object) -> None:
    found = run(timestamp("'2006-01-02'"), {"ts": value})
    assert (found.timestamp, found.failed) == (READ_AT, ["timestamp"])
    assert run(timestamp("'2006-01-02'", ", ignore_failure: true"), {"ts": value}).failed == []
    assert run(timestamp("'2006-01-02'", ", ignore_missing: true"), {"ts": value}).failed != []


@pytest.mark.parametrize("value", [10**30, -(10**30), 1e300, "nan", "inf", True])
def test_timestamp_takes_no_seconds_that_are_past_the_calendar(value: object) -> None:
    assert run(timestamp("UNIX"), {"ts": value}).failed == ["timestamp"]


def test_timestamp_of_a_field_that_is_missing_fails_unless_that_is_ignored() -> None:
    missing = run(timestamp("'2006'"), {})
    assert missing.failures == [("timestamp", "there is no field `ts`")]
    assert run(timestamp("'2006'", ", ignore_missing: true"), {}).failed == []
    assert run(timestamp("'2006'", ", ignore_failure: true"), {}).failed == []


def test_timestamp_writes_into_its_target_in_utc() -> None:
    text = timestamp("'2006-01-02T15:04:05Z07:00'", ", target_field: event.created")
    found = run(text, {"ts": "2026-11-24T04:32:37.5+02:00"})
    assert found.timestamp == READ_AT
    assert found.fields["event"]["created"].text == "2026-11-24T02:32:37.500Z"


def test_timestamp_takes_a_time_as_it_is() -> None:
    text = (
        timestamp("'2006-01-02'", ", target_field: event.created")
        + "\n- timestamp: {field: event.created, layouts: [UNIX]}"
    )
    assert run(text, {"ts": "2015-03-07"}).timestamp == "2015-03-07T00:00:00.000Z"


def test_timestamp_finds_a_field_in_the_line_where_the_document_has_none() -> None:
    text = "- timestamp: {field: time, layouts: ['2006-01-02T15:04:05Z']}"
    assert run(text, {}, LINE).timestamp == "2026-11-24T04:32:37.120Z"
    assert run(text, {"time": "2015-03-07T11:06:39Z"}, LINE).timestamp == "2015-03-07T11:06:39Z"
    assert run(text, {}, b"no JSON").failed == ["timestamp"]
    nested = "- timestamp: {field: process_exit.time, layouts: ['2006-01-02T15:04:05Z']}"
    assert run(nested, {}, LINE).timestamp == "2026-11-24T04:32:36Z"


# Fields and tags ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processors", "before", "after"),
    [
        ("- add_fields: {fields: {a: 1}}", {}, {"fields": {"a": 1}}),
        (
            "- add_fields: {fields: {a: 1}}",
            {"fields": {"a": 2, "b": 3}},
            {"fields": {"a": 1, "b": 3}},
        ),
        ("- add_fields: {target: '', fields: {a.b: 1}}", {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ("- add_fields: {target: x, fields: {a: {b: 1}}}", {"x": 2}, {"x": {"a": {"b": 1}}}),
        (
            "- add_labels: {labels: {a.b: 1}}",
            {"labels": {"c": 2}},
            {"labels": {"a.b": "1", "c": 2}},
        ),
        ("- add_tags: {tags: [a, b]}", {}, {"tags": ["a", "b"]}),
        ("- add_tags: {tags: [a]}", {"tags": ["a", "c"]}, {"tags": ["a", "c", "a"]}),
        ("- add_tags: {tags: [a], target: x.y}", {}, {"x": {"y": ["a"]}}),
        ("- drop_fields: {fields: [a, b.c]}", {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3}}),
        ("- drop_fields: {fields: [b.c]}", {"b.c": 1, "b": {"c": 2}}, {"b": {"c": 2}}),
        ("- drop_fields: {fields: []}", {"a": 1}, {"a": 1}),
        (
            "- drop_fields: {fields: ['/^a/']}",
            {"ab": 1, "b": {"a": 2}, "a": {"x": 1}},
            {"b": {"a": 2}},
        ),
        ("- drop_fields: {fields: ['/b[.]a$/']}", {"ab": 1, "b": {"a": 2}}, {"ab": 1, "b": {}}),
        (
            "- include_fields: {fields: [a, b.c, missing]}",
            {"a": 1, "b": {"c": 2, "d": 3}, "type": "t", "x": 1},
            {"a": 1, "b": {"c": 2}, "type": "t"},
        ),
        ("- include_fields: {fields: []}", {"a": 1}, {}),
        (
            "- rename: {fields: [{from: a, to: b}, {from: c.d, to: e.f}]}",
            {"a": 1, "c": {"d": 2}},
            {"b": 1, "c": {}, "e": {"f": 2}},
        ),
        ("- rename: {fields: [{from: a, to: a.value}]}", {"a": 1}, {"a": {"value": 1}}),
        ("- rename: {fields: [{from: a.b, to: a.b.c}]}", {"a.b": 1}, {"a": {"b": {"c": 1}}}),
        (
            "- rename: {fields: [{from: b, to: c}, {from: a, to: b}]}",
            {"a": 2, "b": "q"},
            {"b": 2, "c": "q"},
        ),
        (
            "- rename: {ignore_missing: true, fields: [{from: x, to: y}, {from: a, to: b}]}",
            {"a": 1},
            {"b": 1},
        ),
        (
            "- copy_fields: {fields: [{from: a, to: b}]}",
            {"a": {"x": [1]}},
            {"a": {"x": [1]}, "b": {"x": [1]}},
        ),
        ("- truncate_fields: {fields: [a], max_characters: 2}", {"a": "éàb"}, None),
        ("- truncate_fields: {fields: [a], max_bytes: 4}", {"a": "abcd"}, {"a": "abcd"}),
    ],
)
def test_fields_change(
    processors: str, before: dict[str, Any], after: dict[str, Any] | None
) -> None:
    found = run(processors, before)
    if after is None:
        after = {"a": "éà", "log": {"flags": ["truncated"]}}
    assert (found.fields, found.failed) == (after, [])


FAILURES = [
    ("- add_tags: {tags: [a]}", {"tags": "text"}, {"tags": "text"}),
    ("- add_tags: {tags: [a], target: a.b}", {"a": 1}, {"a": 1}),
    ("- drop_fields: {fields: [x, a]}", {"a": 1, "b": 2}, {"b": 2}),
    ("- drop_fields: {fields: [a.b, c], ignore_missing: true}", {"a": 1, "c": 2}, {"a": 1}),
    ("- include_fields: {fields: [a.b, c]}", {"a": 1, "c": 2}, {"c": 2}),
    (
        "- rename: {fields: [{from: b, to: c}, {from: a, to: c}]}",
        {"a": 2, "b": "q"},
        {
            "a": 2,
            "b": "q",
            "error": {"message": "rename: there is a field `c` already: drop or rename it first"},
        },
    ),
    (
        "- rename: {fields: [{from: a, to: x.y.z}, {from: n, to: m}]}",
        {"a": 1},
        {"a": 1, "error": {"message": "rename: there is no field `n`"}},
    ),
    (
        "- rename: {fields: [{from: a, to: b.c}]}",
        {"a": 1, "b": 2},
        {"a": 1, "b": 2, "error": {"message": "rename: `b` of `b.c` is not an object"}},
    ),
    (
        "- copy_fields: {fields: [{from: a, to: b}, {from: n, to: m}]}",
        {"a": 1, "error": {"message": "the line is not JSON"}},
        {"a": 1, "error": {"message": "the line is not JSON"}},
    ),
    (
        "- truncate_fields: {fields: [a, b], max_bytes: 1, fail_on_error: true}",
        {"a": "long", "b": 2},
        {"a": "long", "b": 2},
    ),
]


@pytest.mark.parametrize(("processors", "before", "after"), FAILURES)
def test_a_processor_that_fails_leaves_this_and_is_told(
    processors: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    found = run(processors + "\n- add_fields: {fields: {next: 1}}", before)
    assert found.fields == {**after, "fields": {"next": 1}}
    assert len(found.failures) == 1


def test_without_fail_on_error_the_rest_is_done_and_nothing_fails() -> None:
    pairs = "[{from: n, to: m}, {from: a, to: b}]"
    assert run(f"- rename: {{fail_on_error: false, fields: {pairs}}}", {"a": 1}).fields == {"b": 1}
    found = run("- truncate_fields: {fields: [n, a], max_bytes: 1}", {"a": "ab"})
    assert (found.fields["a"], found.failed) == ("a", [])


def test_what_is_added_is_shared_by_no_two_events() -> None:
    text = (
        "- add_fields: {fields: {list: [1], map: {a: 1}}}\n"
        "- add_tags: {tags: [x], target: fields.list}\n"
        "- rename: {fields: [{from: fields.map.a, to: fields.map.b}]}"
    )
    chain = Chain(parse(yaml.safe_load(text)), MACHINE)
    for _ in range(2):
        event = Event(Time(READ_AT), {}, b"", NOW)
        assert chain.run(event) == []
        assert event.fields == {"fields": {"list": [1, "x"], "map": {"b": 1}}}


def test_bytes_are_cut_between_characters() -> None:
    found = run("- truncate_fields: {fields: [a], max_bytes: 3}", {"a": "aéà"})
    assert found.fields["a"] == "aé"
    assert run("- truncate_fields: {fields: [a], max_bytes: 2}", {"a": "aé"}).fields["a"] == "a"


# Conditions, dropping -----------------------------------------------------------------------------


def test_when_decides_whether_a_processor_is_done() -> None:
    text = "- add_tags: {tags: [a], when: {equals: {n: 1}}}"
    assert run(text, {"n": 1}).fields == {"n": 1, "tags": ["a"]}
    assert run(text, {"n": 2}).fields == {"n": 2}


def test_drop_event_makes_no_document() -> None:
    text = "- drop_event.when.equals.n: 1\n- add_tags: {tags: [a]}"
    assert run(text, {"n": 1}).dropped
    assert run(text, {"n": 2}).fields == {"n": 2, "tags": ["a"]}


def test_if_then_else_does_the_one_list_or_the_other() -> None:
    text = (
        "- if: {equals: {n: 1}}\n"
        "  then: [{add_tags: {tags: [a]}}, {drop_fields: {fields: [n]}}]\n"
        "  else: {add_tags: {tags: [b]}}"
    )
    assert run(text, {"n": 1}).fields == {"tags": ["a"]}
    assert run(text, {"n": 2}).fields == {"n": 2, "tags": ["b"]}
    assert run("- if: {equals: {n: 1}}\n  then: {drop_event: }", {"n": 1}).dropped


def test_a_failure_ends_the_list_of_if_and_no_other() -> None:
    text = (
        "- if: {has_fields: [n]}\n"
        "  then: [{drop_fields: {fields: [x]}}, {add_tags: {tags: [a]}}]\n"
        "- add_tags: {tags: [b]}"
    )
    found = run(text, {"n": 1})
    assert found.fields == {"n": 1, "tags": ["b"]}
    assert found.failures == [("if", "drop_fields: there is no field `x`")]


def test_what_is_nested_too_deeply_fails_and_ends_nothing() -> None:
    text = '{"a":' * 1000 + "1" + "}" * 1000
    decode = "- decode_json_fields: {fields: [m], target: n}"
    copy = "- copy_fields: {fields: [{from: n, to: o}]}"
    keys = "- drop_fields: {fields: ['/x/']}"
    found = run(f"{decode}\n{copy}\n{keys}\n- add_tags: {{tags: [a]}}", {"m": text})
    assert found.failures == [
        ("copy_fields", "a field is nested too deeply"),
        ("drop_fields", "a field is nested too deeply"),
    ]
    assert found.fields["tags"] == ["a"]


# Metadata -----------------------------------------------------------------------------------------


def test_host_metadata_is_what_the_machine_tells() -> None:
    found = run("- add_host_metadata: ", {"host": {"name": "n", "other": 1}})
    assert found.fields["host"] == {
        "name": "machine",
        "other": 1,
        "architecture": "x86_64",
        "ip": ["192.0.2.1"],
        "mac": ["02-FC-00-00-00-01"],
    }
    without = run("- add_host_metadata: {netinfo.enabled: false, name: mine}", {})
    assert without.fields["host"] == {"name": "mine", "architecture": "x86_64"}


def test_host_metadata_has_the_place_that_is_given() -> None:
    text = "- add_host_metadata: {geo: {name: rack1, location: '40.71, -74.00', city_name: ' '}}"
    assert run(text, {}).fields["host"]["geo"] == {"name": "rack1", "location": "40.71, -74.00"}


def test_host_metadata_replaces_nothing_if_it_is_not_to() -> None:
    text = "- add_host_metadata: {replace_fields: false}"
    told: dict[str, object] = {"host": {"name": "n", "id": "i"}}
    assert run(text, told).fields == told
    assert run(text, {"host": {"name": "n"}}).fields["host"]["name"] == "machine"


def test_kubernetes_metadata_is_what_the_event_tells_of_its_pod() -> None:
    found = run("- add_kubernetes_metadata: ", {"message": "m"}, LINE)
    assert found.fields == {
        "message": "m",
        "container": {"id": "abc", "runtime": "containerd", "image": {"name": "docker.io/web:1"}},
        "kubernetes": {
            "node": {"name": "worker-1"},
            "namespace": "default",
            "pod": {"name": "web-1", "uid": "4711"},
            "labels": {"app_kubernetes_io/name": "web"},
            "deployment": {"name": "web"},
            "container": {"name": "web"},
        },
    }
    dotted = run("- add_kubernetes_metadata: {labels.dedot: false}", {}, LINE)
    assert dotted.fields["kubernetes"]["labels"] == {"app.kubernetes.io/name": "web"}


def test_kubernetes_metadata_of_an_event_without_pod_is_its_node() -> None:
    line = b'{"process_exec":{"process":{"pid":1}}}'
    found = run("- add_kubernetes_metadata: ", {}, line)
    assert found.fields == {"kubernetes": {"node": {"name": "node-of-environment"}}}
    named = run("- add_kubernetes_metadata: {node: mine}", {}, line)
    assert named.fields == {"kubernetes": {"node": {"name": "mine"}}}
    assert run("- add_kubernetes_metadata: ", {}, b"[", Machine({}, MACHINE.host)).fields == {}


def test_kubernetes_metadata_that_is_there_is_left_alone() -> None:
    fields: dict[str, object] = {"kubernetes": {"pod": {"name": "mine"}}}
    assert run("- add_kubernetes_metadata: ", fields, LINE).fields == fields


def test_the_machine_is_asked_again_when_its_cache_is_too_old() -> None:
    asked: list[bool] = []

    def host(netinfo: bool) -> dict[str, object]:
        asked.append(netinfo)
        return {"name": f"machine-{len(asked)}"}

    chain = Chain(parse([{"add_host_metadata": {"cache.ttl": "5m"}}]), Machine({}, host))
    names = []
    for seconds in (0, 299, 300, 301, 0):
        event = Event(Time(READ_AT), {}, b"", NOW + seconds)
        chain.run(event)
        names.append(event.fields["host"])
    # The last one is a clock that was put back.
    assert [found["name"] for found in names if isinstance(found, dict)] == [
        "machine-1",
        "machine-1",
        "machine-2",
        "machine-2",
        "machine-3",
    ]
