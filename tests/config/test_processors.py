"""Filebeat's list of processors: what it may say, and what is said where it is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shipper.config.conditions import AllOf, AnyOf, Bounds, Equals, HasFields, Not, Range
from shipper.config.options import OptionError
from shipper.config.processor_list import Processors
from shipper.config.processor_readers import READERS
from shipper.config.processor_types import (
    AddFields,
    AddHostMetadata,
    AddKubernetesMetadata,
    AddTags,
    DecodeJsonFields,
    DropEvent,
    DropFields,
    IfThenElse,
    IncludeFields,
    MoveFields,
    ProcessorConfig,
    Timestamp,
    TruncateFields,
    When,
)
from shipper.config.processors import parse
from shipper.config.refused_processors import REFUSED
from shipper.golang.pattern import Pattern
from shipper.option_names import OWN_NAMES

DOCS = Path(__file__).parents[2] / "docs" / "processors.md"

GUIDE = """
- timestamp:
    field: "time"
    layouts:
      - '2006-01-02T15:04:05Z'
      - '2006-01-02T15:04:05.999Z'
      - '2006-01-02T15:04:05.999-07:00'
    test:
      - '2019-06-22T16:33:51Z'
      - '2019-11-18T04:59:51.123Z'
      - '2020-08-03T07:10:20.123456+02:00'
"""


def read(text: str) -> tuple[ProcessorConfig, ...]:
    return parse(yaml.safe_load(text))


def one(text: str) -> ProcessorConfig:
    (found,) = read(text)
    return found


def refusal(text: str) -> str:
    with pytest.raises(OptionError) as caught:
        read(text)
    return str(caught.value)


def test_the_guides_processor_is_read() -> None:
    found = one(GUIDE)
    assert isinstance(found, Timestamp)
    assert (found.field, found.target_field, len(found.layouts)) == ("time", "@timestamp", 3)


def test_defaults_are_those_of_filebeat() -> None:
    assert one("- add_fields: {fields: {a: 1}}") == AddFields(
        name="add_fields", fields={"fields": {"a": 1}}
    )
    assert one("- add_tags: {tags: a}") == AddTags(tags=("a",), target="tags")
    assert one("- drop_fields: {fields: [a]}") == DropFields(
        fields=("a",), patterns=(), ignore_missing=False
    )
    assert one("- include_fields: {fields: []}") == IncludeFields(fields=())
    assert one("- rename: {fields: [{from: a, to: b}]}") == MoveFields(
        name="rename", fields=(("a", "b"),), ignore_missing=False, fail_on_error=True
    )
    assert one("- copy_fields: {fields: [{from: a, to: b}]}") == MoveFields(
        name="copy_fields", fields=(("a", "b"),), ignore_missing=False, fail_on_error=True
    )
    assert one("- decode_json_fields: {fields: [message]}") == DecodeJsonFields(
        fields=("message",),
        process_array=False,
        max_depth=1,
        target=None,
        overwrite_keys=False,
        expand_keys=False,
        add_error_key=False,
    )
    assert one("- add_host_metadata: ") == AddHostMetadata(
        netinfo=True, cache_ttl=300.0, replace_fields=True, geo={}, host_name=""
    )
    assert one("- add_kubernetes_metadata: ~") == AddKubernetesMetadata(dedot_labels=True, node="")
    assert one("- truncate_fields: {fields: [a], max_bytes: 1}") == TruncateFields(
        fields=("a",), max_bytes=1, max_characters=0, ignore_missing=False, fail_on_error=False
    )


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("{target: '', fields: {a.b: 1, a.c: 2}}", {"a": {"b": 1, "c": 2}}),
        ("{target: mine, fields: {a: [1]}}", {"mine": {"a": [1]}}),
        ("{target: ~, fields: {a: 1}}", {"fields": {"a": 1}}),
        ("{fields.a: 1}", {"fields": {"a": 1}}),
    ],
)
def test_fields_are_added_below_the_target(text: str, fields: dict[str, Any]) -> None:
    assert one(f"- add_fields: {text}") == AddFields(name="add_fields", fields=fields)


def test_labels_become_flat() -> None:
    text = """
