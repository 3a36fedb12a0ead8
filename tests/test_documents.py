"""What every document of an input carries, whatever its line."""

from __future__ import annotations

import orjson
import pytest

from shipper import __version__
from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList
from shipper.documents import document_constants


def constants(
    data_stream: str = "logs-cilium_tetragon.log-default",
    fields: dict[str, object] | None = None,
    tags: tuple[str, ...] = (),
) -> dict[str, object]:
    settings = InputConfig(id="tetragon", paths=("/logs/*.log",), fields=fields or {}, tags=tags)
    config = Config(
        name="node-7",
        inputs=(settings,),
        output=OutputConfig(hosts=HostList(["http://127.0.0.1:9200"]), data_stream=data_stream),
    )
    return document_constants(config, settings, agent_id="an id", ephemeral_id="another")


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
