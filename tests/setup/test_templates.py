"""The index template: what it is for, what is in it, and what of an operator's stays in it."""

from __future__ import annotations

import json
from typing import Any

from shipper import __version__
from shipper.setup.fields import FIELDS
from shipper.setup.templates import is_ours, is_same, template, template_name, updated

STREAM = "logs-cilium_tetragon.log-default"
POD = "cilium_tetragon.log.process_exec.process.pod"


def field(made: dict[str, Any], name: str) -> dict[str, Any]:
    at: Any = {"properties": made["template"]["mappings"]["properties"]}
    for part in name.split("."):
        at = at["properties"][part]
    assert isinstance(at, dict)
    return at


def test_it_is_for_all_namespaces_of_the_data_stream_and_makes_it_one() -> None:
    made = template("metrics-other.set-prod", pipeline="")
    assert made["index_patterns"] == ["metrics-other.set-*"]
    assert made["data_stream"] == {}
    assert template_name("metrics-other.set-prod") == "shipper-metrics-other.set"


def test_every_field_is_mapped() -> None:
    made = template(STREAM, pipeline="")
    for name in FIELDS:
        assert "type" in field(made, name)
    assert field(made, "process.pid") == {"type": "long"}
    assert field(made, "data_stream.dataset")["value"] == "cilium_tetragon.log"
    assert field(made, "event.module")["value"] == "cilium_tetragon"
    assert "value" not in field(made, "data_stream.namespace")
    assert field(made, f"{POD}.pod_labels") == {"type": "flattened", "ignore_above": 1024}


def test_a_type_that_the_server_lacks_is_replaced_by_the_next_best() -> None:
    made = template(STREAM, pipeline="", unsupported={"flattened", "constant_keyword"})
    assert field(made, f"{POD}.pod_labels") == {"type": "flat_object"}
    assert field(made, "event.dataset")["type"] == "keyword"
    made = template(
        STREAM, pipeline="", unsupported={"flattened", "flat_object", "match_only_text"}
    )
    assert field(made, f"{POD}.pod_labels") == {"type": "object", "enabled": False}
    assert field(made, "message") == {"type": "text"}
    labels = made["template"]["mappings"]["dynamic_templates"][0]["labels_0"]
    assert labels["mapping"] == {"type": "object", "enabled": False}


def test_there_is_nothing_of_a_lifecycle_in_it() -> None:
    text = json.dumps(template(STREAM, pipeline="p")["template"]["settings"])
    assert json.loads(text) == {
        "index": {"mapping": {"total_fields": {"limit": "4000"}}, "default_pipeline": "p"}
    }


def test_it_is_marked_as_ours_and_known_again() -> None:
    made = template(STREAM, pipeline="p")
    assert made["_meta"]["managed_by"] == "shipper"
    assert made["_meta"]["version"] == __version__
    assert is_ours(made)
    assert not is_ours({"_meta": {"managed_by": "fleet"}})
    assert not is_ours({"_meta": None})
    assert not is_ours({})


def test_what_differs_by_the_server_alone_is_the_same() -> None:
    made = template(STREAM, pipeline="p")
    assert is_same(template(STREAM, pipeline="p", unsupported={"flattened"}), made)
    assert not is_same(template(STREAM, pipeline=""), made)
    assert not is_same(template(STREAM, pipeline="p", priority=7), made)
    assert not is_same({"_meta": {"managed_by": "shipper"}}, made)


def test_an_update_keeps_what_an_operator_has_added() -> None:
    old = template(STREAM, pipeline="shipper-tetragon")
    old["template"]["settings"]["index"] |= {"lifecycle": {"name": "30-days"}, "priority": "5"}
    old["template"]["lifecycle"] = {"data_retention": "30d"}
    old["template"]["mappings"]["properties"]["gone"] = {"type": "keyword"}
    old["composed_of"] = ["logs@custom"]
    old["_meta"]["digest"] = "another"
    new = updated(old, template(STREAM, pipeline=""))
    assert new["template"]["settings"]["index"] == {
        "mapping": {"total_fields": {"limit": "4000"}},
        "lifecycle": {"name": "30-days"},
        "priority": "5",
    }
    assert new["template"]["lifecycle"] == {"data_retention": "30d"}
    assert new["composed_of"] == ["logs@custom"]
    assert "gone" not in new["template"]["mappings"]["properties"]
    assert is_same(new, template(STREAM, pipeline=""))