- add_labels:
    labels:
      number: 1
      "yes": true
      half: 0.5
      with.dots: test
      nested: {with.dots: nested}
      array: [do, re, {with.field: mi}]
"""
    labels = {
        "number": "1",
        "yes": "true",
        "half": "0.5",
        "with.dots": "test",
        "nested.with.dots": "nested",
        "array.0": "do",
        "array.1": "re",
        "array.2.with.field": "mi",
    }
    assert one(text) == AddFields(name="add_labels", fields={"labels": labels})


def test_conditions_may_have_dots_in_their_keys_or_not() -> None:
    nested = one("- drop_event: {when: {equals: {http: {response: {code: 200}}}}}")
    dotted = one("- drop_event.when.equals.http.response.code: 200")
    assert nested == dotted
    assert nested == When(condition=Equals((("http.response.code", 200),)), processor=DropEvent())


def test_conditions_are_nested() -> None:
    text = """
- drop_event.when:
    or:
      - not: {has_fields: [a, b.c]}
      - and:
          - range: {n.gte: 0.5, n.lt: "2", m: {gt: 1}}
          - equals: {t: true, s: x}
"""
    found = one(text)
    assert isinstance(found, When)
    assert found.condition == AnyOf(
        (
            Not(HasFields(("a", "b.c"))),
            AllOf(
                (
                    Range((("n", Bounds(gte=0.5, lt=2.0)), ("m", Bounds(gt=1.0)))),
                    Equals((("t", True), ("s", "x"))),
                )
            ),
        )
    )


def test_if_then_else_takes_lists_or_single_processors() -> None:
    found = one(
        "- if: {has_fields: [a]}\n"
        "  then: {drop_event: }\n"
        "  else:\n"
        "    - add_tags: {tags: [b]}\n"
        "    - add_tags: {tags: [c]}\n"
    )
    assert found == IfThenElse(
        condition=HasFields(("a",)),
        then=(DropEvent(),),
        otherwise=(
            AddTags(tags=("b",), target="tags"),
            AddTags(tags=("c",), target="tags"),
        ),
    )


def test_drop_fields_takes_patterns_and_leaves_what_must_stay() -> None:
    found = one("- drop_fields: {fields: [a, /^b/, '@timestamp', type, /]}")
    assert isinstance(found, DropFields)
    assert found.fields == ("a", "/")
    assert found.patterns == (Pattern("^b"),)


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [("5m", 300.0), ("1h30m", 5400.0), ("-1s", -1.0), ("0", 0.0), ("250ms", 0.25), ("7", 7.0)],
)
def test_the_cache_of_host_metadata_has_a_duration_of_go(ttl: str, seconds: float) -> None:
    found = one(f"- add_host_metadata: {{cache.ttl: {ttl}}}")
    assert isinstance(found, AddHostMetadata)
    assert found.cache_ttl == seconds


def test_values_of_variables_are_text_and_taken_all_the_same() -> None:
    found = one("- truncate_fields: {fields: [a], max_bytes: '10', ignore_missing: 'true'}")
    assert found == TruncateFields(
        fields=("a",), max_bytes=10, max_characters=0, ignore_missing=True, fail_on_error=False
    )


WRONG = {
    "a": ("expected a list, not `a` (begin each entry with `- `)"),
    "- a": "[0]: expected a processor, not `a` (such as `- add_tags: {tags: [a]}`)",
    "- {add_tags: {tags: a}, drop_event: }": (
        "[0]: several keys in one entry (add_tags, drop_event) (begin each processor with "
        "`- `, and indent its options below its name)"
    ),
    "- ad_tags: {tags: a}": ("[0].ad_tags: unknown processor (did you mean `add_tags`?)"),
    "- add_tags: {tag: a, tags: b}": ("[0].add_tags.tag: unknown option (did you mean `tags`?)"),
    "- add_tags: ": ("[0].add_tags.tags: required option is missing (add it)"),
    "- add_tags: {tags: {a: b}}": "[0].add_tags.tags: expected text, not keys with values",
    "- {add_tags: {tags: [a]}}\n- timestamp: {field: a}": (
        "[1].timestamp.layouts: required option is missing (add it)"
    ),
    "- timestamp: {field: a, layouts: ['2006'], timezone: Mars}": (
        "[0].timestamp.timezone: there is no time zone `Mars`: give UTC, Local, a name such as "
        "America/New_York, or an offset such as +0200"
    ),
    "- timestamp: {field: a, layouts: ['2006-01-89Z07:00'], test: ['2015-03-07Z']}": (
        "[0].timestamp.test[0]: `2015-03-07Z` does not match any of the layouts: by "
        "2006-01-89Z07:00: `89` is expected, not `07Z`"
    ),
    "- timestamp: {field: a, layouts: [UNIX], test: [x]}": (
        "[0].timestamp.test[0]: `x` does not match any of the layouts: by UNIX: expected a "
        "number, not `x`"
    ),
    "- drop_event: ": ("[0].drop_event: drops every event (give it a condition with `when`)"),
    "- drop_event.when: ": ("[0].drop_event: drops every event (give it a condition with `when`)"),
    "- drop_event.when: {equal: {a: 1}}": (
        "[0].drop_event.when.equal: unknown condition (use one of: equals, contains, "
        "regexp, range, has_fields, network, or, and, not)"
    ),
    "- drop_event.when: {equals: {a: 1}, contains: {a: b}}": (
        "[0].drop_event.when: several conditions in one (equals, contains) (put them in a "
        "list below `and` or `or`)"
    ),
    "- drop_event.when: {equals: {a: 1.5}}": (
        "[0].drop_event.when.equals.a: expected text, a whole number, true or false, not a number"
    ),
    "- drop_event.when: {contains: {a: 1}}": (
        "[0].drop_event.when.contains.a: expected text, not a number (put it in quotes)"
    ),
    "- drop_event.when: {regexp: {a: '('}}": (
        "[0].drop_event.when.regexp.a: `(` is not a regular expression: missing ): ( (close the "
        "group, or write \\( for a parenthesis)"
    ),
    "- drop_event.when: {regexp: {a: '^(?!kube-)'}}": (
        "[0].drop_event.when.regexp.a: `^(?!kube-)` is not a regular expression: invalid perl "
        "operator: (?! (RE2 has no lookahead: combine conditions with `and` and `not`)"
    ),
    "- drop_fields: {fields: [a, '/\\C/']}": (
        "[0].drop_fields.fields: `\\C` is not a regular expression: \\C is not supported (write . "
        "for any character)"
    ),
    "- drop_event.when: {range: {a: 5}}": (
        "[0].drop_event.when.range.a: a range needs gt, gte, lt or lte (write such as `a.gte: 400`)"
    ),
    "- drop_event.when: {range: {a.gt: x}}": (
        "[0].drop_event.when.range.a.gt: expected a number, not `x`"
    ),
    "- drop_event.when: {network: {a: [10.0.0.1]}}": (
        "[0].drop_event.when.network.a: `10.0.0.1` is not a network (use a subnet such as "
        "10.0.0.0/8, or one of: loopback, global_unicast, unicast, link_local_unicast, "
        "interface_local_multicast, link_local_multicast, multicast, unspecified, private, "
        "public)"
    ),
    "- drop_event.when: {or: []}": (
        "[0].drop_event.when.or: the list is empty (give at least one condition)"
    ),
    "- drop_event.when: {has_fields: ['@metadata.a']}": (
        "[0].drop_event.when.has_fields: @metadata is not available (name another field)"
    ),
    "- {if: {has_fields: [a]}, else: {add_tags: {tags: [a]}}}": (
        "[0].then: required option is missing (give the processors of `if`)"
    ),
    "- {if: {has_fields: [a]}, then: {add_tags: {}}}": (
        "[0].then.add_tags.tags: required option is missing (add it)"
    ),
    "- {if: {has_fields: [a]}, then: [{script: {}}]}": (
        "[0].then[0].script: unsupported processor (do it in an ingest pipeline, and set "
        "output.pipeline to it)"
    ),
    "- rename: {fields: [{from: a}]}": (
        "[0].rename.fields[0].to: required option is missing (add it)"
    ),
    "- rename: {fields: [{from: '@timestamp', to: b}]}": (
        "[0].rename.fields[0].from: @timestamp cannot be moved or replaced (name another field)"
    ),
    "- copy_fields: {fields: [{from: a, to: '@metadata.b'}]}": (
        "[0].copy_fields.fields[0].to: @metadata is not available: shipper has other "
        "options for where an event goes (use output.index or "
        "output.data_stream)"
    ),
    "- add_fields: {target: '', fields: {'@timestamp': 1}}": (
        "[0].add_fields.fields.@timestamp: cannot be added (use the processor timestamp)"
    ),
    "- add_fields: {fields: [a]}": ("[0].add_fields.fields: expected keys with values, not a list"),
    "- add_fields: {fields: {a: 1, a.b: 2}}": (
        "[0].add_fields.fields.a.b: contradicts another key (remove one of them)"
    ),
    "- decode_json_fields: {fields: [message], document_id: x}": (
        "[0].decode_json_fields.document_id: unsupported option (ids are made of the file, "
        "the offset and the line, so that nothing is stored twice: leave it out)"
    ),
    "- decode_json_fields: {fields: [message], max_depth: 0}": (
        "[0].decode_json_fields.max_depth: 0 is out of range (use 1 or more)"
    ),
    "- add_host_metadata: {geo.location: there}": (
        "[0].add_host_metadata.geo.location: `there` is not latitude,longitude (write it as "
        "40.71,-74.00)"
    ),
    "- add_host_metadata: {cache.ttl: soon}": (
        "[0].add_host_metadata.cache.ttl: expected a duration such as 500ms, 5m or 1h30m, not "
        "`soon`"
    ),
    "- add_kubernetes_metadata: {kube_config: /a}": (
        "[0].add_kubernetes_metadata.kube_config: needs the Kubernetes API, which shipper "
        "does not use (remove it; the pod is taken from Tetragon's event)"
    ),
    "- add_kubernetes_metadata: {scope: cluster}": (
        "[0].add_kubernetes_metadata.scope: needs the Kubernetes API, which shipper does "
        "not use (remove it)"
    ),
    "- truncate_fields: {fields: [a]}": (
        "[0].truncate_fields: needs either max_bytes or max_characters (set one of the two "
        "to 1 or more)"
    ),
    "- truncate_fields: {fields: [a], max_bytes: 1, max_characters: 1}": (
        "[0].truncate_fields: needs either max_bytes or max_characters (set one of the two "
        "to 1 or more)"
    ),
}


@pytest.mark.parametrize(("text", "said"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_path(text: str, said: str) -> None:
    assert refusal(text) == said


@pytest.mark.parametrize("name", REFUSED)
def test_a_processor_that_is_not_here_is_refused_with_what_to_do_instead(name: str) -> None:
    said = refusal(f"- {name}: {{}}")
    assert said.startswith(f"[0].{name}: unsupported processor (")
    assert OWN_NAMES.fill(REFUSED[name]) in said


def test_the_page_names_every_processor() -> None:
    text = DOCS.read_text()
    for name in (*READERS, *REFUSED):
        assert f"`{name}`" in text


def test_what_the_page_shows_can_be_read() -> None:
    shown = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(shown) >= 2
    for text in shown:
        content = yaml.safe_load(text)
        assert parse(content["processors"])
        for source in content.get("inputs", []):
            assert parse(source["processors"])


def test_processors_are_a_tuple_that_tells_its_errors_as_values() -> None:
    assert Processors.parse([]) == ()
    with pytest.raises(ValueError, match="expected a list"):
        Processors.parse(None)
