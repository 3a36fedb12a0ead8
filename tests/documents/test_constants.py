"""What every document of an input carries, whatever its line."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from msgspec import structs

from shipper import __version__
from shipper.config.index_name import REFERENCES
from shipper.config.inputs import InputConfig, InputType
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.config.processor_list import Processors
from shipper.config.units import HostList
from shipper.documents.constants import document_constants, index_name, index_names, processing_of
from shipper.documents.processors.machine import Machine
from shipper.errors import ConfigError


def constants(
    data_stream: str = "logs-cilium_tetragon.log-default",
    fields: dict[str, object] | None = None,
    tags: tuple[str, ...] = (),
    index: str = "",
) -> dict[str, object]:
    config = configuration(data_stream, index, [fields or {}], tags)
    return document_constants(config, config.inputs[0], agent_id="an id", ephemeral_id="another")


def configuration(
    data_stream: str, index: str, fields: Sequence[dict[str, object]], tags: tuple[str, ...] = ()
) -> Config:
    """One with an input for each of the `fields`."""
    hosts = HostList(["http://127.0.0.1:9200"])
    return Config(
        name="node-7",
        inputs=tuple(
            InputConfig(id=f"input-{number}", paths=("/logs/*.log",), fields=given, tags=tags)
            for number, given in enumerate(fields)
        ),
        output=OutputConfig(hosts=hosts, data_stream=data_stream, index=index),
    )


def test_the_fields_are_those_of_filebeats_filestream() -> None:
    assert constants() == {
        "input": {"type": "filestream"},
        "agent": {
            "id": "an id",
            "ephemeral_id": "another",
            "name": "node-7",
            "type": "shipper",
            "version": __version__,
        },
        "ecs": {"version": "8.11.0"},
        "host": {"name": "node-7"},
        "event": {"dataset": "cilium_tetragon.log", "module": "cilium_tetragon"},
        "data_stream": {
            "type": "logs",
            "dataset": "cilium_tetragon.log",
            "namespace": "default",
        },
    }


@pytest.mark.parametrize(
    ("data_stream", "dataset", "module", "namespace"),
    [
        ("logs-generic-prod", "generic", "generic", "prod"),
        ("logs-a.b.c-team_1", "a.b.c", "a", "team_1"),
    ],
)
def test_the_data_stream_says_dataset_module_and_namespace(
    data_stream: str, dataset: str, module: str, namespace: str
) -> None:
    found = constants(data_stream)
    assert found["event"] == {"dataset": dataset, "module": module}
    assert found["data_stream"] == {"type": "logs", "dataset": dataset, "namespace": namespace}


def test_fields_and_tags_of_the_user_are_where_filebeat_has_them() -> None:
    found = constants(fields={"cluster": "eu", "deep": {"n": 1}}, tags=("a", "b"))
    document = orjson.loads(orjson.dumps(found))
    assert document["fields"] == {"cluster": "eu", "deep": {"n": 1}}
    assert document["tags"] == ["a", "b"]


def test_a_document_of_a_plain_index_names_no_data_stream_and_keeps_the_dataset() -> None:
    usual, plain = constants(), constants(index="tetragon-%{+yyyy}")
    assert "data_stream" not in plain
    del usual["data_stream"]
    assert plain == usual
    assert plain["event"] == {"dataset": "cilium_tetragon.log", "module": "cilium_tetragon"}


STREAM = "logs-cilium_tetragon.log-default"


def names(index: str, *fields: dict[str, object]) -> list[str]:
    """What each input's actions name at some time; none if the path does."""
    config = configuration(STREAM, index, fields or [{}])
    return [name.at("2026-11-24") for name in index_names(config)]


def test_the_actions_name_the_index_where_the_path_cannot() -> None:
    assert names("") == []
    assert names("tetragon") == []
    assert names("tetragon-%{+yyyy.MM.dd}") == ["tetragon-2026.11.24"]
    assert names("t-%{[fields.team]:none}", {"team": "a"}, {}) == ["t-a", "t-none"]


