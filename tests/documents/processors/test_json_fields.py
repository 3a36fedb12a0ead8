"""`decode_json_fields`: the cases of Filebeat's documentation and of its own tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.documents.processors.support import READ_AT, run

NESTED = '{"log":"{\\"level\\":\\"info\\"}","stream":"stderr","count":3}'


def decode(text: object, options: str = "", **fields: Any) -> Any:
    processors = f"- decode_json_fields: {{fields: [msg]{options}}}"
    return run(processors, {**fields, "msg": text})


@pytest.mark.parametrize(
    ("text", "options", "msg"),
    [
        (NESTED, "", {"log": '{"level":"info"}', "stream": "stderr", "count": 3}),
        (NESTED, ", max_depth: 2", {"log": {"level": "info"}, "stream": "stderr", "count": 3}),
        ('{"a":"[1]","b":"7","c":"{\\"d\\":\\"{}\\"}"}', "", None),
        (
            '{"a":"[1]","b":"7","c":"{\\"d\\":\\"{}\\"}"}',
            ", max_depth: 10",
            {"a": "[1]", "b": "7", "c": {"d": {}}},
        ),
        (
            '{"a":"[1]","b":"7","c":"{\\"d\\":\\"{}\\"}"}',
            ", max_depth: 10, process_array: true",
            {"a": [1], "b": "7", "c": {"d": {}}},
        ),
        (
            '{"a":"{\\"b\\":\\"{}\\"}"}',
            ", max_depth: 2",
            {"a": {"b": "{}"}},
        ),
        ('{"a":"[]]"}', ", max_depth: 10, process_array: true", {"a": "[]]"}),
        ('{"a":{"b":"{}"}}', ", max_depth: 10", {"a": {"b": "{}"}}),
        ("[1, 2]", "", [1, 2]),
        ('["{}"]', ", max_depth: 2, process_array: true", [{}]),
        ("7", ", max_depth: 2", 7),
        (' {"a": 1.5e3} ', "", {"a": 1500.0}),
        ('{"a": 18446744073709551615, "b": null}', "", {"a": 2**64 - 1, "b": None}),
    ],
)
def test_json_takes_the_place_of_its_text(text: str, options: str, msg: object) -> None:
    found = decode(text, options, pipeline="us1")
    assert found.fields == {"pipeline": "us1", "msg": json.loads(text) if msg is None else msg}
    assert found.failed == []


def test_a_field_that_is_missing_or_no_text_is_no_failure() -> None:
    assert run("- decode_json_fields: {fields: [msg]}", {"a": 1}).failed == []
    assert decode(123).fields == {"msg": 123}
    assert decode(123).failed == []


@pytest.mark.parametrize("text", ['{"a":', "11:38:04,323 |-INFO", "", "{} {}", "NaN", '"\\ud800"'])
def test_what_is_no_json_stays_and_is_told(text: str) -> None:
    found = decode(text)
    assert found.fields == {"msg": text}
    assert found.failed == ["decode_json_fields"]


def test_a_list_is_refused_where_lists_are_not_to_be_processed() -> None:
    assert decode("[1]", ", max_depth: 2").failed == ["decode_json_fields"]


def test_the_document_says_what_was_wrong_if_it_is_to() -> None:
    found = decode("Broken [[", ", add_error_key: true")
    assert found.fields["msg"] == "Broken [["
    error = found.fields["error"]
    assert error.pop("message").startswith("parsing input as JSON: ")
    assert error == {"type": "json", "data": "Broken [[", "field": "msg"}


def test_a_target_is_another_field_or_the_root() -> None:
    assert decode(NESTED, ", target: doc").fields == {"msg": NESTED, "doc": json.loads(NESTED)}
    assert decode(NESTED, ", target: ''").fields == {"msg": NESTED, **json.loads(NESTED)}
    assert decode(NESTED, ", target: ~").fields == {"msg": json.loads(NESTED)}
    assert decode("[1]", ", target: ''").failed == ["decode_json_fields"]
    assert decode("{}", ", target: a.b", a=1).failed == ["decode_json_fields"]


def test_keys_are_overwritten_at_the_root_only_if_they_are_to_be() -> None:
    text = '{"a":{"b":1,"c":2},"msg":"new","@metadata":{"_id":"x"},"@timestamp":"x"}'
    kept = decode(text, ", target: ''", a={"b": 0})
    assert kept.fields == {"msg": text, "a": {"b": 0, "c": 2}}
    assert (kept.timestamp, kept.failed) == (READ_AT, [])
    over = decode(text, ", target: '', overwrite_keys: true", a={"b": 0, "d": 3})
    assert over.fields == {"msg": "new", "a": {"b": 1, "c": 2, "d": 3}}
    assert over.failed == ["decode_json_fields"]


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-11-24T04:32:37.123456789Z", "2026-11-24T04:32:37.123456789Z"),
        ("2026-11-24T04:32:37+02:00", "2026-11-24T02:32:37.000Z"),
        ("2026-11-24T04:32:37.500+0200", "2026-11-24T02:32:37.500Z"),
    ],
)
def test_the_time_is_overwritten_by_one_of_iso_8601(value: str, time: str) -> None:
    text = json.dumps({"@timestamp": value})
    found = decode(text, ", target: '', overwrite_keys: true")
    assert (found.timestamp, found.fields, found.failed) == (time, {"msg": text}, [])


@pytest.mark.parametrize(
    ("decoded", "message"),
    [
        ({"@timestamp": "{}"}, "@timestamp not overwritten (parse error on {})"),
        ({"@timestamp": 7}, "@timestamp not overwritten (parse error on 7)"),
        ({"type": "_x"}, "type not overwritten (invalid value [_x])"),
        ({"type": ""}, "type not overwritten (invalid value [])"),
    ],
)
def test_a_time_or_type_that_is_none_is_told(decoded: object, message: str) -> None:
    options = ", target: '', overwrite_keys: true, add_error_key: true"
    found = decode(json.dumps(decoded), options)
    assert found.fields["error"] == {"message": message, "type": "json"}
    assert (found.timestamp, found.failed) == (READ_AT, ["decode_json_fields"])


def test_the_type_is_overwritten() -> None:
    found = decode('{"type":"t"}', ", target: '', overwrite_keys: true", type="old")
    assert found.fields["type"] == "t"


def test_keys_with_dots_are_expanded_at_the_root() -> None:
    options = ", target: '', expand_keys: true"
    found = decode('{"a.b":{"c":"c"},"a.b.d":"d","e":[{"f.g":1}]}', options)
    assert found.fields["a"] == {"b": {"c": "c", "d": "d"}}
    other = decode('{"a.b.d":"d","a":{"b":{"c.x":1}}}', options)
    assert other.fields["a"] == {"b": {"d": "d", "c": {"x": 1}}}


@pytest.mark.parametrize(
    "text", ['{"a.b":"c","a.b.c":"d"}', '{"a.b":1,"a":{"b":2}}', '{"a.b":{"c":1},"a":{"b.c":2}}']
)
def test_keys_that_contradict_each_other_are_told(text: str) -> None:
    found = decode(text, ", target: '', expand_keys: true, add_error_key: true")
    assert found.fields["msg"] == text
    assert found.fields["error"]["message"].startswith("cannot expand `")
    assert "a" not in found.fields


def test_what_fails_in_one_field_is_no_reason_to_leave_the_others() -> None:
    found = run("- decode_json_fields: {fields: [a, b]}", {"a": "{", "b": "{}"})
    assert found.fields == {"a": "{", "b": {}}
    assert found.failed == ["decode_json_fields"]