def test_the_fields_are_those_of_the_documents() -> None:
    config = configuration(STREAM, "%{[agent.id]}-%{[host.name]}-%{[event.module]}", [{}])
    found = document_constants(config, config.inputs[0], agent_id="AN-ID", ephemeral_id="x")
    name = index_name(config, config.inputs[0], found)
    assert name is not None
    assert name.at("") == "an-id-node-7-cilium_tetragon"


def test_the_type_of_the_input_is_in_the_documents() -> None:
    config = configuration(STREAM, "", [{}])
    settings = structs.replace(config.inputs[0], type=InputType.LOG)
    constants = document_constants(config, settings, agent_id="a", ephemeral_id="b")
    assert constants["input"] == {"type": "log"}


def test_a_field_that_an_input_lacks_is_told_with_the_input() -> None:
    with pytest.raises(ConfigError) as caught:
        names("t-%{[fields.team]}", {"team": "a"}, {})
    assert caught.value.where == "output.index"
    assert caught.value.what == (
        "no index name for the input `input-1`: `fields.team` has no value; set it, or write "
        "%{[fields.team]:default}"
    )


def test_the_index_is_named_by_what_processors_make_of_the_fields() -> None:
    processors = Processors.parse(
        [{"add_fields": {"fields": {"team": "b"}}}, {"add_host_metadata": {"name": "other"}}]
    )
    config = configuration(STREAM, "%{[fields.team]}-%{[host.name]}", [{"team": "a"}])
    of_input = structs.replace(config.inputs[0], processors=processors)
    there = structs.replace(config, inputs=(of_input,))
    at_the_top = structs.replace(config, processors=processors)
    for configured in (there, at_the_top):
        assert [name.at("") for name in index_names(configured)] == ["b-other"]


def test_processors_of_an_input_come_before_those_of_all() -> None:
    config = configuration(STREAM, "", [{}])
    first, then = (Processors.parse([{"add_tags": {"tags": [name]}}]) for name in "ab")
    settings = structs.replace(config.inputs[0], processors=first)
    machine = Machine({}, lambda _: {})
    found = processing_of(structs.replace(config, processors=then), settings, {}, machine, 0.0)
    assert found is not None
    assert found.constants == {"tags": ["a", "b"]}
    assert processing_of(config, config.inputs[0], {}, machine, 0.0) is None


def test_every_field_that_may_be_named_is_in_the_documents() -> None:
    for reference in REFERENCES:
        path = reference.replace("*", "team")
        assert len(names(f"%{{[{path}]}}", {"team": "a"})) == 1


def test_fields_at_the_top_win_over_ours_and_leave_the_rest() -> None:
    fields = {"team": "a", "host": {"ip": "192.0.2.1", "name": "mine"}, "event": {"kind": "event"}}
    source = InputConfig(id="a", paths=("/a",), fields=fields, fields_under_root=True)
    config = Config(inputs=(source,), output=OutputConfig(hosts=HostList(["http://a:1"])), name="n")
    constants = document_constants(config, source, agent_id="i", ephemeral_id="e")
    assert constants["team"] == "a"
    assert constants["host"] == {"ip": "192.0.2.1", "name": "mine"}
    assert constants["event"] == {
        "dataset": "cilium_tetragon.log",
        "module": "cilium_tetragon",
        "kind": "event",
    }
    assert "fields" not in constants


@pytest.mark.parametrize("name", ["@timestamp", "message", "log", "error", "tags", "data_stream"])
def test_fields_at_the_top_cannot_be_those_that_a_line_decides(name: str) -> None:
    with pytest.raises(ValueError, match="at the top of a document is set by shipper"):
        InputConfig(id="a", paths=("/a",), fields={name: "x"}, fields_under_root=True)
    assert InputConfig(id="a", paths=("/a",), fields={name: "x"})
